//! YAML (and JSON, which is YAML) read once, into values and the places of their fields together.
//!
//! Understood is YAML 1.2 with its core schema. Anchors and aliases are allowed within a budget. Refused, because a
//! policy must mean the same to every reader: tags, merge keys (`<<`), keys given twice, keys that are not text.
//! The parser yields events, so nesting costs no stack; what is read is bounded by the constants below.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput};
use serde_json::{Map, Value};

use super::super::finding::Position;
use super::position::{Inside, Node, PositionIndex};
use super::scalar;

/// The deepest nesting of mappings and sequences.
const MAXIMUM_DEPTH: usize = 64;
/// Values in one file, those that aliases repeat and anchors keep included.
const MAXIMUM_NODES: usize = 200_000;
/// Bytes of text in one file, those that aliases repeat and anchors keep included.
const MAXIMUM_TEXT: usize = 16 << 20;
/// Bytes in one file.
const MAXIMUM_FILE: usize = 4 << 20;

/// One document of a file.
#[derive(Debug)]
pub(super) struct YamlDocument {
    pub(super) value: Value,
    pub(super) positions: PositionIndex,
}

/// Why a file is not YAML, or not YAML that is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct YamlError {
    pub(super) position: Position,
    pub(super) field: String,
    pub(super) message: String,
}

/// Reads every document of a file. Empty ones are left out.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<YamlDocument>, YamlError> {
    let text = decode(bytes)?;
    let mut loader = Loader::default();
    let mut documents = Vec::new();
    let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| loader.syntax(&error))?;
        if let Some(document) = loader.event(event, place(span.start))? {
            documents.push(document);
        }
    }
    Ok(documents)
}

