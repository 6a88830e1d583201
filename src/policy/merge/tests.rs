use super::*;
use crate::policy::schema::{Combine, Scalar, Schema};
use proptest::prelude::*;
use serde_json::json;

#[expect(
    clippy::needless_pass_by_value,
    reason = "tests read better with the data in its place"
)]
fn map(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn merged(parts: &[(i32, Value)]) -> Merged {
    let contents: Vec<Map<String, Value>> = parts.iter().map(|(_, content)| map(content.clone())).collect();
    let parts: Vec<Part<'_>> = parts
        .iter()
        .zip(&contents)
        .enumerate()
        .map(|(source, ((precedence, _), content))| Part {
            precedence: *precedence,
            source,
            content,
        })
        .collect();
    merge(&parts)
}

#[test]
fn dictionaries_merge_lists_unite_and_equal_scalars_agree() {
    let both = merged(&[
        (0, json!({ "a": 1, "d": { "x": true }, "l": ["p", "q"] })),
        (
            0,
            json!({ "a": 1, "d": { "y": false }, "l": ["q", "r"], "b": "t" }),
        ),
    ]);
    assert_eq!(
        both.content,
        map(json!({ "a": 1, "b": "t", "d": { "x": true, "y": false }, "l": ["p", "q", "r"] }))
    );
    assert_eq!(both.clashes, []);
}

#[test]
fn contradicting_scalars_are_not_served_and_the_rest_is() {
    let both = merged(&[
        (0, json!({ "a": 1, "d": { "x": true }, "ok": 1 })),
        (0, json!({ "a": 2, "d": { "x": false } })),
        (0, json!({ "a": 1 })),
    ]);
    assert_eq!(both.content, map(json!({ "ok": 1 })));
    assert_eq!(
        both.clashes,
        [
            Clash {
                setting: "a".to_owned(),
                sides: vec![vec![0, 2], vec![1]]
            },
            Clash {
                setting: "d.x".to_owned(),
                sides: vec![vec![0], vec![1]]
            },
        ]
    );
    for (left, right) in [
        (json!(1), json!(1.0)),
        (json!(1), json!(true)),
        (json!("1"), json!(1)),
        (json!([1]), json!(1)),
        (json!({}), json!([])),
    ] {
        assert_eq!(
            merged(&[(0, json!({ "k": left })), (0, json!({ "k": right }))])
                .clashes
                .len(),
            1
        );
    }
    let data = |text: &str| json!({ "k": { "$data": text } });
    assert_eq!(merged(&[(0, data("AA==")), (0, data("AQ=="))]).clashes.len(), 1);
    assert_eq!(
        merged(&[(0, data("AA==")), (0, data("AA=="))]).content,
        map(data("AA=="))
    );
}

#[test]
fn the_higher_precedence_wins_and_its_conflict_is_not_filled_from_below() {
    let both = merged(&[
        (0, json!({ "a": 1, "b": 1, "l": [1] })),
        (5, json!({ "a": 2, "l": [2] })),
    ]);
    assert_eq!(both.content, map(json!({ "a": 2, "b": 1, "l": [2, 1] })));
    let three = merged(&[
        (5, json!({ "a": 1 })),
        (5, json!({ "a": 2 })),
        (0, json!({ "a": 3, "b": 1 })),
    ]);
    assert_eq!(three.content, map(json!({ "b": 1 })));
    assert_eq!(three.clashes[0].sides, [[0], [1]]);
}

#[test]
fn what_is_served_meets_a_demand_or_the_setting_is_named() {
    let served = map(json!({ "a": 1, "d": { "x": true, "y": 1 }, "l": ["p", "q"] }));
    assert_eq!(
        unmet(&map(json!({ "d": { "x": true }, "l": ["q"] })), &served),
        None
    );
    assert_eq!(unmet(&map(json!({ "a": 2 })), &served), Some("a".to_owned()));
    assert_eq!(
        unmet(&map(json!({ "d": { "z": 1 } })), &served),
        Some("d.z".to_owned())
    );
    assert_eq!(unmet(&map(json!({ "l": ["r"] })), &served), Some("l".to_owned()));
}

fn any_content() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        (0..3_i64).prop_map(Value::from),
        "[xy]".prop_map(Value::from)
    ];
    let value = leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..3)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-d]", value, 0..4).prop_map(|m| m.into_iter().collect())
}

