//! The baselines that ship with the program.

use crate::gitops::fetch::SourceFile;

/// Files of `baselines/`, by path and text.
macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$((concat!("baselines/", $name), include_str!(concat!("../../../baselines/", $name)))),+]
    };
}

const FILES: &[(&str, &str)] = shipped!(
    "cis-level-1-ios-byod.yaml",
    "cis-level-1-ios.yaml",
    "cis-level-1-macos.yaml",
    "cis-level-2-ios-byod.yaml",
    "cis-level-2-ios.yaml",
    "cis-level-2-macos.yaml",
    "hipaa-ios.yaml",
    "hipaa-macos.yaml",
    "ios-essentials.yaml",
    "macos-essentials.yaml",
    "nist-800-124-mobile.yaml",
    "soc2-ios.yaml",
    "soc2-macos.yaml",
);

/// Them, as files.
pub(super) fn files() -> Vec<SourceFile> {
    let files = FILES.iter().map(|(path, text)| SourceFile {
        path: (*path).to_owned(),
        content: text.as_bytes().to_vec(),
    });
    files.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_baseline_of_the_folder_is_in_the_program() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/baselines");
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| format!("baselines/{}", entry.unwrap().file_name().display()))
            .collect();
        let known: BTreeSet<String> = files().into_iter().map(|file| file.path).collect();
        assert_eq!(known, there);
    }
}
