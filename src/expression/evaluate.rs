//! Evaluation within a budget.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use cel::common::ast::operators as op;
use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, SelectExpr};
use serde_json::Value;

use super::compile::static_path;
use super::item::{Item, compare_versions};
use super::{MAX_STEPS, Program};

/// Why an expression has no truth value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// The data does not hold what it needs.
    #[error("{path} was not reported")]
    NotReported {
        /// What is missing, such as `SecurityInfo.FirewallSettings`.
        path: String,
    },
    /// The result is something else.
    #[error("the expression gives {kind}, not true or false")]
    NotBoolean {
        /// What it gives.
        kind: &'static str,
    },
    /// The types do not fit, or arithmetic has no result.
    #[error("the expression cannot be evaluated: {message}")]
    Failed {
        /// What does not fit.
        message: String,
    },
    /// Out of budget.
    #[error("the expression takes more than {MAX_STEPS} steps")]
    TooLong,
}

type Outcome<'a> = Result<Item<'a>, Obstacle>;

fn failed<T>(message: impl Into<String>) -> Result<T, Obstacle> {
    Err(Obstacle::Failed {
        message: message.into(),
    })
}

pub(super) fn evaluate(program: &Program, variables: &[(&str, &Value)]) -> Result<bool, Obstacle> {
    let mut evaluation = Evaluation {
        program,
        variables,
        locals: Vec::new(),
        steps: 0,
    };
    match evaluation.value(&program.root)? {
        Item::Bool(result) => Ok(result),
        other => Err(Obstacle::NotBoolean { kind: other.kind() }),
    }
}

struct Evaluation<'a> {
    program: &'a Program,
    variables: &'a [(&'a str, &'a Value)],
    /// Variables of macros, innermost last. An accumulator may hold an obstacle that a later element overrides.
    locals: Vec<(&'a str, Outcome<'a>)>,
    steps: u32,
}

