//! https against git's own server program behind a small TLS front, under a private authority.

mod server;

use self::server::{Authority, HttpsOrigin, Quirk};
use super::super::FetchErrorKind;
use super::*;
use crate::secret::Secret;

const FILES: &[(&str, &str)] = &[("policy/a.yaml", "a: 1\n")];

fn basic(password: &str) -> Credentials {
    Credentials::Basic {
        username: "deploy".into(),
        password: Secret::new(password.to_owned()),
    }
}

fn ready(server: &HttpsOrigin, cache: &Path) -> FetchRequest {
    FetchRequest {
        ca_pem: Some(server.authority.pem()),
        ..request(&server.url(), cache)
    }
}

#[test]
fn a_branch_comes_one_commit_deep_and_is_followed() {
    let server = HttpsOrigin::start(Origin::with(FILES), Quirk::None);
    for n in 0..5 {
        server
            .origin
            .commit("main", &[("policy/a.yaml", &format!("a: {n}\n"))]);
    }
    let cache = tempfile::tempdir().unwrap();
    let request = ready(&server, cache.path());
    let first = fetch(&request).unwrap();
    assert_eq!(first.files[0].content, b"a: 4\n");
    let repository = git2::Repository::open_bare(cache.path()).unwrap();
    assert!(repository.is_shallow());
    let parent = git2::Oid::from_str(&first.parents[0]).unwrap();
    assert!(
        repository.find_commit(parent).is_err(),
        "the parent must not have been transferred"
    );
    drop(repository);

    assert_eq!(
        fetch(&request).unwrap(),
        first,
        "nothing new is the same revision"
    );
    server.origin.commit("main", &[("policy/a.yaml", "a: 5\n")]);
    assert_eq!(fetch(&request).unwrap().files[0].content, b"a: 5\n");
    let forced = server.origin.force("main", &[("policy/a.yaml", "forced")]);
    let revision = fetch(&request).unwrap();
    assert_eq!(
        (revision.commit, revision.files[0].content.as_slice()),
        (forced.to_string(), b"forced".as_slice())
    );
}

#[test]
fn a_server_that_is_away_costs_nothing_of_what_was_fetched() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/policy.git", listener.local_addr().unwrap());
    drop(listener);
    let cache = tempfile::tempdir().unwrap();
    let before = super::super::cache::create(cache.path(), &url).unwrap();
    let kept = before.repository.blob(b"fetched before").unwrap();
    let error = fetch(&request(&url, cache.path())).unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Transport, "{}", error.report());
    let after = git2::Repository::open_bare(cache.path()).unwrap();
    assert!(after.find_blob(kept).is_ok());
}

#[test]
fn a_commit_comes_alone_where_the_server_allows_it_and_with_everything_where_not() {
    for allowed in [true, false] {
        let origin = Origin::with(&[("a.yaml", "old")]);
        let old = origin
            .repository
            .find_reference("refs/heads/main")
            .unwrap()
            .target()
            .unwrap()
            .to_string();
        origin.commit("main", &[("a.yaml", "new")]);
        let mut config = origin.repository.config().unwrap();
        config
            .set_bool("uploadpack.allowReachableSHA1InWant", allowed)
            .unwrap();
        let server = HttpsOrigin::start(origin, Quirk::None);
        let cache = tempfile::tempdir().unwrap();
        let mut request = ready(&server, cache.path());
        request.reference = Reference::Commit(old.clone());
        assert_eq!(
            fetch(&request).unwrap().files[0].content,
            b"old",
            "allowed: {allowed}"
        );
        assert_eq!(
            git2::Repository::open_bare(cache.path()).unwrap().is_shallow(),
            allowed
        );

        // From a shallow cache of the branch, too.
        let cache = tempfile::tempdir().unwrap();
        request.cache_dir = cache.path().to_owned();
        request.reference = Reference::Branch("main".into());
        assert_eq!(fetch(&request).unwrap().files[0].content, b"new");
        request.reference = Reference::Commit(old);
        assert_eq!(
            fetch(&request).unwrap().files[0].content,
            b"old",
            "allowed: {allowed}"
        );
        request.reference = Reference::Commit("3".repeat(40));
        assert_eq!(fetch(&request).unwrap_err().kind, FetchErrorKind::NotFound);

        request.reference = Reference::Tag("none".into());
        assert_eq!(fetch(&request).unwrap_err().kind, FetchErrorKind::NotFound);
    }
}

#[test]
fn only_the_named_authority_is_trusted() {
    let server = HttpsOrigin::start(Origin::with(FILES), Quirk::None);
    let cache = tempfile::tempdir().unwrap();
    let mut request = ready(&server, cache.path());
    fetch(&request).unwrap();

    request.ca_pem = Some(Authority::new("Another Authority").pem());
    let error = fetch(&request).unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Certificate, "{}", error.report());
    assert!(
        error.report().contains("not trusted under the source's ca.crt"),
        "{}",
        error.report()
    );

    request.ca_pem = None;
    let error = fetch(&request).unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Certificate, "{}", error.report());
    assert!(error.report().contains("ca.crt"), "{}", error.report());

    request.ca_pem = Some(b"not a certificate".to_vec());
    assert_eq!(fetch(&request).unwrap_err().kind, FetchErrorKind::InvalidRequest);
}

