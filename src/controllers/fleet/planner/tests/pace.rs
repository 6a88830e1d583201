//! How often the planner acts.

use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::controllers::fleet::fixtures::{at, empty_lists, enrollment, id, namespace};
use crate::controllers::fleet::planner::{PAUSE, Planner};
use crate::controllers::fleet::{Settings, world::Fleet};
use crate::controllers::ground::Ground;
use crate::store::{Change, StoreError};
use crate::telemetry::Metrics;

/// A planner that has listed everything and read every enrolment.
async fn planner() -> (Planner, Ground) {
    let ground = Ground::new(at(0)).await;
    let settings = Settings {
        public_url: "https://mdm.example.com".to_owned(),
        evidence_interval: Duration::from_mins(15),
    };
    let mut planner = Planner::new(ground.context(&Metrics::new()), settings);
    for event in empty_lists() {
        planner.world.observe(event);
    }
    planner.loaded = true;
    (planner, ground)
}

#[tokio::test]
async fn rounds_that_fail_come_less_and_less_often() {
    let (mut planner, _ground) = planner().await;
    let now = Instant::now();
    assert_eq!(planner.next_round(now), None, "there is nothing to do");
    planner.world.enroll(enrollment("A", "lab"), at(900), at(0));
    assert_eq!(planner.next_round(now), Some(now + PAUSE));
    let mut last = Duration::ZERO;
    for _ in 0..4 {
        planner.rest(Err(StoreError::Closed));
        let pause = planner.next_round(now).unwrap() - now;
        assert!(
            pause > last && pause > Duration::from_secs(1),
            "{pause:?} after {last:?}"
        );
        last = pause;
    }
    planner.rest(Ok(()));
    planner.rest_until = now;
    assert_eq!(
        (planner.failures, planner.next_round(now)),
        (0, Some(now + PAUSE))
    );
}

#[tokio::test]
async fn sums_alone_wait_for_their_time() {
    let (mut planner, _ground) = planner().await;
    let now = Instant::now();
    let fleet = Fleet {
        resum: true,
        ..Fleet::default()
    };
    planner.world.fleets.insert(namespace("fleet"), fleet);
    planner.sums_at = now + Duration::from_secs(3);
    assert_eq!(planner.next_round(now), Some(planner.sums_at));
    planner.changed.insert(id("A"));
    assert_eq!(
        planner.next_round(now),
        Some(now + PAUSE),
        "other work does not wait for them"
    );
}

#[tokio::test]
async fn a_feed_that_was_too_fast_has_everything_looked_at_again() {
    let (mut planner, _ground) = planner().await;
    let (sender, mut feed) = broadcast::channel(2);
    let send = |name: &str| sender.send(Change::Facts(id(name))).unwrap();
    send("A");
    let first = feed.recv().await;
    // More comes while the first is being taken in than the feed can hold.
    for name in ["B", "C", "D", "E"] {
        send(name);
    }
    assert!(planner.take(first, &mut feed));
    assert!(!planner.loaded);
    assert!(planner.changed.contains(&id("E")));
    drop(sender);
    let last = feed.recv().await;
    assert!(!planner.take(last, &mut feed), "the store is closed");
}