impl<'a> Evaluation<'a> {
    fn spend(&mut self, steps: u32) -> Result<(), Obstacle> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS {
            return Err(Obstacle::TooLong);
        }
        Ok(())
    }

    fn value(&mut self, expression: &'a IdedExpr) -> Outcome<'a> {
        self.spend(1)?;
        match &expression.expr {
            Expr::Literal(literal) => Ok(match literal {
                LiteralValue::Boolean(b) => Item::Bool(*b.inner()),
                LiteralValue::Int(n) => Item::Int(*n.inner()),
                LiteralValue::UInt(n) => Item::UInt(*n.inner()),
                LiteralValue::Double(n) => Item::Double(*n.inner()),
                LiteralValue::String(text) => Item::Text(Cow::Borrowed(text.inner())),
                LiteralValue::Null | LiteralValue::Bytes(_) => Item::Null,
            }),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.select(expression, select),
            Expr::List(list) => {
                let mut items = Vec::with_capacity(list.elements.len());
                for element in &list.elements {
                    items.push(self.value(element)?);
                }
                Ok(Item::List(Rc::new(items)))
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Call(call) => self.call(expression, call),
            // Refused when it was compiled.
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => failed("it uses what is not supported"),
        }
    }

    fn variable(&self, name: &str) -> Outcome<'a> {
        if let Some((_, value)) = self.locals.iter().rev().find(|(local, _)| *local == name) {
            return value.clone();
        }
        match self.variables.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => Ok(Item::of(value)),
            None => Err(Obstacle::NotReported {
                path: name.to_owned(),
            }),
        }
    }

    fn select(&mut self, expression: &'a IdedExpr, select: &'a SelectExpr) -> Outcome<'a> {
        match self.value(&select.operand)? {
            Item::Object(map) if select.test => Ok(Item::Bool(map.contains_key(&select.field))),
            Item::Object(map) => map
                .get(&select.field)
                .map(Item::of)
                .ok_or_else(|| Obstacle::NotReported {
                    path: name_of(expression),
                }),
            other => failed(format!(
                "{} is {}, which has no `{}`",
                name_of(&select.operand),
                other.kind(),
                select.field
            )),
        }
    }

    fn comprehension(&mut self, c: &'a ComprehensionExpr) -> Outcome<'a> {
        let range = self.value(&c.iter_range)?;
        self.spend(range.weight())?;
        let Some(elements) = range.elements() else {
            return failed(format!(
                "{} is {}, not a list",
                name_of(&c.iter_range),
                range.kind()
            ));
        };
        let initial = self.value(&c.accu_init)?;
        let depth = self.locals.len();
        self.locals.push((&c.accu_var, Ok(initial)));
        self.locals.push((&c.iter_var, Ok(Item::Null)));
        let result = self.fold(c, depth, elements);
        self.locals.truncate(depth);
        result
    }

    fn fold(&mut self, c: &'a ComprehensionExpr, depth: usize, elements: Vec<Item<'a>>) -> Outcome<'a> {
        for element in elements {
            match self.value(&c.loop_cond)? {
                Item::Bool(true) => {}
                Item::Bool(false) => break,
                other => return Err(Obstacle::NotBoolean { kind: other.kind() }),
            }
            if let Some((_, value)) = self.locals.get_mut(depth + 1) {
                *value = Ok(element);
            }
            let step = match self.value(&c.loop_step) {
                Err(Obstacle::TooLong) => return Err(Obstacle::TooLong),
                other => other,
            };
            if let Some((_, value)) = self.locals.get_mut(depth) {
                *value = step;
            }
        }
        self.value(&c.result)
    }

    fn call(&mut self, expression: &'a IdedExpr, call: &'a CallExpr) -> Outcome<'a> {
        let name = call.func_name.as_str();
        match (name, call.args.as_slice()) {
            (op::LOGICAL_AND, [a, b]) => self.logical(a, b, false),
            (op::LOGICAL_OR, [a, b]) => self.logical(a, b, true),
            (op::CONDITIONAL, [condition, yes, no]) => match self.value(condition)? {
                Item::Bool(true) => self.value(yes),
                Item::Bool(false) => self.value(no),
                other => failed(format!("{} decides nothing before `?`", other.kind())),
            },
            (op::NOT_STRICTLY_FALSE, [a]) => match self.value(a) {
                Ok(Item::Bool(b)) => Ok(Item::Bool(b)),
                Err(Obstacle::TooLong) => Err(Obstacle::TooLong),
                _ => Ok(Item::Bool(true)),
            },
            (op::ADD, [a, b]) => {
                let left = self.take_accumulator(a).map_or_else(|| self.value(a), Ok)?;
                let right = self.value(b)?;
                self.add(left, right)
            }
            (op::INDEX, [a, b]) => {
                let (left, right) = (self.value(a)?, self.value(b)?);
                index(expression, a, &left, &right)
            }
            (op::LOGICAL_NOT, [a]) => match self.value(a)? {
                Item::Bool(b) => Ok(Item::Bool(!b)),
                other => failed(format!("`!` of {}", other.kind())),
            },
            (op::NEGATE, [a]) => match self.value(a)? {
                Item::Int(n) => n
                    .checked_neg()
                    .map_or_else(|| failed("a number is too large"), |n| Ok(Item::Int(n))),
                Item::Double(n) => Ok(Item::Double(-n)),
                other => failed(format!("`-` of {}", other.kind())),
            },
            (_, [a, b]) if call.target.is_none() => {
                let (left, right) = (self.value(a)?, self.value(b)?);
                self.spend(left.weight().min(right.weight()))?;
                binary(name, &left, &right)
            }
            (_, arguments) => {
                let subject = match (&call.target, arguments) {
                    (Some(target), _) => self.value(target)?,
                    (None, [first]) => self.value(first)?,
                    _ => return failed(format!("`{name}` is called with nothing")),
                };
                self.spend(subject.weight())?;
                let argument = match (&call.target, arguments) {
                    (Some(_), [first]) => Some(self.value(first)?),
                    _ => None,
                };
                self.function(name, subject, argument.as_ref())
            }
        }
    }

    /// `&&` (decided by false) and `||` (decided by true): what decides does so whatever the other side is.
    fn logical(&mut self, a: &'a IdedExpr, b: &'a IdedExpr, decides: bool) -> Outcome<'a> {
        let left = self.value(a);
        if matches!(left, Ok(Item::Bool(left)) if left == decides) || left == TOO_LONG {
            return left;
        }
        let right = self.value(b);
        if matches!(right, Ok(Item::Bool(right)) if right == decides) {
            return right;
        }
        match (left?, right?) {
            (Item::Bool(_), Item::Bool(right)) => Ok(Item::Bool(right)),
            (Item::Bool(_), other) | (other, _) => failed(format!("{} is not true or false", other.kind())),
        }
    }

    /// The accumulator of the innermost macro, taken out: the macro's step replaces it next, so that a list grows in place.
    fn take_accumulator(&mut self, expression: &IdedExpr) -> Option<Item<'a>> {
        let Expr::Ident(name) = &expression.expr else {
            return None;
        };
        // The parser's own name; nobody can write it.
        if name != "@result" {
            return None;
        }
        let (_, value) = self.locals.iter_mut().rev().find(|(local, _)| local == name)?;
        std::mem::replace(value, Ok(Item::Null)).ok()
    }

    fn add(&mut self, left: Item<'a>, right: Item<'a>) -> Outcome<'a> {
        let overflow = || Obstacle::Failed {
            message: "a number is too large".to_owned(),
        };
        match (left, right) {
            (Item::Int(a), Item::Int(b)) => a.checked_add(b).map(Item::Int).ok_or_else(overflow),
            (Item::UInt(a), Item::UInt(b)) => a.checked_add(b).map(Item::UInt).ok_or_else(overflow),
            (Item::Double(a), Item::Double(b)) => Ok(Item::Double(a + b)),
            (Item::Text(a), Item::Text(b)) => {
                let text = a.into_owned() + &b;
                let sum = Item::Text(Cow::Owned(text));
                self.spend(sum.weight())?;
                Ok(sum)
            }
            (left @ (Item::Array(_) | Item::List(_)), right @ (Item::Array(_) | Item::List(_))) => {
                let mut list = match left {
                    Item::List(list) => list,
                    other => Rc::new(other.elements().unwrap_or_default()),
                };
                if Rc::strong_count(&list) > 1 {
                    self.spend(u32::try_from(list.len()).unwrap_or(u32::MAX))?;
                }
                self.spend(right.weight())?;
                Rc::make_mut(&mut list).extend(right.elements().unwrap_or_default());
                Ok(Item::List(list))
            }
            (left, right) => failed(format!("{} + {}", left.kind(), right.kind())),
        }
    }

    fn function(&self, name: &str, subject: Item<'a>, argument: Option<&Item<'a>>) -> Outcome<'a> {
        match (name, &subject, argument) {
            ("contains", Item::Text(text), Some(Item::Text(part))) => Ok(Item::Bool(text.contains(&**part))),
            ("startsWith", Item::Text(text), Some(Item::Text(part))) => {
                Ok(Item::Bool(text.starts_with(&**part)))
            }
            ("endsWith", Item::Text(text), Some(Item::Text(part))) => Ok(Item::Bool(text.ends_with(&**part))),
            ("matches", Item::Text(text), Some(Item::Text(pattern))) => {
                match self.program.patterns.get(&**pattern) {
                    Some(regex) => Ok(Item::Bool(regex.is_match(text))),
                    None => failed("the pattern of matches() is not written out"),
                }
            }
            ("size", Item::Text(text), None) => Ok(length(text.chars().count())),
            ("size", Item::Array(list), None) => Ok(length(list.len())),
            ("size", Item::List(list), None) => Ok(length(list.len())),
            ("size", Item::Object(map), None) => Ok(length(map.len())),
            ("string", Item::Bool(b), None) => Ok(Item::Text(Cow::Owned(b.to_string()))),
            ("string", Item::Int(n), None) => Ok(Item::Text(Cow::Owned(n.to_string()))),
            ("string", Item::UInt(n), None) => Ok(Item::Text(Cow::Owned(n.to_string()))),
            ("string", Item::Double(n), None) => Ok(Item::Text(Cow::Owned(n.to_string()))),
            ("string", Item::Text(_), None)
            | ("int", Item::Int(_), None)
            | ("double", Item::Double(_), None) => Ok(subject),
            ("int", Item::Text(text), None) => match text.trim().parse() {
                Ok(n) => Ok(Item::Int(n)),
                Err(_) => failed(format!("int({text:?}) is not a whole number")),
            },
            ("double", Item::Text(text), None) => match text.trim().parse() {
                Ok(n) => Ok(Item::Double(n)),
                Err(_) => failed(format!("double({text:?}) is not a number")),
            },
            #[expect(clippy::cast_precision_loss, reason = "what double() is for")]
            ("double", Item::Int(n), None) => Ok(Item::Double(*n as f64)),
            _ => failed(format!("{name}() of {}", subject.kind())),
        }
    }
}

