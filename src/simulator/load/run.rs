//! A run: so many connections, for so long, each playing one device after the other.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::LoadError;
use super::caller::{Caller, Recruit};
use super::connection::Connection;
use super::measure::{Measured, Tally};

/// How long a connection that broke, or was refused, is left alone.
const PAUSE: Duration = Duration::from_millis(50);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of a load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Connections at a time.
    pub connections: usize,
    /// For how long.
    pub time: Duration,
}

/// A load that comes as by a proxy.
#[derive(Debug, Clone)]
pub struct ProxyLoad {
    /// The address that proxies come to, `http://…`.
    pub url: String,
    /// The header that holds the certificate.
    pub header: String,
    /// Who takes part.
    pub fleet: Arc<[Recruit]>,
    /// How much of it.
    pub load: Load,
}

impl ProxyLoad {
    fn authority(&self) -> Result<Arc<str>, LoadError> {
        let wrong = || LoadError::Address(self.url.clone());
        let uri: http::Uri = self.url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http"));
        let authority = authority.ok_or_else(wrong)?;
        Ok(match authority.port() {
            Some(_) => authority.as_str().into(),
            None => format!("{authority}:80").into(),
        })
    }

    /// Has every connection `play` until the time is over or there is nobody left.
    pub(super) async fn run<F>(
        &self,
        what: &'static str,
        turns: Turns,
        play: impl Fn(Worker) -> F,
    ) -> Result<Measured, LoadError>
    where
        F: Future<Output = Tally> + Send + 'static,
    {
        let (authority, header): (_, Arc<str>) = (self.authority()?, self.header.as_str().into());
        let turns = Arc::new(turns);
        let worker = |end| {
            let worker = Worker {
                caller: Caller::new(Arc::clone(&authority), Arc::clone(&header)),
                authority: Arc::clone(&authority),
                connection: None,
                tally: Tally::new(),
                turns: Arc::clone(&turns),
                end,
            };
            play(worker)
        };
        Ok(side_by_side(what, self.load, worker).await)
    }
}

/// Runs as many of `worker` as there are connections, each until the moment that it is given.
pub(super) async fn side_by_side<F>(what: &'static str, load: Load, worker: impl Fn(Instant) -> F) -> Measured
where
    F: Future<Output = Tally> + Send + 'static,
{
    // They start together, once all of them are there.
    let gate = Arc::new(Barrier::new(load.connections + 1));
    let started = Instant::now();
    let end = started + load.time;
    let mut workers = JoinSet::new();
    for _ in 0..load.connections {
        let (gate, playing) = (Arc::clone(&gate), worker(end));
        workers.spawn(async move {
            gate.wait().await;
            playing.await
        });
    }
    gate.wait().await;
    let mut total = Tally::new();
    while let Some(ended) = workers.join_next().await {
        match ended {
            Ok(tally) => total.add(tally),
            Err(error) => total.error(format!("defect: {error}")),
        }
    }
    total.measured(what, started.elapsed())
}

/// From one device to the next: a prime, so that everybody has a turn. Devices that were made one after the other lie side by side in a database,
/// and do not come to a server side by side.
const STRIDE: usize = 7_919;

/// The devices, handed out one by one.
pub(super) struct Turns {
    fleet: Arc<[Recruit]>,
    next: AtomicUsize,
    /// Whether it begins again at the end.
    round: bool,
}

impl Turns {
    /// Everybody once.
    pub(super) const fn once(fleet: Arc<[Recruit]>) -> Self {
        Self {
            fleet,
            next: AtomicUsize::new(0),
            round: false,
        }
    }

    /// Everybody, again and again.
    pub(super) fn round(fleet: Arc<[Recruit]>) -> Self {
        Self {
            round: true,
            ..Self::once(fleet)
        }
    }

    fn next(&self) -> Option<&Recruit> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let devices = self.fleet.len();
        if !self.round && turn >= devices {
            return None;
        }
        let stride = if devices.is_multiple_of(STRIDE) { 1 } else { STRIDE };
        let place = turn.checked_rem(devices)?.checked_mul(stride)?;
        self.fleet.get(place.checked_rem(devices)?)
    }
}

/// What plays on one connection.
pub(super) struct Worker {
    authority: Arc<str>,
    caller: Caller,
    connection: Option<Connection>,
    pub(super) tally: Tally,
    turns: Arc<Turns>,
    end: Instant,
}

impl Worker {
    /// The next device. None: it is over.
    pub(super) fn next(&self) -> Option<Recruit> {
        if self.goes_on() {
            self.turns.next().cloned()
        } else {
            None
        }
    }

    pub(super) fn goes_on(&self) -> bool {
        Instant::now() < self.end
    }

    /// Reports: Idle, or the acknowledgement of a command. False: there is no answer, or none that is good, and that has been counted.
    pub(super) async fn report(&mut self, device: &Recruit, acknowledged: Option<&str>) -> bool {
        let request = self.caller.report(device, acknowledged);
        let answered = answer(&mut self.connection, &self.authority, request).await;
        self.count(answered).await
    }

    /// Takes a step of declarative management, as [`Self::report`].
    pub(super) async fn declarative(&mut self, device: &Recruit, endpoint: &str) -> bool {
        let request = self.caller.declarative(device, endpoint);
        let answered = answer(&mut self.connection, &self.authority, request).await;
        self.count(answered).await
    }

    /// The body of the last answer.
    pub(super) fn body(&self) -> &[u8] {
        self.connection.as_ref().map(Connection::body).unwrap_or_default()
    }

    async fn count(&mut self, answered: io::Result<u16>) -> bool {
        match answered {
            Ok(200) => {
                self.tally.answered();
                return true;
            }
            Ok(status) => self.tally.error(format!("HTTP {status}")),
            Err(error) => self.tally.error(format!("connection: {error}")),
        }
        tokio::time::sleep(PAUSE).await;
        false
    }
}

/// Sends a request. A connection that fails is given up.
async fn answer(connection: &mut Option<Connection>, authority: &str, request: &[u8]) -> io::Result<u16> {
    let exchange = async {
        let mut open = match connection.take() {
            Some(open) => open,
            None => Connection::open(authority).await?,
        };
        let status = open.exchange(request).await?;
        *connection = Some(open);
        Ok(status)
    };
    match tokio::time::timeout(PATIENCE, exchange).await {
        Ok(answered) => answered,
        Err(_) => Err(io::Error::other("no answer in time")),
    }
}
