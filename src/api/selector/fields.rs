//! Field selectors: comparisons of a few listed fields.
//!
//! The grammar and the texts of its errors are those of `k8s.io/apimachinery/pkg/fields`.

use std::fmt;

use super::SelectorError;

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: String,
    value: String,
    negated: bool,
}

/// Comparisons of fields that must all hold. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

impl FieldSelector {
    /// Parses the text of a `fieldSelector` query parameter, such as `metadata.name=a,spec.mode!=Audit`. A backslash
    /// escapes a comma, an equals sign or a backslash in a value.
    ///
    /// # Errors
    /// [`SelectorError`] in Kubernetes' words.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let Some((field, operator, value)) = split_term(part) else {
                return Err(SelectorError(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                )));
            };
            terms.push(Term {
                field: field.to_owned(),
                value: unescape(value)?,
                negated: operator == "!=",
            });
        }
        Ok(Self { terms })
    }

    /// Checks that a kind lets every field of the selector be selected. `metadata.name` is always allowed;
    /// `metadata.namespace` must be listed, as it is for namespaced kinds.
    ///
    /// # Errors
    /// [`SelectorError`] `field label not supported: …`.
    pub fn check_supported(&self, selectable: &[&str]) -> Result<(), SelectorError> {
        let known = |field: &str| field == "metadata.name" || selectable.contains(&field);
        match self.terms.iter().find(|term| !known(&term.field)) {
            None => Ok(()),
            Some(term) => Err(SelectorError(format!(
                "field label not supported: {}",
                term.field
            ))),
        }
    }

    /// Whether every comparison holds; an absent field compares as the empty text.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> Option<std::borrow::Cow<'a, str>>) -> bool {
        self.terms.iter().all(|term| {
            let equal = field(&term.field).unwrap_or_default() == term.value.as_str();
            equal != term.negated
        })
    }

    /// The value that `field` must equal, where the selector demands one: a server can then look it up.
    #[must_use]
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms
            .iter()
            .find(|term| term.field == field && !term.negated)
            .map(|term| term.value.as_str())
    }

    /// Whether there is no comparison at all.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (
            position,
            Term {
                field,
                value,
                negated,
            },
        ) in self.terms.iter().enumerate()
        {
            let comma = if position > 0 { "," } else { "" };
            let operator = if *negated { "!=" } else { "=" };
            let value = value
                .replace('\\', "\\\\")
                .replace(',', "\\,")
                .replace('=', "\\=");
            write!(f, "{comma}{field}{operator}{value}")?;
        }
        Ok(())
    }
}

fn split_terms(text: &str) -> Vec<&str> {
    let mut escaped = false;
    text.split(|c| {
        let separates = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        separates
    })
    .collect()
}

fn split_term(term: &str) -> Option<(&str, &str, &str)> {
    let (start, operator) = term.char_indices().find_map(|(start, _)| {
        let rest = term.get(start..)?;
        ["!=", "==", "="]
            .into_iter()
            .find(|operator| rest.starts_with(operator))
            .map(|operator| (start, operator))
    })?;
    Some((term.get(..start)?, operator, term.get(start + operator.len()..)?))
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut text = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => text.push(escaped),
                other => {
                    let sequence: String = other.into_iter().collect();
                    let message = format!("invalid field selector: invalid escape sequence: \\{sequence}");
                    return Err(SelectorError(message));
                }
            },
            ',' | '=' => {
                let code = u32::from(c);
                let message = format!("invalid field selector: unescaped character in value: {code}");
                return Err(SelectorError(message));
            }
            other => text.push(other),
        }
    }
    Ok(text)
}
