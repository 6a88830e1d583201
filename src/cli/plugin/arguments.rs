//! The options of `kubectl provost`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::{completion, controls, device, devices, reconcile, sources, why};

/// Shows who complies and why, and makes Provost look again.
///
/// Devices are named by their object's name (the UDID in any case), the beginning of it where only one has it, or their serial number.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-provost",
    bin_name = "kubectl provost",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(in crate::cli) struct PluginCli {
    #[command(subcommand)]
    pub(super) command: PluginCommand,
    /// How to print. `wide` adds columns; `json`, `yaml` and `name` are for scripts.
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub(super) output: Option<Output>,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// List devices, those with the most to mend first.
    Devices(devices::DevicesArgs),
    /// Show everything about one device.
    Device(device::DeviceArgs),
    /// Show why a rule passes or fails on a device: the evidence, the rule, and the commit that demands it.
    Why(why::WhyArgs),
    /// List the controls of frameworks and how they stand, over all devices of assignments.
    Controls(controls::ControlsArgs),
    /// List git sources: what is in force, who committed it, and what waits.
    Sources(sources::SourcesArgs),
    /// Look at a git source, or ask a device for evidence, now; and wait for the outcome.
    Reconcile(reconcile::ReconcileArgs),
    /// Print a completion script for a shell.
    Completion(completion::CompletionArgs),
}

/// Which API, which fleet, and as whom: as kubectl has it.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(in crate::cli) struct ConnectionArgs {
    /// The fleet. Without it: the namespace of the context.
    #[arg(
        short,
        long,
        global = true,
        value_name = "NS",
        conflicts_with = "all_namespaces"
    )]
    pub(in crate::cli) namespace: Option<String>,
    /// Every fleet.
    #[arg(short = 'A', long, global = true)]
    pub(in crate::cli) all_namespaces: bool,
    /// The context of the kubeconfig, if not its current one.
    #[arg(long, global = true, value_name = "NAME")]
    pub(super) context: Option<String>,
    /// The kubeconfig. Without it: the files that KUBECONFIG names, or ~/.kube/config.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Act as this user, where you may impersonate.
    #[arg(long = "as", global = true, value_name = "USER")]
    pub(super) as_user: Option<String>,
    /// Act as a member of this group; may be repeated.
    #[arg(long, global = true, value_name = "GROUP", requires = "as_user")]
    pub(super) as_group: Vec<String>,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// A table with more columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Only names, as `kubectl` takes them.
    Name,
}
