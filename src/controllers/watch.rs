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

/// What an error comes from in the end: of a chain that repeats itself, the part that helps.
#[must_use]
pub fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// An error with everything that led to it, on one line. What a link says again is left out.
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut said = String::new();
        let mut link = Some(self.0);
        while let Some(error) = link {
            let (text, source) = match error.downcast_ref::<kube::Error>() {
                // Its own words are followed by the answer as a debugger shows it, and its source says the same once more.
                Some(kube::Error::Api(status)) if !status.message.is_empty() => {
                    (status.message.clone(), None)
                }
                _ => (error.to_string(), error.source()),
            };
            // Some errors end with the words of their source.
            let repeated = source.map(ToString::to_string);
            let own = repeated.and_then(|words| text.strip_suffix(&words));
            let own = own.map_or(text.as_str(), |own| own.trim_end_matches(": "));
            if !said.is_empty() && !own.is_empty() {
                said.push_str(": ");
            }
            said.push_str(own);
            link = source;
        }
        f.write_str(&said)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use kube::core::Status;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the file cannot be read: {0}")]
    struct Repeats(#[source] io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("the start failed")]
    struct Start(#[source] Repeats);

    #[test]
    fn a_chain_says_everything_once() {
        let error = Start(Repeats(io::Error::other("no such disk")));
        let said = Chain(&error).to_string();
        assert_eq!(said, "the start failed: the file cannot be read: no such disk");
        assert_eq!(cause(&error), "no such disk");
    }

    #[test]
    fn a_refusal_by_the_api_is_its_message_and_no_more() {
        let error = kube::Error::Api(Box::new(
            Status::failure("devices is forbidden", "Forbidden").with_code(403),
        ));
        assert_eq!(Chain(&error).to_string(), "devices is forbidden");
        let error = watcher::Error::WatchStartFailed(error);
        assert_eq!(
            Chain(&error).to_string(),
            "failed to start watching object: devices is forbidden"
        );
    }
}
