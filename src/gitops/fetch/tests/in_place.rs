//! Repositories that are read where they lie.

use super::super::{FetchErrorKind, LocalRepository};
use super::origin::Entry;
use super::*;

const FILES: &[(&str, &str)] = &[("policy/a.yaml", "first"), ("policy/notes.md", "#")];

fn open(origin: &Origin) -> LocalRepository {
    LocalRepository::discover(&origin.root().join("policy.git")).unwrap()
}

#[test]
fn revisions_are_named_as_git_names_them() {
    let origin = Origin::with(FILES);
    let second = origin.commit("main", &[("policy/a.yaml", "second")]).to_string();
    let repository = open(&origin);
    let limits = Limits::default();
    for name in ["main", "refs/heads/main", &second, &second[..9]] {
        assert_eq!(repository.resolve(name).unwrap(), second, "{name}");
    }
    let before = repository.read("main~1", "policy", &limits).unwrap();
    assert_eq!(
        (before.files[0].content.as_slice(), before.skipped.files),
        (&b"first"[..], 1)
    );
    assert_eq!(before.message, "Tighten the rule");
    assert_eq!(
        repository.read("main", "./policy/", &limits).unwrap().files[0].content,
        b"second"
    );
    assert_eq!(
        repository.common_ancestor("main", "main~1").unwrap(),
        before.commit
    );
    assert!(repository.has_folder("main", "policy").unwrap());
    assert!(repository.has_folder("main", ".").unwrap());
    for path in ["policy/a.yaml", "other"] {
        assert!(!repository.has_folder("main", path).unwrap(), "{path}");
    }
}

#[test]
fn what_is_not_there_or_not_meant_is_an_error() {
    let origin = Origin::with(FILES);
    let repository = open(&origin);
    for (name, kind) in [
        ("nowhere", FetchErrorKind::NotFound),
        ("main^{tree}", FetchErrorKind::NotFound),
        ("main:policy/a.yaml", FetchErrorKind::NotFound),
        ("", FetchErrorKind::InvalidRequest),
        ("a\0b", FetchErrorKind::InvalidRequest),
        (&"m".repeat(2_000), FetchErrorKind::InvalidRequest),
    ] {
        assert_eq!(repository.resolve(name).unwrap_err().kind, kind, "{name}");
    }
    assert_eq!(
        repository.has_folder("main", "../elsewhere").unwrap_err().kind,
        FetchErrorKind::InvalidRequest
    );
    let nothing = tempfile::tempdir().unwrap();
    let error = LocalRepository::discover(nothing.path()).err().unwrap();
    assert_eq!(error.kind, FetchErrorKind::NotFound);
}

#[test]
fn the_limits_are_those_of_a_fetch() {
    let origin = Origin::with(&[("a.yaml", "1234"), ("b.yaml", "5")]);
    let refused = |limits: Limits| open(&origin).read("main", "", &limits).unwrap_err().kind;
    let limits = Limits::default();
    assert_eq!(refused(Limits { files: 1, ..limits }), FetchErrorKind::Limit);
    assert_eq!(
        refused(Limits {
            file_bytes: 3,
            ..limits
        }),
        FetchErrorKind::Limit
    );
    assert_eq!(refused(Limits { entries: 1, ..limits }), FetchErrorKind::Limit);
    origin.commit_entries("main", &[("a.yaml", Entry::Link("/etc/passwd"))], true);
    assert_eq!(refused(limits), FetchErrorKind::Content);
}

#[test]
fn a_folder_in_a_work_tree_leads_to_its_repository() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clone");
    let author = crate::gitops::author::Author::open(&path, "Author Name", "author@example.com").unwrap();
    author.write("fleet/a.yaml", "a: 1\n").unwrap();
    let commit = author.commit("Begin").unwrap();
    let own = git2::Repository::open(&path).unwrap();
    let beside = dir.path().join("beside");
    own.worktree("beside", &beside, None).unwrap();
    for folder in [path.join("fleet"), beside.join("fleet"), beside] {
        let repository = LocalRepository::discover(&folder).unwrap();
        assert_eq!(
            repository.resolve("HEAD").unwrap(),
            commit,
            "{}",
            folder.display()
        );
    }
}
