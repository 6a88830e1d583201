//! The schedule's laws, with a clock that the test moves.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::topic::later;
use super::{Outcome, PushTarget, Schedule, ScheduleSettings, WakeUp};

const TOPIC: &str = "com.apple.mgmt.External.t";

fn at(seconds: f64) -> Timestamp {
    later(
        Timestamp::UNIX_EPOCH,
        Duration::from_secs_f64(1_000_000.0 + seconds),
    )
}

fn wake_up(device: &str, last_seen: Option<f64>) -> WakeUp {
    let target = PushTarget {
        token: device.as_bytes().to_vec(),
        push_magic: "M".to_owned(),
        topic: TOPIC.into(),
    };
    WakeUp {
        device: device.into(),
        target,
        last_seen: last_seen.map(at),
    }
}

fn settings(rate_per_second: f64, burst: f64) -> ScheduleSettings {
    ScheduleSettings {
        rate_per_second,
        burst,
        ..ScheduleSettings::default()
    }
}

fn pushed(schedule: &mut Schedule, now: f64) -> Vec<String> {
    schedule
        .decide(at(now))
        .0
        .into_iter()
        .map(|push| push.device.to_string())
        .collect()
}

#[test]
fn a_device_is_woken_once_for_many_pieces_of_work() {
    let mut schedule = Schedule::new(ScheduleSettings::default());
    schedule.wake(wake_up("a", None), at(0.0));
    schedule.wake(wake_up("a", None), at(0.0));
    assert_eq!(pushed(&mut schedule, 0.0), ["a"]);
    schedule.finished("a", Outcome::Accepted, at(0.1));
    schedule.wake(wake_up("a", None), at(1.0));
    assert!(
        pushed(&mut schedule, 1.0).is_empty(),
        "the push of second 0 brings it here for this work too"
    );
    assert_eq!(pushed(&mut schedule, 5.0), ["a"], "unless it was lost");
}

#[test]
fn work_that_arrives_after_the_contact_is_pushed_at_once() {
    let mut schedule = Schedule::new(ScheduleSettings::default());
    schedule.wake(wake_up("a", None), at(0.0));
    assert_eq!(pushed(&mut schedule, 0.0), ["a"]);
    schedule.finished("a", Outcome::Accepted, at(0.1));
    schedule.seen("a", at(0.5));
    schedule.settled("a");
    assert!(schedule.is_empty());
    schedule.wake(wake_up("a", Some(0.5)), at(1.0));
    assert_eq!(pushed(&mut schedule, 1.0), ["a"]);
}

#[test]
fn a_device_that_cannot_now_is_woken_again_ever_more_rarely_and_for_new_work_at_once() {
    let mut schedule = Schedule::new(ScheduleSettings::default());
    schedule.wake(wake_up("a", None), at(0.0));
    let (mut now, mut pushes, mut times) = (0.0, Vec::new(), 0);
    // It answers each push with NotNow, for two days.
    while now < 48.0 * 3600.0 {
        for device in pushed(&mut schedule, now) {
            if times > 0 && schedule.deferred(&device, times, at(now)) {
                continue;
            }
            pushes.push(now);
            times += 1;
            schedule.finished(&device, Outcome::Accepted, at(now));
            schedule.seen(&device, at(now));
        }
        now += 10.0;
    }
    let waits: Vec<f64> = pushes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits[0] >= 30.0 && waits[0] < 60.0, "{waits:?}");
    assert!(
        waits
            .windows(2)
            .all(|pair| pair[1] > pair[0] || pair[0] > 14_000.0),
        "{waits:?}"
    );
    assert!(pushes.len() < 25, "{} pushes", pushes.len());
    assert!(*waits.last().unwrap() < 5.0 * 3600.0, "never given up: {waits:?}");

    schedule.wake(wake_up("a", None), at(now));
    assert_eq!(pushed(&mut schedule, now), ["a"]);
    schedule.wake(wake_up("a", None), at(now));
    assert!(
        !schedule.deferred("a", times, at(now)),
        "work arrived while it was asked about"
    );
}

#[test]
fn a_silent_device_is_pushed_to_ever_more_rarely() {
    let mut schedule = Schedule::new(ScheduleSettings::default());
    schedule.wake(wake_up("a", None), at(0.0));
    let mut times = Vec::new();
    let mut now = at(0.0);
    for _ in 0..14 {
        let (pushes, next) = schedule.decide(now);
        if !pushes.is_empty() {
            times.push(now);
            schedule.finished("a", Outcome::Accepted, now);
        }
        now = next.or_else(|| schedule.decide(now).1).unwrap();
    }
    let gaps: Vec<f64> = times
        .windows(2)
        .map(|pair| pair[1].duration_since(pair[0]).as_secs_f64())
        .collect();
    assert!((30.0..=36.0).contains(&gaps[0]), "{gaps:?}");
    assert!(
        gaps.windows(2)
            .all(|pair| pair[1] > pair[0] * 1.5 || pair[0] > 14_000.0),
        "{gaps:?}"
    );
    assert!(gaps.last().unwrap() <= &(4.0 * 3600.0 * 1.2), "{gaps:?}");
}

