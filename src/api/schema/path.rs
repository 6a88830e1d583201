//! Where in an object a check stands: a path that costs nothing until an error needs its text.

use std::fmt;

/// One step into an object.
#[derive(Clone, Copy, Debug)]
enum Segment<'a> {
    Root,
    Field(&'a str),
    Index(usize),
    Key(&'a str),
}

/// A path as a list of borrowed steps, innermost first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    parent: Option<&'a Self>,
    segment: Segment<'a>,
}

impl<'a> Path<'a> {
    /// The object itself.
    pub(super) const ROOT: Path<'static> = Path {
        parent: None,
        segment: Segment::Root,
    };

    /// A path that begins with text of its own, for errors inside a larger document.
    pub(super) fn starting_at(prefix: &'a str) -> Self {
        let segment = if prefix.is_empty() {
            Segment::Root
        } else {
            Segment::Field(prefix)
        };
        Self {
            parent: None,
            segment,
        }
    }

    /// The field `name` of an object: `spec.name`.
    pub(super) fn field(&'a self, name: &'a str) -> Self {
        Self {
            parent: Some(self),
            segment: Segment::Field(name),
        }
    }

    /// Item `index` of a list: `rules[3]`.
    pub(super) fn index(&'a self, index: usize) -> Self {
        Self {
            parent: Some(self),
            segment: Segment::Index(index),
        }
    }

    /// The entry `key` of a map: `labels[key]`.
    pub(super) fn key(&'a self, key: &'a str) -> Self {
        Self {
            parent: Some(self),
            segment: Segment::Key(key),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut steps = Vec::new();
        let mut at = Some(self);
        while let Some(path) = at {
            steps.push(path.segment);
            at = path.parent;
        }
        let mut empty = true;
        for step in steps.iter().rev() {
            match step {
                Segment::Root => continue,
                Segment::Field(name) if empty => f.write_str(name)?,
                Segment::Field(name) => write!(f, ".{name}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => write!(f, "[{key}]")?,
            }
            empty = false;
        }
        Ok(())
    }
}

impl From<Path<'_>> for String {
    fn from(path: Path<'_>) -> Self {
        path.to_string()
    }
}

impl From<&Path<'_>> for String {
    fn from(path: &Path<'_>) -> Self {
        path.to_string()
    }
}
