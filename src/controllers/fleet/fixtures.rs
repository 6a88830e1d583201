//! What the tests of the planner are made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::metadata::PartialObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Event;
use super::device::Device;
use crate::api::common::{EnrollmentMode, Platform};
use crate::api::{self, Assignment, Baseline, DeviceGroup, Profile, Waiver, names};
use crate::controllers::watch::Watched;
use crate::ids::{Digest, EnrollmentId, Namespace, SerialNumber};
use crate::policy::Lacks;
use crate::store::{Enrollment, EnrollmentState};

/// `seconds` after the beginning of the story.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap() + SignedDuration::from_secs(seconds)
}

pub(super) fn id(text: &str) -> EnrollmentId {
    EnrollmentId::parse(text).unwrap()
}

pub(super) fn namespace(text: &str) -> Namespace {
    Namespace::parse(text).unwrap()
}

/// A Mac of the fleet `fleet` that enrolled at 0, on a team by its label.
pub(super) fn enrollment(device: &str, team: &str) -> Enrollment {
    Enrollment {
        id: id(device),
        namespace: namespace("fleet"),
        labels: [("team".to_owned(), team.to_owned())].into(),
        state: EnrollmentState::Enrolled,
        certificate: Digest::of(device.as_bytes()),
        platform: Platform::MacOS,
        mode: EnrollmentMode::Supervised,
        serial_number: Some(SerialNumber::parse(&format!("SN{device}")).unwrap()),
        model: Some("Mac16,10".to_owned()),
        os_version: "26.1".to_owned(),
        build_version: None,
        declarative: true,
        lacks: Lacks::default(),
        token_updates: 1,
        enrolled_at: at(0),
        manifest: None,
        manifest_at: None,
        previous_manifest: None,
        advertised_manifest: None,
        applied_manifest: None,
        awaiting_configuration: false,
        bootstrap_token: false,
        unlock_token: false,
        push_refused: None,
    }
}

pub(super) fn device(name: &str) -> Device {
    Device::new(enrollment(name, "lab"), at(900))
}

fn object<K: DeserializeOwned>(kind: &str, name: &str, spec: &Value, generation: i64) -> K {
    let object = json!({
        "apiVersion": names::API_VERSION, "kind": kind, "spec": spec,
        "metadata": { "name": name, "namespace": "fleet", "uid": format!("uid-{name}"), "generation": generation,
                      "resourceVersion": generation.to_string() },
    });
    serde_json::from_value(object).unwrap()
}

/// Rules that enforce a passcode of `length`, and one that is only checked.
pub(super) fn rules(length: i64) -> Value {
    json!({ "title": "t", "version": "1", "rules": [
        { "id": "passcode", "title": "t", "severity": "High", "controls": [{ "framework": "cis", "id": "5.2" }], "enforce": [
            { "declaration": { "type": "com.apple.configuration.passcode.settings", "payload": { "MinimumLength": length } } },
            { "profile": { "payloadType": "com.apple.mobiledevice.passwordpolicy", "content": { "minLength": length } } } ] },
        { "id": "filevault", "title": "t", "controls": [{ "framework": "cis", "id": "2.6" }],
          "check": { "cel": "SecurityInfo.FDE_Enabled" } } ] })
}

pub(super) fn baseline(name: &str, length: i64, generation: i64) -> Baseline {
    object("Baseline", name, &rules(length), generation)
}

pub(super) fn group(name: &str, spec: &Value, generation: i64) -> DeviceGroup {
    object("DeviceGroup", name, spec, generation)
}

pub(super) fn waiver(name: &str, spec: &Value, generation: i64) -> Waiver {
    object("Waiver", name, spec, generation)
}

pub(super) fn team(name: &str) -> DeviceGroup {
    group(
        name,
        &json!({ "selector": { "matchLabels": { "team": name } } }),
        1,
    )
}

pub(super) fn profile(name: &str) -> Profile {
    let spec = json!({ "title": "t", "payloads": [
        { "payloadType": "com.apple.dock", "content": { "autohide": true } }] });
    object("Profile", name, &spec, 1)
}

pub(super) fn assignment(name: &str, spec: &Value, generation: i64) -> Assignment {
    object("Assignment", name, spec, generation)
}

/// An assignment of a baseline to a group.
pub(super) fn enforced(name: &str, group: &str, baseline: &str) -> Assignment {
    let spec =
        json!({ "groups": [{ "name": group }], "baselines": [{ "name": baseline }], "mode": "Enforce" });
    assignment(name, &spec, 1)
}

/// As from git.
pub(super) fn from_git<K: kube::Resource>(mut object: K, revision: &str, committed_at: i64) -> K {
    let annotations = object.meta_mut().annotations.get_or_insert_default();
    annotations.insert(names::REVISION_ANNOTATION.to_owned(), revision.to_owned());
    annotations.insert(
        names::COMMITTED_AT_ANNOTATION.to_owned(),
        at(committed_at).to_string(),
    );
    object
}

/// The metadata of a Device object.
pub(super) fn device_object(
    name: &str,
    uid: &str,
    labels: &[(&str, &str)],
) -> PartialObjectMeta<api::Device> {
    let labels: BTreeMap<_, _> = labels
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    PartialObjectMeta {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some("fleet".to_owned()),
            uid: Some(uid.to_owned()),
            labels: Some(labels),
            generation: Some(1),
            finalizers: Some(vec![names::DEVICE_FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        types: None,
        _phantom: std::marker::PhantomData,
    }
}

pub(super) fn present<K>(object: K) -> Watched<K> {
    Watched::Present(Box::new(object))
}

pub(super) fn gone<K>(name: &str) -> Watched<K> {
    Watched::Gone {
        namespace: "fleet".to_owned(),
        name: name.to_owned(),
    }
}

/// Lists of every kind, empty.
pub(super) fn empty_lists() -> Vec<Event> {
    vec![
        Event::Baseline(Watched::Listing),
        Event::Baseline(Watched::Listed),
        Event::Profile(Watched::Listing),
        Event::Profile(Watched::Listed),
        Event::Group(Watched::Listing),
        Event::Group(Watched::Listed),
        Event::Assignment(Watched::Listing),
        Event::Assignment(Watched::Listed),
        Event::Waiver(Watched::Listing),
        Event::Waiver(Watched::Listed),
        Event::Device(Watched::Listing),
        Event::Device(Watched::Listed),
    ]
}

pub(super) fn names_of(names: &[Arc<str>]) -> Vec<&str> {
    names.iter().map(AsRef::as_ref).collect()
}
