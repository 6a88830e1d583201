//! The answer as a page for people.

use super::told::{By, Placed, Proof, Told};
use crate::api::baseline::Parameter;
use crate::cli::plugin::page::{Page, Style};
use crate::cli::plugin::words::clean;

/// The most lines of content that are shown: a list of a thousand apps is in its file.
const MAXIMUM_LINES: usize = 60;

/// One part for each way in which baselines hold the rule.
pub(super) fn write(all: &[Told], style: Style) -> String {
    let mut page = Page::new(style);
    for told in all {
        write_one(&mut page, told);
    }
    page.finish()
}

fn write_one(page: &mut Page, told: &Told) {
    page.heading(&format!("{}: {}", told.rule, told.title));
    page.field("Severity", &told.severity.to_string());
    page.field("For", &told.devices);
    let controls: Vec<String> = told
        .controls
        .iter()
        .map(|control| format!("{} {}", control.framework, control.id))
        .collect();
    page.field("Controls", &controls.join(", "));
    let mut label = "In";
    for holder in &told.baselines {
        page.field(
            label,
            &format!("{}: {} ({})", holder.name, holder.title, holder.version),
        );
        label = "";
    }
    if !told.rationale.is_empty() {
        page.heading("Why");
        for paragraph in told.rationale.lines().filter(|line| !line.trim().is_empty()) {
            page.field("", paragraph);
        }
    }
    page.heading("What goes on devices");
    if told.enforce.is_empty() {
        page.field("", "Nothing: the rule is only checked.");
    }
    if told.enforce.len() > 1 {
        page.field(
            "",
            "The first of these that is for a device and that it can take:",
        );
    }
    for placed in &told.enforce {
        write_placed(page, placed);
    }
    if !told.parameters.is_empty() {
        page.heading("Parameters that an assignment may set");
        for parameter in &told.parameters {
            page.field(&parameter.name, &described(parameter));
        }
    }
    page.heading("How it is checked");
    write_proof(page, told);
    if !told.caveats.is_empty() {
        page.heading("To know");
        for caveat in &told.caveats {
            page.item(caveat);
        }
    }
    if !told.origins.is_empty() {
        page.heading("Where it comes from");
        for origin in &told.origins {
            page.item(&format!("{} (blob {})", origin.path, origin.blob));
        }
    }
}

fn write_placed(page: &mut Page, placed: &Placed) {
    let by = match placed.by {
        By::Declaration => "declaration",
        By::Profile => "profile",
    };
    page.field(by, &placed.type_);
    page.field("  for", &placed.devices);
    page.field("  known since", &placed.since);
    let content = serde_yaml::to_string(&placed.content).unwrap_or_else(|_| placed.content.to_string());
    let lines: Vec<&str> = content.lines().collect();
    for line in lines.iter().take(MAXIMUM_LINES) {
        page.line(&format!("    {}", clean(line)));
    }
    if let Some(more) = lines.len().checked_sub(MAXIMUM_LINES).filter(|more| *more > 0) {
        page.line(&format!("    … and {more} more lines"));
    }
}

/// `Integer from 8 to 64, 14 by default. What it decides.`
fn described(parameter: &Parameter) -> String {
    let bounds = match (parameter.minimum, parameter.maximum) {
        (Some(minimum), Some(maximum)) => format!(" from {minimum} to {maximum}"),
        (Some(minimum), None) => format!(" of {minimum} or more"),
        (None, Some(maximum)) => format!(" of {maximum} or less"),
        (None, None) => String::new(),
    };
    let allowed: Vec<String> = parameter.allowed.iter().map(ToString::to_string).collect();
    let allowed = if allowed.is_empty() {
        String::new()
    } else {
        format!(", one of {}", allowed.join(", "))
    };
    let (type_, default, about) = (parameter.type_, &parameter.default, &parameter.description);
    format!("{type_}{bounds}{allowed}, {default} by default. {about}")
}

fn write_proof(page: &mut Page, told: &Told) {
    match &told.proof {
        Proof::Check { cel, asks } => {
            page.field("", "By what the device reports:");
            for line in cel.lines() {
                page.line(&format!("    {}", clean(line)));
            }
            page.field("asks for", &asks.join(", "));
        }
        Proof::Installed => page.field("", "It passes where the device proves that it holds the content."),
        Proof::Nothing { reason, message } => {
            page.field(
                "",
                "Nothing that a device reports proves it, and the verdict is unknown:",
            );
            page.field("", &format!("{message} ({reason})"));
        }
    }
    if let Some(check) = &told.device_check {
        page.field(
            "",
            "A person can check it on the device; Provost never runs this:",
        );
        for line in check.command.lines() {
            page.line(&format!("    {}", clean(line)));
        }
        page.field("expected", &check.expected);
    }
    if !told.remediation.is_empty() {
        page.field("", "What a person can do where it fails; Provost never runs it:");
        for line in told.remediation.lines() {
            page.line(&format!("    {}", clean(line)));
        }
    }
}
