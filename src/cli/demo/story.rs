//! The story that the demo tells: enrol, comply, tighten, drift, come back.

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::api::git_source::{GitReference, SourceFormat};
use crate::api::{GitSource, GitSourceSpec, names};
use crate::app::admin_http::InviteOrder;
use crate::app::{EvidenceSettings, PushService, Server, Settings, evidence};
use crate::clock::{SystemClock, SystemEntropy};
use crate::ids::Namespace;
use crate::telemetry::process::peak_rss_bytes;

use super::fleet::Fleet;
use super::picture::Picture;
use super::policy::{Policy, TIGHTENED, TIGHTENING};
use super::{DemoArgs, Output};
use crate::cli::print::{note, out};
use crate::cli::progress::Progress;
use crate::cli::stop::Stop;

const NAMESPACE: &str = "default";
const SOURCE: &str = "fleet";
/// How often the demo looks at how the fleet stands.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// One device of so many leaves its desired state.
const DRIFT_SHARE: u32 = 10;
/// One device of so many is engineering's.
const ENGINEERING_SHARE: u32 = 4;

/// What the demo measured.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    devices: u64,
    compliant: u64,
    drifted: u64,
    corrected: u64,
    policy_moves: u64,
    compiles: u64,
    enroll_seconds: f64,
    move_seconds: f64,
    total_seconds: f64,
    server_peak_rss_bytes: u64,
    simulator_peak_rss_bytes: u64,
    #[serde(skip)]
    wrong: Vec<String>,
}