#[test]
fn a_certificate_for_another_name_or_past_its_time_is_refused() {
    for quirk in [Quirk::OtherName, Quirk::Expired] {
        let server = HttpsOrigin::start(Origin::with(FILES), quirk);
        let cache = tempfile::tempdir().unwrap();
        let error = fetch(&ready(&server, cache.path())).unwrap_err();
        assert_eq!(error.kind, FetchErrorKind::Certificate, "{}", error.report());
    }
}

#[test]
fn a_root_is_enough_when_the_server_sends_its_intermediate() {
    let server = HttpsOrigin::start(Origin::with(FILES), Quirk::Intermediate);
    let cache = tempfile::tempdir().unwrap();
    let mut request = ready(&server, cache.path());
    assert_eq!(fetch(&request).unwrap().files.len(), 1);
    request.ca_pem = Some(Authority::new("Another Authority").pem());
    assert_eq!(fetch(&request).unwrap_err().kind, FetchErrorKind::Certificate);
}

#[test]
fn credentials_are_asked_for_once_and_never_shown() {
    let server = HttpsOrigin::start(Origin::with(FILES), Quirk::Authorization);
    let cache = tempfile::tempdir().unwrap();
    let mut request = ready(&server, cache.path());
    for right in [
        basic("correct horse"),
        Credentials::Bearer(Secret::new("correct-token".into())),
    ] {
        request.credentials = right;
        assert_eq!(fetch(&request).unwrap().files.len(), 1);
    }
    for (wrong, words) in [
        (Credentials::None, "wants credentials"),
        (basic("wrong-password"), "refused the credentials"),
        (
            Credentials::Bearer(Secret::new("wrong-token".into())),
            "refused the bearer token",
        ),
    ] {
        request.credentials = wrong;
        let error = fetch(&request).unwrap_err();
        assert_eq!(error.kind, FetchErrorKind::Authentication, "{}", error.report());
        assert!(error.report().contains(words), "{}", error.report());
        assert!(!error.report().contains("wrong-") && !format!("{error:?}{request:?}").contains("wrong-"));
    }
    for unusable in [
        Credentials::Bearer(Secret::new("a\nInjected: header".into())),
        Credentials::Ssh {
            identity: Secret::default(),
            passphrase: None,
            known_hosts: "x".into(),
        },
    ] {
        request.credentials = unusable;
        assert_eq!(fetch(&request).unwrap_err().kind, FetchErrorKind::InvalidRequest);
    }
}

#[test]
fn a_missing_repository_and_a_redirect_to_another_host_are_told() {
    let server = HttpsOrigin::start(Origin::with(FILES), Quirk::None);
    let cache = tempfile::tempdir().unwrap();
    let mut request = ready(&server, cache.path());
    request.url = server.url().replace("policy.git", "nothing.git");
    let error = fetch(&request).unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::NotFound, "{}", error.report());

    request.url = server.url().replace("policy.git", "moved/policy.git");
    assert_eq!(
        fetch(&request).unwrap().files.len(),
        1,
        "a move on the same host is followed"
    );
    request.url = server.url().replace("policy.git", "elsewhere/policy.git");
    request.credentials = Credentials::Bearer(Secret::new("correct-token".into()));
    let error = fetch(&request).unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Transport, "{}", error.report());
    assert!(error.report().contains("redirect"), "{}", error.report());
}

#[test]
fn a_large_repository_is_cut_off_while_it_arrives() {
    let mut state = 1_u32;
    let noise: String = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'!' + u8::try_from(state >> 24).unwrap() % 90)
    })
    .take(2_000_000)
    .collect();
    let server = HttpsOrigin::start(Origin::with(&[("a.yaml", &noise)]), Quirk::None);
    let cache = tempfile::tempdir().unwrap();
    let mut request = ready(&server, cache.path());
    request.limits.repository_bytes = 100_000;
    let error = fetch(&request).unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Limit, "{}", error.report());
}

#[test]
fn a_silent_server_and_a_closed_port_end_the_fetch() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let cache = tempfile::tempdir().unwrap();
    let mut request = request(&format!("https://127.0.0.1:{port}/policy.git"), cache.path());
    let error = fetch(&request).unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Timeout, "{}", error.report());

    drop(silent);
    request.url = format!("https://127.0.0.1:{port}/policy.git");
    let error = fetch(&request).unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Transport, "{}", error.report());
}

#[test]
fn a_fetch_that_is_not_wanted_any_more_ends_and_keeps_its_clone_until_then() {
    let server = HttpsOrigin::start(Origin::with(FILES), Quirk::Silent);
    let folder = tempfile::tempdir().unwrap();
    let old = ready(&server, &folder.path().join("clone"));
    let fetcher = Fetcher::new();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| fetcher.fetch(&old));
        server.wait_for_request();
        let new = FetchRequest {
            stop: CancellationToken::new(),
            ..old.clone()
        };
        old.stop.cancel();
        let error = fetcher.fetch(&new).unwrap_err();
        assert_eq!(error.kind, FetchErrorKind::Busy);
        assert_eq!(
            error.report(),
            "an earlier fetch of this source has not ended yet"
        );
        assert_eq!(
            fetcher.forget(&new.cache_dir).unwrap_err().kind,
            FetchErrorKind::Busy
        );
        assert!(new.cache_dir.exists(), "it is not removed from under a fetch");
        assert_eq!(first.join().unwrap().unwrap_err().kind, FetchErrorKind::Stopped);
        fetcher.forget(&new.cache_dir).unwrap();
    });
}
