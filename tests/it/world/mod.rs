//! The world of a story: a git repository, a server and `provost simulate` as processes of their own, and a Kubernetes client.
//!
//! The server is `provost up` with its embedded API, or `provost serve` with a real Kubernetes API server that belongs to the world. Stories
//! are written once for both, and listed with [`both!`](crate::both).
//!
//! Everything goes through the doors that people and devices use: commits, the Kubernetes API, the command line, TLS. Nothing here
//! looks into a database. Processes end when their world does.

pub(crate) mod caller;
pub(crate) mod eventually;
pub(crate) mod mac;
pub(crate) mod policy;
pub(crate) mod said;
pub(crate) mod server;
pub(crate) mod simulator;
pub(crate) mod standing;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource, ResourceExt as _};
use provost::api::git_source::GitSourceStatus;
use provost::api::{Assignment, Device, GitSource, GitSourceSpec, names};
use provost::gitops::author::Author;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::control_plane::{ControlPlane, assets, install_crds};

pub(crate) use caller::Caller;
use eventually::eventually_all;
pub(crate) use eventually::{eventually, still, still_for};
pub(crate) use mac::Mac;
pub(crate) use said::{Said, said};
pub(crate) use server::{SHORT_LEASE, Server, command, provost};
pub(crate) use simulator::Simulator;
pub(crate) use standing::{condition, is_true};

/// The fleet of most stories.
pub(crate) const NAMESPACE: &str = "default";
/// The GitSource that a world follows.
pub(crate) const SOURCE: &str = "policy";
/// Who commits.
pub(crate) const AUTHOR: &str = "Policy Team <policy@example.com>";

/// The Kubernetes API of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// In `provost up`.
    Embedded,
    /// A real API server, with `provost serve`.
    Cluster,
}

impl Api {
    /// Whether stories can be told on it here; where they cannot, that is noted.
    pub(crate) fn is_here(self) -> bool {
        self == Self::Embedded || assets("stories on a real API server").is_some()
    }
}

/// Tells a story, an `async fn(Api)`, on both APIs: `NAME::embedded` and `NAME::cluster`.
#[macro_export]
macro_rules! both {
    ($($story:ident),+ $(,)?) => {
        $(
            mod $story {
                use $crate::world::Api;

                #[tokio::test]
                async fn embedded() {
                    super::$story(Api::Embedded).await;
                }

                #[tokio::test]
                async fn cluster() {
                    if Api::Cluster.is_here() {
                        super::$story(Api::Cluster).await;
                    }
                }
            }
        )+
    };
}

/// What can be chosen about a world.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    /// Which Kubernetes API it has.
    pub(crate) api: Api,
    /// Which devices are drawn.
    pub(crate) seed: u64,
    /// How many of a hundred know no declarations.
    pub(crate) classic_percent: u8,
    /// How often devices are asked for evidence.
    pub(crate) evidence_interval: &'static str,
    /// Where devices come; port 0 is any.
    pub(crate) mdm_port: u16,
    /// Whether the server tells people the evidence.
    pub(crate) tells_evidence: bool,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            api: Api::Embedded,
            seed: 1,
            classic_percent: 40,
            evidence_interval: "1h",
            mdm_port: 0,
            tells_evidence: false,
        }
    }
}

/// A world.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) simulator: Simulator,
    pub(crate) client: Client,
    pub(crate) git: Author,
    asked: u32,
    batches: u32,
    /// The cluster, where there is one; after the server.
    pub(crate) plane: Option<ControlPlane>,
    /// Goes last: the processes work in it.
    dir: TempDir,
}

impl World {
    /// Starts the processes, with an empty repository.
    pub(crate) async fn start(setting: Setting) -> Self {
        let plane = match setting.api {
            Api::Embedded => None,
            Api::Cluster => Some(cluster().await),
        };
        let identity = plane.as_ref().map(ControlPlane::kubeconfig);
        Self::begin(setting, plane, identity).await
    }

    /// A world on a cluster that is there, in which the server is who `identity`, a kubeconfig, says, and does all that
    /// it can. The story itself is the administrator.
    pub(crate) async fn on_cluster_as(plane: ControlPlane, identity: PathBuf) -> Self {
        let setting = Setting {
            api: Api::Cluster,
            tells_evidence: true,
            ..Setting::default()
        };
        Self::begin(setting, Some(plane), Some(identity)).await
    }

