//! Errors about one field, worded as the Kubernetes API server words them.
//!
//! The texts follow `k8s.io/apimachinery/pkg/util/validation/field`: they are what people search for.

use std::fmt::{self, Write as _};

use serde_json::Value;
use strum::IntoStaticStr;

/// What is wrong with a field. The name of a variant with `as_str` is the `reason` of a `StatusCause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
pub enum FieldErrorKind {
    /// A value that must be unique occurs twice.
    #[strum(serialize = "FieldValueDuplicate")]
    Duplicate,
    /// A value that may not be set here.
    #[strum(serialize = "FieldValueForbidden")]
    Forbidden,
    /// A malformed value: a pattern, a bound, a rule.
    #[strum(serialize = "FieldValueInvalid")]
    Invalid,
    /// A value that is none of the listed ones.
    #[strum(serialize = "FieldValueNotSupported")]
    NotSupported,
    /// A missing value.
    #[strum(serialize = "FieldValueRequired")]
    Required,
    /// A value of another JSON type.
    #[strum(serialize = "FieldValueTypeInvalid")]
    TypeInvalid,
    /// A string above its maximum length.
    #[strum(serialize = "FieldValueTooLong")]
    TooLong,
    /// A list or map above its maximum size.
    #[strum(serialize = "FieldValueTooMany")]
    TooMany,
}

impl FieldErrorKind {
    /// The `reason` of a `StatusCause`, such as `FieldValueInvalid`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    fn title(self) -> &'static str {
        match self {
            Self::Duplicate => "Duplicate value",
            Self::Forbidden => "Forbidden",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Required => "Required value",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }
}

/// One violation of a schema.
///
/// `Display` gives `field: message`, for example
/// `spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The path, such as `spec.rules[3].severity`; `<nil>` where Kubernetes blames no field.
    pub field: String,
    /// What is wrong.
    pub kind: FieldErrorKind,
    /// The text without the field: the `message` of a `StatusCause`.
    pub message: String,
}

/// The path Kubernetes prints where an error belongs to no single field.
const NO_FIELD: &str = "<nil>";

impl FieldError {
    /// An error whose text shows the offending value.
    pub fn with_value(field: impl Into<String>, kind: FieldErrorKind, value: &Value, detail: &str) -> Self {
        let mut message = format!("{}: {}", kind.title(), go_value(value));
        append_detail(&mut message, detail);
        Self::new(field, kind, message)
    }

    /// An error whose text does not show the offending value.
    pub fn without_value(field: impl Into<String>, kind: FieldErrorKind, detail: &str) -> Self {
        let mut message = kind.title().to_owned();
        append_detail(&mut message, detail);
        Self::new(field, kind, message)
    }

    /// A missing value.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        Self::without_value(field, FieldErrorKind::Required, detail)
    }

    /// A malformed value.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self::with_value(field, FieldErrorKind::Invalid, value, detail)
    }

    /// A malformed value that is shown as `shown`, where the API server prints more or other than the JSON.
    #[must_use]
    pub fn verbatim(field: String, shown: &str, detail: &str) -> Self {
        let message = format!("{}: {shown}: {detail}", FieldErrorKind::Invalid.title());
        Self::new(field, FieldErrorKind::Invalid, message)
    }

    /// A value outside a list of allowed ones.
    pub fn not_supported(field: impl Into<String>, value: &Value, supported: &[Value]) -> Self {
        let names: Vec<String> = supported
            .iter()
            .map(|allowed| match allowed {
                Value::String(text) => go_quote(text),
                other => go_quote(&other.to_string()),
            })
            .collect();
        let detail = if names.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", names.join(", "))
        };
        Self::with_value(field, FieldErrorKind::NotSupported, value, &detail)
    }

    /// An error about the object as a whole: Kubernetes blames no field for these.
    pub(super) fn of_object(detail: &str) -> Self {
        Self::with_value(
            NO_FIELD,
            FieldErrorKind::Invalid,
            &Value::String(String::new()),
            detail,
        )
    }

    /// Says that the rules were left out because simpler checks failed.
    pub(crate) fn rules_not_checked() -> Self {
        Self::with_value(
            NO_FIELD,
            FieldErrorKind::Invalid,
            &Value::Null,
            "some validation rules were not checked because the object was invalid; correct the existing errors to \
             complete validation",
        )
    }

    pub(super) fn too_long(field: impl Into<String>, max: i64) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::without_value(
            field,
            FieldErrorKind::TooLong,
            &format!("may not be more than {max} {unit}"),
        )
    }

    pub(super) fn too_many(field: impl Into<String>, actual: usize, max: i64) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {unit}");
        Self::with_value(field, FieldErrorKind::TooMany, &Value::from(actual), &detail)
    }

    fn new(field: impl Into<String>, kind: FieldErrorKind, message: String) -> Self {
        let field: String = field.into();
        let field = if field.is_empty() {
            NO_FIELD.to_owned()
        } else {
            field
        };
        Self { field, kind, message }
    }

    /// Whether Kubernetes skips the CEL rules once this error is found.
    pub(crate) fn blocks_rules(&self) -> bool {
        match self.kind {
            FieldErrorKind::NotSupported
            | FieldErrorKind::Required
            | FieldErrorKind::TooLong
            | FieldErrorKind::TooMany
            | FieldErrorKind::TypeInvalid => true,
            FieldErrorKind::Duplicate | FieldErrorKind::Forbidden | FieldErrorKind::Invalid => false,
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Why a schema cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The schema breaks the rules for structural schemas, or one of its CEL rules does not compile.
    #[error("the schema is invalid: {}", join(.0))]
    Invalid(Vec<FieldError>),
    /// The schema is nested deeper than [`super::MAX_SCHEMA_DEPTH`].
    #[error("the schema is nested more than {limit} levels deep")]
    TooDeep {
        /// The limit that was exceeded.
        limit: usize,
    },
}

fn join(errors: &[FieldError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

fn append_detail(message: &mut String, detail: &str) {
    if !detail.is_empty() {
        message.push_str(": ");
        message.push_str(detail);
    }
}

fn go_value(value: &Value) -> String {
    match value {
        Value::String(text) => go_quote(text),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => go_float(float),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Quotes as Go's `strconv.Quote` does, which is what Kubernetes' messages show.
pub(crate) fn go_quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{07}' => quoted.push_str("\\a"),
            '\u{08}' => quoted.push_str("\\b"),
            '\u{0c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{0b}' => quoted.push_str("\\v"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => {
                push_escape(&mut quoted, format_args!("\\x{:02x}", u32::from(c)));
            }
            c if c.is_control() => push_escape(&mut quoted, format_args!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn push_escape(to: &mut String, escape: fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = to.write_fmt(escape);
}

/// Prints a float as Go's `%v` does: shortest digits, an exponent only below 1e-4 and from 1e21.
pub(crate) fn go_float(float: f64) -> String {
    let magnitude = float.abs();
    if magnitude == 0.0 || (1e-4..1e21).contains(&magnitude) {
        return float.to_string();
    }
    let text = format!("{float:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let (sign, digits) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}
