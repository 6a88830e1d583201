//! What Provost does most often, timed: compile a class, judge a device, answer an idle device from SQLite.
//!
//! `make bench` runs it. It prints the median and the best of many batches, which is enough to see a change of a few parts in a
//! hundred on a quiet machine; it judges nothing. Run as a test (`cargo test --benches`) it does each thing once.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::{SignedDuration, Timestamp};
use provost::api::Baseline;
use provost::api::assignment::AssignmentMode;
use provost::api::common::{EnrollmentMode, Platform};
use provost::clock::SeededEntropy;
use provost::compliance::{Checks, Facts, judge};
use provost::ids::{CommandUuid, Digest, EnrollmentId, Namespace, PushTopic};
use provost::mdm::command::{NewCommand, Priority, ReportStatus};
use provost::pki::KeyFile;
use provost::policy::{
    AssignmentInput, BaselineInput, CompileInput, DeviceClass, Lacks, OsVersion, Plan, Resolved, compile,
};
use provost::secret::Secret;
use provost::store::sqlite::SqliteStore;
use provost::store::{Authentication, Invitation, IssuedCertificate, PushAddress, Store};
use serde_json::json;
use tokio::runtime::Runtime;

/// How long each thing is timed.
const TIME: Duration = Duration::from_secs(2);
/// How many batches the time is cut into.
const BATCHES: u32 = 50;
/// Fleets of the store, small and large, and the commands that each of the devices asked has acknowledged before: an answer must not cost more
/// for either.
const DEVICES: [u32; 2] = [1_000, 100_000];
const HISTORY: [u32; 2] = [20, 2_000];
/// The devices asked, spread over the fleet.
const ASKED: u32 = 25;
/// Enrolments on their way at once while a fleet is made.
const AT_ONCE: usize = 500;

fn main() -> Result<()> {
    let bench = Bench {
        timed: std::env::args().any(|argument| argument == "--bench"),
    };
    let assignment = shipped_baseline()?;
    bench.time("compile a class from the shipped Mac baseline", || {
        plan(&assignment)
    });

    let plan = plan(&assignment);
    let facts = facts();
    let title = format!("judge a device by {} rules", plan.demands.len());
    bench.time(&title, || judge(&plan.demands, &facts));

    let mut cycles = Vec::new();
    for (devices, history) in [
        (DEVICES[0], HISTORY[0]),
        (DEVICES[0], HISTORY[1]),
        (DEVICES[1], HISTORY[0]),
    ] {
        // Once is enough for a test.
        let (devices, history) = if bench.timed {
            (devices, history)
        } else {
            (ASKED, 2)
        };
        let queue = Queue::open(devices, history)?;
        let of = format!("with {history} commands behind it, of {devices} devices");
        bench.try_time(&format!("Idle of a device that has nothing to do, {of}"), || {
            queue.idle()
        })?;
        cycles.push(bench.try_time(
            &format!("Idle, command, acknowledgement of a device {of}"),
            || queue.cycle(),
        )?);
    }
    if let [Some(base), Some(history), Some(fleet)] = cycles.as_slice() {
        let times = |other: &Duration| other.as_secs_f64() / base.as_secs_f64();
        println!(
            "ratios: {:.2} for history, {:.2} for the fleet",
            times(history),
            times(fleet)
        );
    }
    Ok(())
}

struct Bench {
    timed: bool,
}

impl Bench {
    fn time<T>(&self, title: &str, mut work: impl FnMut() -> T) {
        // Work that cannot fail does not.
        let _ = self.try_time(title, || Ok(work()));
    }

