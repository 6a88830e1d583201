//! Frameworks: which controls there are, and which of one framework support which of another. Facts, by hand, with their versions and sources.
//!
//! Ids are facts; titles are in our own words, but for those of NIST, which are in the public domain. A rule that passes *supports* the controls that it
//! names, and certifies nothing. The crosswalk to SOC 2 and HIPAA is a judgement of ours: an auditor decides what meets a criterion. Frameworks that are not
//! here may be named by rules all the same; nothing is said of their controls.

mod crosswalk;
mod tables;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::api::baseline::ControlRef;
use crate::suggest::did_you_mean;

pub use crosswalk::{CAVEAT, TOPICS, Topic, related};

/// A framework, and what there is of it.
#[derive(Debug)]
pub struct Framework {
    /// The name by which rules refer to it, such as `800-53r5`.
    pub id: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// The edition that the table is of.
    pub version: &'static str,
    /// Where it is published.
    pub source: &'static str,
    /// What to know about the table.
    pub note: &'static str,
    /// Its controls with their titles, in the framework's own spelling and order.
    pub controls: Vec<(String, &'static str)>,
    titles: BTreeMap<String, &'static str>,
}

impl Framework {
    /// The title of a control, or of the group that it is in. None: there is no such control.
    #[must_use]
    pub fn title_of(&self, control: &str) -> Option<&'static str> {
        if let Some(title) = self.titles.get(control) {
            return Some(title);
        }
        // What stands for all that is below it, such as `164.308(a)(5)`.
        let above = format!("{control}(");
        let below = self.titles.range(above.clone()..).next();
        below
            .filter(|(id, _)| id.starts_with(&above))
            .map(|(_, title)| *title)
    }
}

/// The frameworks of which the controls are known, by id.
pub fn frameworks() -> &'static [Framework] {
    static FRAMEWORKS: OnceLock<Vec<Framework>> = OnceLock::new();
    FRAMEWORKS.get_or_init(tables::all)
}

/// A framework of which the controls are known.
#[must_use]
pub fn framework(id: &str) -> Option<&'static Framework> {
    frameworks().iter().find(|framework| framework.id == id)
}

/// What looks like a slip in the name of a control. None: it is known, or of a framework that is not.
#[must_use]
pub fn slip(control: &ControlRef) -> Option<String> {
    let Some(known) = framework(&control.framework) else {
        let meant = frameworks()
            .iter()
            .find(|framework| letters(framework.id) == letters(&control.framework))?;
        return Some(format!(
            "there is no table of framework `{}`; did you mean `{}`?",
            control.framework, meant.id
        ));
    };
    if known.title_of(&control.id).is_some() {
        return None;
    }
    let hint = did_you_mean(&control.id, known.controls.iter().map(|(id, _)| id.as_str()));
    Some(format!(
        "{} ({}) has no control `{}`{hint}",
        known.id, known.version, control.id
    ))
}

/// The name of a framework without what people write differently.
fn letters(id: &str) -> String {
    let plain: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    let bare = ["nistsp", "nist", "sp"]
        .iter()
        .find_map(|prefix| plain.strip_prefix(prefix));
    bare.unwrap_or(&plain).to_owned()
}
