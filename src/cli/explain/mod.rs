//! `provost explain`: what a rule demands, why, what it puts on which devices and how it is checked, from files alone.
//!
//! Says what the policy engine makes of the rule, by asking it: nothing here knows a rule, a type or a version of its own.

mod find;
mod human;
mod shipped;
mod told;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use self::find::{Held, find};
use self::told::Told;
use super::plugin::page::Style;
use super::print;
use super::schema::AppleSchemaArgs;
use crate::api::crds;
use crate::controllers::git_source::revision;
use crate::gitops::fetch::Limits;
use crate::gitops::validate::SchemaSet;
use crate::gitops::{Kind, Remarks, folder};
use crate::policy::schema::{Schema, Severity};

/// The most findings that are looked through for what concerns a rule.
const MAXIMUM_REMARKS: usize = 5_000;

/// Options of `provost explain`.
#[derive(Debug, clap::Args)]
pub(super) struct ExplainArgs {
    /// The rule: its id, or `baseline/id`, or the beginning of either.
    #[arg(value_name = "RULE")]
    rule: String,
    /// Files and folders that hold it: objects of Provost's or a rule library of mSCP. Without: the baselines that ship.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value = "human")]
    output: Output,
    #[command(flatten)]
    schema: AppleSchemaArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// A page for people.
    Human,
    /// A JSON list: one entry for each way in which baselines hold the rule.
    Json,
}

pub(super) fn run(args: &ExplainArgs) -> Result<ExitCode> {
    args.schema.put_in_force()?;
    let schema = Schema::in_force();
    let files = if args.paths.is_empty() {
        shipped::files()
    } else {
        folder::read_all(&args.paths, &Limits::default())?
    };
    let schemas = SchemaSet::new(&crds::all()).context("the kinds of this program cannot be used")?;
    let format = revision::detect(&files);
    let most = Remarks::up_to(MAXIMUM_REMARKS);
    let examined = revision::examine(&files, format, None, &schemas, schema, most);
    let errors = examined
        .remarks
        .iter()
        .filter(|remark| remark.severity == Severity::Error);
    match errors.count() {
        0 => {}
        errors => print::note(&format!(
            "these files have mistakes ({errors}) for which they would be refused; `provost lint` shows them"
        )),
    }
    let held = Held::all(&examined.documents);
    let found = match find(&args.rule, &held) {
        Ok(found) => found,
        Err(message) => bail!("{message}"),
    };
    let told = Told::all(&found, schema, |file| {
        let of_file = examined
            .remarks
            .iter()
            .filter(|remark| remark.finding.file == file);
        of_file
            .filter(|remark| remark.kind == Kind::Library)
            .map(|remark| remark.finding.message.clone())
            .collect()
    });
    let text = match args.output {
        Output::Human => human::write(&told, Style::of_stdout()),
        Output::Json => serde_json::to_string_pretty(&told).context("JSON cannot be written")? + "\n",
    };
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}
