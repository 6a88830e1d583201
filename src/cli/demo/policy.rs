//! The demo's repository: the baselines and examples that ship with Provost, and a commit that tightens a rule.

use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::gitops::author::Author;

/// The files, as they ship.
const FILES: [(&str, &str); 6] = [
    (
        "fleet/groups.yaml",
        include_str!("../../../examples/quickstart/fleet/groups.yaml"),
    ),
    (
        "fleet/assignments.yaml",
        include_str!("../../../examples/quickstart/fleet/assignments.yaml"),
    ),
    (
        "fleet/watch.yaml",
        include_str!("../../../examples/quickstart/fleet/watch.yaml"),
    ),
    (
        "fleet/profiles/login-window.yaml",
        include_str!("../../../examples/quickstart/fleet/profiles/login-window.yaml"),
    ),
    (
        "fleet/baselines/macos-essentials.yaml",
        include_str!("../../../baselines/macos-essentials.yaml"),
    ),
    (
        "fleet/baselines/ios-essentials.yaml",
        include_str!("../../../baselines/ios-essentials.yaml"),
    ),
];

/// What the tightening commit changes in `fleet/assignments.yaml`.
const LOOSE: &str = "passcodeMinimumLength: 12";
const TIGHT: &str = "passcodeMinimumLength: 15";
/// The Assignment that the tightening commit changes.
pub(super) const TIGHTENED: &str = "macs";
/// The line of the commit's message.
pub(super) const TIGHTENING: &str = "Ask Macs for passwords of 15 characters";

/// The repository.
pub(super) struct Policy(Author);

impl Policy {
    /// Makes the repository with its first commit, and gives that commit's id.
    pub(super) fn make(path: &Path) -> anyhow::Result<(Self, String)> {
        let author = Author::open(path, "Provost demo", "demo@provost.dev")?;
        for (file, content) in FILES {
            author.write(file, content)?;
        }
        let commit = author.commit("Bring the fleet under policy")?;
        Ok((Self(author), commit))
    }

    /// The URL of the repository.
    pub(super) fn url(&self) -> String {
        format!("file://{}", self.0.path().display())
    }

    /// Commits a stricter rule, and gives the commit's id.
    pub(super) fn tighten(&self) -> anyhow::Result<String> {
        let file = "fleet/assignments.yaml";
        let path = self.0.path().join(file);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
        let tight = text.replace(LOOSE, TIGHT);
        ensure!(tight != text, "{} does not hold `{LOOSE}`", path.display());
        self.0.write(file, &tight)?;
        Ok(self.0.commit(TIGHTENING)?)
    }
}
