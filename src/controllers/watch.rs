//! Watching a kind and passing on what changed, whatever happens to the connection.

use std::fmt::Debug;

use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What happened to objects of one kind.
#[derive(Debug)]
pub enum Watched<K> {
    /// A new list begins: what is not named until [`Watched::Listed`] is gone.
    Listing,
    /// An object is there, or has changed.
    Present(Box<K>),
    /// An object is gone.
    Gone {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The list is complete.
    Listed,
}

/// Watches every namespace and sends what happens until `shutdown`. An object that cannot be read (written by a newer version, say) is logged and
/// passed on as gone, so that it does not stop the others.
pub async fn watch<K, E>(
    api: Api<DeserializeGuard<K>>,
    events: mpsc::Sender<E>,
    wrap: fn(Watched<K>) -> E,
    shutdown: CancellationToken,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    E: Send + 'static,
{
    let kind = K::kind(&()).into_owned();
    let stream = watcher(api, watcher::Config::default()).default_backoff();
    let stream = stream.map_ok(|event| match event {
        watcher::Event::Init => Watched::Listing,
        watcher::Event::InitDone => Watched::Listed,
        watcher::Event::InitApply(object) | watcher::Event::Apply(object) => present(object),
        watcher::Event::Delete(object) => gone(&object),
    });
    let mut stream = std::pin::pin!(stream.take_until(shutdown.clone().cancelled_owned()));
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                if events.send(wrap(event)).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!(kind, error = %Chain(&error), "the watch was interrupted and goes on"),
        }
    }
}

fn present<K: Resource<DynamicType = ()>>(object: DeserializeGuard<K>) -> Watched<K> {
    let gone = gone(&object);
    match object.0 {
        Ok(object) => Watched::Present(Box::new(object)),
        Err(invalid) => {
            tracing::error!(
                kind = %K::kind(&()),
                name = invalid.metadata.name.as_deref().unwrap_or_default(),
                error = %invalid.error,
                "an object cannot be read and is left out"
            );
            gone
        }
    }
}

fn gone<K: Resource<DynamicType = ()>>(object: &DeserializeGuard<K>) -> Watched<K> {
    Watched::Gone { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

/// An error with everything that led to it, on one line.
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
