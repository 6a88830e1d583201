//! The way in that real devices take: the enrolment profile and SCEP, by programs that know nothing of Provost.

use std::path::{Path, PathBuf};

use plist::{Dictionary, Value as Plist};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::control_plane::left_out;
use crate::world::{Said, Server, Simulator, provost, said};

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

/// A device made of programs that know only Apple's documents: curl, OpenSSL and scepclient.
struct Stranger<'s> {
    server: &'s Server,
    folder: PathBuf,
    udid: &'static str,
    /// The MDM payload of its profile.
    mdm: Dictionary,
}

impl<'s> Stranger<'s> {
    /// Fetches a profile, verifies it, and gets an identity as its SCEP payload says.
    async fn follow(server: &'s Server, folder: &Path, udid: &'static str, query: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let url = format!("{}{query}", invite(server).await["profile"].as_str().unwrap());
        let fetched = fetch(server, &url, &folder.join("profile")).await;
        assert!(
            fetched.stdout.starts_with("200 "),
            "{}{}",
            fetched.stdout,
            fetched.stderr
        );
        let ca = server.ready.ca.display();
        let verified = openssl(
            folder,
            &format!("cms -verify -inform DER -in profile -CAfile {ca}"),
        )
        .await;
        assert!(verified.success, "{}", verified.stderr);
        let profile: Dictionary = plist::from_bytes(verified.stdout.as_bytes()).unwrap();
        let payloads = profile["PayloadContent"].as_array().unwrap();
        let payload = |kind: &str| {
            let mut payloads = payloads.iter().map(|payload| payload.as_dictionary().unwrap());
            payloads
                .find(|payload| payload["PayloadType"] == Plist::from(kind))
                .unwrap()
                .clone()
        };
        let (mdm, scep) = (payload("com.apple.mdm"), payload("com.apple.security.scep"));
        assert_eq!(mdm["IdentityCertificateUUID"], scep["PayloadUUID"]);
        let scep = scep["PayloadContent"].as_dictionary().unwrap();
        assert_eq!(
            (&scep["Key Type"], &scep["Keysize"]),
            (&Plist::from("RSA"), &Plist::from(2048))
        );
        let text = |key: &str| scep[key].as_string().unwrap();
        assert_eq!(text("URL"), format!("{}/scep", server.ready.mdm));
        let enrolled = scepclient(server, folder, Some(text("Challenge"))).await;
        assert!(enrolled.success, "{}{}", enrolled.stdout, enrolled.stderr);
        Self {
            server,
            folder: folder.to_owned(),
            udid,
            mdm,
        }
    }

    /// Sends a message as the profile says: with its certificate, or signed and without it. Gives the status and the answer.
    async fn say(&self, address: &str, kind: &str, entries: &[(&str, Plist)]) -> (String, Vec<u8>) {
        let mut message: Dictionary = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        message.insert("UDID".to_owned(), self.udid.into());
        plist::to_file_xml(self.folder.join("body"), &message).unwrap();
        let mut command = Command::new("curl");
        command.args([
            "--silent",
            "--show-error",
            "--write-out",
            "%{http_code}",
            "--output",
            "answer",
        ]);
        command.args([
            "--request",
            "PUT",
            "--data-binary",
            "@body",
            "--header",
            &format!("Content-Type: {kind}"),
        ]);
        command
            .arg("--cacert")
            .arg(&self.server.ready.ca)
            .current_dir(&self.folder);
        if self.mdm["SignMessage"] == Plist::from(true) {
            let sign = "cms -sign -binary -md sha256 -signer certificate.pem -inkey key.pem -in body -outform DER -out signature";
            let signed = openssl(&self.folder, sign).await;
            assert!(signed.success, "{}", signed.stderr);
            let signature = openssl(&self.folder, "base64 -A -in signature").await.stdout;
            command.args(["--header", &format!("Mdm-Signature: {signature}")]);
        } else {
            command.args(["--cert", "certificate.pem", "--key", "key.pem"]);
        }
        command.arg(self.mdm[address].as_string().unwrap());
        let sent = said(&mut command, "").await;
        assert!(sent.success, "{}", sent.stderr);
        (
            sent.stdout,
            std::fs::read(self.folder.join("answer")).unwrap_or_default(),
        )
    }

