//! Reading a request: what it is about (path), how it is meant (query), what it carries (body).

use std::collections::HashMap;
use std::num::{IntErrorKind, ParseIntError};
use std::sync::Arc;

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Method, Uri};
use serde_json::Value;

use super::access::User;
use super::decode::{self, BodyError, MEDIA_TYPES, decode};
use super::error::{ApiError, Subject};
use super::registry::Resource;
use super::unmarshal::json_type;
use crate::api::schema::{FieldError, FieldErrorKind, go_quote};

/// The largest request body, as the Kubernetes API server's.
pub(super) const MAX_BODY: usize = 3 * 1024 * 1024;

/// A path below `/api` or `/apis`, taken apart but not looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// API group, empty for the core group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Namespace, for namespaced paths.
    pub namespace: Option<String>,
    /// Plural resource name.
    pub plural: String,
    /// Object name.
    pub name: Option<String>,
    /// Whatever follows the name: a subresource, or what would be one.
    pub subresource: Option<String>,
    /// The deprecated way to ask for a watch: `/api/v1/watch/…`.
    pub watch: bool,
}

impl Path {
    /// Takes apart the path of a resource; `None` for anything else, and where a resource or an object has no name.
    #[must_use]
    pub(super) fn parse(path: &str) -> Option<Self> {
        Self::read(path).filter(|path| !path.plural.is_empty() && path.name.as_deref() != Some(""))
    }

    /// The same, and names may be missing. What may be done and what is done are both decided by this one reading. A path is decoded
    /// before it is taken apart, as Go does: an encoded slash separates, too.
    #[must_use]
    pub(super) fn read(path: &str) -> Option<Self> {
        let path = percent_decode(path)?;
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", version, rest),
            ["apis", group, version, rest @ ..] => (*group, version, rest),
            _ => return None,
        };
        let (watch, rest) = match rest {
            ["watch", rest @ ..] => (true, rest),
            _ => (false, rest),
        };
        let (namespace, rest) = match rest {
            ["namespaces", _] | ["namespaces", _, "status" | "finalize", ..] => (None, rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
            _ => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(name), None),
            [plural, name, rest @ ..] => (plural, Some(name), Some(rest.join("/"))),
            [] => return None,
        };
        Some(Self {
            group: group.to_owned(),
            version: (*version).to_owned(),
            namespace,
            plural: (*plural).to_owned(),
            name: name.map(|&name| name.to_owned()),
            subresource,
            watch,
        })
    }
}

/// A text with `%XX` decoded; `None` when it is malformed.
pub(super) fn percent_decode(path: &str) -> Option<String> {
    if !path.contains('%') {
        return Some(path.to_owned());
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            decoded.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

/// The query parameters.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(HashMap<String, Vec<String>>);

impl Query {
    /// Reads the query of `uri`; of a repeated parameter the first counts.
    ///
    /// # Errors
    /// When it is not form encoded.
    pub(super) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| ApiError::BadRequest(error.to_string()))?;
        let mut parameters: HashMap<String, Vec<String>> = HashMap::new();
        for (name, value) in pairs.0 {
            parameters.entry(name).or_default().push(value);
        }
        Ok(Self(parameters))
    }

    /// Every value of a parameter.
    #[must_use]
    pub(super) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether a parameter is there, be it empty.
    #[must_use]
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A parameter; empty reads as absent.
    #[must_use]
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let first = self.all(name).first();
        first.map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A boolean parameter; a bare name is true, as is anything but `false` and `0`.
    #[must_use]
    pub(super) fn flag(&self, name: &str) -> bool {
        let first = self.all(name).first();
        first.is_some_and(|value| !value.eq_ignore_ascii_case("false") && value != "0")
    }

    /// A number.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let parse = |value: &str| {
            value.parse().map_err(|error: ParseIntError| {
                ApiError::BadRequest(format!(
                    "strconv.ParseInt: parsing {}: {}",
                    go_quote(value),
                    number_problem(&error)
                ))
            })
        };
        self.text(name).map(parse).transpose()
    }
}

/// What is wrong with the text of a number, in the words of Go's library.
pub(super) fn number_problem(error: &ParseIntError) -> &'static str {
    match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    }
}

/// How strictly unknown fields are treated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum FieldValidation {
    /// Dropped silently.
    Ignore,
    /// Refused.
    Strict,
    /// Dropped, with a warning.
    #[default]
    Warn,
}

/// Options of create, replace, patch and delete.
#[derive(Debug, Clone, Default)]
pub(super) struct WriteOptions {
    /// Do everything but keep nothing.
    pub dry_run: bool,
    /// Who owns the fields that are set.
    pub manager: String,
    /// What happens to unknown fields.
    pub field_validation: FieldValidation,
    /// Take fields from other managers (apply).
    pub force: bool,
    /// On whose behalf; `None` on the server's own.
    pub author: Option<Arc<User>>,
}

