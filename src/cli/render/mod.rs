//! `provost render`: what devices would get from a folder of policy.

mod device;
mod files;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::ValueEnum;

use self::device::DescribedDevice;
use self::summary::Summary;
use super::print;
use super::schema::AppleSchemaArgs;
use super::standard::{self, Format, Standard};
use crate::api::git_source::SourceFormat;
use crate::compliance::Checks;
use crate::gitops::fetch::Limits;
use crate::gitops::folder;
use crate::ids::Namespace;
use crate::policy::{AssignmentInput, CompileInput, DeviceClass, explain};
use crate::suggest::did_you_mean;

/// How many baselines an error names.
const MAX_NAMED: usize = 30;

/// Options of `provost render`.
#[derive(Debug, clap::Args)]
pub(super) struct RenderArgs {
    /// The folder: what a GitSource would read, or a tree of mSCP.
    #[arg(value_name = "PATH")]
    folder: PathBuf,
    /// A device: `platform=macOS,os=26.0,enrollment=supervised`, and if need be `name=`, `model=`, `serial=`, `label:KEY=VALUE` (as often as there
    /// are labels) and `ddm=no` for one that is not managed by declarations. May be repeated.
    #[arg(long = "device", value_name = "DEVICE", required = true)]
    devices: Vec<DescribedDevice>,
    /// Only this baseline, enforced with its own values, whatever assignments say. May be repeated.
    #[arg(long = "baseline", value_name = "NAME")]
    baselines: Vec<String>,
    /// Write profiles and declarations below this folder, in a folder for each device. What an earlier call wrote there for the device is replaced.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// What the folder holds. Without it that is told by the files.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The namespace that the objects would live in; it is part of identifiers.
    #[arg(short, long, value_name = "NS", default_value = "default")]
    namespace: String,
    /// Where devices would reach Provost; declarations that bring profiles name it.
    #[arg(long, value_name = "URL", default_value = "https://provost.example.com")]
    public_url: String,
    /// How to print the summary.
    #[arg(short, long, value_enum, default_value = "human")]
    output: Output,
    #[command(flatten)]
    apple_schema: AppleSchemaArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Human,
    /// For programs.
    Json,
}

pub(super) fn run(args: &RenderArgs) -> Result<ExitCode> {
    args.apple_schema.put_in_force()?;
    Namespace::parse(&args.namespace)?;
    let files = folder::read(&args.folder, &Limits::default())?;
    let place = args.folder.display().to_string();
    let standard = Standard::read(&files, args.format, &args.namespace, &place)?;
    if standard.documents.objects.is_empty() {
        bail!("{place} holds no object of Provost's and no baseline of mSCP; is it the right folder?");
    }
    let checks = Checks::default();
    let mut summaries = Vec::new();
    for device in &args.devices {
        let (assignments, notes) = concerning(args, &standard, device)?;
        let explanation = explain(&CompileInput {
            namespace: &args.namespace,
            class: device.class,
            assignments: &assignments,
            public_url: &args.public_url,
            checks: &checks,
        });
        let written = match &args.out {
            Some(folder) => files::write(folder, &device.name, &explanation.plan.manifest)?,
            None => Vec::new(),
        };
        summaries.push(Summary::new(device, &assignments, &explanation, notes, written));
    }
    match args.output {
        Output::Human => print::out(&summary::human(&summaries))?,
        Output::Json => print::out(&summary::json(&summaries)?)?,
    }
    let missing = standard.missing();
    for line in standard::warnings(&standard.documents).iter().chain(&missing) {
        print::note(line);
    }
    Ok(ExitCode::SUCCESS)
}

/// What concerns a device, and what people should know about that.
fn concerning(
    args: &RenderArgs,
    standard: &Standard,
    device: &DescribedDevice,
) -> Result<(Vec<AssignmentInput>, Vec<String>)> {
    let policies = &standard.policies;
    if !args.baselines.is_empty() {
        let mut inputs = Vec::new();
        for name in &args.baselines {
            let Some(input) = standard.baseline_alone(name) else {
                let names = policies.baselines.keys().map(AsRef::as_ref);
                bail!(
                    "there is no baseline {name} in the folder{}",
                    did_you_mean(name, names)
                );
            };
            inputs.push(input);
        }
        return Ok((together(inputs), Vec::new()));
    }
    if !policies.assignments.is_empty() {
        let groups = policies.groups_of(&device.candidate);
        let names = policies.assignments_of(&groups);
        let mut notes = Vec::new();
        if names.is_empty() {
            let known: Vec<&str> = policies.assignments.keys().map(AsRef::as_ref).collect();
            notes.push(format!(
                "no assignment is for this device: it belongs to {}. There are {}; describe the device by its labels (label:KEY=VALUE), or look at one \
                 baseline with --baseline NAME",
                if groups.is_empty() { "no group".to_owned() } else { format!("the groups {}", groups.join(", ")) },
                known.join(", ")
            ));
        }
        return Ok((policies.inputs(&names), notes));
    }
    let baselines = policies.baselines.iter();
    let fitting: Vec<&Arc<str>> = baselines
        .filter(|(_, baseline)| device.class.is_in_any(&baseline.spec.platforms))
        .map(|(name, _)| name)
        .collect();
    if standard.format == SourceFormat::Mscp && fitting.len() > 1 {
        let named: Vec<&str> = fitting.iter().take(MAX_NAMED).map(|name| &***name).collect();
        bail!(
            "the tree has {} baselines for {}; choose with --baseline: {}",
            fitting.len(),
            device.class,
            named.join(", ")
        );
    }
    let inputs = fitting.iter().filter_map(|name| standard.baseline_alone(name));
    let profiles = policies.profiles.keys();
    let inputs: Vec<AssignmentInput> = inputs
        .chain(profiles.filter_map(|name| standard.profile_alone(name)))
        .collect();
    let notes = if inputs.is_empty() {
        vec![nothing_for(standard, device.class)]
    } else {
        vec!["the folder holds no assignment: everything in it that is for such devices is taken together, with its own values".to_owned()]
    };
    Ok((together(inputs), notes))
}

fn nothing_for(standard: &Standard, class: DeviceClass) -> String {
    let names: Vec<&str> = standard.policies.baselines.keys().map(AsRef::as_ref).collect();
    format!(
        "nothing in the folder is for {class}; it holds {}",
        names.join(", ")
    )
}

/// One assignment of several.
fn together(inputs: Vec<AssignmentInput>) -> Vec<AssignmentInput> {
    let mut inputs = inputs.into_iter();
    let Some(mut all) = inputs.next() else {
        return Vec::new();
    };
    for input in inputs {
        all.baselines.extend(input.baselines);
        all.profiles.extend(input.profiles);
    }
    vec![all]
}
