//! `provost simulate`: a fleet as a process of its own, with orders on stdin and events on stdout.
//!
//! The process may start before its server: the push service is up at once (`ready`), invitations and the server's CA
//! can come with a later order. Every event is one JSON line on stdout; everything else goes to the log.

use std::collections::VecDeque;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::sync::mpsc;

use super::apns::{ApnsError, FakeApns, FakeApnsSettings, TlsIdentity, TlsIdentityError};
use super::control::Order;
use super::device::Timing;
use super::enroll::{Invitation, WayIn};
use super::events::{Event, Summary, peak_rss_bytes};
use super::fleet::{Fleet, FleetSettings};
use super::trust::TrustError;
use crate::telemetry::Chain;

/// How often the numbers are looked at.
const PROGRESS_EVERY: Duration = Duration::from_millis(300);
/// How often a file that is not there yet is looked for.
const FILE_POLL: Duration = Duration::from_millis(200);

/// Options of `provost simulate`.
#[derive(Debug, Clone, Args)]
pub struct SimulateArgs {
    /// Invitations, one JSON object {url, profile, challenge, expiresAt} a line. Waits until the file is there; without it,
    /// devices come with the order {"enroll":{"invitations":"FILE"}}.
    #[arg(long, value_name = "FILE")]
    pub invitations: Option<PathBuf>,
    /// How many of the invitations to use; without it, all.
    #[arg(long, value_name = "N")]
    pub devices: Option<usize>,
    /// The same seed gives the same devices.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// The CA of the server, PEM. Waits until the file is there.
    #[arg(long, value_name = "FILE")]
    pub ca: PathBuf,
    /// The address of the push service.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub apns_listen: SocketAddr,
    /// A certificate for the push service, PEM; without it, one is made. Providers must trust it or its issuer.
    #[arg(long, value_name = "FILE", requires = "apns_key")]
    pub apns_cert: Option<PathBuf>,
    /// The key of the push service's certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "apns_cert")]
    pub apns_key: Option<PathBuf>,
    /// Writes the certificate that providers have to trust to this file.
    #[arg(long, value_name = "FILE")]
    pub apns_ca_out: Option<PathBuf>,
    /// How many devices of a hundred are too old for declarative management.
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(..=100))]
    pub classic_percent: u8,
    /// How many Macs of a hundred have a managed user, with a channel of their own, and hand over a bootstrap token.
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(..=100))]
    pub users_percent: u8,
    /// How many devices may be connected at once.
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub connections: usize,
    /// How many devices may enrol at once.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub enrolling: usize,
    /// How devices come to their identity.
    #[arg(long, value_name = "WAY", value_enum, default_value_t)]
    pub enroll_by: WayIn,
    /// Seconds between polls that no push asked for.
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    pub poll_seconds: u64,
    /// Where orders come from; when their source ends, so does the simulation. Without it, it runs until Ctrl-C.
    #[arg(long, value_name = "SOURCE")]
    pub control: Option<Control>,
}

/// Where orders come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Control {
    /// JSON lines on standard input.
    Stdin,
}

