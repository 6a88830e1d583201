//! The command line: one file a subcommand.

mod bench;
mod commands;
mod completions;
mod crd;
mod demo;
mod door;
mod enroll;
mod enrollments;
mod explain;
mod frameworks;
mod lint;
mod mscp;
mod place;
mod plan;
mod plugin;
mod print;
mod progress;
mod push;
mod reference;
mod render;
mod schema;
mod serve;
mod server;
mod simulate;
mod socket;
mod standard;
mod stop;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::telemetry::{Chain, LogFormat, logging};

/// Keeps an Apple device fleet at the standard that git says it must meet, and proves it.
///
/// Begin with `provost demo`: it needs nothing else, and shows a commit making 200 simulated devices compliant.
#[derive(Debug, Parser)]
#[command(name = "provost", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: LogArgs,
}

/// How the program logs. Log lines go to standard error.
#[derive(Debug, Clone, clap::Args)]
pub struct LogArgs {
    /// How log lines look.
    #[arg(
        long,
        global = true,
        help_heading = "Logging",
        value_enum,
        env = "PROVOST_LOG_FORMAT",
        hide_env_values = true,
        default_value = "human"
    )]
    log_format: LogFormat,
    /// What is logged, such as `info` or `provost::mdm=debug,warn`. The demo logs warnings only, everything else `info`.
    #[arg(
        long,
        global = true,
        help_heading = "Logging",
        env = "PROVOST_LOG",
        hide_env_values = true,
        value_name = "FILTER"
    )]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in one process: Kubernetes API, controllers and device endpoint.
    Up(up::UpArgs),
    /// Run on a cluster: the device endpoint, and the controllers while this replica holds the lease.
    Serve(serve::ServeArgs),
    /// Watch a commit in git make a fleet of simulated devices compliant.
    Demo(demo::DemoArgs),
    /// Invite devices.
    Enroll(enroll::EnrollArgs),
    /// Move enrolments from one server to another.
    Enrollments(enrollments::EnrollmentsArgs),
    /// See and withdraw the commands that wait for a device.
    Commands(commands::CommandsArgs),
    /// Look after the certificate that wakes devices.
    Push(push::PushArgs),
    /// Run simulated Apple devices against a server.
    Simulate(crate::simulator::SimulateArgs),
    /// Measure how much a server can take.
    Bench(bench::BenchArgs),
    /// Find the mistakes of policy files, as a GitSource would, without a server
    ///
    /// Reads files and folders, or a rule library of mSCP, and judges them by the kinds of Provost and by Apple's schema. Each finding has its file, line and
    /// column, and what to do. What is clean here is taken by a GitSource.
    ///
    /// Ends with 0 where nothing was found or only warnings, 1 where there are mistakes (with --deny-warnings: or warnings), 2 where it could not look.
    ///
    ///   provost lint fleet baselines
    ///   provost lint ~/macos_security --format mscp
    ///   provost lint fleet -o github --deny-warnings     # annotations in a pull request
    ///   provost lint fleet -o sarif > lint.sarif         # for code scanning
    #[command(verbatim_doc_comment)]
    Lint(lint::LintArgs),
    /// Explain a rule: what it demands and why, what it puts on which devices, how it is checked, and what there is to know
    ///
    /// Reads the baselines that ship, or the files and folders that are named, or a rule library of mSCP. No server is needed.
    ///
    ///   provost explain system_settings_filevault_enforce
    ///   provost explain cis-macos/pwpolicy_length fleet
    ///   provost explain os_airdrop_disable ~/macos_security
    #[command(verbatim_doc_comment)]
    Explain(explain::ExplainArgs),
    /// Read a rule library of the macOS Security Compliance Project (mSCP): list, export and report on its baselines.
    Mscp(mscp::MscpArgs),
    /// Show what devices would get from a folder of policy: profiles, declarations, and which rule made which setting
    ///
    /// Reads the folder as a GitSource would (or a tree of mSCP), finds the assignments that are for the device, and compiles them as the server does. No
    /// server, cluster or network is needed, and the same folder gives the same files to the byte.
    ///
    /// Ends with 0, or with 1 where the folder would be refused; then each mistake is told with its file and line.
    ///
    ///   provost render fleet --device platform=macOS,os=26.0,enrollment=supervised
    ///   provost render fleet --device platform=macOS,os=26.0 --device platform=iOS,os=18.5,enrollment=user --out rendered
    ///   provost render ~/macos_security --baseline cis-lvl1-macos-26.0 --device platform=macOS,os=26.0 --out rendered
    ///   plutil -lint rendered/*/profiles/*.mobileconfig
    #[command(verbatim_doc_comment)]
    Render(Box<render::RenderArgs>),
    /// Show what a change in git means for devices: settings added, changed and removed, verdicts that flip, and what cannot be undone
    ///
    /// Compares two revisions of a local repository, each read as a GitSource would. With --fleet or --server, devices are counted and verdicts foretold;
    /// without, every class of devices that the policy names is looked at.
    ///
    /// Ends with 0 where nothing changes, 1 where something does, 2 where that cannot be told, such as because a revision would be refused.
    ///
    ///   provost plan --from main --to HEAD
    ///   provost plan --from origin/main --merge-base fleet -o markdown > comment.md
    ///   kubectl get devices -o json > devices.json && provost plan --from main --fleet devices.json fleet
    #[command(verbatim_doc_comment)]
    Plan(Box<plan::PlanArgs>),
    /// Look up the controls of frameworks, and what they have to do with each other.
    Frameworks(frameworks::FrameworksArgs),
    /// Make a table of Apple's schema, which content is checked against.
    Schema(schema::SchemaArgs),
    /// Print the custom resource definitions.
    Crd(crd::CrdArgs),
    /// Print a completion script for a shell.
    Completions(completions::CompletionsArgs),
    /// Print the documentation of the command line.
    #[command(hide = true)]
    Reference(reference::ReferenceArgs),
}