#[test]
fn the_bucket_bounds_the_rate() {
    let mut schedule = Schedule::new(settings(10.0, 5.0));
    for n in 0..100 {
        schedule.wake(wake_up(&format!("d{n}"), None), at(0.0));
    }
    assert_eq!(pushed(&mut schedule, 0.0).len(), 5);
    assert!(pushed(&mut schedule, 0.05).is_empty());
    assert_eq!(pushed(&mut schedule, 0.2).len(), 2);
    let next = schedule.decide(at(0.2)).1.unwrap();
    assert!(
        (0.05..=0.11).contains(&next.duration_since(at(0.2)).as_secs_f64()),
        "{next}"
    );
}

#[test]
fn the_number_on_the_way_is_bounded() {
    let mut schedule = Schedule::new(ScheduleSettings {
        max_in_flight: 2,
        ..ScheduleSettings::default()
    });
    for device in ["a", "b", "c"] {
        schedule.wake(wake_up(device, None), at(0.0));
    }
    let first = pushed(&mut schedule, 0.0);
    assert_eq!(first.len(), 2);
    assert_eq!(schedule.decide(at(1.0)), (vec![], None));
    schedule.finished(&first[0], Outcome::Accepted, at(1.0));
    assert_eq!(pushed(&mut schedule, 1.0).len(), 1);
}

#[test]
fn recently_seen_devices_come_first_and_nobody_starves() {
    let mut schedule = Schedule::new(settings(1.0, 1.0));
    schedule.wake(wake_up("lost", None), at(0.0));
    for n in 0..50 {
        schedule.wake(wake_up(&format!("d{n}"), Some(f64::from(n))), at(1.0));
    }
    let order: Vec<String> = (0..8)
        .flat_map(|second| pushed(&mut schedule, 2.0 + f64::from(second)))
        .collect();
    assert_eq!(order[..3], ["d49", "d48", "d47"]);
    assert_eq!(
        order[3], "lost",
        "the longest waiting has every fourth turn: {order:?}"
    );
}

#[test]
fn a_dead_token_is_forgotten_until_a_new_one_comes() {
    let mut schedule = Schedule::new(ScheduleSettings::default());
    schedule.wake(wake_up("a", None), at(0.0));
    pushed(&mut schedule, 0.0);
    schedule.finished("a", Outcome::Unregistered, at(0.1));
    assert!(schedule.is_empty());
    assert!(pushed(&mut schedule, 100_000.0).is_empty());
    schedule.wake(wake_up("a", None), at(100_001.0));
    assert_eq!(pushed(&mut schedule, 100_001.0), ["a"]);
}

#[test]
fn a_new_token_during_the_push_to_the_dead_one_is_used() {
    let mut schedule = Schedule::new(ScheduleSettings::default());
    schedule.wake(wake_up("a", None), at(0.0));
    pushed(&mut schedule, 0.0);
    let mut renewed = wake_up("a", None);
    renewed.target.token = vec![9];
    schedule.wake(renewed, at(0.05));
    schedule.finished("a", Outcome::Unregistered, at(0.1));
    let (pushes, _) = schedule.decide(at(0.1));
    assert_eq!(pushes[0].request.token, [9]);
}

#[test]
fn trouble_at_the_service_pauses_everybody_and_grows() {
    let mut schedule = Schedule::new(ScheduleSettings::default());
    for device in ["a", "b"] {
        schedule.wake(wake_up(device, None), at(0.0));
    }
    assert_eq!(pushed(&mut schedule, 0.0).len(), 2);
    schedule.finished("a", Outcome::ServiceDown(None), at(0.0));
    schedule.finished("b", Outcome::ServiceDown(None), at(0.0));
    assert!(pushed(&mut schedule, 0.9).is_empty());
    let probe = pushed(&mut schedule, 1.0);
    assert_eq!(
        probe.len(),
        1,
        "one outage is one failure, and one push finds out whether it is over"
    );
    schedule.finished(&probe[0], Outcome::ServiceDown(None), at(1.0));
    assert!(pushed(&mut schedule, 2.9).is_empty());
    let probe = pushed(&mut schedule, 3.0);
    schedule.finished(
        &probe[0],
        Outcome::ServiceDown(Some(Duration::from_mins(1))),
        at(3.0),
    );
    assert!(pushed(&mut schedule, 62.0).is_empty());
    let probe = pushed(&mut schedule, 63.0);
    assert_eq!(probe.len(), 1);
    assert_eq!(schedule.decide(at(63.5)), (vec![], None), "it is waited for");
    schedule.finished(&probe[0], Outcome::Accepted, at(64.0));
    assert_eq!(pushed(&mut schedule, 64.0).len(), 1, "and then the others follow");
}

