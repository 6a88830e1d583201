//! `kubectl provost device NAME`: everything about one device on a page.

use std::process::ExitCode;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::arguments::{ConnectionArgs, Output};
use super::page::{Page, Style, Tone, bar};
use super::session::Session;
use super::words::{ago, since};
use super::{find, output};
use crate::api::Device;
use crate::api::common::{Severity, Verdict, VerdictCounts};
use crate::api::device::{DeviceStatus, Ownership, TransitionRecord};
use crate::cli::print;
use crate::kubeapi::table::human_duration;

/// Options of `kubectl provost device`.
#[derive(Debug, clap::Args)]
pub(super) struct DeviceArgs {
    /// Its name, the beginning of it, or its serial number.
    device: String,
}

pub(super) async fn run(
    args: &DeviceArgs,
    connection: &ConnectionArgs,
    output: Option<Output>,
) -> anyhow::Result<ExitCode> {
    let session = Session::open(connection).await?;
    let device = find::device(&session, &args.device).await?;
    let text = match output::objects(vec![device.clone()], true, output)? {
        Some(text) => text,
        None => render(&device, Style::of_stdout(), session.now()),
    };
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn render(device: &Device, style: Style, now: Timestamp) -> String {
    let status = device.status.clone().unwrap_or_default();
    let mut page = Page::new(style);
    identity(&mut page, device, &status, now);
    policy(&mut page, &status);
    page.heading("Verdicts");
    verdicts(&mut page, status.verdicts, style);
    failing(&mut page, &status);
    history(&mut page, &status.history, now);
    page.heading("Conditions");
    for condition in &status.conditions {
        let text = format!(
            "{} {}, for {}: {}",
            condition.status,
            condition.reason,
            human_duration(condition.last_transition_time.0, now),
            condition.message
        );
        page.toned(&condition.type_, Tone::of_status(&condition.status), &text);
    }
    if status.conditions.is_empty() {
        page.line("none yet: Provost has not looked at this device");
    }
    page.finish()
}

fn identity(page: &mut Page, device: &Device, status: &DeviceStatus, now: Timestamp) {
    page.heading(&format!(
        "Device {} in {}",
        device.name_any(),
        device.namespace().unwrap_or_default()
    ));
    page.field("Serial", status.serial_number.as_deref().unwrap_or("not known"));
    page.field("Model", status.model.as_deref().unwrap_or_default());
    let platform = status
        .platform
        .map(|platform| platform.to_string())
        .unwrap_or_default();
    let os = format!("{platform} {}", status.os_version.as_deref().unwrap_or_default());
    page.field("System", os.trim());
    let owner = match device.spec.ownership {
        Ownership::Organization => "the organisation",
        Ownership::Personal => "the person who uses it",
    };
    page.field("Owner", owner);
    page.field("User", device.spec.user.as_deref().unwrap_or_default());
    page.field("Asset tag", device.spec.asset_tag.as_deref().unwrap_or_default());
    let labels: Vec<String> = device
        .labels()
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    page.field("Labels", &labels.join(", "));
    if let Some(mode) = status.enrollment_mode {
        let by = if status.declarative_management {
            "declarations"
        } else {
            "commands"
        };
        let since = status
            .enrolled_at
            .as_ref()
            .map(|time| format!(", {}", since(time.0, now)));
        page.field(
            "Enrolment",
            &format!("{mode}, managed by {by}{}", since.unwrap_or_default()),
        );
    }
}

fn policy(page: &mut Page, status: &DeviceStatus) {
    page.heading("Policy");
    let assignments = if status.assignments.is_empty() {
        "none: no assignment's groups include it".to_owned()
    } else {
        status.assignments.join(", ")
    };
    page.field("Assignments", &assignments);
    page.field("Revision", status.revision.as_deref().unwrap_or_default());
    let wanted = status.manifest.as_deref().unwrap_or("nothing yet");
    page.field("Should hold", wanted);
    let (tone, held) = match &status.applied_manifest {
        Some(held) if Some(held) == status.manifest.as_ref() => (Tone::Good, format!("{held}, as it should")),
        Some(held) => (Tone::Unsure, format!("{held}, by its last report")),
        None => (Tone::Unsure, "it has not reported yet".to_owned()),
    };
    page.toned("Holds", tone, &held);
}

/// The marks of the bar and the counts beside it.
fn verdicts(page: &mut Page, counts: VerdictCounts, style: Style) {
    let parts = [
        (counts.pass, '#', Tone::Good, "pass"),
        (counts.fail, '!', Tone::Bad, "fail"),
        (counts.waived, '~', Tone::Quiet, "waived"),
        (counts.unknown, '?', Tone::Unsure, "unknown"),
        (counts.not_applicable, '-', Tone::Quiet, "not applicable"),
    ];
    let bar = bar(&parts.map(|(count, mark, tone, _)| (count, mark, tone)), style);
    if bar.is_empty() {
        page.line("no rule has been judged");
        return;
    }
    page.line(&format!("[{bar}]"));
    let counts: Vec<String> = parts
        .iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, mark, tone, name)| style.paint(*tone, &format!("{mark} {count} {name}")))
        .collect();
    page.line(&counts.join("   "));
}

fn failing(page: &mut Page, status: &DeviceStatus) {
    if status.failing_rules.is_empty() {
        return;
    }
    let shown = i64::try_from(status.failing_rules.len()).unwrap_or(i64::MAX);
    let title = if status.verdicts.fail > shown {
        format!("Failing rules, the worst {shown} of {}", status.verdicts.fail)
    } else {
        "Failing rules".to_owned()
    };
    page.heading(&title);
    for rule in &status.failing_rules {
        let tone = match rule.severity {
            Severity::High => Tone::Bad,
            Severity::Medium => Tone::Unsure,
            Severity::Low => Tone::Plain,
        };
        page.toned(
            &rule.severity.to_string(),
            tone,
            &format!("{}/{}", rule.baseline, rule.rule),
        );
        page.field("", &rule.reason);
    }
}

fn history(page: &mut Page, history: &[TransitionRecord], now: Timestamp) {
    if history.is_empty() {
        return;
    }
    page.heading("History");
    for record in history {
        transition(page, record, now);
    }
}

/// One change, as the history of a device and of a rule shows it.
pub(super) fn transition(page: &mut Page, record: &TransitionRecord, now: Timestamp) {
    let name =
        |verdict: Option<Verdict>| verdict.map_or_else(|| "-".to_owned(), |verdict| verdict.to_string());
    let change = match &record.rule {
        Some(rule) => format!("{rule}: {} → {}; ", name(record.from), name(record.to)),
        None => String::new(),
    };
    let tone = match record.to {
        Some(Verdict::Fail) => Tone::Bad,
        Some(Verdict::Pass) => Tone::Good,
        Some(Verdict::Unknown) => Tone::Unsure,
        Some(Verdict::Waived | Verdict::NotApplicable) | None => Tone::Plain,
    };
    let text = format!("{change}{} ({})", record.reason, record.evidence);
    page.toned(&ago(record.time.0, now), tone, &text);
}
