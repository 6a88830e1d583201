//! What the Accept header asks for: the shape of the answer (objects, metadata only, a table) and its encoding.
//!
//! The rules are those of kube-apiserver: entries by weight, parameters `as`, `g` and `v` for the shape. JSON and YAML are
//! spoken, Protobuf is not.

use axum::body::Body;
use axum::response::Response;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::error::ApiError;
use super::registry::Resource;
use super::request::Query;

/// What answers about objects can be encoded as.
pub(super) const ACCEPTED: &str = "application/json, application/yaml";
/// What watches can be encoded as.
const ACCEPTED_BY_WATCHES: &str = "application/json;stream=watch";
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";

/// The version of the group `meta.k8s.io` that a shape is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetaVersion {
    /// `v1`
    V1,
    /// `v1beta1`
    V1Beta1,
}

impl MetaVersion {
    /// As it is written.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1Beta1 => "v1beta1",
        }
    }
}

/// The shape of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The objects themselves.
    Object,
    /// `PartialObjectMetadata`: metadata only.
    Partial(MetaVersion),
    /// `PartialObjectMetadataList`: the same for a collection.
    PartialList(MetaVersion),
    /// `Table`: rows and columns.
    Table(MetaVersion),
}

/// One entry of an Accept header.
struct Entry<'a> {
    /// Type and subtype.
    media: &'a str,
    weight: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Entry<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or("");
        let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
        let weight = parameters.iter().find(|(name, _)| *name == "q");
        let weight = weight.and_then(|(_, weight)| weight.parse().ok()).unwrap_or(1.0);
        Self {
            media,
            weight,
            parameters,
        }
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        let found = self.parameters.iter().find(|(parameter, _)| *parameter == name);
        found.map(|&(_, value)| value)
    }

    fn encoding(&self) -> Option<Encoding> {
        match self.media {
            JSON | "application/*" | "*/*" if self.parameter("pretty") == Some("1") => Some(Encoding::Pretty),
            JSON | "application/*" | "*/*" => Some(Encoding::Json),
            YAML => Some(Encoding::Yaml),
            _ => None,
        }
    }

    fn form(&self) -> Option<Form> {
        let Some(shape) = self.parameter("as") else {
            return Some(Form::Object);
        };
        if self.parameter("g") != Some("meta.k8s.io") {
            return None;
        }
        let version = match self.parameter("v")? {
            "v1" => MetaVersion::V1,
            "v1beta1" => MetaVersion::V1Beta1,
            _ => return None,
        };
        match shape {
            "PartialObjectMetadata" => Some(Form::Partial(version)),
            "PartialObjectMetadataList" => Some(Form::PartialList(version)),
            "Table" => Some(Form::Table(version)),
            _ => None,
        }
    }

    /// Whether this asks for the aggregated discovery document.
    fn is_aggregated(&self) -> bool {
        self.parameter("as") == Some("APIGroupDiscoveryList")
            && self.parameter("g") == Some("apidiscovery.k8s.io")
            && self.parameter("v") == Some("v2")
    }
}

/// The entries of the header, the most wanted first; none where everything is accepted.
fn entries(headers: &HeaderMap) -> Vec<Entry<'_>> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let accept = accept.filter(|text| !text.trim().is_empty());
    let mut entries: Vec<_> = accept
        .into_iter()
        .flat_map(|text| text.split(','))
        .map(Entry::parse)
        .collect();
    // Stable: of two that are wanted as much the first counts, but what is named before what a star stands for.
    entries.sort_by(|a, b| {
        b.weight
            .total_cmp(&a.weight)
            .then(a.media.contains('*').cmp(&b.media.contains('*')))
    });
    entries
}

impl Form {
    /// Chooses for an answer about objects of `resource`.
    ///
    /// # Errors
    /// When nothing that is accepted can be served.
    pub(super) fn negotiate(headers: &HeaderMap, resource: &Resource) -> Result<Self, ApiError> {
        let entries = entries(headers);
        if entries.is_empty() {
            return Ok(Self::Object);
        }
        if resource.built_in.is_some() && !names_a_representation(&entries) {
            return Err(ApiError::NoRepresentation(ACCEPTED));
        }
        let found = entries
            .iter()
            .filter(|entry| entry.encoding().is_some())
            .find_map(Entry::form);
        found.ok_or(ApiError::NotAcceptable(ACCEPTED))
    }

    /// The same for a watch, which is a stream of JSON.
    ///
    /// # Errors
    /// When nothing that is accepted can be streamed.
    pub(super) fn negotiate_watch(headers: &HeaderMap, resource: &Resource) -> Result<Self, ApiError> {
        let form = Self::negotiate(headers, resource)?;
        match Encoding::of_headers(headers) {
            Encoding::Yaml => Err(ApiError::NotAcceptable(ACCEPTED_BY_WATCHES)),
            Encoding::Json | Encoding::Pretty => Ok(form),
        }
    }
}

/// The built-in kinds and the discovery documents look at the media types alone first; a star for the subtype is no name.
fn names_a_representation(entries: &[Entry<'_>]) -> bool {
    entries.iter().any(|entry| {
        // Protobuf is one of theirs, which then cannot be served.
        matches!(
            entry.media,
            JSON | YAML | "*/*" | "application/vnd.kubernetes.protobuf"
        )
    })
}

/// What a discovery document is asked for as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Discovery {
    /// The document of one level.
    Plain,
    /// Everything at once, where the path has it.
    Aggregated,
}

