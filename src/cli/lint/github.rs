//! Workflow commands of GitHub Actions: `::error file=…,line=…,col=…,title=…::message`, which show at the lines of a pull request.
//!
//! Specification: "Workflow commands for GitHub Actions", setting an error or warning message.

use std::fmt::Write as _;

use super::report::{Report, many};

/// One line for each finding, and a last one for the log.
pub(super) fn write(report: &Report) -> String {
    let mut text = String::new();
    for told in &report.findings {
        let found = &told.remark.finding;
        let message = if found.field.is_empty() {
            found.message.clone()
        } else {
            format!("{}: {}", found.field, found.message)
        };
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "::{} file={},line={},col={},title={}::{}",
            told.remark.severity,
            property(&found.file),
            found.position.line,
            found.position.column,
            property(&told.rule),
            data(&message)
        );
    }
    let _ = writeln!(
        text,
        "{}, {} in {} of {}.",
        many(report.errors, "error"),
        many(report.warnings, "warning"),
        many(report.objects, "object"),
        many(report.files, "file")
    );
    text
}

/// A message: it ends with its line, so it may hold no end of one. Other control characters would move the cursor of whoever reads the log.
fn data(text: &str) -> String {
    let text = text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    text.replace(char::is_control, "\u{fffd}")
}

/// A property ends with a comma or a colon besides.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_a_repository_ends_a_command_or_begins_another() {
        assert_eq!(
            data("100 %\r\n::error::x\u{1b}[2J"),
            "100 %25%0D%0A::error::x\u{fffd}[2J"
        );
        assert_eq!(property("a,b:c.yaml"), "a%2Cb%3Ac.yaml");
    }
}
