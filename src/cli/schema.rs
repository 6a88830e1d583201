//! `provost schema`: Apple's schema, which content is checked against.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use anyhow::{Context as _, bail};
use clap::Subcommand;

use super::print;
use crate::app::data_dir::apple_schema_file;
use crate::controllers::git_source::apple_schema::{self, ReadError, SchemaSource};
use crate::policy::schema::Schema;
use crate::policy::schema::import::{
    self, Errata, FOLDERS, MAXIMUM_FILES, Report, SchemaFile, Succession, import,
};

/// Folders within each other that are looked into.
const MAXIMUM_DEPTH: usize = 8;

/// Files larger than this are none of Apple's.
const MAXIMUM_FILE: u64 = 4 << 20;

/// How many notes of one kind are told.
const TOLD: usize = 20;

/// Options of `provost schema`.
#[derive(Debug, clap::Args)]
pub(super) struct SchemaArgs {
    #[command(subcommand)]
    command: SchemaCommand,
}

#[derive(Debug, Subcommand)]
enum SchemaCommand {
    /// Make a table from Apple's published schema, for `--apple-schema`.
    ///
    /// DIR is a copy of github.com/apple/device-management. The table goes to standard output or into a file, what was done to standard error.
    Import(ImportArgs),
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// The copy: the folder that holds `mdm` and `declarative`.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Write the table into this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Keep what this earlier table has and Apple's schema no longer holds, as removed.
    #[arg(long, value_name = "FILE")]
    on: Option<PathBuf>,
    /// Corrections to apply after those that ship (can be given again).
    #[arg(long, value_name = "FILE")]
    errata: Vec<PathBuf>,
    /// Do not apply the corrections that ship.
    #[arg(long)]
    no_shipped_errata: bool,
    /// What the table is made from, for people, such as `release 27.0`.
    #[arg(long, value_name = "TEXT", default_value = "")]
    source: String,
}

/// Options of commands that check content.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct AppleSchemaArgs {
    /// Check content against this table instead of the one that ships; `provost schema import` makes one.
    #[arg(
        long,
        value_name = "FILE",
        env = "PROVOST_APPLE_SCHEMA_TABLE",
        hide_env_values = true
    )]
    apple_schema: Option<PathBuf>,
    /// Corrections of that table (can be given again).
    #[arg(long, value_name = "FILE")]
    apple_schema_errata: Vec<PathBuf>,
}

impl AppleSchemaArgs {
    /// Lets the process go by the table that was asked for, if one was.
    pub(super) fn put_in_force(&self) -> anyhow::Result<()> {
        self.put_in_force_or(None)
    }

    /// Lets the process go by the table that was asked for, else by `kept`, else by the one that ships.
    fn put_in_force_or(&self, kept: Option<Schema>) -> anyhow::Result<()> {
        if self.apple_schema.is_none() && kept.is_none() && self.apple_schema_errata.is_empty() {
            return Ok(());
        }
        let mut schema = match (&self.apple_schema, kept) {
            (Some(file), _) => read_table(file)?,
            (None, Some(kept)) => kept,
            (None, None) => Schema::embedded().clone(),
        };
        for file in &self.apple_schema_errata {
            for note in read_errata(file)?.apply(&mut schema) {
                print::note(&format!("{}: does not apply: {note}", file.display()));
            }
        }
        schema
            .put_in_force()
            .map_err(|_| anyhow::anyhow!("there is a table of Apple's schema in force already"))
    }
}

/// Options of servers, which a GitSource may bring the table.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ServerSchemaArgs {
    #[command(flatten)]
    table: AppleSchemaArgs,
    /// The GitSource that may bring the table (`format: AppleSchema`). It is kept in the data directory, and counts when the server starts again.
    #[arg(
        long,
        value_name = "NS/NAME",
        env = "PROVOST_APPLE_SCHEMA_SOURCE",
        hide_env_values = true,
        conflicts_with = "apple_schema"
    )]
    pub(super) apple_schema_source: Option<SchemaSource>,
}

