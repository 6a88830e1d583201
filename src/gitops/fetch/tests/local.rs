//! `file://`: references, paths, limits and what happens to the cache.

use super::super::FetchErrorKind;
use super::origin::Entry;
use super::*;

const FILES: &[(&str, &str)] = &[
    ("policy/mac.yaml", "a: 1\n"),
    ("policy/deep/ios.json", "{}"),
    ("policy/notes.md", "#"),
    ("top.yml", "b: 2\n"),
];

#[test]
fn a_branch_is_read_with_who_what_and_when() {
    let origin = Origin::with(FILES);
    let parent = origin
        .repository
        .find_reference("refs/heads/main")
        .unwrap()
        .peel_to_commit()
        .unwrap()
        .id()
        .to_string();
    let commit = origin.commit("main", FILES).to_string();
    let cache = tempfile::tempdir().unwrap();
    let mut request = request(&origin.url(), &cache.path().join("source"));
    request.path = "./policy/".into();
    let revision = fetch(&request).unwrap();
    assert_eq!(revision.name, format!("main@sha1:{commit}"));
    assert_eq!(revision.parents, [parent]);
    assert_eq!(
        (revision.author.name.as_str(), revision.author.email.as_str()),
        ("Author Name", "author@example.com")
    );
    assert_eq!(revision.message, "Tighten the rule");
    assert_eq!(revision.committed_at.as_second(), 1_700_000_000);
    assert_eq!(paths(&revision), ["policy/deep/ios.json", "policy/mac.yaml"]);
    assert_eq!(revision.files[1].content, b"a: 1\n");
    assert_eq!(revision.skipped.files, 1);
}

#[test]
fn tags_and_commits_are_found_also_when_no_longer_a_branch_tip() {
    let origin = Origin::with(&[("a.yaml", "first")]);
    let first = origin
        .repository
        .find_reference("refs/heads/main")
        .unwrap()
        .peel_to_commit()
        .unwrap();
    origin
        .repository
        .tag(
            "v1",
            first.as_object(),
            &first.author().to_owned(),
            "annotated",
            false,
        )
        .unwrap();
    origin.commit("main", &[("a.yaml", "second")]);
    let cache = tempfile::tempdir().unwrap();
    let mut request = request(&origin.url(), cache.path());

    request.reference = Reference::Tag("v1".into());
    let tagged = fetch(&request).unwrap();
    assert_eq!(tagged.name, format!("v1@sha1:{}", first.id()));
    assert_eq!(tagged.files[0].content, b"first");

    request.reference = Reference::Commit(first.id().to_string());
    assert_eq!(fetch(&request).unwrap().name, format!("sha1:{}", first.id()));
    let fresh = tempfile::tempdir().unwrap();
    request.cache_dir = fresh.path().join("x");
    assert_eq!(fetch(&request).unwrap().files[0].content, b"first");
}

#[test]
fn what_is_not_there_is_named_with_what_is() {
    let origin = Origin::with(FILES);
    let cache = tempfile::tempdir().unwrap();
    let mut request = request(&origin.url(), cache.path());
    let not_found = |request: &FetchRequest| {
        let error = fetch(request).unwrap_err();
        assert_eq!(error.kind, FetchErrorKind::NotFound, "{}", error.report());
        error.report()
    };
    request.path = "policies".into();
    assert_eq!(
        not_found(&request),
        "the path policies does not exist at this revision"
    );
    request.path = "policy/mac.yaml".into();
    assert_eq!(
        not_found(&request),
        "the path policy/mac.yaml is a file, not a folder"
    );
    request.reference = Reference::Branch("mian".into());
    assert_eq!(
        not_found(&request),
        "the repository has no branch mian; it has main"
    );
    request.reference = Reference::Tag("v9".into());
    assert_eq!(
        not_found(&request),
        "the repository has no tag v9; it has none of that kind yet"
    );
    request.reference = Reference::Commit("2".repeat(40));
    assert!(not_found(&request).starts_with("no branch or tag"));
    request.url = format!("file://{}/nothing", cache.path().display());
    request.reference = Reference::Branch("main".into());
    assert!(not_found(&request).starts_with("there is no git repository at this URL"));
}

#[test]
fn an_empty_repository_and_a_malformed_reference_are_told_apart() {
    let origin = Origin::empty();
    let cache = tempfile::tempdir().unwrap();
    let mut request = request(&origin.url(), cache.path());
    let error = fetch(&request).unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::NotFound, "{}", error.report());
    for reference in [
        Reference::Branch("a..b".into()),
        Reference::Branch(String::new()),
        Reference::Tag("x*".into()),
        Reference::Commit("abc".into()),
        Reference::Commit("main".repeat(10)),
    ] {
        request.reference = reference;
        assert_eq!(fetch(&request).unwrap_err().kind, FetchErrorKind::InvalidRequest);
    }
}