/// Lists as sets, at any depth.
fn without_order(value: Value) -> Value {
    match value {
        Value::Array(list) => {
            let mut list: Vec<Value> = list.into_iter().map(without_order).collect();
            list.sort_by_key(canonical);
            list.dedup();
            Value::Array(list)
        }
        Value::Object(map) => Value::Object(map.into_iter().map(|(k, v)| (k, without_order(v))).collect()),
        scalar => scalar,
    }
}

proptest! {
    #[test]
    fn the_order_of_parts_does_not_matter(
        parts in prop::collection::vec((0..3_i32, any_content()), 1..6), seed in any::<prop::sample::Index>()
    ) {
        let parts: Vec<Part<'_>> = parts.iter().enumerate()
            .map(|(source, (precedence, content))| Part { precedence: *precedence, source, content }).collect();
        let mut other = parts.clone();
        other.reverse();
        other.rotate_left(seed.index(parts.len()));
        let (a, b) = (merge(&parts), merge(&other));
        prop_assert_eq!(a.clashes, b.clashes);
        prop_assert_eq!(without_order(Value::Object(a.content)), without_order(Value::Object(b.content)));
    }

    #[test]
    fn without_contradictions_parts_may_be_merged_in_steps(
        a in any_content(), b in any_content(), c in any_content()
    ) {
        let part = |content| Part { precedence: 0, source: 0, content };
        let whole = merge(&[part(&a), part(&b), part(&c)]);
        if whole.clashes.is_empty() {
            let (left, right) = (merge(&[part(&a), part(&b)]), merge(&[part(&b), part(&c)]));
            prop_assert_eq!(&merge(&[part(&left.content), part(&c)]), &whole);
            prop_assert_eq!(&merge(&[part(&a), part(&right.content)]), &whole);
        }
    }

    #[test]
    fn merging_is_idempotent_and_what_agrees_is_met(content in any_content(), other in any_content()) {
        let part = |content| Part { precedence: 0, source: 0, content };
        let once = merge(&[part(&content)]);
        prop_assert!(once.clashes.is_empty());
        let again = merge(&[part(&once.content), part(&once.content)]);
        prop_assert_eq!(&again.content, &once.content);
        let both = merge(&[part(&content), part(&other)]);
        if both.clashes.is_empty() {
            prop_assert_eq!(unmet(&content, &both.content), None);
            prop_assert_eq!(unmet(&other, &both.content), None);
        }
    }
}

/// A made-up type: each key is combined as its name says.
fn law(path: &[&str]) -> Option<Combination<'static>> {
    static ORDER: std::sync::LazyLock<Vec<Scalar>> =
        std::sync::LazyLock::new(|| ["x", "y"].map(|text| Scalar::Text(text.to_owned())).to_vec());
    let device = |how| Combination {
        how,
        values: &ORDER,
        stage: Stage::Device,
        stricter: true,
    };
    Some(match path.last().copied()? {
        "max" => device(Combine::NumberMax),
        "min" => device(Combine::NumberMin),
        "all" => device(Combine::BooleanAnd),
        "any" => device(Combine::BooleanOr),
        "last" => device(Combine::EnumLast),
        "either" => device(Combine::First),
        "shared" => device(Combine::SetIntersection),
        "strict" => Combination {
            stage: Stage::Equals,
            ..device(Combine::NumberMax)
        },
        _ => return None,
    })
}

