//! A fleet moves from one server to another without enrolling again.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plist::Value as Plist;
use provost::api::Device;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::world::{Caller, Mac, NAMESPACE, Said, Server, eventually, provost, said, text};

const UDID: &str = "A0000000-0000-4000-8000-000000000001";
const KEY: &str = "a-key-for-scripts-that-is-long-enough";

async fn enrollments(command: &str, file: &Path, data_dir: &Path, more: &[&str]) -> Said {
    let (file, data_dir) = (file.to_str().unwrap(), data_dir.to_str().unwrap());
    let args = ["enrollments", command, file, "--data-dir", data_dir];
    provost(&[args.as_slice(), more].concat()).await
}

/// A server that is about to be replaced, with a Mac, one of its users and its tokens; and what it exports of them.
struct Old {
    dir: TempDir,
    server: Server,
    mac: Mac,
    file: PathBuf,
}

impl Old {
    async fn with_a_mac() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(&dir.path().join("old"), 0, &[]).await;
        let mac = Mac::enrolled(&server, UDID).await;
        let token = [("BootstrapToken", Plist::Data(b"bootstrap-of-a-mac".to_vec()))];
        assert_eq!(mac.check_in("SetBootstrapToken", &token).await.status, 200);
        let user = [
            ("UserID", "user-1".into()),
            ("Topic", "com.apple.mgmt.External.old".into()),
            ("Token", Plist::Data(b"token-of-a-user".to_vec())),
            ("PushMagic", "magic-of-a-user".into()),
        ];
        assert_eq!(mac.check_in("TokenUpdate", &user).await.status, 200);
        let file = dir.path().join("fleet.jsonl");
        let exported = enrollments("export", &file, server.data_dir(), &["--with-tokens"]).await;
        assert!(exported.success, "{}", exported.stderr);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        Self {
            dir,
            server,
            mac,
            file,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The device authority of the old server.
    fn authority(&self) -> String {
        let pem = self.server.data_dir().join("keys/device-ca.pem");
        let pem = fs::read_to_string(pem).unwrap();
        let begin = pem.find("-----BEGIN CERTIFICATE-----").unwrap();
        let end = pem.find("-----END CERTIFICATE-----").unwrap() + 25;
        let path = self.path("former-ca.pem");
        fs::write(&path, &pem[begin..end]).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn lines(&self) -> Vec<Value> {
        lines(&self.file)
    }
}

fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// As a script does it. Gives the status and the answer.
async fn curl(port: u16, method: &str, path: &str, password: &str, body: Option<&Path>) -> (String, Value) {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--write-out",
        "\n%{http_code}",
        "--request",
        method,
    ]);
    command.args(["--user", &format!("nanomdm:{password}")]);
    if let Some(body) = body {
        command.args(["--data-binary", &format!("@{}", body.display())]);
    }
    let answered = said(command.arg(format!("http://127.0.0.1:{port}{path}")), "").await;
    assert!(answered.success, "{}", answered.stderr);
    let (body, status) = answered.stdout.rsplit_once('\n').unwrap();
    (status.to_owned(), serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn an_imported_device_goes_on_with_its_old_certificate_and_takes_the_commands_of_scripts() {
    let old = Old::with_a_mac().await;
    let lines = old.lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["bootstrapToken"], STANDARD.encode("bootstrap-of-a-mac"));
    assert_eq!(lines[1]["udid"], format!("{UDID}:user-1"));

    // The new server runs while they are imported.
    let (port, key) = (free_port(), old.path("key"));
    fs::write(&key, format!("{KEY}\n")).unwrap();
    let listen = format!("127.0.0.1:{port}");
    let authority = old.authority();
    // A push service that cannot be reached: what is tried can be seen.
    let nowhere = format!("https://127.0.0.1:{}", free_port());
    let options = [
        "--device-ca",
        &authority,
        "--apns-url",
        &nowhere,
        "--apns-ca",
        &authority,
        "--enqueue-api-listen",
        &listen,
        "--enqueue-api-key-file",
        key.to_str().unwrap(),
    ];
    let server = Server::start(&old.path("new"), 0, &options).await;
    let mac = old.mac.moved_to(&server);
    assert_ne!(mac.report("Idle", &[]).await.status, 200, "nobody knows it yet");
    let imported = enrollments("import", &old.file, server.data_dir(), &[]).await;
    assert!(imported.success, "{}", imported.stderr);
    assert_eq!(imported.stdout, "imported 2, updated 0, unchanged 0\n");

    // It comes with the certificate that it has, and gets its bootstrap token back.
    let device = kube::Api::<Device>::namespaced(server.client().await, NAMESPACE);
    eventually("the Device object appears", async || {
        device.get(&UDID.to_lowercase()).await.map(drop).map_err(text)
    })
    .await;
    mac.drain().await;
    let token = mac.check_in("GetBootstrapToken", &[]).await;
    assert!(
        token.text().contains(&STANDARD.encode("bootstrap-of-a-mac")),
        "{}",
        token.text()
    );

    // A script sends it a command, which is pushed for.
    let lock = old.path("lock.plist");
    let command = "<plist version=\"1.0\"><dict><key>Command</key><dict><key>RequestType</key><string>DeviceLock</string></dict>\
        <key>CommandUUID</key><string>lock-1</string></dict></plist>";
    fs::write(&lock, command).unwrap();
    let path = format!("/v1/enqueue/{UDID},nobody");
    let (status, _) = curl(
        port,
        "PUT",
        &path,
        "a-wrong-key-of-the-same-length-or-so",
        Some(&lock),
    )
    .await;
    assert_eq!(status, "401");
    let (status, answer) = curl(port, "PUT", &path, KEY, Some(&lock)).await;
    assert_eq!(status, "207", "{answer}");
    assert_eq!(
        (&answer["command_uuid"], &answer["request_type"]),
        (&json!("lock-1"), &json!("DeviceLock"))
    );
    assert_eq!(answer["status"][UDID], json!({ "push_result": "scheduled" }));
    assert_eq!(answer["status"]["nobody"]["command_error"], "no such enrolment");
    eventually("it is pushed to", async || {
        let page = server.admin("/metrics").await.1;
        if page.contains("provost_pushes_total{result=\"transport\"}") {
            Ok(())
        } else {
            Err(page)
        }
    })
    .await;
    assert_eq!(mac.drain().await, ["DeviceLock"]);
    withdraws_what_waits(&server, port).await;
    let (status, answer) = curl(port, "GET", &format!("/v1/push/{UDID}"), KEY, None).await;
    assert_eq!(
        (status.as_str(), &answer["status"][UDID]),
        ("200", &json!({ "push_result": "scheduled" }))
    );

    // What has been in contact knows better than the file.
    let again = enrollments("import", &old.file, server.data_dir(), &["-o", "json"]).await;
    let summary: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(
        (&summary["imported"], &summary["updated"]),
        (&json!(0), &json!(0)),
        "{summary}"
    );
    tells_no_secret(&server);
    strangers_get_nowhere(&old, &server).await;
}

fn tells_no_secret(server: &Server) {
    let said = server.said();
    for secret in [
        "bootstrap-of-a-mac",
        &STANDARD.encode("bootstrap-of-a-mac"),
        KEY,
        "magic-of",
    ] {
        assert!(!said.contains(secret), "{said}");
    }
}

/// A certificate of the old authority alone gives no right, and none gives less.
async fn strangers_get_nowhere(old: &Old, server: &Server) {
    let other = Mac::enrolled(&old.server, "A0000000-0000-4000-8000-000000000002")
        .await
        .moved_to(server);
    assert_ne!(other.report("Idle", &[]).await.status, 200);
    assert_ne!(other.authenticate().await.status, 200, "and enrols nobody");
    let anonymous = Caller::of_devices(server, None);
    assert_ne!(anonymous.send("PUT /mdm", "", b"").await.status, 200);
}

/// An administrator sees what waits for the Mac, and withdraws it.
async fn withdraws_what_waits(server: &Server, port: u16) {
    let command = server.data_dir().with_file_name("restart.plist");
    let restart = "<plist version=\"1.0\"><dict><key>Command</key><dict><key>RequestType</key><string>RestartDevice</string></dict>\
        <key>CommandUUID</key><string>restart-1</string></dict></plist>";
    fs::write(&command, restart).unwrap();
    let (status, answer) = curl(port, "PUT", &format!("/v1/enqueue/{UDID}"), KEY, Some(&command)).await;
    assert_eq!(status, "200", "{answer}");
    let data_dir = server.data_dir().to_str().unwrap();
    let listed = provost(&["commands", "list", UDID, "--data-dir", data_dir]).await;
    let line = listed
        .stdout
        .lines()
        .find(|line| line.contains("restart-1"))
        .unwrap();
    assert!(
        line.ends_with("the device has not asked for work since"),
        "{}",
        listed.stdout
    );
    let cancel = ["commands", "cancel", UDID, "restart-1", "--data-dir", data_dir];
    let cancelled = provost(&cancel).await;
    assert!(
        cancelled.success && cancelled.stdout.contains("RestartDevice"),
        "{}",
        cancelled.stderr
    );
    let again = provost(&cancel).await;
    assert!(
        !again.success && again.stderr.contains("these do not wait"),
        "{}",
        again.stderr
    );
    let nobody = provost(&["commands", "list", "nobody", "--data-dir", data_dir]).await;
    assert!(
        nobody.stderr.contains("there is no enrolment nobody"),
        "{}",
        nobody.stderr
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_moved_into_and_gives_the_same_away_again() {
    let old = Old::with_a_mac().await;
    let new = old.path("new");
    let dry = enrollments("import", &old.file, &new, &["--dry-run"]).await;
    assert!(
        dry.success && dry.stdout.starts_with("would be imported 2"),
        "{}",
        dry.stdout
    );
    let imported = enrollments("import", &old.file, &new, &[]).await;
    assert!(imported.success, "{}", imported.stderr);
    let again = enrollments("import", &old.file, &new, &[]).await;
    assert_eq!(again.stdout, "imported 0, updated 0, unchanged 2\n");

    // Both with their tokens and without them it is the same again.
    for more in [&["--with-tokens"] as &[&str], &[]] {
        let (one, other) = (old.path("one.jsonl"), old.path("other.jsonl"));
        assert!(
            enrollments("export", &one, old.server.data_dir(), more)
                .await
                .success
        );
        let third = old.path(&format!("third-{}", more.len()));
        assert!(enrollments("import", &one, &third, &[]).await.success);
        assert!(enrollments("export", &other, &third, more).await.success);
        assert_eq!(
            fs::read_to_string(&one).unwrap(),
            fs::read_to_string(&other).unwrap()
        );
        let text = fs::read_to_string(&one).unwrap();
        for field in ["pushToken", "pushMagic", "bootstrapToken"] {
            assert_eq!(text.contains(field), !more.is_empty(), "{field}");
        }
        assert!(text.contains("\"topic\""));
    }
    let standard = enrollments("export", Path::new("-"), &new, &[]).await;
    assert_eq!(standard.stdout.lines().count(), 2);

    let authority = old.authority();
    let server = Server::start(&new, 0, &["--device-ca", &authority]).await;
    let mac = old.mac.moved_to(&server);
    mac.drain().await;
    let device = kube::Api::<Device>::namespaced(server.client().await, NAMESPACE);
    eventually("the Device object appears", async || {
        device.get(&UDID.to_lowercase()).await.map(drop).map_err(text)
    })
    .await;
}

#[tokio::test]
async fn a_file_with_a_bad_line_changes_nothing_unless_it_is_to_be_passed_over() {
    let old = Old::with_a_mac().await;
    let new = old.path("new");
    let good = old.lines().remove(0);
    let mut misspelt = good.clone();
    misspelt["udid"] = "B0-1".into();
    misspelt["serialNumbar"] = "X".into();
    let file = old.path("bad.jsonl");
    fs::write(&file, format!("{misspelt}\n\n{good}\nnonsense\n")).unwrap();

    let refused = enrollments("import", &file, &new, &[]).await;
    assert!(!refused.success && refused.stdout.is_empty());
    for told in [
        "bad.jsonl:1: serialNumbar: there is no such field; did you mean `serialNumber`?",
        "bad.jsonl:4: it is not JSON",
        "2 lines are bad and nothing was changed",
    ] {
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    let nothing = enrollments("export", Path::new("-"), &new, &[]).await;
    assert_eq!(nothing.stdout, "");

    let server = Server::start(&new, 0, &[]).await;
    let mut elsewhere = good.clone();
    elsewhere["udid"] = "C0-1".into();
    elsewhere["certificateSha256"] = "0".repeat(64).into();
    elsewhere["namespace"] = "nowhere".into();
    fs::write(&file, format!("{misspelt}\n{elsewhere}\n{good}\n")).unwrap();
    let skipped = enrollments("import", &file, server.data_dir(), &["--skip-bad-lines"]).await;
    assert_eq!(
        skipped.stdout, "imported 1, updated 0, unchanged 0, bad lines 2\n",
        "{}",
        skipped.stderr
    );
    assert!(
        skipped
            .stderr
            .contains("bad.jsonl:2: the namespace nowhere does not exist"),
        "{}",
        skipped.stderr
    );
    assert!(!skipped.success, "it says that something was left out");
    let missing = enrollments("import", &old.path("no-such-file"), server.data_dir(), &[]).await;
    assert!(
        missing.stderr.contains("no-such-file cannot be read"),
        "{}",
        missing.stderr
    );
    let nobody = enrollments("export", Path::new("-"), &old.path("no-such-place"), &[]).await;
    assert!(
        nobody.stderr.contains("there are no enrolments"),
        "{}",
        nobody.stderr
    );
    assert!(!old.path("no-such-place").exists());
}

#[tokio::test]
async fn one_option_of_the_enqueue_api_without_the_other_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let short = dir.path().join("short");
    fs::write(&short, "short\n").unwrap();
    let (short, data_dir) = (short.to_str().unwrap(), dir.path().join("data"));
    let up = [
        "up",
        "--mdm-listen",
        "127.0.0.1:0",
        "--api-listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ];
    let up = [up.as_slice(), &["--data-dir", data_dir.to_str().unwrap()]].concat();
    for (options, told) in [
        (
            &["--enqueue-api-listen", "127.0.0.1:0"] as &[&str],
            "--enqueue-api-key-file",
        ),
        (&["--enqueue-api-key-file", short], "--enqueue-api-listen"),
        (
            &[
                "--enqueue-api-listen",
                "127.0.0.1:0",
                "--enqueue-api-key-file",
                short,
            ],
            "it needs at least 16",
        ),
    ] {
        let refused = provost(&[&up, options].concat()).await;
        assert!(
            !refused.success && refused.stderr.contains(told),
            "{}",
            refused.stderr
        );
    }
}
