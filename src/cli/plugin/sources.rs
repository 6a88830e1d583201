//! `kubectl provost sources`: what git has in force, by whom, and what waits.

use std::process::ExitCode;

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::ListParams;

use super::arguments::{ConnectionArgs, Output};
use super::output;
use super::page::{Style, Tone};
use super::session::Session;
use super::table::{self, Cell};
use super::words::{self, short_revision};
use crate::api::GitSource;
use crate::api::git_source::{GitSourceStatus, RevisionRecord, RevisionResult};
use crate::cli::print;
use crate::kubeapi::table::human_duration;

/// How much of a text a table shows, in characters.
const SHOWN: usize = 48;

/// Options of `kubectl provost sources`.
#[derive(Debug, clap::Args)]
pub(super) struct SourcesArgs {
    /// Only sources with these labels.
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
}

pub(super) async fn run(
    args: &SourcesArgs,
    connection: &ConnectionArgs,
    output: Option<Output>,
) -> anyhow::Result<ExitCode> {
    let session = Session::open(connection).await?;
    let mut parameters = ListParams::default();
    if let Some(selector) = &args.selector {
        parameters = parameters.labels(selector);
    }
    let sources: Vec<GitSource> = session.list(&parameters, Some).await?;
    if let Some(text) = output::objects(sources.clone(), false, output)? {
        print::out(&text)?;
    } else if sources.is_empty() {
        print::note(&session.nothing("git source"));
    } else {
        let wide = output == Some(Output::Wide);
        let (style, now) = (Style::of_stdout(), session.now());
        print::out(&render(&sources, session.everywhere, wide, style, now))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn render(
    sources: &[GitSource],
    namespaces: bool,
    wide: bool,
    style: Style,
    now: Timestamp,
) -> String {
    let mut header = Vec::new();
    if namespaces {
        header.push("NAMESPACE");
    }
    header.extend([
        "NAME", "READY", "REVISION", "AUTHOR", "MESSAGE", "APPLIED", "WAITS",
    ]);
    if wide {
        header.extend(["OBJECTS", "PATH", "INTERVAL", "URL"]);
    }
    let rows: Vec<Vec<Cell>> = sources
        .iter()
        .map(|source| row(source, namespaces, wide, now))
        .collect();
    table::render(&header, &rows, style)
}

fn row(source: &GitSource, namespaces: bool, wide: bool, now: Timestamp) -> Vec<Cell> {
    let status = source.status.clone().unwrap_or_default();
    let revision = status
        .artifact
        .as_ref()
        .map(|artifact| artifact.revision.as_str());
    let commit = revision.and_then(|revision| in_force(&status, revision));
    let author = commit.map_or("", |record| record.author.as_str());
    let author = if wide { author } else { without_address(author) };
    let applied = status
        .artifact
        .as_ref()
        .map(|artifact| human_duration(artifact.applied_at.0, now));
    let mut cells = Vec::new();
    if namespaces {
        cells.push(Cell::new(source.namespace().unwrap_or_default()));
    }
    cells.extend([
        Cell::new(source.name_any()),
        Cell::status(words::status(&status.conditions, "Ready")),
        Cell::new(short_revision(revision.unwrap_or_default())),
        Cell::new(author),
        Cell::new(shown(commit.map_or("", |record| record.message.as_str()), wide)),
        Cell::new(applied.unwrap_or_default()),
        Cell::toned(shown(&waits(source, &status), wide), Tone::Unsure),
    ]);
    if wide {
        let objects = status
            .artifact
            .as_ref()
            .map(|artifact| artifact.objects.to_string());
        cells.extend([
            Cell::new(objects.unwrap_or_default()),
            Cell::new(&source.spec.path),
            Cell::new(&source.spec.interval),
            Cell::new(&source.spec.url),
        ]);
    }
    cells
}

/// What is known of a revision that came into force.
pub(super) fn in_force<'a>(status: &'a GitSourceStatus, revision: &str) -> Option<&'a RevisionRecord> {
    let mut records = status.history.iter().filter(|record| record.revision == revision);
    // The newest: one that was refused may have come into force later.
    records.next()
}

/// What has not come into force, and why.
pub(super) fn waits(source: &GitSource, status: &GitSourceStatus) -> String {
    let in_force = status
        .artifact
        .as_ref()
        .map(|artifact| artifact.revision.as_str());
    if source.spec.suspend {
        return "suspended".to_owned();
    }
    if let Some(record) = status.history.first()
        && Some(record.revision.as_str()) != in_force
    {
        let how = match record.result {
            RevisionResult::Applied => return String::new(),
            RevisionResult::Refused => "refused",
            RevisionResult::Waiting => "waits",
        };
        return format!("{} {how}: {}", short_revision(&record.revision), record.detail);
    }
    words::condition(&status.conditions, "Ready")
        .filter(|ready| ready.status != "True")
        .map(|ready| format!("{}: {}", ready.reason, ready.message))
        .unwrap_or_default()
}

/// `Name` of `Name <address>`.
fn without_address(author: &str) -> &str {
    author
        .split_once('<')
        .map(|(name, _)| name.trim())
        .filter(|name| !name.is_empty())
        .unwrap_or(author)
}

fn shown(text: &str, whole: bool) -> String {
    if whole || text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(SHOWN - 1).collect();
    cut.push('…');
    cut
}
