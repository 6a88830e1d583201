//! `provost completions`: scripts for shells.

use std::process::ExitCode;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use super::print;

/// Options of `provost completions`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell. For bash: source <(provost completions bash)
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    print::out(&script(args.shell, &mut super::Cli::command(), "provost"))?;
    Ok(ExitCode::SUCCESS)
}

/// The completion script of a command for a shell.
pub(super) fn script(shell: Shell, command: &mut Command, name: &str) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}
