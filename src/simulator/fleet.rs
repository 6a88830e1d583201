//! Many devices in one process, and the orders that all of them take together.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::apns::FakeApns;
use super::device::{Device, Timing, World};
use super::enroll::{Invitation, WayIn, user_token};
use super::events::{Event, Progress};
use super::identity::keys::RsaKeys;
use super::mailbox::{Mailbox, Phase};
use super::model::Identity;
use super::seed::Seed;
use super::session::Common;
use super::state::DeviceState;
use super::trust::{Trust, TrustError};

/// The purposes of the fleet's own random choices, apart from the devices' numbers.
const CHOICES: u64 = 1 << 40;
/// How long a device may take to obey an order to drift; it obeys between contacts.
const OBEDIENCE: Duration = Duration::from_secs(90);
/// How long devices may take to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// What a fleet is made of.
#[derive(Debug, Clone)]
pub struct FleetSettings {
    /// The same seed gives the same devices.
    pub seed: u64,
    /// How many devices of a hundred have a system without declarative management.
    pub classic_percent: u8,
    /// How many Macs of a hundred have a managed user, with a channel of their own, and hand over a bootstrap token.
    pub users_percent: u8,
    /// How many devices may be connected at once.
    pub connections: usize,
    /// How many devices may enrol at once.
    pub enrolling: usize,
    /// How devices come to their identity.
    pub way_in: WayIn,
    /// The devices' waits.
    pub timing: Timing,
}

impl Default for FleetSettings {
    fn default() -> Self {
        Self {
            seed: 1,
            classic_percent: 10,
            users_percent: 10,
            connections: 128,
            enrolling: 64,
            way_in: WayIn::default(),
            timing: Timing::default(),
        }
    }
}

/// A device, as the fleet sees it.
struct Member {
    udid: String,
    token: [u8; 32],
    mailbox: Arc<Mailbox>,
}

struct Roll {
    members: Vec<Member>,
    choices: Seed,
}

/// A running fleet.
pub struct Fleet {
    settings: FleetSettings,
    world: Arc<World>,
    roll: Mutex<Roll>,
    tasks: TaskTracker,
}

