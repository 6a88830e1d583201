//! The axum router: reads a request, calls a verb, writes the answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;
use tracing::Instrument as _;

use super::api::Core;
use super::error::{ApiError, UNCACHED};
use super::negotiate::{Encoding, Form, Streamed};
use super::object;
use super::present::Shape;
use super::registry::{BuiltIn, Resource};
use super::request::{MAX_BODY, PatchFormat, Path, Query, WriteOptions, read_body, read_object};
use super::verbs::{self, Answer, DeleteOptions, Deleted, Listing, Part, Target, Written};
use super::{access, discovery, documents, health};
use crate::api::schema::go_quote;
use crate::body;

/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_mins(1);

/// The API. Who calls is said by a [`access::Caller`] in a request's extensions; without one it is refused.
pub(super) fn router(core: Arc<Core>) -> Router {
    let panicked = |_: Box<dyn std::any::Any + Send>| {
        ApiError::Internal("the request could not be handled; this is a fault of the server".to_owned())
            .into_response()
    };
    Router::new()
        .fallback(handle)
        .with_state(core)
        .layer(CompressionLayer::new().gzip(true).compress_when(Long))
        .layer(CatchPanicLayer::custom(panicked))
}

/// Bodies from here on are compressed for who accepts it.
const COMPRESSED_FROM: u64 = 128 * 1024;

/// Chooses the long answers; of a stream, such as a watch, nobody knows the length.
#[derive(Debug, Clone, Copy)]
struct Long;

impl Predicate for Long {
    fn should_compress<B: HttpBody>(&self, response: &http::Response<B>) -> bool {
        response
            .body()
            .size_hint()
            .exact()
            .is_some_and(|length| length > COMPRESSED_FROM)
    }
}

async fn handle(State(core): State<Arc<Core>>, request: Request) -> Response {
    let id = core.entropy.uuid().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span =
        tracing::debug_span!("kubeapi.request", request.id = id, http.method = %method, http.path = path);
    let encoding =
        Query::parse(request.uri()).map_or(Encoding::Json, |query| Encoding::of(request.headers(), &query));
    let answer = async {
        let response = answer(&core, request).await.unwrap_or_else(|error| {
            tracing::debug!(error = %error, "refused");
            error.into_response()
        });
        tracing::debug!(http.status = response.status().as_u16(), "answered");
        encoding.write(response).await
    };
    let mut response = answer.instrument(span).await;
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert("audit-id", id);
    }
    response
}

async fn answer(core: &Arc<Core>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let query = Query::parse(&parts.uri);
    let user = access::admit(core, &mut parts, query.as_ref().ok()).await?;
    let query = query?;
    if let Some(response) = health::answer(core, parts.uri.path(), &query).await? {
        return Ok(response);
    }
    if let Some(response) = discovery::answer(core, &parts.method, parts.uri.path(), &parts.headers)? {
        return Ok(response);
    }
    if let Some(response) = documents::answer(core, parts.uri.path(), &parts.headers).await? {
        return Ok(response);
    }
    let path = Path::parse(parts.uri.path()).ok_or(ApiError::NoSuchPage)?;
    let watched = path.watch;
    let served = core.registry.served();
    let nothing = nothing_in(&path.group);
    let resource = served.find(&path.group, &path.version, &path.plural).cloned();
    let target = resource
        .and_then(|resource| target(resource, path))
        .ok_or(nothing)?;
    let target = target?;
    let reads = match parts.method {
        Method::GET => true,
        Method::HEAD if target.resource.built_in.is_some() => return Err(ApiError::MethodNotAllowed),
        ref method => *method == Method::HEAD,
    };
    if watched && parts.method != Method::GET {
        return Err(ApiError::MethodNotAllowed);
    }
    // A path of one object is read, whatever its query says, unless it is the old path of a watch.
    let watch = watched || (target.name.is_empty() && query.flag("watch"));
    let input = Input {
        core,
        user,
        watch,
        target,
        query,
        headers: parts.headers,
    };
    if reads {
        return input.read().await;
    }
    let body = tokio::time::timeout(BODY_TIME, core.bodies.read(&input.headers, body, MAX_BODY)).await;
    let body = body
        .map_err(|_| ApiError::BadRequest("the body took too long to come".to_owned()))?
        .map_err(|error| match error {
            body::Error::TooLarge { limit } => ApiError::TooLarge(limit),
            body::Error::BrokenOff => ApiError::BadRequest(error.to_string()),
        })?;
    // It takes its room until it is done with.
    input.write(&parts.method, body.bytes.clone()).await
}

