//! One baseline and those that it extends become one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Inherited, LeftOut, MAXIMUM_DEPTH, MAXIMUM_PARAMETERS, MAXIMUM_RULES, Resolved};
use crate::api::BaselineSpec;
use crate::api::baseline::{BaselineRule, Extension, Parameter, RuleOverride};
use crate::policy::parameter;
use crate::policy::platform::in_both;
use crate::policy::spec_check::SpecError;
use crate::suggest::did_you_mean;

/// What there is of a baseline that is extended.
pub(super) enum Base<'n> {
    Found(Arc<Resolved>),
    /// It extends itself, by this way.
    Circular(String),
    /// There is none; these are the names that there are.
    Missing(Vec<&'n str>),
}

/// Resolves a baseline whose bases are.
pub(super) fn inherit<'n>(name: &str, own: &Arc<BaselineSpec>, base: &dyn Fn(&str) -> Base<'n>) -> Resolved {
    let mut heir = Heir {
        name: name.into(),
        own,
        rules: Vec::new(),
        parameters: Vec::new(),
        resolved: Resolved::as_written(Arc::clone(own)),
    };
    for (index, extension) in own.extends.iter().enumerate() {
        let field = format!("spec.extends[{index}]");
        let problem = match base(&extension.name) {
            Base::Found(base) if base.depth < MAXIMUM_DEPTH => {
                heir.take(&field, index, extension, &base);
                continue;
            }
            Base::Found(_) => format!("inheritance is more than {MAXIMUM_DEPTH} baselines deep here"),
            Base::Circular(circle) => format!("inheritance goes in a circle: {circle}"),
            Base::Missing(names) => {
                heir.resolved.missing.push(index);
                let hint = did_you_mean(&extension.name, names.into_iter().filter(|known| *known != name));
                format!("there is no Baseline `{}`{hint}", extension.name)
            }
        };
        heir.report(format!("{field}.name"), problem);
        heir.resolved.incomplete = true;
    }
    heir.finish()
}

/// A baseline while it is put together.
struct Heir<'b> {
    name: Arc<str>,
    own: &'b Arc<BaselineSpec>,
    rules: Vec<BaselineRule>,
    parameters: Vec<Parameter>,
    resolved: Resolved,
}

