//! Devices that policy treats alike before and after, and what changes for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::outlook::{Demanded, Flip, KnownDevice, Outlook, VerdictChange, demanded};
use super::settings::{Collected, SettingChange, differences};
use super::{Change, Touched};
use crate::api::common::{EnrollmentMode, Platform};
use crate::compliance::Checks;
use crate::policy::compile::{AssignmentInput, CompileInput, Explanation, explain};
use crate::policy::platform::DeviceClass;

/// How many devices of a class are named.
const MAX_NAMED: usize = 5;

/// Devices of one class that the same assignments concern before, and the same after.
#[derive(Debug, Clone)]
pub struct Cohort {
    /// The class.
    pub class: DeviceClass,
    /// What concerns them before.
    pub before: Arc<[AssignmentInput]>,
    /// What concerns them after.
    pub after: Arc<[AssignmentInput]>,
    /// The devices of the fleet. Empty: it is not known whether there are any.
    pub devices: Vec<KnownDevice>,
}

impl Cohort {
    fn differs(&self) -> bool {
        self.before != self.after || self.devices.iter().any(|device| device.waivers.differ())
    }
}

/// A class of devices for which something changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TouchedClass {
    /// For people, such as `macOS 26.0 (supervised)`.
    pub name: String,
    /// The operating system.
    pub platform: Platform,
    /// Its version.
    pub os_version: String,
    /// How they are managed.
    pub enrollment_mode: EnrollmentMode,
    /// The assignments that concern them before.
    pub assignments_before: Vec<Arc<str>>,
    /// The assignments that concern them after.
    pub assignments_after: Vec<Arc<str>>,
    /// How many devices of the fleet there are of it; 0 where no fleet is known.
    pub devices: usize,
    /// Some of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<Arc<str>>,
}

/// A contradiction between rules that came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConflictChange {
    /// Whether it came or went.
    pub change: Change,
    /// All of it, for people.
    pub message: String,
    /// Whom it touches.
    #[serde(flatten)]
    pub touched: Touched,
}

/// Rules that ask the same as before, in content that is not the same: until devices report that, they are unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Renewed {
    /// How many rules.
    pub rules: usize,
    /// Whom it touches.
    #[serde(flatten)]
    pub touched: Touched,
}

/// What a change of policy means for devices.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Effects {
    /// The classes of devices for which something changes.
    pub classes: Vec<TouchedClass>,
    /// Settings: what is removed first, then what is changed, then what is added.
    pub settings: Vec<SettingChange>,
    /// Verdicts that would be others.
    pub verdicts: Vec<VerdictChange>,
    /// Rules that are only proven anew.
    pub renewed: Renewed,
    /// Contradictions that came or went.
    pub conflicts: Vec<ConflictChange>,
}

/// Finds what changes for each cohort, and puts together what is the same.
#[must_use]
pub fn compare(namespace: &str, cohorts: &[Cohort], checks: &Checks) -> Effects {
    let mut comparison = Comparison::default();
    for cohort in cohorts.iter().filter(|cohort| cohort.differs()) {
        let side = |assignments: &[AssignmentInput]| {
            explain(&CompileInput {
                namespace,
                class: cohort.class,
                assignments,
                // It is the same for both, and no setting.
                public_url: "https://provost.invalid",
                checks,
            })
        };
        comparison.add(cohort, &side(&cohort.before), &side(&cohort.after));
    }
    comparison.finish()
}

#[derive(Default)]
struct Comparison {
    classes: Vec<TouchedClass>,
    settings: Collected,
    verdicts: BTreeMap<(Arc<str>, Outlook, Outlook), Touched>,
    renewed: BTreeSet<Arc<str>>,
    renewing: Touched,
    conflicts: BTreeMap<(Change, String), Touched>,
}