/// What is said of a path with nothing behind it: the groups of Kubernetes answer for all of their paths, other groups for
/// what they serve.
pub(super) fn nothing_in(group: &str) -> ApiError {
    if BuiltIn::has_group(group) {
        ApiError::NoSuchResource
    } else {
        ApiError::NoSuchPage
    }
}

/// What a path is about, `None` where the resource has no such path.
fn target(resource: Arc<Resource>, path: Path) -> Option<Result<Target, ApiError>> {
    if path.namespace.is_some() != resource.namespaced && (path.namespace.is_some() || path.name.is_some()) {
        return None;
    }
    let (namespace, name) = (path.namespace.unwrap_or_default(), path.name.unwrap_or_default());
    let part = match path.subresource.as_deref() {
        None => Part::Main,
        Some("status") if resource.status => Part::Status,
        Some("scale") if resource.scale.is_some() => Part::Scale,
        Some("token") if resource.built_in == Some(BuiltIn::ServiceAccount) => Part::Token,
        // The namespace controller's own endpoint; here namespaces are emptied by the server.
        Some("finalize") if resource.built_in == Some(BuiltIn::Namespace) => Part::Main,
        Some(_) if resource.built_in.is_some() => return None,
        Some(_) => return Some(Err(ApiError::NotFound(verbs::subject(&resource, &name)))),
    };
    if let Some(problem) = segment_problem(&name) {
        let quoted = go_quote(&name);
        return Some(Err(ApiError::BadRequest(format!(
            "Name parameter invalid: {quoted}: {problem}"
        ))));
    }
    Some(Ok(Target {
        resource,
        namespace,
        name,
        part,
    }))
}

/// Why a name can never be that of an object.
fn segment_problem(name: &str) -> Option<&'static str> {
    match name {
        "." => Some("may not be '.'"),
        ".." => Some("may not be '..'"),
        _ if name.contains('/') => Some("may not contain '/'"),
        _ if name.contains('%') => Some("may not contain '%'"),
        _ => None,
    }
}

/// A request that has been read up to its body.
struct Input<'a> {
    core: &'a Arc<Core>,
    /// On whose behalf.
    user: Arc<access::User>,
    target: Target,
    /// It asks for events.
    watch: bool,
    query: Query,
    headers: HeaderMap,
}

