#![expect(
    clippy::needless_pass_by_value,
    reason = "tests read better with the data in its place"
)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::policy::schema::Schema;
use crate::policy::{check_baseline, check_resolved};

type Specs = BTreeMap<String, Arc<BaselineSpec>>;

fn spec(more: Value) -> Arc<BaselineSpec> {
    let mut whole = json!({ "title": "t", "version": "1" });
    whole
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    Arc::new(serde_json::from_value(whole).unwrap())
}

fn family(members: &[(&str, Value)]) -> Specs {
    members
        .iter()
        .map(|(name, more)| ((*name).to_owned(), spec(more.clone())))
        .collect()
}

fn all(specs: &Specs) -> BTreeMap<String, Arc<Resolved>> {
    resolve(specs.keys().map(String::as_str), specs)
}

fn resolved(specs: &Specs, name: &str) -> Arc<Resolved> {
    Arc::clone(&resolve([name], specs)[name])
}

fn problems(resolved: &Resolved) -> Vec<String> {
    resolved.problems.iter().map(ToString::to_string).collect()
}

fn mistakes(specs: &Specs, name: &str) -> Vec<String> {
    let findings = check_resolved(&resolved(specs, name), Schema::embedded());
    findings.errors.iter().map(ToString::to_string).collect()
}

fn ids(resolved: &Resolved) -> Vec<&str> {
    resolved.spec.rules.iter().map(|rule| rule.id.as_str()).collect()
}

fn firewall(id: &str, content: Value) -> Value {
    json!({ "id": id, "title": "t", "severity": "Low", "enforce": [{ "profile": { "payloadType": "com.apple.security.firewall", "content": content } }] })
}

fn lock() -> Value {
    json!({ "id": "lock", "title": "t", "enforce": [
        { "profile": { "payloadType": "com.apple.screensaver", "content": { "idleTime": "$(delay)" } } }] })
}

fn delay() -> Value {
    json!({ "name": "delay", "type": "Integer", "default": 1200, "minimum": 60, "maximum": 3600 })
}

fn base() -> Value {
    json!({ "platforms": [{ "name": "macOS" }], "parameters": [delay()],
        "rules": [firewall("firewall", json!({ "EnableFirewall": true })), firewall("stealth", json!({ "EnableStealthMode": true })), lock()] })
}

#[test]
fn a_baseline_has_what_it_extends_but_for_what_it_says() {
    let specs = family(&[
        ("base", base()),
        (
            "corp",
            json!({ "platforms": [{ "name": "macOS", "minimumVersion": "15" }],
            "extends": [{ "name": "base", "parameters": { "delay": 300 },
                "exclude": [{ "rule": "stealth", "reason": "our scanner needs answers" }],
                "override": [{ "rule": "firewall", "severity": "High", "check": { "cel": "SecurityInfo.FirewallSettings.FirewallEnabled" } }] }],
            "rules": [firewall("own", json!({ "BlockAllIncoming": false }))] }),
        ),
    ]);
    let corp = resolved(&specs, "corp");
    assert_eq!(problems(&corp), Vec::<String>::new());
    assert_eq!(mistakes(&specs, "corp"), Vec::<String>::new());
    assert_eq!(ids(&corp), ["firewall", "lock", "own"]);
    assert_eq!(corp.spec.extends, []);
    let firewall = &corp.spec.rules[0];
    assert_eq!(firewall.severity, crate::api::common::Severity::High);
    assert!(firewall.check.is_some());
    assert_eq!(
        firewall.enforce, specs["base"].rules[0].enforce,
        "what is not given stays"
    );
    assert_eq!(corp.spec.parameters[0].default, json!(300));
    assert_eq!(corp.spec.parameters[0].maximum, Some(3600));
    assert_eq!(
        corp.inherited["firewall"],
        Inherited {
            from: "base".into(),
            changed_by: vec!["corp".into()],
            extension: 0
        }
    );
    assert!(!corp.inherited.contains_key("own"));
    let left_out = &corp.left_out[0];
    assert_eq!(
        (
            &*left_out.rule.id,
            &*left_out.by,
            &*left_out.from,
            &*left_out.reason
        ),
        ("stealth", "corp", "base", "our scanner needs answers")
    );
    assert_eq!(
        [corp.place(0), corp.place(2)],
        ["spec.extends[0]", "spec.rules[0]"]
    );
}