/// Longest field manager, as Kubernetes'.
const MAX_MANAGER: usize = 128;

impl WriteOptions {
    /// Reads the options of a method; those of a patch with the patch's format.
    ///
    /// # Errors
    /// An option with a value that means nothing.
    pub(super) fn parse(
        query: &Query,
        headers: &HeaderMap,
        method: &Method,
        format: Option<PatchFormat>,
    ) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        let force = query.flag("force");
        if let Some(format) = format {
            if format == PatchFormat::Apply && query.text("fieldManager").is_none() {
                errors.push(FieldError::required(
                    "fieldManager",
                    "is required for apply patch",
                ));
            } else if format != PatchFormat::Apply && query.text("force").is_some() {
                let detail = "may not be specified for non-apply patch";
                errors.push(FieldError::without_value(
                    "force",
                    FieldErrorKind::Forbidden,
                    detail,
                ));
            }
        }
        let given = query.text("fieldManager").unwrap_or("");
        if given.len() > MAX_MANAGER {
            let detail = format!("may not be more than {MAX_MANAGER} bytes");
            errors.push(FieldError::without_value(
                "fieldManager",
                FieldErrorKind::TooLong,
                &detail,
            ));
        }
        for (index, c) in given.chars().enumerate().filter(|(_, c)| c.is_control()) {
            let detail = format!("invalid character U+{:04X} (at position {index})", u32::from(c));
            errors.push(FieldError::invalid("fieldManager", &given.into(), &detail));
        }
        let dry_run = query.text("dryRun");
        errors.extend(dry_run_problem(dry_run));
        let field_validation = match query.text("fieldValidation") {
            None | Some("Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                let known = ["", "Ignore", "Strict", "Warn"].map(Value::from);
                errors.push(FieldError::not_supported(
                    "fieldValidation",
                    &other.into(),
                    &known,
                ));
                FieldValidation::Warn
            }
        };
        if !errors.is_empty() {
            let kind = match *method {
                Method::POST => "CreateOptions",
                Method::PUT => "UpdateOptions",
                _ => "PatchOptions",
            };
            return Err(invalid_options(kind, errors));
        }
        let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
        let agent = agent
            .and_then(|agent| agent.split('/').next())
            .filter(|agent| !agent.is_empty());
        let manager = query.text("fieldManager").or(agent).unwrap_or("unknown");
        // One from the user agent was not chosen: it is cut to what it may be.
        let manager = manager
            .chars()
            .filter(|c| !c.is_control())
            .take(MAX_MANAGER)
            .collect();
        Ok(Self {
            dry_run: dry_run.is_some(),
            manager,
            field_validation,
            force,
            author: None,
        })
    }
}

/// What is wrong with the value of `dryRun`.
pub(super) fn dry_run_problem(value: Option<&str>) -> Option<FieldError> {
    let value = value.filter(|value| *value != "All")?;
    let shown = Value::from(vec![value]);
    Some(FieldError::not_supported("dryRun", &shown, &["All".into()]))
}

/// 422 for options that mean nothing.
pub(super) fn invalid_options(kind: &str, errors: Vec<FieldError>) -> ApiError {
    let subject = Subject {
        group: "meta.k8s.io".to_owned(),
        kind: kind.to_owned(),
        name: String::new(),
    };
    ApiError::Invalid { subject, errors }
}

/// The formats of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PatchFormat {
    /// Server-side apply; JSON or YAML.
    Apply,
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own merge with keys.
    Strategic,
}

const PATCH_TYPES: &str =
    "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

