//! Answers that are no success, as `metav1.Status`, which clients of Kubernetes understand.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Why nothing is told.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// Nobody that is known, or with a credential that does not hold.
    #[error("Unauthorized")]
    Unauthorized,
    /// Somebody who may not.
    #[error(
        "devices.provost.dev {name:?} is forbidden: User {user:?} cannot get resource \"devices/evidence\" in API group \"provost.dev\" in the namespace {namespace:?}"
    )]
    Forbidden {
        user: String,
        namespace: String,
        name: String,
    },
    /// There is none.
    #[error("{0}")]
    NotFound(String),
    /// The request asks for what is not done here.
    #[error("{0}")]
    BadRequest(&'static str),
    /// Too much is asked at once.
    #[error("too many requests; ask again in a moment")]
    TooMany,
    /// What the answer depends on does not answer.
    #[error("{what} did not answer; ask again in a moment")]
    Unavailable {
        what: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Refusal {
    /// That the Kubernetes API failed.
    pub(super) fn api(source: kube::Error) -> Self {
        Self::Unavailable {
            what: "the Kubernetes API",
            source: Box::new(source),
        }
    }

    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "Unauthorized"),
            Self::Forbidden { .. } => (StatusCode::FORBIDDEN, "Forbidden"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "NotFound"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "BadRequest"),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
            Self::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (code, reason) = self.code();
        if let Self::Unavailable { what, source } = &self {
            tracing::warn!(%source, "evidence could not be told: {what} did not answer");
        }
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.to_string(), "reason": reason, "code": code.as_u16(),
        });
        let mut response = (code, Json(status)).into_response();
        if matches!(self, Self::TooMany | Self::Unavailable { .. }) {
            let soon = HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, soon);
        }
        response
    }
}
