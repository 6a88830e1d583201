//! Stories about selectors: what they select and how a wrong one is explained.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as LabelSelectorSpec;
use proptest::prelude::*;
use serde_json::json;

use super::{FieldSelector, LabelSelector};

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn selects(selector: &str, pairs: &[(&str, &str)]) -> bool {
    LabelSelector::parse(selector)
        .expect("a selector")
        .matches(&labels(pairs))
}

#[test]
fn labels_are_selected_by_equality_set_and_existence() {
    let mac = [("platform", "macos"), ("ring", "2")];
    for selector in [
        "",
        "platform=macos",
        "platform==macos",
        "ring!=1",
        "missing!=x",
        "platform in (macos, ios)",
        "ring notin (1)",
        "platform",
        "!retired",
        "platform=macos,ring=2",
        "ring>1",
        "ring<3",
        " platform = macos ",
        "missing notin (x)",
    ] {
        assert!(selects(selector, &mac), "{selector}");
    }
    for selector in [
        "platform=ios",
        "ring in (1,3)",
        "missing",
        "!ring",
        "platform=macos,ring=1",
        "ring>2",
        "platform>1",
    ] {
        assert!(!selects(selector, &mac), "{selector}");
    }
    assert!(selects("a=", &[("a", "")]));
    assert!(selects("in in (in,notin)", &[("in", "notin")]));
    assert!(selects("a in ()", &[("a", "")]));
}

#[test]
fn a_wrong_label_selector_is_explained_as_kubernetes_does() {
    let cases = [
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        (
            "a in (b",
            "unable to parse requirement: found '', expected: ',' or ')'",
        ),
        (
            "a ! b",
            "unable to parse requirement: found '!', expected: in, notin, =, ==, !=, gt, lt",
        ),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ];
    for (selector, expected) in cases {
        assert_eq!(
            LabelSelector::parse(selector).unwrap_err().to_string(),
            expected,
            "{selector}"
        );
    }
    let key = LabelSelector::parse("a b/c/d").unwrap_err().to_string();
    assert!(
        key.starts_with("unable to parse requirement: found 'b/c/d'"),
        "{key}"
    );
    let key = LabelSelector::parse("-a=b").unwrap_err().to_string();
    assert!(
        key.starts_with(
            "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of"
        ),
        "{key}"
    );
}

#[test]
fn the_structure_in_resources_selects_the_same() {
    let spec: LabelSelectorSpec = serde_json::from_value(json!({
        "matchLabels": {"platform": "macos"},
        "matchExpressions": [{"key": "ring", "operator": "In", "values": ["1", "2"]}, {"key": "retired", "operator": "DoesNotExist"}],
    }))
    .unwrap();
    let selector = LabelSelector::from_spec(&spec).unwrap();
    assert_eq!(selector.to_string(), "platform=macos,!retired,ring in (1,2)");
    assert!(selector.matches(&labels(&[("platform", "macos"), ("ring", "1")])));
    assert!(!selector.matches(&labels(&[("platform", "macos"), ("ring", "1"), ("retired", "")])));
    assert!(
        LabelSelector::from_spec(&LabelSelectorSpec::default())
            .unwrap()
            .is_everything()
    );

    let wrong: LabelSelectorSpec =
        serde_json::from_value(json!({"matchExpressions": [{"key": "a", "operator": "Near"}]})).unwrap();
    assert_eq!(
        LabelSelector::from_spec(&wrong).unwrap_err().to_string(),
        "\"Near\" is not a valid label selector operator"
    );
    let empty: LabelSelectorSpec =
        serde_json::from_value(json!({"matchExpressions": [{"key": "a", "operator": "In"}]})).unwrap();
    assert_eq!(
        LabelSelector::from_spec(&empty).unwrap_err().to_string(),
        "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
    );
}

#[test]
fn fields_are_compared() {
    let field = |name: &str| match name {
        "metadata.name" => Some(Cow::Borrowed("a")),
        "spec.note" => Some(Cow::Borrowed("x,y=z")),
        _ => None,
    };
    for selector in [
        "",
        "metadata.name=a",
        "metadata.name==a",
        "metadata.name!=b",
        "spec.none=",
        r"spec.note=x\,y\=z",
    ] {
        assert!(
            FieldSelector::parse(selector).unwrap().matches(field),
            "{selector}"
        );
    }
    assert!(
        !FieldSelector::parse("metadata.name=a,spec.note=x")
            .unwrap()
            .matches(field)
    );
    let selector = FieldSelector::parse("metadata.name=a,spec.mode!=Audit").unwrap();
    assert_eq!(selector.exact("metadata.name"), Some("a"));
    assert_eq!(selector.exact("spec.mode"), None);
    assert!(selector.check_supported(&["spec.mode"]).is_ok());
    assert_eq!(
        selector.check_supported(&[]).unwrap_err().to_string(),
        "field label not supported: spec.mode"
    );
}

#[test]
fn a_wrong_field_selector_is_explained() {
    let cases = [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
        (
            "a=b=c",
            "invalid field selector: unescaped character in value: 61",
        ),
    ];
    for (selector, expected) in cases {
        assert_eq!(FieldSelector::parse(selector).unwrap_err().to_string(), expected);
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic_and_canonical_text_parses_back(text in "[a-c!=<>(), inot\\\\é]{0,20}") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
        }
        if let Ok(selector) = FieldSelector::parse(&text) {
            prop_assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
        }
    }
}
