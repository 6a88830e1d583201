//! Whether content is what a type's facts say: names, presence, types, values, and whether its receiver has each key.
//!
//! Pure, and total: any value gives findings, none makes it fail. What the schema says in prose only is not checked; the device does.

use super::conditions::Conditions;
use super::datum::{Datum, Notation, View};
use super::facts::{self, DISCRIMINATOR, Key, Keys, Kind, Scalar, TypeFacts};
use super::finding::{Code, Finding, Severity};
use super::target::{Target, Unmet};
use super::words::{self, clip, expected, hint, one_of, shown};
use crate::suggest::did_you_mean;

/// The most findings in one piece of content.
const MAXIMUM_FINDINGS: usize = 16;

/// How deep content is looked into.
const MAXIMUM_DEPTH: usize = 64;

/// How content is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'r> {
    /// How its values are written where it goes.
    pub(super) notation: Notation,
    /// What an unknown key is.
    pub(super) unknown: Severity,
    /// Whether it stands alone. If not, what it lacks may come from elsewhere.
    pub(super) whole: bool,
    /// Whom it is for. None: whether the receiver has the keys is not judged.
    pub(super) target: Option<&'r Target>,
}

/// Judges content of a type by the type's facts.
pub(super) fn check<'v, D: Datum + 'v>(
    facts: &TypeFacts,
    entries: &[(&'v str, &'v D)],
    rules: Rules<'_>,
) -> Vec<Finding> {
    let mut check = Check {
        facts,
        rules,
        findings: Vec::new(),
    };
    let below = rules
        .target
        .and_then(|target| facts.on(target.system()))
        .unwrap_or_default();
    if !facts.open {
        let place = Place {
            path: "",
            below,
            depth: 0,
            whole: rules.whole,
        };
        check.dictionary(place, &facts.keys, entries);
    }
    check.findings
}

struct Check<'c> {
    facts: &'c TypeFacts,
    rules: Rules<'c>,
    findings: Vec<Finding>,
}

/// Where the check is.
#[derive(Clone, Copy)]
struct Place<'p> {
    path: &'p str,
    /// The conditions of what is here.
    below: Conditions,
    depth: usize,
    /// Whether nothing else adds to what is here.
    whole: bool,
}

