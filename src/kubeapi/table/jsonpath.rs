//! The part of kubectl's `JSONPath` that custom resource definitions use: fields, indices, `[*]` and simple filters.
//!
//! Examples: `.spec.mode`, `.status.conditions[?(@.type=="Ready")].status`, `.metadata.labels.example\.com/team`,
//! `.spec['a.b']`.

use serde_json::Value;

/// How many steps a path may have.
const MAX_STEPS: usize = 64;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<PathStep>,
}

/// Why a path cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a path that a custom resource definition may use")]
pub struct JsonPathError(String);

#[derive(Clone, Debug, PartialEq)]
enum PathStep {
    Field(String),
    Index(i64),
    All,
    Filter {
        path: Vec<Self>,
        test: Option<(Comparison, Value)>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    NotEqual,
}

impl JsonPath {
    /// Parses a path; a leading `$` is allowed.
    ///
    /// # Errors
    /// [`JsonPathError`] when the path uses more of the language than is served here.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        let trimmed = text.trim();
        let steps = parse_steps(trimmed.strip_prefix('$').unwrap_or(trimmed))
            .filter(|steps| !steps.is_empty() && steps.len() <= MAX_STEPS)
            .ok_or_else(|| JsonPathError(text.to_owned()))?;
        Ok(Self { steps })
    }

    /// The first value that the path leads to.
    #[must_use]
    pub fn first<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        first(object, &self.steps)
    }
}

fn first<'a>(value: &'a Value, steps: &[PathStep]) -> Option<&'a Value> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(value);
    };
    match step {
        PathStep::Field(name) => first(value.get(name)?, rest),
        PathStep::Index(index) => {
            let items = value.as_array()?;
            let position = usize::try_from(*index).ok().or_else(|| {
                items
                    .len()
                    .checked_sub(usize::try_from(index.unsigned_abs()).ok()?)
            })?;
            first(items.get(position)?, rest)
        }
        PathStep::All => match value {
            Value::Array(items) => items.iter().find_map(|item| first(item, rest)),
            Value::Object(fields) => fields.values().find_map(|field| first(field, rest)),
            _ => None,
        },
        PathStep::Filter { path, test } => {
            let passes = |item: &&Value| match (first(item, path), test) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(found), Some((comparison, expected))) => comparison.holds(found, expected),
            };
            value
                .as_array()?
                .iter()
                .filter(passes)
                .find_map(|item| first(item, rest))
        }
    }
}

impl Comparison {
    fn holds(self, found: &Value, expected: &Value) -> bool {
        let order = match (found, expected) {
            (Value::String(found), Value::String(expected)) => Some(found.cmp(expected)),
            (Value::Number(found), Value::Number(expected)) => found
                .as_f64()
                .zip(expected.as_f64())
                .and_then(|(found, expected)| found.partial_cmp(&expected)),
            (Value::Bool(found), Value::Bool(expected)) => Some(found.cmp(expected)),
            _ => None,
        };
        order.is_some_and(|order| match self {
            Self::Equal => order.is_eq(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::NotEqual => order.is_ne(),
        })
    }
}

fn parse_steps(mut text: &str) -> Option<Vec<PathStep>> {
    let mut steps = Vec::new();
    while !text.is_empty() {
        let (step, rest) = if let Some(bracketed) = text.strip_prefix('[') {
            parse_bracket(bracketed)?
        } else {
            parse_name(text.strip_prefix('.')?)?
        };
        steps.push(step);
        text = rest;
    }
    Some(steps)
}

/// A name up to the next dot or bracket; a backslash keeps the character behind it.
fn parse_name(text: &str) -> Option<(PathStep, &str)> {
    let mut name = String::new();
    let mut characters = text.char_indices();
    let mut end = text.len();
    while let Some((position, c)) = characters.next() {
        match c {
            '\\' => name.push(characters.next()?.1),
            '.' | '[' => {
                end = position;
                break;
            }
            other => name.push(other),
        }
    }
    let rest = text.get(end..)?;
    match name.as_str() {
        "" => None,
        "*" => Some((PathStep::All, rest)),
        _ => Some((PathStep::Field(name), rest)),
    }
}

fn parse_bracket(text: &str) -> Option<(PathStep, &str)> {
    if let Some(filter) = text.strip_prefix("?(") {
        let end = closing(filter, ')')?;
        let rest = filter.get(end..)?.strip_prefix(")]")?;
        return Some((parse_filter(filter.get(..end)?)?, rest));
    }
    let end = closing(text, ']')?;
    let (inside, rest) = (text.get(..end)?.trim(), text.get(end..)?.strip_prefix(']')?);
    let step = match inside {
        "*" => PathStep::All,
        quoted if quoted.starts_with(['\'', '"']) => PathStep::Field(unquote(quoted)?),
        index => PathStep::Index(index.parse().ok()?),
    };
    Some((step, rest))
}

/// Where `end` stands outside quotes.
fn closing(text: &str, end: char) -> Option<usize> {
    let mut quote = None;
    for (position, c) in text.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (None, c) if c == end => return Some(position),
            _ => {}
        }
    }
    None
}

fn parse_filter(text: &str) -> Option<PathStep> {
    let path_of = |text: &str| parse_steps(text.trim().strip_prefix('@')?);
    let operators = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<=", Comparison::LessOrEqual),
        (">", Comparison::Greater),
        ("<", Comparison::Less),
    ];
    for (operator, comparison) in operators {
        if let Some((left, right)) = text.split_once(operator) {
            let right = right.trim();
            let expected = match unquote(right) {
                Some(text) => Value::String(text),
                None => serde_json::from_str(right).ok()?,
            };
            return Some(PathStep::Filter {
                path: path_of(left)?,
                test: Some((comparison, expected)),
            });
        }
    }
    Some(PathStep::Filter {
        path: path_of(text)?,
        test: None,
    })
}

fn unquote(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    let inside = text.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inside.contains(quote)).then(|| inside.to_owned())
}
