//! Watching a kind and passing on what changed, whatever happens to the connection.

use std::fmt::Debug;

use futures::StreamExt as _;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Chain;

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

/// Watches every namespace and sends what happens until `shutdown`. `read` says what an object means: [`plain`] or [`guarded`].
pub async fn watch<W, K, E>(
    api: Api<W>,
    read: fn(W) -> Watched<K>,
    events: mpsc::Sender<E>,
    wrap: fn(Watched<K>) -> E,
    shutdown: CancellationToken,
) where
    W: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    E: Send + 'static,
{
    let kind = W::kind(&()).into_owned();
    let stream = watcher(api, watcher::Config::default()).default_backoff();
    let mut stream = std::pin::pin!(stream.take_until(shutdown.cancelled_owned()));
    while let Some(event) = stream.next().await {
        let event = match event {
            Ok(watcher::Event::Init) => Watched::Listing,
            Ok(watcher::Event::InitDone) => Watched::Listed,
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => read(object),
            Ok(watcher::Event::Delete(object)) => gone(&object),
            Err(error) => {
                tracing::warn!(kind, error = %Chain(&error), "the watch was interrupted and goes on");
                continue;
            }
        };
        if events.send(wrap(event)).await.is_err() {
            return;
        }
    }
}

/// An object that can always be read.
pub fn plain<K: Resource<DynamicType = ()>>(object: K) -> Watched<K> {
    Watched::Present(Box::new(object))
}

/// An object that may not be readable (written by a newer version, say): it is logged and passed on as gone, so that it does not stop the
/// others.
pub fn guarded<K: Resource<DynamicType = ()>>(object: DeserializeGuard<K>) -> Watched<K> {
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

fn gone<W: Resource, K>(object: &W) -> Watched<K> {
    Watched::Gone {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}
