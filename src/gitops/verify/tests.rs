//! Stories with real repositories, signed by `git` with `ssh-keygen` and, where it is installed, with `gpg`.

mod gpg;
mod ssh;

use std::path::Path;
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::object::Object;
use super::*;

/// A repository, and whoever works in it.
struct Workshop {
    dir: TempDir,
}

impl Workshop {
    fn new() -> Self {
        let workshop = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        workshop.git(&["init", "-q", "-b", "main", "."]);
        workshop
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a program in the repository, apart from everything that the user of this computer has set. Gives what it prints.
    fn run(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let ran = Command::new(program)
            .args(arguments)
            .current_dir(self.path())
            .env("HOME", self.path())
            .env("GNUPGHOME", self.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{program} {arguments:?}: {told}");
        ran.stdout
    }

    fn git(&self, arguments: &[&str]) -> String {
        let as_ada = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"];
        let printed = self.run("git", &[&as_ada, arguments].concat());
        String::from_utf8(printed).unwrap().trim().to_owned()
    }

    /// Commits something new, with `options` of git's.
    fn commit(&self, settings: &[&str], options: &[&str]) -> String {
        let commit = ["commit", "-q", "--allow-empty", "-m", "Tighten"];
        self.git(&[settings, &commit, options].concat());
        self.git(&["rev-parse", "HEAD"])
    }

    fn raw(&self, kind: &str, name: &str) -> Vec<u8> {
        self.run("git", &["cat-file", kind, name])
    }

    /// What a source that follows the branch is given.
    fn head(&self) -> (String, RawObjects) {
        let commit = self.git(&["rev-parse", "HEAD"]);
        let raw = self.raw("commit", "HEAD");
        (
            commit,
            RawObjects {
                commit: raw,
                tag: None,
            },
        )
    }

    /// What a source that follows the tag is given.
    fn tag(&self, name: &str) -> (String, RawObjects) {
        let commit = self.git(&["rev-parse", &format!("{name}^{{commit}}")]);
        let object = (self.git(&["cat-file", "-t", name]) == "tag").then(|| self.raw("tag", name));
        let tag = Some(RawTag {
            name: name.to_owned(),
            object,
        });
        (
            commit.clone(),
            RawObjects {
                commit: self.raw("commit", &commit),
                tag,
            },
        )
    }
}

/// The signing programs go by the clock of this computer, and so must whoever checks what they make.
fn now() -> Timestamp {
    use crate::clock::Clock as _;
    crate::clock::SystemClock.now()
}

fn head_demand() -> Demand {
    Demand {
        head: true,
        now: now(),
        at: now(),
        ..Demand::default()
    }
}

fn tag_demand() -> Demand {
    Demand {
        tag: true,
        head: false,
        ..head_demand()
    }
}

fn check(given: &(String, RawObjects), ring: &KeyRing, demand: &Demand) -> Result<String, Refusal> {
    verify(&given.0, &given.1, ring, demand).map(|signed| signed.by)
}

/// What was signed once, so that computers without `gpg` check it too: a commit, and the entry with the key.
#[test]
fn what_was_signed_elsewhere_counts_here() {
    for (entry, kept) in [
        (
            "ada.asc",
            include_bytes!("../../../fuzz/corpus/git_signature/openpgp").as_slice(),
        ),
        (
            "allowed_signers",
            include_bytes!("../../../fuzz/corpus/git_signature/ssh"),
        ),
    ] {
        let (commit, keys) = kept.split_at(kept.iter().position(|byte| *byte == 0).unwrap());
        let ring = KeyRing::read([(entry, &keys[1..])]).unwrap();
        let at: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        let good = Demand {
            at,
            now: at,
            ..head_demand()
        };
        let given = |commit: &[u8]| {
            (
                "0".repeat(40),
                RawObjects {
                    commit: commit.to_vec(),
                    tag: None,
                },
            )
        };
        assert!(check(&given(commit), &ring, &good).is_ok(), "{entry}");
        // No byte of it can be another one.
        for place in 0..commit.len() {
            let mut changed = commit.to_vec();
            changed[place] ^= 1;
            let is_in_signature =
                !Object::commit(&changed).is_ok_and(|object| object.signature == signature(commit));
            let taken = check(&given(&changed), &ring, &good).is_ok();
            assert!(!taken || is_in_signature, "{entry}: byte {place}");
        }
    }
}

fn signature(commit: &[u8]) -> Vec<u8> {
    Object::commit(commit).unwrap().signature
}

fn days(count: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * count)
}
