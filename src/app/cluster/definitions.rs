//! Whether the cluster has Provost's definitions as this program needs them. They are read one by one, so that the right to read these and no others is
//! enough.

use futures::TryStreamExt as _;
use futures::stream::{self, StreamExt as _};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;

use crate::api::{crds, names};

/// What helps in every case.
const ADVICE: &str = "install those of this version: provost crd | kubectl apply --server-side -f -";

/// How one definition stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// As this program has it.
    Same,
    /// Another schema, subresource or selectable field: of an older or newer Provost.
    Different,
    /// Not there.
    Missing,
    /// There, and without the version that this program speaks.
    OtherVersion,
    /// There, and not accepted (yet).
    NotEstablished,
}

/// How all of them stand, by name.
pub(super) struct Definitions(Vec<(String, Standing)>);

/// Reads every definition.
pub(super) async fn check(client: &Client) -> kube::Result<Definitions> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let read = |expected: CustomResourceDefinition| {
        let api = api.clone();
        async move {
            let name = expected.name_any();
            let found = api.get_opt(&name).await?;
            Ok::<_, kube::Error>((name, standing(&expected, found.as_ref())))
        }
    };
    let all = stream::iter(crds::all()).map(read).buffered(4);
    Ok(Definitions(all.try_collect().await?))
}

impl Definitions {
    /// What keeps the program from working, and what to do.
    pub(super) fn unfit(&self) -> Option<String> {
        let kinds = [
            (Standing::Missing, "missing"),
            (Standing::OtherVersion, "without version v1alpha1"),
            (Standing::NotEstablished, "not established"),
        ];
        let parts: Vec<String> = kinds
            .iter()
            .filter_map(|(standing, words)| Some(format!("{words}: {}", self.list(*standing)?)))
            .collect();
        (!parts.is_empty()).then(|| {
            format!(
                "the cluster's definitions of Provost's kinds cannot be used ({}); {ADVICE}",
                parts.join("; ")
            )
        })
    }

    /// What may be trouble, and what to do.
    pub(super) fn different(&self) -> Option<String> {
        let names = self.list(Standing::Different)?;
        Some(format!(
            "the cluster has definitions of another version of Provost: {names}; fields may be refused or lost; {ADVICE}"
        ))
    }

    fn list(&self, wanted: Standing) -> Option<String> {
        let names: Vec<&str> = self
            .0
            .iter()
            .filter(|(_, standing)| *standing == wanted)
            .map(|(name, _)| name.as_str())
            .collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

fn standing(expected: &CustomResourceDefinition, found: Option<&CustomResourceDefinition>) -> Standing {
    let Some(found) = found else {
        return Standing::Missing;
    };
    let Some(ours) = version(expected) else {
        return Standing::OtherVersion;
    };
    let Some(theirs) = version(found).filter(|version| version.served) else {
        return Standing::OtherVersion;
    };
    let conditions = found
        .status
        .iter()
        .filter_map(|status| status.conditions.as_ref());
    let established = conditions
        .flatten()
        .any(|condition| condition.type_ == "Established" && condition.status == "True");
    if !established {
        return Standing::NotEstablished;
    }
    if meaning(ours) == meaning(theirs) {
        Standing::Same
    } else {
        Standing::Different
    }
}

fn version(definition: &CustomResourceDefinition) -> Option<&CustomResourceDefinitionVersion> {
    definition
        .spec
        .versions
        .iter()
        .find(|version| version.name == names::VERSION)
}

/// What makes a difference for the program: not how tables are printed, nor what `kubectl explain` says.
fn meaning(version: &CustomResourceDefinitionVersion) -> (Value, Value, Value) {
    let json = |value: serde_json::Result<Value>| {
        let mut value = value.unwrap_or_default();
        without_words(&mut value);
        value
    };
    (
        json(serde_json::to_value(&version.schema)),
        json(serde_json::to_value(&version.subresources)),
        json(serde_json::to_value(&version.selectable_fields)),
    )
}

/// Takes the descriptions out of a schema. A property may be called `description`; its value is no text.
fn without_words(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, value| name != "description" || !value.is_string());
            fields.values_mut().for_each(without_words);
        }
        Value::Array(items) => items.iter_mut().for_each(without_words),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionStatus;
    use serde_json::json;

    use super::*;

    fn established(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
        let condition = json!({ "type": "Established", "status": "True", "reason": "InitialNamesAccepted" });
        definition.status = Some(CustomResourceDefinitionStatus {
            conditions: Some(vec![serde_json::from_value(condition).unwrap()]),
            ..CustomResourceDefinitionStatus::default()
        });
        definition
    }

    #[test]
    fn each_fault_of_a_definition_is_told_from_the_others() {
        let ours = crds::all().remove(0);
        assert_eq!(standing(&ours, None), Standing::Missing);
        assert_eq!(standing(&ours, Some(&ours)), Standing::NotEstablished);
        let good = established(ours.clone());
        assert_eq!(standing(&ours, Some(&good)), Standing::Same);

        let mut reworded = good.clone();
        let root = reworded.spec.versions[0].schema.as_mut().unwrap();
        root.open_api_v3_schema.as_mut().unwrap().description = Some("Other words.".to_owned());
        assert_eq!(standing(&ours, Some(&reworded)), Standing::Same);

        let mut older = good.clone();
        let root = older.spec.versions[0].schema.as_mut().unwrap();
        let root = root.open_api_v3_schema.as_mut().unwrap();
        root.properties.as_mut().unwrap().remove("status");
        assert_eq!(standing(&ours, Some(&older)), Standing::Different);

        let mut withdrawn = good.clone();
        withdrawn.spec.versions[0].served = false;
        assert_eq!(standing(&ours, Some(&withdrawn)), Standing::OtherVersion);
        withdrawn.spec.versions[0].name = "v1".to_owned();
        assert_eq!(standing(&ours, Some(&withdrawn)), Standing::OtherVersion);
    }

    #[test]
    fn the_message_names_what_is_wrong_and_what_to_do() {
        let definitions = Definitions(vec![
            ("a.provost.dev".to_owned(), Standing::Missing),
            ("b.provost.dev".to_owned(), Standing::Same),
            ("c.provost.dev".to_owned(), Standing::NotEstablished),
            ("d.provost.dev".to_owned(), Standing::Different),
        ]);
        insta::assert_snapshot!(definitions.unfit().unwrap(), @"the cluster's definitions of Provost's kinds cannot be used (missing: a.provost.dev; not established: c.provost.dev); install those of this version: provost crd | kubectl apply --server-side -f -");
        insta::assert_snapshot!(definitions.different().unwrap(), @"the cluster has definitions of another version of Provost: d.provost.dev; fields may be refused or lost; install those of this version: provost crd | kubectl apply --server-side -f -");
        assert!(
            Definitions(vec![("b".to_owned(), Standing::Same)])
                .unfit()
                .is_none()
        );
    }
}
