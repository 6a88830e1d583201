//! Makes a table from Apple's published YAML: the files of github.com/apple/device-management, or of a copy of it.
//!
//! Pure: files come as bytes. One file makes one type, but for payload types that are spread over several, whose keys are united, or told
//! apart by the value of a key. Then [errata](Errata) correct what is known to be wrong, and what an earlier table has and this one does
//! not is kept as removed. What this program does not know is passed over and told, so that a newer schema can be read.
//!
//! Specification: the folders `mdm/profiles`, `mdm/commands` and `declarative/declarations` of that repository.

mod errata;
mod read;
mod succession;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;

pub use errata::{Errata, ErrataError};
pub use succession::Succession;

use self::read::{About, File};
use super::facts::{Key, TypeFacts, Variant};
use super::table::{Schema, Types};

/// The folders that are read, from the root of the repository.
pub const FOLDERS: [&str; 3] = ["declarative/declarations", "mdm/commands", "mdm/profiles"];

/// The most files that are read.
pub const MAXIMUM_FILES: usize = 4_096;

/// The types of keys that are no payloads: those of every payload, and those of a profile itself.
const COMMON: &str = "CommonPayloadKeys";
const PROFILE: &str = "TopLevel";

/// A file of the repository.
#[derive(Debug, Clone)]
pub struct SchemaFile {
    /// The path from the root of the repository, with `/`.
    pub path: String,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Something in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, where it is known.
    pub line: Option<usize>,
    /// What it is.
    pub message: String,
}

impl Problem {
    const fn of(message: String) -> Self {
        Self { line: None, message }
    }
}

/// A file that cannot be read, or something in one that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The file.
    pub file: String,
    /// What is in it.
    pub problem: Problem,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(line) = self.problem.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.problem.message)
    }
}

/// Why no table was made.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Files that are not what they should be.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Files(Vec<Note>),
    /// There is nothing to make one from.
    #[error("there is no schema here: a copy of github.com/apple/device-management holds {}", FOLDERS.join(", "))]
    Nothing,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Files that became facts.
    pub files: usize,
    /// Files about something that the table does not hold.
    pub others: usize,
    /// What was passed over.
    pub notes: Vec<Note>,
}

/// Makes a table from `files`, in any order. `source` says for people where they come from.
///
/// # Errors
/// When a file cannot be read, or none holds a type.
pub fn import(files: &[SchemaFile], source: &str) -> Result<(Schema, Report), ImportError> {
    let mut files: Vec<&SchemaFile> = files.iter().collect();
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let mut schema = Schema::new(source.to_owned());
    let mut report = Report::default();
    let mut wrong = Vec::new();
    let mut profiles: BTreeMap<String, Vec<TypeFacts>> = BTreeMap::new();
    for file in files {
        let note = |problem| Note {
            file: file.path.clone(),
            problem,
        };
        let read = match read::read(&file.path, &file.content) {
            Ok(Some(read)) => read,
            Ok(None) => {
                report.others += 1;
                continue;
            }
            Err(problem) => {
                wrong.push(note(problem));
                continue;
            }
        };
        report.files += 1;
        let File {
            about,
            name,
            facts,
            problems,
        } = read;
        report.notes.extend(problems.into_iter().map(note));
        let types = match about {
            About::Profile => {
                profiles.entry(name).or_default().push(facts);
                continue;
            }
            About::Command => &mut schema.commands,
            About::Credential => &mut schema.credentials,
            About::Declaration => &mut schema.declarations,
        };
        if types.insert(name.clone(), facts).is_some() {
            let message = format!("`{name}` stands in another file too; this one counts");
            report.notes.push(note(Problem::of(message)));
        }
    }
    if !wrong.is_empty() {
        return Err(ImportError::Files(wrong));
    }
    if report.files == 0 {
        return Err(ImportError::Nothing);
    }
    schema.profiles = profiles
        .into_iter()
        .map(|(name, parts)| (name, united(parts)))
        .collect();
    schema.common = schema.profiles.remove(COMMON).unwrap_or_default();
    schema.profiles.remove(PROFILE);
    schema.finish();
    Ok((schema, report))
}

/// One type of what several files say of it: what fixes the value of a key is a variant of the rest, which are united.
fn united(parts: Vec<TypeFacts>) -> TypeFacts {
    let fixed: Vec<Option<(String, Key)>> = parts
        .iter()
        .map(|part| {
            let settles = |name: &str, key: &Key| {
                let free = |other: &TypeFacts| other.keys.get(name).is_some_and(|key| key.values.is_empty());
                key.required && !key.values.is_empty() && parts.iter().any(free)
            };
            let mut fixed = part.keys.iter().filter(|(name, key)| settles(name, key));
            fixed.next().map(|(name, key)| (name.clone(), key.clone()))
        })
        .collect();
    let mut whole = TypeFacts::default();
    let mut variants = Vec::new();
    for (part, fixed) in parts.into_iter().zip(fixed) {
        match fixed {
            Some((key, Key { values, .. })) => variants.push(Variant {
                key,
                values,
                facts: part,
            }),
            None => unite(&mut whole, part),
        }
    }
    whole.variants = variants;
    whole
}

fn unite(whole: &mut TypeFacts, part: TypeFacts) {
    let alone = whole.keys.is_empty();
    for (system, on) in part.on {
        whole.on.entry(system).or_insert(on);
    }
    for (name, key) in part.keys {
        // A key that only one of the files has need not be there for the others.
        let required = key.required && alone;
        whole.keys.entry(name).or_insert(Key { required, ..key });
    }
    if !alone {
        for key in whole.keys.values_mut() {
            key.required = false;
        }
    }
    whole.shapes.extend(part.shapes);
}

/// How many keys there are in `types`.
#[must_use]
pub fn keys(types: &Types) -> usize {
    let mut open: Vec<&Key> = types
        .values()
        .flat_map(|facts| {
            let shapes = facts.shapes.values().flat_map(BTreeMap::values);
            facts.keys.values().chain(facts.response.values()).chain(shapes)
        })
        .collect();
    let mut count = 0;
    while let Some(key) = open.pop() {
        count += 1;
        open.extend(key.keys.values());
    }
    count
}