impl Input<'_> {
    async fn read(&self) -> Result<Response, ApiError> {
        let (core, target, query) = (self.core, &self.target, &self.query);
        if !target.resource.is_stored() || target.part == Part::Token {
            return Err(ApiError::MethodNotAllowed);
        }
        let form = if self.watch {
            Form::negotiate_watch(&self.headers, &target.resource)?
        } else {
            Form::negotiate(&self.headers, &target.resource)?
        };
        if target.part == Part::Scale {
            let found = core
                .load(&target.resource, &target.namespace, &target.name)
                .await?;
            let (object, _) = found.ok_or_else(|| ApiError::NotFound(target.subject()))?;
            return Ok(respond(
                StatusCode::OK,
                verbs::scale(&target.resource, &object)?.to_string().into(),
            ));
        }
        if !target.name.is_empty() && !self.watch {
            return Ok(respond(
                StatusCode::OK,
                verbs::get(core, target, form, query).await?.into(),
            ));
        }
        let listing = Listing::parse(query, &target.resource, self.watch)?;
        if self.watch {
            let events = verbs::watch(core, target, listing, form, query).await?;
            let mut response = respond(StatusCode::OK, events);
            response.extensions_mut().insert(Streamed);
            return Ok(response);
        }
        Ok(respond(
            StatusCode::OK,
            verbs::list(core, target, listing, form, query).await?,
        ))
    }

    async fn write(&self, method: &Method, body: Bytes) -> Result<Response, ApiError> {
        let (core, target) = (self.core, &self.target);
        if target.resource.built_in.is_some_and(BuiltIn::is_always_empty) {
            return Err(ApiError::MethodNotAllowed);
        }
        let format = match *method {
            Method::PATCH => Some(PatchFormat::of(&self.headers, &target.resource)?),
            _ => None,
        };
        let options = WriteOptions {
            author: Some(Arc::clone(&self.user)),
            ..WriteOptions::parse(&self.query, &self.headers, method, format)?
        };
        let written = match *method {
            Method::POST if target.part == Part::Token => {
                access::issue_token(core, target, read_body(&self.headers, &body)?).await?
            }
            _ if target.part == Part::Token => return Err(ApiError::MethodNotAllowed),
            Method::POST if target.name.is_empty() => {
                if target.resource.namespaced && target.namespace.is_empty() {
                    return Err(if target.resource.built_in.is_some() {
                        ApiError::MethodNotAllowed
                    } else {
                        ApiError::NoSuchPage
                    });
                }
                let object = read_object(&self.headers, &body, &target.resource)?;
                if target.resource.is_stored() {
                    verbs::create(core, target, object, &options).await?
                } else {
                    access::review(core, target, &self.user, object).await?
                }
            }
            Method::PUT if !target.name.is_empty() => {
                let object = read_object(&self.headers, &body, &target.resource)?;
                if target.part == Part::Scale {
                    verbs::replace_scale(core, target, &object, &options).await?
                } else {
                    verbs::replace(core, target, object, &options).await?
                }
            }
            Method::PATCH if !target.name.is_empty() && format.is_some() => {
                let format = format.unwrap_or(PatchFormat::Merge);
                let patch = read_body(&self.headers, &body)?;
                if target.part == Part::Scale {
                    verbs::patch_scale(core, target, format, &patch, &options).await?
                } else {
                    verbs::patch(core, target, format, patch, &options).await?
                }
            }
            Method::DELETE if target.resource.is_stored() && target.part == Part::Main => {
                let response = self.delete(body).await?;
                access::follow_up(core, target, None).await;
                return Ok(response);
            }
            _ => return Err(self.refused(method)),
        };
        if !options.dry_run {
            access::follow_up(core, target, Some(&written)).await;
        }
        self.written(written)
    }

    /// Why a method is not for this path.
    fn refused(&self, method: &Method) -> ApiError {
        let target = &self.target;
        if target.resource.built_in.is_some() {
            return ApiError::MethodNotAllowed;
        }
        let verb = match *method {
            Method::POST | Method::PUT | Method::PATCH | Method::DELETE if target.name.is_empty() => {
                return ApiError::BadRequest("name must be provided".to_owned());
            }
            Method::POST => "create",
            Method::DELETE => "delete",
            Method::PUT | Method::PATCH => return ApiError::MethodNotAllowed,
            _ => "",
        };
        let subject = verbs::subject(&target.resource, "");
        ApiError::UnsupportedVerb { verb, subject }
    }

    async fn delete(&self, body: Bytes) -> Result<Response, ApiError> {
        let (core, target) = (self.core, &self.target);
        let body = if body.is_empty() {
            json!({})
        } else {
            read_body(&self.headers, &body)?
        };
        let options = DeleteOptions::parse(&self.query, &body)?;
        if target.name.is_empty() {
            let everywhere = target.resource.namespaced && target.namespace.is_empty();
            if everywhere || !target.resource.verbs().contains(&"deletecollection") {
                return Err(ApiError::MethodNotAllowed);
            }
            let listing = Listing::parse(&self.query, &target.resource, false)?;
            return self.written(verbs::delete_collection(core, target, &listing, &options).await?);
        }
        match verbs::delete(core, target, &options).await? {
            Deleted::Gone(object) => {
                let object = object.into_value()?;
                let mut details = json!({
                    "name": target.name, "kind": target.resource.plural, "uid": object::text(&object, "uid"),
                });
                if !target.resource.group.is_empty() {
                    object::put(&mut details, "group", json!(target.resource.group));
                }
                let status = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
                });
                Ok(respond(StatusCode::OK, status.to_string().into()))
            }
            Deleted::Waiting(object) => self.written(Written {
                code: StatusCode::OK,
                object,
                warnings: Vec::new(),
            }),
        }
    }

    /// The answer to a write, in the shape asked for, with its warnings.
    fn written(&self, written: Written) -> Result<Response, ApiError> {
        let form = Form::negotiate(&self.headers, &self.target.resource)?;
        let body: Body = match (form, written.object) {
            (Form::Object, Answer::Bytes(bytes)) => bytes.into(),
            (Form::Object, Answer::Value(value)) => value.to_string().into(),
            (_, object) => {
                let shape = Shape::new(&self.target.resource, form, &self.query, self.core.now())?;
                shape.single(object.into_value()?).into()
            }
        };
        let mut response = respond(written.code, body);
        for warning in &written.warnings {
            let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::try_from(format!("299 - \"{quoted}\"")) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        Ok(response)
    }
}

fn respond(code: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(UNCACHED));
    response
}

/// A JSON answer that depends on nothing stored.
pub(super) fn json_response(body: &Value, content_type: &'static str) -> Response {
    let mut response = respond(StatusCode::OK, body.to_string().into());
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
