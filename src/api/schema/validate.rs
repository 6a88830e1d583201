//! Validation of values against a schema: types, bounds, patterns, formats and combinations of schemas.
//!
//! Order, texts and the choice of which branch of an `anyOf` to report follow `k8s.io/kube-openapi/pkg/validation`.
//! Lists and rules have modules of their own.

mod combinations;

use serde_json::{Map, Number, Value};

use super::error::{FieldError, FieldErrorKind, go_float, go_quote};
use super::format::Format;
use super::listtype::identity;
use super::node::{Additional, Bounds, JsonType, ListType, Node, Nullable};
use super::path::Path;

/// What one schema made of one value. `matches` counts the checks that applied: among the branches of an `anyOf` that
/// all fail, the one with the most is reported.
#[derive(Default)]
struct Outcome {
    errors: Vec<FieldError>,
    matches: usize,
}

impl Outcome {
    fn merge(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.matches += other.matches;
    }
}

/// Checks `new`. Errors in parts that equal their counterpart in `old` are tolerated.
pub(super) fn check(new: &Value, old: Option<&Value>, root: &Node) -> Vec<FieldError> {
    check_node(new, old, root, &Path::ROOT).errors
}

fn check_node(value: &Value, old: Option<&Value>, node: &Node, at: &Path<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    if !node.types.is_empty() || !node.format_name.is_empty() {
        match check_type(value, node, at) {
            Ok(()) => outcome.matches += 2,
            Err(error) => {
                outcome.errors.push(error);
                outcome.matches += 1;
            }
        }
    }
    if value.is_null() {
        outcome.errors.extend(check_allowed(value, node, at));
        return outcome;
    }
    outcome.merge(combinations::check(value, node, at));
    outcome.matches += 2;
    match value {
        Value::String(text) => {
            outcome.errors.extend(check_text(text, node, at));
            outcome.matches += 1;
        }
        Value::Number(number) => {
            outcome.errors.extend(check_number(number, node, at));
            outcome.matches += 2;
        }
        Value::Array(items) => {
            outcome.merge(check_items(items, old, node, at));
            outcome.matches += 2;
        }
        Value::Bool(_) | Value::Null | Value::Object(_) => {}
    }
    outcome.errors.extend(check_allowed(value, node, at));
    outcome.matches += 1;
    if let Value::Object(fields) = value {
        outcome.merge(check_fields(fields, old, node, at));
        outcome.matches += 1;
    }
    outcome.matches += 1;
    if !outcome.errors.is_empty() && old == Some(value) {
        outcome.errors.clear();
    }
    outcome
}

fn check_type(value: &Value, node: &Node, at: &Path<'_>) -> Result<(), FieldError> {
    let (actual, matches) = match value {
        Value::Null if node.nullable == Nullable::Yes || node.types.is_empty() => return Ok(()),
        Value::Null => ("null", false),
        Value::Bool(_) => ("boolean", node.types.contains(JsonType::Boolean)),
        Value::String(_) => ("string", node.types.contains(JsonType::String)),
        Value::Array(_) => ("array", node.types.contains(JsonType::Array)),
        Value::Object(_) => ("object", node.types.contains(JsonType::Object)),
        Value::Number(number) if is_i64(number) => (
            "integer",
            node.types.contains(JsonType::Integer) || node.types.contains(JsonType::Number),
        ),
        Value::Number(number) => {
            let whole = node.types.contains(JsonType::Integer) && number.as_f64().is_some_and(is_whole);
            ("number", whole || node.types.contains(JsonType::Number))
        }
    };
    if matches || (node.types.is_empty() && node.format.is_none()) {
        return Ok(());
    }
    // A type error on a field that has a format names the format.
    let scalar_with_format =
        node.format.is_some() && !matches!(value, Value::String(_) | Value::Array(_) | Value::Null);
    if scalar_with_format {
        let found = match value {
            Value::Number(number) if is_i64(number) => "int64",
            Value::Number(_) => "float64",
            _ => "",
        };
        return Err(type_error(at, &node.format_name, found));
    }
    if node.types.is_empty() {
        return Ok(());
    }
    Err(type_error(at, &node.types.names(), actual))
}

fn type_error(at: &Path<'_>, expected: &str, found: &str) -> FieldError {
    let name = at.to_string();
    let detail = format!("{name} in body must be of type {expected}: {}", go_quote(found));
    FieldError::with_value(name, FieldErrorKind::TypeInvalid, &Value::from(found), &detail)
}

