//! Stories told through a real `kube::Client` in this process.

mod access;
mod clients;
mod deletion;
mod objects;
mod reading;
mod watches;

use std::path::Path;
use std::sync::Arc;

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde_json::{Value, json};

use super::storage::Limits;
use super::{KubeApi, Options};
use crate::clock::{Clock, SystemClock, SystemEntropy};
use crate::pki::KeyFile;

/// An API in a folder that goes away with it.
pub(in crate::kubeapi) struct TestApi {
    pub(in crate::kubeapi) api: KubeApi,
    folder: tempfile::TempDir,
}

async fn open(folder: &Path, limits: Limits) -> KubeApi {
    open_at(folder, limits, Arc::new(SystemClock)).await
}

async fn open_at(folder: &Path, limits: Limits, clock: Arc<dyn Clock>) -> KubeApi {
    let sealer = KeyFile::open(&folder.join("seal.key"), SystemEntropy).unwrap();
    let options = Options {
        path: folder.join("kubernetes.db"),
        sealer: Arc::new(sealer),
        clock,
        entropy: Arc::new(SystemEntropy),
        limits,
    };
    KubeApi::open(options).await.unwrap()
}

impl TestApi {
    pub(in crate::kubeapi) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            api: open(folder.path(), limits).await,
            folder,
        }
    }

    /// With the definition of `Kite` installed.
    pub(in crate::kubeapi) async fn with_kites() -> Self {
        let test = Self::new().await;
        test.install(kite_definition()).await;
        test
    }

    pub(in crate::kubeapi) fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn install(&self, definition: Value) {
        let definitions: Api<DynamicObject> = Api::all_with(self.client(), &definitions());
        definitions
            .create(
                &PostParams::default(),
                &serde_json::from_value(definition).unwrap(),
            )
            .await
            .unwrap();
    }

    fn client(&self) -> Client {
        self.api.client("default")
    }

    fn kites(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client(), "default", &kites())
    }

    /// Makes a kite as it is by default.
    async fn make_kite(&self, name: &str) -> DynamicObject {
        let made = self.kites().create(&PostParams::default(), &kite(name)).await;
        made.unwrap()
    }

    /// A request without a client in between: status code and JSON body.
    async fn request(&self, method: &str, path: &str, content_type: &str, body: Value) -> (u16, Value) {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .body(axum::body::Body::from(if body.is_null() {
                String::new()
            } else {
                body.to_string()
            }))
            .unwrap();
        self.send(request).await
    }

    /// A `GET` as kubectl makes it.
    async fn table(&self, path: &str) -> Value {
        let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        let request = http::Request::get(path)
            .header("accept", accept)
            .body(axum::body::Body::empty())
            .unwrap();
        self.send(request).await.1
    }

    async fn send(&self, request: http::Request<axum::body::Body>) -> (u16, Value) {
        use tower::ServiceExt as _;
        let response = self.api.router().oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        (code, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

fn definitions() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
    ))
}

fn kites() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("toys.example.org", "v1", "Kite"))
}

fn kite(name: &str) -> DynamicObject {
    let spec = json!({ "spec": { "colour": "red" } });
    DynamicObject::new(name, &kites()).data(spec)
}

fn kite_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "kites.toys.example.org" },
        "spec": {
            "group": "toys.example.org", "scope": "Namespaced",
            "names": { "plural": "kites", "kind": "Kite", "shortNames": ["kt"], "categories": ["toys"] },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": { "status": {}, "scale": {
                    "specReplicasPath": ".spec.tails", "statusReplicasPath": ".status.tails",
                } },
                "selectableFields": [{ "jsonPath": ".spec.colour" }],
                "additionalPrinterColumns": [
                    { "name": "Colour", "type": "string", "jsonPath": ".spec.colour" },
                    { "name": "Height", "type": "integer", "jsonPath": ".status.height", "priority": 1 },
                    { "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp" },
                ],
                "schema": { "openAPIV3Schema": kite_schema() },
            }],
        },
    })
}

fn kite_schema() -> Value {
    json!({
        "type": "object",
        "required": ["spec"],
        "properties": {
            "spec": {
                "type": "object", "required": ["colour"],
                "x-kubernetes-validations": [{
                    "rule": "!has(self.tails) || self.tails < 10", "message": "a kite has fewer than ten tails",
                }],
                "properties": {
                    "colour": { "type": "string", "enum": ["red", "green", "blue"] },
                    "tails": { "type": "integer", "default": 1 },
                },
            },
            "status": {
                "type": "object", "default": { "observedGeneration": -1 },
                "properties": {
                    "observedGeneration": { "type": "integer" },
                    "height": { "type": "integer" },
                    "tails": { "type": "integer" },
                    "conditions": {
                        "type": "array", "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["type"],
                        "items": {
                            "type": "object", "required": ["type", "status"],
                            "properties": {
                                "type": { "type": "string" }, "status": { "type": "string" },
                            },
                        },
                    },
                },
            },
        },
    })
}

/// What a refusal says: code, reason and message.
fn code(error: kube::Error) -> (u16, String, String) {
    match error {
        kube::Error::Api(status) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("{other}"),
    }
}
