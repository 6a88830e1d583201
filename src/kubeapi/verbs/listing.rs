//! The options of lists and watches, and the tokens that continue a list.

use std::borrow::Cow;
use std::num::ParseIntError;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::schema::{FieldError, FieldErrorKind, go_quote};
use crate::api::selector::{FieldSelector, LabelSelector};
use crate::kubeapi::error::{ApiError, Subject};
use crate::kubeapi::registry::Resource;
use crate::kubeapi::request::{Query, number_problem};
use crate::kubeapi::storage::Facets;

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

impl Listing {
    /// Reads the options of a list or, with `watch`, of a watch.
    ///
    /// # Errors
    /// A number, selector or token that cannot be read, options that do not fit each other, or a field that cannot be
    /// selected by.
    pub(crate) fn parse(query: &Query, resource: &Resource, watch: bool) -> Result<Self, ApiError> {
        let bad = |error: &dyn std::fmt::Display| ApiError::BadRequest(error.to_string());
        query.number("timeoutSeconds")?;
        let limit = query.number("limit")?.unwrap_or(0);
        let labels =
            LabelSelector::parse(query.text("labelSelector").unwrap_or("")).map_err(|error| bad(&error))?;
        let fields =
            FieldSelector::parse(query.text("fieldSelector").unwrap_or("")).map_err(|error| bad(&error))?;
        let errors = if watch {
            watch_problems(query)
        } else {
            list_problems(query)
        };
        if !errors.is_empty() {
            let subject = Subject {
                group: "meta.k8s.io".to_owned(),
                kind: "ListOptions".to_owned(),
                name: String::new(),
            };
            return Err(ApiError::Invalid { subject, errors });
        }
        resource.check_fields(&fields)?;
        let revision = query.text("resourceVersion").map(revision).transpose();
        let revision = revision.map_err(|problem| {
            if watch {
                ApiError::Unexplained(problem)
            } else {
                ApiError::BadRequest(format!("invalid resource version: {problem}"))
            }
        })?;
        let mut limit = usize::try_from(limit).unwrap_or(0);
        let cursor = query
            .text("continue")
            .filter(|_| !watch)
            .map(Cursor::parse)
            .transpose()?;
        if cursor.is_some() && revision.is_some_and(|revision| revision != 0) {
            let why = "specifying resource version is not allowed when using continue";
            return Err(ApiError::BadRequest(why.to_owned()));
        }
        let matching = query.text("resourceVersionMatch");
        // Whatever is at hand comes at once: so say both the API conventions and kube-apiserver's cache.
        if revision == Some(0) && cursor.is_none() {
            limit = 0;
        }
        let exact = match matching {
            Some(matching) => matching == "Exact",
            // As lists were cut into pieces before there was a choice.
            None => limit > 0 && revision.is_some(),
        };
        Ok(Self {
            labels,
            fields,
            limit,
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

/// Reads a revision.
///
/// # Errors
/// The text of the error, when it is no number.
pub(super) fn revision(text: &str) -> Result<i64, String> {
    let problem = |problem: &str| {
        let quoted = go_quote(text);
        format!("resourceVersion: Invalid value: {quoted}: strconv.ParseUint: parsing {quoted}: {problem}")
    };
    // A sign makes no unsigned number, not even a plus.
    if text.starts_with(['-', '+']) {
        return Err(problem("invalid syntax"));
    }
    text.parse()
        .map_err(|error: ParseIntError| problem(number_problem(&error)))
}

const MATCH: &str = "resourceVersionMatch";

fn forbidden(field: &str, detail: &str) -> FieldError {
    FieldError::without_value(field, FieldErrorKind::Forbidden, detail)
}

fn list_problems(query: &Query) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let revision = query.text("resourceVersion");
    if let Some(matching) = query.text(MATCH) {
        if revision.is_none() {
            let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            errors.push(forbidden(MATCH, detail));
        }
        if query.text("continue").is_some() {
            let detail = "resourceVersionMatch is forbidden when continue is provided";
            errors.push(forbidden(MATCH, detail));
        }
        if !matches!(matching, "Exact" | "NotOlderThan") {
            let supported = [json!("Exact"), json!("NotOlderThan"), json!("")];
            errors.push(FieldError::not_supported(MATCH, &json!(matching), &supported));
        }
        if matching == "Exact" && revision == Some("0") {
            let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(forbidden(MATCH, detail));
        }
    }
    if query.has("sendInitialEvents") {
        errors.push(forbidden(
            "sendInitialEvents",
            "sendInitialEvents is forbidden for list",
        ));
    }
    errors
}

fn watch_problems(query: &Query) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (matching, streams) = (query.text(MATCH), query.has("sendInitialEvents"));
    if streams && matching != Some("NotOlderThan") {
        let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
        errors.push(forbidden(MATCH, detail));
    }
    if let Some(matching) = matching {
        if !streams {
            let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.push(forbidden(MATCH, detail));
        }
        if matching != "NotOlderThan" {
            errors.push(FieldError::not_supported(
                MATCH,
                &json!(matching),
                &[json!("NotOlderThan")],
            ));
        }
    }
    if query.text("continue").is_some() {
        let detail = "resourceVersionMatch is forbidden when continue is provided";
        errors.push(forbidden(MATCH, detail));
    }
    errors
}

/// The encoding of a `continue` token that is understood.
const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// A `continue` token: the revision of the first page, at which all others are read, and where the next one starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cursor {
    #[serde(default)]
    v: String,
    #[serde(default)]
    rv: i64,
    /// The last object of the page before (`namespace/name`, or the name where the list has but one namespace), then NUL.
    #[serde(default)]
    start: String,
}

impl Cursor {
    /// A token for what follows an object, of a list of one namespace or (`everywhere`) of all.
    pub(super) fn after(revision: i64, (namespace, name): &(String, String), everywhere: bool) -> Self {
        let start = if everywhere && !namespace.is_empty() {
            format!("{namespace}/{name}\0")
        } else {
            format!("{name}\0")
        };
        Self {
            v: TOKEN_VERSION.to_owned(),
            rv: revision,
            start,
        }
    }

