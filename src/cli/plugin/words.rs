//! Small turns of phrase that several subcommands use.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::kubeapi::table::human_duration;

/// How many digits of a commit are shown where there is little room.
const SHORT_COMMIT: usize = 7;

/// The condition of a type.
pub(super) fn condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// `True`, `False` or `Unknown`; nothing where the condition has not been written yet.
pub(super) fn status<'a>(conditions: &'a [Condition], type_: &str) -> &'a str {
    condition(conditions, type_).map_or("", |condition| condition.status.as_str())
}

/// `5m ago`.
pub(super) fn ago(then: Timestamp, now: Timestamp) -> String {
    format!("{} ago", human_duration(then, now))
}

/// `5m ago (2026-03-01T09:00:00Z)`.
pub(super) fn since(then: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", ago(then, now), moment(then))
}

/// A moment in whole seconds.
pub(super) fn moment(then: Timestamp) -> String {
    Timestamp::from_second(then.as_second())
        .unwrap_or(then)
        .to_string()
}

/// `main@sha1:0123456…` with fewer digits.
pub(super) fn short_revision(revision: &str) -> String {
    match revision.split_once(':') {
        Some((reference, commit)) => {
            let end = commit
                .char_indices()
                .nth(SHORT_COMMIT)
                .map_or(commit.len(), |(end, _)| end);
            format!("{reference}:{}", commit.get(..end).unwrap_or(commit))
        }
        None => revision.to_owned(),
    }
}

/// The commit of a revision, as git takes it.
pub(super) fn commit(revision: &str) -> &str {
    revision.rsplit(':').next().unwrap_or(revision)
}

/// Text from elsewhere on one line, without anything that would move the cursor of a terminal.
pub(in crate::cli) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

/// The same, with its lines kept.
pub(super) fn lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// The first of many, and how many more there are.
pub(in crate::cli) fn some_of<'a>(names: impl IntoIterator<Item = &'a str>, most: usize) -> String {
    let names: Vec<&str> = names.into_iter().collect();
    let shown: Vec<&str> = names.iter().copied().take(most).collect();
    match names.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
