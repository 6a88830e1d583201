//! How near the end of a push certificate is. After it no device is woken, and a certificate under another topic wakes none of those enrolled.

use jiff::{SignedDuration, Timestamp};

use super::certificate::PushCertificate;

/// Days before the end at which people are told, the last first.
const WARNINGS: [i64; 3] = [7, 30, 60];

/// A push certificate that a server has, as far as others need know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldCertificate {
    /// Its topic.
    pub topic: String,
    /// Its beginning.
    pub not_before: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
}

impl HeldCertificate {
    /// What others need know of `certificate`.
    #[must_use]
    pub fn of(certificate: &PushCertificate) -> Self {
        Self {
            topic: certificate.topic().to_owned(),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        }
    }
}

/// Where a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expiry {
    /// Its time has not come.
    NotYet,
    /// Nothing to do.
    Far,
    /// So many days or fewer are left: 60, 30 or 7.
    Within(i64),
    /// It has ended.
    Ended,
}

impl Expiry {
    /// The state at `now`.
    #[must_use]
    pub fn of(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Self {
        let left = not_after.duration_since(now);
        if left.is_negative() || left.is_zero() {
            return Self::Ended;
        }
        if now < not_before {
            return Self::NotYet;
        }
        let near = WARNINGS
            .into_iter()
            .find(|days| left <= SignedDuration::from_hours(days * 24));
        near.map_or(Self::Far, Self::Within)
    }

    /// Whether devices can be woken.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Far | Self::Within(_))
    }
}

/// Whole days until `not_after`; negative after it.
#[must_use]
pub fn days_left(not_after: Timestamp, now: Timestamp) -> i64 {
    not_after.duration_since(now).as_secs().div_euclid(86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_sixty_thirty_and_seven_days_before_the_end() {
        let (begin, end): (Timestamp, Timestamp) = (
            "2026-01-01T00:00:00Z".parse().unwrap(),
            "2027-01-01T00:00:00Z".parse().unwrap(),
        );
        let before = |days: i64| {
            let now = end - SignedDuration::from_hours(24 * days);
            (Expiry::of(begin, end, now), days_left(end, now))
        };
        assert_eq!(before(366), (Expiry::NotYet, 366));
        assert_eq!(before(61), (Expiry::Far, 61));
        assert_eq!(before(60), (Expiry::Within(60), 60));
        assert_eq!(before(31), (Expiry::Within(60), 31));
        assert_eq!(before(30), (Expiry::Within(30), 30));
        assert_eq!(before(7), (Expiry::Within(7), 7));
        assert_eq!(before(1), (Expiry::Within(7), 1));
        assert_eq!(before(0), (Expiry::Ended, 0));
        assert_eq!(before(-1), (Expiry::Ended, -1));
        assert!(Expiry::Within(7).is_good() && !Expiry::Ended.is_good());
    }
}
