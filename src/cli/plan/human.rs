//! A change for people at a terminal: what is removed first, since that un-enforces.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;

use super::report::Report;
use super::sides::{folder, short};
use crate::cli::plugin::page::{Style, Tone};
use crate::cli::plugin::words::{clean, some_of};
use crate::policy::difference::{Change, Outlook, SettingChange, Touched, VerdictChange};

/// The longest value that is shown, in characters.
const SHOWN: usize = 100;
/// How many makers of a setting are named.
const MAKERS: usize = 3;

/// The page.
pub(super) fn page(report: &Report, style: Style) -> String {
    let mut page = Page {
        report,
        style,
        text: String::new(),
    };
    page.head();
    if report.changed {
        page.objects();
        page.rules();
        for change in [Change::Removed, Change::Changed, Change::Added] {
            page.settings(change);
        }
        page.lasting();
        page.conflicts();
        page.verdicts();
        page.classes();
    }
    page.notes();
    page.text
}

struct Page<'r> {
    report: &'r Report,
    style: Style,
    text: String,
}

impl Page<'_> {
    fn line(&mut self, tone: Tone, line: &str) {
        let painted = self.style.paint(tone, &clean(line));
        self.text.push_str(&painted);
        self.text.push('\n');
    }

    fn heading(&mut self, text: &str) {
        self.text.push('\n');
        self.line(Tone::Strong, text);
    }

    fn head(&mut self) {
        let report = self.report;
        let (from, to) = (&report.from, &report.to);
        self.line(
            Tone::Strong,
            &format!(
                "{} {} → {} {}, {}",
                from.revision,
                short(&from.commit),
                to.revision,
                short(&to.commit),
                folder(&report.path)
            ),
        );
        self.line(Tone::Plain, &verdict(report));
    }

    fn objects(&mut self) {
        let report = self.report;
        if report.objects.is_empty() {
            return;
        }
        self.heading("Objects");
        for object in &report.objects {
            let line = format!("  {} {} {}", mark(object.change), object.kind, object.name);
            self.line(tone(object.change), &line);
        }
    }

    fn rules(&mut self) {
        let report = self.report;
        if report.rules.is_empty() {
            return;
        }
        self.heading(&format!("Rules ({})", report.rules.len()));
        for rule in &report.rules {
            let fields = if rule.fields.is_empty() {
                String::new()
            } else {
                format!(" ({})", rule.fields.join(", "))
            };
            let line = format!(
                "  {} {}/{}: {}{fields}",
                mark(rule.change),
                rule.baseline,
                rule.rule,
                rule.title
            );
            self.line(tone(rule.change), &line);
        }
    }

    fn settings(&mut self, change: Change) {
        let report = self.report;
        let settings: Vec<&SettingChange> = report.settings(change).collect();
        if settings.is_empty() {
            return;
        }
        self.heading(&match change {
            Change::Removed => format!(
                "Settings REMOVED ({}): devices are no longer held to them",
                settings.len()
            ),
            Change::Changed => format!("Settings changed ({})", settings.len()),
            Change::Added => format!("Settings added ({})", settings.len()),
        });
        for setting in settings {
            let line = format!("  {} {}", mark(change), told(setting));
            self.line(tone(change), &line);
            let by = some_of(makers(setting).iter().map(|maker| &**maker), MAKERS);
            let who = whom(report, &setting.touched);
            self.line(Tone::Quiet, &format!("      by {by}; {who}"));
        }
    }

    fn lasting(&mut self) {
        let lasting = lasting(self.report);
        if lasting.is_empty() {
            return;
        }
        self.heading("Cannot be undone by a later commit");
        for (what, settings) in lasting {
            self.line(Tone::Bad, &format!("  ! {what}"));
            self.line(
                Tone::Quiet,
                &format!("      {}", some_of(settings.iter().map(String::as_str), 6)),
            );
        }
    }

    fn conflicts(&mut self) {
        let report = self.report;
        if report.effects.conflicts.is_empty() {
            return;
        }
        self.heading("Conflicts");
        for conflict in &report.effects.conflicts {
            let (word, tone) = match conflict.change {
                Change::Removed => ("no longer", Tone::Good),
                Change::Changed | Change::Added => ("new", Tone::Bad),
            };
            let who = whom(report, &conflict.touched);
            self.line(tone, &format!("  {word}: {}; {who}", conflict.message));
        }
    }

    fn verdicts(&mut self) {
        let report = self.report;
        let renewed = &report.effects.renewed;
        if report.effects.verdicts.is_empty() && renewed.rules == 0 {
            return;
        }
        self.heading("Verdicts");
        for flip in flips(report) {
            let who = whom(report, &flip.touched);
            let line = format!("  {}: {} → {}; {who}", flip.rule, flip.from, flip.to);
            self.line(tone_of(flip), &line);
        }
        if renewed.rules > 0 {
            let who = whom(report, &renewed.touched);
            self.line(Tone::Plain, &format!("  {}; {who}", renewing(renewed.rules)));
        }
    }

    fn classes(&mut self) {
        let report = self.report;
        if report.effects.classes.is_empty() {
            return;
        }
        self.heading(&format!(
            "Devices ({} touched)",
            classes(report.effects.classes.len())
        ));
        for class in &report.effects.classes {
            let mut line = format!("  {}", class.name);
            if report.fleet.is_some() {
                let names = class.sample.iter().map(|name| &**name);
                let more = class.devices.saturating_sub(class.sample.len());
                let more = if more > 0 {
                    format!(" and {more} more")
                } else {
                    String::new()
                };
                let names: Vec<&str> = names.collect();
                let _ = write!(line, ": {} ({}{more})", devices(class.devices), names.join(", "));
            }
            line.push_str(&by_whom(&class.assignments_before, &class.assignments_after));
            self.line(Tone::Plain, &line);
        }
    }

    fn notes(&mut self) {
        let report = self.report;
        if report.notes.is_empty() {
            return;
        }
        self.heading("Notes");
        for note in &report.notes {
            self.line(Tone::Unsure, &format!("  {note}"));
        }
    }
}

