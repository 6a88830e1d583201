//! A year of a push certificate, with a clock that the test moves.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;

use super::*;
use crate::controllers::ground::Ground;
use crate::telemetry::Metrics;

const TOPIC: &str = "com.apple.mgmt.External.0A";

fn held(topic: &str, not_after: Timestamp) -> HeldCertificate {
    HeldCertificate {
        topic: topic.to_owned(),
        not_before: not_after - SignedDuration::from_hours(365 * 24),
        not_after,
    }
}

struct Year {
    ground: Ground,
    context: Context,
    settings: Settings,
}

impl Year {
    async fn begin(now: Timestamp) -> Self {
        let ground = Ground::new(now).await;
        let context = ground.context(&Metrics::new());
        let (_, held) = watch::channel(Vec::new());
        let settings = Settings {
            namespace: "provost-system".to_owned(),
            make_namespace: true,
            held,
        };
        Self {
            ground,
            context,
            settings,
        }
    }

    async fn look(&self, held: &[HeldCertificate]) {
        reconcile(&self.context, &self.settings, held).await.unwrap();
    }

    async fn objects(&self) -> Vec<PushCertificate> {
        let api: Api<PushCertificate> = Api::namespaced(self.ground.client.clone(), "provost-system");
        api.list(&ListParams::default()).await.unwrap().items
    }

    /// `Ready` and `Expiring` with its reason.
    async fn stands(&self) -> (String, String, String) {
        let status = self.objects().await.remove(0).status.unwrap();
        let [ready, expiring] = status.conditions.as_slice() else {
            panic!("{status:?}");
        };
        (
            ready.status.clone(),
            expiring.status.clone(),
            expiring.reason.clone(),
        )
    }

    async fn told(&self) -> Vec<String> {
        let api: Api<Event> = Api::namespaced(self.ground.client.clone(), "provost-system");
        let events = api.list(&ListParams::default()).await.unwrap();
        events.iter().map(|event| event.reason.clone().unwrap()).collect()
    }
}

fn stands(ready: &str, expiring: &str, reason: &str) -> (String, String, String) {
    (ready.to_owned(), expiring.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn people_are_told_sixty_thirty_and_seven_days_before_the_end_and_at_the_end() {
    let begin: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    let end = begin + SignedDuration::from_hours(365 * 24 - 24);
    let year = Year::begin(begin).await;
    let certificate = [held(TOPIC, end)];
    year.look(&certificate).await;
    assert_eq!(year.stands().await, stands("True", "False", "Succeeded"));
    let object = year.objects().await.remove(0);
    assert_eq!(object.name_any(), "com.apple.mgmt.external.0a");
    assert_eq!(object.spec.topic, TOPIC);
    assert_eq!(object.status.unwrap().not_after.unwrap().0, end);
    let mut day = 1;
    for (until, ready, reason) in [
        (60, "True", "ExpiresWithin60Days"),
        (30, "True", "ExpiresWithin30Days"),
        (7, "True", "ExpiresWithin7Days"),
        (0, "False", "Expired"),
    ] {
        while day < 365 - until {
            let before = year.objects().await.remove(0);
            let whole_day = Duration::from_hours(24);
            year.ground.clock.advance(whole_day);
            day += 1;
            year.look(&certificate).await;
            let written = year.objects().await.remove(0) != before;
            assert_eq!(written, day == 365 - until, "day {day}: only a step is written");
        }
        assert_eq!(year.stands().await, stands(ready, "True", reason));
        // The API forgets Events after a while.
        let told = year.told().await;
        assert_eq!(told.last().map(String::as_str), Some(reason));
        assert_eq!(told.iter().filter(|told| *told == reason).count(), 1);
    }

    // Renewed: the same topic, another year.
    year.look(&[held(TOPIC, end + SignedDuration::from_hours(365 * 24))])
        .await;
    assert_eq!(year.stands().await, stands("True", "False", "Succeeded"));
    assert!(year.told().await.iter().any(|told| told == "Renewed"));
    year.look(&[]).await;
    assert!(year.objects().await.is_empty(), "what is not held is not shown");
}

#[tokio::test]
async fn a_certificate_that_begins_near_its_end_is_told_of_at_once() {
    let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    let year = Year::begin(now).await;
    let end = now + SignedDuration::from_hours(5 * 24);
    year.look(&[held(TOPIC, end), held("com.apple.mgmt.External.0B", end)])
        .await;
    assert_eq!(year.stands().await, stands("True", "True", "ExpiresWithin7Days"));
    assert_eq!(year.objects().await.len(), 2);
    assert_eq!(year.told().await.len(), 2);
    year.look(&[held(TOPIC, end)]).await;
    assert_eq!(year.objects().await.len(), 1);
    assert_eq!(year.told().await.len(), 2, "once");
}
