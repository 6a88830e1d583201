//! Apple's YAML as a graph: an alias leads to the very node that its anchor names, be it one that the alias stands inside of.
//!
//! So nothing is ever repeated: what a file costs follows its length. Whoever walks the graph must count its steps. The parser yields events,
//! so nesting costs no stack. Refused are tags, merge keys, keys that are not text and keys given twice.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

use super::Problem;
use crate::policy::schema::facts::Scalar;

/// Bytes in one file.
const MAXIMUM_FILE: usize = 4 << 20;
/// Nodes in one file.
const MAXIMUM_NODES: usize = 200_000;
/// Mappings and sequences within each other.
const MAXIMUM_DEPTH: usize = 64;

/// A node, by its place in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Node(usize);

#[derive(Debug)]
enum Content {
    Mapping(Vec<(String, Node)>),
    Scalar { text: String, plain: bool },
    Sequence(Vec<Node>),
}

/// One document.
#[derive(Debug)]
pub(super) struct Graph(Vec<Content>);

struct Open {
    node: Node,
    key: Option<String>,
}

impl Graph {
    /// Reads the first document of a file.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let at = |line: usize, message: String| Problem {
            line: Some(line),
            message,
        };
        if bytes.len() > MAXIMUM_FILE {
            let message = format!("the file has more than the {MAXIMUM_FILE} bytes that are read");
            return Err(Problem::of(message));
        }
        let text =
            std::str::from_utf8(bytes).map_err(|_| Problem::of("the file is not UTF-8 text".to_owned()))?;
        let mut building = Building::default();
        let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event
                .map_err(|error| at(error.marker().line(), format!("not valid YAML: {}", error.info())))?;
            if matches!(event, Event::DocumentEnd) {
                break;
            }
            building
                .event(event)
                .map_err(|message| at(span.start.line(), message))?;
        }
        if building.nodes.is_empty() {
            return Err(Problem::of("the file is empty".to_owned()));
        }
        Ok(Self(building.nodes))
    }

    /// The whole document.
    pub(super) const fn root() -> Node {
        Node(0)
    }

    fn content(&self, node: Node) -> Option<&Content> {
        self.0.get(node.0)
    }

    /// The entries of a mapping; none of anything else.
    pub(super) fn entries(&self, node: Option<Node>) -> &[(String, Node)] {
        match node.and_then(|node| self.content(node)) {
            Some(Content::Mapping(entries)) => entries,
            _ => &[],
        }
    }

    /// The items of a sequence; none of anything else.
    pub(super) fn items(&self, node: Option<Node>) -> &[Node] {
        match node.and_then(|node| self.content(node)) {
            Some(Content::Sequence(items)) => items,
            _ => &[],
        }
    }

    /// What a mapping has under a key.
    pub(super) fn at(&self, node: Option<Node>, key: &str) -> Option<Node> {
        let entries = self.entries(node);
        entries
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, node)| *node)
    }

    /// The text of a scalar as it is written: `10.10` is no number here.
    pub(super) fn text(&self, node: Option<Node>) -> Option<&str> {
        match self.content(node?)? {
            Content::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// A scalar by its type.
    pub(super) fn scalar(&self, node: Option<Node>) -> Option<Scalar> {
        let Content::Scalar { text, plain } = self.content(node?)? else {
            return None;
        };
        let number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
        Some(match text.as_str() {
            "true" if *plain => Scalar::Boolean(true),
            "false" if *plain => Scalar::Boolean(false),
            "" | "~" | "null" if *plain => return None,
            text if *plain && number => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(whole), _) => Scalar::Integer(whole),
                (Err(_), Ok(real)) if real.is_finite() => Scalar::Real(real),
                _ => Scalar::Text(text.to_owned()),
            },
            text => Scalar::Text(text.to_owned()),
        })
    }

    /// True or false.
    pub(super) fn flag(&self, node: Option<Node>) -> Option<bool> {
        match self.scalar(node)? {
            Scalar::Boolean(flag) => Some(flag),
            _ => None,
        }
    }

    /// A number.
    pub(super) fn number(&self, node: Option<Node>) -> Option<f64> {
        match self.scalar(node)? {
            Scalar::Integer(_) | Scalar::Real(_) => self.text(node)?.parse().ok(),
            _ => None,
        }
    }
}

#[derive(Default)]
struct Building {
    nodes: Vec<Content>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
}

impl Building {
    fn event(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(.., Some(_))
            | Event::SequenceStart(_, Some(_))
            | Event::MappingStart(_, Some(_)) => {
                return Err("tags (!…) are not read".to_owned());
            }
            Event::Scalar(text, style, anchor, None) => {
                let plain = style == ScalarStyle::Plain;
                if let Some(Open {
                    node,
                    key: key @ None,
                }) = self.open.last_mut()
                    && let Some(Content::Mapping(entries)) = self.nodes.get(node.0)
                {
                    if plain && text == "<<" {
                        return Err("merge keys (<<) are not read".to_owned());
                    }
                    if entries.iter().any(|(name, _)| *name == text) {
                        return Err(format!("the key `{text}` is given twice"));
                    }
                    *key = Some(text.into_owned());
                    return Ok(());
                }
                let text = text.into_owned();
                let node = self.add(Content::Scalar { text, plain }, anchor)?;
                self.place(node)?;
            }
            Event::SequenceStart(anchor, None) => self.begin(Content::Sequence(Vec::new()), anchor)?,
            Event::MappingStart(anchor, None) => self.begin(Content::Mapping(Vec::new()), anchor)?,
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
            }
            Event::Alias(anchor) => {
                let node = *self.anchors.get(&anchor).ok_or("an alias names no anchor")?;
                self.place(node)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, content: Content, anchor: usize) -> Result<(), String> {
        if self.open.len() >= MAXIMUM_DEPTH {
            return Err(format!("values nest deeper than {MAXIMUM_DEPTH} levels"));
        }
        let node = self.add(content, anchor)?;
        self.place(node)?;
        self.open.push(Open { node, key: None });
        Ok(())
    }

    fn add(&mut self, content: Content, anchor: usize) -> Result<Node, String> {
        if self.nodes.len() >= MAXIMUM_NODES {
            return Err(format!("the file holds more than {MAXIMUM_NODES} values"));
        }
        let node = Node(self.nodes.len());
        self.nodes.push(content);
        if anchor != 0 {
            self.anchors.insert(anchor, node);
        }
        Ok(node)
    }

    /// Puts a node into what is open.
    fn place(&mut self, node: Node) -> Result<(), String> {
        let Some(open) = self.open.last_mut() else {
            return Ok(());
        };
        match self.nodes.get_mut(open.node.0) {
            Some(Content::Mapping(entries)) => {
                let key = open
                    .key
                    .take()
                    .ok_or("a key must be text, not a mapping, a list or an alias")?;
                entries.push((key, node));
            }
            Some(Content::Sequence(items)) => items.push(node),
            _ => {}
        }
        Ok(())
    }
}
