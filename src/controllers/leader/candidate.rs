//! The candidate: reads and writes the Lease by the [rule](super::election), and runs the controllers while it is held.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Entropy};
use crate::controllers::error::is_not_found;
use crate::telemetry::Chain;
use crate::telemetry::cluster::ClusterMetrics;

use super::election::{Election, Record, Step, Timing};
use super::term::Term;

/// The name of the Lease.
pub const LEASE: &str = "provost";
/// How long handing the lease back may take.
const RELEASE_PATIENCE: Duration = Duration::from_secs(2);

/// What runs while the lease is held, until the term is stopped.
pub type Work = Arc<dyn Fn(Term) -> BoxFuture<'static, ()> + Send + Sync>;

/// Who wants to lead.
pub struct Candidate {
    api: Api<Lease>,
    identity: String,
    timing: Timing,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    metrics: ClusterMetrics,
    election: Election,
    /// The Lease as it was last read or written; the next write is made on condition that it is still so.
    lease: Option<Lease>,
    /// What the election's times are counted from.
    start: Instant,
    /// The holder that was last spoken of.
    followed: Option<String>,
    /// Whether the last attempt failed; only the first of a row is worth a warning.
    troubled: bool,
}

impl Candidate {
    /// A candidate for the Lease in `namespace`. No two processes have the same identity.
    #[must_use]
    pub fn new(
        client: Client,
        namespace: &str,
        identity: String,
        timing: Timing,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        metrics: ClusterMetrics,
    ) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            election: Election::new(identity.clone(), timing),
            identity,
            timing,
            clock,
            entropy,
            metrics,
            lease: None,
            start: Instant::now(),
            followed: None,
            troubled: false,
        }
    }

    /// Stands for election again and again, and runs `work` in each term. Ends when `shutdown` does, or when the work ends though
    /// nobody has told it to.
    pub async fn run(mut self, work: Work, shutdown: CancellationToken) {
        loop {
            let Some(term) = self.stand(&shutdown).await else {
                return;
            };
            tracing::info!(
                lease.identity = self.identity,
                lease.transitions = term.transitions(),
                "leading"
            );
            self.metrics.leader.set(1);
            let go_on = self.lead(&term, &work, &shutdown).await;
            self.metrics.leader.set(0);
            if !go_on {
                return;
            }
        }
    }

    /// Waits for the lease. None: there was no need any more.
    async fn stand(&mut self, shutdown: &CancellationToken) -> Option<Term> {
        loop {
            let attempt = self.attempt();
            tokio::select! {
                () = shutdown.cancelled() => return None,
                () = attempt => {}
            }
            let now = self.now();
            let (Some(until), true) = (self.election.leads_until(), self.election.leads(now)) else {
                self.follow();
                let pause = self.pause();
                let pause = match self.election.next(now) {
                    Step::Follow(free_at) => pause.min(free_at.saturating_sub(now)),
                    Step::Claim | Step::Lost => pause,
                };
                tokio::select! {
                    () = shutdown.cancelled() => return None,
                    () = sleep(pause) => continue,
                }
            };
            self.followed = None;
            let transitions = self.lease.as_ref().map_or(0, |lease| record(lease).transitions);
            self.metrics.transitions.set(i64::from(transitions));
            return Some(Term::new(self.start + until, transitions));
        }
    }

    /// Says once whom this candidate follows.
    fn follow(&mut self) {
        let holder = self.election.holder();
        if holder != self.followed.as_deref() {
            self.followed = holder.map(str::to_owned);
            if let Some(holder) = holder {
                tracing::info!(lease.holder = holder, "standing by");
            }
        }
        if let Some(lease) = &self.lease {
            self.metrics.transitions.set(i64::from(record(lease).transitions));
        }
    }

    /// Runs the work for one term. False: there is nothing more to stand for.
    async fn lead(&mut self, term: &Term, work: &Work, shutdown: &CancellationToken) -> bool {
        let mut running = tokio::spawn(work(term.clone()));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => {
                    // The lease is still held: what is under way may be finished within the term.
                    term.stop().cancel();
                    end(&mut running, term.until()).await;
                    term.end();
                    self.release().await;
                    return false;
                }
                ended = &mut running => {
                    term.end();
                    if let Err(error) = ended {
                        tracing::error!(%error, "the controllers failed");
                    }
                    self.release().await;
                    return false;
                }
                () = sleep_until(term.until()) => {}
                () = sleep(self.timing.retry) => {
                    let _ = timeout_at(term.until(), self.attempt()).await;
                }
            }
            let now = self.now();
            match (self.election.leads(now), self.election.leads_until()) {
                (true, Some(until)) => term.renew(self.start + until),
                _ => break,
            }
        }
        term.end();
        self.election.give_up();
        tracing::warn!(
            lease.holder = self.election.holder(),
            "the lease is lost: the controllers stop, devices are still served"
        );
        // Nothing is written any more; half of what is left until another may begin is for what stops by itself.
        let reserve = self.timing.lease.saturating_sub(self.timing.renew_deadline) / 2;
        end(&mut running, Instant::now() + reserve).await;
        true
    }

    /// One attempt to learn how the lease stands and to claim or renew it. What fails is tried again at the next.
    async fn attempt(&mut self) {
        // No longer than lets a second attempt follow within the term.
        let patience = self.timing.renew_deadline / 2;
        let trouble = match timeout(patience, self.try_attempt()).await {
            Ok(Ok(())) => None,
            // Another was quicker: that is how it works.
            Ok(Err(kube::Error::Api(status))) if status.code == 409 => {
                self.lease = None;
                return;
            }
            Ok(Err(error)) => Some(Chain(&error).to_string()),
            Err(_) => Some("the Kubernetes API did not answer in time".to_owned()),
        };
        if let Some(error) = &trouble {
            self.lease = None;
            if !self.troubled {
                tracing::warn!(
                    error,
                    "the lease cannot be read or written; this is tried again and again"
                );
            }
        }
        self.troubled = trouble.is_some();
    }

    async fn try_attempt(&mut self) -> kube::Result<()> {
        // A holder knows the Lease from its last write. If another has written since, the write is refused and the next attempt reads.
        let known = self.election.leads(self.now()) && self.lease.is_some();
        if !known {
            self.lease = self.api.get_opt(LEASE).await?;
            if let Some(lease) = &self.lease {
                let now = self.start.elapsed();
                self.election.observe(&record(lease), now);
            }
        }
        if self.election.next(self.now()) != Step::Claim {
            return Ok(());
        }
        let claim = self.election.claim(self.clock.now());
        let sent = self.now();
        let written = self.write(&claim).await?;
        self.election.claimed(record(&written), sent, self.now());
        self.lease = Some(written);
        Ok(())
    }

    /// Writes a record in place of the one that was last read; refused when it is not there any more.
    async fn write(&self, record: &Record) -> kube::Result<Lease> {
        if let Some(mut lease) = self.lease.clone() {
            lease.spec = Some(spec(record));
            return self.api.replace(LEASE, &PostParams::default(), &lease).await;
        }
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(LEASE.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(spec(record)),
        };
        self.api.create(&PostParams::default(), &lease).await
    }

    /// Hands the lease back, so that the next need not wait for its end.
    async fn release(&mut self) {
        self.election.give_up();
        let release = async {
            // Read again: an answer may have been lost.
            self.lease = self.api.get_opt(LEASE).await?;
            let Some(lease) = &self.lease else { return Ok(()) };
            self.election.observe(&record(lease), self.start.elapsed());
            match self.election.release(self.clock.now()) {
                Some(free) => self.write(&free).await.map(drop),
                None => Ok(()),
            }
        };
        match timeout(RELEASE_PATIENCE, release).await {
            Ok(Ok(())) => tracing::info!("the lease is handed back"),
            Ok(Err(error)) if is_not_found(&error) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %Chain(&error), "the lease was not handed back and runs out");
            }
            Err(_) => tracing::warn!("the lease was not handed back in time and runs out"),
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The pause between two attempts of one who does not lead: up to twice the usual, so that many do not come in one moment.
    fn pause(&self) -> Duration {
        let mut jitter = [0];
        self.entropy.fill(&mut jitter);
        let [jitter] = jitter;
        self.timing.retry + self.timing.retry * u32::from(jitter) / 255
    }
}

/// Waits for work that was told to stop, and breaks it off at `deadline`.
async fn end(running: &mut JoinHandle<()>, deadline: Instant) {
    if timeout_at(deadline, &mut *running).await.is_err() {
        tracing::warn!("the controllers did not stop in time and are broken off");
        running.abort();
        let _ = running.await;
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.unwrap_or_default();
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        duration: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        transitions: spec.lease_transitions.unwrap_or_default(),
        acquired_at: spec.acquire_time.map(|time| time.0),
        renewed_at: spec.renew_time.map(|time| time.0),
    }
}

fn spec(record: &Record) -> LeaseSpec {
    let micro = |time: Option<Timestamp>| time.map(MicroTime);
    LeaseSpec {
        holder_identity: Some(record.holder.clone()),
        lease_duration_seconds: Some(i32::try_from(record.duration.as_secs()).unwrap_or(i32::MAX)),
        lease_transitions: Some(record.transitions),
        acquire_time: micro(record.acquired_at),
        renew_time: micro(record.renewed_at),
        ..LeaseSpec::default()
    }
}