const TOO_LONG: Outcome<'static> = Err(Obstacle::TooLong);

impl PartialEq for Item<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.equals(other)
    }
}

fn length<'a>(length: usize) -> Item<'a> {
    Item::Int(i64::try_from(length).unwrap_or(i64::MAX))
}

fn index<'a>(whole: &IdedExpr, operand: &IdedExpr, left: &Item<'a>, right: &Item<'a>) -> Outcome<'a> {
    let missing = || Obstacle::NotReported {
        path: static_path(whole).map_or_else(
            || match right {
                Item::Text(key) => format!("{}[{key:?}]", name_of(operand)),
                Item::Int(n) => format!("{}[{n}]", name_of(operand)),
                _ => name_of(operand),
            },
            |path| path.to_string(),
        ),
    };
    match (left, right) {
        (Item::Object(map), Item::Text(key)) => map.get(&**key).map(Item::of).ok_or_else(missing),
        (Item::Array(list), Item::Int(n)) => usize::try_from(*n)
            .ok()
            .and_then(|n| list.get(n))
            .map(Item::of)
            .ok_or_else(missing),
        (Item::List(list), Item::Int(n)) => usize::try_from(*n)
            .ok()
            .and_then(|n| list.get(n))
            .cloned()
            .ok_or_else(missing),
        _ => failed(format!(
            "{} is {}, which has no [{}]",
            name_of(operand),
            left.kind(),
            right.kind()
        )),
    }
}