impl Heir<'_> {
    fn report(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.resolved.problems.push(SpecError {
            field: field.into(),
            message: message.into(),
            code: None,
        });
    }

    /// Takes over what one baseline has, and is left of it.
    fn take(&mut self, field: &str, index: usize, extension: &Extension, base: &Resolved) {
        self.resolved.depth = self.resolved.depth.max(base.depth + 1);
        self.resolved.incomplete |= base.incomplete;
        self.check_names(field, extension, base);
        self.take_parameters(field, extension, base);
        self.resolved.left_out.extend(base.left_out.iter().cloned());
        for rule in &base.spec.rules {
            let source = base.inherited.get(&rule.id);
            let from = source.map_or_else(|| extension.name.as_str().into(), |known| Arc::clone(&known.from));
            // A rule of it is for the devices of both at the most.
            let Some(platforms) = in_both(&base.spec.platforms, &rule.platforms) else {
                let message = format!(
                    "rule `{}` of baseline `{}` is for no device: its platforms and those of the baseline have none in common",
                    rule.id, extension.name
                );
                self.report(format!("{field}.name"), message);
                continue;
            };
            let mut rule = BaselineRule {
                platforms,
                ..rule.clone()
            };
            if let Some(excluded) = extension.exclude.iter().find(|excluded| excluded.rule == rule.id) {
                self.resolved.left_out.push(LeftOut {
                    rule,
                    from,
                    by: Arc::clone(&self.name),
                    reason: excluded.reason.as_str().into(),
                });
                continue;
            }
            let mut changed_by = source.map_or_else(Vec::new, |known| known.changed_by.clone());
            if let Some(change) = extension.overrides.iter().find(|change| change.rule == rule.id) {
                apply(change, &mut rule);
                changed_by.push(Arc::clone(&self.name));
            }
            let inherited = Inherited {
                from,
                changed_by,
                extension: index,
            };
            self.take_rule(field, extension, rule, inherited);
        }
    }

    fn take_rule(&mut self, field: &str, extension: &Extension, rule: BaselineRule, inherited: Inherited) {
        let Some(known) = self.resolved.inherited.get(&rule.id) else {
            self.resolved.inherited.insert(rule.id.clone(), inherited);
            self.rules.push(rule);
            return;
        };
        // Two ways to one rule are one rule.
        if !self.rules.contains(&rule) {
            let other = self.own.extends.get(known.extension);
            let other = other.map_or("", |other| other.name.as_str());
            let message = format!(
                "baselines `{other}` and `{}` have different rules `{}`; exclude it from one of them",
                extension.name, rule.id
            );
            self.report(format!("{field}.name"), message);
        }
    }

    /// Names in an extension that the baseline does not have, and reasons that say nothing.
    fn check_names(&mut self, field: &str, extension: &Extension, base: &Resolved) {
        let ids = || base.spec.rules.iter().map(|rule| rule.id.as_str());
        let unknown = |id: &str| {
            if ids().any(|known| known == id) {
                return None;
            }
            let left_out = base.left_out.iter().find(|left_out| left_out.rule.id == id);
            let why = left_out.map_or_else(
                || did_you_mean(id, ids()),
                |left_out| format!(": `{}` excludes it", left_out.by),
            );
            Some(format!("baseline `{}` has no rule `{id}`{why}", extension.name))
        };
        for (n, excluded) in extension.exclude.iter().enumerate() {
            if let Some(message) = unknown(&excluded.rule) {
                self.report(format!("{field}.exclude[{n}].rule"), message);
            }
            if excluded.reason.trim().is_empty() {
                let message = format!("say why rule `{}` is excluded", excluded.rule);
                self.report(format!("{field}.exclude[{n}].reason"), message);
            }
        }
        for (n, change) in extension.overrides.iter().enumerate() {
            let field = format!("{field}.override[{n}].rule");
            if extension
                .exclude
                .iter()
                .any(|excluded| excluded.rule == change.rule)
            {
                let message = format!(
                    "rule `{}` is excluded, so there is nothing to override",
                    change.rule
                );
                self.report(field, message);
            } else if let Some(message) = unknown(&change.rule) {
                self.report(field, message);
            }
        }
    }

    fn take_parameters(&mut self, field: &str, extension: &Extension, base: &Resolved) {
        let (_, errors) = parameter::resolve(&base.spec.parameters, &extension.parameters);
        // A wrong default is the other baseline's mistake and is reported there.
        let own_errors: Vec<_> = errors
            .iter()
            .filter_map(|error| Some((error.parameter()?, error)))
            .filter(|(name, _)| extension.parameters.contains_key(*name))
            .collect();
        for (name, error) in &own_errors {
            self.report(format!("{field}.parameters.{name}"), error.to_string());
        }
        let wrong: BTreeSet<&str> = own_errors.iter().map(|(name, _)| *name).collect();
        for declared in &base.spec.parameters {
            let mut declared = declared.clone();
            let given = extension.parameters.get(&declared.name);
            if let Some(value) = given.filter(|_| !wrong.contains(declared.name.as_str())) {
                declared.default = value.clone();
            }
            self.take_parameter(field, extension, declared);
        }
    }

    fn take_parameter(&mut self, field: &str, extension: &Extension, declared: Parameter) {
        let own = self.own.parameters.iter().enumerate();
        if let Some((n, own)) = own.into_iter().find(|(_, own)| own.name == declared.name) {
            if own.type_ != declared.type_ {
                let message = format!(
                    "baseline `{}` has the parameter `{}` as {}; the type must be the same",
                    extension.name, own.name, declared.type_
                );
                self.report(format!("spec.parameters[{n}].type"), message);
            }
            return;
        }
        match self.parameters.iter().find(|known| known.name == declared.name) {
            None => self.parameters.push(declared),
            Some(known) if *known == declared => {}
            Some(_) => {
                let message = format!(
                    "another extended baseline has a different parameter `{}`; write it under spec.parameters here, or give both the same value",
                    declared.name
                );
                self.report(format!("{field}.name"), message);
            }
        }
    }

    fn finish(mut self) -> Resolved {
        let own = self.own;
        for (n, rule) in own.rules.iter().enumerate() {
            if let Some(known) = self.resolved.inherited.get(&rule.id) {
                let base = own
                    .extends
                    .get(known.extension)
                    .map_or("", |base| base.name.as_str());
                let message = format!(
                    "baseline `{base}` has a rule `{}` already; change it under spec.extends[{1}].override, or exclude it there",
                    rule.id, known.extension
                );
                self.report(format!("spec.rules[{n}].id"), message);
            } else {
                self.rules.push(rule.clone());
            }
        }
        self.parameters.extend(own.parameters.iter().cloned());
        let most = [
            ("rules", self.rules.len(), MAXIMUM_RULES),
            ("parameters", self.parameters.len(), MAXIMUM_PARAMETERS),
        ];
        for (what, count, maximum) in most {
            if count > maximum {
                let message =
                    format!("with those that it inherits it has {count} {what}; the most is {maximum}");
                self.report("spec.extends", message);
            }
        }
        self.rules.truncate(MAXIMUM_RULES);
        self.parameters.truncate(MAXIMUM_PARAMETERS);
        let mut resolved = self.resolved;
        // What another way brings is not left out, and what is left out twice is left out.
        let present: BTreeSet<&str> = self.rules.iter().map(|rule| rule.id.as_str()).collect();
        let mut seen = BTreeSet::new();
        resolved.left_out.retain(|left_out| {
            !present.contains(&*left_out.rule.id) && seen.insert(left_out.rule.id.clone())
        });
        resolved.inherited = std::mem::take(&mut resolved.inherited)
            .into_iter()
            .filter(|(id, _)| present.contains(id.as_str()))
            .collect();
        resolved.spec = Arc::new(BaselineSpec {
            parameters: self.parameters,
            extends: Vec::new(),
            rules: self.rules,
            ..BaselineSpec::clone(own)
        });
        resolved
    }
}

/// Changes a rule.
fn apply(change: &RuleOverride, rule: &mut BaselineRule) {
    if let Some(severity) = change.severity {
        rule.severity = severity;
    }
    if let Some(enforce) = &change.enforce {
        rule.enforce.clone_from(enforce);
    }
    if let Some(check) = &change.check {
        rule.check = Some(check.clone());
    }
    // The reason why nothing proved the rule was about what has been replaced.
    if change.check.is_some() || change.enforce.as_ref().is_some_and(|enforce| !enforce.is_empty()) {
        rule.unproven = None;
    }
}
