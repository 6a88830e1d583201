//! `provost enrollments import` and `export`: moving a fleet from one server to another, without enrolling again.

mod export;
mod import;

use std::process::ExitCode;

/// Options of `provost enrollments`.
#[derive(Debug, clap::Args)]
pub(super) struct EnrollmentsArgs {
    #[command(subcommand)]
    command: EnrollmentsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum EnrollmentsCommand {
    /// Take over the enrolments of another server, as JSON lines.
    ///
    /// The devices do not enrol again: they come with the certificate, the push address and the secrets that the lines tell of. Start the server with
    /// --device-ca, and under the URL that the other server had. What a line may hold is told in docs/moving-in.md.
    ///
    /// Works whether or not a server runs in the data directory. The whole file is looked at before anything is changed; a file with a mistake in it
    /// changes nothing, unless --skip-bad-lines is given. The same file again changes nothing either, and what has been in contact since is left as it is.
    ///
    /// Ends with 0 when every line is in, 3 when bad lines were skipped, and 1 when nothing was changed.
    Import(import::ImportArgs),
    /// Write enrolments as JSON lines, which `provost enrollments import` reads.
    ///
    /// Push tokens, push magics, unlock tokens and bootstrap tokens are left out, unless --with-tokens is given.
    Export(export::ExportArgs),
}

pub(super) async fn run(args: EnrollmentsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        EnrollmentsCommand::Import(args) => import::run(args).await,
        EnrollmentsCommand::Export(args) => export::run(args).await,
    }
}
