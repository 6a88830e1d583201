//! `provost mscp`: what a tree of the macOS Security Compliance Project holds, as this program reads it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::json;

use super::print;
use crate::api::BaselineSpec;
use crate::api::names::API_VERSION;
use crate::gitops::fetch::Limits;
use crate::gitops::folder;
use crate::gitops::mscp::{BaselineFile, Judge, Note, Report, Resolved, ResolvedRule, System, Tree, report};
use crate::policy::schema::Schema;

/// Options of `provost mscp`.
#[derive(Debug, clap::Args)]
pub(super) struct MscpArgs {
    #[command(subcommand)]
    command: MscpCommand,
}

#[derive(Debug, Subcommand)]
enum MscpCommand {
    /// List the baselines of a tree.
    List(ListArgs),
    /// Print what one baseline sets, or write it as a Baseline to go on from.
    ///
    /// With `-o json`: all that its rules say, put together, as `{profiles, mcx, ddm, config_files}`, before anything is judged by Apple's
    /// schema. Dictionaries are merged, lists united, equal values agree. A setting that rules want differently is left out and named on
    /// standard error with both rules and their files; that is no failure.
    ///
    /// With `-o yaml`: a Baseline for `kubectl apply` or for your own repository. What is contradicted, known to be wrong or needs a check on
    /// the device is not enforced, and the rule says why.
    ///
    ///   provost mscp export ~/macos_security --baseline cis_lvl1 --platform macos --os 26.0 -o json
    ///   provost mscp export ~/macos_security --baseline cis_lvl1_macos_26.0 -o yaml > baselines/cis.yaml
    #[command(verbatim_doc_comment)]
    Export(ExportArgs),
    /// Report on a whole tree: what can be enforced, what only a check on the device can tell, what is wrong, what contradicts itself.
    ///
    /// Ends with 1 where the tree has mistakes with which it would not be imported, else with 0.
    Report(ReportArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    tree: TreeArgs,
    /// How to print it.
    #[arg(short, long, value_enum, default_value = "human")]
    output: HumanOrJson,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    #[command(flatten)]
    tree: TreeArgs,
    /// The baseline: its keyword, such as `cis_lvl1`, or its full id, such as `cis_lvl1_macos_26.0`.
    #[arg(long, value_name = "NAME")]
    baseline: String,
    /// The system. Needed where baselines for several have the name.
    #[arg(long, value_enum)]
    platform: Option<PlatformName>,
    /// The version of the system, such as `26.0`. The newest baseline for it or for a version before it, of the same major version, is taken.
    #[arg(long, value_name = "VERSION", value_parser = version)]
    os: Option<String>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value = "json")]
    output: JsonOrYaml,
}

#[derive(Debug, clap::Args)]
struct ReportArgs {
    #[command(flatten)]
    tree: TreeArgs,
    /// How to print it.
    #[arg(short, long, value_enum, default_value = "human")]
    output: HumanOrJson,
}

