//! `provost completions`: scripts for shells.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

/// Options of `provost completions`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    /// The shell. For bash: source <(provost completions bash)
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> ExitCode {
    clap_complete::generate(
        args.shell,
        &mut super::Cli::command(),
        "provost",
        &mut std::io::stdout(),
    );
    ExitCode::SUCCESS
}