    /// The median, if anything was timed.
    fn try_time<T>(&self, title: &str, mut work: impl FnMut() -> Result<T>) -> Result<Option<Duration>> {
        black_box(work()?);
        if !self.timed {
            return Ok(None);
        }
        let started = Instant::now();
        let mut rounds = 0_u32;
        while started.elapsed() < TIME / 4 {
            black_box(work()?);
            rounds += 1;
        }
        let rounds = (rounds * 4 / BATCHES).max(1);
        let mut times = Vec::new();
        for _ in 0..BATCHES {
            let started = Instant::now();
            for _ in 0..rounds {
                black_box(work()?);
            }
            times.push(started.elapsed() / rounds);
        }
        times.sort_unstable();
        let at = |position: usize| times.get(position).copied().unwrap_or_default();
        println!(
            "{title}: {:?} (best {:?}, {BATCHES} × {rounds})",
            at(times.len() / 2),
            at(0)
        );
        Ok(Some(at(times.len() / 2)))
    }
}

fn shipped_baseline() -> Result<AssignmentInput> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("baselines/macos-essentials.yaml");
    let baseline: Baseline = serde_yaml::from_str(&std::fs::read_to_string(file)?)?;
    Ok(AssignmentInput {
        name: "all".into(),
        revision: Some("main@sha1:0000000000000000000000000000000000000000".into()),
        mode: AssignmentMode::Enforce,
        precedence: 0,
        baselines: vec![BaselineInput {
            name: "macos-essentials".into(),
            baseline: Resolved::alone(Arc::new(baseline.spec)),
            parameters: BTreeMap::new(),
            excluded: Vec::new(),
            revision: None,
        }],
        profiles: Vec::new(),
    })
}

fn plan(assignment: &AssignmentInput) -> Plan {
    compile(&CompileInput {
        namespace: "fleet",
        class: DeviceClass {
            platform: Platform::MacOS,
            os_version: OsVersion::read("26.1"),
            mode: EnrollmentMode::Supervised,
            declarative: true,
            lacks: Lacks::default(),
        },
        assignments: std::slice::from_ref(assignment),
        public_url: "https://mdm.example.com",
        checks: &Checks::default(),
    })
}

fn facts() -> Facts {
    let mut facts = Facts::default();
    let now = Timestamp::UNIX_EPOCH;
    facts.device_information(&json!({ "OSVersion": "26.1", "IsAppleSilicon": true }), now);
    let security = json!({
        "FDE_Enabled": true, "SystemIntegrityProtectionEnabled": true, "AuthenticatedRootVolumeEnabled": true,
        "FirewallSettings": { "FirewallEnabled": true, "StealthMode": true, "BlockAllIncoming": false },
        "SecureBoot": { "SecureBootLevel": "full" }, "RemoteDesktopEnabled": false,
    });
    facts.security_info(&security, now);
    facts.profile_list(BTreeMap::new(), now);
    facts
}

/// The queues of a fleet.
struct Queue {
    _folder: tempfile::TempDir,
    runtime: Runtime,
    store: SqliteStore,
    asked: Vec<EnrollmentId>,
    now: Timestamp,
    next: std::cell::Cell<u32>,
}

