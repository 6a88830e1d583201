//! The two operations: apply a configuration, record a change.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::compare::{Comparison, compare, field_set};
use super::error::{ApplyConflict, ApplyError};
use super::managers::{Entry, ManagerId, Managers, Operation, time};
use super::merge::{merge, remove, with_named_parents};
use super::set::FieldSet;
use super::types::{Shape, TypeInfo};

/// The annotation in which client-side apply keeps what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The manager's name with which `kubectl apply --server-side` works, whatever applied before it.
const KUBECTL: &str = "kubectl";

/// Who is said to own the fields of an object that had no record when it was first applied.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Paths of an object that nobody owns: they name the object or are the server's own.
const UNOWNED: [&[&str]; 12] = [
    &["apiVersion"],
    &["kind"],
    &["metadata"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];

/// Which fields an endpoint resets, so that nobody can come to own them through it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetFields {
    /// None: the kind has no status subresource.
    #[default]
    Nothing,
    /// The main endpoint of a kind with a status subresource: `status`.
    Status,
    /// The endpoint of the status subresource: everything but `status`.
    AllButStatus,
}

impl ResetFields {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Nothing => &[],
            Self::Status => &["status"],
            Self::AllButStatus => &["metadata", "spec"],
        }
    }
}

/// A configuration to be applied.
#[derive(Clone, Copy, Debug)]
pub struct ApplyRequest<'a> {
    /// The object as it is stored; none when it does not exist.
    pub live: Option<&'a Value>,
    /// What the manager wants, with `apiVersion` and `kind`.
    pub config: &'a Value,
    /// How objects of the kind are merged.
    pub types: TypeInfo<'a>,
    /// The field manager.
    pub manager: &'a str,
    /// The version of the endpoint, such as `provost.dev/v1alpha1`.
    pub api_version: &'a str,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// What the endpoint resets.
    pub reset: ResetFields,
    /// Whether to take fields from other managers.
    pub force: bool,
    /// The time to record.
    pub now: Timestamp,
}

/// A change by create, replace or patch to be recorded.
#[derive(Clone, Copy, Debug)]
pub struct TrackRequest<'a> {
    /// The object as it was stored; none when it is created.
    pub before: Option<&'a Value>,
    /// What every object of the kind has, set or not: nobody comes to own it by creating one.
    pub always: Option<&'a Value>,
    /// The object as it is to be stored: after defaults, pruning and the strategy of the endpoint.
    pub after: &'a Value,
    /// How objects of the kind are merged.
    pub types: TypeInfo<'a>,
    /// The field manager.
    pub manager: &'a str,
    /// The version of the endpoint, such as `provost.dev/v1alpha1`.
    pub api_version: &'a str,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// What the endpoint resets.
    pub reset: ResetFields,
    /// The time to record, if any.
    pub now: Option<Timestamp>,
}

/// Applies a configuration: the object to store, with its `managedFields`. Where nothing changes it equals `live`.
///
/// # Errors
/// [`ApplyError::Conflict`] when others own fields with other values and the request does not force;
/// [`ApplyError::BadRequest`] and [`ApplyError::Malformed`] for a configuration that cannot be applied.
pub fn apply(request: &ApplyRequest<'_>) -> Result<Value, ApplyError> {
    let ApplyRequest {
        config, api_version, ..
    } = *request;
    if config.get("apiVersion").and_then(Value::as_str) != Some(api_version) {
        let found = config
            .get("apiVersion")
            .and_then(Value::as_str)
            .unwrap_or_default();
        return Err(ApplyError::BadRequest(format!(
            "Incorrect version specified in apply patch. Specified patch version: {found}, expected: {api_version}"
        )));
    }
    if config
        .pointer("/metadata/managedFields")
        .is_some_and(|fields| !fields.is_null())
    {
        return Err(ApplyError::BadRequest(
            "metadata.managedFields must be nil".to_owned(),
        ));
    }
    let empty = empty_object(config);
    let live = request.live.unwrap_or(&empty);
    let mut managers = Managers::of(live).ok_or_else(|| {
        ApplyError::BadRequest("failed to decode managed fields of the live object".to_owned())
    })?;
    if managers.entries.is_empty() && request.live.is_some() {
        let before = ManagerId::new(
            Operation::Update,
            BEFORE_FIRST_APPLY,
            api_version,
            request.subresource,
        );
        let shape = request.types.root();
        record(
            &mut managers,
            before,
            &empty,
            live,
            shape,
            request.reset,
            api_version,
            Some(request.now),
        );
    }
    let applied = match Applying::new(request, live).run(managers.clone(), request.force) {
        Err(ApplyError::Conflict(conflicts)) if request.manager == KUBECTL => {
            let conflicts = without_last_applied(conflicts, live, request.types.root(), api_version);
            if !conflicts.is_empty() {
                return Err(ApplyError::Conflict(conflicts));
            }
            Applying::new(request, live).run(managers, true)?
        }
        other => other?,
    };
    Ok(update_last_applied(applied, request))
}

