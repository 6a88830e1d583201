//! CEL rules (`x-kubernetes-validations`): compiled once with their schema, run on every object.
//!
//! Transition rules (those that read `oldSelf`) run only where the old object has a counterpart: the same field, or the
//! item of a `map` list with the same keys. Other rules are skipped where nothing changed. The work of one object is
//! bounded by [`BUDGET`].

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::ValidationRule;
use kube_cel::KubeCelExt as _;
use kube_cel::cel::common::ast::{EntryExpr, Expr, IdedExpr};
use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{Context, ExecutionError, Program, Value as CelValue};
use serde_json::Value;

use super::celvalue::{Conversions, Converter};
use super::compile::MAX_SCHEMA_DEPTH;
use super::error::{FieldError, FieldErrorKind};
use super::node::{Additional, Embedded, JsonType, Node};
use super::path::Path;
use super::typecheck::{self, Place};
use super::validate::OldItems;

/// How many steps of comprehensions all rules of one object may take, as estimated from the longest list or map each
/// rule can see. Enough for two nested loops over 3,000 items.
const BUDGET: u64 = 10_000_000;

/// How long a rule or message expression may be, in bytes.
const MAX_EXPRESSION: usize = 16 * 1024;

/// How long the result of a message expression may be, in bytes.
const MAX_MESSAGE: usize = 5 * 1024;

/// One compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    source: ValidationRule,
    program: Result<Program, String>,
    message: Option<Result<Program, String>>,
    is_transition: bool,
    loops: u32,
}

impl Rule {
    pub(super) fn compile(source: &ValidationRule) -> Self {
        let program = compile(&source.rule);
        let message = source
            .message_expression
            .as_deref()
            .filter(|text| !text.is_empty())
            .map(compile);
        let expressions = [
            program.as_ref().ok(),
            message.as_ref().and_then(|message| message.as_ref().ok()),
        ];
        Self {
            is_transition: expressions
                .iter()
                .flatten()
                .any(|program| program.references().has_variable("oldSelf")),
            loops: expressions
                .iter()
                .flatten()
                .map(|program| loops(program.expression()))
                .max()
                .unwrap_or(0),
            source: source.clone(),
            program,
            message,
        }
    }

    fn is_old_self_optional(&self) -> bool {
        self.source.optional_old_self == Some(true)
    }

    /// The rule in words: its message, else its source.
    fn text(&self) -> &str {
        match self.source.message.as_deref() {
            Some(message) if !message.is_empty() => message.trim(),
            _ => self.source.rule.trim(),
        }
    }
}

fn compile(source: &str) -> Result<Program, String> {
    if source.len() > MAX_EXPRESSION {
        return Err(format!("the expression is longer than {MAX_EXPRESSION} bytes"));
    }
    Program::compile(source).map_err(|error| in_cel_layout(&error.to_string()))
}

/// The lines that show where an expression goes wrong are set in by one.
fn in_cel_layout(error: &str) -> String {
    error.replace("\n| ", "\n | ")
}

/// A rule as the API server shows it: in its internal form.
fn shown(rule: &ValidationRule) -> String {
    let text = |value: Option<&str>| go_json(value.unwrap_or_default());
    format!(
        "{{\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}",
        go_json(&rule.rule),
        text(rule.message.as_deref()),
        text(rule.message_expression.as_deref()),
        rule.reason.as_deref().map_or_else(|| "null".to_owned(), go_json),
        text(rule.field_path.as_deref()),
        rule.optional_old_self
            .map_or_else(|| "null".to_owned(), |given| given.to_string()),
    )
}

/// A text as Go writes it in JSON, which is safe inside HTML.
fn go_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

/// How deep the loops (`all`, `exists`, `map`, `filter` …) of an expression nest.
fn loops(expression: &IdedExpr) -> u32 {
    let deepest =
        |expressions: &[&IdedExpr]| expressions.iter().map(|nested| loops(nested)).max().unwrap_or(0);
    match &expression.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => 0,
        Expr::Call(call) => deepest(&call.args.iter().chain(call.target.as_deref()).collect::<Vec<_>>()),
        Expr::Comprehension(each) => {
            let inside = 1 + deepest(&[&each.loop_cond, &each.loop_step]);
            inside.max(deepest(&[&each.iter_range, &each.accu_init, &each.result]))
        }
        Expr::List(list) => deepest(&list.elements.iter().collect::<Vec<_>>()),
        Expr::Map(map) => entries(map.entries.iter().map(|entry| &entry.expr)),
        Expr::Struct(structure) => entries(structure.entries.iter().map(|entry| &entry.expr)),
        Expr::Select(select) => loops(&select.operand),
    }
}

fn entries<'a>(entries: impl Iterator<Item = &'a EntryExpr>) -> u32 {
    entries
        .map(|entry| match entry {
            EntryExpr::MapEntry(entry) => loops(&entry.key).max(loops(&entry.value)),
            EntryExpr::StructField(field) => loops(&field.value),
        })
        .max()
        .unwrap_or(0)
}

