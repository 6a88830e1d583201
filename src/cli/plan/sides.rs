//! The two policies: what the folder holds at either revision.

use std::path::Path;

use anyhow::{Result, bail};

use super::PlanArgs;
use crate::api::git_source::SourceFormat;
use crate::cli::standard::{self, Format, Standard};
use crate::gitops::fetch::{Limits, LocalRepository, LocalRevision};

/// One of them.
pub(super) struct Side {
    /// The commit, without its files.
    pub(super) revision: LocalRevision,
    /// As people named it.
    pub(super) named: String,
    pub(super) standard: Standard,
}

/// Both.
pub(super) struct Sides {
    pub(super) before: Side,
    pub(super) after: Side,
    /// What a reviewer should know of them.
    pub(super) notes: Vec<String>,
    /// What should be looked at in the files of the newer one.
    pub(super) warnings: Vec<String>,
}

impl Sides {
    pub(super) fn read(args: &PlanArgs, namespace: &str) -> Result<Self> {
        let repository = LocalRepository::discover(&args.repository)?;
        let from = if args.merge_base {
            repository.common_ancestor(&args.from, &args.to)?
        } else {
            repository.resolve(&args.from)?
        };
        let to = repository.resolve(&args.to)?;
        let mut notes = Vec::new();
        let [there_before, there_after] =
            [&from, &to].map(|commit| repository.has_folder(commit, &args.path));
        let (there_before, there_after) = (there_before?, there_after?);
        if !there_before && !there_after {
            bail!(
                "neither revision has a folder {}; give it from the root of the repository, as spec.path of the GitSource does",
                args.path
            );
        }
        let load = |commit: &str, named: &str, there: bool, format: Option<Format>| {
            load(
                &repository,
                commit,
                named,
                there.then_some(args.path.as_str()),
                format,
                namespace,
            )
        };
        let after = load(&to, &args.to, there_after, args.format)?;
        // What the newer revision is was told by more files than an empty older one has.
        let format = args.format.or(match after.standard.format {
            SourceFormat::Mscp => Some(Format::Mscp),
            SourceFormat::Native => None,
        });
        let format = if there_after { format } else { args.format };
        let before = load(&from, &args.from, there_before, format)?;
        for (side, there) in [(&before, there_before), (&after, there_after)] {
            if !there {
                notes.push(format!("{} has no folder {}", side.named, args.path));
            }
        }
        let warnings = standard::warnings(&after.standard.documents);
        notes.extend(after.standard.missing());
        Ok(Self {
            before,
            after,
            notes,
            warnings,
        })
    }
}

fn load(
    repository: &LocalRepository,
    commit: &str,
    named: &str,
    path: Option<&str>,
    format: Option<Format>,
    namespace: &str,
) -> Result<Side> {
    let Some(path) = path else {
        return Ok(Side {
            revision: repository.describe(commit)?,
            named: named.to_owned(),
            standard: Standard::empty(format.map_or(SourceFormat::Native, SourceFormat::from)),
        });
    };
    let mut revision = repository.read(commit, path, &Limits::default())?;
    let files = std::mem::take(&mut revision.files);
    let place = format!("the revision {named} ({})", short(commit));
    let standard = Standard::read(&files, format, namespace, &place)?;
    Ok(Side {
        revision,
        named: named.to_owned(),
        standard,
    })
}

/// The first digits of a commit's id.
pub(super) fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

/// The folder as people read it.
pub(super) fn folder(path: &str) -> String {
    match path.trim_matches('/') {
        "" | "." => "the whole repository".to_owned(),
        path => Path::new(path).display().to_string(),
    }
}