fn decode(bytes: &[u8]) -> Result<&str, YamlError> {
    let error = |position, message: String| YamlError {
        position,
        field: String::new(),
        message,
    };
    if bytes.len() > MAXIMUM_FILE {
        let message = format!(
            "the file has {} bytes, more than the {MAXIMUM_FILE} allowed",
            bytes.len()
        );
        return Err(error(Position::START, message));
    }
    let text = std::str::from_utf8(bytes).map_err(|invalid| {
        let before = bytes.get(..invalid.valid_up_to()).unwrap_or_default();
        let last = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let position = Position {
            line: before.split(|byte| *byte == b'\n').count(),
            column: String::from_utf8_lossy(last).chars().count() + 1,
        };
        error(position, "the file is not UTF-8 text".into())
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn place(marker: Marker) -> Position {
    Position {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

/// A finished value with what it costs to repeat it.
#[derive(Clone)]
struct Built {
    value: Value,
    nodes: usize,
    text: usize,
    height: usize,
}

enum Frame {
    Mapping {
        open: Open,
        fields: Map<String, Value>,
        places: BTreeMap<String, Node>,
        key: Option<(String, Position)>,
    },
    Sequence {
        open: Open,
        items: Vec<Value>,
        places: Vec<Node>,
    },
}

/// What is counted while a mapping or sequence is being read.
struct Open {
    at: Position,
    anchor: usize,
    nodes: usize,
    text: usize,
    height: usize,
}

#[derive(Default)]
struct Loader {
    frames: Vec<Frame>,
    anchors: HashMap<usize, Built>,
    nodes: usize,
    text: usize,
}

impl Loader {
    fn event(&mut self, event: Event<'_>, at: Position) -> Result<Option<YamlDocument>, YamlError> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => Ok(None),
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(None)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), at)?;
                self.scalar(text, style, anchor, at)
            }
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), at)?;
                let open = self.open(anchor, at)?;
                self.frames.push(Frame::Sequence {
                    open,
                    items: Vec::new(),
                    places: Vec::new(),
                });
                Ok(None)
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), at)?;
                let open = self.open(anchor, at)?;
                self.frames.push(Frame::Mapping {
                    open,
                    fields: Map::new(),
                    places: BTreeMap::new(),
                    key: None,
                });
                Ok(None)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(at),
        }
    }

    fn open(&mut self, anchor: usize, at: Position) -> Result<Open, YamlError> {
        if self.expects_key() {
            return Err(self.error(at, "a key must be text, not a mapping or a list"));
        }
        if self.frames.len() >= MAXIMUM_DEPTH {
            return Err(self.error(at, format!("values nest deeper than {MAXIMUM_DEPTH} levels")));
        }
        self.charge(1, 0, at)?;
        Ok(Open {
            at,
            anchor,
            nodes: 1,
            text: 0,
            height: 1,
        })
    }

    fn close(&mut self, at: Position) -> Result<Option<YamlDocument>, YamlError> {
        let (open, value, inside) = match self.frames.pop() {
            Some(Frame::Mapping {
                open, fields, places, ..
            }) => (open, Value::Object(fields), Inside::Fields(places)),
            Some(Frame::Sequence { open, items, places }) => {
                (open, Value::Array(items), Inside::Items(places))
            }
            None => return Err(self.error(at, "a list or mapping ends that never began")),
        };
        let built = Built {
            value,
            nodes: open.nodes,
            text: open.text,
            height: open.height,
        };
        self.finish(built, open.anchor, Node { at: open.at, inside })
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        at: Position,
    ) -> Result<Option<YamlDocument>, YamlError> {
        self.charge(1, text.len(), at)?;
        if self.expects_key() {
            return self.key(text.into_owned(), style, at).map(|()| None);
        }
        let length = text.len();
        let (value, inside) = match style {
            ScalarStyle::Plain => match scalar::resolve(&text).map_err(|message| self.error(at, message))? {
                number @ Value::Number(_) => (number, Inside::Number(text.into())),
                other => (other, Inside::Nothing),
            },
            _ => (Value::String(text.into_owned()), Inside::Nothing),
        };
        let built = Built {
            value,
            nodes: 1,
            text: length,
            height: 0,
        };
        self.finish(built, anchor, Node { at, inside })
    }

    fn key(&mut self, text: String, style: ScalarStyle, at: Position) -> Result<(), YamlError> {
        if style == ScalarStyle::Plain {
            match text.as_str() {
                "<<" => return Err(self.error(at, "merge keys (<<) are not read; write the fields out")),
                "" | "~" => return Err(self.error(at, "a key must be text")),
                _ => {}
            }
        }
        let earlier = match self.frames.last() {
            Some(Frame::Mapping { places, .. }) => places.get(&text).map(|node| node.at),
            _ => None,
        };
        if let Some(earlier) = earlier {
            let message = format!("the key {text:?} was already given in line {}", earlier.line);
            return Err(self.error(at, message));
        }
        if let Some(Frame::Mapping { key, .. }) = self.frames.last_mut() {
            *key = Some((text, at));
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<Option<YamlDocument>, YamlError> {
        if self.expects_key() {
            return Err(self.error(at, "a key must be text, not an alias"));
        }
        let Some(built) = self.anchors.get(&anchor) else {
            return Err(self.error(at, "the alias stands inside what it names"));
        };
        let (nodes, text, height) = (built.nodes, built.text, built.height);
        if self.frames.len() + height > MAXIMUM_DEPTH {
            return Err(self.error(at, format!("values nest deeper than {MAXIMUM_DEPTH} levels")));
        }
        self.charge(nodes, text, at)?;
        let Some(built) = self.anchors.get(&anchor).cloned() else {
            return Ok(None);
        };
        self.finish(
            built,
            0,
            Node {
                at,
                inside: Inside::Nothing,
            },
        )
    }

    /// Hands a finished value to what it belongs to; without any, it is the document.
    fn finish(
        &mut self,
        built: Built,
        anchor: usize,
        mut node: Node,
    ) -> Result<Option<YamlDocument>, YamlError> {
        if anchor != 0 {
            self.charge(built.nodes, built.text, node.at)?;
            self.anchors.insert(anchor, built.clone());
        }
        let Some(frame) = self.frames.last_mut() else {
            let document = YamlDocument {
                value: built.value,
                positions: PositionIndex::new(node),
            };
            return Ok((!document.value.is_null()).then_some(document));
        };
        let open = match frame {
            Frame::Mapping {
                open,
                fields,
                places,
                key,
            } => {
                // A field is where its key is; only a document or an item is where its value is.
                if let Some((name, at)) = key.take() {
                    node.at = at;
                    fields.insert(name.clone(), built.value);
                    places.insert(name, node);
                }
                open
            }
            Frame::Sequence { open, items, places } => {
                items.push(built.value);
                places.push(node);
                open
            }
        };
        open.nodes += built.nodes;
        open.text += built.text;
        open.height = open.height.max(built.height + 1);
        Ok(None)
    }

    fn expects_key(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::Mapping { key: None, .. }))
    }

    fn refuse_tag(&self, tagged: bool, at: Position) -> Result<(), YamlError> {
        if tagged {
            Err(self.error(at, "tags (!…) are not read; quotes make text of a value"))
        } else {
            Ok(())
        }
    }

    fn charge(&mut self, nodes: usize, text: usize, at: Position) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.text = self.text.saturating_add(text);
        if self.nodes > MAXIMUM_NODES {
            let message = format!("the file holds more than {MAXIMUM_NODES} values, aliases included");
            return Err(self.error(at, message));
        }
        if self.text > MAXIMUM_TEXT {
            let message = format!("the file holds more than {MAXIMUM_TEXT} bytes of text, aliases included");
            return Err(self.error(at, message));
        }
        Ok(())
    }

    fn syntax(&self, error: &ScanError) -> YamlError {
        self.error(
            place(*error.marker()),
            format!("not valid YAML: {}", error.info()),
        )
    }

    /// An error at the field that is being read.
    fn error(&self, position: Position, message: impl Into<String>) -> YamlError {
        let mut field = String::new();
        for frame in &self.frames {
            match frame {
                Frame::Mapping {
                    key: Some((key, _)), ..
                } => {
                    if !field.is_empty() {
                        field.push('.');
                    }
                    field.push_str(key);
                }
                Frame::Mapping { key: None, .. } => {}
                Frame::Sequence { items, .. } => {
                    // Writing to a String cannot fail.
                    let _ = write!(field, "[{}]", items.len());
                }
            }
        }
        YamlError {
            position,
            field,
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests;
