//! `provost frameworks`: the controls of frameworks that are known, and what they have to do with each other. Facts; no cluster is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::mscp::{columns, to_json};
use super::print;
use crate::api::baseline::ControlRef;
use crate::compliance::frameworks::{CAVEAT, Framework, TOPICS, framework, frameworks, related, slip};
use crate::suggest::did_you_mean;

/// Options of `provost frameworks`.
#[derive(Debug, Args)]
pub(super) struct FrameworksArgs {
    #[command(subcommand)]
    command: FrameworksCommand,
}

#[derive(Debug, Subcommand)]
enum FrameworksCommand {
    /// List the frameworks of which the controls are known, with version and source.
    List(Printed),
    /// List the controls of a framework.
    Show {
        /// The framework, such as `soc2`.
        framework: String,
        #[command(flatten)]
        printed: Printed,
    },
    /// Show what a control of NIST SP 800-53 or 800-171 has to do with those of other frameworks.
    Related {
        /// `800-53r5` or `800-171r3`.
        framework: String,
        /// The control, such as `AC-11`.
        control: String,
        #[command(flatten)]
        printed: Printed,
    },
}

#[derive(Debug, Clone, Copy, Args)]
struct Printed {
    /// How to print.
    #[arg(short, long, value_enum, default_value = "human", value_name = "FORMAT")]
    output: Format,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table.
    Human,
    /// A table with more columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// A framework, without its controls.
#[derive(Debug, Serialize)]
struct Summary {
    framework: &'static str,
    title: &'static str,
    version: &'static str,
    source: &'static str,
    note: &'static str,
    controls: usize,
}

/// One control.
#[derive(Debug, Serialize)]
struct Control<'c> {
    id: &'c str,
    title: &'c str,
    /// Subjects on devices that it is about.
    subjects: Vec<&'static str>,
}

/// What a control has to do with others.
#[derive(Debug, Serialize)]
struct Relations {
    caveat: &'static str,
    control: ControlRef,
    title: &'static str,
    related: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

pub(super) fn run(args: &FrameworksArgs) -> Result<ExitCode> {
    match &args.command {
        FrameworksCommand::List(printed) => list(printed.output),
        FrameworksCommand::Show { framework, printed } => show(known(framework)?, printed.output),
        FrameworksCommand::Related {
            framework,
            control,
            printed,
        } => relations(known(framework)?, control, printed.output),
    }
}

fn known(id: &str) -> Result<&'static Framework> {
    let ids = frameworks().iter().map(|framework| framework.id);
    framework(id).with_context(|| {
        let all: Vec<&str> = ids.clone().collect();
        let hint = did_you_mean(id, ids);
        format!(
            "nothing is known of framework `{id}`{hint}\nknown are {}",
            all.join(", ")
        )
    })
}

fn list(format: Format) -> Result<ExitCode> {
    let all: Vec<Summary> = frameworks()
        .iter()
        .map(|framework| Summary {
            framework: framework.id,
            title: framework.title,
            version: framework.version,
            source: framework.source,
            note: framework.note,
            controls: framework.controls.len(),
        })
        .collect();
    let text = match document(&all, format)? {
        Some(text) => text,
        None if format == Format::Wide => {
            let mut rows =
                vec![["FRAMEWORK", "CONTROLS", "VERSION", "TITLE", "SOURCE", "NOTE"].map(str::to_owned)];
            rows.extend(all.iter().map(|of| {
                let count = of.controls.to_string();
                [
                    of.framework,
                    count.as_str(),
                    of.version,
                    of.title,
                    of.source,
                    of.note,
                ]
                .map(str::to_owned)
            }));
            columns(&rows)
        }
        None => {
            let mut rows = vec![["FRAMEWORK", "CONTROLS", "VERSION", "TITLE"].map(str::to_owned)];
            rows.extend(all.iter().map(|of| {
                let count = of.controls.to_string();
                [of.framework, count.as_str(), of.version, of.title].map(str::to_owned)
            }));
            columns(&rows)
        }
    };
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn show(framework: &'static Framework, format: Format) -> Result<ExitCode> {
    let controls: Vec<Control<'_>> = framework
        .controls
        .iter()
        .map(|(id, title)| Control {
            id,
            title,
            subjects: subjects(framework.id, id),
        })
        .collect();
    let text = if let Some(text) = document(&controls, format)? {
        text
    } else {
        let mut rows = vec![["CONTROL", "TITLE", "ON DEVICES"].map(str::to_owned)];
        rows.extend(controls.iter().map(|control| {
            [
                control.id.to_owned(),
                control.title.to_owned(),
                control.subjects.join("; "),
            ]
        }));
        columns(&rows)
    };
    print::out(&text)?;
    if format == Format::Human || format == Format::Wide {
        print::note(framework.note);
    }
    Ok(ExitCode::SUCCESS)
}

/// The subjects on devices that a control is about.
fn subjects(framework: &str, id: &str) -> Vec<&'static str> {
    let about = TOPICS.iter().filter(|topic| {
        let mut controls = topic.controls().into_iter();
        controls.any(|(of, ids)| of == framework && ids.contains(&id))
    });
    about.map(|topic| topic.title).collect()
}

fn relations(framework: &'static Framework, id: &str, format: Format) -> Result<ExitCode> {
    let control = ControlRef {
        framework: framework.id.to_owned(),
        id: id.to_owned(),
    };
    if let Some(slip) = slip(&control) {
        bail!("{slip}");
    }
    let found = Relations {
        caveat: CAVEAT,
        title: framework.title_of(id).unwrap_or_default(),
        related: related(&control),
        control,
    };
    if let Some(text) = document(&found, format)? {
        print::out(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    if found.related.is_empty() {
        print::note(&format!(
            "nothing is known to be related to {} {id}",
            framework.id
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["FRAMEWORK", "CONTROL", "TITLE"].map(str::to_owned)];
    for (of, ids) in &found.related {
        let titles = known(of)?;
        rows.extend(ids.iter().map(|id| {
            let title = titles.title_of(id).unwrap_or_default();
            [(*of).to_owned(), (*id).to_owned(), title.to_owned()]
        }));
    }
    print::out(&columns(&rows))?;
    print::note(CAVEAT);
    Ok(ExitCode::SUCCESS)
}

/// A document for machines. None: for people.
fn document(value: &impl Serialize, format: Format) -> Result<Option<String>> {
    match format {
        Format::Json => to_json(value).map(Some),
        Format::Yaml => serde_yaml::to_string(value)
            .map(Some)
            .context("YAML cannot be written"),
        Format::Human | Format::Wide => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framework_that_is_not_known_is_told_with_those_that_are() {
        let error = known("soc-2").unwrap_err().to_string();
        assert!(
            error.contains("did you mean `soc2`?") && error.contains("800-53r5"),
            "{error}"
        );
        assert_eq!(known("hipaa").unwrap().id, "hipaa");
    }

    #[test]
    fn a_control_tells_its_subjects() {
        assert_eq!(subjects("800-53r5", "AC-7"), ["Lockout after failed attempts"]);
        assert!(subjects("800-53r5", "PE-1").is_empty());
        assert!(subjects("hipaa", "164.312(d)").len() > 2);
    }
}
