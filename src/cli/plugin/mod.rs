//! `kubectl provost`: what people ask about their fleet, through the Kubernetes API alone.
//!
//! The program answers like this when it is called by the name `kubectl-provost`, as kubectl does with plugins: a link of that name beside
//! `provost`, in a folder of `PATH`, is all there is to install. It works with the user's own kubeconfig and rights on a cluster and on the
//! embedded API alike, and never opens a data directory. Called as `kubectl_complete-provost`, it completes words for kubectl.
//!
//! Each subcommand reads what it needs, builds what it has to say (pure, with the time as a parameter) and prints it.

pub(in crate::cli) mod arguments;
mod completion;
mod controls;
mod device;
mod devices;
mod evidence;
mod find;
mod output;
pub(in crate::cli) mod page;
mod reconcile;
mod rule;
pub(in crate::cli) mod session;
mod sources;
mod table;
#[cfg(test)]
mod tests;
mod why;
pub(in crate::cli) mod words;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use super::print;
pub(super) use arguments::PluginCli;
use arguments::PluginCommand;

/// The names under which the program is the plugin, or completes words for it.
const PLUGIN: &str = "kubectl-provost";
const COMPLETER: &str = "kubectl_complete-provost";

/// How the program was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Called {
    /// As kubectl's plugin.
    Plugin,
    /// To complete words for it.
    Completer,
}

impl Called {
    /// What the program's own name, the first argument, makes of it. None: it is `provost`.
    pub(super) fn by(name: &OsStr) -> Option<Self> {
        match Path::new(name).file_stem()?.to_str()? {
            PLUGIN => Some(Self::Plugin),
            COMPLETER => Some(Self::Completer),
            _ => None,
        }
    }

    /// Runs, and says how it ended: 0 success, 1 failure, 2 wrong usage.
    pub(super) fn main(self) -> ExitCode {
        let runtime = match super::runtime() {
            Ok(runtime) => runtime,
            Err(error) => return failed(&error),
        };
        match self {
            Self::Plugin => runtime
                .block_on(run(PluginCli::parse()))
                .unwrap_or_else(|error| failed(&error)),
            Self::Completer => {
                let answer = runtime.block_on(completion::answer(std::env::args_os().skip(1)));
                match print::out(&answer) {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) => failed(&error),
                }
            }
        }
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    print::note(&format!(
        "kubectl provost: {}",
        words::lines(&format!("{error:#}"))
    ));
    ExitCode::FAILURE
}

async fn run(cli: PluginCli) -> anyhow::Result<ExitCode> {
    let (connection, output) = (cli.connection, cli.output);
    match cli.command {
        PluginCommand::Devices(args) => devices::run(args, &connection, output).await,
        PluginCommand::Device(args) => device::run(&args, &connection, output).await,
        PluginCommand::Why(args) => why::run(&args, &connection, output).await,
        PluginCommand::Controls(args) => controls::run(&args, &connection, output).await,
        PluginCommand::Sources(args) => sources::run(&args, &connection, output).await,
        PluginCommand::Reconcile(args) => reconcile::run(&args, &connection, output).await,
        PluginCommand::Completion(args) => completion::script(&args),
    }
}
