//! The stage: a store, an API, a clock, and devices that do as they are told.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::{self, names};
use crate::clock::Clock as _;
use crate::compliance::facts::{DeclarationState, Facts};
use crate::controllers::fleet::fixtures::{at, id, namespace, rules};
use crate::controllers::fleet::{Settings, run};
use crate::controllers::ground::{Ground, fresh};
use crate::ids::{Digest, EnrollmentId, PushTopic};
use crate::secret::Secret;
use crate::store::{Authentication, Enrollment, Invitation, IssuedCertificate, PushAddress, Store};
use crate::telemetry::Metrics;

/// How long anything may take, on however busy a computer.
const PATIENCE: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) struct Stage {
    ground: Ground,
    pub(super) metrics: Metrics,
    planner: Option<(CancellationToken, JoinHandle<()>)>,
}

impl std::ops::Deref for Stage {
    type Target = Ground;

    fn deref(&self) -> &Ground {
        &self.ground
    }
}

impl Stage {
    /// A stage with the definitions, and the planner at work.
    pub(super) async fn new() -> Self {
        let mut stage = Self::empty().await;
        stage.start();
        stage
    }

    /// A stage with the definitions.
    pub(super) async fn empty() -> Self {
        Self {
            ground: Ground::new(at(0)).await,
            metrics: Metrics::new(),
            planner: None,
        }
    }

