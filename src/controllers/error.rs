//! One classification of errors, and one schedule of retries.

use std::time::Duration;

use strum::IntoStaticStr;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// Time may mend it: try again, less and less often.
    Retry,
    /// Only a change of the object can mend it: wait for one.
    WaitForChange,
}

/// The class of an error of the Kubernetes API.
#[must_use]
pub fn classify(error: &kube::Error) -> Class {
    match error {
        // The object itself is refused; the same request would be refused again.
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 405 | 413 | 422) => {
            Class::WaitForChange
        }
        _ => Class::Retry,
    }
}

/// Whether the API says that the object is not there.
#[must_use]
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether the API says that the object is there already.
#[must_use]
pub fn is_already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409 && status.reason == "AlreadyExists")
}

/// How long to wait before the attempt after `failures` failed ones: 1 s doubling to 5 min, shortened by up to a quarter so
/// that many objects do not come back in one moment. `jitter` is a random byte.
#[must_use]
pub fn backoff(failures: u32, jitter: u8) -> Duration {
    let whole = Duration::from_secs(1)
        .saturating_mul(1 << failures.min(9))
        .min(Duration::from_mins(5));
    whole.saturating_sub(whole / 4 * u32::from(jitter) / 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_and_ends_at_five_minutes() {
        assert_eq!(backoff(0, 0), Duration::from_secs(1));
        assert_eq!(backoff(3, 0), Duration::from_secs(8));
        assert_eq!(backoff(40, 0), Duration::from_mins(5));
        assert!(backoff(3, 255) >= Duration::from_secs(6));
    }
}
