//! JSON values as CEL sees them, by schema.
//!
//! Names of properties are escaped, keys of maps are not; a null property is absent; strings with a format of time
//! become timestamps and durations, base64 becomes bytes; a whole number in a field of type `number` is still a double.
//! Fields that the schema does not name cannot be seen. The rules are those of `x-kubernetes-validations`.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, Program, Value as CelValue};
use serde_json::Value;

use super::format::Format;
use super::node::{Additional, Embedded, JsonType, Node};

/// Names that CEL keeps for itself; `self.__namespace__` reads the property `namespace`.
const RESERVED: [&str; 18] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
];

/// The programs that make CEL's own time values out of text.
pub(super) struct Conversions {
    timestamp: Option<Program>,
    duration: Option<Program>,
}

impl Conversions {
    pub(super) fn new() -> Self {
        Self {
            timestamp: Program::compile("timestamp(x)").ok(),
            duration: Program::compile("duration(x)").ok(),
        }
    }
}

/// What a conversion needs besides value and schema.
pub(super) struct Converter<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) conversions: &'a Conversions,
}

impl Converter<'_> {
    /// The value of a whole resource: `apiVersion`, `kind` and `metadata` can be seen besides what the schema names.
    pub(super) fn resource(&self, value: &Value, node: &Node) -> CelValue {
        self.fields(value, node, true)
    }

    pub(super) fn value(&self, value: &Value, node: &Node) -> CelValue {
        match value {
            Value::Object(_) => self.fields(value, node, node.resource == Embedded::Yes),
            Value::Array(items) => {
                let items = items.iter().map(|item| match &node.items {
                    Some(node) => self.value(item, node),
                    None => untyped(item),
                });
                CelValue::List(Arc::new(items.collect()))
            }
            Value::String(text) => self.text(text, node),
            Value::Number(number) if node.types.single() == Some(JsonType::Number) => {
                CelValue::Float(number.as_f64().unwrap_or(f64::NAN))
            }
            Value::Bool(_) | Value::Null | Value::Number(_) => untyped(value),
        }
    }

    fn fields(&self, value: &Value, node: &Node, is_resource: bool) -> CelValue {
        let Value::Object(fields) = value else {
            return self.value(value, node);
        };
        let mut seen = HashMap::with_capacity(fields.len());
        for (name, field) in fields {
            if let Some(property) = node.properties.get(name) {
                let hidden = field.is_null() || (is_resource && name == "metadata");
                if !hidden {
                    seen.insert(key(&escape(name)), self.value(field, property));
                }
                continue;
            }
            match &node.additional {
                Additional::Schema(additional) => {
                    seen.insert(key(name), self.value(field, additional));
                }
                Additional::Any | Additional::Forbidden | Additional::Unspecified => {}
            }
        }
        if is_resource {
            for name in ["apiVersion", "kind"] {
                let text = value.get(name).and_then(Value::as_str).unwrap_or_default();
                seen.entry(key(name)).or_insert_with(|| string(text));
            }
            seen.insert(key("metadata"), metadata(value.get("metadata")));
        }
        CelValue::Map(Map { map: Arc::new(seen) })
    }

    fn text(&self, text: &str, node: &Node) -> CelValue {
        let converted = match node.format {
            Some(Format::Byte) => STANDARD
                .decode(text)
                .ok()
                .map(|bytes| CelValue::Bytes(Arc::new(bytes))),
            Some(Format::DateTime) => self.convert(self.conversions.timestamp.as_ref(), text),
            Some(Format::Date) => {
                self.convert(self.conversions.timestamp.as_ref(), &format!("{text}T00:00:00Z"))
            }
            Some(Format::Duration) => self.convert(self.conversions.duration.as_ref(), text),
            _ => None,
        };
        converted.unwrap_or_else(|| string(text))
    }

    fn convert(&self, program: Option<&Program>, text: &str) -> Option<CelValue> {
        let mut scope = self.context.new_inner_scope();
        scope.add_variable_from_value("x", string(text));
        program?.execute(&scope).ok()
    }
}

/// Of an object's metadata, rules may see its name only.
fn metadata(metadata: Option<&Value>) -> CelValue {
    let seen = ["name", "generateName"]
        .into_iter()
        .filter_map(|name| Some((key(name), string(metadata?.get(name)?.as_str()?))))
        .collect();
    CelValue::Map(Map { map: Arc::new(seen) })
}

fn untyped(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(truth) => CelValue::Bool(*truth),
        Value::Number(number) => number.as_i64().map_or_else(
            || CelValue::Float(number.as_f64().unwrap_or(f64::NAN)),
            CelValue::Int,
        ),
        Value::String(text) => string(text),
        Value::Array(items) => CelValue::List(Arc::new(items.iter().map(untyped).collect())),
        Value::Object(fields) => {
            let seen = fields
                .iter()
                .map(|(name, field)| (key(name), untyped(field)))
                .collect();
            CelValue::Map(Map { map: Arc::new(seen) })
        }
    }
}

fn key(name: &str) -> Key {
    Key::String(Arc::new(name.to_owned()))
}

fn string(text: &str) -> CelValue {
    CelValue::String(Arc::new(text.to_owned()))
}

/// A property's name as an identifier of CEL.
pub(super) fn escape(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    name.replace("__", "__underscores__")
        .replace('.', "__dot__")
        .replace('-', "__dash__")
        .replace('/', "__slash__")
}
