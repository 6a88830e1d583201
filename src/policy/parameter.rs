//! Parameters: values that an assignment sets, and their places in content.
//!
//! In content, a text that is exactly `$(name)` becomes the parameter's value with its type; inside a longer text it becomes the
//! value's text. `$$(` stands for `$(` itself. In CEL a parameter is `params.name`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::api::baseline::{Parameter, ParameterType};
use crate::api::common::ParameterValues;
use crate::suggest::did_you_mean;

/// The longest text or list that a parameter may hold.
const MAX_VALUE: usize = 4096;

/// Why a value cannot be used for a parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// There is no such parameter.
    #[error("there is no parameter `{name}`{suggestion}")]
    Unknown {
        /// The name given.
        name: String,
        /// A hint, or nothing.
        suggestion: String,
    },
    /// The value is not of its type, or not in its bounds.
    #[error("parameter `{name}` is {value}, but must be {expected}")]
    Value {
        /// The parameter.
        name: String,
        /// The value given, as JSON.
        value: String,
        /// What is allowed.
        expected: String,
    },
    /// A `$(` that is not followed by a name and `)`.
    #[error("`$(` without a parameter's name and `)` in {text:?}; write `$$(` for the characters themselves")]
    Unfinished {
        /// The text.
        text: String,
    },
    /// A list in the middle of a text.
    #[error("parameter `{name}` is a list and can only stand alone, not inside the text {text:?}")]
    ListInText {
        /// The parameter.
        name: String,
        /// The text.
        text: String,
    },
}

impl ParameterError {
    /// The parameter it is about.
    #[must_use]
    pub fn parameter(&self) -> Option<&str> {
        match self {
            Self::Unknown { name, .. } | Self::Value { name, .. } | Self::ListInText { name, .. } => {
                Some(name)
            }
            Self::Unfinished { .. } => None,
        }
    }
}

/// The value of each parameter: what is assigned, else its default. What cannot be used is left out and reported.
#[must_use]
pub fn resolve(
    parameters: &[Parameter],
    assigned: &ParameterValues,
) -> (BTreeMap<String, Value>, Vec<ParameterError>) {
    let mut values = BTreeMap::new();
    let mut errors = Vec::new();
    for parameter in parameters {
        let value = assigned.get(&parameter.name).unwrap_or(&parameter.default);
        match check(parameter, value) {
            Ok(()) => {
                values.insert(parameter.name.clone(), value.clone());
            }
            Err(error) => errors.push(error),
        }
    }
    for name in assigned.keys() {
        if !parameters.iter().any(|parameter| parameter.name == *name) {
            errors.push(ParameterError::Unknown {
                suggestion: did_you_mean(name, parameters.iter().map(|parameter| parameter.name.as_str())),
                name: name.clone(),
            });
        }
    }
    (values, errors)
}

/// Whether a value is of a parameter's type, within its bounds and among the values allowed.
///
/// # Errors
/// What is wrong with it.
pub fn check(parameter: &Parameter, value: &Value) -> Result<(), ParameterError> {
    let wrong = |expected: String| {
        let value: String = value.to_string().chars().take(80).collect();
        Err(ParameterError::Value {
            name: parameter.name.clone(),
            value,
            expected,
        })
    };
    let members: Vec<&Value> = match (parameter.type_, value) {
        (ParameterType::Boolean, Value::Bool(_)) => vec![value],
        (ParameterType::String, Value::String(text)) if text.len() <= MAX_VALUE => vec![value],
        (ParameterType::StringList, Value::Array(list))
            if list.len() <= MAX_VALUE && list.iter().all(Value::is_string) =>
        {
            list.iter().collect()
        }
        (ParameterType::Integer, Value::Number(number)) => {
            let Some(number) = number.as_i64() else {
                return wrong("a whole number".to_owned());
            };
            if parameter.minimum.is_some_and(|minimum| number < minimum) {
                return wrong(format!("at least {}", parameter.minimum.unwrap_or_default()));
            }
            if parameter.maximum.is_some_and(|maximum| number > maximum) {
                return wrong(format!("at most {}", parameter.maximum.unwrap_or_default()));
            }
            vec![value]
        }
        (ParameterType::Boolean, _) => return wrong("true or false".to_owned()),
        (ParameterType::Integer, _) => return wrong("a whole number".to_owned()),
        (ParameterType::String, _) => return wrong(format!("a text of at most {MAX_VALUE} bytes")),
        (ParameterType::StringList, _) => return wrong("a list of texts".to_owned()),
    };
    if !parameter.allowed.is_empty() && !members.iter().all(|member| parameter.allowed.contains(member)) {
        let allowed: Vec<String> = parameter.allowed.iter().map(Value::to_string).collect();
        return wrong(format!("one of {}", allowed.join(", ")));
    }
    Ok(())
}

