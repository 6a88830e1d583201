//! What a change of policy means, before it is made: two policies go in, and out comes what devices would get, keep and lose.
//!
//! ```text
//!   objects of two revisions ──► objects, rules                        (what was written)
//!   cohorts (a class of devices, ──► explain ──► settings ──► lasting  (what devices get, and what of it stays)
//!   and what concerns them              └──► rules ──► outlook          (which verdicts would flip)
//!   before and after)
//! ```
//!
//! A setting is looked at as the device gets it, after parameters, merging and the choice of profile or declaration; so a change of a
//! parameter's default shows as the changed value, and a rule that moves from one baseline to another does not show at all. What is said of
//! verdicts is only what the policy and the known facts of a device decide; the rest is unknown until the device reports.
//!
//! Pure. Comparing a policy with itself finds nothing, and comparing backwards finds the same with `added` and `removed` exchanged.

mod classes;
mod cohort;
mod lasting;
mod objects;
mod outlook;
mod settings;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use classes::classes_concerned;
pub use cohort::{Cohort, ConflictChange, Effects, Renewed, TouchedClass, compare};
pub use lasting::{LASTING, Lasting, Moment};
pub use objects::{Baselines, ObjectChange, Objects, RuleChange, objects, rules};
pub use outlook::{KnownDevice, Outlook, VerdictChange, Waivers};
pub use settings::SettingChange;

/// How something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Change {
    /// It is no longer there.
    Removed,
    /// It is different.
    Changed,
    /// It was not there before.
    Added,
}

impl Change {
    /// What it is when looked at backwards.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::Removed => Self::Added,
            Self::Changed => Self::Changed,
            Self::Added => Self::Removed,
        }
    }
}

/// Who is touched by something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Touched {
    /// The classes of devices, as indices of [`Effects::classes`].
    pub classes: Vec<usize>,
    /// How many devices of the fleet; 0 where no fleet is known.
    pub devices: usize,
}

impl Touched {
    fn add(&mut self, class: usize, devices: usize) {
        if self.classes.last() != Some(&class) {
            self.classes.push(class);
        }
        self.devices = self.devices.saturating_add(devices);
    }
}
