//! What to ask a device now. Pure: from what checks read, what is known and since when, and what was asked before, to questions.
//!
//! The rules:
//!
//! - Only what a check reads is asked, DeviceInformation query by query; and what Provost itself has to know: the version of the system, and
//!   for devices without declarative management what is installed.
//! - A status item that says the same comes first: it is subscribed, and while it is fresh nothing is asked in its place.
//! - A personal device (User Enrollment) is asked for nothing that such an enrolment does not have, and of what it has, only for what is
//!   managed.
//! - By schedule a question comes again when its answer is about to grow older than its interval, and not sooner whatever the
//!   device answers. After a change (an enrolment, new content, drift, a person's wish) everything needed is asked at once.
//! - The schedule of each device has a phase of its own, derived from its id: a restart, another replica or a policy change for the whole
//!   fleet does not line devices up.

mod needs;
mod queries;
mod schedule;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::facts::{EQUIVALENT, Facts, Source};
use crate::api::common::{EnrollmentMode, Platform};

pub use needs::Needs;
pub use schedule::next_look;

/// How old the word of a status item may be. Devices repeat all of it about every 24 hours.
const SAFETY_SYNC: SignedDuration = SignedDuration::from_hours(26);
/// How many intervals pass between two lists of things, which are long and change seldom.
const LISTS: i32 = 6;

/// Whom to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// Its system.
    pub platform: Platform,
    /// How it is managed.
    pub mode: EnrollmentMode,
    /// Whether it is managed by declarations.
    pub declarative: bool,
}

/// Why to ask now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Occasion {
    /// Time has passed.
    #[default]
    Schedule,
    /// Something has happened: it enrolled, holds something new, or has left its desired state.
    Event,
    /// Somebody wants to know.
    Request,
}

/// When this is.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// How often a device is looked at.
    pub interval: Duration,
    /// Why it is looked at.
    pub occasion: Occasion,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What answers it. [`Source::StatusReport`]: a sync of declarative management.
    pub source: Source,
    /// The `Queries` of DeviceInformation; empty for the others.
    pub queries: Vec<&'static str>,
    /// Whether only what is managed may be asked for.
    pub managed_only: bool,
}

/// What to ask a device now. `asked`: when which question was last asked, as far as is known.
#[must_use]
pub fn questions(
    subject: &Subject,
    needs: &Needs,
    facts: &Facts,
    asked: &[(Source, Timestamp)],
    moment: &Moment,
) -> Vec<Question> {
    let needed = Needed {
        subject,
        needs,
        facts,
        now: moment.now,
    };
    needed
        .sources()
        .into_iter()
        .filter(|source| is_due(*source, facts, asked, moment))
        .map(|source| Question {
            source,
            queries: if source == Source::DeviceInformation {
                needed.queries()
            } else {
                Vec::new()
            },
            managed_only: subject.mode == EnrollmentMode::User && is_limited(source),
        })
        .collect()
}

struct Needed<'a> {
    subject: &'a Subject,
    needs: &'a Needs,
    facts: &'a Facts,
    now: Timestamp,
}

impl Needed<'_> {
    /// Everything that has to be asked for, and may be.
    fn sources(&self) -> BTreeSet<Source> {
        let mut sources: BTreeSet<Source> = self
            .needs
            .sources()
            .filter(|source| match source {
                Source::DeviceInformation => false,
                source => self.needs.keys(*source).any(|key| !self.is_told(*source, key)),
            })
            .collect();
        if !self.queries().is_empty() {
            sources.insert(Source::DeviceInformation);
        }
        if self.subject.declarative {
            // What is subscribed comes by itself; a device that has not said it for so long is told to say it all.
            sources.insert(Source::StatusReport);
        } else {
            sources.remove(&Source::StatusReport);
            sources.insert(Source::ProfileList);
        }
        sources.retain(|source| may_ask(*source, *self.subject));
        sources
    }

    /// The queries of DeviceInformation.
    fn queries(&self) -> Vec<&'static str> {
        let base = if self.subject.declarative {
            &[][..]
        } else {
            &queries::BASE[..]
        };
        let read = self.needs.keys(Source::DeviceInformation);
        queries::among(read.chain(base.iter().copied()), *self.subject)
            .into_iter()
            .filter(|query| !self.is_told(Source::DeviceInformation, query))
            .collect()
    }

    /// Whether a subscribed item says the same, and has lately.
    fn is_told(&self, source: Source, key: &str) -> bool {
        self.subject.declarative
            && EQUIVALENT
                .iter()
                .filter(|(_, command, same)| *command == source && *same == key)
                .any(|(item, ..)| {
                    let confirmed = self.facts.items.get(*item);
                    confirmed.is_some_and(|at| self.now.duration_since(*at) <= SAFETY_SYNC)
                })
    }
}

/// Whether such a device has an answer, and may be asked for it.
fn may_ask(source: Source, subject: Subject) -> bool {
    let personal = subject.mode == EnrollmentMode::User;
    let mac = subject.platform == Platform::MacOS;
    match source {
        Source::Restrictions => !mac && !personal,
        Source::UserList => mac && !personal,
        Source::InstalledApplicationList => !(mac && personal),
        Source::CertificateList
        | Source::DeviceInformation
        | Source::ManagedApplicationList
        | Source::ProfileList
        | Source::SecurityInfo
        | Source::StatusReport => true,
    }
}

/// Whether a question can be limited to what is managed.
const fn is_limited(source: Source) -> bool {
    matches!(
        source,
        Source::CertificateList | Source::InstalledApplicationList | Source::ProfileList
    )
}

fn is_due(source: Source, facts: &Facts, asked: &[(Source, Timestamp)], moment: &Moment) -> bool {
    let asked = asked
        .iter()
        .find(|(known, _)| *known == source)
        .map(|(_, at)| *at);
    let answered = facts.observed_at(source);
    let since = |at: Timestamp| moment.now.duration_since(at);
    let interval = SignedDuration::try_from(moment.interval).unwrap_or(SignedDuration::MAX);
    match (source, moment.occasion) {
        // Orders make a device sync; this is for one that has fallen silent.
        (Source::StatusReport, Occasion::Schedule | Occasion::Event) => {
            answered.is_some_and(|at| since(at) > SAFETY_SYNC)
                && asked.is_none_or(|at| since(at) > SAFETY_SYNC)
        }
        // What was true a moment ago was true before it happened.
        (_, Occasion::Event | Occasion::Request) => true,
        (_, Occasion::Schedule) => {
            let pace = match source {
                Source::DeviceInformation | Source::ProfileList | Source::SecurityInfo => 1,
                _ => LISTS,
            };
            // Half an interval early is better than half an interval late: devices are looked at once an interval.
            let rest = interval.saturating_mul(pace).saturating_sub(interval / 2);
            answered.max(asked).is_none_or(|at| since(at) >= rest)
        }
    }
}

#[cfg(test)]
mod tests;
