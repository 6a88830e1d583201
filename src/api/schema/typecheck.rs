//! Whether a CEL rule reads only what its schema has, checked when the schema is compiled: `self.spce` is a mistake that
//! should be told when the definition is installed, not when the first object is.
//!
//! Follows the selections of fields, the items of lists and the values of maps that start at `self` and `oldSelf`. What else
//! an expression makes (the result of a function, say) has a type that is not known here, and is let through: an overload
//! that does not exist shows when the rule runs.

use kube_cel::cel::Program;
use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr,
};

use super::celsource::{Token, located, tokens};
use super::celvalue::escape;
use super::node::{Additional, Embedded, JsonType, Node};

/// The names that start what no rule declares: types, and libraries of functions and types.
const KNOWN: [&str; 30] = [
    "bool",
    "bytes",
    "cel",
    "cidr",
    "double",
    "dyn",
    "format",
    "google",
    "int",
    "ip",
    "kubernetes",
    "list",
    "map",
    "math",
    "net",
    "null_type",
    "optional",
    "optional_type",
    "quantity",
    "semver",
    "sets",
    "string",
    "strings",
    "timestamp",
    "type",
    "uint",
    "url",
    "duration",
    "lists",
    "jsonpatch",
];

/// What is known of a value.
#[derive(Clone, Copy)]
enum Type<'a> {
    /// A value of a schema, which may be the root of an object with its metadata.
    Schema(&'a Node, Embedded),
    /// The metadata of a resource, of which rules see the name.
    Metadata,
    Unknown,
}

/// The schema at which a rule stands.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) node: &'a Node,
    /// Whether `self` has `apiVersion`, `kind` and `metadata`.
    pub(super) resource: Embedded,
    /// Whether `oldSelf` is an optional value.
    pub(super) optional_old_self: bool,
}

/// What an expression reads that is not there, in the words and the layout of the API server; `None` if nothing.
pub(super) fn check(program: &Program, source: &str, place: Place<'_>) -> Option<String> {
    if !is_declared(place.node) {
        return None;
    }
    let own = Type::Schema(place.node, place.resource);
    let old = if place.optional_old_self {
        Type::Unknown
    } else {
        own
    };
    let mut check = Check {
        variables: vec![("self", own), ("oldSelf", old)],
        found: Vec::new(),
        read: Vec::new(),
    };
    check.expression(program.expression());
    let Check { found, mut read, .. } = check;
    if found.is_empty() {
        return None;
    }
    // In the order in which the parser made them, which is that of the text.
    read.sort_by_key(|(id, _)| *id);
    let tokens = tokens(source);
    let place_of = |id: u64| {
        let (_, token) = read.iter().find(|(read, _)| *read == id)?;
        let alike = read.iter().filter(|(_, other)| other == token);
        let index = alike.take_while(|(other, _)| *other != id).count();
        let mut places = tokens.iter().filter(|(_, other)| other == token);
        places.nth(index).map(|(offset, _)| *offset)
    };
    let mut placed: Vec<(usize, String)> = found
        .into_iter()
        .map(|(id, message)| (place_of(id).unwrap_or(0), message))
        .collect();
    placed.sort();
    let texts: Vec<String> = placed
        .iter()
        .map(|(offset, message)| located(source, *offset, message))
        .collect();
    Some(texts.join("\n"))
}

/// Whether rules can see a value: only one whose type is known.
fn is_declared(node: &Node) -> bool {
    if node.resource == Embedded::Yes {
        return true;
    }
    match node.types.single() {
        Some(JsonType::Array) => node.items.as_deref().is_some_and(is_declared),
        Some(JsonType::Object) => match &node.additional {
            Additional::Schema(values) => is_declared(values),
            Additional::Any | Additional::Forbidden | Additional::Unspecified => true,
        },
        Some(JsonType::Boolean | JsonType::Integer | JsonType::Number | JsonType::String) => true,
        None => !node.types.is_empty(),
    }
}

fn of_node(node: &Node) -> Type<'_> {
    Type::Schema(node, node.resource)
}