/// A piece of a text: characters, or the name of a parameter.
enum Piece<'a> {
    Text(&'a str),
    Parameter(&'a str),
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, ParameterError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("$(") {
        if let Some(before) = before.strip_suffix('$') {
            pieces.extend([Piece::Text(before), Piece::Text("$(")]);
            rest = after;
            continue;
        }
        pieces.push(Piece::Text(before));
        let (name, after) = after
            .split_once(')')
            .filter(|(name, _)| is_name(name))
            .ok_or_else(|| ParameterError::Unfinished {
                text: text.chars().take(80).collect(),
            })?;
        pieces.push(Piece::Parameter(name));
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| !matches!(piece, Piece::Text("")));
    Ok(pieces)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Content with parameters replaced by their values.
///
/// # Errors
/// At the first text that names what is not there, or cannot be read.
pub fn substitute(content: &Value, values: &BTreeMap<String, Value>) -> Result<Value, ParameterError> {
    match content {
        Value::String(text) => substitute_text(text, values),
        Value::Array(list) => list.iter().map(|item| substitute(item, values)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| Ok((key.clone(), substitute(value, values)?)))
            .collect::<Result<serde_json::Map<_, _>, _>>()
            .map(Value::Object),
        other => Ok(other.clone()),
    }
}

fn substitute_text(text: &str, values: &BTreeMap<String, Value>) -> Result<Value, ParameterError> {
    let value_of = |name: &str| {
        values.get(name).ok_or_else(|| ParameterError::Unknown {
            name: name.to_owned(),
            suggestion: did_you_mean(name, values.keys().map(String::as_str)),
        })
    };
    let pieces = pieces(text)?;
    if let [Piece::Parameter(name)] = pieces.as_slice() {
        return value_of(name).cloned();
    }
    let mut whole = String::with_capacity(text.len());
    for piece in pieces {
        match piece {
            Piece::Text(text) => whole.push_str(text),
            Piece::Parameter(name) => match value_of(name)? {
                Value::String(value) => whole.push_str(value),
                Value::Array(_) => {
                    return Err(ParameterError::ListInText {
                        name: name.to_owned(),
                        text: text.chars().take(80).collect(),
                    });
                }
                other => whole.push_str(&other.to_string()),
            },
        }
    }
    Ok(Value::String(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parameter(name: &str, type_: ParameterType, default: Value) -> Parameter {
        Parameter {
            name: name.to_owned(),
            description: String::new(),
            type_,
            default,
            minimum: None,
            maximum: None,
            allowed: Vec::new(),
        }
    }

    fn parameters() -> Vec<Parameter> {
        let mut delay = parameter("delay", ParameterType::Integer, json!(20));
        (delay.minimum, delay.maximum) = (Some(1), Some(60));
        let mut level = parameter("level", ParameterType::String, json!("medium"));
        level.allowed = vec![json!("medium"), json!("full")];
        vec![
            delay,
            level,
            parameter("banner", ParameterType::String, json!("Hello")),
            parameter("apps", ParameterType::StringList, json!(["a"])),
        ]
    }

    fn refused(assigned: Value) -> Vec<String> {
        let assigned: ParameterValues = serde_json::from_value(assigned).unwrap();
        resolve(&parameters(), &assigned)
            .1
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn an_assigned_value_wins_over_the_default() {
        let (values, errors) = resolve(
            &parameters(),
            &ParameterValues::from([("delay".to_owned(), json!(5))]),
        );
        assert_eq!(errors, []);
        assert_eq!(values["delay"], json!(5));
        assert_eq!(values["level"], json!("medium"));
    }

    #[test]
    fn a_value_of_another_type_or_out_of_bounds_is_refused_with_what_is_allowed() {
        assert_eq!(
            refused(json!({ "delay": 0 })),
            ["parameter `delay` is 0, but must be at least 1"]
        );
        assert_eq!(
            refused(json!({ "delay": 61 })),
            ["parameter `delay` is 61, but must be at most 60"]
        );
        assert_eq!(
            refused(json!({ "delay": 5.5 })),
            ["parameter `delay` is 5.5, but must be a whole number"]
        );
        assert_eq!(
            refused(json!({ "delay": "5" })),
            ["parameter `delay` is \"5\", but must be a whole number"]
        );
        assert_eq!(
            refused(json!({ "level": "low" })),
            ["parameter `level` is \"low\", but must be one of \"medium\", \"full\""]
        );
        assert_eq!(
            refused(json!({ "apps": ["a", 1] })),
            ["parameter `apps` is [\"a\",1], but must be a list of texts"]
        );
        assert_eq!(
            refused(json!({ "dalay": 5 })),
            ["there is no parameter `dalay`; did you mean `delay`?"]
        );
    }

    #[test]
    fn a_parameter_alone_keeps_its_type_and_inside_a_text_becomes_text() {
        let (values, _) = resolve(&parameters(), &ParameterValues::new());
        let content = json!({ "delay": "$(delay)", "text": "$(banner), wait $(delay)s", "deep": [{ "apps": "$(apps)" }], "raw": "$$(delay) costs $5", "n": 1 });
        assert_eq!(
            substitute(&content, &values).unwrap(),
            json!({ "delay": 20, "text": "Hello, wait 20s", "deep": [{ "apps": ["a"] }], "raw": "$(delay) costs $5", "n": 1 })
        );
    }

    #[test]
    fn what_cannot_be_replaced_is_an_error() {
        let (values, _) = resolve(&parameters(), &ParameterValues::new());
        let error = |text: &str| {
            substitute(&json!({ "x": [text] }), &values)
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error("$(banne)"),
            "there is no parameter `banne`; did you mean `banner`?"
        );
        assert!(error("$(banner").starts_with("`$(` without"));
        assert!(error("$(ban ner)").starts_with("`$(` without"));
        assert!(error("apps: $(apps)").contains("is a list"));
    }
}
