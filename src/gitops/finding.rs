//! What is wrong in a file, and where.

use std::fmt;

/// A place in a file, counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// The beginning of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One mistake, written so that an editor can jump to it: `policy/baseline.yaml:12:7: spec.rules[0].severity: …`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The path from the root of the repository.
    pub file: String,
    /// Where in the file.
    pub position: Position,
    /// The field, such as `spec.rules[0].severity`; empty when the mistake is not in one.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A file or field name comes from the repository and must not move a terminal's cursor.
        let clean = |text: &str| text.replace(char::is_control, "\u{fffd}");
        let Position { line, column } = self.position;
        write!(f, "{}:{line}:{column}: ", clean(&self.file))?;
        if !self.field.is_empty() {
            write!(f, "{}: ", clean(&self.field))?;
        }
        f.write_str(&clean(&self.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_compilers_write_them() {
        let mut finding = Finding {
            file: "policy/baseline.yaml".into(),
            position: Position { line: 12, column: 7 },
            field: "spec.rules[0].severity".into(),
            message: "must be one of low, medium, high".into(),
        };
        let text = "policy/baseline.yaml:12:7: spec.rules[0].severity: must be one of low, medium, high";
        assert_eq!(finding.to_string(), text);
        finding.field.clear();
        finding.file = "a\x1b[2J.yaml".into();
        assert_eq!(
            finding.to_string(),
            "a\u{fffd}[2J.yaml:12:7: must be one of low, medium, high"
        );
    }
}
