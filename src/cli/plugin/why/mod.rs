//! `kubectl provost why DEVICE RULE`: the evidence, the rule, what demands it since which commit, and what to do next.

mod explain;
mod finding;
mod origin;
mod render;

use std::process::ExitCode;

use kube::ResourceExt as _;

use super::arguments::{ConnectionArgs, Output};
use super::evidence::EvidenceArgs;
use super::page::Style;
use super::rule::Policies;
use super::session::Session;
use super::{evidence, find, output, words};
use crate::cli::print;

pub(super) use explain::explain;
#[cfg(test)]
pub(super) use origin::of as commit_of;
pub(super) use render::render;

/// Options of `kubectl provost why`.
#[derive(Debug, clap::Args)]
pub(super) struct WhyArgs {
    /// The device: its name, the beginning of it, or its serial number.
    device: String,
    /// The rule: its id, or the beginning of it; with its baseline before it where two have it, as `baseline/rule`.
    rule: String,
    #[command(flatten)]
    evidence: EvidenceArgs,
}

pub(super) async fn run(
    args: &WhyArgs,
    connection: &ConnectionArgs,
    output: Option<Output>,
) -> anyhow::Result<ExitCode> {
    let mut session = Session::open(connection).await?;
    let device = find::device(&session, &args.device).await?;
    // From here on only its own fleet matters.
    session.everywhere = false;
    session.namespace = device.namespace().unwrap_or_default();
    let policies = Policies::read(&session, &device).await?;
    let demanded = policies.find(&args.rule).map_err(anyhow::Error::msg)?;
    let commits = origin::commits(&session, &demanded).await?;
    let told = evidence::ask(&session, &args.evidence, &device.name_any(), &demanded.key()).await;
    let record = told.unwrap_or_else(|why| {
        print::note(&format!(
            "note: by the device's status alone; {}",
            words::clean(&why)
        ));
        None
    });
    let explanation = explain(&device, &demanded, commits, record.as_ref());
    let text = match output {
        Some(Output::Name) => format!("{}\n", demanded.key()),
        _ => match output::document(&explanation, output)? {
            Some(text) => text,
            None => render(&explanation, Style::of_stdout(), session.now()),
        },
    };
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}
