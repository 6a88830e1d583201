//! Conditions: the contract by which every kind says how it is, in kstatus' terms.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use strum::IntoStaticStr;

/// The longest message kept. Kubernetes allows 32,768 bytes; nobody reads that much.
const MAXIMUM_MESSAGE: usize = 4_096;

/// The types of condition that Provost writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
pub enum ConditionType {
    /// In the desired state.
    Ready,
    /// Work goes on that time will finish.
    Reconciling,
    /// Only a change of the spec (or of the source) can help.
    Stalled,
    /// On a Device: an enrolment is active.
    Enrolled,
    /// On a Device: what it reports as installed is what it was told to have.
    Synced,
    /// On a Device or an Assignment: no rule fails and none is unknown.
    Compliant,
    /// On an Assignment: two rules want different values for one setting.
    Conflicted,
    /// On a PushCertificate: it ends soon, or has ended.
    Expiring,
    /// On a Waiver: it has ended.
    Expired,
    /// On a GitSource that asks for signatures: the newest revision seen is signed by somebody who may.
    SourceVerified,
}

/// Why a condition has its value. Documented, CamelCase, never free text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
pub enum Reason {
    /// Everything the object asks for is done.
    Succeeded,
    /// Under way for the first time or after a change.
    Progressing,
    /// Failed, and will be tried again by itself.
    ProgressingWithRetry,
    /// The object asks to be left alone.
    Suspended,
    /// The repository could not be read.
    GitOperationFailed,
    /// The repository refused the credentials.
    AuthenticationFailed,
    /// A file in the revision is wrong; the revision before it stays in force.
    InvalidRevision,
    /// The revision is signed by somebody who may.
    Verified,
    /// The revision is not signed as the source asks; the revision before it stays in force.
    VerificationError,
    /// The revision would remove too much, or holds nothing; a person must allow it.
    PruneNeedsApproval,
    /// The API refused an object.
    ApplyFailed,
    /// The spec is wrong in a way the schema cannot say.
    InvalidSpec,
    /// Something the spec names does not exist (yet).
    DependencyNotReady,
    /// The Secret that the spec names may not be read.
    SecretNotGranted,
    /// The Secret that the spec names does not exist.
    SecretNotFound,
    /// The Secret that the spec names lacks something.
    SecretIncomplete,
    /// Rules contradict each other.
    Conflict,
    /// An enrolment is active.
    Enrolled,
    /// The enrolment has begun and waits for the first TokenUpdate.
    AwaitingTokenUpdate,
    /// The enrolment ended.
    NotEnrolled,
    /// Un-enrolment waits for the device's next contact.
    AwaitingRemoval,
    /// The device holds what it should.
    InSync,
    /// The device has not yet reported what it should hold.
    AwaitingReport,
    /// The push service refuses the device's push address, so that it comes only by itself, and it does not hold what it should.
    PushRefused,
    /// The device has not been heard of for a day or longer, and does not hold what it should.
    NotSeen,
    /// The device reports that it could not apply something.
    DeviceReportedError,
    /// Every applicable rule passes.
    AllRulesPass,
    /// At least one rule fails.
    RulesFail,
    /// No rule fails, but evidence is missing for some.
    EvidenceMissing,
    /// No rule applies.
    NoRules,
    /// The certificate ends within 60 days.
    ExpiresWithin60Days,
    /// The certificate ends within 30 days.
    ExpiresWithin30Days,
    /// The certificate ends within 7 days.
    ExpiresWithin7Days,
    /// The certificate, or the waiver, has ended.
    Expired,
    /// The certificate's time has not come.
    NotYetValid,
}

/// The value of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
pub enum Status {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Not known (yet).
    Unknown,
}

impl From<bool> for Status {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// One statement to merge into a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// About what.
    pub kind: ConditionType,
    /// Does it hold?
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

impl Statement {
    /// A statement with its message.
    pub fn new(
        kind: ConditionType,
        status: impl Into<Status>,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            status: status.into(),
            reason,
            message: message.into(),
        }
    }
}

/// Merges `statements` into `old`: a condition that is not stated is dropped, the transition time moves only
/// when the value does. The one place that makes conditions.
#[must_use]
pub fn merge(
    old: &[Condition],
    statements: &[Statement],
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    statements
        .iter()
        .map(|statement| {
            let type_: &'static str = statement.kind.into();
            let status: &'static str = statement.status.into();
            let reason: &'static str = statement.reason.into();
            let since = old
                .iter()
                .find(|condition| condition.type_ == type_ && condition.status == status)
                .map_or_else(|| Time(now), |condition| condition.last_transition_time.clone());
            Condition {
                type_: type_.to_owned(),
                status: status.to_owned(),
                reason: reason.to_owned(),
                message: shorten(&statement.message),
                observed_generation: generation,
                last_transition_time: since,
            }
        })
        .collect()
}

fn shorten(message: &str) -> String {
    if message.len() <= MAXIMUM_MESSAGE {
        return message.to_owned();
    }
    let end = message.floor_char_boundary(MAXIMUM_MESSAGE - '…'.len_utf8());
    format!("{}…", message.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_with_the_value() {
        let ready =
            |ok: bool, text: &str| vec![Statement::new(ConditionType::Ready, ok, Reason::Succeeded, text)];
        let first = merge(&[], &ready(false, "a"), Some(1), at(1));
        let second = merge(&first, &ready(false, "b"), Some(2), at(2));
        assert_eq!(second[0].last_transition_time.0, at(1));
        assert_eq!(
            (second[0].message.as_str(), second[0].observed_generation),
            ("b", Some(2))
        );
        let third = merge(&second, &ready(true, "c"), Some(2), at(3));
        assert_eq!(third[0].last_transition_time.0, at(3));
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let statement = Statement::new(
            ConditionType::Ready,
            false,
            Reason::InvalidSpec,
            "é".repeat(4_000),
        );
        let merged = merge(&[], &[statement], None, at(1));
        assert!(merged[0].message.len() <= MAXIMUM_MESSAGE);
        assert!(merged[0].message.ends_with('…'));
    }
}
