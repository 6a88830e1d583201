//! `GET` of an object or a collection.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Target;
use crate::api::selector::{FieldSelector, LabelSelector};
use crate::kubeapi::api::{Core, parse};
use crate::kubeapi::error::ApiError;
use crate::kubeapi::object;
use crate::kubeapi::present::Shape;
use crate::kubeapi::registry::Resource;
use crate::kubeapi::request::{Form, Query};
use crate::kubeapi::storage::{Facets, Filter, Page, PageRequest, Stored};

/// Objects read from the database at a time for a list without a limit.
const CHUNK: usize = 500;

/// Which objects of a collection, and in which pieces.
#[derive(Clone, Default)]
pub(crate) struct Listing {
    /// By labels.
    pub labels: LabelSelector,
    /// By fields.
    pub fields: FieldSelector,
    /// At most so many; 0 is no limit.
    pub limit: usize,
    /// Where an earlier page ended.
    pub cursor: Option<Cursor>,
    /// The revision asked for.
    pub revision: Option<i64>,
    /// The revision must be exactly that one.
    pub exact: bool,
}

/// A `continue` token: where the next page starts, and the revision of the first page. Pages are read from the present,
/// and name the first page's revision: a watch from there replays whatever changed between the pages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cursor {
    rv: i64,
    ns: String,
    name: String,
}

impl Listing {
    /// Reads the options of a list.
    ///
    /// # Errors
    /// A selector or token that cannot be read, or a field that cannot be selected by.
    pub(crate) fn parse(query: &Query, resource: &Resource) -> Result<Self, ApiError> {
        let bad = |error: &dyn std::fmt::Display| ApiError::BadRequest(error.to_string());
        let labels =
            LabelSelector::parse(query.text("labelSelector").unwrap_or("")).map_err(|error| bad(&error))?;
        let fields =
            FieldSelector::parse(query.text("fieldSelector").unwrap_or("")).map_err(|error| bad(&error))?;
        let selectable = resource.field_labels();
        let selectable: Vec<&str> = selectable.iter().map(String::as_str).collect();
        fields.check_supported(&selectable).map_err(|error| bad(&error))?;
        let limit = query.number("limit")?.unwrap_or(0);
        let cursor = query.text("continue").map(Cursor::parse).transpose()?;
        let revision = query.number("resourceVersion").map_err(|_| {
            let value = query.text("resourceVersion").unwrap_or("");
            ApiError::BadRequest(format!(
                "Invalid resource version {value:?}: strconv.ParseUint: invalid syntax"
            ))
        })?;
        let exact = match query.text("resourceVersionMatch") {
            None | Some("NotOlderThan") => false,
            Some("Exact") => true,
            Some(other) => {
                return Err(ApiError::BadRequest(format!(
                    "invalid resourceVersionMatch {other:?}"
                )));
            }
        };
        Ok(Self {
            labels,
            fields,
            limit: usize::try_from(limit).unwrap_or(0),
            cursor,
            revision,
            exact,
        })
    }

    /// Whether everything is chosen.
    #[must_use]
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// Whether an object is chosen.
    #[must_use]
    pub(crate) fn matches(&self, resource: &Resource, namespace: &str, name: &str, facets: &Facets) -> bool {
        self.labels.matches(&facets.labels)
            && self.fields.matches(|label| match label {
                "metadata.name" => Some(Cow::Borrowed(name)),
                "metadata.namespace" => Some(Cow::Borrowed(namespace)),
                label => facets
                    .fields
                    .get(resource.stored_label(label).as_ref())
                    .map(Into::into),
            })
    }
}

impl Cursor {
    fn parse(token: &str) -> Result<Self, ApiError> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok();
        let cursor = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        cursor.ok_or_else(|| ApiError::BadRequest("continue key is not valid".to_owned()))
    }

    fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }
}

/// Reads one object.
///
/// # Errors
/// 404 when it is not there.
pub(crate) async fn get(
    core: &Arc<Core>,
    target: &Target,
    form: Form,
    query: &Query,
) -> Result<Bytes, ApiError> {
    let key = target.resource.key(&target.namespace, &target.name);
    let stored = core
        .storage
        .load(key)
        .await?
        .ok_or_else(|| ApiError::NotFound(target.subject()))?;
    if form == Form::Object && target.resource.serves_as_stored() {
        return Ok(stored.body);
    }
    let mut object = parse(&stored)?;
    target.resource.to_served(&mut object);
    Ok(Shape::new(&target.resource, form, query, core.now())?.single(object))
}

fn served(resource: &Resource, rows: &[Stored]) -> Result<Vec<Value>, ApiError> {
    rows.iter()
        .map(|row| {
            let mut object = parse(row)?;
            resource.to_served(&mut object);
            Ok(object)
        })
        .collect()
}

