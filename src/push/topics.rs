//! Several push certificates side by side: the topic of a device chooses the one that wakes it.
//!
//! Certificates are exchanged while pushes go on: a renewed one has a connection of its own, and what is on its way by the old one is finished.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures::future::BoxFuture;

use super::port::{PushError, PushRequest, Pusher};

/// Pushes by the topic's own pusher.
#[derive(Default)]
pub struct Topics {
    pushers: RwLock<BTreeMap<String, Arc<dyn Pusher>>>,
    other: Option<Arc<dyn Pusher>>,
}

impl Topics {
    /// No topic yet. `other` pushes for every topic that has no pusher of its own: an egress proxy that holds the certificates.
    #[must_use]
    pub fn new(other: Option<Arc<dyn Pusher>>) -> Self {
        Self {
            pushers: RwLock::default(),
            other,
        }
    }

    /// Exchanges all pushers.
    pub fn replace(&self, pushers: BTreeMap<String, Arc<dyn Pusher>>) {
        *self.pushers.write().unwrap_or_else(PoisonError::into_inner) = pushers;
    }

    /// Whether there is a pusher for the topic.
    #[must_use]
    pub fn holds(&self, topic: &str) -> bool {
        self.other.is_some() || self.own(topic).is_some()
    }

    fn own(&self, topic: &str) -> Option<Arc<dyn Pusher>> {
        let pushers = self.pushers.read().unwrap_or_else(PoisonError::into_inner);
        pushers.get(topic).cloned()
    }
}

impl Pusher for Topics {
    fn push(&self, request: PushRequest) -> BoxFuture<'_, Result<(), PushError>> {
        Box::pin(async move {
            let Some(pusher) = self.own(&request.topic).or_else(|| self.other.clone()) else {
                return Err(PushError::Unconfigured);
            };
            pusher.push(request).await
        })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    /// Refuses with its own name.
    struct Named(&'static str);

    impl Pusher for Named {
        fn push(&self, _request: PushRequest) -> BoxFuture<'_, Result<(), PushError>> {
            Box::pin(async {
                Err(PushError::Rejected {
                    status: 400,
                    reason: self.0.to_owned(),
                })
            })
        }
    }

    async fn by(topics: &Topics, topic: &str) -> String {
        let request = PushRequest {
            token: vec![1],
            push_magic: "M".to_owned(),
            topic: topic.to_owned(),
            expiration: Timestamp::MAX,
        };
        match topics.push(request).await {
            Err(PushError::Rejected { reason, .. }) => reason,
            other => format!("{other:?}"),
        }
    }

    fn pusher(name: &'static str) -> Arc<dyn Pusher> {
        Arc::new(Named(name))
    }

    #[tokio::test]
    async fn each_topic_is_pushed_by_its_own_certificate_and_a_new_one_takes_over() {
        let topics = Topics::new(None);
        topics.replace(BTreeMap::from([
            ("a".to_owned(), pusher("first")),
            ("b".to_owned(), pusher("second")),
        ]));
        assert_eq!(by(&topics, "a").await, "first");
        assert_eq!(by(&topics, "b").await, "second");
        assert_eq!(by(&topics, "c").await, "Err(Unconfigured)");
        assert!(topics.holds("a") && !topics.holds("c"));
        topics.replace(BTreeMap::from([("a".to_owned(), pusher("renewed"))]));
        assert_eq!(by(&topics, "a").await, "renewed");
        assert_eq!(by(&topics, "b").await, "Err(Unconfigured)");
    }

    #[tokio::test]
    async fn what_holds_the_certificates_elsewhere_pushes_for_every_other_topic() {
        let topics = Topics::new(Some(pusher("proxy")));
        topics.replace(BTreeMap::from([("a".to_owned(), pusher("own"))]));
        assert_eq!(by(&topics, "a").await, "own");
        assert_eq!(by(&topics, "b").await, "proxy");
        assert!(topics.holds("b"));
    }
}
