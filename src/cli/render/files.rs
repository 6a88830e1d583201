//! Profiles and declarations as files that a person can read and Apple's tools can load.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::policy::manifest::{Declaration, Manifest, Section};

/// The extensions of what is written.
const EXTENSIONS: [&str; 2] = ["mobileconfig", "json"];

/// Writes what one device would get below `folder`, and removes what an earlier call wrote there and is no longer part of it. Gives the paths from
/// `folder`, in order.
pub(super) fn write(folder: &Path, device: &str, manifest: &Manifest) -> Result<Vec<String>> {
    let base = file_name(device)?;
    let mut files: Vec<(String, String)> = Vec::new();
    for profile in &manifest.profiles {
        let name = file_name(&profile.identifier)?;
        files.push((
            format!("{base}/profiles/{name}.mobileconfig"),
            profile.body.to_string(),
        ));
    }
    let users = manifest.users.iter().flat_map(|users| &users.declarations);
    let own = manifest
        .declarations
        .iter()
        .map(|declaration| ("declarations", declaration));
    for (place, declaration) in own.chain(users.map(|declaration| ("users/declarations", declaration))) {
        let name = file_name(&declaration.identifier)?;
        let path = format!("{base}/{place}/{}/{name}.json", section(declaration.section));
        files.push((path, readable(declaration)?));
    }
    files.sort();
    let names: BTreeSet<PathBuf> = files.iter().map(|(path, _)| folder.join(path)).collect();
    for (path, content) in &files {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
        }
        fs::write(&path, content).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    for place in ["profiles", "declarations", "users/declarations"] {
        remove_others(&folder.join(&base).join(place), &names)?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

const fn section(section: Section) -> &'static str {
    match section {
        Section::Activations => "activations",
        Section::Assets => "assets",
        Section::Configurations => "configurations",
        Section::Management => "management",
    }
}

/// The declaration as it is served, in lines.
fn readable(declaration: &Declaration) -> Result<String> {
    let value: Value = serde_json::from_str(&declaration.body)
        .with_context(|| format!("the declaration {} cannot be read", declaration.identifier))?;
    Ok(format!("{}\n", serde_json::to_string_pretty(&value)?))
}

/// A name that stays in its folder.
fn file_name(name: &str) -> Result<String> {
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "._-()@ ".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    if name.is_empty() || name.starts_with('.') {
        bail!("{name:?} cannot be the name of a file");
    }
    Ok(name)
}

/// Removes files of an earlier call that are not among `names`. Only what such a call writes is touched, and links are not followed.
fn remove_others(folder: &Path, names: &BTreeSet<PathBuf>) -> Result<()> {
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.with_context(|| format!("{} cannot be read", folder.display()))?,
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("{} cannot be read", folder.display()))?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let extension = path.extension().and_then(|extension| extension.to_str());
            let is_ours = extension.is_some_and(|extension| EXTENSIONS.contains(&extension));
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() && is_ours && !names.contains(&path) {
                fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))?;
            }
        }
    }
    Ok(())
}