impl ServerSchemaArgs {
    /// Lets the server go by the table that was asked for, or else by the one that the named GitSource has brought into `data_dir`, unless the one that
    /// ships is newer.
    pub(super) fn put_in_force(&self, data_dir: &Path) -> anyhow::Result<()> {
        let kept = self.apple_schema_source.as_ref().and_then(|_| kept(data_dir));
        self.table.put_in_force_or(kept)
    }
}

/// The table that a GitSource has brought, where it is of use. What cannot be read is made again, and keeps no server from starting.
fn kept(data_dir: &Path) -> Option<Schema> {
    let file = apple_schema_file(data_dir);
    match apple_schema::read(&file) {
        Ok(table) if !table.is_older_than(Schema::embedded()) => Some(table),
        Ok(_) => {
            print::note(&format!(
                "{}: older than the table that ships, which counts",
                file.display()
            ));
            None
        }
        Err(ReadError::File(error)) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            print::note(&format!(
                "{}: {error}; the table that ships counts until the GitSource has brought it again",
                file.display()
            ));
            None
        }
    }
}

pub(super) fn run(args: &SchemaArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        SchemaCommand::Import(args) => run_import(args),
    }
}

fn run_import(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let Made {
        schema,
        report,
        succession,
        unapplied,
    } = make(args)?;
    let text = schema.write();
    match &args.out {
        None => print::out(&text)?,
        Some(file) => {
            fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        }
    }
    print::note(&told(&schema, &report, succession.as_ref(), &unapplied));
    Ok(ExitCode::SUCCESS)
}

/// A table, and how it came about.
struct Made {
    schema: Schema,
    report: Report,
    succession: Option<Succession>,
    unapplied: Vec<String>,
}

fn make(args: &ImportArgs) -> anyhow::Result<Made> {
    let files = read_tree(&args.folder)?;
    let (mut schema, report) = import(&files, &args.source)?;
    let succession = match &args.on {
        Some(file) => Some(schema.succeed(&read_table(file)?)),
        None => None,
    };
    let mut unapplied = Vec::new();
    if !args.no_shipped_errata {
        unapplied.extend(Errata::shipped()?.apply(&mut schema));
    }
    for file in &args.errata {
        unapplied.extend(read_errata(file)?.apply(&mut schema));
    }
    Ok(Made {
        schema,
        report,
        succession,
        unapplied,
    })
}

fn told(schema: &Schema, report: &Report, succession: Option<&Succession>, unapplied: &[String]) -> String {
    let mut lines = vec![format!(
        "read {} files, {} others hold nothing for the table",
        report.files, report.others
    )];
    for (what, types) in [
        ("payload types", &schema.profiles),
        ("declaration types", &schema.declarations),
        ("kinds of credential", &schema.credentials),
        ("commands", &schema.commands),
    ] {
        lines.push(format!(
            "{} {what} with {} keys",
            types.len(),
            import::keys(types)
        ));
    }
    let notes: Vec<String> = report.notes.iter().map(ToString::to_string).collect();
    list(&mut lines, "passed over", &notes);
    list(&mut lines, "errata that do not apply", unapplied);
    if let Some(Succession { removed, dropped }) = succession {
        list(&mut lines, "no longer in the schema, kept as removed", removed);
        list(
            &mut lines,
            "no longer in a schema that is no newer, dropped",
            dropped,
        );
    }
    lines.join("\n")
}

fn list(lines: &mut Vec<String>, title: &str, items: &[String]) {
    if items.is_empty() {
        return;
    }
    lines.push(format!("{title} ({}):", items.len()));
    lines.extend(items.iter().take(TOLD).map(|item| format!("  {item}")));
    if items.len() > TOLD {
        lines.push(format!("  and {} more", items.len() - TOLD));
    }
}

fn read_table(file: &Path) -> anyhow::Result<Schema> {
    apple_schema::read(file).with_context(|| format!("the table {} cannot be read", file.display()))
}

fn read_errata(file: &Path) -> anyhow::Result<Errata> {
    let unread = || format!("{} cannot be read", file.display());
    if fs::metadata(file).with_context(unread)?.len() > MAXIMUM_FILE {
        bail!("{}: larger than the {MAXIMUM_FILE} bytes that are read", unread());
    }
    let text = fs::read_to_string(file).with_context(unread)?;
    Errata::read(&text).with_context(unread)
}

