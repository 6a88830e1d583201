//! What a compilation came to, for people: every setting with the rules that made it, and of every rule what it sets and, where
//! nothing of it reaches devices, why.
//!
//! Nobody's devices are served from here: a controller needs the [`Plan`] alone, people who look at a change before it is made need both.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::assemble::{Assembled, assemble};
use super::gather::{Gathered, Piece, Proof, Target, gather, select};
use super::{AssignmentInput, BaselineInput, CompileInput, Plan, compile};
use crate::api::assignment::AssignmentMode;
use crate::api::baseline::BaselineRule;
use crate::compliance::{Demand, Evidence};
use crate::policy::content::Special;
use crate::policy::merge::unmet;

/// A plan, and what it came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The plan.
    pub plan: Plan,
    /// What devices of the class get, in order.
    pub settings: Vec<Setting>,
    /// One for each of the plan's demands, in their order.
    pub rules: Vec<RuleAccount>,
}

/// What carries a setting to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, strum::Display)]
pub enum Carrier {
    /// A payload of a configuration profile.
    #[strum(serialize = "profile")]
    Profile,
    /// A declaration.
    #[strum(serialize = "declaration")]
    Declaration,
}

/// Where settings stand: one payload or declaration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// What carries it.
    pub carrier: Carrier,
    /// Apple's type.
    #[serde(rename = "type")]
    pub type_: String,
    /// The Profile object that has it for itself. None: what all rules and objects say of the type, put together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Arc<str>>,
    /// Which of the object's own of that type, from 1.
    #[serde(skip)]
    pub ordinal: usize,
}

/// One setting that devices of a class get.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Where it stands.
    pub place: Place,
    /// The keys that lead to it.
    pub path: Vec<String>,
    /// Its value: a scalar, a list, or an empty dictionary.
    pub value: Value,
    /// Who makes it, as `baseline/rule` or `profile/name`, in order.
    pub by: Vec<Arc<str>>,
}

/// What became of one demand.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleAccount {
    /// `baseline/rule`.
    pub key: Arc<str>,
    /// The assignment that demands it.
    pub assignment: Arc<str>,
    /// What it sets on these devices: where, and the keys with their values.
    pub wants: Option<(Place, Map<String, Value>)>,
    /// Why nothing of it reaches them, or not all. None: all that it sets does.
    pub withheld: Option<String>,
}

impl Target {
    fn place(&self) -> Place {
        let (carrier, object, ordinal) = match self {
            Self::Declaration(_) => (Carrier::Declaration, None, 1),
            Self::OwnDeclaration(object, _, ordinal) => {
                (Carrier::Declaration, Some(Arc::clone(object)), *ordinal)
            }
            Self::Payload(_) => (Carrier::Profile, None, 1),
        };
        Place {
            carrier,
            type_: self.type_().to_owned(),
            object,
            ordinal,
        }
    }
}

/// Compiles, and tells what came of it.
#[must_use]
pub fn explain(input: &CompileInput<'_>) -> Explanation {
    let plan = compile(input);
    let mut assignments: Vec<&AssignmentInput> = input.assignments.iter().collect();
    assignments.sort_by(|a, b| b.precedence.cmp(&a.precedence).then_with(|| a.name.cmp(&b.name)));
    let gathered = gather(input, &assignments);
    let assembled = assemble(input, &gathered);
    let rules = plan
        .demands
        .iter()
        .map(|demand| account(input, demand, &gathered, &assembled))
        .collect();
    Explanation {
        settings: settings(&gathered, &assembled),
        rules,
        plan,
    }
}

fn settings(gathered: &Gathered, assembled: &Assembled) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (target, content) in &assembled.contents {
        let place = target.place();
        let makers: Vec<&Piece> = gathered
            .pieces
            .iter()
            .filter(|piece| piece.served && piece.target == *target)
            .collect();
        if content.is_empty() {
            // There for what it is, without a key.
            let mut by: Vec<Arc<str>> = makers.iter().map(|piece| Arc::clone(&piece.label)).collect();
            by.sort();
            by.dedup();
            settings.push(Setting {
                place: place.clone(),
                path: Vec::new(),
                value: Value::Object(Map::new()),
                by,
            });
        }
        for (path, value) in leaves(content) {
            let named = |is_maker: &dyn Fn(&Piece) -> bool| -> Vec<Arc<str>> {
                let makers = makers.iter().filter(|piece| is_maker(piece));
                let mut by: Vec<Arc<str>> = makers.map(|piece| Arc::clone(&piece.label)).collect();
                by.sort();
                by.dedup();
                by
            };
            let mut by = named(&|piece| said(&piece.content, &path).is_some_and(|said| makes(said, value)));
            if by.is_empty() {
                // It is made of what several want, and as none of them wants it.
                by = named(&|piece| said(&piece.content, &path).is_some());
            }
            settings.push(Setting {
                place: place.clone(),
                path,
                value: value.clone(),
                by,
            });
        }
    }
    for object in &gathered.profiles {
        let mut ordinals: BTreeMap<&str, usize> = BTreeMap::new();
        for payload in &object.payloads {
            let ordinal = ordinals
                .entry(payload.payload_type.as_str())
                .and_modify(|n| *n += 1)
                .or_insert(1);
            let place = Place {
                carrier: Carrier::Profile,
                type_: payload.payload_type.clone(),
                object: Some(Arc::clone(&object.name)),
                ordinal: *ordinal,
            };
            settings.extend(leaves(&payload.content).into_iter().map(|(path, value)| Setting {
                place: place.clone(),
                path,
                value: value.clone(),
                by: vec![format!("profile/{}", object.name).into()],
            }));
        }
    }
    settings.sort_by(|a, b| (&a.place, &a.path).cmp(&(&b.place, &b.path)));
    settings
}

