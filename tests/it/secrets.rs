//! What is secret stands nowhere in clear: not in a database, its log or its leftovers, not in a clone, not in what the server says.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::json;

use crate::world::{Caller, Mac, Server, eventually};

const UDID: &str = "A0000000-0000-4000-8000-000000000001";
const JSON: &str = "Content-Type: application/json\r\n";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

/// Every way in which a secret may be written: as it is, in hexadecimal, and in base64 wherever in a longer text it may begin.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hexadecimal = hex::encode(secret);
    let mut forms = vec![
        secret.to_vec(),
        hexadecimal.to_uppercase().into_bytes(),
        hexadecimal.into_bytes(),
    ];
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        for before in 0..3 {
            // Letters at both ends depend on the neighbours too.
            let within = engine.encode([&vec![0; before], secret].concat()).into_bytes();
            let (from, to) = ([0, 2, 3][before], within.len() - 2);
            forms.push(within[from..to].to_vec());
        }
    }
    forms
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        }
        found.push(path);
    }
    found
}

/// The files outside of `keys` that hold one of `secrets`, as `file: secret`.
fn found_in(data_dir: &Path, secrets: &BTreeMap<&str, Vec<u8>>) -> Vec<String> {
    let mut found = Vec::new();
    for path in files(data_dir) {
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if !kind.is_file() || path.starts_with(data_dir.join("keys")) {
            continue;
        }
        let content = fs::read(&path).unwrap();
        for (name, secret) in secrets {
            let held = |form: &Vec<u8>| {
                content
                    .windows(form.len())
                    .any(|window| window == form.as_slice())
            };
            if forms(secret).iter().any(held) {
                found.push(format!(
                    "{}: {name}",
                    path.strip_prefix(data_dir).unwrap().display()
                ));
            }
        }
    }
    found
}

/// Some bytes of a private key: of the second line of a PEM block, where the first is over with what all keys share, or from the middle of
/// a file of another form. None: it holds certificates only.
fn part_of_key(content: &[u8]) -> Option<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(content) else {
        return Some(content[content.len() / 2..].to_vec());
    };
    let key = text
        .lines()
        .skip_while(|line| !line.contains("PRIVATE KEY"))
        .nth(2);
    key.map(|line| line.as_bytes()[..24].to_vec())
}

