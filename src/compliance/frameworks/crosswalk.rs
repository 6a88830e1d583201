//! The crosswalk: what one control of one framework has to do with those of others.

use std::collections::{BTreeMap, BTreeSet};

use super::tables::SOURCES_OF_800_171;
use crate::api::baseline::ControlRef;

/// What has to be said wherever something of the crosswalk is shown.
pub const CAVEAT: &str = "A rule that passes supports a control; it certifies nothing. What is related to SOC 2, HIPAA, CIS and 800-124 is Provost's own judgement: \
     confirm it with your auditor.";

/// A subject on devices, and the controls of each framework that are about it.
#[derive(Debug, Clone, Copy)]
pub struct Topic {
    /// The subject.
    pub title: &'static str,
    /// Of CIS v8.
    pub cis_v8: &'static [&'static str],
    /// Of NIST SP 800-53r5.
    pub nist_800_53: &'static [&'static str],
    /// Of SOC 2.
    pub soc2: &'static [&'static str],
    /// Of HIPAA.
    pub hipaa: &'static [&'static str],
    /// Of NIST SP 800-124r2.
    pub nist_800_124: &'static [&'static str],
}

impl Topic {
    /// Its controls, by framework.
    #[must_use]
    pub const fn controls(&self) -> [(&'static str, &'static [&'static str]); 5] {
        [
            ("800-124r2", self.nist_800_124),
            (NIST_800_53, self.nist_800_53),
            ("cis-v8", self.cis_v8),
            ("hipaa", self.hipaa),
            ("soc2", self.soc2),
        ]
    }
}

const NIST_800_53: &str = "800-53r5";
const NIST_800_171: &str = "800-171r3";

/// What has to do with what, by subject.
pub const TOPICS: [Topic; 23] = [
    topic(
        "Disk encryption and escrow of keys",
        &["3.6", "3.11"],
        &["SC-28", "SC-28(1)", "SC-12"],
        &["CC6.1", "CC6.7"],
        &["164.312(a)(2)(iv)"],
        &["loss-and-theft"],
    ),
    topic(
        "Encrypted backups",
        &["11.2", "11.3"],
        &["CP-9(8)", "SC-28"],
        &["CC6.7", "A1.2"],
        &["164.312(a)(2)(iv)", "164.308(a)(7)(ii)(A)"],
        &["data-synchronization"],
    ),
    topic(
        "Screen lock after idle time",
        &["4.3", "4.7"],
        &["AC-11", "AC-11(1)", "IA-11"],
        &["CC6.1"],
        &["164.312(a)(2)(iii)"],
        &["lock-screen", "loss-and-theft"],
    ),
    topic(
        "Quality of passcodes",
        &["5.2"],
        &["IA-5(1)"],
        &["CC6.1"],
        &["164.312(d)", "164.308(a)(5)(ii)(D)"],
        &["lock-screen", "strong-authentication"],
    ),
    topic(
        "Lockout after failed attempts",
        &["6.2", "4.10"],
        &["AC-7"],
        &["CC6.1"],
        &["164.312(a)(1)", "164.312(d)"],
        &["loss-and-theft"],
    ),
    topic(
        "Several factors, smart cards and single sign-on",
        &["6.3", "6.4", "6.5"],
        &["IA-2(1)", "IA-2(2)", "IA-2(6)", "IA-2(8)", "IA-2(12)"],
        &["CC6.1", "CC6.2"],
        &["164.312(d)"],
        &["strong-authentication", "credential-theft"],
    ),
    topic(
        "Guests, automatic login and administrators",
        &["4.7", "5.2", "5.4", "6.8"],
        &["AC-2(9)", "IA-2", "IA-2(5)", "AC-6"],
        &["CC6.1", "CC6.2", "CC6.3"],
        &["164.312(a)(1)", "164.312(a)(2)(i)"],
        &["configuration"],
    ),
    topic(
        "Firewall of the host",
        &["4.5", "4.1", "13.1", "8.2", "8.5"],
        &["SC-7", "SC-7(12)", "SC-7(16)", "AC-4"],
        &["CC6.6"],
        &["164.312(e)(1)", "164.312(a)(1)"],
        &["configuration", "wireless"],
    ),
    topic(
        "Remote services off",
        &["4.8", "4.1"],
        &["CM-7", "CM-7(1)", "AC-17"],
        &["CC6.6", "CC6.1"],
        &["164.312(a)(1)"],
        &["configuration"],
    ),
    topic(
        "Protection from malware",
        &["10.1", "10.2", "10.5"],
        &["SI-3", "SI-7(1)", "SI-7(15)", "CM-14", "CM-5"],
        &["CC6.8"],
        &["164.308(a)(5)(ii)(B)", "164.312(c)(1)"],
        &["malware"],
    ),
    topic(
        "Integrity of the system",
        &["10.5", "2.3", "2.6", "3.6", "3.11"],
        &["SI-7", "SI-7(5)", "SI-7(6)", "SI-6", "SC-34", "AC-3", "CM-5"],
        &["CC6.8", "CC7.1"],
        &["164.312(c)(1)", "164.312(c)(2)"],
        &["device-integrity"],
    ),
    topic(
        "Recovery lock and firmware password",
        &[],
        &["AC-6"],
        &["CC6.1"],
        &["164.312(a)(1)"],
        &["loss-and-theft"],
    ),
    topic(
        "Updates, deadlines and supported systems",
        &["7.3", "7.4", "7.7"],
        &["SI-2"],
        &["CC7.1", "CC8.1"],
        &["164.308(a)(1)(ii)(B)", "164.308(a)(5)(ii)(B)"],
        &["updates"],
    ),
    topic(
        "Audit logs and how long they are kept",
        &["8.1", "8.2", "8.3", "8.5", "8.10", "3.3", "3.14"],
        &["AU-2", "AU-3", "AU-9", "AU-11", "AU-12"],
        &["CC7.2", "CC7.3"],
        &["164.312(b)"],
        &[],
    ),
    topic(
        "Synchronised clocks",
        &["8.4"],
        &["AU-12(1)", "SC-45(1)", "AU-8"],
        &["CC7.2"],
        &["164.312(b)"],
        &[],
    ),
    topic(
        "Remote lock, wipe and lost mode",
        &["4.11"],
        &["AC-7(2)", "MP-6(8)"],
        &["CC6.5", "CC6.7"],
        &["164.310(d)(2)(i)", "164.312(a)(2)(iv)"],
        &["remote-wipe", "loss-and-theft"],
    ),
    topic(
        "Separation of work and private data",
        &["3.3", "4.12"],
        &["AC-3", "MP-2", "SC-7(10)", "SC-39"],
        &["CC6.7"],
        &["164.312(a)(1)", "164.312(e)(1)"],
        &["data-isolation", "privacy"],
    ),
    topic(
        "Limits of cloud services and AirDrop",
        &["4.1", "4.8", "6.7", "15.3"],
        &["AC-20", "CM-7", "SC-7(10)"],
        &["CC6.7"],
        &["164.312(e)(1)"],
        &["data-synchronization", "shadow-it"],
    ),
    topic(
        "Removable and external storage",
        &["3.9", "10.3"],
        &["MP-7"],
        &["CC6.7"],
        &["164.310(d)(1)"],
        &["data-synchronization"],
    ),
    topic(
        "Certificates, trust in TLS and attestation",
        &[],
        &["SC-17", "IA-3"],
        &["CC6.1", "CC6.7"],
        &["164.312(d)", "164.312(e)(2)(ii)"],
        &["certificates", "wireless"],
    ),
    topic(
        "Control and inventory of apps",
        &["2.1", "2.5"],
        &["CM-11(2)", "CM-8"],
        &["CC6.8", "CC7.1"],
        &["164.310(d)(2)(iii)"],
        &["app-vetting", "malware"],
    ),
    topic(
        "Managed enrolment, baseline and drift",
        &["4.1", "5.1", "1.1"],
        &["CM-2", "CM-6"],
        &["CC7.1", "CC8.1", "CC5.2"],
        &["164.308(a)(8)", "164.308(a)(1)(ii)(B)"],
        &["enrollment", "configuration"],
    ),
    topic("Banner before login", &["4.1"], &["AC-8"], &["CC2.3"], &[], &[]),
];

const fn topic(
    title: &'static str,
    cis_v8: &'static [&'static str],
    nist_800_53: &'static [&'static str],
    soc2: &'static [&'static str],
    hipaa: &'static [&'static str],
    nist_800_124: &'static [&'static str],
) -> Topic {
    Topic {
        title,
        cis_v8,
        nist_800_53,
        soc2,
        hipaa,
        nist_800_124,
    }
}

