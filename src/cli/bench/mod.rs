//! `provost bench`: load for a server, and what it makes of it.

mod floor;
mod table;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::RangedU64ValueParser;
use tokio_util::sync::CancellationToken;

use super::print;
use super::stop::Stop;
use crate::app::bench::{Preparation, prepare, serve_nothing};
use crate::clock::{Entropy, SystemClock, SystemEntropy};
use crate::files;
use crate::ids::Namespace;
use crate::simulator::load::{
    self, EnrollLoad, Enrolling, Load, Measured, ProxyLoad, Recruit, Report, certificate_request, enroll,
    read_fleet, read_invitations,
};
use floor::Floor;

/// Options of `provost bench`.
#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, clap::Subcommand)]
enum BenchCommand {
    /// Fill a new data directory with devices that have a past, and commands that wait for them.
    ///
    /// Start the server in it afterwards. The devices exist nowhere and share one key, which is thrown away: this is for measuring only.
    Prepare(PrepareArgs),
    /// Acknowledge commands: one unit is an acknowledgement that is answered by the next command.
    Checkin(ProxyArgs),
    /// Sync declarations: one unit is a device's tokens, items and every declaration.
    Ddm(ProxyArgs),
    /// Enrol devices, by a new key each; then measure handshakes with the certificates that they got.
    Enroll(EnrollArgs),
    /// Serve nothing: what `--floor` measures with.
    #[command(hide = true)]
    Nothing(NothingArgs),
}

#[derive(Debug, clap::Args)]
struct PrepareArgs {
    /// The data directory. It must be empty, or not be there.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Where to write who the devices are, for the measurements.
    #[arg(long, value_name = "FILE")]
    fleet: PathBuf,
    /// The fleet that the devices belong to.
    #[arg(short, long, value_name = "NS", default_value = "default")]
    namespace: String,
    /// How many devices.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    devices: u32,
    /// How many commands each of them has acknowledged.
    #[arg(long, value_name = "H", default_value_t = 20)]
    history: u32,
    /// How many commands wait for each of them.
    #[arg(long, value_name = "K", default_value_t = 20)]
    commands: u32,
}

/// How much of a load, and how to tell.
#[derive(Debug, clap::Args)]
struct LoadArgs {
    /// How many of the devices to use. Without it, all.
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    devices: Option<usize>,
    /// How many connections at a time.
    #[arg(long, value_name = "M", default_value_t = 64, value_parser = RangedU64ValueParser::<usize>::new().range(1..=60_000))]
    connections: usize,
    /// For how long.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// How to print what was measured.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

impl LoadArgs {
    const fn load(&self) -> Load {
        Load {
            connections: self.connections,
            time: Duration::from_secs(self.seconds),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Debug, clap::Args)]
struct ProxyArgs {
    /// The server's `--mdm-proxy-listen`, such as `http://127.0.0.1:8090`. It has to trust this computer (`--mdm-proxy-trust`).
    #[arg(long, value_name = "URL")]
    url: String,
    /// The header that takes the certificate, in the form of RFC 9440.
    #[arg(long, value_name = "NAME", default_value = "Client-Cert")]
    header: String,
    /// Who the devices are, as `provost bench prepare` wrote it.
    #[arg(long, value_name = "FILE")]
    fleet: PathBuf,
    /// Send the same requests to a server that does nothing too, before and after, in a process of its own on this computer. The ratio of both is
    /// what the server's work costs.
    #[arg(long)]
    floor: bool,
    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Debug, clap::Args)]
struct EnrollArgs {
    /// Invitations, as `provost enroll invite --output json` prints them.
    #[arg(long, value_name = "FILE")]
    invitations: PathBuf,
    /// What the server is trusted by, PEM: `ca.pem` in its data directory.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The same seed gives the same devices.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    load: LoadArgs,
}

#[derive(Debug, clap::Args)]
struct NothingArgs {
    /// Where to serve it.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

pub(super) async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        BenchCommand::Prepare(args) => fill(args).await,
        BenchCommand::Checkin(args) => as_proxy(args, Kind::CheckIn).await,
        BenchCommand::Ddm(args) => as_proxy(args, Kind::Declarations).await,
        BenchCommand::Enroll(args) => enrol(args).await,
        BenchCommand::Nothing(args) => nothing(args.listen).await,
    }
}

