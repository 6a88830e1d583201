//! What the network and git may throw at a server: bombs, floods, half handshakes, other people's certificates. Each is refused in
//! words, and whoever was there before is served as before.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use rcgen::{CertificateParams, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::world::policy::{EVERYONE, assignment, one_rule};
use crate::world::server::memory;
use crate::world::{Caller, Mac, Server, World, condition, eventually, is_true};

const VICTIM: &str = "A0000000-0000-4000-8000-000000000001";
const OTHER: &str = "A0000000-0000-4000-8000-000000000002";
/// More than any body may have.
const TEN_MEGABYTES: usize = 10 << 20;
/// By how much the server's memory may grow, whatever comes.
const GROWTH: u64 = 64 << 20;
const APPLY: &str = "Content-Type: application/apply-patch+yaml\r\n";
const PROFILE: &str = "PATCH /apis/provost.dev/v1alpha1/namespaces/default/profiles/x?fieldManager=story";

/// Nine levels of nine references each: four hundred million texts.
fn yaml_bomb() -> String {
    let mut lines = vec!["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned()];
    for level in 1..9 {
        let reference = format!("*a{}", level - 1);
        lines.push(format!(
            "a{level}: &a{level} [{}]\n",
            [reference.as_str(); 9].join(", ")
        ));
    }
    lines.concat()
}

fn policy_with(spec: &str) -> String {
    format!("apiVersion: provost.dev/v1alpha1\nkind: Profile\nmetadata:\n  name: x\nspec:\n{spec}")
}

fn kept(file: &str) -> Vec<u8> {
    fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus/plist")
            .join(file),
    )
    .unwrap()
}

struct Scene {
    _folder: tempfile::TempDir,
    server: Server,
    victim: Mac,
}

impl Scene {
    /// A server with one Mac that has enrolled and has not yet asked for its commands.
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(&folder.path().join("data"), 0, &[]).await;
        let victim = Mac::enrolled(&server, VICTIM).await;
        Self {
            _folder: folder,
            server,
            victim,
        }
    }

    /// Everything is as if nothing had happened.
    async fn is_unharmed(&self) {
        assert_eq!(self.server.admin("/readyz").await.0, 200);
        assert_eq!(self.server.metric("provost_device_request_panics_total").await, 0);
        assert!(!self.server.said().contains("panicked"), "{}", self.server.said());
        let commands = self.victim.drain().await;
        for first in ["DeviceInformation", "SecurityInfo", "DeclarativeManagement"] {
            assert!(
                commands.iter().any(|command| command == first),
                "{first} is lost: {commands:?}"
            );
        }
    }
}

/// Looks at a process's memory all the time.
struct Memory {
    before: u64,
    stop: Arc<AtomicBool>,
    peak: tokio::task::JoinHandle<u64>,
}

impl Memory {
    fn watch(server: &Server) -> Self {
        let pid = server.pid();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let peak = tokio::spawn(async move {
            let mut peak = 0;
            while !stopped.load(Ordering::Relaxed) {
                peak = peak.max(memory(pid, "VmRSS:"));
                sleep(Duration::from_millis(5)).await;
            }
            peak.max(memory(pid, "VmRSS:"))
        });
        Self {
            before: server.memory(),
            stop,
            peak,
        }
    }

