//! NIST SP 800-124 revision 2, the guide to mobile devices in the enterprise. It numbers no controls: these are names of ours for the threats that it
//! describes and the protections that it recommends.

use super::{About, listed, with};
use crate::compliance::frameworks::Framework;

const SUBJECTS: [(&str, &str); 17] = [
    ("app-vetting", "Vetting and control of apps"),
    ("certificates", "Installation of unauthorised certificates"),
    ("configuration", "Devices that are misconfigured"),
    ("credential-theft", "Theft of credentials by phishing"),
    ("data-isolation", "Separation of work and private data"),
    ("data-synchronization", "Loss of data by synchronisation"),
    ("device-integrity", "Integrity of the system and attestation"),
    ("enrollment", "Managed enrolment, and devices that nobody manages"),
    ("lock-screen", "Loss of information on the locked screen"),
    ("loss-and-theft", "Loss and theft of devices"),
    ("malware", "Malicious software"),
    ("privacy", "Privacy of users"),
    ("remote-wipe", "Remote wipe"),
    ("shadow-it", "Services that the organisation does not know"),
    ("strong-authentication", "Strong authentication"),
    ("updates", "Vulnerabilities and quick updates"),
    (
        "wireless",
        "Eavesdropping on wireless traffic, and secure connections",
    ),
];

pub(super) fn framework() -> Framework {
    let about = About {
        id: "800-124r2",
        title: "NIST SP 800-124, managing the security of mobile devices",
        version: "revision 2, May 2023",
        source: "https://doi.org/10.6028/NIST.SP.800-124r2",
        note: "The guide has no numbered controls; the ids are Provost's names for its threats and recommendations.",
    };
    with(about, listed(&SUBJECTS))
}
