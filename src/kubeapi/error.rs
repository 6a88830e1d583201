//! Errors of the API: each becomes a `metav1.Status` with the code, reason, message and details that clients act on.
//!
//! The texts follow the Kubernetes API server, because people search for them and tools match on them.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::object;
use super::storage::StorageError;
use crate::api::schema::FieldError;

/// The resource an error is about, as it appears in messages and details.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// API group, empty for the core group.
    pub group: String,
    /// Plural resource name (`devices`), or the kind for validation errors.
    pub kind: String,
    /// Object name.
    pub name: String,
}

impl Subject {
    fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.kind.clone()
        } else {
            format!("{}.{}", self.kind, self.group)
        }
    }

    /// How a sentence about it starts; one about nothing in particular starts in the middle.
    fn is(&self) -> String {
        match (self.kind.is_empty(), self.name.is_empty()) {
            (true, _) => String::new(),
            (false, true) => format!("{} is ", self.qualified()),
            (false, false) => format!("{} {:?} is ", self.qualified(), self.name),
        }
    }

    fn details(&self) -> Value {
        let mut details = json!({});
        for (field, text) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind)] {
            if !text.is_empty() {
                object::put(&mut details, field, json!(text));
            }
        }
        details
    }
}

/// How long caches may keep an answer: not at all without asking.
pub(super) const UNCACHED: &str = "no-cache, private";

/// A refused or failed request.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 409: the object exists.
    #[error("{} {:?} already exists", .0.qualified(), .0.name)]
    AlreadyExists(Subject),
    /// 409: the object exists, and is being deleted.
    #[error("object is being deleted: {} {:?} already exists", .0.qualified(), .0.name)]
    BeingDeleted(Subject),
    /// 409: server-side apply would take fields from other managers.
    #[error("{message}")]
    ApplyConflict {
        /// The text of all conflicts.
        message: String,
        /// `(field, message)` per conflict.
        causes: Vec<(String, String)>,
    },
    /// 400: the request makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// 409: somebody else wrote first.
    #[error("Operation cannot be fulfilled on {} {:?}: {why}", subject.qualified(), subject.name)]
    Conflict {
        /// What was written.
        subject: Subject,
        /// Which condition did not hold.
        why: String,
    },
    /// 410: the revision is too old.
    #[error("{0}")]
    Expired(String),
    /// 403: never allowed in this state.
    #[error("{}forbidden: {why}", subject.is())]
    Forbidden {
        /// What was asked for.
        subject: Subject,
        /// Why it is refused.
        why: String,
    },
    /// 500: a failure on this side.
    #[error("Internal error occurred: {0}")]
    Internal(String),
    /// 422: the object breaks a rule. `kind` is the kind, not the plural.
    #[error("{} {:?} is invalid: {}", subject.qualified(), subject.name, list(errors))]
    Invalid {
        /// The object, by its kind.
        subject: Subject,
        /// What is wrong with it.
        errors: Vec<FieldError>,
    },
    /// 405: the resource does not know the verb.
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    /// 406: not even the media type can be served, whatever its parameters.
    #[error("406: Not Acceptable\n\nAvailable representations: {0}")]
    NoRepresentation(&'static str),
    /// 404: no such object.
    #[error("{} {:?} not found", .0.qualified(), .0.name)]
    NotFound(Subject),
    /// 406: a list where one object was asked for, or the other way round.
    #[error("{0}")]
    OtherShape(String),
    /// 406: no acceptable representation.
    #[error("only the following media types are accepted: {0}")]
    NotAcceptable(&'static str),
    /// 403: the namespace goes away.
    #[error(
        "{} {:?} is forbidden: unable to create new content in namespace {namespace} because it is being terminated",
        subject.qualified(), subject.name
    )]
    NamespaceTerminating {
        /// What was to be made.
        subject: Subject,
        /// Where.
        namespace: String,
    },
    /// 404: nothing is served under this path of a group that is.
    #[error("the server could not find the requested resource")]
    NoSuchResource,
    /// 404: nobody answers for this path; the one error that is no Status.
    #[error("404 page not found")]
    NoSuchPage,
    /// 504: the client has seen a revision that this server has not.
    #[error("Timeout: Too large resource version: {asked}, current: {head}")]
    TooLargeRevision {
        /// What the client asked for.
        asked: i64,
        /// The last revision.
        head: i64,
    },
    /// 413: the body is above the limit.
    #[error("Request entity too large: limit is {0}")]
    TooLarge(usize),
    /// 401: nobody in particular.
    #[error("Unauthorized")]
    Unauthorized,
    /// 422: a patch that cannot be applied.
    #[error("{0}")]
    Unprocessable(String),
    /// 500 without a reason, as the API server answers some mistakes of the client: a revision that is no number, say.
    #[error("{0}")]
    Unexplained(String),
    /// 405: the resource does not know the verb, here.
    #[error("{verb} is not supported on resources of kind {:?}", subject.qualified())]
    UnsupportedVerb {
        /// The verb, in Kubernetes' words; empty for a method that has none.
        verb: &'static str,
        /// The resource.
        subject: Subject,
    },
    /// 415: a body in a format that is not understood.
    #[error("the body of the request was in an unknown format - accepted media types include: {0}")]
    UnsupportedMediaType(&'static str),
}