/// The files of a copy of Apple's repository. Links are not followed.
fn read_tree(folder: &Path) -> anyhow::Result<Vec<SchemaFile>> {
    let mut files = Vec::new();
    let mut open: Vec<(String, usize)> = FOLDERS
        .into_iter()
        .filter(|name| folder.join(name).is_dir())
        .map(|name| (name.to_owned(), 0))
        .collect();
    while let Some((path, depth)) = open.pop() {
        let at = folder.join(&path);
        let unread = || format!("the folder {} cannot be read", at.display());
        if depth > MAXIMUM_DEPTH {
            bail!("{}: folders nest too deep", unread());
        }
        for entry in fs::read_dir(&at).with_context(unread)? {
            let entry = entry.with_context(unread)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = format!("{path}/{name}");
            let kind = entry.file_type().with_context(unread)?;
            if kind.is_dir() {
                open.push((path, depth + 1));
            } else if kind.is_file()
                && Path::new(&name)
                    .extension()
                    .is_some_and(|extension| extension == "yaml")
            {
                if files.len() >= MAXIMUM_FILES || entry.metadata().with_context(unread)?.len() > MAXIMUM_FILE
                {
                    bail!("{path}: there are more or larger files here than Apple's schema has");
                }
                let content = fs::read(entry.path()).with_context(|| format!("{path} cannot be read"))?;
                files.push(SchemaFile { path, content });
            }
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says where a copy of Apple's repository is.
    const SCHEMA: &str = "PROVOST_APPLE_SCHEMA";

    fn copy() -> Option<PathBuf> {
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/apple-schema");
        let named = std::env::var_os(SCHEMA).map(PathBuf::from);
        let found = named.or_else(|| beside.is_dir().then_some(beside));
        if found.is_none() {
            eprintln!("skipped: {SCHEMA} does not name a copy of github.com/apple/device-management");
        }
        found
    }

    fn args(folder: PathBuf) -> ImportArgs {
        ImportArgs {
            folder,
            out: None,
            on: None,
            errata: Vec::new(),
            no_shipped_errata: false,
            source: Schema::embedded().source.clone(),
        }
    }

    #[test]
    fn the_table_that_ships_says_what_the_schema_says() {
        let Some(folder) = copy() else { return };
        let made = make(&args(folder)).unwrap();
        assert!(
            made.schema.write() == Schema::embedded().write(),
            "the table is stale: run `make schema-table SCHEMA=…`"
        );
        assert_eq!(made.unapplied, Vec::<String>::new());
        let notes: Vec<String> = made.report.notes.iter().map(ToString::to_string).collect();
        assert_eq!(notes, Vec::<String>::new());
    }

    #[test]
    fn a_folder_without_a_schema_is_told_so() {
        let folder = tempfile::tempdir().unwrap();
        let error = make(&args(folder.path().to_owned())).err().unwrap();
        insta::assert_snapshot!(error, @"there is no schema here: a copy of github.com/apple/device-management holds declarative/declarations, mdm/commands, mdm/profiles");
    }

    #[test]
    fn an_import_tells_what_it_did() {
        let folder = tempfile::tempdir().unwrap();
        let profiles = folder.path().join("mdm/profiles");
        fs::create_dir_all(&profiles).unwrap();
        let payload = "payload: {payloadtype: com.example.a, supportedOS: {macOS: {introduced: '14.0'}, carOS: {introduced: '1.0'}}}\npayloadkeys:\n- {key: A, type: <string>}\n";
        fs::write(profiles.join("a.yaml"), payload).unwrap();
        let made = make(&ImportArgs {
            no_shipped_errata: true,
            ..args(folder.path().to_owned())
        })
        .unwrap();
        let text = told(
            &made.schema,
            &made.report,
            None,
            &["there is no com.example.b".to_owned()],
        );
        insta::assert_snapshot!(text, @r"
        read 1 files, 0 others hold nothing for the table
        1 payload types with 1 keys
        0 declaration types with 0 keys
        0 kinds of credential with 0 keys
        0 commands with 0 keys
        passed over (1):
          mdm/profiles/a.yaml: the system `carOS` is not known to this program and is passed over
        errata that do not apply (1):
          there is no com.example.b
        ");
    }
}