#[test]
fn a_rule_is_never_for_more_devices_than_where_it_is_written() {
    let specs = family(&[
        (
            "base",
            json!({ "platforms": [{ "name": "macOS", "minimumVersion": "14" }, { "name": "iOS" }],
            "rules": [firewall("wide", json!({})), { "id": "narrow", "title": "t", "platforms": [{ "name": "macOS", "beforeVersion": "26" }],
                "check": { "cel": "SecurityInfo.FDE_Enabled" } }] }),
        ),
        ("corp", json!({ "extends": [{ "name": "base" }] })),
        (
            "never",
            json!({ "platforms": [{ "name": "macOS", "minimumVersion": "26" }],
            "rules": [{ "id": "old", "title": "t", "platforms": [{ "name": "macOS", "beforeVersion": "26" }],
                "check": { "cel": "SecurityInfo.FDE_Enabled" } }] }),
        ),
        ("heir", json!({ "extends": [{ "name": "never" }] })),
    ]);
    let corp = resolved(&specs, "corp");
    assert_eq!(corp.spec.platforms, []);
    assert_eq!(corp.spec.rules[0].platforms, specs["base"].platforms);
    let narrow = serde_json::to_value(&corp.spec.rules[1].platforms).unwrap();
    assert_eq!(
        narrow,
        json!([{ "name": "macOS", "minimumVersion": "14", "beforeVersion": "26" }])
    );
    assert_eq!(
        problems(&resolved(&specs, "heir")),
        [
            "spec.extends[0].name: rule `old` of baseline `never` is for no device: its platforms and those of the baseline have none in common"
        ]
    );
}

#[test]
fn two_ways_to_one_rule_are_one_and_two_rules_of_one_id_are_refused() {
    let strict =
        json!({ "extends": [{ "name": "base", "override": [{ "rule": "firewall", "severity": "High" }] }] });
    let both =
        |exclude: Value| json!({ "extends": [{ "name": "base", "exclude": exclude }, { "name": "strict" }] });
    let specs = family(&[
        ("base", base()),
        ("same", json!({ "extends": [{ "name": "base" }] })),
        ("strict", strict),
        (
            "diamond",
            json!({ "extends": [{ "name": "base" }, { "name": "same" }] }),
        ),
        ("torn", both(json!([]))),
        (
            "settled",
            both(json!([{ "rule": "firewall", "reason": "the strict one" }])),
        ),
    ]);
    let diamond = resolved(&specs, "diamond");
    assert_eq!(problems(&diamond), Vec::<String>::new());
    assert_eq!(ids(&diamond), ["firewall", "stealth", "lock"]);
    assert_eq!(
        problems(&resolved(&specs, "torn")),
        [
            "spec.extends[1].name: baselines `base` and `strict` have different rules `firewall`; exclude it from one of them"
        ]
    );
    let settled = resolved(&specs, "settled");
    assert_eq!(problems(&settled), Vec::<String>::new());
    assert_eq!(settled.left_out, [], "the rule is there, by the other way");
    assert_eq!(settled.inherited["firewall"].changed_by, ["strict".into()]);
}

#[test]
fn what_is_excluded_or_changed_far_up_stays_so_and_is_known() {
    let specs = family(&[
        ("base", base()),
        (
            "mid",
            json!({ "extends": [{ "name": "base", "exclude": [{ "rule": "stealth", "reason": "r" }],
                "override": [{ "rule": "firewall", "severity": "High" }] }] }),
        ),
        (
            "leaf",
            json!({ "extends": [{ "name": "mid", "override": [{ "rule": "firewall", "enforce": [] , "check": { "cel": "SecurityInfo.FDE_Enabled" } }] }],
                "rules": [firewall("stealth", json!({ "EnableStealthMode": false }))] }),
        ),
    ]);
    let leaf = resolved(&specs, "leaf");
    assert_eq!(problems(&leaf), Vec::<String>::new());
    assert_eq!(ids(&leaf), ["firewall", "lock", "stealth"]);
    assert_eq!(
        leaf.inherited["firewall"].changed_by,
        ["mid".into(), "leaf".into()]
    );
    assert_eq!(&*leaf.inherited["firewall"].from, "base");
    assert_eq!(leaf.left_out, [], "the baseline has its own rule of that id");
    assert!(leaf.spec.rules[0].enforce.is_empty());
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let heir = |extension: Value| {
        let mut whole = json!({ "name": "base" });
        whole
            .as_object_mut()
            .unwrap()
            .extend(extension.as_object().unwrap().clone());
        family(&[("base", base()), ("corp", json!({ "extends": [whole] }))])
    };
    let told = |extension: Value| mistakes(&heir(extension), "corp");
    assert_eq!(
        told(
            json!({ "exclude": [{ "rule": "firewal", "reason": "r" }, { "rule": "lock", "reason": "  " }] })
        ),
        [
            "spec.extends[0].exclude[0].rule: baseline `base` has no rule `firewal`; did you mean `firewall`?",
            "spec.extends[0].exclude[1].reason: say why rule `lock` is excluded",
        ]
    );
    assert_eq!(
        told(
            json!({ "exclude": [{ "rule": "lock", "reason": "r" }], "override": [{ "rule": "lock", "severity": "Low" }, { "rule": "x", "severity": "Low" }] })
        ),
        [
            "spec.extends[0].override[0].rule: rule `lock` is excluded, so there is nothing to override",
            "spec.extends[0].override[1].rule: baseline `base` has no rule `x`",
        ]
    );
    assert_eq!(
        told(json!({ "parameters": { "delay": 10, "dela": 1 } })),
        [
            "spec.extends[0].parameters.delay: parameter `delay` is 10, but must be at least 60",
            "spec.extends[0].parameters.dela: there is no parameter `dela`; did you mean `delay`?",
        ]
    );
    assert_eq!(
        told(json!({ "override": [{ "rule": "lock", "enforce": [] }] })),
        [
            "spec.extends[0].override[0].enforce: rule `lock` enforces nothing then and has no check; give one, or exclude it"
        ]
    );
    assert_eq!(
        told(
            json!({ "override": [{ "rule": "firewall", "check": { "cel": "params.dela > 1" },
            "enforce": [{ "profile": { "payloadType": "com.apple.security.firewall", "content": { "EnableFirewall": 1 } } }] }] })
        ),
        [
            "spec.extends[0].override[0].enforce[0].profile.content.EnableFirewall: is an integer; give it true or false",
            "spec.extends[0].override[0].check.cel: there is no parameter `dela`; did you mean `delay`?",
        ]
    );
}

