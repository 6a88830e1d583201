//! The paths of a resource and what can be done at each.

use serde_json::{Map, Value, json};

use super::builtin::GENERATED_PREFIX;
use super::resource::ServedResource;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The media types of patches every resource takes.
const PATCHES: [&str; 3] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
];
/// The media type of patches that only built-in resources take.
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";

/// What may be asked of a request, as name, type and description.
type Parameter = (&'static str, &'static str, &'static str);

const PRETTY: Parameter = (
    "pretty",
    "string",
    "If 'true', then the output is pretty printed.",
);
const DRY_RUN: Parameter = (
    "dryRun",
    "string",
    "Whether to persist the change; `All` runs every stage but the last. Valid values are: All.",
);
const FIELD_MANAGER: Parameter = (
    "fieldManager",
    "string",
    "The name of who makes the change; required for apply.",
);
const FIELD_VALIDATION: Parameter = (
    "fieldValidation",
    "string",
    "What to do about unknown or duplicate fields. Valid values are: Ignore, Warn, Strict.",
);
const FORCE: Parameter = (
    "force",
    "boolean",
    "Whether an apply takes over fields that others own.",
);
const LIST: [Parameter; 10] = [
    (
        "allowWatchBookmarks",
        "boolean",
        "Whether to send bookmarks in a watch.",
    ),
    ("continue", "string", "The token of the next page of a list."),
    ("fieldSelector", "string", "Which objects to return, by field."),
    ("labelSelector", "string", "Which objects to return, by label."),
    ("limit", "integer", "How many objects to return at most."),
    ("resourceVersion", "string", "The revision to start from."),
    (
        "resourceVersionMatch",
        "string",
        "How the revision is to be understood.",
    ),
    (
        "sendInitialEvents",
        "boolean",
        "Whether a watch begins with the objects that exist.",
    ),
    ("timeoutSeconds", "integer", "When to end the call."),
    ("watch", "boolean", "Whether to watch for changes."),
];
const DELETE: [Parameter; 3] = [
    (
        "gracePeriodSeconds",
        "integer",
        "How long to wait before deleting.",
    ),
    (
        "orphanDependents",
        "boolean",
        "Deprecated: whether dependents stay.",
    ),
    (
        "propagationPolicy",
        "string",
        "What becomes of dependents: Orphan, Background or Foreground.",
    ),
];

/// One thing that can be done.
pub(super) struct Operation {
    /// The HTTP method in lower case.
    pub(super) method: &'static str,
    action: &'static str,
    id_verb: &'static str,
    /// Query parameters.
    pub(super) parameters: Vec<Parameter>,
    /// The media types of the body and the definition it has.
    pub(super) body: Option<(Vec<&'static str>, String)>,
    /// The definition of the answer.
    pub(super) answer: String,
    /// The codes of the answers.
    pub(super) codes: Vec<(&'static str, &'static str)>,
}

/// One path with what can be done there.
pub(super) struct Path {
    /// The path with its placeholders.
    pub(super) template: String,
    /// The parameters in the path itself, with descriptions.
    pub(super) placeholders: Vec<(&'static str, String)>,
    pub(super) operations: Vec<Operation>,
    scope: &'static str,
    suffix: &'static str,
}

/// Every path of a resource.
pub(super) fn paths(resource: &ServedResource<'_>) -> Vec<Path> {
    let root = format!("/{}", resource.group_path());
    let plural = resource.plural;
    let mut paths = Vec::new();
    let mut placeholders = Vec::new();
    let (base, scope) = if resource.namespaced {
        let everywhere = Path {
            template: format!("{root}/{plural}"),
            placeholders: Vec::new(),
            operations: list(resource).into_iter().collect(),
            scope: "",
            suffix: "ForAllNamespaces",
        };
        paths.push(everywhere);
        let described = "object name and auth scope, such as for teams and projects".to_owned();
        placeholders.push(("namespace", described));
        (format!("{root}/namespaces/{{namespace}}/{plural}"), "Namespaced")
    } else {
        (format!("{root}/{plural}"), "")
    };
    paths.push(Path {
        template: base.clone(),
        placeholders: placeholders.clone(),
        operations: collection(resource),
        scope,
        suffix: "",
    });
    placeholders.push(("name", format!("name of the {}", resource.kind)));
    paths.push(Path {
        template: format!("{base}/{{name}}"),
        placeholders: placeholders.clone(),
        operations: object(resource, true),
        scope,
        suffix: "",
    });
    if resource.has_status {
        paths.push(Path {
            template: format!("{base}/{{name}}/status"),
            placeholders,
            operations: object(resource, false),
            scope,
            suffix: "Status",
        });
    }
    paths.retain(|path| !path.operations.is_empty());
    paths
}

fn list(resource: &ServedResource<'_>) -> Option<Operation> {
    resource.can("list").then(|| Operation {
        method: "get",
        action: "list",
        id_verb: "list",
        parameters: [PRETTY].into_iter().chain(LIST).collect(),
        body: None,
        answer: resource.list_definition_name(),
        codes: vec![("200", "OK")],
    })
}

fn collection(resource: &ServedResource<'_>) -> Vec<Operation> {
    let mut operations: Vec<Operation> = list(resource).into_iter().collect();
    if resource.can("create") {
        operations.push(Operation {
            method: "post",
            action: "post",
            id_verb: "create",
            parameters: vec![PRETTY, DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION],
            body: Some((
                vec!["application/json", "application/yaml"],
                resource.definition_name(),
            )),
            answer: resource.definition_name(),
            codes: vec![("200", "OK"), ("201", "Created"), ("202", "Accepted")],
        });
    }
    if resource.can("deletecollection") {
        operations.push(Operation {
            method: "delete",
            action: "deletecollection",
            id_verb: "deleteCollection",
            parameters: [PRETTY, DRY_RUN].into_iter().chain(LIST).chain(DELETE).collect(),
            body: None,
            answer: format!("{META}.Status"),
            codes: vec![("200", "OK")],
        });
    }
    operations
}

fn object(resource: &ServedResource<'_>, can_delete: bool) -> Vec<Operation> {
    let operation = |method, action, id_verb, parameters, body, codes| Operation {
        method,
        action,
        id_verb,
        parameters,
        body,
        answer: resource.definition_name(),
        codes,
    };
    let mut operations = Vec::new();
    if resource.can("get") {
        operations.push(operation(
            "get",
            "get",
            "read",
            vec![PRETTY],
            None,
            vec![("200", "OK")],
        ));
    }
    if resource.can("update") {
        let body = (
            vec!["application/json", "application/yaml"],
            resource.definition_name(),
        );
        let parameters = vec![PRETTY, DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION];
        let codes = vec![("200", "OK"), ("201", "Created")];
        operations.push(operation("put", "put", "replace", parameters, Some(body), codes));
    }
    if resource.can("patch") {
        let strategic = (!resource.is_custom()).then_some(STRATEGIC_PATCH);
        let body = (
            PATCHES.into_iter().chain(strategic).collect(),
            format!("{META}.Patch"),
        );
        let parameters = vec![PRETTY, DRY_RUN, FIELD_MANAGER, FIELD_VALIDATION, FORCE];
        let codes = vec![("200", "OK"), ("201", "Created")];
        operations.push(operation(
            "patch",
            "patch",
            "patch",
            parameters,
            Some(body),
            codes,
        ));
    }
    if can_delete && resource.can("delete") {
        let body = (vec!["application/json"], format!("{META}.DeleteOptions"));
        let parameters = [PRETTY, DRY_RUN].into_iter().chain(DELETE).collect();
        let mut delete = operation(
            "delete",
            "delete",
            "delete",
            parameters,
            Some(body),
            vec![("200", "OK"), ("202", "Accepted")],
        );
        delete.answer = format!("{META}.Status");
        operations.push(delete);
    }
    operations
}

/// What both dialects say about an operation.
pub(super) fn common(
    operation: &Operation,
    path: &Path,
    resource: &ServedResource<'_>,
) -> Map<String, Value> {
    let tag = tag(resource);
    let id = format!(
        "{}{}{}{}{}",
        operation.id_verb,
        camel(&tag),
        path.scope,
        resource.kind,
        path.suffix,
    );
    let mut common = Map::new();
    common.insert("operationId".to_owned(), json!(id));
    common.insert("tags".to_owned(), json!([tag]));
    common.insert("x-kubernetes-action".to_owned(), json!(operation.action));
    common.insert(
        "x-kubernetes-group-version-kind".to_owned(),
        resource.group_version_kind(resource.kind),
    );
    common
}

/// The group version as one word: `core_v1`, `provostDev_v1alpha1`.
fn tag(resource: &ServedResource<'_>) -> String {
    let group = match resource.group {
        "" => "core".to_owned(),
        group => {
            let short = group
                .strip_suffix(".authorization.k8s.io")
                .or_else(|| group.strip_suffix(".k8s.io"));
            let words: Vec<&str> = short.unwrap_or(group).split('.').collect();
            let mut words = words.into_iter();
            let first = words.next().unwrap_or_default().to_owned();
            words.fold(first, |tag, word| tag + &capitalised(word))
        }
    };
    format!("{group}_{}", resource.version)
}

fn camel(tag: &str) -> String {
    tag.split('_').map(capitalised).collect()
}

fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

/// A reference to a definition, in the generator's form.
pub(super) fn reference(definition: &str) -> Value {
    json!({"$ref": format!("{GENERATED_PREFIX}{definition}")})
}
