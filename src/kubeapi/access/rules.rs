//! Rules of roles: what one allows, and whether some allow all that others do.
//!
//! Pure. Follows the RBAC authorizer of Kubernetes, its escalation check included.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::attributes::{Attributes, On};
use crate::kubeapi::object;

/// A `PolicyRule`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::kubeapi) struct Rule {
    pub verbs: Vec<String>,
    pub groups: Vec<String>,
    pub resources: Vec<String>,
    pub names: Vec<String>,
    pub paths: Vec<String>,
}

const ALL: &str = "*";

impl Rule {
    /// Reads a rule; what is missing or of another type is empty.
    #[must_use]
    pub(super) fn parse(rule: &Value) -> Self {
        let strings = |field| object::strings(rule.get(field));
        Self {
            verbs: strings("verbs"),
            groups: strings("apiGroups"),
            resources: strings("resources"),
            names: strings("resourceNames"),
            paths: strings("nonResourceURLs"),
        }
    }

    /// The rules of a role.
    #[must_use]
    pub(super) fn all(role: &Value) -> Vec<Self> {
        let rules = role.get("rules").and_then(Value::as_array);
        rules.into_iter().flatten().map(Self::parse).collect()
    }

    /// The rule as it is stored.
    #[must_use]
    pub(super) fn to_value(&self) -> Value {
        let mut rule = Map::new();
        for (field, texts) in [
            ("apiGroups", &self.groups),
            ("nonResourceURLs", &self.paths),
            ("resourceNames", &self.names),
            ("resources", &self.resources),
        ] {
            if !texts.is_empty() {
                rule.insert(field.to_owned(), json!(texts));
            }
        }
        rule.insert("verbs".to_owned(), json!(self.verbs));
        Value::Object(rule)
    }

    /// Whether the rule lets a request pass.
    #[must_use]
    pub(super) fn allows(&self, request: &Attributes) -> bool {
        if !holds(&self.verbs, &request.verb) {
            return false;
        }
        match &request.on {
            On::Path(path) => self.paths.iter().any(|owner| path_covers(owner, path)),
            On::Resource(on) => {
                let any_of = |pattern: &String| {
                    pattern.strip_prefix("*/").is_some_and(|subresource| {
                        !on.subresource.is_empty() && subresource == on.subresource
                    })
                };
                holds(&self.groups, &on.group)
                    && (holds(&self.resources, &on.combined()) || self.resources.iter().any(any_of))
                    && (self.names.is_empty() || self.names.contains(&on.name))
            }
        }
    }

    /// Rules with one verb, one resource and at most one name each that mean the same together.
    fn atoms(&self) -> Vec<Self> {
        let one = |text: &String| vec![text.clone()];
        let names: Vec<Vec<String>> = if self.names.is_empty() {
            vec![Vec::new()]
        } else {
            self.names.iter().map(one).collect()
        };
        let mut atoms = Vec::new();
        for group in &self.groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    atoms.extend(names.iter().map(|name| Self {
                        verbs: one(verb),
                        groups: one(group),
                        resources: one(resource),
                        names: name.clone(),
                        paths: Vec::new(),
                    }));
                }
            }
        }
        for path in &self.paths {
            atoms.extend(self.verbs.iter().map(|verb| Self {
                verbs: one(verb),
                paths: one(path),
                ..Self::default()
            }));
        }
        atoms
    }

    fn covers(&self, atom: &Self) -> bool {
        let resource = |resource: &String| {
            holds(&self.resources, resource)
                || resource
                    .split_once('/')
                    .is_some_and(|(_, subresource)| self.resources.contains(&format!("*/{subresource}")))
        };
        let names = self.names.is_empty()
            || (!atom.names.is_empty() && atom.names.iter().all(|name| self.names.contains(name)));
        atom.verbs.iter().all(|verb| holds(&self.verbs, verb))
            && atom.groups.iter().all(|group| holds(&self.groups, group))
            && atom.resources.iter().all(resource)
            && names
            && atom
                .paths
                .iter()
                .all(|path| self.paths.iter().any(|owner| path_covers(owner, path)))
    }

    /// As messages show a rule.
    fn describe(&self) -> String {
        let parts = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.paths),
            ("ResourceNames", &self.names),
            ("Verbs", &self.verbs),
        ];
        let parts = parts.iter().filter(|(_, texts)| !texts.is_empty());
        let parts: Vec<_> = parts
            .map(|(label, texts)| format!("{label}:{}", quoted(texts)))
            .collect();
        format!("{{{}}}", parts.join(", "))
    }
}

/// Texts as Go prints a slice of them: `["a" "b"]`.
#[must_use]
pub(super) fn quoted(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", texts.join(" "))
}

fn holds(set: &[String], text: &str) -> bool {
    set.iter().any(|found| found == ALL || found == text)
}

fn path_covers(owner: &str, path: &str) -> bool {
    owner == path || (owner.ends_with('*') && path.starts_with(owner.trim_end_matches('*')))
}

/// What `wanted` allows and `held` does not, in atoms.
#[must_use]
pub(super) fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let atoms = wanted.iter().flat_map(Rule::atoms);
    atoms
        .filter(|atom| !held.iter().any(|rule| rule.covers(atom)))
        .collect()
}

/// Missing atoms in lines for a message: verbs on one resource share a line.
#[must_use]
pub(super) fn describe_missing(missing: Vec<Rule>) -> String {
    let mut simple: BTreeMap<_, Rule> = BTreeMap::new();
    let mut lines = BTreeSet::new();
    for atom in missing {
        if atom.paths.is_empty() {
            let key = (atom.groups.clone(), atom.resources.clone(), atom.names.clone());
            match simple.get_mut(&key) {
                Some(rule) => rule.verbs.extend(atom.verbs),
                None => {
                    simple.insert(key, atom);
                }
            }
        } else {
            lines.insert(atom.describe());
        }
    }
    lines.extend(simple.values().map(Rule::describe));
    lines.into_iter().collect::<Vec<_>>().join("\n")
}

