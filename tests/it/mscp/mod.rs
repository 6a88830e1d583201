//! Trees of the macOS Security Compliance Project: small ones of our own, the published ones where they are to be had, and one in git.

mod fixtures;
mod golden;
mod published;
mod story;

use std::path::{Path, PathBuf};

use provost::gitops::fetch::Limits;
use provost::gitops::folder;
use provost::gitops::mscp::Tree;

use crate::control_plane::left_out;

/// A folder of ours: `one` or `two`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/mscp")
        .join(name)
}

/// Reads a tree from a folder.
fn tree(folder: &Path) -> Tree {
    let files = folder::read(folder, &Limits::default()).unwrap();
    Tree::read(&files).unwrap()
}

/// The folder that holds the published trees `mscp` (2.0) and `mscp-1x` and what their own generator makes of them in `mscp-golden`:
/// `PROVOST_TEST_MSCP`, else `~/.cache/provost/mscp`. None, and a line that says what is left out, where there is none.
pub(crate) fn published(what: &str) -> Option<PathBuf> {
    let named = std::env::var_os("PROVOST_TEST_MSCP").map(PathBuf::from);
    let usual = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/provost/mscp"));
    let folder = named.or(usual).filter(|folder| folder.join("mscp").is_dir());
    if folder.is_none() {
        left_out(
            what,
            "neither PROVOST_TEST_MSCP nor ~/.cache/provost/mscp is a folder with the published trees of mSCP",
        );
    }
    folder
}