impl Fleet {
    /// A fleet without devices. `ca_pem` vouches for the server; `events` hears what happens.
    ///
    /// # Errors
    /// [`TrustError`] when the CA is unusable.
    pub fn new(
        settings: FleetSettings,
        ca_pem: &str,
        apns: FakeApns,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Self, TrustError> {
        let world = World {
            apns,
            trust: Trust::new(ca_pem)?,
            way_in: settings.way_in,
            keys: RsaKeys::default(),
            common: Common::default(),
            connections: Arc::new(Semaphore::new(settings.connections.max(1))),
            enrolling: Semaphore::new(settings.enrolling.max(1)),
            timing: settings.timing.clone(),
            events,
            stop: CancellationToken::new(),
        };
        let roll = Roll {
            members: Vec::new(),
            choices: Seed::new(settings.seed, CHOICES),
        };
        Ok(Self {
            settings,
            world: Arc::new(world),
            roll: Mutex::new(roll),
            tasks: TaskTracker::new(),
        })
    }

    fn roll(&self) -> MutexGuard<'_, Roll> {
        self.roll.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one more device for each invitation and lets it enrol.
    pub fn enroll(&self, invitations: impl IntoIterator<Item = Invitation>) {
        for invitation in invitations {
            let mut roll = self.roll();
            let index = u64::try_from(roll.members.len()).unwrap_or(u64::MAX);
            let FleetSettings {
                seed,
                classic_percent,
                users_percent,
                ..
            } = self.settings;
            let identity = Identity::draw(seed, index, classic_percent);
            let mut identity = identity.with_user(seed, index, users_percent);
            if let Some(udid) = &invitation.udid {
                identity.udid.clone_from(udid);
            }
            if let Some(serial) = &invitation.serial {
                identity.serial.clone_from(serial);
            }
            // Other choices than those that drew the identity.
            let mut seed = Seed::new(!seed, index);
            let token = seed.bytes();
            let mailbox = Arc::new(Mailbox::new(seed.uuid().to_string()));
            let udid = identity.udid.clone();
            roll.members.push(Member {
                udid,
                token,
                mailbox: Arc::clone(&mailbox),
            });
            drop(roll);
            let state = Box::new(DeviceState::new(identity, &mut seed));
            let device = Device {
                world: Arc::clone(&self.world),
                mailbox,
                token,
                state,
                seed,
            };
            self.tasks.spawn(device.live(invitation));
        }
    }

    /// Lets up to `count` devices leave the wanted state, each in a way that it can be seen by, and tells which.
    pub async fn drift(&self, count: usize) {
        let mut devices = Vec::new();
        let mut kinds = Vec::new();
        let mut candidates = self.shuffled(|mailbox| mailbox.phase() == Phase::Synced && mailbox.is_online());
        while devices.len() < count && !candidates.is_empty() {
            let asked: Vec<_> = candidates
                .drain(..candidates.len().min(count - devices.len()))
                .collect();
            let replies = asked.into_iter().map(|(udid, mailbox)| async move {
                let (reply, answer) = oneshot::channel();
                mailbox.order_drift(reply);
                let answer = tokio::time::timeout(OBEDIENCE, answer).await;
                answer.ok()?.ok()?.map(|kind| (udid, kind))
            });
            for (udid, kind) in futures::future::join_all(replies).await.into_iter().flatten() {
                devices.push(udid);
                kinds.push(kind);
            }
        }
        self.world.tell(Event::Drifted { devices, kinds });
    }

    /// Takes so many of a hundred devices off the network.
    pub fn take_offline(&self, percent: u8) {
        let online = self.shuffled(|mailbox| mailbox.phase() != Phase::Gone && mailbox.is_online());
        let count = online.len() * usize::from(percent.min(100)) / 100;
        for (_, mailbox) in online.iter().take(count) {
            mailbox.set_online(false);
        }
        self.follow_network();
    }

    /// Brings all devices back; each gets the push that waits for it.
    pub fn bring_online(&self) {
        for member in &self.roll().members {
            member.mailbox.set_online(true);
        }
        self.follow_network();
    }

    /// Tells the push service who is connected.
    fn follow_network(&self) {
        for member in &self.roll().members {
            let online = member.mailbox.is_online();
            self.world.apns.connect(&member.token, online);
            // Nothing happens for those that have no user.
            self.world.apns.connect(&user_token(&member.token), online);
        }
    }

    /// From now on devices answer so many of a hundred commands with `NotNow`.
    pub fn put_off(&self, percent: u8) {
        self.world
            .common
            .not_now_percent
            .store(percent.min(100), Ordering::Relaxed);
    }

    /// The fleet in numbers.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let mut progress = self.world.common.counters.progress();
        for member in &self.roll().members {
            progress.devices += 1;
            let phase = member.mailbox.phase();
            progress.enrolled += u64::from(matches!(phase, Phase::Enrolled | Phase::Synced));
            progress.synced += u64::from(phase == Phase::Synced);
            progress.offline += u64::from(!member.mailbox.is_online());
        }
        progress
    }

    /// The push service of this fleet.
    #[must_use]
    pub fn apns(&self) -> &FakeApns {
        &self.world.apns
    }

    /// Ends all devices.
    pub async fn stop(&self) {
        self.world.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(FAREWELL, self.tasks.wait()).await.is_err() {
            tracing::warn!(devices = self.tasks.len(), "some devices did not end in time");
        }
    }

    /// The devices that qualify, in an order that the seed decides.
    fn shuffled(&self, qualifies: impl Fn(&Mailbox) -> bool) -> Vec<(String, Arc<Mailbox>)> {
        let mut roll = self.roll();
        let Roll { members, choices } = &mut *roll;
        let mut chosen: Vec<_> = members
            .iter()
            .filter(|member| qualifies(&member.mailbox))
            .map(|member| (member.udid.clone(), Arc::clone(&member.mailbox)))
            .collect();
        for end in (1..chosen.len()).rev() {
            chosen.swap(end, choices.below(end + 1));
        }
        chosen
    }
}
