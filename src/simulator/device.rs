//! A device's life: enrol, then wait for a push, the timer or an order, be in contact, and wait again.
//!
//! It never gives up: while the server is away it tries again with growing, jittered pauses and keeps its identity
//! and its state. Only a refusal to enrol, an answer that ends the enrolment, or the end of the simulation ends it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::apns::{FakeApns, PushSink};
use super::enroll::{
    self, Enrollment, IdentityRequest, Invitation, PushAddress, PushToken, WayIn, user_token,
};
use super::events::{Event, count};
use super::identity::keys::RsaKeys;
use super::link::Link;
use super::mailbox::{Mailbox, Phase};
use super::seed::Seed;
use super::session::{Common, Ended, Left, Memory, Reporting, Session, SyncRequest};
use super::state::DeviceState;
use super::trust::Trust;
use crate::telemetry::Chain;

/// The waits of a device.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Between polls that nobody asked for.
    pub poll: Duration,
    /// How long a connection is kept after a contact, in case more is to come.
    pub linger: Duration,
    /// After a `NotNow`; doubles each time, up to sixteen times it.
    pub put_off: Duration,
    /// After the first failed contact; doubles each time.
    pub retry_first: Duration,
    /// After many failed contacts.
    pub retry_cap: Duration,
    /// Between two complete status reports.
    pub full_report: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            poll: Duration::from_mins(15),
            linger: Duration::from_millis(500),
            put_off: Duration::from_secs(3),
            retry_first: Duration::from_millis(500),
            retry_cap: Duration::from_secs(20),
            full_report: Duration::from_hours(24),
        }
    }
}

/// What all devices of a fleet share.
pub(super) struct World {
    pub(super) apns: FakeApns,
    pub(super) trust: Trust,
    pub(super) way_in: WayIn,
    pub(super) keys: RsaKeys,
    pub(super) common: Common,
    /// Bounds connected devices.
    pub(super) connections: Arc<Semaphore>,
    /// Bounds enrolling devices.
    pub(super) enrolling: Semaphore,
    pub(super) timing: Timing,
    pub(super) events: tokio::sync::mpsc::UnboundedSender<Event>,
    pub(super) stop: CancellationToken,
}

impl World {
    pub(super) fn tell(&self, event: Event) {
        // Nobody listens any more: the simulation is ending.
        let _ = self.events.send(event);
    }
}

/// A device before its first contact.
pub(super) struct Device {
    pub(super) world: Arc<World>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) token: PushToken,
    pub(super) state: Box<DeviceState>,
    pub(super) seed: Seed,
}

/// When a waiting device acts by itself.
#[derive(Debug, Clone, Copy)]
struct Alarms {
    next_contact: Instant,
    close: Option<Instant>,
}

impl Device {
    /// Lives until the end. The large parts are boxed, so that a device that waits costs little memory.
    pub(super) async fn live(mut self, invitation: Invitation) {
        let stop = self.world.stop.clone();
        let Some(enrolled) = stop.run_until_cancelled(Box::pin(self.enroll(invitation))).await else {
            return;
        };
        let Some(enrollment) = enrolled else { return };
        stop.run_until_cancelled(self.serve(enrollment)).await;
    }

    /// Enrols, however long it takes; `None` if the server will not have the device.
    async fn enroll(&mut self, invitation: Invitation) -> Option<Enrollment> {
        let anonymous = match self.world.trust.anonymous() {
            Ok(tls) => Arc::new(tls),
            Err(error) => return self.refused(&error),
        };
        let world = Arc::clone(&self.world);
        let request = IdentityRequest::new(world.way_in, &self.state.identity.udid, &world.keys).await;
        let mut request = match request {
            Ok(request) => request,
            Err(error) => return self.refused(&error),
        };
        let mut failures = 0;
        let enrollment = loop {
            let turn = world.enrolling.acquire().await.ok()?;
            let mut link = Link::new(Arc::clone(&anonymous), Arc::clone(&world.connections), None);
            match request.redeem(&invitation, &world.trust, &mut link).await {
                Ok(enrollment) => break enrollment,
                Err(error) if error.is_passing() => {
                    drop(turn);
                    self.pause(&mut failures, &error).await;
                }
                Err(error) => return self.refused(&error),
            }
        };
        self.announce(&enrollment, &mut failures).await?;
        Some(enrollment)
    }