/// Why a simulation cannot run.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// A file cannot be read.
    #[error("could not read {}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("could not write {}", path.display())]
    WriteFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An invitation is not as it should be.
    #[error("line {line} of {} is not an invitation", path.display())]
    ReadInvitation {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The push service's certificate cannot be used.
    #[error("could not prepare the push service's certificate")]
    PrepareCertificate(#[from] TlsIdentityError),
    /// The push service cannot start.
    #[error("could not start the push service")]
    StartPushService(#[from] ApnsError),
    /// The server's CA cannot be used.
    #[error("could not use the server's CA")]
    UseCa(#[from] TrustError),
    /// Events cannot be written.
    #[error("could not write to standard output")]
    WriteEvent(#[source] std::io::Error),
}

/// Runs a simulation until it is told to stop.
///
/// # Errors
/// [`SimulateError`]; once devices run, only a closed standard output ends it early.
pub async fn run(args: SimulateArgs) -> Result<(), SimulateError> {
    let apns = start_push_service(&args).await?;
    write_event(&Event::Ready {
        apns_url: apns.url(),
        apns_ca: apns.ca_pem().to_owned(),
    })?;
    let mut orders = Orders::listen(args.control);
    let Some(ca) = wait_for(&args.ca, &mut orders).await? else {
        return Ok(());
    };
    let (events, mut happenings) = mpsc::unbounded_channel();
    let fleet = Fleet::new(fleet_settings(&args), &ca, apns, events.clone())?;
    if let Some(path) = &args.invitations {
        let Some(text) = wait_for(path, &mut orders).await? else {
            return Ok(());
        };
        enroll(&fleet, path, &text, args.devices)?;
    }
    let ended = conduct(&fleet, &args, &mut orders, &mut happenings, &events).await;
    fleet.stop().await;
    happenings.close();
    while let Some(event) = happenings.recv().await {
        write_event(&event)?;
    }
    ended?;
    write_event(&Event::Summary(Summary {
        progress: fleet.progress(),
        peak_rss_bytes: peak_rss_bytes(),
    }))
}

/// Obeys orders and tells events, until the order to stop.
async fn conduct(
    fleet: &Fleet,
    args: &SimulateArgs,
    orders: &mut Orders,
    happenings: &mut mpsc::UnboundedReceiver<Event>,
    events: &mpsc::UnboundedSender<Event>,
) -> Result<(), SimulateError> {
    let mut told = None;
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut drifts = futures::stream::FuturesUnordered::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let progress = fleet.progress();
                if told.as_ref() != Some(&progress) {
                    write_event(&Event::Progress(progress.clone()))?;
                    told = Some(progress);
                }
            }
            Some(event) = happenings.recv() => write_event(&event)?,
            // Devices obey between contacts, so a drift must not hold up the other orders.
            Some(()) = futures::StreamExt::next(&mut drifts) => {}
            order = orders.next() => match order.as_deref().map(Order::parse) {
                None | Some(Ok(Order::Stop {})) => return Ok(()),
                Some(Ok(Order::Drift { count })) => drifts.push(fleet.drift(count)),
                Some(Ok(order)) => {
                    if let Err(error) = obey(fleet, args, order).await {
                        tell_error(events, &error);
                    }
                }
                Some(Err(error)) => tell_error(events, &error),
            },
        }
    }
}

async fn obey(fleet: &Fleet, args: &SimulateArgs, order: Order) -> Result<(), SimulateError> {
    match order {
        Order::Enroll { invitations } => {
            let text =
                tokio::fs::read_to_string(&invitations)
                    .await
                    .map_err(|source| SimulateError::ReadFile {
                        path: invitations.clone(),
                        source,
                    })?;
            enroll(fleet, &invitations, &text, args.devices)?;
        }
        Order::Offline { percent } => fleet.take_offline(percent),
        Order::Online {} => fleet.bring_online(),
        Order::NotNow { percent } => fleet.put_off(percent),
        Order::Status {} => write_event(&Event::Progress(fleet.progress()))?,
        Order::Drift { .. } | Order::Stop {} => {}
    }
    Ok(())
}

fn tell_error(events: &mpsc::UnboundedSender<Event>, error: &(dyn std::error::Error + 'static)) {
    // The receiver is the caller's own loop; it cannot be gone.
    let _ = events.send(Event::Error {
        message: Chain(error).to_string(),
    });
}

fn enroll(fleet: &Fleet, path: &Path, text: &str, limit: Option<usize>) -> Result<(), SimulateError> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let invitations: Vec<Invitation> = lines
        .take(limit.unwrap_or(usize::MAX))
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|source| SimulateError::ReadInvitation {
                path: path.to_owned(),
                line: number + 1,
                source,
            })
        })
        .collect::<Result<_, _>>()?;
    fleet.enroll(invitations);
    Ok(())
}

fn fleet_settings(args: &SimulateArgs) -> FleetSettings {
    FleetSettings {
        seed: args.seed,
        classic_percent: args.classic_percent,
        users_percent: args.users_percent,
        connections: args.connections,
        enrolling: args.enrolling,
        way_in: args.enroll_by,
        timing: Timing {
            poll: Duration::from_secs(args.poll_seconds),
            ..Timing::default()
        },
    }
}

