//! Where each field of a document stands in its file.

use std::collections::BTreeMap;

use super::super::finding::Position;

/// The places of one document's fields: of a mapping's keys and of a sequence's items.
#[derive(Debug, Clone)]
pub struct PositionIndex(Node);

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) inside: Inside,
}

/// What a node holds. The content of an alias has no places of its own: its mistakes are shown where it is used.
#[derive(Debug, Clone)]
pub(super) enum Inside {
    Nothing,
    /// A number, as it is written: `3.10` is not `3.1` where it is a name.
    Number(Box<str>),
    Fields(BTreeMap<String, Node>),
    Items(Vec<Node>),
}

impl PositionIndex {
    pub(super) const fn new(root: Node) -> Self {
        Self(root)
    }

    /// The places of a document of which only the beginning is known, as of one that is made from a file of another format.
    #[must_use]
    pub const fn beginning_at(at: Position) -> Self {
        Self(Node {
            at,
            inside: Inside::Nothing,
        })
    }

    /// Where the document begins.
    #[must_use]
    pub const fn start(&self) -> Position {
        self.0.at
    }

    /// The place of `field`, written like `spec.rules[3].severity` or `metadata.labels[a.b/c]`; where there is no such
    /// field, the place of its nearest ancestor.
    #[must_use]
    pub fn locate(&self, field: &str) -> Position {
        self.walk(field).0.at
    }

    /// The place of `field`, if there is such a field.
    #[must_use]
    pub fn find(&self, field: &str) -> Option<Position> {
        let (node, rest) = self.walk(field);
        rest.is_empty().then_some(node.at)
    }

    /// The number at `field` as the file writes it.
    #[must_use]
    pub fn number(&self, field: &str) -> Option<&str> {
        match self.walk(field) {
            (
                Node {
                    inside: Inside::Number(text),
                    ..
                },
                "",
            ) => Some(text),
            _ => None,
        }
    }

    /// Follows `field` as far as there are places: the last node, and what is left of the path.
    fn walk<'n, 'p>(&'n self, field: &'p str) -> (&'n Node, &'p str) {
        let mut node = &self.0;
        let mut rest = field;
        while let Some((next, after)) = node.step(rest) {
            node = next;
            rest = after;
        }
        (node, rest)
    }
}

impl Node {
    /// Takes the first part off a field path. Keys may hold dots and brackets themselves, so the keys that exist decide
    /// where a part ends; the longest wins.
    fn step<'n, 'p>(&'n self, path: &'p str) -> Option<(&'n Self, &'p str)> {
        match &self.inside {
            Inside::Nothing | Inside::Number(_) => None,
            Inside::Items(items) => {
                let (index, after) = path.strip_prefix('[')?.split_once(']')?;
                Some((items.get(index.parse::<usize>().ok()?)?, after))
            }
            Inside::Fields(fields) => {
                let named = fields
                    .iter()
                    .filter_map(|(key, node)| Some((key, node, after_key(path, key)?)));
                named
                    .max_by_key(|(key, ..)| key.len())
                    .map(|(_, node, after)| (node, after))
            }
        }
    }
}

/// What follows `key` in `path`, which may write it as `.key`, `key`, `[key]` or `["key"]`.
pub(in crate::gitops) fn after_key<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    if let Some(rest) = path.strip_prefix('[') {
        let (rest, end) = rest.strip_prefix('"').map_or((rest, "]"), |rest| (rest, "\"]"));
        return rest.strip_prefix(key)?.strip_prefix(end);
    }
    let rest = path.strip_prefix('.').unwrap_or(path).strip_prefix(key)?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(line: usize) -> Node {
        Node {
            at: Position { line, column: 1 },
            inside: Inside::Nothing,
        }
    }

    fn fields(line: usize, fields: Vec<(&str, Node)>) -> Node {
        let inside = Inside::Fields(
            fields
                .into_iter()
                .map(|(key, node)| (key.to_owned(), node))
                .collect(),
        );
        Node {
            at: Position { line, column: 1 },
            inside,
        }
    }

    #[test]
    fn a_field_is_found_or_else_its_nearest_ancestor() {
        let rules = Node {
            at: Position { line: 4, column: 1 },
            inside: Inside::Items(vec![
                fields(5, vec![("id", leaf(5)), ("severity", leaf(6))]),
                leaf(7),
            ]),
        };
        let labels = fields(2, vec![("a", leaf(8)), ("a.b/c", leaf(9)), ("x[0]", leaf(10))]);
        let index = PositionIndex::new(fields(
            1,
            vec![
                ("spec", fields(3, vec![("rules", rules)])),
                ("metadata", fields(2, vec![("labels", labels)])),
            ],
        ));
        for (field, line) in [
            ("", 1),
            ("spec", 3),
            ("spec.rules", 4),
            ("spec.rules[0].severity", 6),
            ("spec.rules[0].missing.deeper", 5),
            ("spec.rules[1]", 7),
            ("spec.rules[9].id", 4),
            ("spec.rules[x]", 4),
            (".spec.rules[0].id", 5),
            ("metadata.labels.a.b/c", 9),
            ("metadata.labels[a.b/c]", 9),
            ("metadata.labels[\"a.b/c\"]", 9),
            ("metadata.labels.a", 8),
            ("metadata.labels.x[0]", 10),
            ("nothing", 1),
        ] {
            assert_eq!(index.locate(field).line, line, "{field}");
        }
    }
}
