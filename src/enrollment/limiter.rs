//! How often one source may try: a token bucket for each address, in a map of bounded size.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// The rate of a limiter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Attempts that may come at once.
    pub burst: f64,
    /// Attempts a second in the long run.
    pub per_second: f64,
    /// The most sources that are told apart.
    pub sources: usize,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            burst: 100.0,
            per_second: 10.0,
            sources: 10_000,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled_at: Timestamp,
}

/// Counts attempts by source.
#[derive(Debug)]
pub struct Limiter {
    rate: Rate,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

impl Limiter {
    /// A limiter at `rate`.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            buckets: Mutex::default(),
        }
    }

    /// Whether `source` may try now. Its attempt is counted. Sources that come when the map is full share what is left: they are refused until
    /// others have been quiet for long enough to be forgotten.
    pub fn allow(&self, source: IpAddr, now: Timestamp) -> bool {
        let source = network_of(source);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= self.rate.sources && !buckets.contains_key(&source) {
            buckets.retain(|_, bucket| self.filled(*bucket, now) < self.rate.burst);
            if buckets.len() >= self.rate.sources {
                return false;
            }
        }
        let bucket = buckets.entry(source).or_insert(Bucket {
            tokens: self.rate.burst,
            filled_at: now,
        });
        bucket.tokens = self.filled(*bucket, now);
        bucket.filled_at = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    /// Gives an attempt back: it came to something, and is no reason to be careful.
    pub fn forgive(&self, source: IpAddr) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&network_of(source)) {
            bucket.tokens = (bucket.tokens + 1.0).min(self.rate.burst);
        }
    }

    fn filled(&self, bucket: Bucket, now: Timestamp) -> f64 {
        let seconds = now.duration_since(bucket.filled_at).as_secs_f64().max(0.0);
        seconds
            .mul_add(self.rate.per_second, bucket.tokens)
            .min(self.rate.burst)
    }
}

/// One household of IPv6 has a whole /64; counting its addresses would count nothing.
fn network_of(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        burst: 2.0,
        per_second: 1.0,
        sources: 2,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn source(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn attempts_that_come_to_something_do_not_count() {
        let limiter = Limiter::new(RATE);
        for _ in 0..10 {
            assert!(limiter.allow(source(1), at(0)));
            limiter.forgive(source(1));
        }
        assert!(limiter.allow(source(1), at(0)));
        assert!(limiter.allow(source(1), at(0)));
        assert!(!limiter.allow(source(1), at(0)));
    }

    #[test]
    fn a_source_may_try_a_few_times_and_then_at_the_rate() {
        let limiter = Limiter::new(RATE);
        let tries: Vec<_> = [0, 0, 0, 1, 1, 100, 100, 100]
            .map(|second| limiter.allow(source(1), at(second)))
            .into();
        assert_eq!(tries, [true, true, false, true, false, true, true, false]);
    }

    #[test]
    fn one_source_does_not_use_up_what_another_has() {
        let limiter = Limiter::new(RATE);
        while limiter.allow(source(1), at(0)) {}
        assert!(limiter.allow(source(2), at(0)));
    }

    #[test]
    fn the_map_stays_small_and_forgets_the_quiet() {
        let limiter = Limiter::new(RATE);
        assert!(limiter.allow(source(1), at(0)));
        assert!(limiter.allow(source(2), at(0)));
        assert!(!limiter.allow(source(3), at(0)));
        assert!(limiter.allow(source(3), at(60)));
        assert_eq!(limiter.buckets.lock().unwrap().len(), 1);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let limiter = Limiter::new(RATE);
        let near = ["2001:db8::1", "2001:db8::2", "2001:db8::3"];
        let tries = near.map(|address| limiter.allow(address.parse().unwrap(), at(0)));
        assert_eq!(tries, [true, true, false]);
    }
}
