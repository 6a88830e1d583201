//! What is found in policy files, with what kind of finding it is and how much it weighs: for tools and people who judge a whole source at once.

use std::fmt;

use super::finding::Finding;
use crate::policy::schema::{Code, Severity};

/// The kind of a finding. Its text is stable, for tools: `object`, `apple/unknown-key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A file, or what is around a `spec`, cannot be read as policy.
    File,
    /// An object is not as its kind is defined.
    Object,
    /// An object is as its kind is defined, and still makes no sense.
    Policy,
    /// Content is not as Apple's schema has it.
    Apple(Code),
    /// Something of a rule library of mSCP's.
    Library,
}

impl Kind {
    /// What findings of the kind are about, in a sentence.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::File => "The file cannot be read as policy.",
            Self::Object => "The object is not as its kind is defined.",
            Self::Policy => "The object contradicts itself, or names what is not there.",
            Self::Library => "The rule library of mSCP has a mistake, or something of it is not served.",
            Self::Apple(code) => match code {
                Code::Deprecated => "Apple advises against it.",
                Code::Enrollment => "It is not there in this kind of enrolment, or on this channel.",
                Code::Format => "The text is not of the form that it must have.",
                Code::MissingKey => "A key that must be there is not.",
                Code::NotEffective => "It is taken, and does nothing.",
                Code::Range => "The number, or the length, is outside of its bounds.",
                Code::UnknownKey => "Apple's schema has no such key here.",
                Code::UnknownType => "Apple's schema has no such type.",
                Code::UnsupportedOs => "The system, or this version of it, does not have it.",
                Code::Value => "The value is not among those allowed.",
                Code::WrongType => "The value is of another type.",
            },
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("file"),
            Self::Object => f.write_str("object"),
            Self::Policy => f.write_str("policy"),
            Self::Apple(code) => write!(f, "apple/{code}"),
            Self::Library => f.write_str("library"),
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Where, and what.
    pub finding: Finding,
    /// Whether it refuses the source.
    pub severity: Severity,
    /// Its kind.
    pub kind: Kind,
}

/// Findings, up to a number of each weight: what git holds must not fill the memory.
#[derive(Debug)]
pub struct Remarks {
    most: usize,
    errors: Vec<Remark>,
    warnings: Vec<Remark>,
    left_out: bool,
}

impl Remarks {
    /// None yet, and at most `most` errors and as many warnings.
    #[must_use]
    pub const fn up_to(most: usize) -> Self {
        Self {
            most,
            errors: Vec::new(),
            warnings: Vec::new(),
            left_out: false,
        }
    }

    /// Keeps findings of one kind and weight.
    pub fn add(&mut self, severity: Severity, kind: Kind, findings: impl IntoIterator<Item = Finding>) {
        let list = match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        for finding in findings {
            if list.len() >= self.most {
                self.left_out = true;
                return;
            }
            list.push(Remark {
                finding,
                severity,
                kind,
            });
        }
    }

    /// Whether there is no room for another error.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.errors.len() >= self.most
    }

    /// All of them, ordered by file and place, and whether there were more.
    #[must_use]
    pub fn into_parts(self) -> (Vec<Remark>, bool) {
        let mut remarks = self.errors;
        remarks.extend(self.warnings);
        remarks.sort_by(|a, b| (&a.finding, a.severity, a.kind).cmp(&(&b.finding, b.severity, b.kind)));
        remarks.dedup();
        (remarks, self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitops::Position;

    fn finding(line: usize) -> Finding {
        Finding {
            file: "a.yaml".into(),
            position: Position { line, column: 1 },
            field: String::new(),
            message: "m".into(),
        }
    }

    #[test]
    fn warnings_never_take_the_room_of_errors() {
        let mut remarks = Remarks::up_to(2);
        remarks.add(Severity::Warning, Kind::Policy, (1..9).map(finding));
        assert!(!remarks.is_full());
        remarks.add(Severity::Error, Kind::Apple(Code::UnknownKey), [finding(1)]);
        assert!(!remarks.is_full());
        remarks.add(Severity::Error, Kind::File, (3..9).map(finding));
        assert!(remarks.is_full());
        let (remarks, left_out) = remarks.into_parts();
        assert!(left_out);
        let told: Vec<String> = remarks
            .iter()
            .map(|remark| {
                format!(
                    "{} {} {}",
                    remark.finding.position.line, remark.severity, remark.kind
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                "1 error apple/unknown-key",
                "1 warning policy",
                "2 warning policy",
                "3 error file"
            ]
        );
    }
}