impl Comparison {
    fn add(&mut self, cohort: &Cohort, before: &Explanation, after: &Explanation) {
        let (class, devices) = (self.classes.len(), cohort.devices.len());
        let differences = differences(&before.settings, &after.settings);
        for difference in &differences {
            self.settings.add(difference, class, devices);
        }
        let conflicts = self.conflicts(class, devices, before, after);
        let verdicts = self.verdicts(cohort, class, &demanded(before), &demanded(after));
        if !differences.is_empty() || conflicts || verdicts {
            self.classes.push(touched(cohort));
        }
    }

    fn conflicts(&mut self, class: usize, devices: usize, before: &Explanation, after: &Explanation) -> bool {
        let messages = |side: &Explanation| -> BTreeSet<String> {
            let conflicts = side.plan.conflicts.iter();
            conflicts.map(|conflict| conflict.message.clone()).collect()
        };
        let (before, after) = (messages(before), messages(after));
        let gone = before
            .difference(&after)
            .map(|message| (Change::Removed, message));
        let new = after.difference(&before).map(|message| (Change::Added, message));
        let mut any = false;
        for (change, message) in gone.chain(new) {
            any = true;
            let touched = self.conflicts.entry((change, message.clone())).or_default();
            touched.add(class, devices);
        }
        any
    }

    fn verdicts(
        &mut self,
        cohort: &Cohort,
        class: usize,
        before: &Demanded<'_>,
        after: &Demanded<'_>,
    ) -> bool {
        let keys: BTreeSet<&Arc<str>> = before.keys().chain(after.keys()).copied().collect();
        let mut any = false;
        for key in keys {
            let flip = Flip::new(before.get(key), after.get(key));
            if flip.is_proven_anew {
                any = true;
                self.renewed.insert(Arc::clone(key));
                if self.renewing.classes.last() != Some(&class) {
                    self.renewing.add(class, cohort.devices.len());
                }
            }
            any |= flip.is_asked_otherwise;
            let mut flips: Vec<((Outlook, Outlook), usize)> = Vec::new();
            if cohort.devices.is_empty() && flip.is_asked_otherwise {
                flips.push((flip.outlooks(None), 0));
            }
            let devices = cohort.devices.iter();
            let devices = devices.filter(|device| flip.is_asked_otherwise || device.waivers.differ());
            flips.extend(devices.map(|device| (flip.outlooks(Some(device)), 1)));
            // Where nothing is asked otherwise only a waiver makes a difference.
            let is_told = |(from, to): (Outlook, Outlook)| {
                from != to && (flip.is_asked_otherwise || [from, to].contains(&Outlook::Waived))
            };
            for ((from, to), devices) in flips.into_iter().filter(|(outlooks, _)| is_told(*outlooks)) {
                any = true;
                let touched = self.verdicts.entry((Arc::clone(key), from, to)).or_default();
                touched.add(class, devices);
            }
        }
        any
    }

    fn finish(self) -> Effects {
        Effects {
            classes: self.classes,
            settings: self.settings.finish(),
            verdicts: self
                .verdicts
                .into_iter()
                .map(|((rule, from, to), touched)| VerdictChange {
                    rule,
                    from,
                    to,
                    touched,
                })
                .collect(),
            renewed: Renewed {
                rules: self.renewed.len(),
                touched: self.renewing,
            },
            conflicts: self
                .conflicts
                .into_iter()
                .map(|((change, message), touched)| ConflictChange {
                    change,
                    message,
                    touched,
                })
                .collect(),
        }
    }
}

fn touched(cohort: &Cohort) -> TouchedClass {
    let names = |side: &[AssignmentInput]| side.iter().map(|input| Arc::clone(&input.name)).collect();
    let sample = cohort.devices.iter().take(MAX_NAMED);
    TouchedClass {
        name: cohort.class.to_string(),
        platform: cohort.class.platform,
        os_version: cohort.class.os_version.to_string(),
        enrollment_mode: cohort.class.mode,
        assignments_before: names(&cohort.before),
        assignments_after: names(&cohort.after),
        devices: cohort.devices.len(),
        sample: sample.map(|device| Arc::clone(&device.name)).collect(),
    }
}
