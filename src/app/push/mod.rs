//! Waking devices: from the store's change feed to the push service.

mod certificates;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::ids::{Digest, EnrollmentId, PushTopic};
use crate::mdm::enqueue::{NotWoken, Waker};
use crate::mdm::queue;
use crate::mdm::seen::SeenBatch;
use crate::push::schedule::{Pending, PushObserver, PushScheduler, PushTarget, ScheduleSettings, WakeUp};
use crate::push::{HeldCertificate, PushFolder, Topics};
use crate::store::{Change, EnrollmentState, PushRefusal, Store, StoreError, Wakeable};
use crate::telemetry::Chain;
use crate::telemetry::Metrics;

use super::listen::Tasks;
use super::settings::{PushService, PushSettings};
use certificates::Certificates;

/// Devices with pending work read at once at the start.
const PAGE: usize = 1_000;

/// The push service and what authenticates to it.
pub(super) struct Push {
    certificates: Certificates,
    /// Another service than Apple's, on this side of any limit of theirs.
    custom: bool,
}

impl Push {
    /// Reads the push certificates: those of the options, and those in `folder`.
    pub(super) fn new(settings: &PushSettings, folder: PathBuf, metrics: &Metrics) -> anyhow::Result<Self> {
        let custom = matches!(settings.service, PushService::Custom { .. });
        let certificates = Certificates::open(settings.clone(), PushFolder::new(folder), metrics)?;
        Ok(Self { certificates, custom })
    }

    /// Tells the topic that devices enrol with at the moment: that of the first push certificate, and `stand_in` while there is none.
    pub(super) fn enrolling(&self, stand_in: PushTopic) -> impl Fn() -> PushTopic + Send + Sync + 'static {
        let held = self.certificates.held();
        move || {
            let held = held.borrow();
            let of_new = held.first().and_then(|first| PushTopic::parse(&first.topic).ok());
            of_new.unwrap_or_else(|| stand_in.clone())
        }
    }

    /// Whether devices are woken at all.
    pub(super) fn wakes_devices(&self) -> bool {
        self.custom || !self.certificates.held().borrow().is_empty()
    }

    /// Tells whether devices of a topic can be woken. That those cannot which enrol while there is no certificate is no news.
    pub(super) fn reachable(&self) -> impl Fn(&PushTopic) -> bool + Send + Sync + 'static {
        let (topics, held) = (self.certificates.topics(), self.certificates.held());
        move |topic| topics.holds(topic.as_str()) || (is_stand_in(topic) && held.borrow().is_empty())
    }

    /// The push certificates, as they change.
    pub(super) fn held(&self) -> watch::Receiver<Vec<HeldCertificate>> {
        self.certificates.held()
    }

    /// Starts waking devices that have something pending. Gives what wakes them when somebody asks for it.
    pub(super) fn start(
        self,
        tasks: &Tasks,
        store: &Arc<dyn Store>,
        clock: &Arc<dyn Clock>,
        seen: &Arc<SeenBatch>,
        metrics: &Metrics,
    ) -> Arc<dyn Waker> {
        let mut settings = ScheduleSettings::default();
        if self.custom {
            settings.rate_per_second = 1_000.0;
            settings.burst = 1_000.0;
            settings.coalesce = Duration::from_secs(1);
        }
        let scheduler = PushScheduler::new(settings, clock.clone());
        let contacts = scheduler.clone();
        seen.listen(move |enrollment| contacts.seen(enrollment.as_str()));
        let pushes = Family::<Pushed, Counter>::default();
        metrics.register(|registry| {
            registry.register(
                "provost_pushes",
                "Pushes by what the service said",
                pushes.clone(),
            );
        });
        let asked = Arc::<Asked>::default();
        let observer = Arc::new(Observer {
            store: store.clone(),
            asked: asked.clone(),
            clock: clock.clone(),
            pushes,
        });
        let topics = self.certificates.topics();
        tasks.run(
            "waking devices",
            scheduler.clone().run(topics.clone(), observer, tasks.shutdown()),
        );
        tasks.run(
            "following pending work",
            follow(
                store.clone(),
                scheduler.clone(),
                topics.clone(),
                self.certificates.held(),
                tasks.shutdown(),
            ),
        );
        tasks.run(
            "following push certificates",
            self.certificates.follow(tasks.shutdown()),
        );
        Arc::new(Bell {
            store: store.clone(),
            scheduler,
            asked,
            topics,
        })
    }
}