    async fn begin(setting: Setting, plane: Option<ControlPlane>, identity: Option<PathBuf>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let git = Author::open(&dir.path().join("policy"), "Policy Team", "policy@example.com").unwrap();
        let data_dir = dir.path().join("data");
        let simulator = Simulator::start(
            &data_dir.join("ca.pem"),
            setting.seed,
            setting.classic_percent,
            &[],
        )
        .await;
        let apns_ca = dir.path().join("apns-ca.pem");
        fs::write(&apns_ca, &simulator.apns_ca).unwrap();
        let mut more = vec![
            "--apns-url",
            &simulator.apns_url,
            "--apns-ca",
            apns_ca.to_str().unwrap(),
            "--evidence-interval",
            setting.evidence_interval,
        ];
        if setting.tells_evidence {
            more.extend(["--evidence-listen", "127.0.0.1:0"]);
        }
        let server = match &identity {
            None => Server::start(&data_dir, setting.mdm_port, &more).await,
            Some(identity) => {
                let more = [SHORT_LEASE.as_slice(), &more].concat();
                Server::serve(&data_dir, identity, setting.mdm_port, &more).await
            }
        };
        let client = match &plane {
            None => server.client().await,
            Some(plane) => plane.client().await,
        };
        Self {
            plane,
            server,
            simulator,
            client,
            git,
            asked: 0,
            batches: 0,
            dir,
        }
    }

    /// A world with this API, else as usual.
    pub(crate) async fn on(api: Api) -> Self {
        Self::start(Setting {
            api,
            ..Setting::default()
        })
        .await
    }

    /// A file for a story's own use.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The objects of a kind in the usual fleet.
    pub(crate) fn api<K>(&self) -> kube::Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        kube::Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Makes a namespace.
    pub(crate) async fn namespace(&self, name: &str) {
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        kube::Api::all(self.client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
    }
}

/// An API server with Provost's definitions and the namespace of most stories. Whether there is one has been asked before.
pub(crate) async fn cluster() -> ControlPlane {
    let plane = ControlPlane::start("stories on a real API server").await;
    let plane = plane.expect("an API server");
    let client = plane.client().await;
    install_crds(&client).await;
    // The API server makes it a moment after it is ready.
    eventually("the namespace is there", async || {
        kube::Api::<Namespace>::all(client.clone())
            .get(NAMESPACE)
            .await
            .map_err(text)
    })
    .await;
    plane
}

/// Git.
impl World {
    /// Writes a file in the work tree.
    pub(crate) fn write(&self, file: &str, content: &str) {
        self.git.write(file, content).unwrap();
    }

    /// Removes a file from the work tree.
    pub(crate) fn remove(&self, file: &str) {
        self.git.remove(file).unwrap();
    }

    /// Commits the work tree and gives the revision as statuses write it.
    pub(crate) fn commit(&self, message: &str) -> String {
        format!("main@sha1:{}", self.git.commit(message).unwrap())
    }

    /// Makes the GitSource that follows the repository. It looks when it is asked; by itself only once an hour.
    pub(crate) async fn follow(&self) {
        let source = GitSource::new(SOURCE, self.source_spec());
        self.api::<GitSource>()
            .create(&PostParams::default(), &source)
            .await
            .unwrap();
    }

    /// The spec of that GitSource.
    pub(crate) fn source_spec(&self) -> GitSourceSpec {
        let url = format!("file://{}", self.git.path().display());
        let spec = json!({ "url": url, "path": "fleet", "interval": "1h" });
        serde_json::from_value(spec).unwrap()
    }

    /// Asks the GitSource to look, waits until it has, and gives what it says then.
    pub(crate) async fn look(&mut self) -> GitSourceStatus {
        self.asked += 1;
        let ask = format!("story-{}", self.asked);
        let sources = self.api::<GitSource>();
        annotate(&sources, SOURCE, names::RECONCILE_ANNOTATION, &ask).await;
        eventually("the GitSource looks at its repository", async || {
            let status = sources
                .get(SOURCE)
                .await
                .map_err(text)?
                .status
                .unwrap_or_default();
            let looked = status.last_handled_reconcile_at.as_deref() == Some(&ask);
            if looked {
                Ok(status)
            } else {
                Err(format!("{status:#?}"))
            }
        })
        .await
    }

