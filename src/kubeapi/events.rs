//! Events are stored once, in the words of the core group, and served in both groups.

use serde_json::Value;

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
    rename(event, NAMES.iter().copied());
    if let Some(fields) = event.as_object_mut() {
        // The core group writes them even where they are empty.
        for field in ["reportingController", "reportingInstance"] {
            if fields.get(field).is_some_and(|text| text == "") {
                fields.remove(field);
            }
        }
    }
}

/// From `events.k8s.io/v1` to `v1`.
pub(super) fn to_core(event: &mut Value) {
    rename(event, NAMES.iter().map(|&(core, v1)| (v1, core)));
}

/// Fills in what Kubernetes writes into every event, whether it was said or not.
pub(super) fn fill_in(event: &mut Value) {
    let Some(fields) = event.as_object_mut() else {
        return;
    };
    for field in ["eventTime", "firstTimestamp", "lastTimestamp"] {
        fields.entry(field).or_insert(Value::Null);
    }
    for field in ["reportingComponent", "reportingInstance"] {
        fields.entry(field).or_insert_with(|| "".into());
    }
    fields
        .entry("source")
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
}

/// The same in the words of `events.k8s.io/v1`.
pub(super) fn fill_in_v1(event: &mut Value) {
    let Some(fields) = event.as_object_mut() else {
        return;
    };
    for field in ["deprecatedFirstTimestamp", "deprecatedLastTimestamp", "eventTime"] {
        fields.entry(field).or_insert(Value::Null);
    }
    fields
        .entry("deprecatedSource")
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
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
        assert_eq!(event, core);
    }
}