    fn parse(token: &str) -> Result<Self, ApiError> {
        let refused = |why: &dyn std::fmt::Display| {
            ApiError::BadRequest(format!(
                "invalid continue token: continue key is not valid: {why}"
            ))
        };
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|error| refused(&error))?;
        let cursor: Self = serde_json::from_slice(&bytes).map_err(|error| refused(&error))?;
        if cursor.v != TOKEN_VERSION {
            let why = format!("server does not recognize this encoded version {}", cursor.v);
            return Err(refused(&why));
        }
        if cursor.rv == 0 {
            return Err(refused(
                &"incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            ));
        }
        if cursor.start.is_empty() {
            return Err(refused(&"encoded start key empty (version meta.k8s.io/v1)"));
        }
        if cursor
            .start
            .split('/')
            .any(|part| matches!(part, "" | "." | ".."))
        {
            return Err(refused(&cursor.start));
        }
        Ok(cursor)
    }

    /// The token.
    pub(super) fn token(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }

    /// The revision of the first page.
    pub(super) fn revision(&self) -> i64 {
        self.rv
    }

    /// The namespace and name after which the page starts, in a list of `namespace` (empty: of all).
    pub(super) fn position(&self, namespace: &str, namespaced: bool) -> (String, String) {
        let start = self.start.trim_end_matches('\0');
        if !namespaced {
            return (String::new(), start.to_owned());
        }
        if !namespace.is_empty() {
            return (namespace.to_owned(), start.to_owned());
        }
        let (namespace, name) = start.split_once('/').unwrap_or((start, ""));
        (namespace.to_owned(), name.to_owned())
    }
}

/// What a list says about itself; an empty token is written by custom resources and left out by the built-in kinds.
pub(super) fn list_metadata(resource: &Resource, revision: i64) -> Value {
    if resource.built_in.is_none() {
        json!({ "continue": "", "resourceVersion": revision.to_string() })
    } else {
        json!({ "resourceVersion": revision.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(&format!("/x?{text}").parse().unwrap()).unwrap()
    }

    #[test]
    fn options_that_contradict_each_other_are_refused() {
        let texts = |errors: Vec<FieldError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(list_problems(&query("resourceVersion=5&resourceVersionMatch=Exact")).is_empty());
        assert_eq!(
            texts(list_problems(&query(
                "resourceVersion=0&resourceVersionMatch=Exact"
            ))),
            [
                "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""
            ]
        );
        assert_eq!(
            texts(watch_problems(&query(
                "watch=1&resourceVersionMatch=NotOlderThan"
            ))),
            [
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is \
              provided"
            ]
        );
    }

    proptest! {
        #[test]
        fn a_token_leads_back_to_where_the_page_ended(namespace in "[a-z]{1,8}", name in "[a-z.]{1,8}[a-z]", rv in 1_i64..) {
            let key = (namespace.clone(), name.clone());
            for (listed, everywhere) in [(namespace.as_str(), false), ("", true)] {
                let token = Cursor::after(rv, &key, everywhere).token();
                let cursor = Cursor::parse(&token).unwrap();
                prop_assert_eq!(cursor.revision(), rv);
                prop_assert_eq!(cursor.position(listed, true), key.clone());
            }
        }

        #[test]
        fn no_token_breaks_the_parser(token in ".*") {
            let _ = Cursor::parse(&token);
        }
    }
}