/// Records a change: the object to store, with its `managedFields`. Where the change is none, the record stays as it was
/// to the letter.
#[must_use]
pub fn track(request: &TrackRequest<'_>) -> Value {
    let TrackRequest {
        before,
        after,
        api_version,
        subresource,
        ..
    } = *request;
    let mut stored = after.clone();
    let empty = empty_object(after);
    let given = if subresource.is_empty() {
        after
    } else {
        before.unwrap_or(&empty)
    };
    let reset = subresource.is_empty() && is_reset(after);
    let from_request = Managers::of(given).filter(|managers| !managers.entries.is_empty());
    let mut managers = match from_request {
        Some(managers) => managers,
        None if reset => Managers::default(),
        None => before.and_then(Managers::of).unwrap_or_default(),
    };
    // An object whose record was emptied stays without one until somebody applies it.
    if before.is_none() || !managers.entries.is_empty() {
        let id = ManagerId::new(Operation::Update, request.manager, api_version, subresource);
        let before = without_record(before.or(request.always).unwrap_or(&empty));
        let after = without_record(after);
        let shape = request.types.root();
        record(
            &mut managers,
            id,
            &before,
            &after,
            shape,
            request.reset,
            api_version,
            request.now,
        );
        managers.cap_updates();
    }
    managers.write(&mut stored);
    stored
}

/// Adds to `id` what changed, and takes it from everyone else.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one request, from two kinds of requests"
)]
fn record(
    managers: &mut Managers,
    id: ManagerId,
    before: &Value,
    after: &Value,
    shape: Shape<'_>,
    reset: ResetFields,
    api_version: &str,
    now: Option<Timestamp>,
) {
    let mut comparison = compare(before, after, shape);
    comparison.ignore(reset.names());
    let Comparison { removed, .. } = &comparison;
    let mut changed = comparison.changed();
    managers.disown(removed, None);
    for path in UNOWNED {
        changed.disown(path);
    }
    if changed.is_empty() {
        return;
    }
    managers.disown(&changed, Some(&id));
    let previous = managers.entries.get(&id).map(|entry| &entry.fields);
    let fields = previous.map_or_else(|| changed.clone(), |previous| previous.union(&changed));
    let entry = Entry {
        fields,
        api_version: api_version.to_owned(),
        time: now.map(time),
    };
    managers.entries.insert(id, entry);
}

/// One configuration on its way into one object.
struct Applying<'a> {
    request: &'a ApplyRequest<'a>,
    live: Value,
    shape: Shape<'a>,
    id: ManagerId,
}

impl<'a> Applying<'a> {
    fn new(request: &'a ApplyRequest<'a>, live: &Value) -> Self {
        let id = ManagerId::new(
            Operation::Apply,
            request.manager,
            request.api_version,
            request.subresource,
        );
        Self {
            request,
            live: without_record(live),
            shape: request.types.root(),
            id,
        }
    }

