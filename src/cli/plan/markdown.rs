//! A change as a comment on a pull request: the short of it first, the long of it in blocks that open, and never more than a comment may hold.
//!
//! What comes from the repository is text here and nothing else: no mention, link, picture or tag can be made of it.

use std::fmt::Write as _;

use super::human::{by_whom, flips, lasting, makers, many, name_of, renewing, shown, verdict, whom};
use super::report::Report;
use super::sides::{folder, short};
use crate::cli::plugin::words::{clean, some_of};
use crate::policy::difference::{Change, SettingChange};

/// The most characters of a comment: GitHub takes 65,536, and whoever posts it may add something.
pub(super) const MAX_COMMENT: usize = 60_000;
/// The most rows of one table.
const MAX_ROWS: usize = 100;
/// What the last line says, by which a pipeline finds its own comment again.
pub(super) const MARK: &str = "<!-- provost plan -->";

/// The comment.
pub(super) fn comment(report: &Report) -> String {
    let mut parts = vec![head(report)];
    if report.changed {
        parts.extend(settings(report, Change::Removed));
        parts.extend(cannot_be_undone(report));
        parts.extend(conflicts(report));
        parts.extend(verdicts(report));
        parts.extend(settings(report, Change::Changed));
        parts.extend(settings(report, Change::Added));
        parts.extend(written(report));
        parts.extend(classes(report));
    }
    parts.extend(notes(report));
    let end = format!("{MARK}\n");
    let mut text = String::new();
    let mut left_out = 0;
    let room = MAX_COMMENT - end.len() - 200;
    for part in parts {
        if text.chars().count() + part.chars().count() <= room {
            text.push_str(&part);
            text.push('\n');
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        let _ = writeln!(
            text,
            "_The comment is full: {left_out} more parts are in the output of `provost plan` in the pipeline's log._\n"
        );
    }
    text.push_str(&end);
    text
}

fn head(report: &Report) -> String {
    let (from, to) = (&report.from, &report.to);
    let mut text = format!(
        "### Provost: what this change means for devices\n\n**{}**\n\n{} → {} ({}), {}\n",
        words(&verdict(report)),
        code(short(&from.commit)),
        code(short(&to.commit)),
        words(&to.message),
        words(&folder(&report.path)),
    );
    let removed = report.count(Change::Removed);
    if removed > 0 {
        let _ = write!(
            text,
            "\n> [!WARNING]\n> {removed} setting{} would no longer be enforced.\n",
            if removed == 1 { "" } else { "s" }
        );
    }
    text
}

fn settings(report: &Report, change: Change) -> Option<String> {
    let settings: Vec<&SettingChange> = report.settings(change).collect();
    if settings.is_empty() {
        return None;
    }
    let count = settings.len();
    let (title, columns) = match change {
        Change::Removed => (
            format!("Removed: {count}"),
            "| setting | was | by | devices |\n|---|---|---|---|\n",
        ),
        Change::Changed => (
            format!("Changed: {count}"),
            "| setting | from | to | by | devices |\n|---|---|---|---|---|\n",
        ),
        Change::Added => (
            format!("Added: {count}"),
            "| setting | value | by | devices |\n|---|---|---|---|\n",
        ),
    };
    let mut rows = String::from(columns);
    for setting in settings.iter().take(MAX_ROWS) {
        let values = [&setting.before, &setting.after].into_iter().flatten();
        let values: Vec<String> = values.map(|value| code(&shown(&value.to_string()))).collect();
        let by = some_of(makers(setting).iter().map(|maker| &**maker), 3);
        let _ = writeln!(
            rows,
            "| {} | {} | {} | {} |",
            code(&name_of(setting)),
            values.join(" | "),
            words(&by),
            words(&whom(report, &setting.touched))
        );
    }
    // What is removed has to be seen without opening anything.
    Some(block(
        &format!("Settings {}", title.to_lowercase()),
        &rows,
        count,
        change == Change::Removed,
    ))
}

fn cannot_be_undone(report: &Report) -> Option<String> {
    let lasting = lasting(report);
    if lasting.is_empty() {
        return None;
    }
    let mut text = String::from("#### Cannot be undone by a later commit\n\n");
    for (what, settings) in lasting {
        let settings: Vec<String> = settings.iter().take(6).map(|setting| code(setting)).collect();
        let _ = writeln!(text, "- {}: {}", words(what), settings.join(", "));
    }
    Some(text)
}

fn conflicts(report: &Report) -> Option<String> {
    let conflicts = &report.effects.conflicts;
    if conflicts.is_empty() {
        return None;
    }
    let mut text = String::from("#### Conflicts\n\n");
    for conflict in conflicts.iter().take(MAX_ROWS) {
        let word = if conflict.change == Change::Removed {
            "no longer"
        } else {
            "**new**"
        };
        let who = whom(report, &conflict.touched);
        let _ = writeln!(text, "- {word}: {}; {}", words(&conflict.message), words(&who));
    }
    more(&mut text, conflicts.len());
    Some(text)
}

fn verdicts(report: &Report) -> Option<String> {
    let renewed = &report.effects.renewed;
    let flips = flips(report);
    if flips.is_empty() && renewed.rules == 0 {
        return None;
    }
    let mut flipping: Vec<&str> = flips.iter().map(|flip| &*flip.rule).collect();
    flipping.sort_unstable();
    flipping.dedup();
    let rules = flipping.len() + renewed.rules;
    let mut rows = String::new();
    if !flips.is_empty() {
        rows.push_str("| rule | from | to | devices |\n|---|---|---|---|\n");
    }
    for flip in flips.iter().take(MAX_ROWS) {
        let _ = writeln!(
            rows,
            "| {} | {} | {} | {} |",
            code(&flip.rule),
            flip.from,
            flip.to,
            words(&whom(report, &flip.touched))
        );
    }
    if renewed.rules > 0 {
        let _ = write!(
            rows,
            "\n{}; {}.\n",
            renewing(renewed.rules),
            words(&whom(report, &renewed.touched))
        );
    }
    Some(block(
        &format!("Verdicts: {}", many(rules, "rule")),
        &rows,
        flips.len(),
        false,
    ))
}

fn written(report: &Report) -> Option<String> {
    if report.objects.is_empty() {
        return None;
    }
    let mut rows = String::from("| object | |\n|---|---|\n");
    for object in report.objects.iter().take(MAX_ROWS) {
        let _ = writeln!(
            rows,
            "| {} | {} |",
            code(&format!("{} {}", object.kind, object.name)),
            object.change
        );
    }
    let objects = report.objects.len();
    if !report.rules.is_empty() {
        rows.push_str("\n| rule | | |\n|---|---|---|\n");
    }
    for rule in report.rules.iter().take(MAX_ROWS) {
        let what = if rule.fields.is_empty() {
            rule.change.to_string()
        } else {
            format!("{}: {}", rule.change, rule.fields.join(", "))
        };
        let _ = writeln!(
            rows,
            "| {} | {} | {} |",
            code(&format!("{}/{}", rule.baseline, rule.rule)),
            words(&rule.title),
            words(&what)
        );
    }
    let title = format!(
        "Written: {}, {}",
        many(objects, "object"),
        many(report.rules.len(), "rule")
    );
    Some(block(&title, &rows, objects.max(report.rules.len()), false))
}

fn classes(report: &Report) -> Option<String> {
    let classes = &report.effects.classes;
    if classes.is_empty() {
        return None;
    }
    let mut rows = String::from("| class | devices | |\n|---|---|---|\n");
    for class in classes.iter().take(MAX_ROWS) {
        let count = match &report.fleet {
            Some(_) => class.devices.to_string(),
            None => "?".to_owned(),
        };
        let by = by_whom(&class.assignments_before, &class.assignments_after);
        let _ = writeln!(
            rows,
            "| {} | {count} | {} |",
            words(&class.name),
            words(by.trim_start())
        );
    }
    Some(block(
        &format!("Classes of devices: {}", classes.len()),
        &rows,
        classes.len(),
        false,
    ))
}

fn notes(report: &Report) -> Option<String> {
    if report.notes.is_empty() {
        return None;
    }
    let notes: Vec<String> = report
        .notes
        .iter()
        .take(MAX_ROWS)
        .map(|note| format!("- {}\n", words(note)))
        .collect();
    Some(format!("#### Notes\n\n{}", notes.concat()))
}

/// A block that opens, or is open.
fn block(title: &str, body: &str, count: usize, is_open: bool) -> String {
    let mut body = body.to_owned();
    more(&mut body, count);
    let open = if is_open { " open" } else { "" };
    format!(
        "<details{open}><summary>{}</summary>\n\n{body}\n</details>\n",
        words(title)
    )
}

fn more(text: &mut String, count: usize) {
    if count > MAX_ROWS {
        let _ = write!(text, "\n… and {} more\n", count - MAX_ROWS);
    }
}

/// Text from the repository as code, also in a table.
fn code(text: &str) -> String {
    let text = clean(text).replace('|', "\\|");
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    if longest == 0 {
        return format!("`{text}`");
    }
    let fence = "`".repeat(longest + 1);
    format!("{fence} {text} {fence}")
}

/// Text from the repository as words of which Markdown makes nothing.
fn words(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // Names of people and numbers of threads would call them.
            '@' => escaped.push_str("&#64;"),
            '#' => escaped.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '!' | '~' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    // An address is made a link by itself.
    escaped.replace("://", ":&#47;/").replace("www.", "www&#46;")
}