    async fn check_in(&self, kind: &str, entries: &[(&str, Plist)]) -> (String, Vec<u8>) {
        let entries = [
            entries,
            &[("MessageType", kind.into()), ("Topic", self.mdm["Topic"].clone())],
        ]
        .concat();
        self.say("CheckInURL", "application/x-apple-aspen-mdm-checkin", &entries)
            .await
    }

    /// Asks for commands and acknowledges them; gives their kinds.
    async fn obey(&self) -> Vec<String> {
        let mut kinds = Vec::new();
        let mut report = vec![("Status", Plist::from("Idle"))];
        loop {
            let _ = std::fs::remove_file(self.folder.join("answer"));
            let (status, answer) = self
                .say("ServerURL", "application/x-apple-aspen-mdm", &report)
                .await;
            assert_eq!(status, "200");
            if answer.is_empty() {
                return kinds;
            }
            let command: Dictionary = plist::from_bytes(&answer).unwrap();
            let kind = command["Command"].as_dictionary().unwrap()["RequestType"]
                .as_string()
                .unwrap();
            kinds.push(kind.to_owned());
            report = vec![
                ("Status", "Acknowledged".into()),
                ("CommandUUID", command["CommandUUID"].clone()),
            ];
        }
    }
}

#[tokio::test]
async fn who_knows_only_apples_documents_follows_the_profile_from_scep_to_commands() {
    if !["scepclient", "openssl", "curl"].into_iter().all(is_there) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // scepclient speaks nothing better.
    let server = server(folder.path(), &["--scep-legacy"]).await;
    for (udid, query, name) in [
        ("A0000000-0000-4000-8000-000000000001", "", "shows"),
        (
            "A0000000-0000-4000-8000-000000000002",
            "?signMessage=true",
            "signs",
        ),
    ] {
        let device = Stranger::follow(&server, &folder.path().join(name), udid, query).await;
        let about = [
            ("ProductName", "Mac16,10".into()),
            ("OSVersion", "15.4".into()),
            ("SerialNumber", name.into()),
        ];
        assert_eq!(device.check_in("Authenticate", &about).await.0, "200", "{name}");
        let push = [("Token", Plist::Data(vec![7; 32])), ("PushMagic", "M".into())];
        assert_eq!(device.check_in("TokenUpdate", &push).await.0, "200", "{name}");
        let mut kinds = device.obey().await;
        kinds.sort();
        assert_eq!(
            kinds,
            ["DeclarativeManagement", "DeviceInformation", "SecurityInfo"],
            "{name}"
        );
        let (status, tokens) = device
            .check_in("DeclarativeManagement", &[("Endpoint", "tokens".into())])
            .await;
        let tokens: Value = serde_json::from_slice(&tokens).unwrap();
        assert!(
            status == "200" && tokens["SyncTokens"]["DeclarationsToken"].is_string(),
            "{tokens}"
        );
        assert_eq!(device.check_in("CheckOut", &[]).await.0, "200", "{name}");
        // Nobody comes twice by one invitation.
        assert_ne!(device.check_in("Authenticate", &about).await.0, "200", "{name}");
    }
}

#[tokio::test]
async fn simulated_devices_follow_the_profile_and_show_their_certificate_or_sign() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path(), &[]).await;
    for way in ["profile", "signing-profile"] {
        let mut simulator = Simulator::start(&server.ready.ca, 1, 0, &["--enroll-by", way]).await;
        let invitations = folder.path().join(way);
        let mut lines = String::new();
        for _ in 0..5 {
            lines += &format!("{}\n", invite(&server).await);
        }
        std::fs::write(&invitations, lines).unwrap();
        simulator
            .order(&json!({"enroll": {"invitations": invitations}}))
            .await;
        simulator.reaches("enrolled", 5).await;
        simulator.reaches("commands", 15).await;
        assert_eq!(simulator.number("refused"), 0, "{way}");
        // An invitation that was used has no profile any more.
        simulator
            .order(&json!({"enroll": {"invitations": invitations}}))
            .await;
        let refused = simulator.happened("refused", 5).await;
        assert!(
            refused[0]["reason"].as_str().unwrap().contains("404"),
            "{refused:?}"
        );
    }
}
