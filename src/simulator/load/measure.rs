//! What is counted, and how it is summed up.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Buckets for each doubling: a time is known to a thirtieth.
const STEPS: u64 = 32;
/// The exponent of [`STEPS`].
const BITS: u32 = STEPS.trailing_zeros();
/// Buckets in all, for every time there is.
const BUCKETS: usize = 1920;
/// Kinds of errors that are told apart; the rest are counted as others.
const KINDS: usize = 32;

/// Times, in microseconds.
#[derive(Debug, Clone)]
struct Histogram(Vec<u64>);

impl Histogram {
    fn new() -> Self {
        Self(vec![0; BUCKETS])
    }

    fn bucket(micros: u64) -> usize {
        if micros < STEPS {
            return usize::try_from(micros).unwrap_or(0);
        }
        let exponent = micros.ilog2();
        let step = (micros >> (exponent - BITS)) % STEPS;
        usize::try_from(u64::from(exponent - BITS + 1) * STEPS + step).unwrap_or(BUCKETS - 1)
    }

    /// The least time of a bucket.
    fn least(bucket: usize) -> u64 {
        let bucket = u64::try_from(bucket).unwrap_or(0);
        match bucket / STEPS {
            0 => bucket,
            doubling => (STEPS + bucket % STEPS) << (doubling - 1),
        }
    }

    fn note(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        if let Some(count) = self.0.get_mut(Self::bucket(micros)) {
            *count += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(&other.0) {
            *count += more;
        }
    }

    /// The time that `parts` of a thousand do not exceed, in milliseconds.
    fn quantile(&self, parts: u64) -> f64 {
        let total: u64 = self.0.iter().sum();
        let wanted = (total * parts).div_ceil(1000).max(1);
        let mut seen = 0;
        let bucket = self.0.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        milliseconds(Duration::from_micros(bucket.map_or(0, Self::least)))
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// What one connection has counted.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    times: Histogram,
    done: u64,
    requests: u64,
    errors: BTreeMap<String, u64>,
    /// The longest of them.
    longest: Duration,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            times: Histogram::new(),
            done: 0,
            requests: 0,
            errors: BTreeMap::new(),
            longest: Duration::ZERO,
        }
    }

    /// One more was done, in this time.
    pub(super) fn done(&mut self, time: Duration) {
        self.done += 1;
        self.longest = self.longest.max(time);
        self.times.note(time);
    }

    /// A request was answered as it should be.
    pub(super) const fn answered(&mut self) {
        self.requests += 1;
    }

    pub(super) fn error(&mut self, what: impl Into<String>) {
        let mut what = what.into();
        if self.errors.len() >= KINDS && !self.errors.contains_key(&what) {
            "others".clone_into(&mut what);
        }
        *self.errors.entry(what).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: Self) {
        self.times.add(&other.times);
        self.done += other.done;
        self.requests += other.requests;
        self.longest = self.longest.max(other.longest);
        for (what, count) in other.errors {
            *self.errors.entry(what).or_default() += count;
        }
    }

    pub(super) fn measured(self, what: &'static str, time: Duration) -> Measured {
        let seconds = time.as_secs_f64().max(f64::MIN_POSITIVE);
        Measured {
            what,
            seconds: time.as_secs_f64(),
            count: self.done,
            per_second: rate(self.done, seconds),
            requests: self.requests,
            requests_per_second: rate(self.requests, seconds),
            p50_ms: self.times.quantile(500),
            p99_ms: self.times.quantile(990),
            max_ms: milliseconds(self.longest),
            errors: self.errors,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is not exact")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// What was measured of one thing.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    /// Of what.
    pub what: &'static str,
    /// For how long.
    pub seconds: f64,
    /// How many were done.
    pub count: u64,
    /// In a second.
    pub per_second: f64,
    /// Requests that were answered as they should be, those that lead up to what is counted included.
    pub requests: u64,
    /// In a second.
    pub requests_per_second: f64,
    /// The time that half of them took at most, in milliseconds.
    pub p50_ms: f64,
    /// The time that 99 of a hundred took at most, in milliseconds.
    pub p99_ms: f64,
    /// The time of the longest, in milliseconds.
    pub max_ms: f64,
    /// Answers that were not as they should be, by what they were.
    pub errors: BTreeMap<String, u64>,
}

impl Measured {
    /// How many errors there were.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// A run.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Connections at a time.
    pub connections: usize,
    /// Devices that took part.
    pub devices: usize,
    /// What was measured, in the order in which it was.
    pub measured: Vec<Measured>,
    /// How the first compares with a server that does nothing, in the same run. None: it was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_right_to_a_thirtieth() {
        let mut tally = Tally::new();
        for micros in 1..=10_000 {
            tally.done(Duration::from_micros(micros));
        }
        let measured = tally.measured("turns", Duration::from_secs(2));
        assert!((measured.per_second - 5000.0).abs() < 1.0);
        for (found, exact) in [
            (measured.p50_ms, 5.0),
            (measured.p99_ms, 9.9),
            (measured.max_ms, 10.0),
        ] {
            assert!((found - exact).abs() <= exact / 30.0, "{found} is not {exact}");
        }
    }

    #[test]
    fn every_time_has_its_bucket() {
        let mut last = 0;
        for micros in (0..5_000).chain([u64::from(u32::MAX), u64::MAX / 2, u64::MAX]) {
            let bucket = Histogram::bucket(micros);
            assert!(bucket >= last && bucket < BUCKETS, "{micros}: {bucket}");
            assert!(Histogram::least(bucket) <= micros);
            last = bucket;
        }
    }

    #[test]
    fn errors_are_told_apart_up_to_a_point() {
        let mut tally = Tally::new();
        for status in 0..100 {
            tally.error(format!("HTTP {status}"));
        }
        assert_eq!(tally.errors.len(), KINDS + 1);
        assert_eq!(tally.measured("turns", Duration::ZERO).error_count(), 100);
    }
}