async fn ask(caller: &Caller, target: &str, body: &serde_json::Value) -> serde_json::Value {
    let answer = caller.send(target, JSON, body.to_string().as_bytes()).await;
    assert!(matches!(answer.status, 200 | 201), "{target}: {}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_stands_in_clear_in_the_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(&folder.path().join("data"), 0, &[]).await;
    let administrator = Caller::administrator(&server);

    // Secrets, as kubectl makes, changes and removes them, and one that a repository is fetched with.
    let (first, second) = (
        "first-kubernetes-secret-0123456789",
        "second-kubernetes-secret-9876543210",
    );
    let secret = |name: &str, value: &str| {
        let data = json!({ "password": STANDARD.encode(value) });
        let applied = json!({ "kind": "Secret", "data": data }).to_string();
        json!({
            "apiVersion": "v1", "kind": "Secret", "data": data,
            "metadata": { "name": name, "annotations": { "kubectl.kubernetes.io/last-applied-configuration": applied } },
            "stringData": { "username": "somebody", "text": value },
        })
    };
    ask(&administrator, &format!("POST {SECRETS}"), &secret("a", first)).await;
    ask(&administrator, &format!("PUT {SECRETS}/a"), &secret("a", second)).await;
    ask(&administrator, &format!("POST {SECRETS}"), &secret("gone", first)).await;
    ask(&administrator, &format!("DELETE {SECRETS}/gone"), &json!({})).await;
    let read = ask(&administrator, &format!("GET {SECRETS}/a"), &json!(null)).await;
    assert_eq!(
        read["data"]["password"],
        STANDARD.encode(second),
        "it can be read through the API"
    );
    let source = json!({
        "apiVersion": "provost.dev/v1alpha1", "kind": "GitSource", "metadata": { "name": "source" },
        "spec": { "url": "https://127.0.0.1:1/policy.git", "secretRef": { "name": "a" } },
    });
    let sources = "/apis/provost.dev/v1alpha1/namespaces/default/gitsources";
    ask(&administrator, &format!("POST {sources}"), &source).await;
    eventually("the source has been tried", async || {
        let source = ask(&administrator, &format!("GET {sources}/source"), &json!(null)).await;
        let tried = source["status"]["conditions"]
            .as_array()
            .is_some_and(|found| !found.is_empty());
        if tried { Ok(()) } else { Err(source.to_string()) }
    })
    .await;

    let mac = Mac::enrolled(&server, UDID).await;
    mac.drain().await;
    let (bootstrap, unlock) = (b"bootstrap-token-0123456789", b"unlock-token-0123456789");
    let given = ("BootstrapToken", plist::Value::Data(bootstrap.to_vec()));
    assert_eq!(mac.check_in("SetBootstrapToken", &[given]).await.status, 200);
    assert_eq!(mac.token_update_with("UnlockToken", unlock).await.status, 200);
    let device = format!(
        "/apis/provost.dev/v1alpha1/namespaces/default/devices/{}",
        UDID.to_lowercase()
    );
    eventually("what is in safe keeping is shown", async || {
        // It may not be there yet.
        let device = administrator.send(&format!("GET {device}"), "", b"").await.json();
        let shown = device["status"]["escrowed"] == json!(["BootstrapToken", "UnlockToken"]);
        if shown { Ok(()) } else { Err(device.to_string()) }
    })
    .await;

    let mut secrets = BTreeMap::from([
        ("the first value of a Secret", first.as_bytes().to_vec()),
        ("the second value of a Secret", second.as_bytes().to_vec()),
        ("a push token", mac.token.clone()),
        ("a push magic", mac.magic.clone().into_bytes()),
        ("an invitation's challenge", mac.challenge.clone().into_bytes()),
        ("a bootstrap token", bootstrap.to_vec()),
        ("an unlock token", unlock.to_vec()),
    ]);
    for path in files(&server.data_dir().join("keys")) {
        let name: &str = path.file_name().unwrap().to_str().unwrap().to_owned().leak();
        if path.is_file()
            && let Some(part) = part_of_key(&fs::read(&path).unwrap())
        {
            secrets.insert(name, part);
        }
    }
    assert!(secrets.len() >= 8, "keys are looked for: {:?}", secrets.keys());

    let data_dir = server.data_dir().to_owned();
    assert!(data_dir.join("provost.db-wal").exists() && data_dir.join("kubernetes.db-wal").exists());
    assert_eq!(
        found_in(&data_dir, &secrets),
        Vec::<String>::new(),
        "while it runs"
    );
    // The search does find what is no secret.
    let known = BTreeMap::from([("a UDID", UDID.as_bytes().to_vec())]);
    assert!(!found_in(&data_dir, &known).is_empty());
    only_for_the_owner(&data_dir);

    server.terminate().await;
    assert_eq!(
        found_in(&data_dir, &secrets),
        Vec::<String>::new(),
        "after it has stopped"
    );
    let said = server.said();
    for (name, secret) in &secrets {
        let secret = String::from_utf8_lossy(secret);
        assert!(!said.contains(&*secret), "the log tells {name}");
    }
}

fn only_for_the_owner(data_dir: &Path) {
    let mut seen = 0;
    for path in files(data_dir).into_iter().chain([data_dir.to_owned()]) {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mode = metadata.permissions().mode() & 0o777;
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        // What devices have to trust is published, and nobody gets through to what is in the clones.
        let open = path.ends_with("ca.pem") || path.parent().unwrap().starts_with(data_dir.join("git"));
        assert!(mode == expected || open, "{}: {mode:o}", path.display());
        seen += usize::from(metadata.is_file() || metadata.file_type().is_socket());
    }
    assert!(seen > 8, "{seen} files");
}