/// Runs the command line and says how it ended: 0 success, 1 failure, 2 wrong usage.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(called) = std::env::args_os().next().as_deref().and_then(plugin::Called::by) {
        return called.main();
    }
    let cli = Cli::parse();
    let quiet = matches!(
        cli.command,
        Command::Demo(_) | Command::Simulate(_) | Command::Bench(_) | Command::Plan(_) | Command::Render(_)
    );
    let filter = cli.log.log.clone().unwrap_or_else(|| {
        if quiet {
            "warn".to_owned()
        } else {
            "info".to_owned()
        }
    });
    if let Err(error) = logging::start(cli.log.log_format, &filter) {
        print::note(&format!("provost: {}", Chain(&error)));
        return ExitCode::FAILURE;
    }
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            print::note(&format!("provost: {}", Chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => runtime()?.block_on(up::run(args)),
        Command::Serve(args) => runtime()?.block_on(serve::run(args)),
        Command::Demo(args) => runtime()?.block_on(demo::run(args)),
        Command::Enroll(args) => runtime()?.block_on(enroll::run(args)),
        Command::Enrollments(args) => runtime()?.block_on(enrollments::run(args)),
        Command::Commands(args) => runtime()?.block_on(commands::run(args)),
        Command::Push(args) => runtime()?.block_on(push::run(args)),
        Command::Simulate(args) => runtime()?.block_on(simulate::run(args)),
        Command::Bench(args) => runtime()?.block_on(bench::run(args)),
        Command::Lint(args) => Ok(lint::run(&args)),
        Command::Explain(args) => explain::run(&args),
        Command::Mscp(args) => mscp::run(&args),
        Command::Render(args) => render::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Frameworks(args) => frameworks::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Crd(args) => crd::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Reference(args) => reference::run(&args),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
