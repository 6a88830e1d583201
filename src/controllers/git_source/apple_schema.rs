//! Apple's schema from git: a revision of Apple's repository, or of a copy of it, becomes the table that the server goes by when it starts again.
//!
//! The table is what the content of every fleet is judged by, so one source alone may bring it: the one that whoever runs the server has named. What it
//! brings is kept in a file and changes nothing by itself: which declarations there are decides what devices are sent, and that does not change in the
//! middle of their work.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fs, io};

use kube::ResourceExt as _;

use crate::api::GitSource;
use crate::api::condition::Reason;
use crate::files;
use crate::gitops::fetch::SourceFile;
use crate::gitops::{Finding, Position};
use crate::policy::schema::import::{Errata, FOLDERS, ImportError, Note, Report, SchemaFile, import};
use crate::policy::schema::{MAXIMUM_TABLE, Schema, TableError};

use super::dereference::Missing;
use super::status::{About, Ended, InForce};

/// Who can read the table: there is nothing secret in it.
const MODE: u32 = 0o644;

/// The source that may bring Apple's schema: `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaSource {
    namespace: String,
    name: String,
}

impl FromStr for SchemaSource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
                Ok(Self {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                })
            }
            _ => Err("give NAMESPACE/NAME of a GitSource, such as platform/apple-schema"),
        }
    }
}

/// Who may bring the table, and where it is kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The source. None: no source may.
    pub source: Option<SchemaSource>,
    /// The file of the table.
    pub file: PathBuf,
}

impl Settings {
    /// Why a source may not bring the table, if it may not.
    pub(super) fn refusal(&self, source: &GitSource) -> Option<Missing> {
        let (namespace, name) = (source.namespace().unwrap_or_default(), source.name_any());
        let message = match &self.source {
            Some(meant) if meant.namespace == namespace && meant.name == name => return None,
            Some(meant) => format!(
                "this server takes Apple's schema from the GitSource {} in {} alone; --apple-schema-source names it",
                meant.name, meant.namespace
            ),
            None => format!(
                "this server takes Apple's schema from no GitSource; start it with --apple-schema-source {namespace}/{name}"
            ),
        };
        Some(Missing {
            reason: Reason::DependencyNotReady,
            message,
        })
    }

    /// Makes a table of a revision and keeps it, unless it is kept already. Blocks.
    pub(super) fn keep(&self, source: &GitSource, about: About, files: &[SourceFile]) -> Ended {
        let title = title(source, &about.revision);
        let in_force = Schema::in_force();
        if in_force.source == title {
            return kept(about, in_force, files.len(), InForce::Now);
        }
        if let Some(table) = read(&self.file).ok().filter(|table| table.source == title) {
            return kept(about, &table, files.len(), InForce::AtNextStart);
        }
        match table(files, &source.spec.path, &title, in_force) {
            Err(findings) => Ended::Refused { about, findings },
            Ok((table, _)) => match files::replace(&self.file, table.write().as_bytes(), MODE) {
                Ok(()) => kept(about, &table, files.len(), InForce::AtNextStart),
                Err(error) => Ended::NotReady(Missing {
                    reason: Reason::DependencyNotReady,
                    message: format!(
                        "the table of {} cannot be kept in the data directory: {error}",
                        about.revision
                    ),
                }),
            },
        }
    }
}

/// What the table says of itself; by this it is known again.
fn title(source: &GitSource, revision: &str) -> String {
    let (namespace, name) = (source.namespace().unwrap_or_default(), source.name_any());
    format!("GitSource {namespace}/{name}: {revision}")
}

fn kept(about: About, table: &Schema, files: usize, since: InForce) -> Ended {
    Ended::Applied {
        about,
        inventory: Vec::new(),
        other: files,
        summary: format!(
            "Apple's schema: {} payload types, {} declaration types, {} commands",
            table.profiles.len(),
            table.declarations.len(),
            table.commands.len()
        ),
        since,
    }
}