    fn run(&self, mut managers: Managers, force: bool) -> Result<Value, ApplyError> {
        let request = self.request;
        let merged = merge(&self.live, request.config, self.shape)?;
        let last = managers.entries.get(&self.id).cloned();
        let mut fields = field_set(request.config, self.shape);
        for name in request.reset.names() {
            fields.remove_field(name);
        }
        let last_time = last.as_ref().and_then(|last| last.time.clone());
        let owned = Entry {
            fields,
            api_version: request.api_version.to_owned(),
            time: last_time,
        };
        managers.entries.insert(self.id.clone(), owned);
        let new = match &last {
            Some(last) => self.without_abandoned(&merged, &managers, &last.fields),
            None => merged,
        };
        let mut comparison = compare(&self.live, &new, self.shape);
        comparison.ignore(request.reset.names());
        let changed = comparison.changed();
        if !force {
            let conflicts = self.conflicts(&managers, &changed);
            if !conflicts.is_empty() {
                return Err(ApplyError::Conflict(conflicts));
            }
        }
        managers.disown(&changed, Some(&self.id));
        managers.disown(&comparison.removed, Some(&self.id));
        if let Some(entry) = managers.entries.get_mut(&self.id) {
            for path in UNOWNED {
                entry.fields.disown(path);
            }
            // Who comes to own what is there already owns it without a time, as with Kubernetes.
            if new != self.live {
                entry.time = Some(time(request.now));
            }
        }
        managers.entries.retain(|_, entry| !entry.fields.is_empty());
        let mut stored = new;
        managers.write(&mut stored);
        Ok(stored)
    }

    /// Takes out what this manager applied last time, no longer applies, and nobody else owns.
    fn without_abandoned(&self, merged: &Value, managers: &Managers, last: &FieldSet) -> Value {
        let named = |set: &FieldSet, value: &Value| with_named_parents(set, value, self.shape);
        let merged_set = named(&field_set(merged, self.shape), merged);
        let last = named(last, merged);
        let bare = remove(merged, &last, self.shape);
        let bare_set = named(&field_set(&bare, self.shape), &bare);
        let owned = named(&managers.all_fields(), merged);
        let unowned = merged_set.difference(&bare_set.union(&owned));
        let abandoned = unowned.intersection(&last);
        remove(merged, &abandoned, self.shape)
    }

    fn conflicts(&self, managers: &Managers, changed: &FieldSet) -> Vec<ApplyConflict> {
        let mut conflicts = Vec::new();
        for (id, entry) in managers.entries.iter().filter(|(id, _)| **id != self.id) {
            let manager = id.describe();
            for field in entry.fields.intersection(changed).paths() {
                let message = format!("conflict with {manager}");
                conflicts.push(ApplyConflict {
                    field,
                    message,
                    manager: manager.clone(),
                });
            }
        }
        conflicts
    }
}

/// An object of the same kind with nothing in it.
fn empty_object(object: &Value) -> Value {
    let mut empty = Map::new();
    for name in ["apiVersion", "kind"] {
        if let Some(value) = object.get(name) {
            empty.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(empty)
}

fn without_record(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// Whether a request empties the record: `managedFields: []` or `managedFields: [{}]`.
fn is_reset(object: &Value) -> bool {
    let fields = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    fields.is_some_and(|entries| match entries.as_slice() {
        [] => true,
        [only] => only.as_object().is_some_and(Map::is_empty),
        _ => false,
    })
}

/// Leaves out conflicts about fields that client-side apply put there and nobody changed since: kubectl takes over from
/// itself.
fn without_last_applied(
    conflicts: Vec<ApplyConflict>,
    live: &Value,
    shape: Shape<'_>,
    api_version: &str,
) -> Vec<ApplyConflict> {
    let Some(last) = last_applied(live).and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
        return conflicts;
    };
    if last.get("apiVersion").and_then(Value::as_str) != Some(api_version) {
        return conflicts;
    }
    let comparison = compare(&last, live, shape);
    let unchanged = field_set(&last, shape)
        .difference(&comparison.changed())
        .difference(&comparison.removed)
        .paths();
    conflicts
        .into_iter()
        .filter(|conflict| !unchanged.contains(&conflict.field))
        .collect()
}

fn last_applied(object: &Value) -> Option<&str> {
    let annotations = object.get("metadata")?.get("annotations")?;
    annotations
        .get(LAST_APPLIED)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// Keeps the annotation of client-side apply in step, where kubectl applies an object that has one.
fn update_last_applied(mut stored: Value, request: &ApplyRequest<'_>) -> Value {
    if request.manager != KUBECTL || last_applied(&stored).is_none() {
        return stored;
    }
    let mut config = request.config.clone();
    if let Some(annotations) = config
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove(LAST_APPLIED);
    }
    if let Some(annotations) = stored
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.insert(LAST_APPLIED.to_owned(), json!(format!("{config}\n")));
    }
    stored
}