/// The whole in one line.
pub(super) fn verdict(report: &Report) -> String {
    if !report.changed {
        return "No change.".to_owned();
    }
    let counts = [Change::Removed, Change::Changed, Change::Added].map(|change| report.count(change));
    let [removed, changed, added] = counts;
    let settings = if counts == [0, 0, 0] {
        "No setting of any device changes".to_owned()
    } else {
        format!("Settings: {removed} removed, {changed} changed, {added} added")
    };
    let who = match &report.fleet {
        Some(fleet) => format!(
            "{} of {} in {} touched",
            report.devices_touched,
            devices(fleet.devices),
            fleet.namespace
        ),
        None => format!("{} touched", classes(report.effects.classes.len())),
    };
    format!("{settings}; {who}.")
}

const fn mark(change: Change) -> char {
    match change {
        Change::Removed => '-',
        Change::Changed => '~',
        Change::Added => '+',
    }
}

const fn tone(change: Change) -> Tone {
    match change {
        Change::Removed => Tone::Bad,
        Change::Changed => Tone::Unsure,
        Change::Added => Tone::Good,
    }
}

const fn tone_of(flip: &VerdictChange) -> Tone {
    match flip.to {
        Outlook::Fail | Outlook::NotPassing => Tone::Bad,
        Outlook::Pass => Tone::Good,
        _ => Tone::Plain,
    }
}

/// `type: key`, and its values.
fn told(setting: &SettingChange) -> String {
    let name = name_of(setting);
    let text = |value: &Option<Value>| value.as_ref().map(|value| shown(&value.to_string()));
    match (text(&setting.before), text(&setting.after)) {
        (Some(before), Some(after)) => format!("{name}: {before} → {after}"),
        (Some(value), None) | (None, Some(value)) => format!("{name}: {value}"),
        (None, None) => name,
    }
}

/// `type: key`; of what a Profile object has for itself with its name.
pub(super) fn name_of(setting: &SettingChange) -> String {
    let own = setting
        .place
        .object
        .as_ref()
        .map_or_else(String::new, |object| format!(" of profile/{object}"));
    let key = setting.path.join(".");
    let key = if key.is_empty() {
        "(no key)".to_owned()
    } else {
        key
    };
    format!("{}{own} {key}", setting.place.type_)
}

pub(super) fn shown(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start}…")
}

/// Who makes a setting, or made it.
pub(super) fn makers(setting: &SettingChange) -> &[Arc<str>] {
    if setting.by_after.is_empty() {
        &setting.by_before
    } else {
        &setting.by_after
    }
}

/// Whom something touches, in few words.
pub(super) fn whom(report: &Report, touched: &Touched) -> String {
    let all = report.is_everywhere(&touched.classes);
    match (&report.fleet, all) {
        (Some(_), _) => devices(touched.devices),
        (None, true) if touched.classes.len() > 1 => "every class below".to_owned(),
        (None, _) => {
            let names = touched.classes.iter();
            let names: Vec<&str> = names
                .filter_map(|index| report.effects.classes.get(*index))
                .map(|class| class.name.as_str())
                .collect();
            let mut once: Vec<&str> = Vec::new();
            for name in names {
                if !once.contains(&name) {
                    once.push(name);
                }
            }
            some_of(once, 4)
        }
    }
}

pub(super) fn devices(count: usize) -> String {
    many(count, "device")
}

fn classes(count: usize) -> String {
    match count {
        1 => "1 class of devices".to_owned(),
        count => format!("{count} classes of devices"),
    }
}

pub(super) fn many(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// Rules that are only proven anew.
pub(super) fn renewing(rules: usize) -> String {
    format!(
        "{} asked as before in content that is new: unknown until the devices report it",
        match rules {
            1 => "1 rule is".to_owned(),
            rules => format!("{rules} rules are"),
        }
    )
}

/// The assignments of a class, and how they change.
pub(super) fn by_whom(before: &[Arc<str>], after: &[Arc<str>]) -> String {
    let list = |names: &[Arc<str>]| {
        if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        }
    };
    if before == after {
        format!(" by {}", list(after))
    } else {
        format!(" by {} → {}", list(before), list(after))
    }
}

/// What cannot be undone, each with the settings that do it.
pub(super) fn lasting(report: &Report) -> BTreeMap<&'static str, Vec<String>> {
    let mut lasting: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for setting in &report.effects.settings {
        for what in &setting.lasting {
            let settings = lasting.entry(*what).or_default();
            let name = name_of(setting);
            if !settings.contains(&name) {
                settings.push(name);
            }
        }
    }
    lasting
}

/// Verdicts, the worst outcome first.
pub(super) fn flips(report: &Report) -> Vec<&VerdictChange> {
    let rank = |flip: &VerdictChange| match flip.to {
        Outlook::Fail | Outlook::NotPassing => 0,
        Outlook::NotDemanded => 1,
        Outlook::Pass => 3,
        _ => 2,
    };
    let mut flips: Vec<&VerdictChange> = report.effects.verdicts.iter().collect();
    flips.sort_by_key(|flip| rank(flip));
    flips
}
