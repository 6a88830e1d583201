//! `provost lint`: the mistakes of policy files, found before anybody merges them.
//!
//! Files are read and judged as a GitSource does it, by the same code and within the same limits; nothing here knows a rule of its own. No
//! server, cluster or network is needed, and nothing is written but the report.

mod github;
mod human;
mod report;
mod sarif;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use self::report::Report;
use super::plugin::page::Style;
use super::print;
use super::schema::AppleSchemaArgs;
use super::standard::Format;
use crate::api::crds;
use crate::api::git_source::SourceFormat;
use crate::controllers::git_source::revision::{self, Examined};
use crate::gitops::fetch::{Limits, SourceFile};
use crate::gitops::validate::SchemaSet;
use crate::gitops::{Remarks, folder};
use crate::policy::schema::Schema;
use crate::telemetry::Chain;

/// How the program ends when it could not look.
const COULD_NOT_RUN: u8 = 2;

/// Options of `provost lint`.
#[derive(Debug, clap::Args)]
pub(super) struct LintArgs {
    /// Files and folders of policy (`*.yaml`, `*.yml`, `*.json`); all of them together are one source.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// How to print what is found.
    #[arg(short, long, value_enum, default_value = "human")]
    output: Output,
    /// What the files are. Without it: a rule library where there is one and no object of Provost's.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// End with 1 where there are only warnings, too.
    #[arg(long)]
    deny_warnings: bool,
    /// The namespace of the GitSource: objects that name another one are mistakes. Without it, objects may name any.
    #[arg(long, value_name = "NS")]
    namespace: Option<String>,
    #[command(flatten)]
    schema: AppleSchemaArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people: each finding with its line. Coloured on a terminal.
    Human,
    /// One JSON document, for scripts.
    Json,
    /// SARIF 2.1.0, for code scanning and editors.
    Sarif,
    /// Annotations of GitHub Actions, which show at the lines of a pull request.
    Github,
}

/// Looks, and says how it ended: 0 clean, 1 findings, 2 it could not look.
pub(super) fn run(args: &LintArgs) -> ExitCode {
    match lint(args) {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::FAILURE,
        Err(error) => {
            print::note(&format!("provost: {}", Chain(error.as_ref())));
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

/// Whether something was found for which it ends with 1.
fn lint(args: &LintArgs) -> Result<bool> {
    args.schema.put_in_force()?;
    let files = folder::read_all(&args.paths, &Limits::default())?;
    let format = args
        .format
        .map_or_else(|| revision::detect(&files), SourceFormat::from);
    let schemas = SchemaSet::new(&crds::all()).context("the kinds of this program cannot be used")?;
    let examined = revision::examine(
        &files,
        format,
        args.namespace.as_deref(),
        &schemas,
        Schema::in_force(),
        Remarks::up_to(report::MAXIMUM_TOLD),
    );
    refuse_nothing(args, &files, &examined)?;
    let report = Report::new(&files, examined);
    let text = match args.output {
        Output::Human => human::write(&report, args.deny_warnings, Style::of_stdout()),
        Output::Json => report.json()?,
        Output::Sarif => sarif::write(&report)?,
        Output::Github => github::write(&report),
    };
    print::out(&text)?;
    if report.left_out {
        print::note("there is more that is not shown; mend this first");
    }
    Ok(report.errors > 0 || (args.deny_warnings && report.warnings > 0))
}

/// A folder without any policy is a mistake in the call, which must not look like success. A file that somebody names may be anything.
fn refuse_nothing(args: &LintArgs, files: &[SourceFile], examined: &Examined) -> Result<()> {
    let folders = args.paths.iter().any(|path| path.is_dir());
    if folders && examined.documents.objects.is_empty() && examined.remarks.is_empty() {
        bail!(
            "there is no object of Provost's here, in {}; is the path right?",
            report::many(files.len(), "policy file")
        );
    }
    Ok(())
}
