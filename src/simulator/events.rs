//! What the simulation tells: numbers and happenings, as JSON lines.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// A happening. Written as one JSON object a line, `event` first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Event {
    /// The push service listens; devices can be enrolled.
    Ready {
        /// For the server's `--apns-url`.
        apns_url: String,
        /// For the server's `--apns-ca`: the certificate itself, PEM.
        apns_ca: String,
    },
    /// Numbers, when they have changed, a few times a second at most.
    Progress(Progress),
    /// Devices have left the wanted state, as ordered.
    Drifted {
        /// Their UDIDs.
        devices: Vec<String>,
        /// How, in the order of `devices`.
        kinds: Vec<&'static str>,
    },
    /// A drifted device is back in the wanted state.
    Corrected {
        /// Its UDID.
        device: String,
        /// How it had drifted.
        kind: &'static str,
    },
    /// A device is no longer enrolled.
    Unenrolled {
        /// Its UDID.
        device: String,
        /// Why.
        reason: String,
    },
    /// A device was refused enrolment; it does not try again.
    Refused {
        /// Its UDID.
        device: String,
        /// The server's answer.
        reason: String,
    },
    /// An order could not be read or carried out.
    Error {
        /// What is wrong.
        message: String,
    },
    /// The end.
    Summary(Summary),
}

/// The fleet in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Devices that exist.
    pub devices: u64,
    /// Devices that are enrolled now.
    pub enrolled: u64,
    /// Enrolled devices that have fetched and reported all that the server wanted, at least once.
    pub synced: u64,
    /// Devices that were enrolled and no longer are.
    pub unenrolled: u64,
    /// Devices that were refused enrolment.
    pub refused: u64,
    /// Devices that are offline.
    pub offline: u64,
    /// Drifts so far.
    pub drifted: u64,
    /// Drifts that were corrected so far.
    pub corrected: u64,
    /// Pushes that reached a device.
    pub pushes: u64,
    /// Commands carried out.
    pub commands: u64,
    /// Commands carried out on users' channels.
    pub user_commands: u64,
    /// Commands answered with `NotNow`.
    pub not_now: u64,
    /// Status reports taken by the server.
    pub reports: u64,
    /// Syncs that fetched a changed set of declarations.
    pub moves: u64,
    /// Contacts that failed and were tried again.
    pub retries: u64,
}

/// The last event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The last numbers.
    #[serde(flatten)]
    pub progress: Progress,
    /// The most memory that the process ever used; 0 where the system does not tell.
    pub peak_rss_bytes: u64,
}

/// Counters that all devices share.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) unenrolled: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) drifted: AtomicU64,
    pub(super) corrected: AtomicU64,
    pub(super) pushes: AtomicU64,
    pub(super) commands: AtomicU64,
    pub(super) user_commands: AtomicU64,
    pub(super) not_now: AtomicU64,
    pub(super) reports: AtomicU64,
    pub(super) moves: AtomicU64,
    pub(super) retries: AtomicU64,
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    /// The counters' part of the numbers.
    pub(super) fn progress(&self) -> Progress {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Progress {
            unenrolled: read(&self.unenrolled),
            refused: read(&self.refused),
            drifted: read(&self.drifted),
            corrected: read(&self.corrected),
            pushes: read(&self.pushes),
            commands: read(&self.commands),
            user_commands: read(&self.user_commands),
            not_now: read(&self.not_now),
            reports: read(&self.reports),
            moves: read(&self.moves),
            retries: read(&self.retries),
            ..Progress::default()
        }
    }
}

/// The most memory that this process ever used, from Linux's `/proc`; 0 elsewhere.
pub(super) fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_flat_json_objects() {
        let progress = Event::Progress(Progress {
            devices: 3,
            not_now: 1,
            ..Progress::default()
        });
        let json = serde_json::to_value(&progress).unwrap();
        assert_eq!(
            (json["event"].as_str(), json["devices"].as_u64()),
            (Some("progress"), Some(3))
        );
        assert_eq!(json["notNow"], 1);
        let ready = Event::Ready {
            apns_url: "u".to_owned(),
            apns_ca: "c".to_owned(),
        };
        assert_eq!(
            serde_json::to_string(&ready).unwrap(),
            r#"{"event":"ready","apnsUrl":"u","apnsCa":"c"}"#
        );
        let summary = Event::Summary(Summary {
            progress: Progress::default(),
            peak_rss_bytes: 7,
        });
        assert_eq!(serde_json::to_value(&summary).unwrap()["peakRssBytes"], 7);
    }
}
