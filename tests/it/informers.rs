//! Copies of the API's objects stay exact through churn, restarts and compaction: those of client-go's informers, which most controllers
//! use, and those of kube-rs' watchers, which Provost's own do.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use provost::api::DeviceGroup;
use provost::kubeapi::storage::Limits;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;

use crate::control_plane::{Assets, ControlPlane, EmbeddedApi, assets, client, install_crds};
use crate::world::eventually;

const WHAT: &str = "copies kept by client-go's informers";
const GROUPS: &str = "provost.dev/v1alpha1/devicegroups";
const CONFIG_MAPS: &str = "core/v1/configmaps";

/// "namespace/name" → resourceVersion.
type Versions = BTreeMap<String, String>;

/// `hack/informer`, running.
struct Informer {
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Ends with it.
    _child: Child,
}

impl Informer {
    async fn start(assets: &Assets, kubeconfig: &Path) -> Self {
        let mut child = Command::new(assets.informer())
            .arg(kubeconfig)
            .args([GROUPS, CONFIG_MAPS])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(answers.next_line().await.unwrap().as_deref(), Some("synced"));
        Self {
            stdin: child.stdin.take().unwrap(),
            answers,
            _child: child,
        }
    }

    /// All of its copies: resource → copy → versions.
    async fn copies(&mut self) -> BTreeMap<String, BTreeMap<String, Versions>> {
        self.stdin.write_all(b"\n").await.unwrap();
        let answer = self.answers.next_line().await.unwrap().expect("it runs");
        serde_json::from_str(&answer).unwrap()
    }
}

/// The copies that kube-rs keeps.
struct Watchers {
    groups: Store<DeviceGroup>,
    config_maps: Store<ConfigMap>,
    _tasks: JoinSet<()>,
}

impl Watchers {
    async fn start(client: &Client) -> Self {
        let mut tasks = JoinSet::new();
        let watchers = Self {
            // One as Provost's own controllers watch, one by streaming lists.
            groups: copy(client, watcher::Config::default(), &mut tasks),
            config_maps: copy(client, watcher::Config::default().streaming_lists(), &mut tasks),
            _tasks: tasks,
        };
        watchers.groups.wait_until_ready().await.unwrap();
        watchers.config_maps.wait_until_ready().await.unwrap();
        watchers
    }
}

fn copy<K>(client: &Client, config: watcher::Config, tasks: &mut JoinSet<()>) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let stream = watcher(Api::<K>::all(client.clone()), config)
        .default_backoff()
        .reflect(writer);
    // Errors are what the copies must survive.
    tasks.spawn(stream.for_each(|_| async {}));
    store
}

fn versions<K: Resource>(objects: impl IntoIterator<Item = K>) -> Versions {
    let entry = |object: K| {
        let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
        (name, object.resource_version().unwrap_or_default())
    };
    objects.into_iter().map(entry).collect()
}

/// What the API lists, by pages.
async fn listed<K>(client: &Client) -> Result<Versions, String>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    let mut found = Versions::new();
    let mut page = ListParams::default().limit(37);
    loop {
        let list = api.list(&page).await.map_err(|error| error.to_string())?;
        let next = list.metadata.continue_.clone().filter(|token| !token.is_empty());
        found.extend(versions(list.items));
        match next {
            Some(token) => page.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % sides
    }
}

/// Creates, changes and deletes `count` times, in two namespaces.
async fn churn(client: &Client, dice: &mut Dice, count: u32) {
    for _ in 0..count {
        let namespace = ["default", "other"][usize::try_from(dice.throw(2)).unwrap()];
        let name = format!("object-{}", dice.throw(60));
        let number = dice.throw(1_000_000);
        let deletes = dice.throw(3) == 0;
        if dice.throw(2) == 0 {
            let group = json!({ "spec": { "serialNumbers": [format!("C{number:011}")] } });
            change::<DeviceGroup>(client, namespace, &name, deletes, group).await;
        } else {
            let map = json!({ "data": { "number": number.to_string() } });
            change::<ConfigMap>(client, namespace, &name, deletes, map).await;
        }
    }
}