#[test]
fn a_parameter_of_its_own_takes_the_place_of_the_inherited_one() {
    let corp = |parameter: Value| {
        let heir = json!({ "extends": [{ "name": "base" }], "parameters": [parameter] });
        family(&[("base", base()), ("corp", heir)])
    };
    let tight =
        corp(json!({ "name": "delay", "type": "Integer", "default": 120, "minimum": 60, "maximum": 300 }));
    assert_eq!(mistakes(&tight, "corp"), Vec::<String>::new());
    let parameters = &resolved(&tight, "corp").spec.parameters;
    assert_eq!((parameters.len(), parameters[0].maximum), (1, Some(300)));
    assert_eq!(
        mistakes(
            &corp(json!({ "name": "delay", "type": "String", "default": "x" })),
            "corp"
        )[0],
        "spec.parameters[0].type: baseline `base` has the parameter `delay` as Integer; the type must be the same"
    );
    // An inherited rule is judged with the values that it may have now.
    let passcode = json!({ "parameters": [{ "name": "length", "type": "Integer", "default": 8, "maximum": 16 }], "rules": [
        { "id": "r", "title": "t", "platforms": [{ "name": "macOS" }], "enforce": [{ "declaration": { "type": "com.apple.configuration.passcode.settings",
            "payload": { "MinimumLength": "$(length)" } } }] }] });
    let long = json!({ "extends": [{ "name": "base" }],
        "parameters": [{ "name": "length", "type": "Integer", "default": 8, "maximum": 99 }] });
    let told = mistakes(&family(&[("base", passcode), ("corp", long)]), "corp");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with(
            "spec.parameters[0]: of an inherited rule, r.enforce[0].declaration.payload.MinimumLength"
        ),
        "{told:?}"
    );
}

#[test]
fn own_rules_may_not_hide_inherited_ones_and_must_agree_with_them() {
    let with = |rule: Value| {
        family(&[
            ("base", base()),
            (
                "corp",
                json!({ "extends": [{ "name": "base" }], "rules": [rule] }),
            ),
        ])
    };
    assert_eq!(
        mistakes(&with(firewall("firewall", json!({}))), "corp")[0],
        "spec.rules[0].id: baseline `base` has a rule `firewall` already; change it under spec.extends[0].override, or exclude it there"
    );
    let told = mistakes(&with(firewall("off", json!({ "EnableFirewall": false }))), "corp");
    assert!(
        told[0].starts_with("spec.rules[0]: rules `firewall` and `off` want different values"),
        "{told:?}"
    );
}

#[test]
fn what_is_not_there_is_told_and_the_rest_is_inherited() {
    let specs = family(&[
        ("base", base()),
        (
            "corp",
            json!({ "extends": [{ "name": "bas" }, { "name": "base" }] }),
        ),
        ("leaf", json!({ "extends": [{ "name": "corp" }] })),
    ]);
    let corp = resolved(&specs, "corp");
    assert_eq!(
        problems(&corp),
        ["spec.extends[0].name: there is no Baseline `bas`; did you mean `base`?"]
    );
    assert_eq!((corp.missing.as_slice(), corp.incomplete), ([0].as_slice(), true));
    assert_eq!(ids(&corp).len(), 3);
    let leaf = resolved(&specs, "leaf");
    assert_eq!((problems(&leaf), leaf.incomplete), (Vec::new(), true));
    let alone = check_baseline(&specs["leaf"], Schema::embedded());
    assert_eq!(
        alone.errors[0].to_string(),
        "spec.extends[0].name: there is no Baseline `corp`"
    );
}

