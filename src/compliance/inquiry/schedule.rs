//! When a device is looked at: once an interval, each at a time of its own.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::ids::{Digest, EnrollmentId};

/// The next time after `now` to look at a device. The times of one device are an interval apart, and their phase follows from its id: it is
/// the same after a restart and on every replica, and differs from device to device.
#[must_use]
pub fn next_look(id: &EnrollmentId, interval: Duration, now: Timestamp) -> Timestamp {
    let Digest([a, b, c, d, ..]) = Digest::of(id.as_str().as_bytes());
    let share = i128::from(u32::from_be_bytes([a, b, c, d]));
    let interval = i128::try_from(interval.as_nanos()).unwrap_or(i128::MAX).max(1);
    let phase = interval.saturating_mul(share) >> 32;
    let since = (now.as_nanosecond() - phase).rem_euclid(interval);
    // Rounded up to what the store keeps: never just before the time that it is after.
    let wait = i64::try_from((interval - since + 999) / 1_000).unwrap_or(i64::MAX);
    now.saturating_add(SignedDuration::from_micros(wait))
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn id(n: u32) -> EnrollmentId {
        EnrollmentId::parse(&format!("DEVICE-{n}")).unwrap()
    }

    #[test]
    fn looks_are_spread_over_the_interval_and_keep_their_phase() {
        let now: Timestamp = "2026-11-24T12:34:56.789Z".parse().unwrap();
        let interval = Duration::from_mins(15);
        let looks: BTreeSet<Timestamp> = (0..64).map(|n| next_look(&id(n), interval, now)).collect();
        assert!(looks.len() > 60, "{}", looks.len());
        assert!(looks.iter().all(|at| *at > now && *at <= now + interval));
        for n in 0..64 {
            let first = next_look(&id(n), interval, now);
            let second = next_look(&id(n), interval, first);
            let apart = second.duration_since(first) - SignedDuration::from_mins(15);
            assert!(apart.abs() <= SignedDuration::from_micros(2), "{apart:?}");
            // Whoever asks in between, after a restart or elsewhere, comes to the same time.
            let between = next_look(&id(n), interval, first - Duration::from_mins(1));
            assert!(between.duration_since(first).abs() <= SignedDuration::from_micros(2));
        }
    }

    #[test]
    fn odd_intervals_do_no_harm() {
        let now = Timestamp::UNIX_EPOCH;
        assert!(next_look(&id(1), Duration::ZERO, now) > now);
        assert!(next_look(&id(1), Duration::MAX, now) > now);
    }
}
