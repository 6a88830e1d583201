//! `GET` of an object or a collection.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use serde_json::{Value, json};

use super::Target;
use super::listing::{Cursor, Listing, list_metadata, revision};
use crate::kubeapi::api::{Core, parse};
use crate::kubeapi::error::ApiError;
use crate::kubeapi::negotiate::Form;
use crate::kubeapi::object;
use crate::kubeapi::present::Shape;
use crate::kubeapi::registry::Resource;
use crate::kubeapi::request::Query;
use crate::kubeapi::storage::{Facets, Filter, Page, PageRequest, Stored};

/// Objects read from the database at a time for a list without a limit.
const CHUNK: usize = 500;

/// Reads one object.
///
/// # Errors
/// 404 when it is not there, 406 when a list was asked for, 504 when the revision asked for lies in the future.
pub(crate) async fn get(
    core: &Arc<Core>,
    target: &Target,
    form: Form,
    query: &Query,
) -> Result<Bytes, ApiError> {
    if let Form::PartialList(_) = form {
        let kind = go_type(&target.resource, "");
        return Err(ApiError::OtherShape(format!(
            "you requested PartialObjectMetadataList, but the requested object is not a list ({kind})"
        )));
    }
    if let Some(asked) = query.text("resourceVersion") {
        reached(core, revision(asked).map_err(ApiError::Unexplained)?)?;
    }
    let key = target.resource.key(&target.namespace, &target.name);
    let stored = core
        .storage
        .load(key)
        .await?
        .ok_or_else(|| ApiError::NotFound(target.subject()))?;
    if form == Form::Object && target.resource.serves_verbatim(stored.revision) {
        return Ok(stored.body);
    }
    let mut object = parse(&stored)?;
    target.resource.to_served(&mut object);
    Ok(Shape::new(&target.resource, form, query, core.now())?.single(object))
}

/// A kind as kube-apiserver names its type when a shape does not fit: `*core.ConfigMap`, `*unstructured.Unstructured`.
fn go_type(resource: &Resource, list: &str) -> String {
    if resource.built_in.is_none() {
        return format!("*unstructured.Unstructured{list}");
    }
    format!("*{}.{}{list}", resource.internal_package(), resource.kind)
}

/// Refuses a revision that was never handed out.
fn reached(core: &Core, asked: i64) -> Result<(), ApiError> {
    let head = core.storage.head();
    if asked > head {
        return Err(ApiError::TooLargeRevision { asked, head });
    }
    Ok(())
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
    let at = match &listing.cursor {
        Some(cursor) => Some(cursor.revision()),
        None => listing.revision.filter(|_| listing.exact),
    };
    match at {
        Some(at) => core
            .storage
            .page_at(request, at)
            .await?
            .ok_or_else(|| expired(listing)),
        None => Ok(core.storage.page(request).await?),
    }
}

/// Lists a collection.
///
/// # Errors
/// 410 when the revision asked for, be it by a `continue` token, is older than the change log, 504 when it lies in the
/// future, 406 when one object was asked for.
pub(crate) async fn list(
    core: &Arc<Core>,
    target: &Target,
    listing: Listing,
    form: Form,
    query: &Query,
) -> Result<Body, ApiError> {
    if let Form::Partial(_) = form {
        let kind = go_type(&target.resource, "List");
        return Err(ApiError::OtherShape(format!(
            "you requested PartialObjectMetadata, but the requested object is a list ({kind})"
        )));
    }
    reached(core, listing.revision.unwrap_or(0))?;
    let after = listing
        .cursor
        .as_ref()
        .map(|cursor| cursor.position(&target.namespace, target.resource.namespaced));
    let first = pages(core, target, &listing, after).await?;
    let revision = first.revision;
    // Whatever follows is read as it was when the first page was.
    let listing = Listing {
        revision: Some(revision),
        exact: true,
        ..listing
    };
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
    let mut metadata = list_metadata(&target.resource, revision);
    if let Some(last) = next {
        let cursor = Cursor::after(revision, &last, target.namespace.is_empty());
        object::put(&mut metadata, "continue", json!(cursor.token()));
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

fn expired(listing: &Listing) -> ApiError {
    let why = match listing.cursor {
        Some(_) => {
            "The provided continue parameter is too old to display a consistent list result. You can start a new list \
             without the continue parameter."
        }
        None => "The resourceVersion for the provided list is too old.",
    };
    ApiError::Expired(why.to_owned())
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
        if resource.serves_verbatim(row.revision) && resource.built_in.is_none() {
            body.extend_from_slice(&row.body);
        } else {
            let mut object = parse(row)?;
            resource.to_served(&mut object);
            // Items of the built-in kinds are what the list says they are.
            if let (Some(_), Some(fields)) = (resource.built_in, object.as_object_mut()) {
                fields.remove("kind");
                fields.remove("apiVersion");
            }
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
    let metadata = list_metadata(&target.resource, revision);
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
