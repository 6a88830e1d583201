//! `provost demo`: a commit in a real git repository makes a fleet of simulated devices compliant, over real TLS, in one command.
//!
//! The server runs in this process, the devices in a child process that knows Apple's protocol and nothing of the server.

mod fleet;
mod picture;
mod policy;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

/// Options of `provost demo`.
#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// How many devices to simulate.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    devices: u32,
    /// End with a summary, and with a failure if anything ended wrong. Without it the demo stays up for kubectl until Ctrl-C.
    #[arg(long)]
    once: bool,
    /// How to print the summary: for people, or as one JSON line, the last on standard output.
    #[arg(short, long, value_enum, default_value = "human")]
    output: Output,
    /// Keep everything in this directory, which must be new or empty. Without it a temporary one is used and removed.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The same seed gives the same devices.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Human,
    Json,
}

pub(super) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let temporary = match &args.data_dir {
        Some(_) => None,
        None => Some(Temporary::new()?),
    };
    let directory = match (&args.data_dir, &temporary) {
        (Some(given), _) => given.clone(),
        (None, Some(temporary)) => temporary.0.clone(),
        (None, None) => unreachable!("a directory is given or made"),
    };
    let summary = story::tell(&args, &directory).await?;
    Ok(if summary.good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A directory that goes when the demo does.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("provost-demo-{}", std::process::id()));
        std::fs::create_dir(&path)
            .with_context(|| format!("{} cannot be made; use --data-dir", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What is left behind lies among the temporary files, where the system cleans up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