#[test]
fn a_topic_whose_service_hangs_does_not_hold_up_the_others() {
    let mut schedule = Schedule::new(ScheduleSettings {
        max_in_flight: 2,
        ..ScheduleSettings::default()
    });
    for device in ["a", "b", "c"] {
        schedule.wake(wake_up(device, None), at(0.0));
    }
    assert_eq!(pushed(&mut schedule, 0.0).len(), 2, "none of these comes back");
    let mut other = wake_up("d", None);
    other.target.topic = "com.apple.mgmt.External.other".into();
    schedule.wake(other.clone(), at(1.0));
    assert_eq!(pushed(&mut schedule, 1.0), ["d"]);
    // Trouble of one is none of the other.
    schedule.finished("d", Outcome::ServiceDown(None), at(1.0));
    schedule.finished("a", Outcome::Accepted, at(1.0));
    assert_eq!(pushed(&mut schedule, 1.0).len(), 1);
    // A device that changes its topic while a push is on its way leaves the count right.
    let mut moved = wake_up("b", None);
    moved.target.topic = other.target.topic;
    schedule.wake(moved, at(2.0));
    schedule.finished("b", Outcome::Accepted, at(2.0));
    schedule.wake(wake_up("e", None), at(2.0));
    let mut both = pushed(&mut schedule, 2.0);
    both.sort();
    assert_eq!(both, ["d", "e"]);
}

#[test]
fn a_busy_device_waits_alone() {
    let mut schedule = Schedule::new(ScheduleSettings::default());
    schedule.wake(wake_up("a", None), at(0.0));
    pushed(&mut schedule, 0.0);
    schedule.finished("a", Outcome::DeviceBusy(Some(Duration::from_secs(10))), at(0.0));
    schedule.wake(wake_up("b", None), at(1.0));
    assert_eq!(pushed(&mut schedule, 1.0), ["b"]);
    assert_eq!(pushed(&mut schedule, 10.0), ["a"]);
}

#[test]
fn without_a_certificate_nothing_is_kept() {
    let mut schedule = Schedule::new(ScheduleSettings::default());
    schedule.wake(wake_up("a", None), at(0.0));
    pushed(&mut schedule, 0.0);
    schedule.finished("a", Outcome::Unconfigured, at(0.0));
    assert!(schedule.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Wake(u8),
    Seen(u8),
    Settled(u8),
    Finished(u8, Outcome),
    Decide,
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        Just(Outcome::Accepted),
        Just(Outcome::Unregistered),
        Just(Outcome::AddressRefused),
        Just(Outcome::DeviceBusy(None)),
        Just(Outcome::ServiceDown(None)),
        Just(Outcome::Rejected),
    ];
    prop_oneof![
        (0..6u8).prop_map(Step::Wake),
        (0..6u8).prop_map(Step::Seen),
        (0..6u8).prop_map(Step::Settled),
        ((0..6u8), outcome).prop_map(|(device, outcome)| Step::Finished(device, outcome)),
        Just(Step::Decide),
        (1..5000u16).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever happened before: a device with work is pushed to in the end, one without is not, and there is never
    /// more than one push to a device on its way.
    #[test]
    fn work_is_never_forgotten(steps in proptest::collection::vec(step(), 0..60)) {
        let mut schedule = Schedule::new(ScheduleSettings { max_in_flight: 3, ..settings(5.0, 2.0) });
        let mut now = at(0.0);
        let mut flying: Vec<Arc<str>> = Vec::new();
        for step in steps {
            match step {
                Step::Wake(n) => schedule.wake(wake_up(&format!("d{n}"), None), now),
                Step::Seen(n) => schedule.seen(&format!("d{n}"), now),
                Step::Settled(n) => {
                    schedule.settled(&format!("d{n}"));
                    flying.retain(|device| **device != *format!("d{n}"));
                }
                Step::Finished(n, outcome) => {
                    schedule.finished(&format!("d{n}"), outcome, now);
                    flying.retain(|device| **device != *format!("d{n}"));
                }
                Step::Decide => {
                    for push in schedule.decide(now).0 {
                        prop_assert!(!flying.contains(&push.device));
                        flying.push(push.device);
                    }
                    prop_assert!(flying.len() <= 3);
                }
                Step::Wait(millis) => now = later(now, Duration::from_millis(millis.into())),
            }
        }
        for device in flying.drain(..) {
            schedule.finished(&device, Outcome::Accepted, now);
        }
        let mut missing: std::collections::BTreeSet<Arc<str>> =
            (0..6).map(|n| Arc::from(format!("d{n}"))).collect();
        let expected = schedule.len();
        let mut reached = 0;
        for _ in 0..200 {
            let (pushes, next) = schedule.decide(now);
            for push in pushes {
                reached += usize::from(missing.remove(&push.device));
                schedule.finished(&push.device, Outcome::Accepted, now);
            }
            now = next.unwrap_or(now).max(later(now, Duration::from_secs(1)));
        }
        prop_assert_eq!(reached, expected);
    }
}