impl Summary {
    /// Whether everything ended as it should.
    pub(super) fn good(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// Tells the story in `directory`.
pub(super) async fn tell(args: &DemoArgs, directory: &Path) -> anyhow::Result<Summary> {
    let start = Instant::now();
    std::fs::create_dir_all(directory)?;
    ensure!(
        std::fs::read_dir(directory)?.next().is_none(),
        "{} is not empty; the demo wants a new directory",
        directory.display()
    );
    let mut stop = Stop::listen()?;
    let (policy, first) = Policy::make(&directory.join("policy"))?;
    let ca = directory.join("data").join("ca.pem");
    let mut fleet = Fleet::start(&ca, args.seed).await?;
    let server = Server::start(
        settings(args, directory, &fleet),
        Arc::new(SystemClock),
        Arc::new(SystemEntropy),
    )
    .await?;
    let client = server.client();
    apply_source(&client, &policy).await?;
    note(&format!(
        "policy: {} (first commit {})",
        policy.url(),
        short(&first)
    ));
    let told = tokio::select! {
        told = acts(args, directory, &server, &client, &policy, &mut fleet, start) => told,
        () = stop.wait() => Err(anyhow!("interrupted")),
    };
    let mut summary = match told {
        Ok(summary) => summary,
        Err(error) => {
            server.stop().await;
            return Err(error);
        }
    };
    if !args.once {
        stay(&server, &mut stop).await;
    }
    let numbers = fleet.stop().await?;
    summary.simulator_peak_rss_bytes = numbers.peak_rss_bytes;
    summary.server_peak_rss_bytes = peak_rss_bytes();
    server.stop().await;
    print(args, &summary)?;
    Ok(summary)
}

fn settings(args: &DemoArgs, directory: &Path, fleet: &Fleet) -> Settings {
    let mut settings = Settings::embedded(directory.join("data"));
    settings.push.service = PushService::Custom {
        url: fleet.apns_url.clone(),
        ca_pem: fleet.apns_ca.clone(),
    };
    // Devices without declarative management tell of a drift only when they are asked.
    settings.evidence_interval =
        Duration::from_secs(15).max(Duration::from_millis(u64::from(args.devices) * 10));
    settings.evidence = Some(EvidenceSettings {
        listen: settings.mdm_listen,
        url: None,
        namespace: evidence::NAMESPACE.to_owned(),
    });
    settings
}

async fn apply_source(client: &Client, policy: &Policy) -> anyhow::Result<()> {
    let spec = GitSourceSpec {
        url: policy.url(),
        reference: Some(GitReference {
            branch: Some("main".to_owned()),
            ..GitReference::default()
        }),
        format: SourceFormat::Native,
        path: "fleet".to_owned(),
        interval: "30s".to_owned(),
        timeout: "60s".to_owned(),
        secret_ref: None,
        verify: None,
        prune: true,
        prune_limit_percent: 25,
        suspend: false,
    };
    let api: Api<GitSource> = Api::namespaced(client.clone(), NAMESPACE);
    api.create(&PostParams::default(), &GitSource::new(SOURCE, spec))
        .await
        .context("the GitSource was refused")?;
    Ok(())
}

async fn acts(
    args: &DemoArgs,
    directory: &Path,
    server: &Server,
    client: &Client,
    policy: &Policy,
    fleet: &mut Fleet,
    start: Instant,
) -> anyhow::Result<Summary> {
    let mut summary = Summary {
        devices: u64::from(args.devices),
        ..Summary::default()
    };
    let look = || Picture::take(client, NAMESPACE, SOURCE);

    enroll(args, directory, server, fleet).await?;
    comply("comply with the first commit", args, fleet, &look, |_| true).await?;
    summary.enroll_seconds = seconds_since(start);
    note(&look().await?.tables(colour()));

    let before = server.metrics().pointer_writes.get();
    let commit = policy.tighten()?;
    let moving = Instant::now();
    note(&format!("commit {}: {TIGHTENING}", short(&commit)));
    ask_for(client).await?;
    let revision = format!("main@sha1:{commit}");
    comply("comply with the stricter commit", args, fleet, &look, |picture| {
        picture.revision.as_deref() == Some(&revision) && picture.revision_of(TIGHTENED) == Some(&revision)
    })
    .await?;
    summary.move_seconds = seconds_since(moving);
    summary.policy_moves = server.metrics().pointer_writes.get() - before;

    drift(args, fleet).await?;
    let picture = comply("stand as git says again", args, fleet, &look, |_| true).await?;
    note(&picture.tables(colour()));

    let numbers = fleet.numbers();
    summary.compliant = u64::try_from(picture.enforced().1).unwrap_or_default();
    summary.drifted = numbers.drifted;
    summary.corrected = numbers.corrected;
    summary.compiles = server.metrics().policy_compiles.get();
    summary.total_seconds = seconds_since(start);
    summary.wrong = fleet.errors();
    if summary.compliant != summary.devices {
        summary.wrong.push(format!(
            "{} of {} devices are compliant",
            summary.compliant, summary.devices
        ));
    }
    if summary.corrected != summary.drifted || summary.drifted == 0 {
        summary.wrong.push(format!(
            "{} of {} drifted devices were corrected",
            summary.corrected, summary.drifted
        ));
    }
    if summary.policy_moves == 0 {
        summary
            .wrong
            .push("the stricter commit moved no device".to_owned());
    }
    Ok(summary)
}

/// Invites the devices and waits until all have enrolled.
async fn enroll(args: &DemoArgs, directory: &Path, server: &Server, fleet: &mut Fleet) -> anyhow::Result<()> {
    let mut lines = String::new();
    let engineering = args.devices.div_ceil(ENGINEERING_SHARE);
    for (team, count) in [
        ("engineering", engineering),
        ("sales", args.devices - engineering),
    ] {
        for batch in batches(count) {
            for invite in server.invite(order(team, batch)?).await? {
                lines.push_str(&serde_json::to_string(&invite)?);
                lines.push('\n');
            }
        }
    }
    let file = directory.join("invitations.jsonl");
    std::fs::write(&file, lines)?;
    fleet.order(&json!({ "enroll": { "invitations": file } })).await?;
    let mut progress = Progress::new("enrol over TLS", u64::from(args.devices));
    let patience = Patience::new(args);
    loop {
        let numbers = fleet.numbers();
        progress.set(numbers.enrolled);
        if numbers.enrolled >= u64::from(args.devices) {
            break;
        }
        ensure!(
            fleet.errors().is_empty(),
            "the simulator says: {}",
            fleet.errors().join("; ")
        );
        ensure!(!numbers.ended, "the simulator has ended");
        patience.check("devices enrol", || format!("{} have", numbers.enrolled))?;
        sleep(LOOK_EVERY).await;
    }
    progress.finish(&format!("{} devices", args.devices));
    Ok(())
}

/// `count` in parts that one order may have.
fn batches(count: u32) -> impl Iterator<Item = u32> {
    (0..count)
        .step_by(1_000)
        .map(move |done| (count - done).min(1_000))
}

fn order(team: &str, count: u32) -> anyhow::Result<InviteOrder> {
    Ok(InviteOrder {
        namespace: Namespace::parse(NAMESPACE)?,
        serial_number: None,
        udid: None,
        labels: [("team".to_owned(), team.to_owned())].into(),
        valid_seconds: 3_600,
        count,
    })
}

/// Waits until every device is compliant and holds what it should, under the policy that `settled` recognises.
async fn comply<F, R>(
    title: &str,
    args: &DemoArgs,
    fleet: &Fleet,
    look: &F,
    settled: impl Fn(&Picture) -> bool,
) -> anyhow::Result<Picture>
where
    F: Fn() -> R,
    R: Future<Output = kube::Result<Picture>>,
{
    let total = i64::from(args.devices);
    let mut progress = Progress::new(title, u64::from(args.devices));
    let patience = Patience::new(args);
    loop {
        let picture = look().await?;
        let numbers = fleet.numbers();
        let (devices, good) = picture.enforced();
        let in_force = settled(&picture);
        progress.set(if in_force {
            u64::try_from(good).unwrap_or_default()
        } else {
            0
        });
        if in_force && devices == total && good == total && numbers.corrected >= numbers.drifted {
            progress.finish(&format!("{good} devices"));
            return Ok(picture);
        }
        ensure!(
            numbers.unenrolled == 0,
            "{} devices are no longer enrolled",
            numbers.unenrolled
        );
        patience.check(title, || {
            let what = format!("{good} of {total} do; git: {}", picture.source);
            format!(
                "{what}; {} of {} drifted devices are back",
                numbers.corrected, numbers.drifted
            )
        })?;
        sleep(LOOK_EVERY).await;
    }
}

/// Lets some devices leave their desired state, and waits until they have.
async fn drift(args: &DemoArgs, fleet: &mut Fleet) -> anyhow::Result<()> {
    let count = (args.devices / DRIFT_SHARE).max(1);
    fleet.order(&json!({ "drift": { "count": count } })).await?;
    note(&format!("drift: {count} devices leave their desired state"));
    let patience = Patience::new(args);
    while fleet.numbers().drifted == 0 {
        patience.check("devices drift", String::new)?;
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Asks the GitSource to look now instead of at its next interval.
async fn ask_for(client: &Client) -> anyhow::Result<()> {
    let api: Api<GitSource> = Api::namespaced(client.clone(), NAMESPACE);
    let patch = json!({ "metadata": { "annotations": { names::RECONCILE_ANNOTATION: "demo" } } });
    api.patch(SOURCE, &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    Ok(())
}

/// Stays up for kubectl.
async fn stay(server: &Server, stop: &mut Stop) {
    note("\nThe fleet stays up until Ctrl-C. Look at it from another terminal:\n");
    if let Some(kubeconfig) = server.kubeconfig() {
        note(&format!("  export KUBECONFIG={}", kubeconfig.display()));
    }
    note("  kubectl get gitsources,baselines,assignments,devicegroups");
    note("  kubectl get devices -o wide");
    note(&format!("  kubectl describe gitsource {SOURCE}"));
    let program = std::env::current_exe().unwrap_or_else(|_| "provost".into());
    note(&format!(
        "  kubectl provost devices       (the plugin: ln -s {} kubectl-provost, in a folder of PATH)\n",
        program.display()
    ));
    stop.wait().await;
}

fn print(args: &DemoArgs, summary: &Summary) -> anyhow::Result<()> {
    for wrong in &summary.wrong {
        note(&format!("wrong: {wrong}"));
    }
    match args.output {
        Output::Json => out(&format!("{}\n", serde_json::to_string(summary)?)),
        Output::Human => {
            let mib = |bytes: u64| bytes / (1 << 20);
            out(&format!(
                "{} of {} devices compliant after {:.1} s: enrolled and compliant in {:.1} s, moved {} devices to the stricter commit in {:.1} s,\n\
                {} devices drifted and {} were corrected; {} compilations; memory {} MiB server, {} MiB devices\n",
                summary.compliant,
                summary.devices,
                summary.total_seconds,
                summary.enroll_seconds,
                summary.policy_moves,
                summary.move_seconds,
                summary.drifted,
                summary.corrected,
                summary.compiles,
                mib(summary.server_peak_rss_bytes),
                mib(summary.simulator_peak_rss_bytes)
            ))
        }
    }
}

/// To the millisecond: the rest is noise.
fn seconds_since(start: Instant) -> f64 {
    (start.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0
}

fn colour() -> bool {
    std::io::stderr().is_terminal() && console::colors_enabled_stderr()
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// How long a step may take before the demo gives up and says where it stands.
struct Patience(Instant);

impl Patience {
    fn new(args: &DemoArgs) -> Self {
        Self(Instant::now() + Duration::from_mins(3) + Duration::from_millis(u64::from(args.devices) * 100))
    }

    fn check(&self, what: &str, state: impl FnOnce() -> String) -> anyhow::Result<()> {
        ensure!(Instant::now() < self.0, "gave up waiting: {what}: {}", state());
        Ok(())
    }
}