fn check_text(text: &str, node: &Node, at: &Path<'_>) -> Vec<FieldError> {
    let mut errors: Vec<FieldError> = check_text_bounds(text, node, at).into_iter().collect();
    if let Some(format) = node.format.filter(|format| format.is_textual())
        && !format.matches(text)
    {
        errors.push(type_error(at, &node.format_name, text));
    }
    errors
}

/// The first of length and pattern that fails: Kubernetes reports one of them only.
fn check_text_bounds(text: &str, node: &Node, at: &Path<'_>) -> Option<FieldError> {
    let bounds = &node.bounds;
    let length = text.chars().count();
    let invalid = |detail: String| {
        Some(FieldError::invalid(
            at,
            &Value::from(text),
            &format!("{at} in body {detail}"),
        ))
    };
    if let Some(max) = bounds.max_length
        && exceeds(length, max)
    {
        return Some(FieldError::too_long(at, max));
    }
    if let Some(min) = bounds.min_length
        && falls_short(length, min)
    {
        return invalid(format!("should be at least {min} chars long"));
    }
    match node
        .pattern
        .as_ref()
        .map(|pattern| (&pattern.text, &pattern.compiled))
    {
        Some((pattern, Ok(compiled))) if !compiled.is_match(text) => {
            invalid(format!("should match '{pattern}'"))
        }
        Some((pattern, Err(error))) => invalid(format!(
            "should match '{pattern}, but pattern is invalid: {error}'"
        )),
        Some(_) | None => None,
    }
}

fn check_number(number: &Number, node: &Node, at: &Path<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let Some(value) = number.as_f64() else {
        return errors;
    };
    if let Some(text) = out_of_range(number, value, node) {
        errors.push(FieldError::of_object(&format!(
            "Checked value must be of type {text} in {at}"
        )));
    }
    let broken = |detail: String| {
        let detail = format!("{at} in body should be {detail}");
        FieldError::invalid(at, &Value::Number(number.clone()), &detail)
    };
    let Bounds {
        multiple_of,
        minimum,
        exclusive_minimum,
        maximum,
        exclusive_maximum,
        ..
    } = node.bounds;
    if let Some(factor) = multiple_of {
        if is_i64(number) && factor.trunc() <= 0.0 && node.types.single() != Some(JsonType::Integer) {
            // The API server drops a factor's fraction where the value has none, and then takes no value at all.
            let detail = format!("factor MultipleOf declared for {at} must be positive: 0");
            errors.push(FieldError::invalid(at, &Value::from(0), &detail));
        } else if !is_multiple(number, value, factor) {
            errors.push(broken(format!("a multiple of {}", go_float(factor))));
        }
    }
    if let Some(minimum) = minimum {
        let limit = go_float(minimum);
        if exclusive_minimum && value <= minimum {
            errors.push(broken(format!("greater than {limit}")));
        } else if !exclusive_minimum && value < minimum {
            errors.push(broken(format!("greater than or equal to {limit}")));
        }
    }
    if let Some(maximum) = maximum {
        let limit = go_float(maximum);
        if exclusive_maximum && value >= maximum {
            errors.push(broken(format!("less than {limit}")));
        } else if !exclusive_maximum && value > maximum {
            errors.push(broken(format!("less than or equal to {limit}")));
        }
    }
    errors
}

/// The type and format whose range a number leaves, in words.
fn out_of_range(number: &Number, value: f64, node: &Node) -> Option<&'static str> {
    if node.types.single() != Some(JsonType::Integer) {
        return None;
    }
    let fits = is_whole(value) && value.abs() < I64_LIMIT;
    match node.format {
        Some(Format::Int32)
            if !is_whole(value) || !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value) =>
        {
            Some("integer with format int32")
        }
        Some(Format::Int64) if !is_i64(number) && !fits => Some("integer with format int64"),
        None if !is_i64(number) && !fits => Some("integer (default format)"),
        _ => None,
    }
}

/// 2^63: whole floats at or above it do not fit an `i64`.
const I64_LIMIT: f64 = 9_223_372_036_854_775_808.0;

fn is_multiple(number: &Number, value: f64, factor: f64) -> bool {
    if factor <= 0.0 {
        return false;
    }
    if let Some(integer) = number.as_i64()
        && is_whole(factor)
        && factor < I64_LIMIT
    {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "whole and in range, as just checked"
        )]
        return integer % (factor as i64) == 0;
    }
    is_whole(if factor < 1.0 {
        1.0 / factor * value
    } else {
        value / factor
    })
}