/// Every value of content that is no dictionary, or an empty one, with the keys that lead to it.
#[must_use]
pub(in crate::policy) fn leaves(content: &Map<String, Value>) -> Vec<(Vec<String>, &Value)> {
    let mut found = Vec::new();
    let mut open: Vec<(Vec<String>, &Map<String, Value>)> = vec![(Vec::new(), content)];
    while let Some((path, map)) = open.pop() {
        for (key, value) in map {
            let mut path = path.clone();
            path.push(key.clone());
            match value {
                Value::Object(inner) if !inner.is_empty() && Special::of(inner).is_none() => {
                    open.push((path, inner));
                }
                _ => found.push((path, value)),
            }
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

/// What content says at a path.
fn said<'c>(content: &'c Map<String, Value>, path: &[String]) -> Option<&'c Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(content.get(first)?, |said, key| said.get(key))
}

/// Whether what is said is a value, or some of its items.
fn makes(said: &Value, served: &Value) -> bool {
    match (said, served) {
        (Value::Array(said), Value::Array(served)) => {
            said.is_empty() || said.iter().any(|item| served.contains(item))
        }
        (said, served) => said == served,
    }
}

fn account(
    input: &CompileInput<'_>,
    demand: &Demand,
    gathered: &Gathered,
    assembled: &Assembled,
) -> RuleAccount {
    let piece = gathered
        .pieces
        .iter()
        .enumerate()
        .find(|(_, piece)| piece.label == *demand.key() && piece.assignment == demand.assignment);
    RuleAccount {
        key: Arc::clone(demand.key()),
        assignment: Arc::clone(&demand.assignment),
        wants: piece.map(|(_, piece)| (piece.target.place(), piece.content.clone())),
        withheld: withheld(input, demand, piece, assembled),
    }
}

fn withheld(
    input: &CompileInput<'_>,
    demand: &Demand,
    piece: Option<(usize, &Piece)>,
    assembled: &Assembled,
) -> Option<String> {
    if let Evidence::NotApplicable { reason } = &demand.evidence {
        return Some(reason.to_string());
    }
    let Some((index, piece)) = piece else {
        return Some(nothing_to_serve(input, demand));
    };
    if !piece.served {
        return Some(format!("the assignment {} only audits", piece.assignment));
    }
    let contradicted = assembled.conflicts.iter().find(|conflict| {
        conflict.assignment == demand.assignment && conflict.rules.iter().any(|rule| rule == demand.key())
    });
    if let Some(conflict) = contradicted {
        return Some(conflict.message.clone());
    }
    let (_, content) = assembled
        .contents
        .iter()
        .find(|(target, _)| *target == piece.target)?;
    // A value that others made stricter is met: whether it is, is decided where the evidence is made.
    match assembled.evidence(&Proof::Piece(index)) {
        Evidence::None { reason } => unmet(&piece.content, content).map(|_| reason.to_string()),
        _ => None,
    }
}

/// Why a rule that is for these devices has no content for them.
fn nothing_to_serve(input: &CompileInput<'_>, demand: &Demand) -> String {
    let Some((assignment, rule)) = rule_of(input, demand) else {
        return "the rule is not in the baseline".to_owned();
    };
    if rule.enforce.is_empty() {
        return match &rule.unproven {
            Some(unproven) => unproven.message.clone(),
            None => "the rule only checks".to_owned(),
        };
    }
    match (select(&input.class, rule), &demand.evidence) {
        (Err(reason), _) => reason,
        (Ok(_), Evidence::None { reason }) => reason.to_string(),
        (Ok(_), _) if assignment.mode == AssignmentMode::Audit => {
            format!("the assignment {} only audits", assignment.name)
        }
        (Ok(_), _) => "a parameter that it needs has no value that can be used".to_owned(),
    }
}

fn rule_of<'i>(
    input: &'i CompileInput<'_>,
    demand: &Demand,
) -> Option<(&'i AssignmentInput, &'i BaselineRule)> {
    let assignment = input
        .assignments
        .iter()
        .find(|assignment| assignment.name == demand.assignment)?;
    let baseline: &BaselineInput = assignment
        .baselines
        .iter()
        .find(|baseline| baseline.name == demand.baseline)?;
    let rule = baseline
        .baseline
        .spec
        .rules
        .iter()
        .find(|rule| *rule.id == *demand.rule)?;
    Some((assignment, rule))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::common::{EnrollmentMode, ParameterValues, Platform};
    use crate::compliance::Checks;
    use crate::policy::{DeviceClass, Lacks, OsVersion, Resolved};

    const FIREWALL: &str = "com.apple.security.firewall";

    fn explained(mode: AssignmentMode, rules: &Value) -> Explanation {
        let spec = json!({ "title": "b", "version": "1", "rules": rules });
        let assignment = AssignmentInput {
            name: "macs".into(),
            revision: None,
            mode,
            precedence: 0,
            baselines: vec![BaselineInput {
                name: "b".into(),
                baseline: Resolved::alone(Arc::new(serde_json::from_value(spec).unwrap())),
                parameters: ParameterValues::new(),
                excluded: Vec::new(),
                revision: None,
            }],
            profiles: Vec::new(),
        };
        explain(&CompileInput {
            namespace: "fleet",
            class: DeviceClass {
                platform: Platform::MacOS,
                os_version: OsVersion::read("26.0"),
                mode: EnrollmentMode::Supervised,
                declarative: true,
                lacks: Lacks::default(),
            },
            assignments: &[assignment],
            public_url: "https://mdm.example.com",
            checks: &Checks::default(),
        })
    }

    fn rule(id: &str, content: &Value) -> Value {
        json!({ "id": id, "title": id, "enforce": [{ "profile": { "payloadType": FIREWALL, "content": content } }] })
    }

    fn said(explanation: &Explanation) -> Vec<(String, Value, String)> {
        let settings = explanation.settings.iter();
        settings
            .map(|setting| {
                (
                    setting.path.join("."),
                    setting.value.clone(),
                    setting.by.join(" "),
                )
            })
            .collect()
    }

    #[test]
    fn each_setting_names_the_rules_that_made_it() {
        let explanation = explained(
            AssignmentMode::Enforce,
            &json!([
                rule("on", &json!({ "EnableFirewall": true })),
                rule(
                    "both",
                    &json!({ "EnableFirewall": true, "Applications": [{ "BundleID": "a" }] })
                ),
                rule(
                    "list",
                    &json!({ "Applications": [{ "BundleID": "b" }], "Deep": { "Er": 1 } })
                ),
            ]),
        );
        assert_eq!(
            said(&explanation),
            [
                (
                    "Applications".to_owned(),
                    json!([{ "BundleID": "a" }, { "BundleID": "b" }]),
                    "b/both b/list".to_owned()
                ),
                ("Deep.Er".to_owned(), json!(1), "b/list".to_owned()),
                ("EnableFirewall".to_owned(), json!(true), "b/both b/on".to_owned()),
            ]
        );
        assert!(explanation.rules.iter().all(|rule| rule.withheld.is_none()));
    }

    #[test]
    fn what_is_not_served_says_why() {
        let mut elsewhere = rule("elsewhere", &json!({ "EnableFirewall": true }));
        elsewhere["platforms"] = json!([{ "name": "iOS" }]);
        let explanation = explained(
            AssignmentMode::Enforce,
            &json!([
                rule("on", &json!({ "EnableFirewall": true })),
                rule("off", &json!({ "EnableFirewall": false })),
                elsewhere,
                { "id": "look", "title": "look", "check": { "cel": "SecurityInfo.FDE_Enabled" } },
            ]),
        );
        let why: Vec<&str> = explanation
            .rules
            .iter()
            .map(|rule| rule.withheld.as_deref().unwrap_or("served"))
            .collect();
        let conflict = "b/off and b/on want different values for com.apple.security.firewall: EnableFirewall; neither is served";
        assert_eq!(
            why,
            [conflict, conflict, "the rule is for iOS", "the rule only checks"]
        );
        assert_eq!(explanation.settings, []);

        let audited = explained(
            AssignmentMode::Audit,
            &json!([rule("on", &json!({ "EnableFirewall": true }))]),
        );
        assert_eq!(
            audited.rules[0].withheld.as_deref(),
            Some("the assignment macs only audits")
        );
        assert_eq!(audited.settings, []);
    }
}