impl Check<'_> {
    fn note(&mut self, path: &str, severity: Severity, code: Code, message: impl Into<String>, help: String) {
        if self.findings.len() < MAXIMUM_FINDINGS {
            self.findings.push(Finding {
                path: path.to_owned(),
                severity,
                code,
                message: message.into(),
                help,
            });
        }
    }

    fn error(&mut self, path: &str, code: Code, message: impl Into<String>, help: String) {
        self.note(path, Severity::Error, code, message, help);
    }

    fn dictionary<'v, D: Datum + 'v>(&mut self, at: Place<'_>, keys: &Keys, entries: &[(&'v str, &'v D)]) {
        for (name, value) in entries {
            let path = below(at.path, name);
            if let Some(key) = facts::key(keys, name) {
                self.value(Place { path: &path, ..at }, key, *value);
            } else {
                let help = self
                    .elsewhere(name, keys)
                    .unwrap_or_else(|| hint(name, keys.keys().map(String::as_str)));
                self.note(
                    &path,
                    self.rules.unknown,
                    Code::UnknownKey,
                    "there is no such key",
                    help,
                );
            }
        }
        if !at.whole {
            return;
        }
        for (name, key) in keys.iter().filter(|(_, key)| key.required) {
            let given = facts::is_wildcard(name) || entries.iter().any(|(given, _)| given == name);
            if !given && self.is_there(key, &at.below) {
                let help = format!("give it {}", expected(key, self.facts.within(key)));
                self.error(&below(at.path, name), Code::MissingKey, "is missing", help);
            }
        }
    }

    /// Whether the receiver has a key: what it does not have it need not be given.
    fn is_there(&self, key: &Key, below: &Conditions) -> bool {
        self.rules.target.is_none_or(|target| {
            let own = key.on.get(&target.system()).copied().unwrap_or_default();
            target.unmet(Some(own.over(below))).is_none()
        })
    }

    /// A key of this very name one level deeper: what was meant, if it is not here.
    fn elsewhere(&self, name: &str, keys: &Keys) -> Option<String> {
        let deeper = keys.iter().filter(|(_, key)| key.kind == Kind::Dictionary);
        let mut holders = deeper.filter(|(_, key)| self.facts.within(key).contains_key(name));
        let (holder, _) = holders.next()?;
        Some(format!("it belongs into `{holder}`"))
    }

    fn value<D: Datum>(&mut self, at: Place<'_>, key: &Key, value: &D) {
        let below = self.available(at, key);
        let at = Place {
            below,
            depth: at.depth + 1,
            ..at
        };
        if at.depth > MAXIMUM_DEPTH {
            self.error(at.path, Code::WrongType, "nests too deep", String::new());
            return;
        }
        let view = value.view();
        let within = self.facts.within(key);
        if !view.is_of(key.kind, self.rules.notation) {
            let message = format!("is {}", words::found(&view));
            let help = format!("give it {}", expected(key, within));
            self.error(at.path, Code::WrongType, message, help);
            return;
        }
        match view {
            View::Dictionary(entries) if !within.is_empty() => self.dictionary(at, within, &entries),
            View::Array(items) if !within.is_empty() => self.array(at, within, &items),
            view => self.plain(at.path, key, within, &view),
        }
    }

    /// Notes what the receiver lacks for a key, and gives the conditions of what is inside.
    fn available(&mut self, at: Place<'_>, key: &Key) -> Conditions {
        let Some(target) = self.rules.target else {
            return at.below;
        };
        let on = key
            .on
            .get(&target.system())
            .copied()
            .unwrap_or_default()
            .over(&at.below);
        // What a key shares with what it is part of is told once, there.
        if let Some(unmet) = target.unmet(Some(on))
            && target.unmet(Some(at.below)) != Some(unmet)
        {
            let (severity, code) = judge(&unmet);
            self.note(at.path, severity, code, unmet.demand(), advice(&unmet));
        }
        if on.deprecated != at.below.deprecated {
            self.findings.extend(deprecated(at.path, target, &on));
        }
        on
    }

    fn array<D: Datum>(&mut self, at: Place<'_>, kinds: &Keys, items: &[&D]) {
        let mut each = kinds.values();
        if let (Some(only), None) = (each.next(), each.next())
            && let Some(repetition) = only.repetition
            && !repetition.holds(f64::from(u32::try_from(items.len()).unwrap_or(u32::MAX)))
        {
            let message = format!("holds {} items", items.len());
            let help = format!("it takes a number of them {repetition}");
            self.error(at.path, Code::Range, message, help);
        }
        for (place, item) in items.iter().enumerate() {
            let path = format!("{}[{place}]", at.path);
            let at = Place {
                path: &path,
                // What joins lists keeps their items as they are.
                whole: true,
                ..at
            };
            self.item(at, kinds, *item);
        }
    }

    fn item<D: Datum>(&mut self, at: Place<'_>, kinds: &Keys, item: &D) {
        let view = item.view();
        let discriminator =
            match &view {
                View::Dictionary(entries) => entries
                    .iter()
                    .find(|(name, _)| *name == DISCRIMINATOR)
                    .and_then(|(_, value)| match value.view() {
                        View::Text(text) => Some(text),
                        _ => None,
                    }),
                _ => None,
            };
        if let Some(kind) = facts::item(kinds, discriminator) {
            self.value(at, kind, item);
            return;
        }
        let names = || facts::items(kinds).map(|(name, _)| name);
        let help = format!("give it {}", one_of(names().map(|name| format!("`{name}`"))));
        let path = below(at.path, DISCRIMINATOR);
        match discriminator {
            None => self.error(&path, Code::MissingKey, "is missing", help),
            Some(name) => {
                let message = format!("cannot be {}", shown(name));
                self.error(&path, Code::Value, message, help + &did_you_mean(name, names()));
            }
        }
    }

    fn plain<D>(&mut self, path: &str, key: &Key, within: &Keys, view: &View<'_, D>) {
        let text = match view {
            View::Text(text) => Some(*text),
            _ => None,
        };
        // A container with values of its own says them of its items.
        let listed = key.values.is_empty()
            || matches!(key.kind, Kind::Array | Kind::Dictionary)
            || key.values.iter().any(|allowed| equals(allowed, view));
        let named = within.is_empty() || text.is_none_or(|text| facts::key(within, text).is_some());
        let bounded = key
            .range
            .is_none_or(|range| view.number().is_none_or(|number| range.holds(number)));
        let formed = key
            .format
            .as_ref()
            .is_none_or(|format| text.is_none_or(|text| format.matches(text)));
        if listed && named && bounded && formed {
            return;
        }
        let message = format!("cannot be {}", words::value(view));
        let help = format!("give it {}", expected(key, within));
        if !bounded {
            self.error(path, Code::Range, message, help);
        } else if listed && named {
            let pattern = key.format.as_ref().map_or("", |format| format.pattern());
            self.error(path, Code::Format, message, format!("it must match `{pattern}`"));
        } else {
            let near = within.keys().map(String::as_str);
            let values = key.values.iter().filter_map(|value| match value {
                Scalar::Text(text) => Some(text.as_str()),
                _ => None,
            });
            let guess = did_you_mean(text.unwrap_or_default(), near.chain(values));
            self.error(path, Code::Value, message, help + &guess);
        }
    }
}