/// The topic of enrolments made without a push certificate: of the right form, and always the same for one device authority.
pub(super) fn stand_in_topic(authority_pem: &str) -> anyhow::Result<PushTopic> {
    let digest = Digest::of(authority_pem.as_bytes());
    let uuid = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &digest.0);
    Ok(PushTopic::parse(&format!("com.apple.mgmt.External.{uuid}"))?)
}

/// Whether a topic is such a stand-in. They are told by their form: Apple's are random (version 4).
pub(super) fn is_stand_in(topic: &PushTopic) -> bool {
    let uuid = topic.as_str().strip_prefix("com.apple.mgmt.External.");
    uuid.and_then(|uuid| uuid::Uuid::try_parse(uuid).ok())
        .is_some_and(|uuid| uuid.get_version() == Some(uuid::Version::Sha1))
}

/// Tells the scheduler which devices have pending work, until `shutdown`. Of those that nothing can wake it hears when that changes.
async fn follow(
    store: Arc<dyn Store>,
    scheduler: PushScheduler,
    topics: Arc<Topics>,
    mut held: watch::Receiver<Vec<HeldCertificate>>,
    shutdown: CancellationToken,
) {
    let mut changes = store.changes();
    // A push address may have been refused for a certificate or a service that is no longer the one in use: each is tried once more.
    let (mut anew, mut all) = (true, true);
    loop {
        if anew {
            match store.readmit_push_addresses().await {
                Ok(_) => (anew, all) = (false, true),
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "push addresses that were refused could not be tried again");
                }
            }
        }
        if all {
            match every_pending(&store, &scheduler, &topics).await {
                Ok(()) => all = false,
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "devices with pending work could not be listed");
                }
            }
        }
        let change = tokio::select! {
            () = shutdown.cancelled() => return,
            change = changes.recv() => change,
            // There may be one now for devices that could not be woken before.
            Ok(()) = held.changed() => {
                anew = true;
                continue;
            }
        };
        match change {
            Ok(Change::Work(id)) => {
                if let Err(error) = wake(&store, &scheduler, &topics, &id).await {
                    tracing::warn!(device.id = %id.device(), error = %Chain(&error), "a device could not be scheduled for a push");
                    all = true;
                }
            }
            Ok(Change::Enrollment(_) | Change::Facts(_)) => {}
            Err(RecvError::Lagged(_)) => all = true,
            Err(RecvError::Closed) => return,
        }
    }
}

/// After a start, or when too much happened to follow.
async fn every_pending(
    store: &Arc<dyn Store>,
    scheduler: &PushScheduler,
    topics: &Topics,
) -> Result<(), StoreError> {
    let mut after: Option<EnrollmentId> = None;
    loop {
        let page = store.with_pending(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.clone());
        for id in &page {
            wake(store, scheduler, topics, id).await?;
        }
    }
}

async fn wake(
    store: &Arc<dyn Store>,
    scheduler: &PushScheduler,
    topics: &Topics,
    id: &EnrollmentId,
) -> Result<(), StoreError> {
    if let Some(found) = store.wakeable(id).await?
        && topics.holds(found.address.topic.as_str())
    {
        schedule(scheduler, id, &found);
    }
    Ok(())
}

fn schedule(scheduler: &PushScheduler, id: &EnrollmentId, found: &Wakeable) {
    let Wakeable {
        address, last_seen, ..
    } = found;
    let target = PushTarget {
        token: address.token.reveal().clone(),
        push_magic: address.magic.reveal().clone(),
        topic: address.topic.as_str().into(),
    };
    scheduler.wake([WakeUp {
        device: id.as_str().into(),
        target,
        last_seen: *last_seen,
    }]);
}

/// Enrolments that somebody wants woken, until they are: no more than there are.
type Asked = Mutex<HashSet<EnrollmentId>>;

