//! Roles for people who work with Provost's resources: to look, to change, to administer.
//!
//! They are parts of Kubernetes' own `view`, `edit` and `admin`, so that whoever has one of those in a namespace has its
//! fleet as well. The embedded API installs them at start; the Helm chart carries the same.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::crds;

/// To look.
pub const VIEW: &str = "provost-view";
/// To change what should be.
pub const EDIT: &str = "provost-edit";
/// To do everything, removal of devices and sources included.
pub const ADMIN: &str = "provost-admin";

const READ: &[&str] = &["get", "list", "watch"];
/// What the server tells of a device's rules, beyond its status. It is no resource of the API: whoever may `get` it is told.
pub const EVIDENCE: &str = "devices/evidence";
const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
const ALL: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];
/// Kinds that come into being otherwise than by hand. Who edits may label and annotate a device, or ask a source to look
/// again; to make or remove one is for administrators: a source says whose word is law, and a removed device is
/// un-enrolled. PushCertificates are the server's own word.
const HELD_BACK: &[&str] = &["Device", "GitSource", "PushCertificate"];

/// The three roles.
#[must_use]
pub fn all() -> Vec<ClusterRole> {
    let definitions = crds::all();
    let plurals = |wanted: fn(&str) -> bool| {
        let wanted = definitions.iter().filter(|crd| wanted(&crd.spec.names.kind));
        wanted
            .map(|crd| crd.spec.names.plural.clone())
            .collect::<Vec<_>>()
    };
    let group = definitions
        .first()
        .map(|crd: &CustomResourceDefinition| crd.spec.group.clone())
        .unwrap_or_default();
    let rule = |verbs: &[&str], resources: Vec<String>| PolicyRule {
        api_groups: Some(vec![group.clone()]),
        resources: Some(resources),
        verbs: verbs.iter().map(|&verb| verb.to_owned()).collect(),
        ..PolicyRule::default()
    };
    let everything = || plurals(|_| true);
    let edited = plurals(|kind| !HELD_BACK.contains(&kind));
    let held_back = plurals(|kind| HELD_BACK.contains(&kind));
    vec![
        role(
            VIEW,
            "view",
            vec![
                rule(READ, everything()),
                rule(&["get"], vec![EVIDENCE.to_owned()]),
            ],
        ),
        role(
            EDIT,
            "edit",
            vec![rule(WRITE, edited), rule(&["patch", "update"], held_back)],
        ),
        role(ADMIN, "admin", vec![rule(ALL, everything())]),
    ]
}

fn role(name: &str, part_of: &str, rules: Vec<PolicyRule>) -> ClusterRole {
    let label = format!("rbac.authorization.k8s.io/aggregate-to-{part_of}");
    ClusterRole {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(BTreeMap::from([(label, "true".to_owned())])),
            ..ObjectMeta::default()
        },
        rules: Some(rules),
        ..ClusterRole::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verbs(role: &str, plural: &str) -> Vec<String> {
        let roles = all();
        let role = roles
            .iter()
            .find(|found| found.metadata.name.as_deref() == Some(role))
            .unwrap();
        let about = |rule: &&PolicyRule| rule.resources.iter().flatten().any(|found| found == plural);
        let matching = role.rules.iter().flatten().filter(about);
        matching.flat_map(|rule| rule.verbs.clone()).collect()
    }

    #[test]
    fn each_kind_can_be_seen_changed_and_administered() {
        for crd in crds::all() {
            let plural = crd.spec.names.plural;
            assert_eq!(verbs(VIEW, &plural), READ, "{plural}");
            assert_eq!(verbs(ADMIN, &plural), ALL, "{plural}");
            let held_back = matches!(plural.as_str(), "devices" | "gitsources" | "pushcertificates");
            let expected: &[&str] = if held_back { &["patch", "update"] } else { WRITE };
            assert_eq!(verbs(EDIT, &plural), expected, "{plural}");
        }
    }

    #[test]
    fn no_role_reaches_beyond_provost_or_into_the_status() {
        for rule in all().iter().flat_map(|role| role.rules.iter().flatten()) {
            assert_eq!(rule.api_groups.as_deref().unwrap(), ["provost.dev"]);
            let resources = rule.resources.as_deref().unwrap();
            assert!(
                resources
                    .iter()
                    .all(|resource| resource == EVIDENCE || !resource.contains(['/', '*'])),
                "{resources:?}"
            );
        }
    }
}