/// Each with its group and its precedence.
fn merged_by(parts: &[(usize, i32, Value)]) -> Merged {
    let contents: Vec<Map<String, Value>> = parts.iter().map(|(.., content)| map(content.clone())).collect();
    let parts: Vec<(usize, Part<'_>)> = parts
        .iter()
        .zip(&contents)
        .enumerate()
        .map(|(source, ((group, precedence, _), content))| {
            let part = Part {
                precedence: *precedence,
                source,
                content,
            };
            (*group, part)
        })
        .collect();
    merge_by(&parts, &law)
}

#[test]
fn between_baselines_values_are_combined_as_devices_do_whatever_their_precedence() {
    let both = merged_by(&[
        (
            0,
            5,
            json!({ "max": 8, "min": 3, "all": true, "d": { "any": false }, "last": "x", "shared": [1, 2], "k": 1 }),
        ),
        (
            1,
            0,
            json!({ "max": 12, "min": 5, "all": false, "d": { "any": true }, "last": "y", "shared": [2, 3], "k": 2 }),
        ),
    ]);
    assert_eq!(
        both.content,
        map(
            json!({ "max": 12, "min": 3, "all": false, "d": { "any": true }, "last": "y", "shared": [2], "k": 1 })
        )
    );
    assert_eq!(both.clashes, []);
    let settings: Vec<&str> = both.combined.keys().map(String::as_str).collect();
    assert_eq!(
        settings,
        ["all", "d.any", "last", "max", "min", "shared"],
        "`k` goes by precedence"
    );
    // Which is met first is not defined, nor what a text is among numbers.
    let odd = merged_by(&[
        (0, 0, json!({ "either": 1, "max": 1, "last": "z" })),
        (1, 0, json!({ "either": 2, "max": "1", "last": "y" })),
    ]);
    assert_eq!(odd.clashes.len(), 3);
}

#[test]
fn rules_of_one_baseline_that_differ_are_a_conflict_even_where_devices_would_combine() {
    let one = merged_by(&[(0, 0, json!({ "max": 8, "ok": 1 })), (0, 0, json!({ "max": 12 }))]);
    assert_eq!((one.content, one.clashes.len()), (map(json!({ "ok": 1 })), 1));
    let beside = merged_by(&[
        (0, 0, json!({ "max": 8 })),
        (0, 0, json!({ "max": 12 })),
        (1, 0, json!({ "max": 20 })),
    ]);
    assert_eq!(beside.content, map(json!({})));
    assert_eq!(beside.clashes[0].sides, [[0], [1], [2]]);
    let below = merged_by(&[
        (0, 0, json!({ "max": 8 })),
        (0, 0, json!({ "max": 12 })),
        (1, 5, json!({ "max": 10 })),
    ]);
    assert_eq!(
        (below.content, below.clashes),
        (map(json!({ "max": 10 })), Vec::new())
    );
}

#[test]
fn the_stricter_value_wins_only_among_equals() {
    let equal = merged_by(&[(0, 0, json!({ "strict": 8 })), (1, 0, json!({ "strict": 12 }))]);
    assert_eq!(equal.content, map(json!({ "strict": 12 })));
    let higher = merged_by(&[(0, 5, json!({ "strict": 8 })), (1, 0, json!({ "strict": 12 }))]);
    assert_eq!(higher.content, map(json!({ "strict": 8 })));
    assert!(higher.combined.is_empty());
}

#[test]
fn the_facts_tell_which_settings_are_combined_and_which_value_is_stricter() {
    let schema = Schema::embedded();
    let passcode = "com.apple.configuration.passcode.settings";
    let length = of_declaration(schema, passcode, &["MinimumLength"]).unwrap();
    assert_eq!(
        (length.how, length.stage, length.stricter),
        (Combine::NumberMax, Stage::Device, true)
    );
    let reuse = of_declaration(schema, passcode, &["PasscodeReuseLimit"]).unwrap();
    assert!(!reuse.stricter, "the shorter history wins");
    let updates = "com.apple.configuration.softwareupdate.settings";
    let nested = of_declaration(schema, updates, &["Deferrals", "MajorPeriodInDays"]).unwrap();
    assert_eq!(nested.how, Combine::NumberMax);
    assert_eq!(of_declaration(schema, passcode, &["CustomRegex", "Regex"]), None);
    assert_eq!(
        of_declaration(schema, "com.apple.configuration.account.mail", &["VisibleName"]),
        None
    );
    let stricter = |type_, setting| of_payload(type_, &[setting]).map(|found| found.how);
    assert_eq!(
        stricter("com.apple.mobiledevice.passwordpolicy", "minLength"),
        Some(Combine::NumberMax)
    );
    assert_eq!(
        stricter("com.apple.applicationaccess", "allowCamera"),
        Some(Combine::BooleanAnd)
    );
    assert_eq!(
        stricter("com.apple.applicationaccess", "forceEncryptedBackup"),
        Some(Combine::BooleanOr)
    );
    assert_eq!(stricter("com.apple.security.firewall", "EnableFirewall"), None);
    // Every setting of which a value is called stricter is one.
    for (setting, _) in combine::PASSCODE_SETTINGS {
        let facts = &schema.profiles["com.apple.mobiledevice.passwordpolicy"];
        assert!(facts.keys.contains_key(setting), "{setting}");
    }
}

/// What the rules of one baseline say where each setting has one value, of kinds that can be combined.
fn combinable() -> impl Strategy<Value = Map<String, Value>> {
    let numbers = || (0..5_i64).prop_map(Value::from);
    let flags = || any::<bool>().prop_map(Value::from);
    let words = || "[xy]".prop_map(Value::from);
    let sets = || {
        prop::collection::btree_set(0..4_i64, 0..4).prop_map(|set| set.into_iter().collect::<Vec<_>>().into())
    };
    let key = |name: &'static str, value: BoxedStrategy<Value>| {
        prop::option::of(value).prop_map(move |value| (name, value))
    };
    let keys = (
        key("max", numbers().boxed()),
        key("min", numbers().boxed()),
        key("all", flags().boxed()),
        key("any", flags().boxed()),
        key("last", words().boxed()),
        key("shared", sets().boxed()),
        key("strict", numbers().boxed()),
        key("list", sets().boxed()),
    );
    keys.prop_map(|(a, b, c, d, e, f, g, h)| {
        let said = [a, b, c, d, e, f, g, h];
        let said = said
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        said.collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_baselines_does_not_matter(
        parts in prop::collection::vec((0..3_usize, 0..3_i32, prop_oneof![any_content(), combinable()]), 1..6), turn in any::<prop::sample::Index>()
    ) {
        // One group has one precedence.
        let precedence = |group: usize| parts.iter().find(|part| part.0 == group).map_or(0, |part| part.1);
        let parts: Vec<(usize, Part<'_>)> = parts.iter().enumerate()
            .map(|(source, (group, _, content))| (*group, Part { precedence: precedence(*group), source, content })).collect();
        let mut other = parts.clone();
        other.reverse();
        other.rotate_left(turn.index(parts.len()));
        let (a, b) = (merge_by(&parts, &law), merge_by(&other, &law));
        prop_assert_eq!(a.clashes, b.clashes);
        prop_assert_eq!(a.combined, b.combined);
        prop_assert_eq!(without_order(Value::Object(a.content)), without_order(Value::Object(b.content)));
    }

    #[test]
    fn what_is_combined_may_be_combined_in_steps_and_twice(a in combinable(), b in combinable(), c in combinable()) {
        let of = |contents: &[&Map<String, Value>]| {
            let part = |content| Part { precedence: 0, source: 0, content };
            let parts: Vec<(usize, Part<'_>)> = contents.iter().copied().map(part).enumerate().collect();
            merge_by(&parts, &law)
        };
        let whole = of(&[&a, &b, &c]);
        prop_assert_eq!(&whole.clashes, &[]);
        let flat = |merged: Merged| without_order(Value::Object(merged.content));
        let expected = flat(whole.clone());
        prop_assert_eq!(flat(of(&[&of(&[&a, &b]).content, &c])), expected.clone());
        prop_assert_eq!(flat(of(&[&a, &of(&[&b, &c]).content])), expected.clone());
        prop_assert_eq!(flat(of(&[&whole.content, &whole.content])), expected);
    }

    #[test]
    fn a_device_that_combines_by_itself_finds_the_same(a in combinable(), b in combinable(), precedence in 0..2_i32) {
        let part = |precedence, content| Part { precedence, source: 0, content };
        let merged = merge_by(&[(0, part(precedence, &a)), (1, part(0, &b))], &law).content;
        for key in ["max", "min", "all", "any", "last"] {
            let values: Vec<&Value> = [&a, &b].into_iter().filter_map(|content| content.get(key)).collect();
            if let Some(expected) = values.first().and_then(|_| combined(&law(&[key]).unwrap(), &values)) {
                prop_assert_eq!(&merged[key], &expected);
            }
        }
    }
}