/// Wakes devices for whoever asks, whether or not something waits for them.
struct Bell {
    store: Arc<dyn Store>,
    scheduler: PushScheduler,
    asked: Arc<Asked>,
    topics: Arc<Topics>,
}

impl Waker for Bell {
    fn wake<'a>(
        &'a self,
        enrollments: &'a [EnrollmentId],
    ) -> BoxFuture<'a, Result<Vec<(EnrollmentId, NotWoken)>, StoreError>> {
        Box::pin(async move {
            let mut failures = Vec::new();
            for id in enrollments {
                let why = match self.store.wakeable(id).await? {
                    Some(found) if found.refused.is_some() => NotWoken::Refused,
                    None => NotWoken::NoAddress,
                    Some(found) if !self.topics.holds(found.address.topic.as_str()) => {
                        NotWoken::NoCertificate
                    }
                    Some(found) => {
                        // First, so that the scheduler finds it.
                        wanted(&self.asked).insert(id.clone());
                        schedule(&self.scheduler, id, &found);
                        continue;
                    }
                };
                failures.push((id.clone(), why));
            }
            Ok(failures)
        })
    }
}

fn wanted(asked: &Asked) -> MutexGuard<'_, HashSet<EnrollmentId>> {
    asked.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Pushed {
    result: &'static str,
}

struct Observer {
    store: Arc<dyn Store>,
    asked: Arc<Asked>,
    clock: Arc<dyn Clock>,
    pushes: Family<Pushed, Counter>,
}

impl PushObserver for Observer {
    fn pending<'a>(&'a self, device: &'a str) -> BoxFuture<'a, Pending> {
        Box::pin(async move {
            let Ok(id) = EnrollmentId::parse_with_user(device) else {
                return Pending::Nothing;
            };
            let asked = wanted(&self.asked).remove(&id);
            // What cannot be read is taken for pending: a push too many does no harm, one too few does.
            let state = match self.store.enrollment(&id).await {
                // It comes by itself, or not at all.
                Ok(Some(enrollment)) if enrollment.push_refused.is_some() => return Pending::Nothing,
                Ok(Some(enrollment)) => enrollment.state,
                Ok(None) => return Pending::Nothing,
                Err(_) => return Pending::Work,
            };
            match state {
                // It has ended, or begun anew: no address that is known is good any longer.
                EnrollmentState::Ended | EnrollmentState::Authenticated => Pending::Nothing,
                EnrollmentState::Removing => Pending::Work,
                EnrollmentState::Enrolled if asked => Pending::Work,
                EnrollmentState::Enrolled => match self.store.pending(&id).await {
                    Ok(pending) if pending.is_empty() => Pending::Nothing,
                    Ok(pending) => match queue::deferred(&pending, self.clock.now()) {
                        Some(times) => Pending::Deferred { times },
                        None => Pending::Work,
                    },
                    Err(_) => Pending::Work,
                },
            }
        })
    }

    fn unregistered<'a>(
        &'a self,
        device: &'a str,
        token: &'a [u8],
        since: Option<Timestamp>,
    ) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let Ok(id) = EnrollmentId::parse_with_user(device) else {
                return true;
            };
            match self.store.drop_push_address(&id, token, since).await {
                Ok(dropped) => dropped,
                Err(error) => {
                    tracing::warn!(device.id = %id.device(), error = %Chain(&error), "a dead push address could not be dropped");
                    false
                }
            }
        })
    }

    fn refused<'a>(&'a self, device: &'a str, token: &'a [u8], reason: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let Ok(id) = EnrollmentId::parse_with_user(device) else {
                return;
            };
            let refusal = reason.parse().unwrap_or(PushRefusal::BadDeviceToken);
            if let Err(error) = self.store.refuse_push_address(&id, token, refusal).await {
                tracing::warn!(device.id = %id.device(), error = %Chain(&error), "a refused push address could not be noted");
            }
        })
    }

    fn pushed(&self, category: &'static str) {
        self.pushes.get_or_create(&Pushed { result: category }).inc();
    }
}
