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

/// The longest line that is shown, in characters.
const SHOWN: usize = 160;

impl Finding {
    /// The line of `text`, its file, with a mark under the place; for people, below the finding itself. None: the file has no such line.
    #[must_use]
    pub fn snippet(&self, text: &str) -> Option<String> {
        let line = text.lines().nth(self.position.line.checked_sub(1)?)?;
        let clean: String = line
            .chars()
            .take(SHOWN)
            .map(|c| match c {
                '\t' => ' ',
                c if c.is_control() => '\u{fffd}',
                c => c,
            })
            .collect();
        let number = self.position.line.to_string();
        let margin = " ".repeat(number.len());
        let before = " ".repeat(self.position.column.saturating_sub(1).min(SHOWN));
        Some(format!("{number} | {clean}\n{margin} | {before}^"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_shows_the_line_and_marks_the_place() {
        let mut finding = Finding {
            file: "a.yaml".into(),
            position: Position { line: 2, column: 3 },
            field: String::new(),
            message: String::new(),
        };
        let text = "spec:\n\t\tEnable: yes\u{1b}no\n";
        assert_eq!(
            finding.snippet(text).unwrap(),
            "2 |   Enable: yes\u{fffd}no\n  |   ^"
        );
        finding.position.line = 9;
        assert_eq!(finding.snippet(text), None);
        finding.position.line = 0;
        assert_eq!(finding.snippet(text), None);
    }

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