    async fn announce(&mut self, enrollment: &Enrollment, failures: &mut u32) -> Option<()> {
        let world = Arc::clone(&self.world);
        let user = self.state.identity.user.as_ref();
        for token in [Some(self.token), user.map(|_| user_token(&self.token))]
            .into_iter()
            .flatten()
        {
            let sink = Arc::<Mailbox>::clone(&self.mailbox) as Arc<dyn PushSink>;
            world
                .apns
                .attach(token.to_vec(), Arc::clone(&enrollment.topic), sink);
            world.apns.connect(&token, self.mailbox.is_online());
        }
        let user_magic = self.mailbox.user_magic();
        loop {
            let turn = world.enrolling.acquire().await.ok()?;
            let mut link = enrollment.link(&world.connections);
            let push = PushAddress {
                token: &self.token,
                magic: self.mailbox.magic(),
                user_magic: &user_magic,
            };
            match enroll::announce(&mut link, enrollment, &self.state.identity, &push).await {
                Ok(()) => {
                    self.mailbox.set_phase(Phase::Enrolled);
                    return Some(());
                }
                Err(Ended::Unenrolled { reason }) => {
                    self.unenroll(reason);
                    return None;
                }
                Err(error) => {
                    drop(turn);
                    self.pause(failures, &error).await;
                }
            }
        }
    }

    /// Contacts and waits, until the enrolment ends.
    async fn serve(&mut self, enrollment: Enrollment) {
        let mut memory = Memory::default();
        let mut link = enrollment.link(&self.world.connections);
        let (mut failures, mut put_offs) = (0_u32, 0_u32);
        let mut next_full_report = Instant::now() + self.world.timing.full_report;
        loop {
            if Instant::now() >= next_full_report {
                next_full_report = Instant::now() + self.world.timing.full_report;
                if let Some(reporting) = &mut memory.declarative {
                    *reporting = Reporting::Everything;
                    memory.sync.get_or_insert_default();
                }
            }
            let contact = Box::pin(self.contact(&enrollment, &mut memory, &mut link)).await;
            let pause = match contact {
                Ok(left) => {
                    failures = 0;
                    self.after_contact(left, &mut memory, &mut put_offs)
                }
                Err(Ended::Unenrolled { reason }) => return self.unenroll(reason),
                Err(Ended::Trouble { what, after }) => {
                    tracing::debug!(device.udid = self.state.identity.udid, what, "a contact failed");
                    link.close();
                    self.backoff(&mut failures).max(after.unwrap_or_default())
                }
            };
            let now = Instant::now();
            let close = link.is_open().then(|| now + self.linger());
            let alarms = Alarms {
                next_contact: (now + pause).min(next_full_report),
                close,
            };
            self.wait(alarms, &mut link).await;
        }
    }

    async fn contact(
        &mut self,
        enrollment: &Enrollment,
        memory: &mut Memory,
        link: &mut Link,
    ) -> Result<Left, Ended> {
        let Self {
            world,
            state,
            seed,
            mailbox,
            ..
        } = self;
        memory.user_is_called |= mailbox.take_user_push();
        Session {
            state,
            memory,
            seed,
            link,
            enrollment,
            common: &world.common,
        }
        .run()
        .await
    }