#[test]
fn a_force_push_is_followed_and_a_damaged_cache_is_begun_anew() {
    let origin = Origin::with(&[("a.yaml", "first")]);
    let cache = tempfile::tempdir().unwrap();
    let request = request(&origin.url(), &cache.path().join("source"));
    fetch(&request).unwrap();
    let forced = origin.force("main", &[("a.yaml", "rewritten")]);
    let revision = fetch(&request).unwrap();
    assert_eq!((revision.commit, revision.parents.len()), (forced.to_string(), 0));
    assert_eq!(revision.files[0].content, b"rewritten");

    // Cut every object file short, as a full disk would.
    let mut folders = vec![request.cache_dir.join("objects")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                std::fs::remove_file(entry.path()).unwrap();
                std::fs::write(entry.path(), b"broken").unwrap();
            }
        }
    }
    assert_eq!(fetch(&request).unwrap().files[0].content, b"rewritten");

    std::fs::write(request.cache_dir.join("HEAD"), b"\0\0").unwrap();
    std::fs::write(request.cache_dir.join("config"), b"[[[").unwrap();
    assert_eq!(fetch(&request).unwrap().files[0].content, b"rewritten");
}

#[test]
fn a_cache_of_another_url_is_not_taken_for_this_one() {
    let (one, other) = (
        Origin::with(&[("a.yaml", "one")]),
        Origin::with(&[("a.yaml", "other")]),
    );
    let cache = tempfile::tempdir().unwrap();
    let mut request = request(&one.url(), cache.path());
    let commit = fetch(&request).unwrap().commit;
    request.url = other.url();
    request.reference = Reference::Commit(commit);
    assert_eq!(fetch(&request).unwrap_err().kind, FetchErrorKind::NotFound);
    Fetcher::new().forget(cache.path()).unwrap();
    assert!(!cache.path().exists());
}

#[test]
fn a_fetch_that_was_stopped_before_it_began_writes_nothing() {
    let origin = Origin::with(&[("a.yaml", "one")]);
    let folder = tempfile::tempdir().unwrap();
    let request = request(&origin.url(), &folder.path().join("clone"));
    request.stop.cancel();
    assert_eq!(fetch(&request).unwrap_err().kind, FetchErrorKind::Stopped);
    assert!(!request.cache_dir.exists());
}

#[test]
fn links_and_submodules_are_never_followed() {
    let origin = Origin::empty();
    origin.commit_entries(
        "main",
        &[
            ("a.yaml", Entry::File(b"x")),
            ("lib", Entry::Submodule),
            ("docs", Entry::Link("/etc")),
        ],
        true,
    );
    let cache = tempfile::tempdir().unwrap();
    let mut request = request(&origin.url(), cache.path());
    let revision = fetch(&request).unwrap();
    assert_eq!((revision.skipped.submodules, revision.skipped.symlinks), (1, 1));
    request.path = "docs".into();
    assert!(fetch(&request).unwrap_err().report().contains("symbolic link"));
    request.path = "lib".into();
    assert!(fetch(&request).unwrap_err().report().contains("submodule"));

    origin.commit_entries("main", &[("p/a.yaml", Entry::Link("/etc/passwd"))], true);
    request.path = String::new();
    let error = fetch(&request).unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Content);
    assert_eq!(
        error.report(),
        "p/a.yaml is a symbolic link; put the file itself there"
    );
}

#[test]
fn every_limit_is_named_when_it_is_passed() {
    let noise: String = (0..200_000_u32)
        .map(|n| char::from(b'a' + u8::try_from(n.wrapping_mul(n) / 7 % 26).unwrap()))
        .collect();
    let origin = Origin::with(&[("a.yaml", &noise), ("b.yaml", "b"), ("d/c.txt", "c")]);
    let limited = |change: fn(&mut Limits)| {
        let cache = tempfile::tempdir().unwrap();
        let mut request = request(&origin.url(), cache.path());
        change(&mut request.limits);
        let error = fetch(&request).unwrap_err();
        assert_eq!(error.kind, FetchErrorKind::Limit, "{}", error.report());
        error.report()
    };
    assert!(limited(|limits| limits.repository_bytes = 1_000).contains("more than 1000 bytes"));
    assert!(limited(|limits| limits.objects = 2).contains("objects, more than the 2 allowed"));
    assert!(limited(|limits| limits.entries = 2).contains("more than 2 files and folders"));
    assert!(limited(|limits| limits.files = 1).contains("more than 1 policy files"));
    assert_eq!(
        limited(|limits| limits.file_bytes = 1_000),
        "a.yaml has 200000 bytes, more than the 1000 allowed"
    );
    assert!(limited(|limits| limits.total_bytes = 200_000).contains("more than 200000 bytes together"));
}

#[test]
fn folders_nested_without_end_are_refused() {
    let origin = Origin::empty();
    let mut tree = origin.repository.treebuilder(None).unwrap().write().unwrap();
    for _ in 0..5_000 {
        let mut builder = origin.repository.treebuilder(None).unwrap();
        builder.insert("d", tree, 0o040_000).unwrap();
        tree = builder.write().unwrap();
    }
    let author = git2::Signature::now("a", "a@example.com").unwrap();
    let tree = origin.repository.find_tree(tree).unwrap();
    let commit = origin
        .repository
        .commit(None, &author, &author, "m", &tree, &[])
        .unwrap();
    origin
        .repository
        .reference("refs/heads/main", commit, true, "test")
        .unwrap();
    let cache = tempfile::tempdir().unwrap();
    let error = fetch(&request(&origin.url(), cache.path())).unwrap_err();
    assert!(error.report().contains("nest too deep"), "{}", error.report());
}

#[test]
fn no_time_is_no_fetch() {
    let origin = Origin::with(FILES);
    let cache = tempfile::tempdir().unwrap();
    let mut request = request(&origin.url(), cache.path());
    request.timeout = Duration::ZERO;
    assert_eq!(fetch(&request).unwrap_err().kind, FetchErrorKind::Timeout);
}
