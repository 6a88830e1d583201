//! CIS Critical Security Controls v8: numbers of its safeguards. What a group is about is in our own words.

use super::{About, with};
use crate::compliance::frameworks::Framework;

/// Subject and number of safeguards of each control, from the first.
const CONTROLS: [(&str, usize); 18] = [
    ("Inventory of devices", 5),
    ("Inventory of software", 7),
    ("Protection of data", 14),
    ("Secure configuration of devices and software", 12),
    ("Accounts", 6),
    ("Access rights", 8),
    ("Vulnerabilities and updates", 7),
    ("Audit logs", 12),
    ("Mail and web browsers", 7),
    ("Malware", 7),
    ("Backup and recovery", 5),
    ("Network devices", 8),
    ("Monitoring and defence of the network", 11),
    ("Awareness and training", 9),
    ("Service providers", 7),
    ("Security of applications", 14),
    ("Incident response", 9),
    ("Penetration tests", 5),
];

pub(super) fn framework() -> Framework {
    let about = About {
        id: "cis-v8",
        title: "CIS Critical Security Controls",
        version: "8",
        source: "https://www.cisecurity.org/controls/v8",
        note: "Numbers of safeguards only. Meeting them is no certification by CIS.",
    };
    let controls = CONTROLS
        .iter()
        .enumerate()
        .flat_map(|(n, (subject, safeguards))| {
            (1..=*safeguards).map(move |safeguard| (format!("{}.{safeguard}", n + 1), *subject))
        });
    with(about, controls.collect())
}