fn binary<'a>(name: &str, left: &Item<'a>, right: &Item<'a>) -> Outcome<'a> {
    let compare = |accept: fn(Ordering) -> bool| match left.compare(right) {
        Some(order) => Ok(Item::Bool(accept(order))),
        None => failed(format!("{} and {} have no order", left.kind(), right.kind())),
    };
    match name {
        op::EQUALS => Ok(Item::Bool(left.equals(right))),
        op::NOT_EQUALS => Ok(Item::Bool(!left.equals(right))),
        op::LESS => compare(Ordering::is_lt),
        op::LESS_EQUALS => compare(Ordering::is_le),
        op::GREATER => compare(Ordering::is_gt),
        op::GREATER_EQUALS => compare(Ordering::is_ge),
        op::IN => match right {
            Item::Array(list) => Ok(Item::Bool(list.iter().any(|item| left.equals(&Item::of(item))))),
            Item::List(list) => Ok(Item::Bool(list.iter().any(|item| left.equals(item)))),
            Item::Object(map) => match left {
                Item::Text(key) => Ok(Item::Bool(map.contains_key(&**key))),
                _ => Ok(Item::Bool(false)),
            },
            other => failed(format!("`in` {}", other.kind())),
        },
        "versionCompare" => match (left, right) {
            (Item::Text(a), Item::Text(b)) => Ok(Item::Int(compare_versions(a, b) as i64)),
            _ => failed(format!("versionCompare of {} and {}", left.kind(), right.kind())),
        },
        _ => arithmetic(name, left, right),
    }
}

fn arithmetic<'a>(name: &str, left: &Item<'a>, right: &Item<'a>) -> Outcome<'a> {
    let sum = match (name, left, right) {
        (op::SUBSTRACT, Item::Int(a), Item::Int(b)) => a.checked_sub(*b).map(Item::Int),
        (op::MULTIPLY, Item::Int(a), Item::Int(b)) => a.checked_mul(*b).map(Item::Int),
        (op::DIVIDE, Item::Int(a), Item::Int(b)) => a.checked_div(*b).map(Item::Int),
        (op::MODULO, Item::Int(a), Item::Int(b)) => a.checked_rem(*b).map(Item::Int),
        (op::SUBSTRACT, Item::UInt(a), Item::UInt(b)) => a.checked_sub(*b).map(Item::UInt),
        (op::MULTIPLY, Item::UInt(a), Item::UInt(b)) => a.checked_mul(*b).map(Item::UInt),
        (op::DIVIDE, Item::UInt(a), Item::UInt(b)) => a.checked_div(*b).map(Item::UInt),
        (op::MODULO, Item::UInt(a), Item::UInt(b)) => a.checked_rem(*b).map(Item::UInt),
        (op::SUBSTRACT, Item::Double(a), Item::Double(b)) => Some(Item::Double(a - b)),
        (op::MULTIPLY, Item::Double(a), Item::Double(b)) => Some(Item::Double(a * b)),
        (op::DIVIDE, Item::Double(a), Item::Double(b)) => Some(Item::Double(a / b)),
        _ => return failed(format!("arithmetic with {} and {}", left.kind(), right.kind())),
    };
    sum.map_or_else(|| failed("a number is too large, or divided by zero"), Ok)
}

/// What to call an expression in a message: its path, or what it is.
fn name_of(expression: &IdedExpr) -> String {
    if let Some(path) = static_path(expression) {
        return path.to_string();
    }
    match &expression.expr {
        Expr::Select(select) => format!("….{}", select.field),
        _ => "a part of the expression".to_owned(),
    }
}