async fn change<K>(client: &Client, namespace: &str, name: &str, deletes: bool, mut content: Value)
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    if deletes {
        match api.delete(name, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("{error}"),
        }
        return;
    }
    content["apiVersion"] = K::api_version(&()).into();
    content["kind"] = K::kind(&()).into();
    content["metadata"]["name"] = name.into();
    api.patch(
        name,
        &PatchParams::apply("churn").force(),
        &Patch::Apply(&content),
    )
    .await
    .unwrap();
}

async fn other_namespace(client: &Client) {
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "other" } });
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
    api.patch("other", &PatchParams::apply("churn"), &Patch::Apply(&namespace))
        .await
        .unwrap();
}

/// Waits until every copy is what the API lists.
async fn all_exact(client: &Client, informer: &mut Informer, watchers: &Watchers) {
    eventually("every copy is exact", async || {
        let groups = listed::<DeviceGroup>(client).await?;
        let config_maps = listed::<ConfigMap>(client).await?;
        let objects =
            |store: Vec<std::sync::Arc<DeviceGroup>>| versions(store.into_iter().map(|o| (*o).clone()));
        let maps = |store: Vec<std::sync::Arc<ConfigMap>>| versions(store.into_iter().map(|o| (*o).clone()));
        let mut wrong = Vec::new();
        if objects(watchers.groups.state()) != groups {
            wrong.push("kube-rs' groups".to_owned());
        }
        if maps(watchers.config_maps.state()) != config_maps {
            wrong.push("kube-rs' config maps".to_owned());
        }
        let copies = informer.copies().await;
        for (resource, truth) in [(GROUPS, &groups), (CONFIG_MAPS, &config_maps)] {
            for (copy, held) in &copies[resource] {
                if held != truth {
                    wrong.push(format!("client-go's {copy} of {resource}"));
                }
            }
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join(", "))
        }
    })
    .await;
}

#[tokio::test]
async fn copies_of_the_embedded_api_stay_exact_through_churn_restarts_and_compaction() {
    let Some(assets) = assets(WHAT) else { return };
    let limits = Limits {
        log_changes: 300,
        memory_changes: 50,
        ..Limits::default()
    };
    let mut embedded = EmbeddedApi::start_with(limits).await;
    install_crds(&embedded.inside()).await;
    other_namespace(&embedded.inside()).await;
    let mut dice = Dice(7);
    churn(&embedded.inside(), &mut dice, 100).await;
    let outside = embedded.client().await;
    let mut informer = Informer::start(&assets, &embedded.kubeconfig()).await;
    let watchers = Watchers::start(&outside).await;
    all_exact(&outside, &mut informer, &watchers).await;

    churn(&outside, &mut dice, 400).await;
    all_exact(&outside, &mut informer, &watchers).await;

    embedded.restart().await;
    churn(&embedded.inside(), &mut dice, 100).await;
    all_exact(&outside, &mut informer, &watchers).await;

    // More happens while nobody is connected than is kept for replay.
    embedded.silence().await;
    churn(&embedded.inside(), &mut dice, 500).await;
    embedded.serve().await;
    all_exact(&outside, &mut informer, &watchers).await;
}

#[tokio::test]
async fn copies_of_a_real_api_stay_exact_through_churn_and_a_killed_server() {
    let Some(mut plane) = ControlPlane::start(WHAT).await else {
        return;
    };
    let assets = assets(WHAT).expect("the control plane runs");
    let outside = client(&plane.kubeconfig()).await;
    install_crds(&outside).await;
    other_namespace(&outside).await;
    let mut dice = Dice(7);
    let mut informer = Informer::start(&assets, &plane.kubeconfig()).await;
    let watchers = Watchers::start(&outside).await;
    churn(&outside, &mut dice, 200).await;
    all_exact(&outside, &mut informer, &watchers).await;

    plane.kill();
    plane.restart().await;
    churn(&outside, &mut dice, 200).await;
    all_exact(&outside, &mut informer, &watchers).await;
}