#[derive(Debug, clap::Args)]
struct TreeArgs {
    /// A checkout of mSCP, 2.0 or 1.x, or of a fork of it.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum HumanOrJson {
    Human,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum JsonOrYaml {
    Json,
    Yaml,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PlatformName {
    /// Macs.
    Macos,
    /// iPhones and iPads.
    Ios,
    /// Apple Vision.
    Visionos,
}

impl From<PlatformName> for System {
    fn from(name: PlatformName) -> Self {
        match name {
            PlatformName::Macos => Self::Macos,
            PlatformName::Ios => Self::Ios,
            PlatformName::Visionos => Self::Visionos,
        }
    }
}

fn version(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('.').collect();
    let good = parts.len() <= 3
        && parts
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if good {
        Ok(text.to_owned())
    } else {
        Err("a version is one to three numbers, such as 26.0".to_owned())
    }
}

pub(super) fn run(args: &MscpArgs) -> Result<ExitCode> {
    match &args.command {
        MscpCommand::List(args) => list(args),
        MscpCommand::Export(args) => export(args),
        MscpCommand::Report(args) => run_report(args),
    }
}

fn read(folder: &Path) -> Result<Tree> {
    let files = folder::read(folder, &Limits::default())?;
    match Tree::read(&files) {
        Ok(tree) => Ok(tree),
        Err(finding) => bail!("{}: {}", folder.display(), finding.message),
    }
}

fn list(args: &ListArgs) -> Result<ExitCode> {
    let tree = read(&args.tree.folder)?;
    let text = match args.output {
        HumanOrJson::Json => {
            let baselines: Vec<_> = tree
                .baselines()
                .iter()
                .map(|baseline| {
                    json!({
                        "id": baseline.id,
                        "name": baseline.name,
                        "platform": baseline.system.name(),
                        "os": baseline.version,
                        "rules": baseline.rule_count(),
                        "title": baseline.title,
                        "file": baseline.file,
                    })
                })
                .collect();
            to_json(&baselines)?
        }
        HumanOrJson::Human => {
            let mut rows = vec![["NAME", "PLATFORM", "OS", "RULES", "ID"].map(str::to_owned)];
            rows.extend(tree.baselines().iter().map(|baseline| {
                [
                    baseline.name.clone(),
                    baseline.system.name().to_owned(),
                    baseline.version.clone(),
                    baseline.rule_count().to_string(),
                    baseline.id.clone(),
                ]
            }));
            columns(&rows)
        }
    };
    print::out(&text)?;
    let errors: Vec<&Note> = tree.notes().iter().filter(|note| note.is_error()).collect();
    tell(&errors);
    Ok(if errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn export(args: &ExportArgs) -> Result<ExitCode> {
    let tree = read(&args.tree.folder)?;
    let found = tree.find(
        &args.baseline,
        args.platform.map(System::from),
        args.os.as_deref(),
    );
    let baseline = match found {
        Ok(baseline) => baseline,
        Err(message) => bail!("{message}"),
    };
    let resolved = baseline.resolve(&tree);
    let errors = errors_of(&tree, baseline, &resolved);
    if !errors.is_empty() {
        tell(&errors);
        bail!(
            "baseline {} is not exported: see the {} above",
            baseline.id,
            many(errors.len(), "mistake")
        );
    }
    let export = resolved.export();
    match args.output {
        JsonOrYaml::Json => print::out(&to_json(&export)?)?,
        JsonOrYaml::Yaml => {
            let native = resolved.native(&export, &Judge::new(Schema::in_force()));
            print::out(&to_yaml(&native.name, &native.spec)?)?;
            tell(&native.notes.iter().collect::<Vec<_>>());
        }
    }
    tell(&resolved.notes.iter().collect::<Vec<_>>());
    for conflict in &export.conflicts {
        print::note(&clean(&format!("conflict: {conflict}")));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is wrong with one baseline: in its file, in the files of its rules, and in what they become.
fn errors_of<'n>(tree: &'n Tree, baseline: &BaselineFile, resolved: &'n Resolved<'_>) -> Vec<&'n Note> {
    let mut files: BTreeSet<String> = resolved
        .rules
        .iter()
        .flat_map(ResolvedRule::origins)
        .map(|(path, _)| path)
        .collect();
    files.insert(baseline.file.clone());
    let of_tree = tree
        .notes()
        .iter()
        .filter(|note| files.contains(&note.finding.file));
    of_tree
        .chain(&resolved.notes)
        .filter(|note| note.is_error())
        .collect()
}

fn run_report(args: &ReportArgs) -> Result<ExitCode> {
    let tree = read(&args.tree.folder)?;
    let report = report(&tree, Schema::in_force());
    let text = match args.output {
        HumanOrJson::Json => to_json(&report)?,
        HumanOrJson::Human => clean(&for_people(&report)),
    };
    print::out(&text)?;
    Ok(if report.errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn for_people(report: &Report) -> String {
    let mut text = format!(
        "{} and {} in a tree of format {}.\n\n",
        many(report.rules, "rule"),
        many(report.baselines.len(), "baseline"),
        match report.format {
            crate::gitops::mscp::Format::One => "1.x",
            crate::gitops::mscp::Format::Two => "2.0",
        }
    );
    let heads = [
        "BASELINE",
        "RULES",
        "PROFILE",
        "DECLARATION",
        "FILE",
        "FIX ONLY",
        "CHECK ONLY",
        "NEITHER",
        "ON DEVICE",
        "INVALID",
        "OPT-IN",
        "EXCLUDED",
        "CONFLICTS",
        "ERRORS",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    for baseline in &report.baselines {
        let counts = [
            baseline.rules,
            baseline.profile,
            baseline.declaration,
            baseline.configuration_file,
            baseline.fix_only,
            baseline.check_only,
            baseline.neither,
            baseline.on_device,
            baseline.invalid,
            baseline.opt_in,
            baseline.excluded,
            baseline.conflicts.len(),
            baseline.errors,
        ];
        let mut row = heads.map(|_| String::new());
        for (cell, text) in row
            .iter_mut()
            .zip(std::iter::once(baseline.id.clone()).chain(counts.map(|count| count.to_string())))
        {
            *cell = text;
        }
        rows.push(row);
    }
    text.push_str(&columns(&rows));
    text.push_str(
        "\nPROFILE, DECLARATION: rules that set a key there. FILE: lines of a configuration file, which are shown and not delivered. ON DEVICE: \
         only a check on the device can tell, the verdict is unknown. INVALID: something of it is wrong and not served. OPT-IN: put on \
         devices only by an object of your own.\n",
    );
    let conflicts: BTreeSet<String> = report
        .baselines
        .iter()
        .flat_map(|baseline| &baseline.conflicts)
        .map(ToString::to_string)
        .collect();
    section(&mut text, "Conflicts", conflicts.into_iter());
    let line = |note: &crate::gitops::mscp::NoteReport| {
        let field = if note.field.is_empty() {
            String::new()
        } else {
            format!("{}: ", note.field)
        };
        format!(
            "{}:{}:{}: {field}{}",
            note.file, note.line, note.column, note.message
        )
    };
    section(&mut text, "Errors", report.errors.iter().map(line));
    section(&mut text, "Warnings", report.warnings.iter().map(line));
    text
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return;
    }
    // Writing into a String cannot fail.
    let _ = write!(text, "\n{title} ({}):\n", lines.len());
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
}

fn tell(notes: &[&Note]) {
    for note in notes {
        let weight = if note.is_error() { "error" } else { "warning" };
        print::note(&format!("{weight}: {}", note.finding));
    }
}

/// Text from a repository must not move a terminal's cursor.
fn clean(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

fn many(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}

/// Columns that stand below each other.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    clean(&text)
}

pub(super) fn to_json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value).context("JSON cannot be written")?;
    Ok(text + "\n")
}

/// A Baseline as people write it: what it is first.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'w> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Name<'w>,
    spec: &'w BaselineSpec,
}

#[derive(Serialize)]
struct Name<'w> {
    name: &'w str,
}

fn to_yaml(name: &str, spec: &BaselineSpec) -> Result<String> {
    let written = Written {
        api_version: API_VERSION,
        kind: "Baseline",
        metadata: Name { name },
        spec,
    };
    serde_yaml::to_string(&written).context("YAML cannot be written")
}
