//! What the schema finds in content.

use std::fmt;

/// Whether a finding refuses the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum Severity {
    /// It does.
    Error,
    /// It does not, and should be looked at.
    Warning,
}

/// The kind of a finding: stable, for tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr, strum::Display)]
#[strum(serialize_all = "kebab-case")]
pub enum Code {
    /// Apple advises against it.
    Deprecated,
    /// It is not there in this kind of enrolment, or on this channel.
    Enrollment,
    /// A text is not of the form it must have.
    Format,
    /// A key that must be there is not.
    MissingKey,
    /// It is taken, and does nothing.
    NotEffective,
    /// A number, or a length, outside of its bounds.
    Range,
    /// The schema has no such key here.
    UnknownKey,
    /// The schema has no such type.
    UnknownType,
    /// The system, or this version of it, does not have it.
    UnsupportedOs,
    /// A value that is not among those allowed.
    Value,
    /// A value of another type.
    WrongType,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where in the content, such as `AutomaticActions.Download` or `Apps[0].Identifier`. Empty: all of it.
    pub path: String,
    /// Whether it refuses the content.
    pub severity: Severity,
    /// Its kind.
    pub code: Code,
    /// What is wrong, as it follows the name of the key in a sentence.
    pub message: String,
    /// What to do. May be empty.
    pub help: String,
}

impl Finding {
    /// What is wrong and what to do.
    #[must_use]
    pub fn text(&self) -> String {
        if self.help.is_empty() {
            self.message.clone()
        } else {
            format!("{}; {}", self.message, self.help)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text())
    }
}
