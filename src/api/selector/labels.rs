//! Label selectors: the text of a query parameter, or the structure that resources embed.
//!
//! The grammar, the texts of its errors and what matches are those of `k8s.io/apimachinery/pkg/labels`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as LabelSelectorSpec;

use super::SelectorError;
use super::lexer::{Token, tokens};
use super::names::{label_key_errors, label_value_errors};
use crate::api::schema::go_quote;

/// What a requirement asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    DoesNotExist,
    Equals,
    DoubleEquals,
    Exists,
    GreaterThan,
    In,
    LessThan,
    NotEquals,
    NotIn,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
    values: BTreeSet<String>,
}

/// Conditions on labels that must all hold. The default selects everything.
///
/// `Display` gives the canonical text, which parses to the same selector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Parses the text of a `labelSelector` query parameter, such as `tier in (a,b),!retired`.
    ///
    /// # Errors
    /// [`SelectorError`] in Kubernetes' words.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let tokens = tokens(text);
        let mut parser = Parser {
            tokens: &tokens,
            position: 0,
        };
        parser.selector()
    }

    /// The conditions on these labels alone.
    #[must_use]
    pub fn on(&self, keys: &[&str]) -> Self {
        let requirements = self.requirements.iter();
        Self {
            requirements: requirements
                .filter(|requirement| keys.contains(&requirement.key.as_str()))
                .cloned()
                .collect(),
        }
    }

    /// Makes a selector of the structure that resources embed. An empty structure selects everything.
    ///
    /// # Errors
    /// [`SelectorError`] when an operator, key or value is not allowed.
    pub fn from_spec(spec: &LabelSelectorSpec) -> Result<Self, SelectorError> {
        let mut requirements = Vec::new();
        for (key, value) in spec.match_labels.iter().flatten() {
            requirements.push(Requirement::new(key, Operator::Equals, [value.clone()].into())?);
        }
        for expression in spec.match_expressions.iter().flatten() {
            let operator = match expression.operator.as_str() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    let text = format!("{} is not a valid label selector operator", go_quote(other));
                    return Err(SelectorError(text));
                }
            };
            let values = expression.values.iter().flatten().cloned().collect();
            requirements.push(Requirement::new(&expression.key, operator, values)?);
        }
        Ok(Self::of(requirements))
    }

    /// Whether every condition holds for these labels.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_with(|key| labels.get(key).map(String::as_str))
    }

    /// As [`Self::matches`], with a lookup in place of a map.
    pub fn matches_with<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.matches(label(&requirement.key)))
    }

    /// Whether there is no condition at all.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    fn of(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, requirement) in self.requirements.iter().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl Requirement {
    fn new(key: &str, operator: Operator, values: BTreeSet<String>) -> Result<Self, SelectorError> {
        let mut errors = Vec::new();
        let problems = label_key_errors(key);
        if !problems.is_empty() {
            errors.push(format!(
                "key: Invalid value: {}: {}",
                go_quote(key),
                problems.join("; ")
            ));
        }
        let listed: Vec<&String> = values.iter().collect();
        let wrong_count = match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                Some("for 'in', 'notin' operators, values set can't be empty")
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                Some("values set must be empty for exists and does not exist")
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if values.len() != 1 => {
                Some("exact-match compatibility requires one single value")
            }
            Operator::GreaterThan | Operator::LessThan if values.len() != 1 => {
                Some("for 'Gt', 'Lt' operators, exactly one value is required")
            }
            _ => None,
        };
        if let Some(problem) = wrong_count {
            let shown = serde_json::to_string(&listed).unwrap_or_default();
            errors.push(format!("values: Invalid value: {shown}: {problem}"));
        }
        for (index, value) in listed.iter().enumerate() {
            if matches!(operator, Operator::GreaterThan | Operator::LessThan) && value.parse::<i64>().is_err()
            {
                let text = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(format!(
                    "values[{index}]: Invalid value: {}: {text}",
                    go_quote(value)
                ));
            }
            let problems = label_value_errors(value);
            if !problems.is_empty() {
                let shown = go_quote(value);
                errors.push(format!(
                    "values[{index}][{key}]: Invalid value: {shown}: {}",
                    problems.join("; ")
                ));
            }
        }
        match errors.len() {
            0 => Ok(Self {
                key: key.to_owned(),
                operator,
                values,
            }),
            1 => Err(SelectorError(errors.concat())),
            _ => Err(SelectorError(format!("[{}]", errors.join(", ")))),
        }
    }

    fn matches(&self, label: Option<&str>) -> bool {
        let number = |text: &str| text.parse::<i64>().ok();
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => {
                label.is_some_and(|label| self.values.contains(label))
            }
            Operator::NotIn | Operator::NotEquals => label.is_none_or(|label| !self.values.contains(label)),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let limit = self.values.first().and_then(|limit| number(limit));
                match (label.and_then(number), limit) {
                    (Some(found), Some(limit)) if self.operator == Operator::GreaterThan => found > limit,
                    (Some(found), Some(limit)) => found < limit,
                    _ => false,
                }
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values: Vec<&str> = self.values.iter().map(String::as_str).collect();
        let (key, values) = (&self.key, values.join(","));
        match self.operator {
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Exists => f.write_str(key),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
        }
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    position: usize,
}

