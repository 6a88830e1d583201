//! `provost plan`: what a change in git means for devices, before it is merged.

mod cohorts;
mod fleet;
mod human;
mod markdown;
mod report;
mod sides;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use self::fleet::Fleet;
use self::report::Report;
use self::sides::Sides;
use super::plugin::arguments::ConnectionArgs;
use super::plugin::page::Style;
use super::plugin::session::Session;
use super::print;
use super::schema::AppleSchemaArgs;
use super::standard::Format;
use crate::clock::{Clock as _, SystemClock};
use crate::ids::Namespace;
use crate::telemetry::Chain;

/// How it ends where something changes.
const CHANGES: u8 = 1;
/// How it ends where that cannot be told.
const ERROR: u8 = 2;
/// The namespace where nothing names one.
const NAMESPACE: &str = "default";

/// Options of `provost plan`.
#[derive(Debug, clap::Args)]
pub(super) struct PlanArgs {
    /// The revision that is in force, such as `origin/main`: a branch, a tag or a commit, as git spells them.
    #[arg(long, value_name = "REV")]
    from: String,
    /// The revision that would come into force.
    #[arg(long, value_name = "REV", default_value = "HEAD")]
    to: String,
    /// Compare with the newest commit that both come from, so that what only `--from` has since is left out, as in a pull request.
    #[arg(long)]
    merge_base: bool,
    /// The folder in the repository, from its root: `spec.path` of the GitSource.
    #[arg(value_name = "PATH", default_value = "")]
    path: String,
    /// The repository, or a folder in it.
    #[arg(long, value_name = "DIR", default_value = ".")]
    repository: PathBuf,
    /// What the folder holds. Without it that is told by the files.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The devices, as `kubectl get devices -o json` prints them; `-` reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    fleet: Option<PathBuf>,
    /// Read the devices from the Kubernetes API: that of your kubeconfig, with your rights.
    #[arg(long)]
    server: bool,
    /// How to print it.
    #[arg(short, long, value_enum, default_value = "human")]
    output: Output,
    #[command(flatten)]
    apple_schema: AppleSchemaArgs,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people at a terminal.
    Human,
    /// For a comment on a pull request; at most 60,000 characters.
    Markdown,
    /// For programs; everything.
    Json,
}

/// Runs, and says how it ended: 0 no change, 1 changes, 2 error.
#[expect(
    clippy::unnecessary_wraps,
    reason = "every subcommand is run alike; this one tells its failures by a code of its own"
)]
pub(super) fn run(args: &PlanArgs) -> Result<ExitCode> {
    match plan(args) {
        Ok(false) => Ok(ExitCode::SUCCESS),
        Ok(true) => Ok(ExitCode::from(CHANGES)),
        Err(error) => {
            print::note(&format!("provost: {}", Chain(error.as_ref())));
            Ok(ExitCode::from(ERROR))
        }
    }
}

/// Whether something changes.
fn plan(args: &PlanArgs) -> Result<bool> {
    args.apple_schema.put_in_force()?;
    let (namespace, fleet) = fleet(args)?;
    Namespace::parse(&namespace).with_context(|| format!("--namespace {namespace}"))?;
    let sides = Sides::read(args, &namespace)?;
    for note in &sides.warnings {
        print::note(note);
    }
    let report = Report::new(args, &namespace, &sides, fleet.as_ref(), SystemClock.now());
    print::out(&match args.output {
        Output::Human => human::page(&report, Style::of_stdout()),
        Output::Markdown => markdown::comment(&report),
        Output::Json => report.json()?,
    })?;
    Ok(report.changed)
}

/// The namespace of the policy, and the devices if they are to be had.
fn fleet(args: &PlanArgs) -> Result<(String, Option<Fleet>)> {
    let connection = &args.connection;
    if connection.all_namespaces {
        bail!("the policy of a source is for the fleet of one namespace; name it with --namespace");
    }
    let named = connection.namespace.clone();
    if let Some(file) = &args.fleet {
        let fleet = Fleet::read(file, named.as_deref())?;
        let namespace = named.or_else(|| fleet.namespace.clone());
        return Ok((namespace.unwrap_or_else(|| NAMESPACE.to_owned()), Some(fleet)));
    }
    if !args.server {
        return Ok((named.unwrap_or_else(|| NAMESPACE.to_owned()), None));
    }
    super::runtime()?.block_on(async {
        let session = Session::open(connection).await?;
        let fleet = Fleet::ask(&session).await?;
        Ok((session.namespace.clone(), Some(fleet)))
    })
}
