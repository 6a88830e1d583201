//! Which file of a tree is what: `rules/**`, `baselines/**` and `sections/*`, and the same under `custom/`.
//!
//! In 2.0 they stand under `src/mscp/data`, in 1.x at the root of the tree; the tree itself may stand anywhere under the source's path.

use std::collections::{BTreeMap, BTreeSet};

use super::note::of_tree;
use crate::gitops::Finding;
use crate::gitops::fetch::SourceFile;

/// The folders that make a tree.
const FOLDERS: [&str; 3] = ["rules", "baselines", "sections"];
/// The folder of what users change.
const CUSTOM: &str = "custom";

/// The files of a tree by what they are.
#[derive(Debug, Default)]
pub(super) struct Layout<'f> {
    pub(super) rules: Vec<&'f SourceFile>,
    pub(super) custom_rules: Vec<&'f SourceFile>,
    pub(super) baselines: Vec<&'f SourceFile>,
    pub(super) custom_baselines: Vec<&'f SourceFile>,
    /// The names of sections: the stems of their files, in lower case.
    pub(super) sections: BTreeSet<String>,
    /// 1.x: which system and version the branch is for.
    pub(super) version: Option<&'f SourceFile>,
}

/// A file that belongs to a tree.
struct Placed<'f> {
    base: String,
    custom: bool,
    folder: &'static str,
    file: &'f SourceFile,
}

/// Sorts the files of a tree.
///
/// # Errors
/// When there is no tree among them, or more than one.
pub(super) fn arrange(files: &[SourceFile]) -> Result<Layout<'_>, Finding> {
    let placed: Vec<Placed<'_>> = files.iter().filter_map(place).collect();
    let bases: BTreeSet<&str> = placed
        .iter()
        .filter(|placed| placed.folder == "rules" && !placed.custom)
        .map(|placed| placed.base.as_str())
        .collect();
    let mut bases = bases.into_iter();
    let base = match (bases.next(), bases.next()) {
        (Some(base), None) => base,
        (Some(one), Some(other)) => {
            let name = |base: &str| {
                if base.is_empty() {
                    "rules".to_owned()
                } else {
                    format!("{base}/rules")
                }
            };
            return Err(of_tree(format!(
                "there is more than one mSCP tree, in {} and {}; point the path at one of them",
                name(one),
                name(other)
            )));
        }
        (None, _) => {
            return Err(of_tree(
                "there is no mSCP tree here: a folder `rules` with YAML files in it, as in src/mscp/data of a 2.0 checkout or at \
                 the root of a 1.x branch",
            ));
        }
    };
    let mut layout = Layout::default();
    for placed in &placed {
        // Users' changes stand beside the data or, in a checkout of 2.0, above it.
        let belongs = placed.base == base || (placed.custom && is_above(&placed.base, base));
        if !belongs {
            continue;
        }
        match (placed.folder, placed.custom) {
            ("rules", false) => layout.rules.push(placed.file),
            ("rules", true) => layout.custom_rules.push(placed.file),
            ("baselines", false) => layout.baselines.push(placed.file),
            ("baselines", true) => layout.custom_baselines.push(placed.file),
            _ => {
                layout.sections.insert(stem(&placed.file.path).to_lowercase());
            }
        }
    }
    let version = if base.is_empty() {
        "VERSION.yaml".to_owned()
    } else {
        format!("{base}/VERSION.yaml")
    };
    layout.version = files.iter().find(|file| file.path == version);
    Ok(layout)
}

fn place(file: &SourceFile) -> Option<Placed<'_>> {
    let (_, extension) = file.path.rsplit_once('.')?;
    if !matches!(extension, "yaml" | "yml") {
        return None;
    }
    let parts: Vec<&str> = file.path.split('/').collect();
    let (_, folders) = parts.split_last()?;
    let (at, folder) = folders.iter().enumerate().find_map(|(at, part)| {
        let folder = FOLDERS.iter().find(|folder| *folder == part)?;
        Some((at, *folder))
    })?;
    let mut base = folders.get(..at)?;
    let custom = base.last() == Some(&CUSTOM);
    if custom {
        base = base.get(..at - 1)?;
    }
    Some(Placed {
        base: base.join("/"),
        custom,
        folder,
        file,
    })
}

fn is_above(ancestor: &str, base: &str) -> bool {
    ancestor.is_empty()
        || base
            .strip_prefix(ancestor)
            .is_some_and(|rest| rest.starts_with('/'))
}

/// The name of a file without folders and extension.
pub(super) fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// Files by their stems; the second of two that share one is given back.
pub(super) fn by_stem<'f>(
    files: &[&'f SourceFile],
) -> (
    BTreeMap<&'f str, &'f SourceFile>,
    Vec<(&'f SourceFile, &'f SourceFile)>,
) {
    let mut found: BTreeMap<&str, &SourceFile> = BTreeMap::new();
    let mut twice = Vec::new();
    for file in files {
        if let Some(first) = found.get(stem(&file.path)) {
            twice.push((*first, *file));
        } else {
            found.insert(stem(&file.path), file);
        }
    }
    (found, twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<SourceFile> {
        let file = |path: &&str| SourceFile {
            path: (*path).to_owned(),
            content: Vec::new(),
        };
        paths.iter().map(file).collect()
    }

    fn count(paths: &[&str]) -> (usize, usize, usize, usize, usize, bool) {
        let files = files(paths);
        let layout = arrange(&files).unwrap();
        (
            layout.rules.len(),
            layout.custom_rules.len(),
            layout.baselines.len(),
            layout.custom_baselines.len(),
            layout.sections.len(),
            layout.version.is_some(),
        )
    }

    #[test]
    fn both_layouts_are_found_wherever_they_stand() {
        let two = [
            "src/mscp/data/rules/os/a.yaml",
            "src/mscp/data/baselines/macos/b.yaml",
            "src/mscp/data/sections/os.yaml",
            "custom/rules/a.yaml",
            "custom/baselines/c.yaml",
            "src/mscp/data/schema/rule.json",
        ];
        assert_eq!(count(&two), (1, 1, 1, 1, 1, false));
        let below: Vec<String> = two.iter().map(|path| format!("vendor/mscp/{path}")).collect();
        let below: Vec<&str> = below.iter().map(String::as_str).collect();
        assert_eq!(count(&below), (1, 1, 1, 1, 1, false));
        let one = [
            "rules/os/a.yaml",
            "baselines/b.yaml",
            "sections/macos.yaml",
            "VERSION.yaml",
            "build/baselines/b.yaml",
        ];
        assert_eq!(count(&one), (1, 0, 1, 0, 1, true));
    }

    #[test]
    fn no_tree_and_two_trees_are_mistakes() {
        assert!(
            arrange(&files(&["fleet/a.yaml"]))
                .unwrap_err()
                .message
                .starts_with("there is no mSCP tree here")
        );
        let two = arrange(&files(&["a/rules/x.yaml", "rules/x.yaml"])).unwrap_err();
        assert!(two.message.contains("in rules and a/rules"), "{}", two.message);
    }
}
