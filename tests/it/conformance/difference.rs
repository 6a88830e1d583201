//! What differs between two answers, and what is known to.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// One cause of differences.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cause {
    /// What differs.
    pub(super) what: String,
    /// Why it does.
    pub(super) why: String,
    /// What a person notices, and what to do.
    pub(super) notice: String,
    /// The requests that show it, as `file / name`.
    pub(super) requests: Vec<String>,
}

/// The causes of known differences.
pub(super) fn causes(path: &Path) -> Vec<Cause> {
    serde_yaml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Requests known to be answered differently: what differs, by `file / name`.
pub(super) fn known(causes: &[Cause]) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for cause in causes {
        assert!(!cause.requests.is_empty(), "nothing shows {:?}", cause.what);
        for request in &cause.requests {
            let twice = known.insert(request.clone(), cause.what.clone());
            assert_eq!(twice, None, "{request} has two causes");
        }
    }
    known
}

/// One line for each difference, by JSON pointer: ours, then theirs.
pub(super) fn between(ours: &Value, theirs: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    walk("", Some(ours), Some(theirs), &mut lines);
    lines
}

fn walk(at: &str, ours: Option<&Value>, theirs: Option<&Value>, lines: &mut Vec<String>) {
    if ours == theirs {
        return;
    }
    match (ours, theirs) {
        (Some(Value::Object(our)), Some(Value::Object(their))) => {
            let keys: std::collections::BTreeSet<_> = our.keys().chain(their.keys()).collect();
            for key in keys {
                let part = key.replace('~', "~0").replace('/', "~1");
                walk(&format!("{at}/{part}"), our.get(key), their.get(key), lines);
            }
        }
        (Some(Value::Array(our)), Some(Value::Array(their))) => {
            for index in 0..our.len().max(their.len()) {
                walk(&format!("{at}/{index}"), our.get(index), their.get(index), lines);
            }
        }
        _ => {
            let show =
                |value: Option<&Value>| value.map_or_else(|| "(nothing)".to_owned(), ToString::to_string);
            lines.push(format!(
                "{at}\n    embedded {}\n    real     {}",
                show(ours),
                show(theirs)
            ));
        }
    }
}

#[test]
fn a_difference_is_named_by_its_pointer() {
    let one = serde_json::json!({ "a": { "b/c": [1, 2] } });
    let other = serde_json::json!({ "a": { "b/c": [1, 3] }, "d": null });
    assert_eq!(
        between(&one, &other),
        [
            "/a/b~1c/1\n    embedded 2\n    real     3",
            "/d\n    embedded (nothing)\n    real     null"
        ]
    );
}