    /// By how many bytes it has grown at most.
    async fn growth(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.peak.await.unwrap().saturating_sub(self.before)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_break_servers_are_refused_by_the_device_endpoint() {
    let scene = Scene::open().await;
    let memory = Memory::watch(&scene.server);
    let deep = format!(
        "<plist>{}{}</plist>",
        "<array>".repeat(10_000),
        "</array>".repeat(10_000)
    );
    let noise: Vec<u8> = (0..4096_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for (name, body, status) in [
        ("empty", vec![], 400),
        ("noise", noise.clone(), 400),
        (
            "noise that begins well",
            [b"bplist00", noise.as_slice()].concat(),
            400,
        ),
        ("nested", deep.into_bytes(), 400),
        ("binary bomb", kept("binary-bomb"), 400),
        ("binary cycle", kept("binary-cycle"), 400),
        (
            "entity bomb",
            br#"<!DOCTYPE p [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><plist><string>&b;</string></plist>"#
                .to_vec(),
            400,
        ),
        ("ten megabytes", vec![b' '; TEN_MEGABYTES], 413),
    ] {
        assert_eq!(scene.victim.blurt(&body).await, [status; 2], "{name}");
    }
    let unknown = scene.victim.check_in("SetFire", &[]).await;
    assert_eq!(unknown.status, 400, "{}", unknown.text());
    assert!(unknown.text().contains("SetFire"), "{}", unknown.text());
    let unknown = scene
        .victim
        .report("Bored", &[("CommandUUID", "nobody-sent-this".into())])
        .await;
    assert_eq!(unknown.status, 200, "{}", unknown.text());
    for endpoint in [
        "",
        "http://example.com/",
        "declaration/configuration/../../x",
        "%2e%2e",
    ] {
        assert_eq!(scene.victim.declarative(endpoint).await.status, 400, "{endpoint}");
    }
    assert!(memory.growth().await < GROWTH);
    scene.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_break_servers_are_refused_where_identities_are_issued() {
    let scene = Scene::open().await;
    let anonymous = Caller::of_devices(&scene.server, None);
    let bearer = "Authorization: Bearer unknown\r\n";
    for (headers, body, status) in [
        (bearer, vec![b' '; TEN_MEGABYTES], 413),
        (bearer, kept("binary-bomb"), 400),
        (bearer, vec![0x30; 10_000], 400),
        ("Authorization: Basic eDp5\r\n", vec![], 403),
    ] {
        let answer = anonymous.send("POST /enroll/identity", headers, &body).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.json()["error"].is_string());
    }
    scene.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_break_servers_are_refused_by_the_kubernetes_api() {
    let scene = Scene::open().await;
    let memory = Memory::watch(&scene.server);
    let administrator = Caller::administrator(&scene.server);
    let json = "Content-Type: application/apply-patch+yaml\r\n";
    let nested = |open: &str, close: &str| [open.repeat(10_000), close.repeat(10_000)].concat();
    for (name, body, status, words) in [
        ("bomb", policy_with(&yaml_bomb()), 400, "alias"),
        ("self", policy_with("  a: &a\n    b: *a\n"), 400, "alias"),
        (
            "deep flow",
            policy_with(&format!("  a: {}", nested("[", "]"))),
            400,
            "recursion",
        ),
        (
            "deep block",
            (0..2_000)
                .flat_map(|n| [" ".repeat(n), "a:\n".to_owned()])
                .collect(),
            400,
            "deep",
        ),
        (
            "deep JSON",
            nested("{\"a\":", "}").replace("{\"a\":}", "{}"),
            400,
            "recursion",
        ),
        ("deep JSON lists", nested("[", "]"), 400, ""),
        ("no object", "just a text".to_owned(), 400, ""),
        ("unclosed", "{\"a\": [".to_owned(), 400, ""),
        ("control characters", "a: \u{1}\u{0}".to_owned(), 400, ""),
        ("ten megabytes", " ".repeat(TEN_MEGABYTES), 413, "too large"),
    ] {
        let answer = administrator.send(PROFILE, json, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        let refusal = answer.json();
        assert_eq!(refusal["kind"], "Status", "{name}");
        let message = refusal["message"].as_str().unwrap();
        assert!(message.contains(words), "{name}: {message}");
        assert!(message.len() < 1_000, "{name}: {message}");
    }
    let wrong = policy_with("  payloads: 3\n");
    let answer = administrator.send(PROFILE, APPLY, wrong.as_bytes()).await;
    // The API server answers 500, too, where an applied value has not the type of its schema.
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert!(answer.text().contains("spec.payloads"), "{}", answer.text());
    assert!(memory.growth().await < GROWTH);
    scene.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_with_the_certificate_of_another() {
    let scene = Scene::open().await;
    let server = &scene.server;
    let administrator = Caller::administrator(server);
    let rule = one_rule(
        "b",
        "camera",
        "com.apple.applicationaccess",
        "allowCamera",
        "false",
    );
    let group = EVERYONE.replace("everyone", "one").replace(
        "selector: {}",
        &format!("serialNumbers: [{}]", scene.victim.serial()),
    );
    let objects = [
        ("devicegroups/one", group),
        ("baselines/b", rule),
        ("assignments/a", assignment("a", "one", "b", 0)),
    ];
    for (path, object) in &objects {
        let target = format!("PATCH /apis/provost.dev/v1alpha1/namespaces/default/{path}?fieldManager=story");
        let answer = administrator.send(&target, APPLY, object.as_bytes()).await;
        assert!(matches!(answer.status, 200 | 201), "{path}: {}", answer.text());
    }
    // What the victim may fetch, once it has been told to.
    let items = eventually("the victim has declarations", async || {
        let items = scene.victim.declarative("declaration-items").await;
        if items.text().contains("profile") {
            Ok(items.text())
        } else {
            Err(items.text())
        }
    })
    .await;
    let items: serde_json::Value = serde_json::from_str(&items).unwrap();
    let configurations = items["Declarations"]["Configurations"]
        .as_array()
        .unwrap()
        .clone();
    let legacy = configurations
        .iter()
        .map(|item| item["Identifier"].as_str().unwrap());
    let legacy = legacy
        .into_iter()
        .find(|identifier| identifier.contains("profile"))
        .unwrap();
    let declaration = format!("declaration/configuration/{legacy}");
    let declared = scene.victim.declarative(&declaration).await.json();
    let url = declared["Payload"]["ProfileURL"].as_str().unwrap();
    let profile = format!("GET {}", &url[url.find("/mdm/profiles/").unwrap()..]);
    assert_eq!(scene.victim.caller.send(&profile, "", b"").await.status, 200);

    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec![VICTIM.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    // One of another fleet, one that was issued and never used, one of another authority, the administrator's, and none.
    let enrolled = Mac::enrolled(server, OTHER).await;
    let invited = Mac::invited(server, "A0000000-0000-4000-8000-000000000003").await;
    for (name, caller) in [
        ("another device", &enrolled.caller),
        ("a device that never enrolled", &invited.caller),
        (
            "another authority",
            &Caller::of_devices(server, Some((&own.pem(), &key))),
        ),
        ("nobody", &Caller::of_devices(server, None)),
    ] {
        let pretender = scene.victim.spoken_by(caller);
        for answer in [
            pretender.authenticate().await,
            pretender.token_update().await,
            pretender.check_in("CheckOut", &[]).await,
            pretender.declarative("tokens").await,
            pretender.declarative("declaration-items").await,
            pretender.declarative(&declaration).await,
            pretender.report("Idle", &[]).await,
            pretender
                .report("Acknowledged", &[("CommandUUID", "c".into())])
                .await,
        ] {
            assert_eq!(answer.status, 400, "{name}: {}", answer.text());
            assert!(!answer.body.is_empty(), "{name}");
        }
        let fetched = caller.send(&profile, "", b"").await;
        assert_eq!(fetched.status, 404, "{name}: {}", fetched.text());
    }
    let passer_by = Caller::passer_by(server);
    let answer = passer_by
        .send("GET /api/v1/namespaces/default/secrets", "", b"")
        .await;
    // Without a credential one is anonymous, to whom no role allows this.
    assert_eq!(answer.status, 403, "{}", answer.text());
    scene.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_off_or_dawdles_disturbs_nobody() {
    let scene = Scene::open().await;
    let port = scene.server.mdm_port();
    let connect = async || TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    for beginning in [
        &b""[..],
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PUT /mdm HTTP/1.1\r\n\r\n",
        &[0; 600],
    ] {
        let mut stream = connect().await;
        stream.write_all(beginning).await.unwrap();
        stream.shutdown().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    // Fifty that have begun a handshake, and fifty that have begun a request, and say no more.
    let mut hanging = Vec::new();
    for _ in 0..50 {
        let mut stream = connect().await;
        stream.write_all(b"\x16\x03\x01\x02").await.unwrap();
        hanging.push(tokio::spawn(async move {
            stream.read_to_end(&mut Vec::new()).await.is_ok()
        }));
        let mut stream = scene.victim.caller.connect().await;
        stream.write_all(b"PUT /mdm HTTP/1.1\r\nHost: loc").await.unwrap();
        hanging.push(tokio::spawn(async move {
            stream.read_to_end(&mut Vec::new()).await.is_ok()
        }));
    }
    let asked = Instant::now();
    assert_eq!(
        scene
            .victim
            .report("NotNow", &[("CommandUUID", "c".into())])
            .await
            .status,
        200
    );
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "the victim waited {:?}",
        asked.elapsed()
    );
    timeout(Duration::from_secs(30), join_all(hanging))
        .await
        .expect("the server hangs up on them");
    scene.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_large_bodies_at_once_leave_memory_flat() {
    let scene = Scene::open().await;
    let anonymous = Caller::of_devices(&scene.server, None);
    let administrator = Caller::administrator(&scene.server);
    let bearer = "Authorization: Bearer unknown\r\n";
    for (name, caller, target, headers, statuses) in [
        ("nobody", &anonymous, "PUT /mdm", "", [400, 400]),
        ("a device", &scene.victim.caller, "PUT /mdm", "", [413, 413]),
        // One source may not try without end.
        (
            "who wants an identity",
            &anonymous,
            "POST /enroll/identity",
            bearer,
            [413, 429],
        ),
        ("the administrator", &administrator, PROFILE, APPLY, [413, 413]),
    ] {
        let memory = Memory::watch(&scene.server);
        let flood = (0..200).map(|_| caller.send_blanks(target, headers, TEN_MEGABYTES));
        for answer in join_all(flood).await {
            assert!(
                statuses.contains(&answer.status),
                "{name}: {} {}",
                answer.status,
                answer.text()
            );
        }
        let growth = memory.growth().await;

        assert!(growth < GROWTH, "{name}: grown by {growth}");
    }
    scene.is_unharmed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_in_git_leaves_the_last_good_revision_in_force() {
    let mut world = World::start(crate::world::Setting::default()).await;
    world.write("fleet/group.yaml", EVERYONE);
    world.follow().await;
    let good = world.bring_into_force("A group").await;
    let memory = Memory::watch(&world.server);
    let deep = format!("  a: {}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (name, file, words) in [
        ("references", policy_with(&yaml_bomb()), "more than"),
        ("nesting", policy_with(&deep), "recursion"),
        (
            "itself",
            policy_with("  a: &a\n    b: *a\n"),
            "inside what it names",
        ),
    ] {
        world.write("fleet/bomb.yaml", &file);
        world.commit(name);
        let status = world.look().await;
        assert!(!is_true(&status.conditions, "Ready"), "{name}");
        let ready = condition(&status.conditions, "Ready").unwrap();
        assert!(
            ready.message.contains("fleet/bomb.yaml:"),
            "{name}: {}",
            ready.message
        );
        assert!(ready.message.contains(words), "{name}: {}", ready.message);
        assert_eq!(status.artifact.unwrap().revision, good, "{name}");
    }
    assert!(memory.growth().await < GROWTH);
    world.remove("fleet/bomb.yaml");
    world.bring_into_force("No bomb").await;
    assert!(
        !world.server.said().contains("panicked"),
        "{}",
        world.server.said()
    );
}
