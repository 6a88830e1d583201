//! The merge law: what several parts say about one payload or declaration becomes one content, or a reported conflict.
//!
//! Dictionaries merge deeply. Lists become their union, in order, without duplicates. Equal scalars agree; types count, `1` is not
//! `1.0` or `true`. Unequal scalars, or different kinds of value, contradict each other: the part with the highest precedence wins;
//! among parts of that precedence it is a conflict, and then *neither* value is served, nor that of a lower precedence.
//! The result does not depend on the order of the parts, except for the order of items in lists. Where nothing is contradicted it does not depend
//! on grouping either: parts may be merged in steps. What is contradicted has to be merged at once, or a third part would bring a value back.

use serde_json::{Map, Value};

use super::content::{Special, canonical};

/// What one rule or profile says.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Its precedence: the assignment's.
    pub precedence: i32,
    /// Who says it: an index of the caller's.
    pub source: usize,
    /// What it says.
    pub content: &'a Map<String, Value>,
}

/// A setting for which parts of equal precedence want different values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The key, as `key` or `key.key`.
    pub setting: String,
    /// The sources, those that agree together; groups and sources in order.
    pub sides: Vec<Vec<usize>>,
}

/// What the parts say together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Merged {
    /// The content, without what is contradicted.
    pub content: Map<String, Value>,
    /// What is contradicted, by setting.
    pub clashes: Vec<Clash>,
}

/// Merges the parts by the law above.
#[must_use]
pub fn merge(parts: &[Part<'_>]) -> Merged {
    let mut says: Vec<Say<'_>> = Vec::with_capacity(parts.len());
    let wholes: Vec<Value> = parts
        .iter()
        .map(|part| Value::Object(part.content.clone()))
        .collect();
    for (part, value) in parts.iter().zip(&wholes) {
        says.push(Say {
            precedence: part.precedence,
            source: part.source,
            value,
        });
    }
    // Stable: within one precedence the order of the caller decides the order of list items.
    says.sort_by_key(|say| std::cmp::Reverse(say.precedence));
    let mut clashes = Vec::new();
    let content = match merge_at("", &says, &mut clashes) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    clashes.sort_by(|a, b| a.setting.cmp(&b.setting));
    Merged { content, clashes }
}

#[derive(Debug, Clone, Copy)]
struct Say<'a> {
    precedence: i32,
    source: usize,
    value: &'a Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dictionary,
    List,
    Scalar,
}

fn kind(value: &Value) -> Kind {
    match value {
        Value::Object(map) if Special::of(map).is_none() => Kind::Dictionary,
        Value::Array(_) => Kind::List,
        _ => Kind::Scalar,
    }
}

/// What is said at one place, by falling precedence. None: nothing is to be served here.
fn merge_at(path: &str, says: &[Say<'_>], clashes: &mut Vec<Clash>) -> Option<Value> {
    let highest = says.first()?;
    let top = || says.iter().take_while(|say| say.precedence == highest.precedence);
    let wanted = kind(highest.value);
    let agreed =
        top().all(|say| kind(say.value) == wanted && (wanted != Kind::Scalar || say.value == highest.value));
    if !agreed {
        clashes.push(Clash {
            setting: path.to_owned(),
            sides: sides(top()),
        });
        return None;
    }
    match wanted {
        Kind::Scalar => Some(highest.value.clone()),
        Kind::List => {
            let mut union: Vec<Value> = Vec::new();
            for item in says.iter().filter_map(|say| say.value.as_array()).flatten() {
                if !union.contains(item) {
                    union.push(item.clone());
                }
            }
            Some(Value::Array(union))
        }
        Kind::Dictionary => {
            let dictionaries: Vec<(Say<'_>, &Map<String, Value>)> = says
                .iter()
                .filter(|say| kind(say.value) == Kind::Dictionary)
                .filter_map(|say| Some((*say, say.value.as_object()?)))
                .collect();
            let mut keys: Vec<&String> = dictionaries.iter().flat_map(|(_, map)| map.keys()).collect();
            keys.sort_unstable();
            keys.dedup();
            let mut merged = Map::new();
            for key in &keys {
                let below: Vec<Say<'_>> = dictionaries
                    .iter()
                    .filter_map(|(say, map)| map.get(*key).map(|value| Say { value, ..*say }))
                    .collect();
                let path = if path.is_empty() {
                    (*key).clone()
                } else {
                    format!("{path}.{key}")
                };
                if let Some(value) = merge_at(&path, &below, clashes) {
                    merged.insert((*key).clone(), value);
                }
            }
            // A dictionary that only conflicts have emptied is not what anybody asked for.
            (!merged.is_empty() || keys.is_empty()).then_some(Value::Object(merged))
        }
    }
}

/// The sources, those that say the same together.
fn sides<'a>(says: impl Iterator<Item = &'a Say<'a>>) -> Vec<Vec<usize>> {
    let mut sides: Vec<(String, Vec<usize>)> = Vec::new();
    for say in says {
        let text = match kind(say.value) {
            Kind::Scalar => canonical(say.value),
            // Lists agree with lists, and dictionaries with dictionaries, whatever is in them.
            Kind::List => "[".to_owned(),
            Kind::Dictionary => "{".to_owned(),
        };
        match sides.iter_mut().find(|(known, _)| *known == text) {
            Some((_, sources)) => sources.push(say.source),
            None => sides.push((text, vec![say.source])),
        }
    }
    let mut sides: Vec<Vec<usize>> = sides
        .into_iter()
        .map(|(_, mut sources)| {
            sources.sort_unstable();
            sources.dedup();
            sources
        })
        .collect();
    sides.sort_unstable();
    sides
}

/// The first setting of `demanded` that `served` does not meet; none: `served` holds all of it.
#[must_use]
pub fn unmet(demanded: &Map<String, Value>, served: &Map<String, Value>) -> Option<String> {
    let mut open: Vec<(String, &Value, Option<&Value>)> = demanded
        .iter()
        .map(|(key, value)| (key.clone(), value, served.get(key)))
        .collect();
    let mut missing = Vec::new();
    while let Some((path, demanded, served)) = open.pop() {
        match (kind(demanded), demanded, served) {
            (Kind::Dictionary, Value::Object(demanded), Some(Value::Object(served))) => open.extend(
                demanded
                    .iter()
                    .map(|(key, value)| (format!("{path}.{key}"), value, served.get(key))),
            ),
            (Kind::List, Value::Array(demanded), Some(Value::Array(served)))
                if demanded.iter().all(|item| served.contains(item)) => {}
            (Kind::Scalar, demanded, Some(served)) if demanded == served => {}
            _ => missing.push(path),
        }
    }
    missing.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let contents: Vec<Map<String, Value>> =
            parts.iter().map(|(_, content)| map(content.clone())).collect();
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
            Value::Object(map) => {
                Value::Object(map.into_iter().map(|(k, v)| (k, without_order(v))).collect())
            }
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
}