async fn start_push_service(args: &SimulateArgs) -> Result<FakeApns, SimulateError> {
    let read = async |path: &Path| {
        let text = tokio::fs::read_to_string(path).await;
        text.map_err(|source| SimulateError::ReadFile {
            path: path.to_owned(),
            source,
        })
    };
    let identity = match (&args.apns_cert, &args.apns_key) {
        (Some(certificate), Some(key)) => {
            let chain = read(certificate).await?;
            TlsIdentity::from_pem(&chain, &read(key).await?, chain.clone())?
        }
        _ => TlsIdentity::generate(&["localhost", &args.apns_listen.ip().to_string()])?,
    };
    if let Some(path) = &args.apns_ca_out {
        let written = tokio::fs::write(path, identity.ca_pem()).await;
        written.map_err(|source| SimulateError::WriteFile {
            path: path.clone(),
            source,
        })?;
    }
    let settings = FakeApnsSettings {
        listen: args.apns_listen,
        identity,
        require_client_certificate: false,
    };
    Ok(FakeApns::start(settings).await?)
}

/// Orders, in the order they came.
struct Orders {
    coming: mpsc::Receiver<String>,
    /// Those that came before there were devices to obey them.
    early: VecDeque<String>,
}

impl Orders {
    fn listen(control: Option<Control>) -> Self {
        Self {
            coming: orders(control),
            early: VecDeque::new(),
        }
    }

    /// The next order; `None` when their source has ended.
    async fn next(&mut self) -> Option<String> {
        match self.early.pop_front() {
            Some(order) => Some(order),
            None => self.coming.recv().await,
        }
    }

    /// Puts the next order aside. False: it is the order to stop, or their source has ended.
    async fn put_aside(&mut self) -> bool {
        match self.coming.recv().await {
            Some(order) if !matches!(Order::parse(&order), Ok(Order::Stop {})) => {
                self.early.push_back(order);
                true
            }
            _ => false,
        }
    }
}

/// The orders, line by line; the channel closes when their source ends, or at Ctrl-C.
fn orders(control: Option<Control>) -> mpsc::Receiver<String> {
    let (obeyed, orders) = mpsc::channel(16);
    let (read, mut lines) = mpsc::channel(16);
    if control == Some(Control::Stdin) {
        let read = read.clone();
        // A thread of its own: a task that waits for a line would hold up the end of the runtime.
        std::thread::spawn(move || {
            for line in std::io::stdin().lines().map_while(Result::ok) {
                if read.blocking_send(Some(line)).is_err() {
                    return;
                }
            }
            // The reader below may be gone already; then there is nobody to tell.
            let _ = read.blocking_send(None);
        });
    }
    tokio::spawn(async move {
        // Without a source of orders this keeps the channel open until Ctrl-C.
        let _read = read;
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        loop {
            tokio::select! {
                heard = &mut interrupted => {
                    if let Err(error) = heard {
                        tracing::warn!(%error, "cannot listen for Ctrl-C");
                    }
                    return;
                }
                line = lines.recv() => {
                    let Some(line) = line.flatten() else { return };
                    if !line.trim().is_empty() && obeyed.send(line).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    orders
}

/// Reads a file as soon as it is there and not empty; `None` if the order to stop comes first. Other orders wait.
async fn wait_for(path: &Path, orders: &mut Orders) -> Result<Option<String>, SimulateError> {
    loop {
        match tokio::fs::read_to_string(path).await {
            Ok(text) if !text.is_empty() => return Ok(Some(text)),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(SimulateError::ReadFile {
                    path: path.to_owned(),
                    source,
                });
            }
        }
        tokio::select! {
            () = tokio::time::sleep(FILE_POLL) => {}
            more = orders.put_aside() => if !more {
                return Ok(None);
            },
        }
    }
}

fn write_event(event: &Event) -> Result<(), SimulateError> {
    let mut line = serde_json::to_string(event).map_err(|error| SimulateError::WriteEvent(error.into()))?;
    line.push('\n');
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(SimulateError::WriteEvent)
}