/// What keeps the rules of a schema from being used.
pub(super) fn compilation_errors(prefix: &str, root: &Node) -> Vec<FieldError> {
    let mut errors = Vec::new();
    check_compilation(root, Embedded::Yes, true, &Path::starting_at(prefix), &mut errors);
    errors
}

/// `resource` is whether the value is a whole object, as that of the root always is.
fn check_compilation(
    node: &Node,
    resource: Embedded,
    correlatable: bool,
    at: &Path<'_>,
    errors: &mut Vec<FieldError>,
) {
    let rules = at.field("x-kubernetes-validations");
    for (index, rule) in node.rules.iter().enumerate() {
        let here = rules.index(index);
        let mut failed = |name: &str, error: &str| {
            let what = if name == "rule" { "" } else { "messageExpression " };
            let detail = format!("{what}compilation failed: {error}");
            errors.push(FieldError::verbatim(
                here.field(name).to_string(),
                &shown(&rule.source),
                &detail,
            ));
        };
        let place = Place {
            node,
            resource,
            optional_old_self: rule.is_old_self_optional(),
        };
        let rule_text = rule.source.rule.as_str();
        let message_text = rule.source.message_expression.as_deref().unwrap_or_default();
        let expressions = [
            ("rule", rule_text, Some(&rule.program)),
            ("messageExpression", message_text, rule.message.as_ref()),
        ];
        for (name, text, program) in expressions {
            match program {
                Some(Ok(program)) => {
                    if let Some(error) = typecheck::check(program, text, place) {
                        failed(name, &error);
                    }
                }
                Some(Err(error)) => failed(name, error),
                None => {}
            }
        }
        if rule.is_transition && !correlatable {
            let detail =
                format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {at}");
            errors.push(FieldError::invalid(
                here.field("rule"),
                &Value::from(rule.source.rule.as_str()),
                &detail,
            ));
        }
    }
    let properties = at.field("properties");
    for (name, property) in &node.properties {
        check_compilation(
            property,
            property.resource,
            correlatable,
            &properties.key(name),
            errors,
        );
    }
    if let Some(items) = &node.items {
        let keyed = matches!(node.list_type, super::ListType::Map(_));
        check_compilation(
            items,
            items.resource,
            correlatable && keyed,
            &at.field("items"),
            errors,
        );
    }
    if let Additional::Schema(additional) = &node.additional {
        check_compilation(
            additional,
            additional.resource,
            correlatable,
            &at.field("additionalProperties"),
            errors,
        );
    }
}

thread_local! {
    /// Registering the functions of Kubernetes costs more than most rules, so each thread does it once.
    static FUNCTIONS: (Context<'static>, Conversions) = (Context::default().with_all(), Conversions::new());
}

/// Runs every rule that applies to `new`.
pub(super) fn evaluate(new: &Value, old: Option<&Value>, root: &Node) -> Vec<FieldError> {
    FUNCTIONS.with(|(context, conversions)| {
        let mut run = Run {
            converter: Converter { context, conversions },
            context,
            errors: Vec::new(),
            budget: BUDGET,
            depth: 0,
        };
        run.node(new, old, false, root, &Path::ROOT);
        run.errors
    })
}

/// The rules of one object being run.
struct Run<'a> {
    converter: Converter<'a>,
    context: &'a Context<'a>,
    errors: Vec<FieldError>,
    budget: u64,
    depth: usize,
}

impl Run<'_> {
    /// `unchanged` says that some surrounding value equals its old version.
    fn node(&mut self, value: &Value, old: Option<&Value>, unchanged: bool, node: &Node, at: &Path<'_>) {
        if !node.has_rules || value.is_null() || self.budget == 0 || self.depth > MAX_SCHEMA_DEPTH {
            return;
        }
        let unchanged = unchanged || old == Some(value);
        if !node.rules.is_empty() {
            self.rules(value, old, unchanged, node, at);
        }
        self.depth += 1;
        for branch in &node.all_of {
            self.node(value, old, unchanged, branch, at);
        }
        match value {
            Value::Array(items) => {
                if let Some(item_node) = &node.items {
                    let old_items = OldItems::of(old, node);
                    for (index, item) in items.iter().enumerate() {
                        self.node(
                            item,
                            old_items.counterpart(item),
                            unchanged,
                            item_node,
                            &at.index(index),
                        );
                    }
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let old = old.and_then(|old| old.get(name));
                    if let Some(property) = node.properties.get(name) {
                        self.node(field, old, unchanged, property, &at.field(name));
                    } else if let Some(additional) = node.field(name) {
                        self.node(field, old, unchanged, additional, &at.key(name));
                    }
                }
            }
            Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
        }
        self.depth -= 1;
    }

    fn rules(&mut self, value: &Value, old: Option<&Value>, unchanged: bool, node: &Node, at: &Path<'_>) {
        let old = old.filter(|old| !old.is_null());
        let applies = |rule: &&Rule| {
            if rule.is_transition {
                old.is_some() || rule.is_old_self_optional()
            } else {
                !unchanged
            }
        };
        if !node.rules.iter().any(|rule| applies(&rule)) {
            return;
        }
        let is_root = self.depth == 0;
        let convert = |value: &Value| {
            if is_root {
                self.converter.resource(value, node)
            } else {
                self.converter.value(value, node)
            }
        };
        let (new_value, old_value) = (convert(value), old.map(convert));
        let longest = longest(value, 0).max(old.map_or(0, |old| longest(old, 0)));
        for rule in node.rules.iter().filter(applies) {
            let cost = u64::try_from(longest)
                .unwrap_or(u64::MAX)
                .max(1)
                .saturating_pow(rule.loops);
            let Some(budget) = self.budget.checked_sub(cost) else {
                self.budget = 0;
                let detail = "validation failed due to running out of cost budget, no further validation rules will be run";
                self.errors
                    .push(FieldError::invalid(at, &type_name(node), detail));
                return;
            };
            self.budget = budget;
            let mut scope = self.context.new_inner_scope();
            scope.add_variable_from_value("self", new_value.clone());
            match (&old_value, rule.is_old_self_optional()) {
                (old, true) => {
                    let optional = old.clone().map_or_else(OptionalValue::none, OptionalValue::of);
                    scope.add_variable_from_value("oldSelf", CelValue::Opaque(std::sync::Arc::new(optional)));
                }
                (Some(old), false) => scope.add_variable_from_value("oldSelf", old.clone()),
                (None, false) => {}
            }
            self.errors.extend(run_rule(rule, &scope, value, node, at));
        }
    }
}

