//! The answer, as a page. Pure.

use jiff::Timestamp;

use super::explain::Explanation;
use super::origin::Commit;
use crate::api::common::Verdict;
use crate::cli::plugin::device::transition;
use crate::cli::plugin::page::{Page, Style, Tone};
use crate::cli::plugin::words::{commit, since};

pub(in crate::cli::plugin) fn render(explanation: &Explanation, style: Style, now: Timestamp) -> String {
    let mut page = Page::new(style);
    verdict(&mut page, explanation, now);
    rule(&mut page, explanation);
    page.heading("Demanded by");
    for asked in &explanation.assignments {
        let mut parts = vec![format!("{}: {:?}", asked.name, asked.mode)];
        parts.extend(
            asked
                .parameters
                .iter()
                .map(|(name, value)| format!("{name} = {value}")),
        );
        parts.extend(
            asked
                .revision
                .iter()
                .map(|revision| format!("in force at {revision}")),
        );
        page.field("Assignment", &parts.join(", "));
        if let Some(reason) = &asked.left_out {
            page.toned("Left out", Tone::Unsure, reason);
        }
    }
    for commit in &explanation.commits {
        origin(&mut page, commit, now);
    }
    if !explanation.history.is_empty() {
        page.heading("What changed");
        for record in &explanation.history {
            transition(&mut page, record, now);
        }
    }
    page.heading("What to do");
    for step in &explanation.next {
        page.item(step);
    }
    page.finish()
}

fn verdict(page: &mut Page, explanation: &Explanation, now: Timestamp) {
    let finding = &explanation.finding;
    let (word, tone) = match finding.verdict {
        Some(Verdict::Pass) => ("passes", Tone::Good),
        Some(Verdict::Fail) => ("FAILS", Tone::Bad),
        Some(Verdict::Waived) => ("is waived", Tone::Quiet),
        Some(Verdict::Unknown) => ("is unknown", Tone::Unsure),
        Some(Verdict::NotApplicable) => ("does not apply", Tone::Quiet),
        None if explanation.is_left_out() => ("is left out", Tone::Quiet),
        None => ("is not told by the status", Tone::Unsure),
    };
    page.heading(&format!("{} {word} on {}", explanation.rule, explanation.device));
    page.toned("Evidence", tone, &finding.evidence);
    page.field("Source", finding.source.as_deref().unwrap_or_default());
    if let Some(time) = finding.since.as_ref().and_then(|time| time.parse().ok()) {
        page.field("Since", &since(time, now));
    }
    if let Some(time) = finding.observed_at.as_ref().and_then(|time| time.parse().ok()) {
        page.field("Reported", &since(time, now));
    }
    for (path, value) in &finding.facts {
        page.field("Fact", &format!("{path} = {value}"));
    }
    let serial = explanation
        .serial_number
        .as_ref()
        .map(|serial| format!(", serial {serial}"));
    page.field(
        "Device",
        &format!(
            "{}{} in {}",
            explanation.system,
            serial.unwrap_or_default(),
            explanation.namespace
        ),
    );
}

fn rule(page: &mut Page, explanation: &Explanation) {
    page.heading("The rule");
    page.field("Title", &explanation.title);
    page.field("Why", &explanation.rationale);
    page.field("Severity", &explanation.severity.to_string());
    page.field(
        "Baseline",
        &format!(
            "{}, version {}",
            explanation.baseline.title, explanation.baseline.version
        ),
    );
    if let Some(inherited) = &explanation.inherited {
        let mut from = inherited.from.clone();
        if !inherited.changed_by.is_empty() {
            from.push_str(", changed by ");
            from.push_str(&inherited.changed_by.join(" and "));
        }
        page.field("Comes from", &from);
    }
    if let Some(excluded) = &explanation.excluded {
        let why = format!("by Baseline {}: {}", excluded.by, excluded.reason);
        page.toned("Excluded", Tone::Unsure, &why);
    }
    page.field("Controls", &explanation.controls.join(", "));
    if explanation.enforces.is_empty() {
        page.field("Enforces", "nothing on this device");
    }
    for setting in &explanation.enforces {
        page.field("Enforces", setting);
    }
    page.field("Checked by", &explanation.check);
    for file in &explanation.files {
        page.field("File", file);
    }
}

fn origin(page: &mut Page, origin: &Commit, now: Timestamp) {
    page.heading(&origin.object);
    let Some(revision) = &origin.revision else {
        let how = origin.written_with.as_deref().unwrap_or("the API");
        page.field("Written", &format!("not from git, but with {how}"));
        return;
    };
    page.field("Commit", revision);
    match (&origin.author, &origin.source) {
        (Some(author), _) => page.field("Author", author),
        (None, Some(source)) => page.field(
            "Author",
            &format!(
                "older than what gitsource/{source} remembers; see: git show {}",
                commit(revision)
            ),
        ),
        (None, None) => {}
    }
    page.field("Message", origin.message.as_deref().unwrap_or_default());
    if let Some(time) = origin.committed_at.as_ref().and_then(|time| time.parse().ok()) {
        page.field("Committed", &since(time, now));
    }
    page.field("File", origin.file.as_deref().unwrap_or_default());
    page.field("Source", origin.source.as_deref().unwrap_or_default());
}
