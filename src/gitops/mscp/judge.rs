//! What Apple's schema holds against the content of rules. The same content stands in many baselines, so each is judged once.
//!
//! First by itself, as the newest devices take it that the baseline is for: a key that only came with a later version of the same year is no
//! mistake, for a device without it gets the rule's profile. Then the rule on all devices that the baseline is for, as any Baseline is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::tree::System;
use crate::api::BaselineSpec;
use crate::api::baseline::BaselineRule;
use crate::api::common::PlatformRange;
use crate::policy::profile::served_type;
use crate::policy::schema::{Extent, Finding, Schema, Target};
use crate::policy::{OsVersion, check_baseline};

/// A schema, with what it has said so far.
#[derive(Debug)]
pub struct Judge<'s> {
    schema: &'s Schema,
    contents: RefCell<HashMap<String, Rc<[Finding]>>>,
    rules: RefCell<HashMap<String, Rc<[Wrong]>>>,
}

/// An enforcement of a rule that cannot be used.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Wrong {
    pub(super) enforcement: usize,
    pub(super) message: String,
}

impl<'s> Judge<'s> {
    /// A judge by a schema.
    #[must_use]
    pub fn new(schema: &'s Schema) -> Self {
        Self {
            schema,
            contents: RefCell::default(),
            rules: RefCell::default(),
        }
    }

    /// What is to be said of a payload or declaration, for a system in a version and all that follow in its year.
    pub(super) fn content(
        &self,
        is_declaration: bool,
        type_: &str,
        content: &Map<String, Value>,
        system: System,
        version: &str,
    ) -> Rc<[Finding]> {
        // A Map writes itself in the order of its keys.
        let text = serde_json::to_string(content).unwrap_or_default();
        let key = format!("{is_declaration} {type_} {} {version} {text}", system.short());
        if let Some(known) = self.contents.borrow().get(&key) {
            return Rc::clone(known);
        }
        let mut newest = OsVersion::read(version);
        for part in newest.0.iter_mut().skip(1) {
            *part = u32::MAX;
        }
        let mut findings = Vec::new();
        for platform in system.platforms() {
            let target = Target {
                os_version: newest,
                ..Target::of(*platform)
            };
            findings.extend(if is_declaration {
                self.schema
                    .check_declared(Some(&target), type_, content, Extent::Part)
            } else {
                self.schema
                    .check_payload(Some(&target), served_type(type_), content, Extent::Part)
            });
        }
        findings.sort();
        findings.dedup();
        let findings: Rc<[Finding]> = findings.into();
        self.contents.borrow_mut().insert(key, Rc::clone(&findings));
        findings
    }

    /// The enforcements of a rule that cannot be used on some of the devices of `platforms`, each once.
    pub(super) fn rule(&self, rule: &BaselineRule, platforms: &[PlatformRange]) -> Rc<[Wrong]> {
        let Ok(key) = serde_json::to_string(&(platforms, &rule.enforce)) else {
            return Rc::default();
        };
        if let Some(known) = self.rules.borrow().get(&key) {
            return Rc::clone(known);
        }
        let alone = BaselineSpec {
            title: rule.title.clone(),
            description: String::new(),
            version: String::new(),
            platforms: platforms.to_vec(),
            parameters: Vec::new(),
            extends: Vec::new(),
            rules: vec![rule.clone()],
        };
        let errors = check_baseline(&alone, self.schema).errors;
        let mut wrong: Vec<Wrong> = errors
            .into_iter()
            .filter_map(|error| {
                Some(Wrong {
                    enforcement: place(&error.field)?,
                    message: error.message,
                })
            })
            .collect();
        wrong.sort();
        wrong.dedup_by_key(|wrong| wrong.enforcement);
        let wrong: Rc<[Wrong]> = wrong.into();
        self.rules.borrow_mut().insert(key, Rc::clone(&wrong));
        wrong
    }
}

/// The enforcement that a field of the only rule is in: `spec.rules[0].enforce[1].profile` is in the second.
fn place(field: &str) -> Option<usize> {
    let (enforcement, _) = field.strip_prefix("spec.rules[0].enforce[")?.split_once(']')?;
    enforcement.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_names_the_enforcement_that_it_is_in() {
        assert_eq!(place("spec.rules[0].enforce[1].profile.content.a"), Some(1));
        assert_eq!(place("spec.rules[0].check.cel"), None);
    }
}