/// Everything.
#[must_use]
pub(super) fn full_authority() -> [Rule; 2] {
    let all = || vec![ALL.to_owned()];
    [
        Rule {
            verbs: all(),
            groups: all(),
            resources: all(),
            ..Rule::default()
        },
        Rule {
            verbs: all(),
            paths: all(),
            ..Rule::default()
        },
    ]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::attributes::OnResource;
    use super::*;

    fn rule(verbs: &str, groups: &str, resources: &str, names: &str) -> Rule {
        let list = |text: &str| {
            text.split_whitespace()
                .map(|word| word.replace("core", ""))
                .collect()
        };
        Rule {
            verbs: list(verbs),
            groups: list(groups),
            resources: list(resources),
            names: list(names),
            paths: Vec::new(),
        }
    }

    fn ask(verb: &str, group: &str, resource: &str, name: &str) -> Attributes {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Attributes::on(
            verb,
            OnResource {
                group: group.to_owned(),
                resource: resource.to_owned(),
                subresource: subresource.to_owned(),
                name: name.to_owned(),
                ..OnResource::default()
            },
        )
    }

    #[test]
    fn a_rule_allows_what_it_says_and_no_more() {
        let devices = rule("get list", "provost.dev", "devices", "");
        for (allows, rule, request) in [
            (true, &devices, ask("get", "provost.dev", "devices", "x")),
            (false, &devices, ask("watch", "provost.dev", "devices", "x")),
            (false, &devices, ask("get", "", "devices", "x")),
            (false, &devices, ask("get", "provost.dev", "devices/status", "x")),
            (true, &rule("*", "*", "*", ""), ask("frob", "a", "b/c", "d")),
            (
                true,
                &rule("get", "core", "*/status", ""),
                ask("get", "", "pods/status", ""),
            ),
            (
                false,
                &rule("get", "core", "*/status", ""),
                ask("get", "", "status", ""),
            ),
            (
                false,
                &rule("get", "core", "*/status", ""),
                ask("get", "", "pods/scale", ""),
            ),
            (
                true,
                &rule("get", "core", "secrets", "a b"),
                ask("get", "", "secrets", "b"),
            ),
            (
                false,
                &rule("get", "core", "secrets", "a b"),
                ask("get", "", "secrets", "c"),
            ),
            // A name in a rule allows nothing about collections.
            (
                false,
                &rule("*", "core", "secrets", "a"),
                ask("create", "", "secrets", ""),
            ),
            (
                false,
                &rule("*", "core", "secrets", "a"),
                ask("list", "", "secrets", ""),
            ),
        ] {
            assert_eq!(rule.allows(&request), allows, "{rule:?} {request:?}");
        }
        let paths = Rule {
            verbs: vec!["get".to_owned()],
            paths: vec!["/healthz".to_owned(), "/openapi/*".to_owned()],
            ..Rule::default()
        };
        for (allows, path) in [
            (true, "/healthz"),
            (false, "/healthz/etcd"),
            (true, "/openapi/v3"),
            (true, "/openapi/"),
            (false, "/openapi"),
        ] {
            let request = Attributes {
                verb: "get".to_owned(),
                on: On::Path(path.to_owned()),
            };
            assert_eq!(paths.allows(&request), allows, "{path}");
        }
    }

    #[test]
    fn what_is_missing_is_said_as_kubernetes_says_it() {
        let held = [rule("get", "core", "secrets", "")];
        let wanted = [
            rule("get list watch", "core", "secrets configmaps", ""),
            rule("get", "core", "secrets", "one"),
        ];
        let text = describe_missing(missing(&held, &wanted));
        assert_eq!(
            text,
            "{APIGroups:[\"\"], Resources:[\"configmaps\"], Verbs:[\"get\" \"list\" \"watch\"]}\n\
             {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"list\" \"watch\"]}"
        );
        assert!(!missing(&held, &full_authority()).is_empty());
        assert!(missing(&full_authority(), &wanted).is_empty());
        // Permission for one object is not permission for all.
        let one = [rule("get", "core", "secrets", "one")];
        assert_eq!(missing(&one, &held).len(), 1);
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let some = |words: &'static str| proptest::collection::vec(words, 0..3);
        (
            some("get|list|\\*"),
            some("a|b|\\*"),
            some("x|y|x/s|\\*/s|\\*"),
            some("one|two"),
            some("/p|/p/\\*|\\*"),
        )
            .prop_map(|(verbs, groups, resources, names, paths)| {
                if paths.is_empty() {
                    Rule {
                        verbs,
                        groups,
                        resources,
                        names,
                        paths,
                    }
                } else {
                    // A rule is about resources or about paths.
                    Rule {
                        verbs,
                        paths,
                        ..Rule::default()
                    }
                }
            })
    }

    proptest! {
        /// Who lacks nothing of a role may do whatever the role allows.
        #[test]
        fn rules_that_cover_others_allow_what_those_allow(
            held in proptest::collection::vec(any_rule(), 0..4), wanted in any_rule(),
            verb in "get|list", group in "a|b", resource in "x|y|x/s", name in "one|two|",
        ) {
            let request = ask(&verb, &group, &resource, &name);
            if missing(&held, std::slice::from_ref(&wanted)).is_empty() && wanted.allows(&request) {
                prop_assert!(held.iter().any(|rule| rule.allows(&request)));
            }
        }

        #[test]
        fn a_rule_covers_itself(rule in any_rule()) {
            let rules = [rule];
            prop_assert!(missing(&rules, &rules).is_empty());
        }
    }
}