impl PatchFormat {
    /// Reads the content type of a patch of `resource`.
    ///
    /// # Errors
    /// When it is none of a patch.
    pub(super) fn of(headers: &HeaderMap, resource: &Resource) -> Result<Self, ApiError> {
        match media_type(headers).as_str() {
            "application/apply-patch+yaml" | "application/apply-patch+json" => Ok(Self::Apply),
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            // Custom resources have no merge keys that a client could know.
            "application/strategic-merge-patch+json" if resource.built_in.is_some() => Ok(Self::Strategic),
            _ if resource.built_in.is_some() => Err(ApiError::UnknownPatch),
            _ => Err(ApiError::UnsupportedMediaType(PATCH_TYPES)),
        }
    }
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// The most bytes of a body that a refusal shows.
const MAX_SHOWN: usize = 30;

/// Reads the body of a write to `resource` by its content type.
///
/// # Errors
/// As [`read_body`]; a JSON body that is no object is named with what it should be.
pub(super) fn read_object(headers: &HeaderMap, body: &[u8], resource: &Resource) -> Result<Value, ApiError> {
    let is_json = matches!(media_type(headers).as_str(), "" | "application/json");
    let kind = &resource.kind;
    let start = || {
        let more = if body.len() > MAX_SHOWN { " ..." } else { "" };
        let shown = body.get(..MAX_SHOWN).unwrap_or(body);
        match body.first() {
            None => "<empty>".to_owned(),
            Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
            Some(_) => format!("{}{more}", hex::encode(shown)),
        }
    };
    let unrecognized = |why: &str, shown: &str| {
        ApiError::BadRequest(format!(
            "the object provided is unrecognized (must be of type {kind}): {why} ({shown})"
        ))
    };
    let object = match read_body(headers, body) {
        Err(ApiError::BadRequest(_)) if is_json && is_cut_short(body) => {
            let why = "couldn't get version/kind; json parse error: unexpected end of JSON input";
            return Err(unrecognized(why, &start()));
        }
        other => other?,
    };
    if is_json && !matches!(object, Value::Object(_) | Value::Null) {
        let why = format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of type struct {{ \
             APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}",
            json_type(&object)
        );
        return Err(unrecognized(&why, &start()));
    }
    let given = |field: &str| {
        object
            .get(field)
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    };
    // The kinds of the server's own are known by the path; the others say what they are.
    if is_json && resource.built_in.is_none() && object.is_object() {
        for (field, name) in [("kind", "Kind"), ("apiVersion", "apiVersion")] {
            if !given(field) {
                let text = String::from_utf8_lossy(body);
                return Err(unrecognized(
                    &format!("Object '{name}' is missing in '{text}'"),
                    &start(),
                ));
            }
        }
    }
    Ok(object)
}

/// The fields that a JSON body has more than once, by their paths; nothing for other formats.
pub(super) fn repeated_fields(headers: &HeaderMap, body: &[u8]) -> Vec<String> {
    if matches!(media_type(headers).as_str(), "" | "application/json") {
        decode::repeated_fields(body)
    } else {
        Vec::new()
    }
}

/// Whether a JSON body ends before its value does.
pub(super) fn is_cut_short(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err_and(|error| error.is_eof())
}

/// Reads a body by its content type.
///
/// # Errors
/// A body that is malformed, nests too deeply, or has another content type.
pub(super) fn read_body(headers: &HeaderMap, body: &[u8]) -> Result<Value, ApiError> {
    decode(&media_type(headers), body).map_err(|error| match error {
        BodyError::MediaType => ApiError::UnsupportedMediaType(MEDIA_TYPES),
        BodyError::Malformed(_) => ApiError::BadRequest(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn paths_are_taken_apart_as_kubernetes_does() {
        let path = Path::parse("/apis/provost.dev/v1alpha1/namespaces/fleet/devices/a%3Ab/status").unwrap();
        assert_eq!(path.group, "provost.dev");
        assert_eq!(path.namespace.as_deref(), Some("fleet"));
        assert_eq!(
            (path.plural.as_str(), path.name.as_deref()),
            ("devices", Some("a:b"))
        );
        assert_eq!(path.subresource.as_deref(), Some("status"));
        let namespace = Path::parse("/api/v1/namespaces/fleet").unwrap();
        assert_eq!(
            (namespace.plural.as_str(), namespace.name.as_deref()),
            ("namespaces", Some("fleet"))
        );
        assert_eq!(namespace.namespace, None);
        let inside = Path::parse("/api/v1/namespaces/fleet/secrets").unwrap();
        assert_eq!(
            (inside.plural.as_str(), inside.namespace.as_deref()),
            ("secrets", Some("fleet"))
        );
        let watched = Path::parse("/api/v1/watch/namespaces/fleet/secrets").unwrap();
        assert_eq!((watched.plural.as_str(), watched.watch), ("secrets", true));
        for other in ["/", "/api", "/api/v1", "/version", "/api/v1/%zz"] {
            assert_eq!(Path::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_bomb_in_the_body_is_refused() {
        let yaml = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/yaml"))]);
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for (name, of) in ["b", "c", "d", "e", "f", "g", "h", "i"]
            .iter()
            .zip(["a", "b", "c", "d", "e", "f", "g", "h"])
        {
            let aliases = vec![format!("*{of}"); 9].join(", ");
            bomb.extend([name, ": &", name, " [", &aliases, "]\n"]);
        }
        assert!(read_body(&yaml, bomb.as_bytes()).is_err());
        let deep = "[".repeat(100_000);
        assert!(read_body(&yaml, deep.as_bytes()).is_err());
        assert!(read_body(&HeaderMap::new(), deep.as_bytes()).is_err());
        let nested = format!("{}{}", "[".repeat(120), "]".repeat(120));
        assert!(read_body(&HeaderMap::new(), nested.as_bytes()).is_err());
    }
}