/// One page of a collection, as it is stored.
pub(super) async fn pages(
    core: &Core,
    target: &Target,
    listing: &Listing,
    after: Option<(String, String)>,
) -> Result<Page, ApiError> {
    let filter: Option<Filter> = (!listing.is_everything()).then(|| {
        let (listing, resource) = (listing.clone(), Arc::clone(&target.resource));
        let matches = move |namespace: &str, name: &str, facets: &Facets| {
            listing.matches(&resource, namespace, name, facets)
        };
        Arc::new(matches) as Filter
    });
    let request = PageRequest {
        resource: Arc::clone(&target.resource.storage),
        namespace: (!target.namespace.is_empty()).then(|| target.namespace.clone()),
        after,
        limit: if listing.limit == 0 { CHUNK } else { listing.limit },
        filter,
    };
    Ok(core.storage.page(request).await?)
}

/// Lists a collection.
///
/// # Errors
/// 410 when the `continue` token is older than the change log, 504 when the revision asked for lies in the future.
pub(crate) async fn list(
    core: &Arc<Core>,
    target: &Target,
    listing: Listing,
    form: Form,
    query: &Query,
) -> Result<Body, ApiError> {
    let head = core.storage.head();
    if let Some(asked) = listing.revision.filter(|asked| *asked > head) {
        return Err(ApiError::TooLargeRevision { asked, head });
    }
    if listing.exact && listing.revision != Some(head) {
        return Err(expired());
    }
    if let Some(cursor) = &listing.cursor
        && cursor.rv < core.storage.compacted().await?
    {
        return Err(expired());
    }
    let after = listing
        .cursor
        .as_ref()
        .map(|cursor| (cursor.ns.clone(), cursor.name.clone()));
    let first = pages(core, target, &listing, after).await?;
    let revision = listing.cursor.as_ref().map_or(first.revision, |cursor| cursor.rv);
    if form == Form::Object && listing.limit == 0 && first.next.is_some() {
        return Ok(stream(core, target, listing, first, revision));
    }
    let mut rows = first.rows;
    let mut next = first.next;
    while listing.limit == 0
        && let Some(after) = next.take()
    {
        let page = pages(core, target, &listing, Some(after)).await?;
        rows.extend(page.rows);
        next = page.next;
    }
    let mut metadata = json!({ "resourceVersion": revision.to_string() });
    if let Some((ns, name)) = next {
        object::put(
            &mut metadata,
            "continue",
            json!(
                Cursor {
                    rv: revision,
                    ns,
                    name
                }
                .token()
            ),
        );
        if let Some(remaining) = first.remaining {
            object::put(&mut metadata, "remainingItemCount", json!(remaining));
        }
    }
    if form == Form::Object {
        let mut body = opening(&target.resource, &metadata);
        append(&target.resource, &rows, true, &mut body)?;
        body.extend_from_slice(b"]}\n");
        return Ok(body.into());
    }
    let objects = served(&target.resource, &rows)?;
    let shape = Shape::new(&target.resource, form, query, core.now())?;
    Ok(shape.list(&objects, &metadata).into())
}

fn expired() -> ApiError {
    ApiError::Expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter."
            .to_owned(),
    )
}

fn opening(resource: &Resource, metadata: &Value) -> Vec<u8> {
    let (kind, version) = (json!(resource.list_kind), json!(resource.api_version()));
    format!("{{\"kind\":{kind},\"apiVersion\":{version},\"metadata\":{metadata},\"items\":[").into_bytes()
}

/// Adds rows to the items of a list.
fn append(resource: &Resource, rows: &[Stored], first: bool, body: &mut Vec<u8>) -> Result<(), ApiError> {
    let mut separate = !first;
    for row in rows {
        if separate {
            body.push(b',');
        }
        separate = true;
        if resource.serves_as_stored() {
            body.extend_from_slice(&row.body);
        } else {
            let mut object = parse(row)?;
            resource.to_served(&mut object);
            body.extend_from_slice(object.to_string().as_bytes());
        }
    }
    Ok(())
}

/// A long list, a page at a time, so that it is never whole in memory.
fn stream(core: &Arc<Core>, target: &Target, listing: Listing, first: Page, revision: i64) -> Body {
    enum Step {
        Rows(Page, bool),
        Load((String, String)),
        Done,
    }
    let metadata = json!({ "resourceVersion": revision.to_string() });
    let start = opening(&target.resource, &metadata);
    let state = (
        Arc::clone(core),
        target.clone(),
        listing,
        Step::Rows(first, true),
        start,
    );
    let chunks =
        futures::stream::try_unfold(state, async move |(core, target, listing, step, mut buffer)| {
            let (page, first) = match step {
                Step::Done => return Ok::<_, ApiError>(None),
                Step::Rows(page, first) => (page, first),
                Step::Load(after) => (pages(&core, &target, &listing, Some(after)).await?, false),
            };
            append(&target.resource, &page.rows, first, &mut buffer)?;
            let next = if let Some(after) = page.next {
                Step::Load(after)
            } else {
                buffer.extend_from_slice(b"]}\n");
                Step::Done
            };
            Ok(Some((
                Bytes::from(buffer),
                (core, target, listing, next, Vec::new()),
            )))
        });
    Body::from_stream(chunks)
}