/// The table of a revision, upon an earlier one, with the errata that ship. `root` is the folder of the repository in which Apple's folders are.
fn table(
    files: &[SourceFile],
    root: &str,
    title: &str,
    earlier: &Schema,
) -> Result<(Schema, Report), Vec<Finding>> {
    let root = root.trim_matches('/');
    let within = |path: &str| -> Option<String> {
        let path = match root {
            "" | "." => path,
            root => path.strip_prefix(root)?.strip_prefix('/')?,
        };
        let is_within = |folder: &str| {
            path.strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        FOLDERS.into_iter().any(is_within).then(|| path.to_owned())
    };
    let found: Vec<SchemaFile> = files
        .iter()
        .filter_map(|file| {
            Some(SchemaFile {
                path: within(&file.path)?,
                content: file.content.clone(),
            })
        })
        .collect();
    let (mut schema, report) = import(&found, title).map_err(|error| findings(error, root))?;
    if schema.is_older_than(Schema::embedded()) {
        let message = "the schema speaks of older systems than the table that ships with the server; follow a newer release of it";
        return Err(vec![finding(root.to_owned(), None, message.to_owned())]);
    }
    schema.succeed(earlier);
    match Errata::shipped() {
        // What does not apply is mended in what has been read.
        Ok(errata) => drop(errata.apply(&mut schema)),
        Err(error) => tracing::error!(%error, "the errata that ship cannot be read"),
    }
    Ok((schema, report))
}

fn finding(file: String, line: Option<usize>, message: String) -> Finding {
    Finding {
        file,
        position: Position {
            line: line.unwrap_or(1),
            column: 1,
        },
        field: String::new(),
        message,
    }
}

fn findings(error: ImportError, root: &str) -> Vec<Finding> {
    match error {
        ImportError::Nothing => vec![finding(root.to_owned(), None, error.to_string())],
        ImportError::Files(notes) => notes
            .into_iter()
            .map(|Note { file, problem }| {
                let file = match root {
                    "" | "." => file,
                    root => format!("{root}/{file}"),
                };
                finding(file, problem.line, problem.message)
            })
            .collect(),
    }
}

/// Why the file of a table cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened, or is no text.
    #[error(transparent)]
    File(#[from] io::Error),
    /// It is no table that this program reads.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The table in a file. What is larger than any table is not read.
///
/// # Errors
/// When it cannot be read.
pub fn read(file: &Path) -> Result<Schema, ReadError> {
    let bytes = usize::try_from(fs::metadata(file)?.len()).unwrap_or(usize::MAX);
    if bytes > MAXIMUM_TABLE {
        return Err(TableError::Size { bytes }.into());
    }
    Ok(Schema::read(&fs::read_to_string(file)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCK: &str = "title: Dock
payload:
  payloadtype: com.example.dock
  supportedOS:
    macOS:
      introduced: '10.7'
payloadkeys:
- key: Position
  type: <string>
  presence: optional
";

    /// By this a schema is newer than any that ships.
    const NEW: &str = "title: New
payload:
  declarationtype: com.apple.configuration.example
  supportedOS:
    macOS:
      introduced: '99.0'
payloadkeys:
- key: Position
  type: <string>
  presence: optional
";
    const NEW_FILE: &str = "declarative/declarations/configurations/example.yaml";

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile {
            path: path.to_owned(),
            content: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_table_is_made_of_what_lies_in_apple_s_folders_below_the_path() {
        let files = [
            file("vendor/apple/mdm/profiles/com.example.dock.yaml", DOCK),
            file(&format!("vendor/apple/{NEW_FILE}"), NEW),
            file("vendor/apple/docs/schema.yaml", "title: something else\n"),
            file("mdm/profiles/com.example.other.yaml", "neither: this\n"),
        ];
        let (schema, report) = table(&files, "/vendor/apple/", "one", &Schema::default()).unwrap();
        assert_eq!(report.files, 2);
        assert!(schema.profiles.contains_key("com.example.dock"));
        assert_eq!(schema.source, "one");
    }

    #[test]
    fn what_the_newer_schema_lacks_is_kept_of_the_earlier_one_as_removed() {
        let dock = file("mdm/profiles/com.example.dock.yaml", DOCK);
        let (newer, _) = table(&[dock, file(NEW_FILE, NEW)], ".", "two", Schema::embedded()).unwrap();
        assert!(newer.profiles.contains_key("com.example.dock"));
        assert!(newer.profiles.contains_key("com.apple.MCX.FileVault2"));
    }

    #[test]
    fn a_schema_that_is_older_than_the_one_that_ships_is_refused() {
        let files = [file("mdm/profiles/com.example.dock.yaml", DOCK)];
        let older = table(&files, ".", "", Schema::embedded()).unwrap_err();
        assert!(older[0].message.contains("older systems"), "{older:?}");
    }

    #[test]
    fn what_is_no_schema_is_refused_with_its_file() {
        let nothing = table(&[file("README.yaml", "a: b\n")], ".", "", &Schema::default());
        let nothing = nothing.unwrap_err();
        assert!(nothing[0].message.contains("mdm/profiles"), "{nothing:?}");
        let files = [file("apple/mdm/profiles/broken.yaml", "title: [\n")];
        let broken = table(&files, "apple", "", &Schema::default()).unwrap_err();
        assert_eq!(broken[0].file, "apple/mdm/profiles/broken.yaml", "{broken:?}");
    }

    #[test]
    fn only_the_source_that_is_named_may_bring_it() {
        let source = |namespace: &str, name: &str| -> GitSource {
            let object = serde_json::json!({ "apiVersion": crate::api::names::API_VERSION, "kind": "GitSource",
                "metadata": { "namespace": namespace, "name": name }, "spec": { "url": "https://git.example.com/apple.git" } });
            serde_json::from_value(object).unwrap()
        };
        let settings = |named: Option<&str>| Settings {
            source: named.map(|named| named.parse().unwrap()),
            file: PathBuf::new(),
        };
        assert_eq!(
            settings(Some("platform/apple")).refusal(&source("platform", "apple")),
            None
        );
        for (named, namespace, name, advice) in [
            (
                Some("platform/apple"),
                "fleet",
                "apple",
                "the GitSource apple in platform alone",
            ),
            (None, "fleet", "apple", "--apple-schema-source fleet/apple"),
        ] {
            let refusal = settings(named).refusal(&source(namespace, name)).unwrap();
            assert!(refusal.message.contains(advice), "{refusal:?}");
        }
        for wrong in ["apple", "/apple", "platform/", "a/b/c"] {
            assert!(wrong.parse::<SchemaSource>().is_err(), "{wrong}");
        }
    }
}
