//! `/healthz`, `/livez` and `/readyz`: whether the API works, all checks at once or one by its name.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};

use super::api::Core;
use super::error::{ApiError, UNCACHED};
use super::request::Query;

/// Answers a path of one of the three; `None` for any other.
///
/// # Errors
/// 404 for a check that there is not.
pub(super) async fn answer(
    core: &Arc<Core>,
    path: &str,
    query: &Query,
) -> Result<Option<Response>, ApiError> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let (endpoint, one) = match segments.as_slice() {
        [endpoint @ ("healthz" | "livez" | "readyz")] => (*endpoint, None),
        [endpoint @ ("healthz" | "livez" | "readyz"), check] => (*endpoint, Some(*check)),
        _ => return Ok(None),
    };
    let mut checks = vec![
        ("ping", true),
        ("storage", core.storage.compacted().await.is_ok()),
    ];
    if endpoint == "readyz" {
        checks.push(("shutdown", !core.stop.is_cancelled()));
    }
    if let Some(one) = one {
        let found = checks.iter().find(|(name, _)| *name == one);
        let &(name, works) = found.ok_or(ApiError::NoSuchPage)?;
        return Ok(Some(text(
            works,
            if works {
                "ok".to_owned()
            } else {
                format!("{name} failed\n")
            },
        )));
    }
    let excluded = query.all("exclude");
    let mut lines = String::new();
    let mut works = true;
    for (name, passes) in checks {
        let line = if excluded.iter().any(|other| other == name) {
            format!("[+]{name} excluded: ok\n")
        } else if passes {
            format!("[+]{name} ok\n")
        } else {
            works = false;
            format!("[-]{name} failed: reason withheld\n")
        };
        lines.push_str(&line);
    }
    Ok(Some(match (works, query.has("verbose")) {
        (true, false) => text(true, "ok".to_owned()),
        (true, true) => text(true, format!("{lines}{endpoint} check passed\n")),
        (false, _) => text(false, format!("{lines}{endpoint} check failed\n")),
    }))
}

fn text(works: bool, body: String) -> Response {
    let code = if works {
        StatusCode::OK
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, UNCACHED),
    ];
    (code, headers, body).into_response()
}
