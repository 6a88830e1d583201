//! What the demands on one class of devices need to know.

use std::collections::{BTreeMap, BTreeSet};

use crate::compliance::check;
use crate::compliance::demand::{Demand, Evidence};
use crate::compliance::facts::Source;

/// What stands for the whole of an answer.
const WHOLE: &str = "";

/// What checks read, by where it comes from: the first key below the root, or [`WHOLE`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs(BTreeMap<Source, BTreeSet<String>>);

impl Needs {
    /// What these demands are judged by.
    #[must_use]
    pub fn of(demands: &[Demand]) -> Self {
        let mut needs = Self::default();
        for demand in demands {
            match &demand.evidence {
                Evidence::Cel { program, .. } => {
                    for path in program.paths() {
                        if let Some(source) = check::source(&path.root) {
                            let key = path.keys.first().map_or(WHOLE, String::as_str);
                            needs.need(source, key);
                        }
                    }
                }
                Evidence::InstalledProfile {
                    via_declaration: None,
                    ..
                } => needs.need(Source::ProfileList, WHOLE),
                Evidence::InstalledProfile { .. }
                | Evidence::InstalledDeclaration { .. }
                | Evidence::NotApplicable { .. }
                | Evidence::Conflict { .. }
                | Evidence::None { .. } => {}
            }
        }
        needs
    }

    fn need(&mut self, source: Source, key: &str) {
        let keys = self.0.entry(source).or_default();
        if !keys.contains(key) {
            keys.insert(key.to_owned());
        }
    }

    /// Where it comes from.
    pub fn sources(&self) -> impl Iterator<Item = Source> {
        self.0.keys().copied()
    }

    /// The keys that are read of a source.
    pub fn keys(&self, source: Source) -> impl Iterator<Item = &str> {
        self.0.get(&source).into_iter().flatten().map(String::as_str)
    }
}