/// The controls of other frameworks that a control of 800-53 has to do with, by framework; and for one of 800-171, its sources in 800-53 and what those have
/// to do with. The crosswalk goes by 800-53: of a control of any other framework it says nothing, because what is related to what is related would be
/// related to nearly everything.
#[must_use]
pub fn related(control: &ControlRef) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut related: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    match control.framework.as_str() {
        NIST_800_53 => add_related(&control.id, &mut related),
        NIST_800_171 => {
            let sources = SOURCES_OF_800_171.iter().find(|(id, ..)| *id == control.id);
            for source in sources.into_iter().flat_map(|(.., sources)| sources.iter()) {
                related.entry(NIST_800_53).or_default().insert(source);
                add_related(source, &mut related);
            }
            related.remove(NIST_800_171);
        }
        _ => {}
    }
    related
}

fn add_related(control: &str, related: &mut BTreeMap<&'static str, BTreeSet<&'static str>>) {
    for (id, _, sources) in &SOURCES_OF_800_171 {
        if sources.contains(&control) {
            related.entry(NIST_800_171).or_default().insert(id);
        }
    }
    for topic in TOPICS.iter().filter(|topic| topic.nist_800_53.contains(&control)) {
        for (framework, controls) in topic.controls() {
            if framework != NIST_800_53 && !controls.is_empty() {
                related.entry(framework).or_default().extend(controls);
            }
        }
    }
}
