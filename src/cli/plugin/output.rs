//! Objects for scripts: JSON, YAML and names.

use anyhow::Context as _;
use kube::api::ObjectMeta;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde_json::json;

use super::arguments::Output;

/// A document in JSON or YAML. None: for people.
pub(super) fn document<T: Serialize>(value: &T, output: Option<Output>) -> anyhow::Result<Option<String>> {
    match output {
        Some(Output::Json) => {
            let text = serde_json::to_string_pretty(value).context("JSON could not be made of it")?;
            Ok(Some(format!("{text}\n")))
        }
        Some(Output::Yaml) => {
            let text = serde_yaml::to_string(value).context("YAML could not be made of it")?;
            Ok(Some(text))
        }
        Some(Output::Name | Output::Wide) | None => Ok(None),
    }
}

/// Objects in JSON, YAML or by name: as a List, or the one there is for itself. None: for people.
pub(super) fn objects<K>(
    mut objects: Vec<K>,
    alone: bool,
    output: Option<Output>,
) -> anyhow::Result<Option<String>>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    if output == Some(Output::Name) {
        let names = objects.iter().map(|object| format!("{}\n", name(object)));
        return Ok(Some(names.collect()));
    }
    for object in &mut objects {
        // As kubectl does: who set which field is for machines.
        let meta: &mut ObjectMeta = object.meta_mut();
        meta.managed_fields = None;
    }
    match objects.first() {
        Some(object) if alone => document(object, output),
        _ => {
            let list = json!({
                "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "" }, "items": objects,
            });
            document(&list, output)
        }
    }
}

/// `device.provost.dev/NAME`.
pub(super) fn name<K: Resource<DynamicType = ()>>(object: &K) -> String {
    let kind = K::kind(&()).to_lowercase();
    format!("{kind}.{}/{}", K::group(&()), object.name_any())
}