#[test]
fn circles_are_told_and_cut_whoever_is_asked_first() {
    let own =
        |id: &str, base: &str| json!({ "extends": [{ "name": base }], "rules": [firewall(id, json!({}))] });
    let specs = family(&[
        ("a", own("ra", "b")),
        ("b", own("rb", "c")),
        ("c", own("rc", "b")),
        ("self", own("rs", "self")),
    ]);
    let told = all(&specs);
    assert_eq!(
        problems(&told["a"]),
        ["spec.extends[0].name: inheritance goes in a circle: b → c → b"]
    );
    assert_eq!(
        problems(&told["c"]),
        ["spec.extends[0].name: inheritance goes in a circle: b → c → b"]
    );
    assert_eq!(
        problems(&told["self"]),
        ["spec.extends[0].name: inheritance goes in a circle: self → self"]
    );
    assert_eq!(ids(&told["b"]), ["rb"]);
    assert_eq!(resolved(&specs, "a"), told["a"]);
}

#[test]
fn inheritance_is_only_so_deep() {
    let name = |n: usize| format!("b{n:05}");
    let chain: Specs = (0..10_000)
        .map(|n| {
            let more = if n == 0 {
                base()
            } else {
                json!({ "extends": [{ "name": name(n - 1) }] })
            };
            (name(n), spec(more))
        })
        .collect();
    let told = all(&chain);
    assert_eq!(told[&name(MAXIMUM_DEPTH - 1)].problems, []);
    assert_eq!(
        problems(&told[&name(MAXIMUM_DEPTH)]),
        ["spec.extends[0].name: inheritance is more than 8 baselines deep here"]
    );
}

/// Families in which anybody may extend anybody, with rules of few ids.
fn any_family() -> impl Strategy<Value = Specs> {
    let rule = ("[r-t]", prop::sample::select(vec!["Low", "High"]));
    let member = (
        prop::collection::btree_set(0..6_usize, 0..3),
        prop::collection::btree_map(rule.0, rule.1, 0..3),
        prop::option::of("[r-t]"),
    );
    prop::collection::vec(member, 6).prop_map(|members| {
        let member = |(n, (bases, rules, excluded)): (usize, (_, BTreeMap<String, &str>, Option<String>))| {
            let bases: std::collections::BTreeSet<usize> = bases;
            let rules: Vec<Value> = rules
                .iter()
                .map(|(id, severity)| json!({ "id": id, "title": "t", "severity": severity, "check": { "cel": "true" } }))
                .collect();
            let extends: Vec<Value> = bases
                .iter()
                .map(|base| {
                    let exclude: Vec<Value> = excluded.iter().map(|id| json!({ "rule": id, "reason": "r" })).collect();
                    json!({ "name": format!("b{base}"), "exclude": exclude })
                })
                .collect();
            (format!("b{n}"), spec(json!({ "extends": extends, "rules": rules })))
        };
        members.into_iter().enumerate().map(member).collect()
    })
}

proptest! {
    #[test]
    fn no_rule_is_lost_or_doubled_and_who_asks_does_not_matter(specs in any_family()) {
        let together = all(&specs);
        for (name, found) in &together {
            prop_assert_eq!(&resolved(&specs, name), found);
            let mut unique: Vec<&str> = ids(found);
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), found.spec.rules.len());
            // Every rule of a baseline that could be extended is there, or was excluded with a reason, or a problem tells why not.
            for (n, extension) in specs[name].extends.iter().enumerate() {
                let field = format!("spec.extends[{n}]");
                if found.problems.iter().any(|problem| problem.field.starts_with(&field)) {
                    continue;
                }
                for rule in &together[&extension.name].spec.rules {
                    let excluded = extension.exclude.iter().any(|excluded| excluded.rule == rule.id);
                    prop_assert!(excluded || found.spec.rules.contains(rule));
                }
            }
            for rule in &found.spec.rules {
                let own = specs[name].rules.contains(rule);
                prop_assert!(own || found.inherited.contains_key(&rule.id));
            }
        }
    }

    #[test]
    fn resolving_what_is_resolved_changes_nothing(specs in any_family()) {
        for found in all(&specs).values() {
            let again = Resolved::alone(Arc::clone(&found.spec));
            prop_assert_eq!(&again.spec, &found.spec);
            prop_assert_eq!(&again.problems, &[]);
        }
    }
}