/// The field of an object: its type, or that it is none.
fn field<'a>(node: &'a Node, resource: Embedded, name: &str) -> Option<Type<'a>> {
    if resource == Embedded::Yes {
        match name {
            "apiVersion" | "kind" => return Some(Type::Unknown),
            "metadata" => return Some(Type::Metadata),
            _ => {}
        }
    }
    if let Additional::Schema(values) = &node.additional {
        return Some(of_node(values));
    }
    let mut properties = node
        .properties
        .iter()
        .filter(|(_, property)| is_declared(property));
    properties
        .find(|(property, _)| escape(property) == name)
        .map(|(_, property)| of_node(property))
}

struct Check<'a> {
    /// The innermost last.
    variables: Vec<(&'a str, Type<'a>)>,
    /// What is wrong, by the expression's id.
    found: Vec<(u64, String)>,
    /// Every name and field that is read, by the same.
    read: Vec<(u64, Token<'a>)>,
}

impl<'a> Check<'a> {
    /// The recursion is bounded by the parser's, which has read the expression.
    fn expression(&mut self, expression: &'a IdedExpr) -> Type<'a> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Type::Unknown,
            Expr::Ident(name) => self.variable(expression.id, name),
            Expr::Select(select) => self.select(expression.id, select),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(each) => self.comprehension(each),
            Expr::List(list) => {
                for element in &list.elements {
                    self.expression(element);
                }
                Type::Unknown
            }
            Expr::Map(map) => self.entries(map.entries.iter().map(|entry| &entry.expr)),
            Expr::Struct(structure) => self.entries(structure.entries.iter().map(|entry| &entry.expr)),
        }
    }

    fn entries(&mut self, entries: impl Iterator<Item = &'a EntryExpr>) -> Type<'a> {
        for entry in entries {
            match entry {
                EntryExpr::MapEntry(entry) => {
                    self.expression(&entry.key);
                    self.expression(&entry.value);
                }
                EntryExpr::StructField(field) => {
                    self.expression(&field.value);
                }
            }
        }
        Type::Unknown
    }

    fn variable(&mut self, id: u64, name: &'a str) -> Type<'a> {
        self.read.push((id, Token::Name(name)));
        if let Some((_, found)) = self.variables.iter().rev().find(|(known, _)| *known == name) {
            return *found;
        }
        if !KNOWN.contains(&name) {
            let message = format!("undeclared reference to '{name}' (in container '')");
            self.found.push((id, message));
        }
        Type::Unknown
    }

    fn select(&mut self, id: u64, select: &'a SelectExpr) -> Type<'a> {
        let token = if select.test {
            Token::Test
        } else {
            Token::Select(&select.field)
        };
        self.read.push((id, token));
        let found = match self.expression(&select.operand) {
            Type::Unknown => return Type::Unknown,
            Type::Metadata => {
                matches!(select.field.as_str(), "name" | "generateName").then_some(Type::Unknown)
            }
            Type::Schema(node, resource) => {
                let is_object = resource == Embedded::Yes || node.types.single() == Some(JsonType::Object);
                if !is_object {
                    return Type::Unknown;
                }
                field(node, resource, &select.field)
            }
        };
        found.unwrap_or_else(|| {
            self.found
                .push((id, format!("undefined field '{}'", select.field)));
            Type::Unknown
        })
    }

    fn call(&mut self, call: &'a CallExpr) -> Type<'a> {
        if let Some(target) = &call.target {
            self.expression(target);
        }
        let types: Vec<Type<'a>> = call
            .args
            .iter()
            .map(|argument| self.expression(argument))
            .collect();
        match (call.func_name.as_str(), types.as_slice()) {
            ("_[_]", [of, _]) => match (*of, call.args.get(1).map(|argument| &argument.expr)) {
                (Type::Schema(node, Embedded::No), Some(Expr::Literal(LiteralValue::String(_)))) => {
                    match &node.additional {
                        Additional::Schema(values) => of_node(values),
                        _ => Type::Unknown,
                    }
                }
                (of, _) => Self::item(of),
            },
            _ => Type::Unknown,
        }
    }

    /// An item of a list, or a value of a map.
    fn item(of: Type<'a>) -> Type<'a> {
        let Type::Schema(node, Embedded::No) = of else {
            return Type::Unknown;
        };
        match (&node.items, &node.additional) {
            (Some(item), _) => of_node(item),
            (None, Additional::Schema(values)) => of_node(values),
            _ => Type::Unknown,
        }
    }

    fn comprehension(&mut self, each: &'a ComprehensionExpr) -> Type<'a> {
        let range = self.expression(&each.iter_range);
        let is_list = matches!(range, Type::Schema(node, _) if node.items.is_some());
        let (first, second) = match (&each.iter_var2, is_list) {
            // Of a map the keys are walked.
            (None, true) => (Self::item(range), Type::Unknown),
            (None, false) => (Type::Unknown, Type::Unknown),
            (Some(_), _) => (Type::Unknown, Self::item(range)),
        };
        self.expression(&each.accu_init);
        let outside = self.variables.len();
        self.variables.push((&each.accu_var, Type::Unknown));
        self.expression(&each.result);
        self.variables.push((&each.iter_var, first));
        if let Some(name) = &each.iter_var2 {
            self.variables.push((name, second));
        }
        self.expression(&each.loop_cond);
        self.expression(&each.loop_step);
        self.variables.truncate(outside);
        Type::Unknown
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
    use serde_json::json;

    use super::*;

    fn problem(rule: &str) -> String {
        let schema = json!({ "type": "object", "properties": {
            "count": { "type": "integer" },
            "dash-ed": { "type": "string" },
            "either": { "x-kubernetes-int-or-string": true },
            "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            "inner": { "type": "object", "x-kubernetes-embedded-resource": true },
            "labels": { "type": "object", "additionalProperties": { "type": "object", "properties": { "a": { "type": "string" } } } },
            "parts": { "type": "array", "items": { "type": "object", "properties": { "name": { "type": "string" } } } },
            "untyped": { "x-kubernetes-preserve-unknown-fields": true },
        } });
        let schema: JSONSchemaProps = serde_json::from_value(schema).unwrap();
        let node = Node::compile(&schema);
        let program = Program::compile(rule).unwrap();
        let place = Place {
            node: &node,
            resource: Embedded::Yes,
            optional_old_self: false,
        };
        check(&program, rule, place).unwrap_or_default()
    }

    #[test]
    fn a_field_that_the_schema_lacks_is_shown_where_it_is_read() {
        assert_eq!(
            problem("self.count > 0 &&\n self.cuont < 5"),
            "ERROR: <input>:2:6: undefined field 'cuont'\n |  self.cuont < 5\n | .....^"
        );
        for (rule, name) in [
            ("has(self.nothing)", "nothing"),
            ("self.count == oldSelf.cnt", "cnt"),
            ("self.parts.all(p, p.nmae != '')", "nmae"),
            ("self.parts[0].nmae == ''", "nmae"),
            ("self.labels['x'].b == ''", "b"),
            ("self.labels.x.b == ''", "b"),
            ("self.metadata.labels == {}", "labels"),
            ("self.inner.metadata.uid == ''", "uid"),
            ("self.untyped.x == 1", "untyped"),
            ("self.free.x == 1", "x"),
            ("size(self.parts.filter(p, p.name == '' || p.x)) > 0", "x"),
        ] {
            assert!(
                problem(rule).contains(&format!("undefined field '{name}'")),
                "{rule}"
            );
        }
        assert!(problem("slef.count > 1").contains("undeclared reference to 'slef' (in container '')"));
    }

    #[test]
    fn what_is_there_and_what_cannot_be_known_passes() {
        for rule in [
            "self.apiVersion == '' && self.kind == '' && self.metadata.name != '' && self.inner.kind == ''",
            "self.dash__dash__ed == ''",
            "self.either == 1 || self.either.x == 2",
            "self.parts.map(p, p.name).exists(n, n.startsWith('a'))",
            "self.parts.filter(p, p.name != '')[0].whatever",
            "self.labels.all(k, self.labels[k].a == k)",
            "type(self.count) == int && optional.of(1).hasValue() && [1].all(i, i > 0)",
            "quantity('1').isGreaterThan(quantity('0')) && math.greatest(1, 2) == 2",
        ] {
            assert_eq!(problem(rule), "", "{rule}");
        }
    }
}