fn list(errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::new();
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

impl ApiError {
    /// HTTP code and Kubernetes reason.
    #[must_use]
    pub fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::AlreadyExists(_) | Self::BeingDeleted(_) => (StatusCode::CONFLICT, "AlreadyExists"),
            Self::ApplyConflict { .. } | Self::Conflict { .. } => (StatusCode::CONFLICT, "Conflict"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "BadRequest"),
            Self::Expired(_) => (StatusCode::GONE, "Expired"),
            Self::Forbidden { .. } | Self::NamespaceTerminating { .. } => {
                (StatusCode::FORBIDDEN, "Forbidden")
            }
            Self::Unexplained(_) => (StatusCode::INTERNAL_SERVER_ERROR, ""),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
            Self::Invalid { .. } | Self::Unprocessable(_) => (StatusCode::UNPROCESSABLE_ENTITY, "Invalid"),
            Self::MethodNotAllowed | Self::UnsupportedVerb { .. } => {
                (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed")
            }
            Self::NotFound(_) | Self::NoSuchResource | Self::NoSuchPage => {
                (StatusCode::NOT_FOUND, "NotFound")
            }
            Self::NotAcceptable(_) | Self::NoRepresentation(_) | Self::OtherShape(_) => {
                (StatusCode::NOT_ACCEPTABLE, "NotAcceptable")
            }
            Self::TooLargeRevision { .. } => (StatusCode::GATEWAY_TIMEOUT, "Timeout"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::UnsupportedMediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType"),
        }
    }

    /// The `metav1.Status` of this error.
    #[must_use]
    pub fn status(&self) -> Value {
        let (code, reason) = self.code();
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.to_string(), "code": code.as_u16(),
        });
        if !reason.is_empty() {
            object::put(&mut status, "reason", json!(reason));
        }
        if let Some(details) = self.details() {
            object::put(&mut status, "details", details);
        }
        status
    }

    fn details(&self) -> Option<Value> {
        match self {
            Self::AlreadyExists(subject)
            | Self::BeingDeleted(subject)
            | Self::NotFound(subject)
            | Self::Conflict { subject, .. }
            | Self::Forbidden { subject, .. }
            | Self::UnsupportedVerb { subject, .. } => Some(subject.details()),
            Self::ApplyConflict { causes, .. } => {
                let causes: Vec<_> = causes
                    .iter()
                    .map(|(field, message)| {
                        json!({ "reason": "FieldManagerConflict", "message": message, "field": field })
                    })
                    .collect();
                Some(json!({ "causes": causes }))
            }
            Self::Invalid { subject, errors } => {
                let causes: Vec<_> = errors
                    .iter()
                    .map(|error| {
                        json!({ "reason": error.kind.as_str(), "message": error.message, "field": error.field })
                    })
                    .collect();
                let mut details = subject.details();
                object::put(&mut details, "causes", Value::Array(causes));
                Some(details)
            }
            Self::NoSuchResource
            | Self::NoRepresentation(_)
            | Self::MethodNotAllowed
            | Self::Unprocessable(_) => Some(json!({})),
            Self::NamespaceTerminating { subject, namespace } => {
                let mut details = subject.details();
                let cause = json!({
                    "reason": "NamespaceTerminating", "field": "metadata.namespace",
                    "message": format!("namespace {namespace} is being terminated"),
                });
                object::put(&mut details, "causes", json!([cause]));
                Some(details)
            }
            Self::TooLargeRevision { .. } => Some(json!({
                "causes": [{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }],
                "retryAfterSeconds": 1,
            })),
            _ => None,
        }
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        tracing::error!(%error, "the embedded Kubernetes API could not use its storage");
        Self::Internal(error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (code, _) = self.code();
        if matches!(self, Self::NoSuchPage) {
            let headers = [
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::CACHE_CONTROL, UNCACHED),
            ];
            return (code, headers, format!("{self}\n")).into_response();
        }
        let mut response = (code, self.status().to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(UNCACHED));
        if matches!(self, Self::TooLargeRevision { .. }) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
