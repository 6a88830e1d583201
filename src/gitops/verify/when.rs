//! From when until when a key may sign. Pure.

use jiff::Timestamp;

/// A span of time; the end does not belong to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Option<Timestamp>,
    pub(super) until: Option<Timestamp>,
}

impl Span {
    /// Why the time is outside of it. None: it is not.
    pub(super) fn objection(&self, at: Timestamp) -> Option<String> {
        let second = |time: Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        if let Some(from) = self.from.filter(|from| at < *from) {
            return Some(format!("the key is valid only from {}", second(from)));
        }
        let until = self.until.filter(|until| at >= *until)?;
        Some(format!("the key expired at {}", second(until)))
    }
}