impl Parser<'_> {
    /// The next token; the list ends with [`Token::End`], which is never passed.
    fn peek(&self) -> Token {
        self.tokens.get(self.position).cloned().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token {
        let token = self.peek();
        self.position += 1;
        token
    }

    fn selector(&mut self) -> Result<LabelSelector, SelectorError> {
        let mut requirements = Vec::new();
        loop {
            match self.peek().as_value() {
                Token::Identifier(_) | Token::Not => {
                    let requirement = self
                        .requirement()
                        .map_err(|error| SelectorError(format!("unable to parse requirement: {error}")))?;
                    requirements.push(requirement);
                    match self.next() {
                        Token::End => return Ok(LabelSelector::of(requirements)),
                        Token::Comma => match self.peek().as_value() {
                            Token::Identifier(_) | Token::Not => {}
                            other => return Err(found(&other, "identifier after ','")),
                        },
                        other => return Err(found(&other, "',' or 'end of string'")),
                    }
                }
                Token::End => return Ok(LabelSelector::of(requirements)),
                other => return Err(found(&other, "!, identifier, or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let mut first = self.next().as_value();
        let negated = first == Token::Not;
        if negated {
            first = self.next().as_value();
        }
        let Token::Identifier(key) = first else {
            return Err(found(&first, "identifier"));
        };
        let problems = label_key_errors(&key);
        if !problems.is_empty() {
            return Err(SelectorError(format!(
                "<nil>: Invalid value: {}: {}",
                go_quote(&key),
                problems.join("; ")
            )));
        }
        if negated {
            return Requirement::new(&key, Operator::DoesNotExist, BTreeSet::new());
        }
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Requirement::new(&key, Operator::Exists, BTreeSet::new());
        }
        let operator = match self.next() {
            Token::In => Operator::In,
            Token::NotIn => Operator::NotIn,
            Token::Equals => Operator::Equals,
            Token::DoubleEquals => Operator::DoubleEquals,
            Token::NotEquals => Operator::NotEquals,
            Token::GreaterThan => Operator::GreaterThan,
            Token::LessThan => Operator::LessThan,
            other => return Err(found(&other, "in, notin, =, ==, !=, gt, lt")),
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => self.exact_value()?,
        };
        Requirement::new(&key, operator, values)
    }

    fn exact_value(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        if matches!(self.peek(), Token::End | Token::Comma) {
            return Ok([String::new()].into());
        }
        match self.next().as_value() {
            Token::Identifier(value) => Ok([value].into()),
            other => Err(found(&other, "identifier")),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        let open = self.next();
        if open != Token::Open {
            return Err(SelectorError(format!("found '{open}' expected: '('")));
        }
        let mut values = BTreeSet::new();
        match self.peek().as_value() {
            Token::Close => {
                self.next();
                return Ok([String::new()].into());
            }
            Token::Identifier(_) | Token::Comma => {}
            other => return Err(found(&other, "',', ')' or identifier")),
        }
        loop {
            match self.next().as_value() {
                Token::Identifier(value) => {
                    values.insert(value);
                    match self.peek().as_value() {
                        Token::Comma => {}
                        Token::Close => {
                            self.next();
                            return Ok(values);
                        }
                        other => return Err(found(&other, "',' or ')'")),
                    }
                }
                Token::Comma => {
                    if values.is_empty() {
                        values.insert(String::new());
                    }
                    match self.peek() {
                        Token::Close => {
                            self.next();
                            values.insert(String::new());
                            return Ok(values);
                        }
                        Token::Comma => {
                            values.insert(String::new());
                        }
                        _ => {}
                    }
                }
                other => return Err(found(&other, "',', or identifier")),
            }
        }
    }
}

fn found(token: &Token, expected: &str) -> SelectorError {
    SelectorError(format!("found '{token}', expected: {expected}"))
}