    /// Starts the planner, with counters that begin at nothing.
    pub(super) fn start(&mut self) {
        self.metrics = Metrics::new();
        let context = self.ground.context(&self.metrics);
        let settings = Settings {
            public_url: "https://mdm.example.com".to_owned(),
            evidence_interval: Duration::from_mins(15),
        };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(context, settings, shutdown.clone()));
        self.planner = Some((shutdown, task));
    }

    /// Ends the planner at once, wherever it is.
    pub(super) async fn kill(&mut self) {
        if let Some((_, task)) = self.planner.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Lets the planner end by itself.
    pub(super) async fn stop(&mut self) {
        if let Some((shutdown, task)) = self.planner.take() {
            shutdown.cancel();
            task.await.unwrap();
        }
    }

    /// Applies a policy object in the fleet.
    pub(super) async fn apply(&self, kind: &str, name: &str, spec: &Value, revision: Option<&str>) {
        let annotations: BTreeMap<&str, String> = revision
            .map(|revision| {
                let time = self.clock.now().to_string();
                BTreeMap::from([
                    (names::REVISION_ANNOTATION, revision.to_owned()),
                    (names::COMMITTED_AT_ANNOTATION, time),
                ])
            })
            .unwrap_or_default();
        let object = json!({ "apiVersion": names::API_VERSION, "kind": kind, "spec": spec,
                             "metadata": { "name": name, "annotations": annotations } });
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(names::GROUP, names::VERSION, kind));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), "fleet", &resource);
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object))
            .await
            .unwrap();
    }

    /// A group of the lab, a baseline with a passcode of `length` enforced on it, and a profile.
    pub(super) async fn lab(&self, length: i64, revision: &str) {
        self.apply(
            "DeviceGroup",
            "lab",
            &json!({ "selector": { "matchLabels": { "team": "lab" } } }),
            None,
        )
        .await;
        self.apply(
            "Profile",
            "dock",
            &json!({ "title": "t", "payloads": [
            { "payloadType": "com.apple.dock", "content": { "autohide": true } }] }),
            Some(revision),
        )
        .await;
        self.apply("Baseline", "cis", &rules(length), Some(revision))
            .await;
        let spec = json!({ "groups": [{ "name": "lab" }], "baselines": [{ "name": "cis" }],
                           "profiles": [{ "name": "dock" }], "mode": "Enforce" });
        self.apply("Assignment", "all", &spec, Some(revision)).await;
    }

    /// Enrols a Mac into a fleet.
    pub(super) async fn enroll(&self, name: &str, team: &str, fleet: &str) -> EnrollmentId {
        let (device, now) = (id(name), self.clock.now());
        let challenge = Digest::of(&fresh());
        let labels: BTreeMap<String, String> = [("team".to_owned(), team.to_owned())].into();
        let invitation = Invitation {
            challenge,
            namespace: namespace(fleet),
            labels: labels.clone(),
            serial_number: None,
            udid: None,
            expires_at: now + Duration::from_hours(1),
        };
        self.store.invite(invitation).await.unwrap();
        let certificate = IssuedCertificate {
            fingerprint: Digest::of(&fresh()),
            key: Digest::of(&fresh()),
            enrollment: Some(device.clone()),
            not_after: now + Duration::from_hours(1_000),
            namespace: namespace(fleet),
            labels,
            serial_number: None,
        };
        let pin = certificate.fingerprint;
        self.store
            .issue(challenge, certificate, now)
            .await
            .unwrap()
            .unwrap();
        let topic = PushTopic::parse("com.apple.mgmt.External.test").unwrap();
        let known = crate::controllers::fleet::fixtures::enrollment(name, team);
        let authentication = Authentication {
            enrollment: device.clone(),
            certificate: pin,
            topic: topic.clone(),
            platform: known.platform,
            mode: known.mode,
            serial_number: known.serial_number,
            model: known.model,
            os_version: known.os_version,
            build_version: None,
            declarative: true,
        };
        self.store
            .authenticate(authentication, now)
            .await
            .unwrap()
            .unwrap();
        let push = PushAddress {
            topic,
            token: Secret::new(vec![1]),
            magic: Secret::new("m".to_owned()),
        };
        self.store
            .token_update(&device, push, now)
            .await
            .unwrap()
            .unwrap();
        device
    }

    pub(super) async fn enrollment(&self, device: &EnrollmentId) -> Enrollment {
        self.store.enrollment(device).await.unwrap().unwrap()
    }

    /// Waits until the device is pointed at another manifest than `before`.
    pub(super) async fn pointed(&self, device: &EnrollmentId, before: Option<Digest>) -> Digest {
        self.until("the device is pointed at a manifest", async || {
            self.enrollment(device)
                .await
                .manifest
                .filter(|manifest| Some(*manifest) != before)
        })
        .await
    }

    /// Has a device apply all it should hold and report it, with FileVault on.
    pub(super) async fn obey(&self, device: &EnrollmentId) {
        let manifest = self.enrollment(device).await.manifest.unwrap();
        self.report(device, Some).await;
        self.store.applied(device, manifest).await.unwrap();
    }

    /// Has a device report its declarations, each as `tell` says: the state of one that is in effect goes in. None: it is not there.
    pub(super) async fn report(
        &self,
        device: &EnrollmentId,
        tell: impl Fn(DeclarationState) -> Option<DeclarationState>,
    ) {
        let now = self.clock.now();
        let id = self.enrollment(device).await.manifest.unwrap();
        let manifest = self.store.manifest(id).await.unwrap().unwrap();
        let told: BTreeMap<String, DeclarationState> = manifest
            .declarations
            .iter()
            .filter_map(|declaration| {
                let state = DeclarationState {
                    server_token: declaration.server_token.to_string(),
                    active: true,
                    valid: "valid".to_owned(),
                    reasons: Vec::new(),
                };
                Some((declaration.identifier.to_string(), tell(state)?))
            })
            .collect();
        let change = move |facts: &mut Facts| {
            facts.status_report(&json!({ "StatusItems": {} }), now).unwrap();
            facts.security_info(&json!({ "FDE_Enabled": true }), now);
            facts.declarations = told;
            true
        };
        self.store.update_facts(device, Box::new(change)).await.unwrap();
    }

    /// The commands that wait for a device, by kind; they count as done after that.
    pub(super) async fn take_orders(&self, device: &EnrollmentId) -> Vec<String> {
        let pending = self.store.pending(device).await.unwrap();
        let mut orders = Vec::new();
        for command in pending {
            let done = crate::mdm::command::ReportStatus::Acknowledged;
            self.store
                .report(device, &command.uuid, &done, self.clock.now())
                .await
                .unwrap();
            orders.push(command.request_type.to_string());
        }
        orders.sort();
        orders
    }

    pub(super) fn devices(&self, fleet: &str) -> Api<api::Device> {
        Api::namespaced(self.client.clone(), fleet)
    }

    /// A condition of a device as `status reason`.
    pub(super) async fn condition(&self, name: &str, kind: &str) -> Option<String> {
        let status = self.devices("fleet").get_opt(name).await.unwrap()?.status?;
        let found = status
            .conditions
            .into_iter()
            .find(|condition| condition.type_ == kind)?;
        Some(format!("{} {}", found.status, found.reason))
    }

    /// Waits until a condition of a device is as said.
    pub(super) async fn stands(&self, name: &str, kind: &str, expected: &str) {
        let what = format!("{name} is {kind} {expected}");
        self.until(&what, async || {
            (self.condition(name, kind).await.as_deref() == Some(expected)).then_some(())
        })
        .await;
    }

    pub(super) async fn assignment(&self) -> api::AssignmentStatus {
        let api: Api<api::Assignment> = Api::namespaced(self.client.clone(), "fleet");
        api.get("all").await.unwrap().status.unwrap_or_default()
    }

    /// Waits until the sums say that one device stands as it should.
    pub(super) async fn counted(&self) -> api::AssignmentStatus {
        let profiles: Api<api::Profile> = Api::namespaced(self.client.clone(), "fleet");
        self.until("the profile counts it", async || {
            let status = profiles.get("dock").await.unwrap().status?;
            ((status.targeted, status.applied) == (1, 1)).then_some(())
        })
        .await;
        self.until("the assignment counts it", async || {
            let status = self.assignment().await;
            (status.devices.compliant == 1 && status.devices.synced == 1).then_some(status)
        })
        .await
    }

    /// Waits until something is there.
    pub(super) async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let wait = async {
            loop {
                match look().await {
                    Some(found) => return found,
                    None => tokio::time::sleep(LOOK_EVERY).await,
                }
            }
        };
        let Ok(found) = tokio::time::timeout(PATIENCE, wait).await else {
            panic!("waited in vain: {what}")
        };
        found
    }

    /// Waits until the planner has nothing left to do: it evaluates nothing and writes nothing for a while.
    pub(super) async fn quiet(&self) {
        let counters = || (self.metrics.evaluations.get(), self.metrics.status_writes.get());
        let mut last = counters();
        let mut calm = 0;
        while calm < 2 {
            tokio::time::sleep(Duration::from_millis(800)).await;
            calm = if counters() == last { calm + 1 } else { 0 };
            last = counters();
        }
    }
}