impl Queue {
    fn open(devices: u32, history: u32) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let sealer = KeyFile::open(&folder.path().join("seal.key"), SeededEntropy::new(1))?;
        let store = SqliteStore::open(&folder.path().join("store.db"), Arc::new(sealer))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let queue = Self {
            _folder: folder,
            runtime,
            store,
            asked: (0..ASKED)
                .map(|number| device(number * (devices / ASKED)))
                .collect::<Result<_>>()?,
            now: Timestamp::from_second(1_800_000_000)?,
            next: std::cell::Cell::new(0),
        };
        queue.runtime.block_on(async {
            let enrolling = futures::stream::iter(0..devices).map(|number| queue.enroll(number));
            enrolling.buffer_unordered(AT_ONCE).try_collect::<()>().await
        })?;
        queue.runtime.block_on(async {
            let making =
                futures::stream::iter(&queue.asked).map(|device| queue.make_history(device, history));
            making.buffer_unordered(AT_ONCE).try_collect::<()>().await
        })?;
        Ok(queue)
    }

    async fn enroll(&self, number: u32) -> Result<()> {
        let device = device(number)?;
        let challenge = Digest::of(format!("challenge {number}").as_bytes());
        let certificate = Digest::of(format!("certificate {number}").as_bytes());
        let namespace = Namespace::parse("fleet")?;
        let topic = PushTopic::parse("com.apple.mgmt.External.bench")?;
        let later = self.now.saturating_add(SignedDuration::from_hours(24))?;
        let invitation = Invitation {
            challenge,
            namespace: namespace.clone(),
            labels: BTreeMap::new(),
            serial_number: None,
            udid: None,
            expires_at: later,
        };
        self.store.invite(invitation).await?;
        let issued = IssuedCertificate {
            fingerprint: certificate,
            key: Digest::of(b"key"),
            enrollment: Some(device.clone()),
            not_after: later,
            namespace,
            labels: BTreeMap::new(),
            serial_number: None,
        };
        let issued = self.store.issue(challenge, issued, self.now).await?;
        issued.context("the certificate is refused")?;
        let authentication = Authentication {
            enrollment: device.clone(),
            certificate,
            topic: topic.clone(),
            platform: Platform::MacOS,
            mode: EnrollmentMode::Supervised,
            serial_number: None,
            model: Some("Mac16,10".to_owned()),
            os_version: "26.1".to_owned(),
            build_version: None,
            declarative: true,
        };
        let authenticated = self.store.authenticate(authentication, self.now).await?;
        authenticated.context("the device is refused")?;
        let push = PushAddress {
            topic,
            token: Secret::new(vec![7; 32]),
            magic: Secret::new("magic".to_owned()),
        };
        let enrolled = self.store.token_update(&device, push, self.now).await?;
        enrolled.context("the device is gone")?;
        Ok(())
    }

    /// Gives a device commands that it has acknowledged.
    async fn make_history(&self, device: &EnrollmentId, history: u32) -> Result<()> {
        for _ in 0..history {
            self.one(device).await?;
        }
        Ok(())
    }

    fn idle(&self) -> Result<()> {
        let device = self.turn()?;
        let next = self
            .runtime
            .block_on(self.store.next_command(device, true, self.now))?;
        anyhow::ensure!(next.is_none(), "nothing is pending");
        Ok(())
    }

    fn cycle(&self) -> Result<()> {
        self.runtime.block_on(self.one(self.turn()?))
    }

    fn turn(&self) -> Result<&EnrollmentId> {
        let number = self.next.replace(self.next.get() + 1);
        let place = usize::try_from(number % ASKED)?;
        self.asked.get(place).context("somebody is asked")
    }

    async fn one(&self, device: &EnrollmentId) -> Result<()> {
        let number = self.next.replace(self.next.get() + 1);
        let uuid = CommandUuid::parse(&format!("00000000-0000-4000-8000-{number:012}"))?;
        let command = NewCommand {
            enrollment: device.clone(),
            uuid: uuid.clone(),
            request_type: "SecurityInfo".into(),
            body: format!("<plist><dict><key>CommandUUID</key><string>{uuid}</string></dict></plist>").into(),
            intent: None,
            chain: None,
            priority: Priority::Normal,
            deadline: self.now.saturating_add(SignedDuration::from_hours(1))?,
        };
        self.store.enqueue(vec![command], self.now).await?;
        let offered = self.store.next_command(device, true, self.now).await?;
        offered.context("nothing is offered")?;
        let (_, next) = self
            .store
            .report_and_next(device, &uuid, &ReportStatus::Acknowledged, self.now)
            .await?;
        anyhow::ensure!(next.is_none(), "nothing is left");
        Ok(())
    }
}

fn device(number: u32) -> Result<EnrollmentId> {
    Ok(EnrollmentId::parse(&format!(
        "A0000000-0000-4000-8000-{number:012}"
    ))?)
}
