//! What stories of the controllers stand on: a store, an embedded API with the definitions, and a clock that stands still.

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use super::Context;
use crate::api::crds;
use crate::clock::{Entropy as _, ManualClock, SeededEntropy, SystemEntropy};
use crate::kubeapi::{KubeApi, Options, storage};
use crate::pki::KeyFile;
use crate::store::sqlite::SqliteStore;
use crate::telemetry::Metrics;

pub(super) struct Ground {
    pub(super) client: Client,
    pub(super) store: Arc<SqliteStore>,
    pub(super) clock: Arc<ManualClock>,
    // Dropped after what uses them.
    _api: KubeApi,
    _folder: tempfile::TempDir,
}

impl Ground {
    /// With the namespaces `fleet` and `other`.
    pub(super) async fn new(now: Timestamp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let sealer = || Arc::new(KeyFile::open(&folder.path().join("seal.key"), SystemEntropy).unwrap());
        let store = Arc::new(SqliteStore::open(&folder.path().join("store.db"), sealer()).unwrap());
        let options = Options {
            path: folder.path().join("kubernetes.db"),
            sealer: sealer(),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
            limits: storage::Limits::default(),
        };
        let api = KubeApi::open(options).await.unwrap();
        let client = api.client("fleet");
        for crd in crds::all() {
            let definitions = Api::all(client.clone());
            let name = crd.name_any();
            definitions
                .patch(&name, &PatchParams::apply("test"), &Patch::Apply(&crd))
                .await
                .unwrap();
            await_condition(definitions, &name, conditions::is_crd_established())
                .await
                .unwrap();
        }
        for name in ["fleet", "other"] {
            let space = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
            api.patch(name, &PatchParams::apply("test"), &Patch::Apply(&space))
                .await
                .unwrap();
        }
        Self {
            client,
            store,
            clock,
            _api: api,
            _folder: folder,
        }
    }

    /// A context on it, with randomness of its own.
    pub(super) fn context(&self, metrics: &Metrics) -> Context {
        let entropy = SeededEntropy::new(u64::from_ne_bytes(fresh()));
        Context::new(
            self.client.clone(),
            self.store.clone(),
            self.clock.clone(),
            Arc::new(entropy),
            metrics.clone(),
        )
    }
}

/// Bytes that nobody had before.
pub(super) fn fresh() -> [u8; 8] {
    let mut bytes = [0; 8];
    SystemEntropy.fill(&mut bytes);
    bytes
}
