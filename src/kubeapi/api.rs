//! The API as a value: what the composition root opens, hands to controllers and serves.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use axum::Extension;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::error::ApiError;
use super::object;
use super::registry::{BuiltIn, Registry, Resource};
use super::storage::{Limits, OpenError, PageRequest, Storage, Stored};
use super::{access, collect, http};
use crate::body::Room;
use crate::clock::{Clock, Entropy};
use crate::pki::Sealer;

/// What the API is made of.
pub struct Options {
    /// The database file; made when it is not there.
    pub path: PathBuf,
    /// Seals Secrets at rest.
    pub sealer: Arc<dyn Sealer>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness, for uids and generated names.
    pub entropy: Arc<dyn Entropy>,
    /// Sizes of the change log.
    pub limits: Limits,
}

/// Why the API could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The stored definitions or the first namespaces could not be read or written.
    #[error("could not prepare the embedded Kubernetes API")]
    Prepare(#[source] ApiError),
}

/// The embedded Kubernetes API; clones share it. It works until the last clone is dropped or [`KubeApi::stop`] is called.
#[derive(Clone)]
pub struct KubeApi(Arc<Core>);

/// What all verbs share.
pub(super) struct Core {
    pub(super) storage: Storage,
    pub(super) registry: Registry,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    /// Where bodies are read.
    pub(super) bodies: Room,
    /// The roles in force.
    pub(super) policy: access::Policy,
    /// Signs tokens of service accounts, once the API is served.
    pub(super) signer: OnceLock<access::Signer>,
    /// Ends watches and background work.
    pub(super) stop: CancellationToken,
}

/// The room that large bodies share, in bytes.
const ROOM: usize = 16 * 1024 * 1024;

/// Namespaces that are always there.
pub(super) const PERMANENT_NAMESPACES: &[&str] = &["default", "kube-system"];

impl KubeApi {
    /// Opens the database, serves what its definitions say, and starts garbage collection.
    ///
    /// # Errors
    /// When the database is foreign, newer than this program, or fails.
    pub async fn open(options: Options) -> Result<Self, StartError> {
        let storage = Storage::open(&options.path, options.sealer, options.limits)?;
        let core = Arc::new(Core {
            storage,
            registry: Registry::default(),
            clock: options.clock,
            entropy: options.entropy,
            bodies: Room::new(ROOM),
            policy: access::Policy::default(),
            signer: OnceLock::new(),
            stop: CancellationToken::new(),
        });
        core.prepare().await.map_err(StartError::Prepare)?;
        tokio::spawn(collect::run(
            Arc::downgrade(&core),
            core.stop.clone(),
            core.storage.follow(),
        ));
        Ok(Self(core))
    }

    /// The API as a tower service for callers in this process, who may do everything.
    pub fn router(&self) -> axum::Router {
        http::router(Arc::clone(&self.0)).layer(Extension(access::Caller::InProcess))
    }

    /// The API for requests that say themselves who calls, by an [`access::Caller`].
    pub(super) fn open_router(&self) -> axum::Router {
        http::router(Arc::clone(&self.0))
    }

    /// Has tokens of service accounts signed from now on; the first key that is given counts.
    pub(super) fn sign_with(&self, signer: access::Signer) {
        // Served on a second address, the same key signs.
        let _ = self.0.signer.set(signer);
    }

    /// A client in this process, without sockets.
    #[must_use]
    pub fn client(&self, namespace: impl Into<String>) -> kube::Client {
        kube::Client::new(self.router(), namespace)
    }

    /// Ends all watches and background work. Further requests are still answered.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// The revision of the last write.
    #[must_use]
    pub fn revision(&self) -> i64 {
        self.0.storage.head()
    }

    /// The present moment by the API's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// Drops the change log up to `revision`, so that watches from further back must start over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn compact(&self, revision: i64) -> Result<(), super::storage::StorageError> {
        self.0.storage.compact(revision).await
    }
}

impl Core {
    async fn prepare(self: &Arc<Self>) -> Result<(), ApiError> {
        self.refresh_definitions().await?;
        for name in PERMANENT_NAMESPACES {
            let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            match super::verbs::create_built_in(self, BuiltIn::Namespace, namespace).await {
                Ok(_) | Err(ApiError::AlreadyExists(_)) => {}
                Err(error) => return Err(error),
            }
        }
        access::prepare(self).await
    }

    /// Serves what the stored definitions say.
    pub(super) async fn refresh_definitions(&self) -> Result<(), ApiError> {
        let mut cache = self.registry.definitions.lock().await;
        self.refresh_locked(&mut cache).await
    }

    pub(super) async fn refresh_locked(
        &self,
        cache: &mut super::registry::Definitions,
    ) -> Result<(), ApiError> {
        let mut definitions = self.stored_definitions().await?;
        super::verbs::settle_definitions(self, &mut definitions).await?;
        self.registry.refresh(cache, &definitions);
        Ok(())
    }

    async fn stored_definitions(&self) -> Result<Vec<Value>, ApiError> {
        let resource =
            super::registry::resource::storage_key("apiextensions.k8s.io", "customresourcedefinitions");
        let (mut definitions, mut after) = (Vec::new(), None);
        loop {
            let request = PageRequest {
                resource: Arc::clone(&resource),
                namespace: None,
                after,
                limit: 100,
                filter: None,
            };
            let page = self.storage.page(request).await?;
            for row in &page.rows {
                definitions.push(parse(row)?);
            }
            after = page.next;
            if after.is_none() {
                return Ok(definitions);
            }
        }
    }

    /// An object in the version of `resource`, with its revision.
    pub(super) async fn load(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<(Value, i64)>, ApiError> {
        let Some(stored) = self.storage.load(resource.key(namespace, name)).await? else {
            return Ok(None);
        };
        let mut object = parse(&stored)?;
        resource.to_served(&mut object);
        Ok(Some((object, stored.revision)))
    }

    /// The present moment.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The present moment as `metav1.Time`.
    pub(super) fn time(&self) -> Value {
        object::time(self.now())
    }
}

/// A stored object.
pub(super) fn parse(stored: &Stored) -> Result<Value, ApiError> {
    serde_json::from_slice(&stored.body)
        .map_err(|error| ApiError::Internal(format!("a stored object is damaged: {error}")))
}
