//! Events on objects, for `kubectl describe` and `kubectl events`.
//!
//! Each is an object of its own and none is counted up: an Event that stands for several keeps the note of the first, and people would read what
//! was true then. Whoever tells something tells it when it has changed, so that nothing repeats itself. The names are in the order of time, which is
//! the order in which `kubectl describe` shows them.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::api::names;
use crate::clock::{Clock, Entropy};

/// The longest note, in bytes: what the Kubernetes API takes is a little more.
const LONGEST_NOTE: usize = 1_000;
/// How much of the object's name is in that of the Event, which must not be longer than 253 bytes.
const LONGEST_NAME: usize = 220;

/// Something that happened to an object.
#[derive(Debug, Clone)]
pub struct News {
    /// Nobody need do anything about it.
    pub is_good: bool,
    /// CamelCase, as in a condition.
    pub reason: &'static str,
    /// What was being done, CamelCase.
    pub action: &'static str,
    /// For people.
    pub note: String,
}

/// Writes Events.
#[derive(Clone)]
pub struct Events {
    client: Client,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Events {
    /// A writer.
    #[must_use]
    pub fn new(client: Client, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self {
            client,
            clock,
            entropy,
        }
    }

    /// Writes that something happened to the object.
    ///
    /// # Errors
    /// Those of the API.
    pub async fn tell(&self, regarding: &ObjectReference, news: &News) -> kube::Result<()> {
        let mut random = [0; 4];
        self.entropy.fill(&mut random);
        let event = event(regarding, news, self.clock.now(), random);
        let namespace = event.metadata.namespace.as_deref().unwrap_or("default");
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        events.create(&PostParams::default(), &event).await.map(drop)
    }
}

fn event(regarding: &ObjectReference, news: &News, now: Timestamp, random: [u8; 4]) -> Event {
    let object = regarding.name.as_deref().unwrap_or(names::CONTROLLER);
    let object = object
        .get(..object.floor_char_boundary(LONGEST_NAME))
        .unwrap_or_default()
        .trim_end_matches(['.', '-']);
    let note = news.note.floor_char_boundary(LONGEST_NOTE);
    Event {
        metadata: ObjectMeta {
            name: Some(format!(
                "{object}.{:016x}{}",
                now.as_nanosecond(),
                hex::encode(random)
            )),
            namespace: regarding.namespace.clone(),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(now)),
        type_: Some(if news.is_good { "Normal" } else { "Warning" }.to_owned()),
        reason: Some(news.reason.to_owned()),
        action: Some(news.action.to_owned()),
        note: Some(news.note.get(..note).unwrap_or_default().to_owned()),
        regarding: Some(regarding.clone()),
        reporting_controller: Some(names::CONTROLLER.to_owned()),
        reporting_instance: Some(names::CONTROLLER.to_owned()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::api::ListParams;

    use super::*;
    use crate::controllers::ground::Ground;
    use crate::telemetry::Metrics;

    fn refused(note: &str) -> News {
        News {
            is_good: false,
            reason: "InvalidRevision",
            action: "Reconcile",
            note: note.to_owned(),
        }
    }

    fn source(name: &str) -> ObjectReference {
        ObjectReference {
            api_version: Some(names::API_VERSION.to_owned()),
            kind: Some("GitSource".to_owned()),
            namespace: Some("fleet".to_owned()),
            name: Some(name.to_owned()),
            ..ObjectReference::default()
        }
    }

    #[tokio::test]
    async fn the_newest_note_is_read_last_also_when_the_reason_stays_the_same() {
        let ground = Ground::new(Timestamp::from_second(1_800_000_000).unwrap()).await;
        let events = ground.context(&Metrics::new()).events;
        for note in ["a.yaml:3 is wrong", "a.yaml:7 is wrong", "a.yaml:3 is wrong"] {
            events.tell(&source("policy"), &refused(note)).await.unwrap();
            ground.clock.advance(Duration::from_secs(1));
        }
        let written: Api<Event> = Api::namespaced(ground.client.clone(), "fleet");
        let written = written
            .list(&ListParams::default().fields("regarding.name=policy"))
            .await
            .unwrap();
        let notes: Vec<_> = written.iter().filter_map(|event| event.note.as_deref()).collect();
        assert_eq!(
            notes,
            ["a.yaml:3 is wrong", "a.yaml:7 is wrong", "a.yaml:3 is wrong"]
        );
    }

    #[tokio::test]
    async fn long_names_and_long_notes_are_cut_to_what_the_api_takes() {
        let ground = Ground::new(Timestamp::from_second(1_800_000_000).unwrap()).await;
        let events = ground.context(&Metrics::new()).events;
        let name = format!("{}.{}", "a".repeat(LONGEST_NAME - 1), "b".repeat(20));
        events
            .tell(&source(&name), &refused(&"é".repeat(LONGEST_NOTE)))
            .await
            .unwrap();
        let event = event(&source(&name), &refused("no"), Timestamp::MAX, [255; 4]);
        assert!(event.metadata.name.unwrap().len() <= 253);
    }
}