fn is_i64(number: &Number) -> bool {
    number.is_i64()
}

/// Whether a float stands for a whole number, with the tolerance that floats need after a division.
fn is_whole(value: f64) -> bool {
    value.is_finite() && (value - value.round()).abs() <= value.abs().max(1.0) * 1e-9
}

fn check_items(items: &[Value], old: Option<&Value>, node: &Node, at: &Path<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    if let Some(item_node) = &node.items {
        let old_items = OldItems::of(old, node);
        for (index, item) in items.iter().enumerate() {
            outcome.merge(check_node(
                item,
                old_items.counterpart(item),
                item_node,
                &at.index(index),
            ));
        }
    }
    let Bounds {
        min_items, max_items, ..
    } = node.bounds;
    if let Some(min) = min_items
        && falls_short(items.len(), min)
    {
        let detail = format!("{at} in body should have at least {min} items");
        outcome
            .errors
            .push(FieldError::invalid(at, &Value::from(items.len()), &detail));
    }
    if let Some(max) = max_items
        && exceeds(items.len(), max)
    {
        outcome.errors.push(FieldError::too_many(at, items.len(), max));
    }
    outcome
}

fn check_allowed(value: &Value, node: &Node, at: &Path<'_>) -> Option<FieldError> {
    if node.allowed.is_empty() || node.allowed.contains(value) {
        return None;
    }
    let same_number = |allowed: &Value| {
        allowed
            .as_f64()
            .is_some_and(|number| Some(number) == value.as_f64())
    };
    if node.allowed.iter().any(same_number) {
        return None;
    }
    Some(FieldError::not_supported(at, value, &node.allowed))
}

fn check_fields(fields: &Map<String, Value>, old: Option<&Value>, node: &Node, at: &Path<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let Bounds {
        min_properties,
        max_properties,
        ..
    } = node.bounds;
    if let Some(min) = min_properties
        && falls_short(fields.len(), min)
    {
        let detail = format!("{at} in body should have at least {min} properties");
        outcome
            .errors
            .push(FieldError::invalid(at, &Value::from(fields.len()), &detail));
    }
    if let Some(max) = max_properties
        && exceeds(fields.len(), max)
    {
        outcome.errors.push(FieldError::too_many(at, fields.len(), max));
    }
    for (name, field) in fields {
        let old = old.and_then(|old| old.get(name));
        let here = at.field(name);
        if let Some(property) = node.properties.get(name) {
            outcome.merge(check_node(field, old, property, &here));
            continue;
        }
        match &node.additional {
            Additional::Schema(additional) => outcome.merge(check_node(field, old, additional, &here)),
            Additional::Forbidden => {
                let detail = format!("{here} in body is a forbidden property");
                outcome
                    .errors
                    .push(FieldError::invalid(at, &Value::from(name.as_str()), &detail));
            }
            Additional::Any | Additional::Unspecified => {}
        }
    }
    for name in node
        .required
        .iter()
        .filter(|name| !fields.contains_key(name.as_str()))
    {
        outcome.errors.push(FieldError::required(at.field(name), ""));
    }
    outcome
}

fn exceeds(size: usize, max: i64) -> bool {
    usize::try_from(max).map_or(true, |max| size > max)
}

fn falls_short(size: usize, min: i64) -> bool {
    usize::try_from(min).is_ok_and(|min| size < min)
}

/// The items of the old version of a list, found by the keys of the list's type. Only lists of type `map` have
/// counterparts: an index says nothing about identity.
pub(super) struct OldItems<'a> {
    by_identity: std::collections::HashMap<String, &'a Value>,
    keys: &'a [String],
}

impl<'a> OldItems<'a> {
    pub(super) fn of(old: Option<&'a Value>, node: &'a Node) -> Self {
        let (ListType::Map(keys), Some(Value::Array(items))) = (&node.list_type, old) else {
            return Self {
                by_identity: std::collections::HashMap::new(),
                keys: &[],
            };
        };
        let by_identity = items
            .iter()
            .map(|item| (identity(item, keys).to_string(), item))
            .collect();
        Self { by_identity, keys }
    }

    pub(super) fn counterpart(&self, item: &Value) -> Option<&'a Value> {
        if self.by_identity.is_empty() {
            return None;
        }
        self.by_identity
            .get(&identity(item, self.keys).to_string())
            .copied()
    }
}