/// Whether what is not met refuses the content: what a device takes without effect does not, but must not pass for done.
pub(super) const fn judge(unmet: &Unmet) -> (Severity, Code) {
    match unmet {
        Unmet::Ignored | Unmet::Unsupervised => (Severity::Warning, Code::NotEffective),
        Unmet::Removed { .. } | Unmet::System { .. } | Unmet::TooOld { .. } => {
            (Severity::Error, Code::UnsupportedOs)
        }
        Unmet::Channel { .. }
        | Unmet::Enrollment { .. }
        | Unmet::NotApproved
        | Unmet::NotAutomated
        | Unmet::NotSharedIPad
        | Unmet::Rights { .. }
        | Unmet::SharedIPad
        | Unmet::UserEnrollment => (Severity::Error, Code::Enrollment),
    }
}

/// What to do about a condition that is not met.
pub(super) fn advice(unmet: &Unmet) -> String {
    match unmet {
        Unmet::TooOld { system, since, .. } => {
            format!("limit it to {system} with minimumVersion: \"{since}\"")
        }
        Unmet::Removed { system, removed, .. } => {
            format!("limit it to {system} with beforeVersion: \"{removed}\"")
        }
        Unmet::System { system } => format!("leave it out for {system}"),
        Unmet::Unsupervised => "limit it to enrollmentModes: [Supervised]".to_owned(),
        Unmet::Ignored | Unmet::UserEnrollment => {
            "limit it to enrollmentModes: [Supervised, Device]".to_owned()
        }
        _ => String::new(),
    }
}

/// Apple's advice against something.
pub(super) fn deprecated(path: &str, target: &Target, on: &Conditions) -> Option<Finding> {
    let since = on.deprecated?;
    (since.0 <= target.os_version && target.unmet(Some(*on)).is_none()).then(|| Finding {
        path: path.to_owned(),
        severity: Severity::Warning,
        code: Code::Deprecated,
        message: format!("is deprecated since {} {}", target.system(), since.0),
        help: "it may go with the next system".to_owned(),
    })
}

fn below(path: &str, name: &str) -> String {
    let name = clip(name);
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}

pub(super) fn equals<D>(allowed: &Scalar, view: &View<'_, D>) -> bool {
    match (allowed, view) {
        (Scalar::Boolean(allowed), View::Boolean(flag)) => allowed == flag,
        (Scalar::Integer(allowed), View::Integer(whole)) => i128::from(*allowed) == *whole,
        (Scalar::Integer(_) | Scalar::Real(_), View::Integer(_) | View::Real(_)) => {
            let wanted = match allowed {
                Scalar::Real(real) => Some(*real),
                Scalar::Integer(whole) => i32::try_from(*whole).ok().map(f64::from),
                _ => None,
            };
            match (wanted, view.number()) {
                (Some(wanted), Some(number)) => wanted.total_cmp(&number).is_eq(),
                _ => false,
            }
        }
        (Scalar::Text(allowed), View::Text(text)) => allowed == text,
        _ => false,
    }
}
