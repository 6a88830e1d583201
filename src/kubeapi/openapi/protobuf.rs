//! The version 2 document in Protobuf, in which kubectl asks for it: to check what it sends where version 3 cannot tell, and to
//! explain in plain text.
//!
//! The layout is that of `openapiv2/OpenAPIv2.proto` of the gnostic project. It holds the definitions; the paths, which no
//! client of this format reads, are in the JSON document only.

use serde_json::{Map, Value};

/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// The same as kubectl asks for it, which is no valid media type: answers never say it.
pub const ASKED_FOR: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// How deep definitions are walked; they are made of schemas that are less deep.
const MAX_DEPTH: usize = 200;

/// Encodes a version 2 document.
#[must_use]
pub fn encode(document: &Value) -> Vec<u8> {
    let mut encoded = Message::default();
    encoded.text(1, document.get("swagger"));
    let mut info = Message::default();
    info.text(1, document.pointer("/info/title"));
    info.text(2, document.pointer("/info/version"));
    encoded.message(2, &info);
    if let Some(Value::Object(definitions)) = document.get("definitions") {
        encoded.message(9, &named_schemas(definitions, 0));
    }
    encoded.0
}

/// `Definitions` and `Properties` are the same: schemas by name.
fn named_schemas(schemas: &Map<String, Value>, depth: usize) -> Message {
    let mut all = Message::default();
    for (name, value) in schemas {
        let mut named = Message::default();
        named.bytes(1, name.as_bytes());
        named.message(2, &schema(value, depth + 1));
        all.message(1, &named);
    }
    all
}

fn schema(value: &Value, depth: usize) -> Message {
    let mut encoded = Message::default();
    let Value::Object(fields) = value else {
        return encoded;
    };
    if depth > MAX_DEPTH {
        return encoded;
    }
    for (name, value) in fields {
        match name.as_str() {
            "$ref" => encoded.text(1, Some(value)),
            "format" => encoded.text(2, Some(value)),
            "title" => encoded.text(3, Some(value)),
            "description" => encoded.text(4, Some(value)),
            "default" => encoded.message(5, &any(value)),
            "multipleOf" => encoded.double(6, value),
            "maximum" => encoded.double(7, value),
            "exclusiveMaximum" => encoded.flag(8, value),
            "minimum" => encoded.double(9, value),
            "exclusiveMinimum" => encoded.flag(10, value),
            "maxLength" => encoded.integer(11, value),
            "minLength" => encoded.integer(12, value),
            "pattern" => encoded.text(13, Some(value)),
            "maxItems" => encoded.integer(14, value),
            "minItems" => encoded.integer(15, value),
            "uniqueItems" => encoded.flag(16, value),
            "maxProperties" => encoded.integer(17, value),
            "minProperties" => encoded.integer(18, value),
            "required" => each(value).for_each(|name| encoded.text(19, Some(name))),
            "enum" => each(value).for_each(|allowed| encoded.message(20, &any(allowed))),
            "additionalProperties" => encoded.message(21, &additional(value, depth)),
            "type" => {
                let mut types = Message::default();
                each(value).for_each(|name| types.text(1, Some(name)));
                encoded.message(22, &types);
            }
            "items" => {
                let mut items = Message::default();
                items.message(1, &schema(value, depth + 1));
                encoded.message(23, &items);
            }
            "allOf" => each(value).for_each(|branch| encoded.message(24, &schema(branch, depth + 1))),
            "properties" => {
                if let Value::Object(properties) = value {
                    encoded.message(25, &named_schemas(properties, depth));
                }
            }
            "readOnly" => encoded.flag(27, value),
            "example" => encoded.message(30, &any(value)),
            extension if extension.starts_with("x-") => {
                let mut named = Message::default();
                named.bytes(1, extension.as_bytes());
                named.message(2, &any(value));
                encoded.message(31, &named);
            }
            _ => {}
        }
    }
    encoded
}

fn additional(value: &Value, depth: usize) -> Message {
    let mut encoded = Message::default();
    match value {
        Value::Bool(_) => encoded.flag(2, value),
        other => encoded.message(1, &schema(other, depth + 1)),
    }
    encoded
}

/// Any value, as YAML; JSON is YAML.
fn any(value: &Value) -> Message {
    let mut encoded = Message::default();
    encoded.bytes(2, value.to_string().as_bytes());
    encoded
}

/// The items of a list, or the one value that stands for a list of one.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    }
    .iter()
}

/// A message as it is written.
#[derive(Default)]
struct Message(Vec<u8>);

/// Wire types.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;

impl Message {
    fn varint(&mut self, mut value: u64) {
        loop {
            let [low, ..] = (value & 0x7f).to_le_bytes();
            value >>= 7;
            if value == 0 {
                self.0.push(low);
                return;
            }
            self.0.push(low | 0x80);
        }
    }

    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, field: u64, message: &Self) {
        self.bytes(field, &message.0);
    }

    fn text(&mut self, field: u64, value: Option<&Value>) {
        if let Some(text) = value.and_then(Value::as_str) {
            self.bytes(field, text.as_bytes());
        }
    }

    fn flag(&mut self, field: u64, value: &Value) {
        if value == &Value::Bool(true) {
            self.key(field, VARINT);
            self.varint(1);
        }
    }

    fn integer(&mut self, field: u64, value: &Value) {
        if let Some(number) = value.as_u64() {
            self.key(field, VARINT);
            self.varint(number);
        }
    }

    fn double(&mut self, field: u64, value: &Value) {
        if let Some(number) = value.as_f64() {
            self.key(field, FIXED64);
            self.0.extend_from_slice(&number.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_written_as_the_format_lays_it_out() {
        let document = json!({
            "swagger": "2.0", "info": { "title": "T", "version": "1" },
            "definitions": { "A": { "type": "integer", "maximum": 1.0, "x-y": true } },
        });
        let schema = [
            b"\x39\0\0\0\0\0\0\xf0\x3f".as_slice(),
            b"\xb2\x01\x09\x0a\x07integer",
            b"\xfa\x01\x0d\x0a\x03x-y\x12\x06\x12\x04true",
        ]
        .concat();
        let named = [b"\x0a\x01A\x12\x25".as_slice(), &schema].concat();
        let expected = [
            b"\x0a\x032.0\x12\x06\x0a\x01T\x12\x011".as_slice(),
            b"\x4a\x2c\x0a\x2a",
            &named,
        ]
        .concat();
        assert_eq!(encode(&document), expected);
    }
}
