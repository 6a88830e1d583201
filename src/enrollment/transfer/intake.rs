//! A whole file of lines, and what contradicts itself between them.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, Read as _};

use super::fields::{CERTIFICATE_SHA256, ENROLLMENT_ID, UDID};
use super::read::{LINE_LIMIT, Mistake, too_long};
use super::record::Record;
use crate::ids::{Digest, EnrollmentId};

/// Mistakes that are kept; more are only counted.
const KEPT: usize = 1_000;

/// A record, and the line it was read from (the first is 1).
#[derive(Debug, Clone)]
pub struct Numbered {
    /// The line.
    pub line: u64,
    /// What is there.
    pub record: Record,
}

/// What is wrong with a file.
#[derive(Debug, Default)]
pub struct Mistakes {
    /// The first of them, each with its line, in the order in which they were found.
    pub kept: Vec<(u64, Mistake)>,
    /// How many there are.
    pub count: u64,
}

impl Mistakes {
    /// Adds one.
    pub fn add(&mut self, line: u64, mistake: Mistake) {
        self.count += 1;
        if self.kept.len() < KEPT {
            self.kept.push((line, mistake));
        }
    }
}

/// Reads a file, line by line. It takes a few hundred bytes of memory for each, and their secrets.
#[derive(Debug, Default)]
pub struct Intake {
    lines: u64,
    records: Vec<Numbered>,
    mistakes: Mistakes,
    /// The line of each enrolment, by what it is told apart by: the name of the Device object, or the id of a user.
    names: HashMap<String, u64>,
    certificates: HashMap<Digest, u64>,
}

impl Intake {
    /// Reads to the end. Empty lines are passed over.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(mut reader: impl BufRead) -> io::Result<Self> {
        let mut intake = Self::default();
        let mut line = Vec::new();
        let limit = u64::try_from(LINE_LIMIT).unwrap_or(u64::MAX);
        loop {
            line.clear();
            // One byte more than allowed, and the end of the line.
            let read = reader.by_ref().take(limit + 2).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(intake);
            }
            intake.lines += 1;
            if line.last() == Some(&b'\n') {
                line.pop();
            } else if line.len() > LINE_LIMIT {
                reader.skip_until(b'\n')?;
            }
            intake.take(&line);
        }
    }

    /// Takes the next line in.
    fn take(&mut self, line: &[u8]) {
        let text = if line.len() > LINE_LIMIT {
            Err(too_long())
        } else {
            str::from_utf8(line).map_err(|_| Mistake::of_line("it is not UTF-8"))
        };
        let record = match text.map(str::trim) {
            Ok("") => return,
            Ok(text) => Record::read(text),
            Err(mistake) => Err(mistake),
        };
        match record.and_then(|record| self.tell_apart(record)) {
            Ok(record) => self.records.push(Numbered {
                line: self.lines,
                record,
            }),
            Err(mistake) => self.mistakes.add(self.lines, mistake),
        }
    }

    /// No two lines are of one enrolment, or of one certificate.
    fn tell_apart(&mut self, record: Record) -> Result<Record, Mistake> {
        let name = if record.id.is_user() {
            record.id.as_str().to_owned()
        } else {
            record.id.device_name()
        };
        let field = if record.personal { ENROLLMENT_ID } else { UDID };
        if let Some(line) = self.names.get(&name) {
            return Err(Mistake::of(field, format!("line {line} has it already")));
        }
        if let Some(certificate) = record.certificate {
            if let Some(line) = self.certificates.get(&certificate) {
                let problem = format!("line {line} has the same certificate; each belongs to one device");
                return Err(Mistake::of(CERTIFICATE_SHA256, problem));
            }
            self.certificates.insert(certificate, self.lines);
        }
        self.names.insert(name, self.lines);
        Ok(record)
    }

    /// The devices among the records.
    #[must_use]
    pub fn devices(&self) -> HashSet<EnrollmentId> {
        let ids = self.records.iter().map(|numbered| &numbered.record.id);
        ids.filter(|id| !id.is_user()).cloned().collect()
    }

    /// The records, users after all devices, and what is wrong with the other lines.
    #[must_use]
    pub fn finish(mut self) -> (Vec<Numbered>, Mistakes) {
        self.records.sort_by_key(|numbered| numbered.record.id.is_user());
        (self.records, self.mistakes)
    }
}