    /// Draws the consequences of a good contact; returns how long to wait for the next one.
    fn after_contact(&mut self, left: Left, memory: &mut Memory, put_offs: &mut u32) -> Duration {
        if let Some(drift) = self.state.take_corrected() {
            count(&self.world.common.counters.corrected);
            let device = self.state.identity.udid.clone();
            self.world.tell(Event::Corrected {
                device,
                kind: drift.word(),
            });
        }
        let is_synced = memory.declarative.is_some() || !self.state.identity.is_declarative();
        if is_synced && !left.put_off && !left.incomplete {
            self.mailbox.set_phase(Phase::Synced);
        }
        if left.incomplete {
            memory.sync = Some(SyncRequest::default());
        }
        if left.put_off || left.incomplete {
            *put_offs = put_offs.saturating_add(1);
            let doubled = self
                .world
                .timing
                .put_off
                .saturating_mul(1 << (*put_offs - 1).min(4));
            return self.jittered(doubled);
        }
        *put_offs = 0;
        self.jittered(self.world.timing.poll)
    }

    /// Waits for a reason to be in contact: a push, a drift, or the time.
    async fn wait(&mut self, mut alarms: Alarms, link: &mut Link) {
        loop {
            let drifted = self.obey_drift();
            let pushed = self.mailbox.take_push();
            if pushed {
                count(&self.world.common.counters.pushes);
            }
            let now = Instant::now();
            let is_online = self.mailbox.is_online();
            if pushed || drifted || self.mailbox.has_user_push() {
                alarms.next_contact = now;
            }
            if is_online && now >= alarms.next_contact {
                return;
            }
            if !is_online || alarms.close.is_some_and(|close| now >= close) {
                link.close();
                alarms.close = None;
            }
            let wake = match (is_online, alarms.close) {
                (true, close) => {
                    Some(close.map_or(alarms.next_contact, |close| close.min(alarms.next_contact)))
                }
                (false, _) => None,
            };
            tokio::select! {
                () = self.mailbox.news() => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Drifts if ordered to; true if it did.
    fn obey_drift(&mut self) -> bool {
        let Some(reply) = self.mailbox.take_drift() else {
            return false;
        };
        let drift = self.state.drift(&mut self.seed).map(|drift| drift.word());
        if drift.is_some() {
            count(&self.world.common.counters.drifted);
        }
        // Whoever ordered it may have stopped waiting.
        let _ = reply.send(drift);
        // Without declarations a device has no way to tell: the server finds out when it asks.
        drift.is_some() && self.state.identity.is_declarative()
    }

    /// A connection is kept only while there is no shortage of them.
    fn linger(&self) -> Duration {
        if self.world.connections.available_permits() == 0 {
            Duration::ZERO
        } else {
            self.world.timing.linger
        }
    }

    async fn pause(&mut self, failures: &mut u32, error: &(impl std::fmt::Display + Sync)) {
        tracing::debug!(device.udid = self.state.identity.udid, %error,
            "enrolment failed and is tried again"
        );
        let pause = self.backoff(failures);
        tokio::time::sleep(pause).await;
    }

    /// The pause after another failure.
    fn backoff(&mut self, failures: &mut u32) -> Duration {
        count(&self.world.common.counters.retries);
        let Timing {
            retry_first,
            retry_cap,
            ..
        } = self.world.timing;
        let pause = retry_first
            .saturating_mul(1 << (*failures).min(16))
            .min(retry_cap);
        *failures = failures.saturating_add(1);
        self.jittered(pause)
    }

    /// Between a half and the whole of `pause`, so that devices do not act in step.
    fn jittered(&mut self, pause: Duration) -> Duration {
        pause.mul_f64(0.5 + self.seed.fraction() / 2.0)
    }

    fn refused(&self, error: &(dyn std::error::Error + 'static)) -> Option<Enrollment> {
        count(&self.world.common.counters.refused);
        self.mailbox.set_phase(Phase::Gone);
        let device = self.state.identity.udid.clone();
        self.world.tell(Event::Refused {
            device,
            reason: Chain(error).to_string(),
        });
        None
    }

    fn unenroll(&mut self, reason: String) {
        self.world.apns.detach(&self.token);
        self.world.apns.detach(&user_token(&self.token));
        self.state.leave_management();
        self.mailbox.set_phase(Phase::Gone);
        count(&self.world.common.counters.unenrolled);
        let device = self.state.identity.udid.clone();
        self.world.tell(Event::Unenrolled { device, reason });
    }
}

/// Sleeps until a time, or for ever.
async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