    /// Commits, has the GitSource look, and expects the revision to be in force.
    pub(crate) async fn bring_into_force(&mut self, message: &str) -> String {
        let revision = self.commit(message);
        let status = self.look().await;
        assert!(is_true(&status.conditions, "Ready"), "{:#?}", status.conditions);
        assert_eq!(status.artifact.unwrap().revision, revision);
        revision
    }
}

/// Devices.
impl World {
    /// Invites as an administrator does, through the command line.
    pub(crate) async fn invite(&self, count: u32, namespace: &str, labels: &str) -> Vec<Value> {
        let count = count.to_string();
        let mut args = vec!["--namespace", namespace, "--count", &count];
        if !labels.is_empty() {
            args.extend(["--labels", labels]);
        }
        self.invite_with(&args).await
    }

    /// Invites with these options of `provost enroll invite`.
    pub(crate) async fn invite_with(&self, args: &[&str]) -> Vec<Value> {
        let data_dir = self.server.data_dir().to_str().unwrap();
        let mut command = vec!["enroll", "invite", "-o", "json", "--data-dir", data_dir];
        command.extend(args);
        let output = provost(&command).await;
        assert!(output.success, "{}", output.stderr);
        output
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Hands invitations to so many new devices.
    pub(crate) async fn hand_out(&mut self, invitations: &[Value]) {
        self.batches += 1;
        let file = self.path(&format!("invitations-{}.jsonl", self.batches));
        let lines: Vec<String> = invitations.iter().map(Value::to_string).collect();
        fs::write(&file, lines.join("\n")).unwrap();
        self.simulator
            .order(&json!({ "enroll": { "invitations": file } }))
            .await;
    }

    /// Invites devices into the usual fleet and lets them come.
    pub(crate) async fn enroll(&mut self, count: u32) {
        let invitations = self.invite(count, NAMESPACE, "").await;
        self.hand_out(&invitations).await;
    }

    /// Writes the essentials for everybody, enforced, with passcodes of `length`.
    pub(crate) fn write_essentials(&self, length: u32) {
        self.write("fleet/group.yaml", policy::EVERYONE);
        self.write("fleet/baseline.yaml", policy::ESSENTIALS);
        let assignment = policy::essentials_for_everyone("Enforce", length);
        self.write("fleet/assignment.yaml", &assignment);
    }

    /// Brings `count` new devices under the essentials. Gives the revision, and the devices once they comply.
    pub(crate) async fn under_policy(
        &mut self,
        count: usize,
        length: u32,
    ) -> (String, BTreeMap<String, Device>) {
        self.write_essentials(length);
        let revision = self.commit("Bring the fleet under policy");
        self.follow().await;
        self.look().await;
        self.enroll(u32::try_from(count).unwrap()).await;
        let devices = self.compliant(count, &revision).await;
        (revision, devices)
    }

    /// The Devices of the usual fleet, by name.
    pub(crate) async fn devices(&self) -> Result<BTreeMap<String, Device>, String> {
        let devices = self
            .api::<Device>()
            .list(&ListParams::default())
            .await
            .map_err(text)?;
        Ok(devices
            .into_iter()
            .map(|device| (device.name_any(), device))
            .collect())
    }

    /// The Assignments of the usual fleet, by name.
    pub(crate) async fn assignments(&self) -> Result<BTreeMap<String, Assignment>, String> {
        let found = self
            .api::<Assignment>()
            .list(&ListParams::default())
            .await
            .map_err(text)?;
        Ok(found
            .into_iter()
            .map(|assignment| (assignment.name_any(), assignment))
            .collect())
    }

    /// Waits until `count` devices are enrolled, hold what they should and pass, by their own statuses and by the sums of every
    /// Assignment, under policies of which `revision` is the newest.
    pub(crate) async fn compliant(&self, count: usize, revision: &str) -> BTreeMap<String, Device> {
        let what = format!("{count} devices comply with {revision}");
        eventually_all(count, &what, async || {
            let devices = self.devices().await?;
            let assignments = self.assignments().await?;
            let settled = devices.len() == count
                && devices.values().all(|device| standing::settled(device, revision))
                && assignments.values().all(standing::all_compliant)
                && assignments
                    .values()
                    .any(|assignment| standing::revision(assignment) == Some(revision));
            if settled {
                Ok(devices)
            } else {
                Err(standing::describe(&devices, &assignments))
            }
        })
        .await
    }
}

/// Sets an annotation.
pub(crate) async fn annotate<K>(api: &kube::Api<K>, name: &str, key: &str, value: &str)
where
    K: Clone + Debug + DeserializeOwned,
{
    let patch = json!({ "metadata": { "annotations": { key: value } } });
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

/// An error of the API, for the state that [`eventually`] shows.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
pub(crate) fn text(error: kube::Error) -> String {
    format!("the API: {error}")
}
