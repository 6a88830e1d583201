//! Events are stored once, in the words of the core group, and served in both groups.

use serde_json::{Value, json};

/// Core name, `events.k8s.io` name. `type`, `reason`, `action`, `related`, `series`, `eventTime` and
/// `reportingInstance` are the same in both.
const NAMES: &[(&str, &str)] = &[
    ("count", "deprecatedCount"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("involvedObject", "regarding"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
];

/// From `v1` to `events.k8s.io/v1`.
pub(super) fn to_v1(event: &mut Value) {
    complete(event);
    rename(event, NAMES.iter().copied());
    if let Some(fields) = event.as_object_mut() {
        // Of the texts, the newer words leave out the empty ones.
        for field in ["reportingController", "reportingInstance"] {
            if fields.get(field).is_some_and(|text| text == "") {
                fields.remove(field);
            }
        }
    }
}

/// Adds the fields that Kubernetes writes when they are empty, too.
pub(super) fn complete(event: &mut Value) {
    let Some(fields) = event.as_object_mut() else {
        return;
    };
    for time in ["eventTime", "firstTimestamp", "lastTimestamp"] {
        fields.entry(time).or_insert(Value::Null);
    }
    for text in ["reportingComponent", "reportingInstance"] {
        fields.entry(text).or_insert_with(|| json!(""));
    }
    fields.entry("source").or_insert_with(|| json!({}));
}

/// From `events.k8s.io/v1` to `v1`.
pub(super) fn to_core(event: &mut Value) {
    rename(event, NAMES.iter().map(|&(core, v1)| (v1, core)));
}

fn rename<'a>(event: &mut Value, names: impl Iterator<Item = (&'a str, &'a str)>) {
    let Some(fields) = event.as_object_mut() else {
        return;
    };
    for (from, to) in names {
        if let Some(value) = fields.remove(from) {
            fields.insert(to.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_keeps_everything_on_the_way_there_and_back() {
        let core = serde_json::json!({
            "apiVersion": "v1", "kind": "Event", "message": "m", "reason": "r", "type": "Warning", "count": 2,
            "involvedObject": { "name": "x" }, "reportingComponent": "c", "source": { "component": "c" },
        });
        let mut event = core.clone();
        to_v1(&mut event);
        assert_eq!(event["note"], "m");
        assert_eq!(event["regarding"]["name"], "x");
        assert_eq!(event["reportingController"], "c");
        assert!(event.get("message").is_none());
        to_core(&mut event);
        complete(&mut event);
        let mut core = core;
        complete(&mut core);
        assert_eq!(event, core);
    }
}