impl Discovery {
    /// Chooses; `aggregated` is whether the path has both.
    ///
    /// # Errors
    /// When nothing that is accepted can be served.
    pub(super) fn negotiate(headers: &HeaderMap, aggregated: bool) -> Result<Self, ApiError> {
        let entries = entries(headers);
        if entries.is_empty() {
            return Ok(Self::Plain);
        }
        if !names_a_representation(&entries) {
            return Err(ApiError::NoRepresentation(ACCEPTED));
        }
        let served = entries.iter().filter(|entry| entry.encoding().is_some());
        let found = served.into_iter().find_map(|entry| {
            if entry.parameter("as").is_none() {
                return Some(Self::Plain);
            }
            (aggregated && entry.is_aggregated()).then_some(Self::Aggregated)
        });
        found.ok_or(ApiError::NotAcceptable(ACCEPTED))
    }
}

impl Discovery {
    /// Chooses where there is JSON alone.
    ///
    /// # Errors
    /// When it is not accepted.
    pub(super) fn negotiate_json(headers: &HeaderMap) -> Result<Self, ApiError> {
        let entries = entries(headers);
        if entries.is_empty() || entries.iter().any(|entry| matches!(entry.media, JSON | "*/*")) {
            return Ok(Self::Plain);
        }
        Err(ApiError::NoRepresentation(JSON))
    }
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// JSON in one line.
    Json,
    /// JSON for people.
    Pretty,
    /// YAML.
    Yaml,
}

/// A response whose body is a stream of events, which is never written anew.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streamed;

impl Encoding {
    /// The encoding a request asks for, errors included.
    #[must_use]
    pub(super) fn of(headers: &HeaderMap, query: &Query) -> Self {
        match Self::of_headers(headers) {
            Self::Json if query.flag("pretty") => Self::Pretty,
            encoding => encoding,
        }
    }

    fn of_headers(headers: &HeaderMap) -> Self {
        let entries = entries(headers);
        entries.iter().find_map(Entry::encoding).unwrap_or(Self::Json)
    }

    /// Writes a JSON response in this encoding.
    pub(super) async fn write(self, response: Response) -> Response {
        let is_json = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|found| found.as_bytes().starts_with(JSON.as_bytes()));
        if self == Self::Json || !is_json || response.extensions().get::<Streamed>().is_some() {
            return response;
        }
        let (mut parts, body) = response.into_parts();
        // As long as the answer itself, which was made by this process.
        let written = match axum::body::to_bytes(body, usize::MAX).await {
            Ok(bytes) => self.rewrite(&bytes),
            Err(error) => Err(ApiError::Internal(error.to_string())),
        };
        match written {
            Ok(text) => {
                parts.headers.remove(CONTENT_LENGTH);
                if self == Self::Yaml {
                    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(YAML));
                }
                Response::from_parts(parts, Body::from(text))
            }
            Err(error) => axum::response::IntoResponse::into_response(error),
        }
    }

    fn rewrite(self, json: &[u8]) -> Result<String, ApiError> {
        if json.is_empty() {
            return Ok(String::new());
        }
        let broken = |error: &dyn std::fmt::Display| ApiError::Internal(error.to_string());
        let value: Value = serde_json::from_slice(json).map_err(|error| broken(&error))?;
        match self {
            Self::Yaml => serde_yaml::to_string(&value).map_err(|error| broken(&error)),
            Self::Json | Self::Pretty => {
                let text = serde_json::to_string_pretty(&value);
                text.map(|text| text + "\n").map_err(|error| broken(&error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(accept: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))])
    }

    fn chosen(accept: &'static str) -> Option<(Form, Encoding)> {
        let headers = accepting(accept);
        let form = entries(&headers)
            .iter()
            .filter(|entry| entry.encoding().is_some())
            .find_map(Entry::form)?;
        Some((form, Encoding::of(&headers, &Query::default())))
    }

    #[test]
    fn the_most_wanted_representation_that_can_be_served_is_chosen() {
        let cases = [
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                Form::Table(MetaVersion::V1),
                Encoding::Json,
            ),
            (
                "application/vnd.kubernetes.protobuf, */*",
                Form::Object,
                Encoding::Json,
            ),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1beta1",
                Form::PartialList(MetaVersion::V1Beta1),
                Encoding::Json,
            ),
            (
                "text/html;q=0.9,application/json;q=0.1,application/yaml;q=0.5",
                Form::Object,
                Encoding::Yaml,
            ),
            ("*/*,application/yaml", Form::Object, Encoding::Yaml),
            ("application/json;pretty=1", Form::Object, Encoding::Pretty),
        ];
        for (accept, form, encoding) in cases {
            assert_eq!(chosen(accept), Some((form, encoding)), "{accept}");
        }
        for accept in [
            "application/vnd.kubernetes.protobuf",
            "text/html",
            ";;;,",
            "application/json;as=Table;v=v2;g=meta.k8s.io",
        ] {
            assert_eq!(chosen(accept), None, "{accept}");
        }
    }

    #[test]
    fn discovery_is_aggregated_only_where_it_is_asked_for_in_a_known_version() {
        let aggregated =
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        let asked = |accept, path| Discovery::negotiate(&accepting(accept), path).ok();
        assert_eq!(asked(aggregated, true), Some(Discovery::Aggregated));
        assert_eq!(asked(aggregated, false), Some(Discovery::Plain));
        assert_eq!(
            asked(
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
                true
            ),
            None
        );
    }
}