/// How many devices there are from one line of progress to the next.
const PROGRESS: usize = 10_000;

async fn fill(args: PrepareArgs) -> anyhow::Result<ExitCode> {
    let preparation = Preparation {
        data_dir: args.data_dir,
        namespace: Namespace::parse(&args.namespace).context("--namespace")?,
        devices: args.devices,
        history: args.history,
        commands: args.commands,
        request: certificate_request("bench")?,
    };
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let made = prepare(&preparation, &SystemClock, &entropy, |made| {
        if made.is_multiple_of(PROGRESS) {
            print::note(&format!("{made} devices"));
        }
    });
    let made = made.await?;
    let lines = made
        .iter()
        .map(|device| serde_json::to_string(&Recruit::new(device.udid.as_str(), &device.certificate)));
    let lines = lines.collect::<Result<Vec<_>, _>>()?.join("\n") + "\n";
    files::replace(&args.fleet, lines.as_bytes(), files::PRIVATE)
        .with_context(|| format!("{} cannot be written", args.fleet.display()))?;
    print::out(&format!(
        "{} devices in {}, each with {} commands done and {} to do; {} says who they are\n",
        made.len(),
        preparation.data_dir.display(),
        preparation.history,
        preparation.commands,
        args.fleet.display(),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// What is measured as by a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    CheckIn,
    Declarations,
}

async fn as_proxy(args: ProxyArgs, kind: Kind) -> anyhow::Result<ExitCode> {
    let fleet: Arc<[Recruit]> = read_fleet(&args.fleet, args.load.devices)?.into();
    let devices = fleet.len();
    let load = ProxyLoad {
        url: args.url,
        header: args.header,
        fleet,
        load: args.load.load(),
    };
    let floor = match args.floor {
        true => Some(Floor::start(&load).await?),
        false => None,
    };
    let mut floors = Vec::new();
    if let Some(floor) = &floor {
        floors.push(floor.measure().await?);
    }
    let measured = match kind {
        Kind::CheckIn => load::acknowledge(&load).await?,
        Kind::Declarations => load::sync(&load).await?,
    };
    if let Some(floor) = &floor {
        floors.push(floor.measure().await?);
    }
    let rate = match kind {
        Kind::CheckIn => measured.per_second,
        Kind::Declarations => measured.requests_per_second,
    };
    let ratio = floor::ratio(rate, &floors);
    let report = Report {
        connections: args.load.connections,
        devices,
        measured: [measured].into_iter().chain(floors).collect(),
        ratio,
    };
    tell(&report, args.load.output)
}

async fn enrol(args: EnrollArgs) -> anyhow::Result<ExitCode> {
    let invitations = read_invitations(&args.invitations, args.load.devices)?;
    let devices = invitations.len();
    let Enrolling {
        enrolments,
        handshakes,
    } = enroll(EnrollLoad {
        invitations,
        ca_pem: read(&args.ca)?,
        seed: args.seed,
        load: args.load.load(),
    })
    .await?;
    let report = Report {
        connections: args.load.connections,
        devices,
        measured: [enrolments].into_iter().chain(handshakes).collect(),
        ratio: None,
    };
    tell(&report, args.load.output)
}

/// Prints a report. It is a failure if nothing was done, or if anything went wrong.
fn tell(report: &Report, output: Output) -> anyhow::Result<ExitCode> {
    print::out(&match output {
        Output::Table => table::render(report),
        Output::Json => serde_json::to_string_pretty(report)? + "\n",
    })?;
    let went_well = |measured: &Measured| measured.count > 0 && measured.error_count() == 0;
    Ok(if report.measured.iter().all(went_well) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn nothing(listen: SocketAddr) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::listen()?;
    let shutdown = CancellationToken::new();
    let serving = serve_nothing(listen, shutdown.clone())?;
    print::out(&format!("ready http://{}\n", serving.address))?;
    stop.wait().await;
    shutdown.cancel();
    serving.task.await??;
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}
