//! The way in that real devices take: the enrolment profile and SCEP, by programs that know nothing of Provost.

use std::path::Path;

use serde_json::Value;
use tokio::process::Command;

use crate::control_plane::left_out;
use crate::world::{Said, Server, provost, said};

/// Whether a program is there; where it is not, what is left out is told.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !there {
        left_out("enrolling by SCEP", &format!("{program} is not installed"));
    }
    there
}

async fn server(folder: &Path, more: &[&str]) -> Server {
    Server::start(&folder.join("data"), 0, more).await
}

async fn invite(server: &Server) -> Value {
    let data_dir = server.data_dir().to_str().unwrap();
    let made = provost(&[
        "enroll",
        "invite",
        "-n",
        "default",
        "-o",
        "json",
        "--data-dir",
        data_dir,
    ])
    .await;
    serde_json::from_str(&made.stdout).unwrap()
}

/// Runs `scepclient` with its files in `folder`. It keeps its request there, so each attempt needs a folder of its own.
async fn scepclient(server: &Server, folder: &Path, challenge: Option<&str>) -> Said {
    std::fs::create_dir_all(folder).unwrap();
    let mut command = Command::new("scepclient");
    command
        .args([
            "-private-key",
            "key.pem",
            "-certificate",
            "certificate.pem",
            "-cn",
            "dev1",
        ])
        .args(["-server-url", &format!("{}/scep", server.ready.mdm)])
        .env("SSL_CERT_FILE", &server.ready.ca)
        .current_dir(folder);
    if let Some(challenge) = challenge {
        command.args(["-challenge", challenge]);
    }
    said(&mut command, "").await
}

async fn openssl(folder: &Path, args: &str) -> Said {
    said(
        Command::new("openssl").args(args.split(' ')).current_dir(folder),
        "",
    )
    .await
}

/// Fetches from the server, into a file.
async fn fetch(server: &Server, url: &str, file: &Path) -> Said {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--write-out",
        "%{http_code} %{content_type}",
        "--cacert",
    ]);
    command.arg(&server.ready.ca).arg("--output").arg(file).arg(url);
    said(&mut command, "").await
}

#[tokio::test]
async fn scepclient_enrols_once_renews_and_is_refused_with_a_wrong_challenge() {
    if !is_there("scepclient") || !is_there("openssl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), &["--scep-legacy"]).await;
    let invitation = invite(&server).await;
    let challenge = invitation["challenge"].as_str().unwrap();

    let wrong = scepclient(&server, &folder.path().join("wrong"), Some("wrong")).await;
    assert!(!wrong.success && wrong.stdout.contains("badRequest") || wrong.stderr.contains("badRequest"));

    let own = folder.path().join("own");
    let enrolled = scepclient(&server, &own, Some(challenge)).await;
    assert!(enrolled.success, "{}{}", enrolled.stdout, enrolled.stderr);
    let first = std::fs::read(own.join("certificate.pem")).unwrap();
    let shown = openssl(&own, "x509 -in certificate.pem -noout -subject -issuer").await;
    assert!(
        shown.stdout.contains("Provost device authority"),
        "{}",
        shown.stdout
    );
    assert!(
        !shown.stdout.contains("dev1"),
        "the subject is decided here: {}",
        shown.stdout
    );

    let renewed = scepclient(&server, &own, None).await;
    assert!(renewed.success, "{}{}", renewed.stdout, renewed.stderr);
    assert_ne!(std::fs::read(own.join("certificate.pem")).unwrap(), first);

    let again = scepclient(&server, &folder.path().join("again"), Some(challenge)).await;
    assert!(!again.success, "a challenge is good once");
}

#[tokio::test]
async fn sha_1_and_single_des_are_refused_by_name_unless_they_are_allowed() {
    if !is_there("scepclient") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), &[]).await;
    let invitation = invite(&server).await;
    let challenge = invitation["challenge"].as_str().unwrap();
    let refused = scepclient(&server, &folder.path().join("own"), Some(challenge)).await;
    let words = format!("{}{}", refused.stdout, refused.stderr);
    assert!(!refused.success && words.contains("badAlg"), "{words}");
}

#[tokio::test]
async fn the_enrolment_profile_is_signed_and_may_be_fetched_until_its_challenge_is_used() {
    if !is_there("openssl") || !is_there("curl") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), &[]).await;
    let invitation = invite(&server).await;
    let url = invitation["profile"].as_str().unwrap();
    let file = folder.path().join("profile");
    for _ in 0..2 {
        let fetched = fetch(&server, url, &file).await;
        assert_eq!(
            fetched.stdout, "200 application/x-apple-aspen-config",
            "{}",
            fetched.stderr
        );
    }
    let ca = server.ready.ca.display();
    let verified = openssl(
        folder.path(),
        &format!("cms -verify -inform DER -in profile -CAfile {ca}"),
    )
    .await;
    assert!(verified.success, "{}", verified.stderr);
    for key in [
        "com.apple.mdm",
        "com.apple.security.scep",
        "com.apple.security.root",
        "<false/>",
    ] {
        assert!(verified.stdout.contains(key), "{key}");
    }
    let unsigned = fetch(&server, &format!("{url}?signed=false&signMessage=true"), &file).await;
    assert!(unsigned.stdout.starts_with("200 "), "{}", unsigned.stdout);
    let plain = std::fs::read_to_string(&file).unwrap();
    assert!(plain.starts_with("<?xml") && plain.contains("<key>SignMessage</key>\n\t\t\t<true/>"));

    let unknown = fetch(&server, &format!("{url}x"), &file).await;
    assert!(unknown.stdout.starts_with("404 "), "{}", unknown.stdout);
}
