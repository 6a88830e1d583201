//! For people: each finding as compilers write it, with its line below, and what it comes to.

use std::fmt::Write as _;

use super::report::{Report, Told, many};
use crate::cli::plugin::page::{Style, Tone};
use crate::cli::plugin::words::clean;
use crate::policy::schema::Severity;

/// The whole report.
pub(super) fn write(report: &Report, deny_warnings: bool, style: Style) -> String {
    let mut text = String::new();
    for told in &report.findings {
        finding(&mut text, told, style);
    }
    summary(&mut text, report, deny_warnings, style);
    text
}

fn finding(text: &mut String, told: &Told, style: Style) {
    let found = &told.remark.finding;
    let tone = match told.remark.severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Unsure,
    };
    let place = format!(
        "{}:{}:{}:",
        clean(&found.file),
        found.position.line,
        found.position.column
    );
    let weight = format!("{}[{}]:", told.remark.severity, told.rule);
    let field = if found.field.is_empty() {
        String::new()
    } else {
        format!("{}: ", clean(&found.field))
    };
    // Writing into a String cannot fail.
    let _ = writeln!(
        text,
        "{} {} {field}{}",
        style.paint(Tone::Strong, &place),
        style.paint(tone, &weight),
        clean(&found.message)
    );
    if let Some(snippet) = &told.snippet {
        let _ = writeln!(text, "{}", style.paint(Tone::Quiet, snippet));
    }
    text.push('\n');
}

fn summary(text: &mut String, report: &Report, deny_warnings: bool, style: Style) {
    let looked = format!(
        "{} in {}",
        many(report.objects, "object"),
        many(report.files, "file")
    );
    let mut aside = Vec::new();
    if report.other_documents > 0 {
        aside.push(format!("{} of others", many(report.other_documents, "document")));
    }
    if report.unread_files > 0 {
        aside.push(format!("{} not YAML", many(report.unread_files, "file")));
    }
    let aside = if aside.is_empty() {
        String::new()
    } else {
        format!("; passed over: {}", aside.join(", "))
    };
    let (tone, found) = match (report.errors, report.warnings) {
        (0, 0) => (Tone::Good, "No mistakes".to_owned()),
        (0, warnings) => (Tone::Unsure, many(warnings, "warning")),
        (errors, 0) => (Tone::Bad, many(errors, "error")),
        (errors, warnings) => (
            Tone::Bad,
            format!("{} and {}", many(errors, "error"), many(warnings, "warning")),
        ),
    };
    let denied = if deny_warnings && report.errors == 0 && report.warnings > 0 {
        " (warnings are denied)"
    } else {
        ""
    };
    let _ = writeln!(text, "{}{denied}: {looked}{aside}.", style.paint(tone, &found));
}