fn run_rule(
    rule: &Rule,
    scope: &Context<'_>,
    value: &Value,
    node: &Node,
    at: &Path<'_>,
) -> Option<FieldError> {
    let failed = |detail: &str| Some(FieldError::invalid(at, &type_name(node), detail));
    let program = match &rule.program {
        Ok(program) => program,
        Err(error) => return failed(&format!("rule compile error: {error}")),
    };
    match program.execute(scope) {
        Ok(CelValue::Bool(true)) => None,
        Ok(CelValue::Bool(false)) => Some(violation(rule, scope, value, node, at)),
        Ok(_) => failed(&format!(
            "the rule gave no boolean evaluating rule: {}",
            rule.text()
        )),
        Err(error) => failed(&format!("{} evaluating rule: {}", describe(&error), rule.text())),
    }
}

/// The engine prints whole values in some of its errors; an error message should name the mistake only.
fn describe(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "modulus by zero".to_owned(),
        ExecutionError::Overflow(..) => "integer overflow".to_owned(),
        ExecutionError::UndeclaredReference(name) => format!("undeclared reference to '{name}'"),
        ExecutionError::FunctionError { function, message } => format!("{function}: {message}"),
        ExecutionError::IndexOutOfBounds(_) => "index out of bounds".to_owned(),
        // Everything else is an operation on values of the wrong types.
        _ => "no such overload".to_owned(),
    }
}

fn violation(rule: &Rule, scope: &Context<'_>, value: &Value, node: &Node, at: &Path<'_>) -> FieldError {
    let detail = message(rule, scope).unwrap_or_else(|| match rule.source.message.as_deref() {
        Some(message) if !message.is_empty() => message.trim().to_owned(),
        _ => format!("failed rule: {}", rule.text()),
    });
    let field = match rule
        .source
        .field_path
        .as_deref()
        .map(|path| path.trim().trim_start_matches('.'))
    {
        None | Some("") => at.to_string(),
        Some(path) => at.field(path).to_string().replace(".[", "["),
    };
    let kind = match rule.source.reason.as_deref() {
        Some("FieldValueForbidden") => FieldErrorKind::Forbidden,
        Some("FieldValueRequired") => FieldErrorKind::Required,
        Some("FieldValueDuplicate") => FieldErrorKind::Duplicate,
        _ => FieldErrorKind::Invalid,
    };
    let shows_value = !matches!(kind, FieldErrorKind::Forbidden | FieldErrorKind::Required)
        && !matches!(node.types.single(), Some(JsonType::Object | JsonType::Array));
    if shows_value {
        FieldError::with_value(field, kind, value, &detail)
    } else {
        FieldError::without_value(field, kind, &detail)
    }
}

/// The result of the message expression, where there is one that can be shown.
fn message(rule: &Rule, scope: &Context<'_>) -> Option<String> {
    let program = rule.message.as_ref()?.as_ref().ok()?;
    let Ok(CelValue::String(text)) = program.execute(scope) else {
        return None;
    };
    let text = text.trim();
    (!text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n')).then(|| text.to_owned())
}

/// Where a rule cannot be run at all, Kubernetes shows the type in place of the value.
fn type_name(node: &Node) -> Value {
    Value::from(node.types.names())
}

/// The length of the longest list or map in `value`.
fn longest(value: &Value, depth: usize) -> usize {
    if depth > MAX_SCHEMA_DEPTH {
        return 0;
    }
    match value {
        Value::Array(items) => items
            .iter()
            .map(|item| longest(item, depth + 1))
            .fold(items.len(), Ord::max),
        Value::Object(fields) => fields
            .values()
            .map(|field| longest(field, depth + 1))
            .fold(fields.len(), Ord::max),
        Value::String(_) | Value::Bool(_) | Value::Null | Value::Number(_) => 0,
    }
}
