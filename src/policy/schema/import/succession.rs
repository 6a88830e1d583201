//! One table upon another: Apple says of few things that they are gone; they are just no longer there.
//!
//! What the earlier table has and the later has not was removed with the later one's newest version, of each system that it was on. So a
//! fleet of mixed versions is judged by one table.

use std::collections::BTreeMap;

use crate::policy::schema::conditions::{Conditions, Since, System, Version};
use crate::policy::schema::facts::{Keys, TypeFacts};
use crate::policy::schema::table::{Schema, Types};

/// What became of what the later table lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Succession {
    /// Types and keys, as `type` or `type: key.key`, that are kept as removed.
    pub removed: Vec<String>,
    /// Those of which no system has a newer version by the later table: they are dropped, for nothing says when they went.
    pub dropped: Vec<String>,
}

impl Schema {
    /// Puts this table upon an earlier one.
    pub fn succeed(&mut self, earlier: &Self) -> Succession {
        let since: BTreeMap<System, Version> = earlier
            .newest
            .keys()
            .chain(self.newest.keys())
            .filter_map(|system| {
                let newest = self.newest(*system)?;
                earlier
                    .newest(*system)
                    .is_none_or(|known| newest > known)
                    .then_some((*system, newest))
            })
            .collect();
        let mut done = Succession::default();
        for (later, earlier) in [
            (&mut self.profiles, &earlier.profiles),
            (&mut self.declarations, &earlier.declarations),
            (&mut self.credentials, &earlier.credentials),
            (&mut self.commands, &earlier.commands),
        ] {
            types(later, earlier, &since, &mut done);
        }
        self.finish();
        done
    }
}

fn types(later: &mut Types, earlier: &Types, since: &BTreeMap<System, Version>, done: &mut Succession) {
    for (name, old) in earlier {
        if let Some(new) = later.get_mut(name) {
            let on = new.on.clone();
            keys(&mut new.keys, &old.keys, &on, since, name, done);
            for (shape, old) in &old.shapes {
                match new.shapes.get_mut(shape) {
                    Some(new) => keys(new, old, &on, since, name, done),
                    // A key that is kept may be like it.
                    None => drop(new.shapes.insert(shape.clone(), old.clone())),
                }
            }
            continue;
        }
        let mut on = old.on.clone();
        if remove(&mut on, &old.on, since) {
            done.removed.push(name.clone());
            later.insert(name.clone(), TypeFacts { on, ..old.clone() });
        } else {
            done.dropped.push(name.clone());
        }
    }
}

fn keys(
    later: &mut Keys,
    earlier: &Keys,
    below: &BTreeMap<System, Conditions>,
    since: &BTreeMap<System, Version>,
    path: &str,
    done: &mut Succession,
) {
    for (name, old) in earlier {
        let path = if path.contains(": ") {
            format!("{path}.{name}")
        } else {
            format!("{path}: {name}")
        };
        let mut effective = below.clone();
        for (system, on) in &old.on {
            let below = below.get(system).copied().unwrap_or_default();
            effective.insert(*system, on.over(&below));
        }
        if let Some(new) = later.get_mut(name) {
            keys(&mut new.keys, &old.keys, &effective, since, &path, done);
            continue;
        }
        let mut on = old.on.clone();
        if remove(&mut on, &effective, since) {
            done.removed.push(path);
            let mut kept = old.clone();
            kept.on = on;
            // What is gone need not be given.
            kept.required = false;
            later.insert(name.clone(), kept);
        } else {
            done.dropped.push(path);
        }
    }
}

/// Marks as removed, on every system that has it and has a newer version. Whether there is such a one.
fn remove(
    on: &mut BTreeMap<System, Conditions>,
    effective: &BTreeMap<System, Conditions>,
    since: &BTreeMap<System, Version>,
) -> bool {
    let mut any = false;
    for (system, conditions) in effective {
        if conditions.since == Some(Since::Never) {
            continue;
        }
        if conditions.removed.is_some() {
            any = true;
        } else if let Some(version) = since.get(system) {
            on.entry(*system).or_default().removed = Some(*version);
            any = true;
        }
    }
    any
}
