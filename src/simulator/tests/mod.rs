//! Stories of devices and a scripted server, over real TLS and with real pushes.

mod fleet;
mod server;

use std::time::Duration;

use axum::http::StatusCode;
use plist::Value;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

use self::server::{Server, TOPIC, text};
use super::apns::TlsIdentity;
use super::model::{Family, Identity};
use super::profile::tests::profile_xml;
use super::*;
use crate::push::{Http2Pusher, Http2Settings, PushError, PushRequest, Pusher};

/// A fleet with its events.
struct World {
    server: Server,
    fleet: Fleet,
    events: mpsc::UnboundedReceiver<Event>,
}

/// A seed under which the first device is of this family.
fn seed_for(family: Family, classic_percent: u8) -> u64 {
    (0..1000)
        .find(|seed| Identity::draw(*seed, 0, classic_percent).family == family)
        .unwrap()
}

impl World {
    /// One device of this family, not yet enrolled.
    async fn with(family: Family, classic_percent: u8) -> Self {
        Self::with_users(family, classic_percent, 0).await
    }

    /// As [`Self::with`]; so many of a hundred Macs have a user.
    async fn with_users(family: Family, classic_percent: u8, users_percent: u8) -> Self {
        let server = Server::start();
        let identity = TlsIdentity::generate(&["127.0.0.1"]).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let apns = FakeApns::start(FakeApnsSettings {
            listen,
            identity,
            require_client_certificate: false,
        });
        let timing = Timing {
            put_off: Duration::from_millis(20),
            retry_first: Duration::from_millis(10),
            retry_cap: Duration::from_millis(50),
            ..Timing::default()
        };
        let seed = seed_for(family, classic_percent);
        let settings = FleetSettings {
            seed,
            classic_percent,
            users_percent,
            timing,
            ..FleetSettings::default()
        };
        let (tell, events) = mpsc::unbounded_channel();
        let fleet = Fleet::new(settings, &server.ca_pem(), apns.await.unwrap(), tell).unwrap();
        Self {
            server,
            fleet,
            events,
        }
    }

    fn enroll(&self) {
        self.fleet.enroll([self.server.invitation()]);
    }

    async fn event(&mut self) -> Event {
        tokio::time::timeout(Duration::from_secs(30), self.events.recv())
            .await
            .unwrap()
            .unwrap()
    }

    /// Wakes the device as a server does, with what its `TokenUpdate` said.
    async fn push(&self) -> Result<(), PushError> {
        self.push_to("").await
    }

    /// Wakes the channel of a user, by their id; of none: of the device.
    async fn push_to(&self, user: &str) -> Result<(), PushError> {
        let request = {
            let script = self.server.script();
            let update = script
                .check_ins
                .iter()
                .find(|m| text(m, "MessageType") == "TokenUpdate" && text(m, "UserID") == user)
                .unwrap();
            PushRequest {
                token: update.get("Token").unwrap().as_data().unwrap().to_vec(),
                push_magic: text(update, "PushMagic").to_owned(),
                topic: text(update, "Topic").to_owned(),
                expiration: jiff::Timestamp::MAX,
            }
        };
        assert_eq!(request.topic, TOPIC);
        let apns = self.fleet.apns();
        let settings = Http2Settings {
            url: &apns.url(),
            ca_pem: apns.ca_pem(),
            certificate: None,
        };
        Http2Pusher::new(&settings).unwrap().push(request).await
    }

    /// Waits for the fleet's numbers; they change with no event of their own.
    async fn numbers(&self, condition: impl Fn(&Progress) -> bool) {
        let satisfied = async {
            while !condition(&self.fleet.progress()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), satisfied)
            .await
            .unwrap();
    }
}

fn declaration(type_name: &str, identifier: &str, token: &str, payload: &Json) -> Json {
    json!({"Type": type_name, "Identifier": identifier, "ServerToken": token, "Payload": payload})
}

/// FileVault through a profile, a passcode, and the status items that show them.
fn standard(server: &Server) -> Vec<(&'static str, Json)> {
    let predicate = "(@status(device.operating-system.family) == 'macOS')";
    let activation = json!({"StandardConfigurations": ["disk", "code", "subs"], "Predicate": predicate});
    let disk = json!({"ProfileURL": server.url("/profile/disk")});
    let code = json!({"MinimumLength": 12});
    let items = [
        "diskmanagement.filevault.enabled",
        "device.operating-system.family",
    ];
    let subs = json!({"StatusItems": items.map(|name| json!({"Name": name}))});
    let configuration = |kind: &str, identifier, token, payload| {
        let type_name = format!("com.apple.configuration.{kind}");
        (
            "configuration",
            declaration(&type_name, identifier, token, payload),
        )
    };
    vec![
        (
            "activation",
            declaration("com.apple.activation.simple", "act", "a1", &activation),
        ),
        configuration("legacy", "disk", "d1", &disk),
        configuration("passcode.settings", "code", "c1", &code),
        configuration("management.status-subscriptions", "subs", "s1", &subs),
    ]
}

fn file_vault() -> Vec<u8> {
    profile_xml(
        "fv",
        "FV-1",
        "com.apple.MCX.FileVault2",
        "<key>Enable</key><string>On</string>",
    )
}

fn sync_command() -> [(&'static str, Value); 1] {
    [("RequestType", "DeclarativeManagement".into())]
}

#[tokio::test]
async fn a_mac_enrolls_syncs_drifts_and_is_corrected() {
    let mut world = World::with(Family::Mac, 0).await;
    {
        let declarations = standard(&world.server);
        let mut script = world.server.script();
        script.declarations = declarations;
        script.profile = file_vault();
        script.command(
            "c-1",
            &[
                ("RequestType", "DeviceInformation".into()),
                ("Queries", Value::Array(vec!["OSVersion".into()])),
            ],
        );
        script.command("c-2", &sync_command());
    }
    // It cannot at first, and comes back by itself.
    world.fleet.put_off(100);
    world.enroll();
    world
        .server
        .until(|script| script.reported("c-1", "NotNow").is_some())
        .await;
    world.fleet.put_off(0);
    world.server.until(|script| !script.status.is_empty()).await;
    {
        let script = world.server.script();
        assert_eq!(script.message_types()[..2], ["Authenticate", "TokenUpdate"]);
        assert!(
            script
                .reported("c-1", "Acknowledged")
                .unwrap()
                .get("QueryResponses")
                .is_some()
        );
        assert!(script.reported("c-2", "Acknowledged").is_some());
        assert_eq!(
            script.nameless, 0,
            "every message came with the device's certificate"
        );
        let report = &script.status[0];
        assert_eq!(report["FullReport"], true);
        assert_eq!(
            report["StatusItems"]["diskmanagement"]["filevault"]["enabled"],
            true
        );
        for configuration in ["disk", "code", "subs"] {
            assert_eq!(
                script.configuration(configuration).unwrap()["valid"],
                "valid",
                "{configuration}"
            );
        }
    }
    world.numbers(|progress| progress.synced == 1).await;

    world.fleet.drift(1).await;
    let Event::Drifted { devices, kinds } = world.event().await else {
        panic!("no drift")
    };
    assert_eq!(devices.len(), 1);
    world.server.until(|script| script.status.len() == 2).await;
    let told = world.server.script().status[1].clone();
    match kinds[0] {
        "fileVaultOff" => assert_eq!(
            told["StatusItems"]["diskmanagement"]["filevault"]["enabled"],
            false
        ),
        _ => assert!(
            told["StatusItems"]["management"]["declarations"]["configurations"][0]["reasons"][0]["code"]
                .is_string()
        ),
    }

    world.server.script().command("c-3", &sync_command());
    world.push().await.unwrap();
    let Event::Corrected { device, kind } = world.event().await else {
        panic!("not corrected")
    };
    assert_eq!((&device, kind), (&devices[0], kinds[0]));
    let script = world.server.script();
    assert_eq!(script.status.len(), 3);
    assert!(script.reported("c-3", "Acknowledged").is_some());
    assert!(
        ["disk", "code"]
            .iter()
            .all(|id| script.configuration(id).unwrap()["active"] == true)
    );
    assert_eq!(world.fleet.progress().corrected, 1);
}

#[tokio::test]
async fn a_changed_set_is_fetched_even_when_it_moves_and_profiles_fail() {
    let world = World::with(Family::Mac, 0).await;
    {
        let mut declarations = standard(&world.server);
        declarations[1].1["Payload"]["ProfileURL"] = world.server.url("/profile/missing").into();
        let mut script = world.server.script();
        script.declarations = declarations;
        script.vanished = 2;
        script.command("c-1", &sync_command());
    }
    world.enroll();
    world
        .server
        .until(|script| {
            script
                .status
                .iter()
                .any(|_| script.configuration("disk").is_some())
        })
        .await;
    world
        .server
        .until(|script| {
            script
                .configuration("code")
                .is_some_and(|state| state["active"] == true)
        })
        .await;
    assert_eq!(
        world.server.script().configuration("disk").unwrap()["valid"],
        "invalid"
    );

    // The profile appears under a new address: only that declaration changes.
    let declarations = standard(&world.server);
    let before = {
        let mut script = world.server.script();
        script.declarations = declarations;
        script.declarations[1].1["ServerToken"] = "d2".into();
        script.profile = file_vault();
        script.command("c-2", &sync_command());
        script.check_ins.len()
    };
    world.push().await.unwrap();
    world
        .server
        .until(|script| {
            script
                .configuration("disk")
                .is_some_and(|state| state["valid"] == "valid")
        })
        .await;
    let script = world.server.script();
    let fetched: Vec<&str> = script.check_ins[before..]
        .iter()
        .map(|message| text(message, "Endpoint"))
        .filter(|endpoint| endpoint.starts_with("declaration/"))
        .collect();
    assert_eq!(fetched, ["declaration/configuration/disk"]);
}

#[tokio::test]
async fn a_device_outlives_its_servers_troubles() {
    let world = World::with(Family::IPhone, 0).await;
    {
        let mut script = world.server.script();
        let trouble = [
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::TOO_MANY_REQUESTS,
        ];
        script.faults.extend(trouble.map(|status| (status, "")));
        script.command("c-1", &[("RequestType", "SecurityInfo".into())]);
    }
    world.enroll();
    world
        .server
        .until(|script| script.message_types() == ["Authenticate", "TokenUpdate"])
        .await;
    world
        .server
        .until(|script| script.reported("c-1", "Acknowledged").is_some())
        .await;
    {
        let mut script = world.server.script();
        script.command("c-2", &[("RequestType", "SecurityInfo".into())]);
        // An error page, and a 403 that does not say that the device is unknown.
        script
            .faults
            .extend([(StatusCode::BAD_GATEWAY, "<html>"), (StatusCode::FORBIDDEN, "")]);
    }
    world.push().await.unwrap();
    world
        .server
        .until(|script| script.reported("c-2", "Acknowledged").is_some())
        .await;
    assert_eq!(world.server.script().refused, 5);
    assert_eq!(world.fleet.progress().unenrolled, 0);
    assert!(world.fleet.progress().retries >= 5);
}

#[tokio::test]
async fn a_401_ends_the_enrolment_and_the_token_is_dead() {
    let mut world = World::with(Family::IPad, 0).await;
    world.enroll();
    world
        .server
        .until(|script| script.message_types().len() == 2)
        .await;
    world
        .server
        .script()
        .faults
        .push_back((StatusCode::UNAUTHORIZED, ""));
    world.push().await.unwrap();
    let Event::Unenrolled { reason, .. } = world.event().await else {
        panic!("still enrolled")
    };
    assert_eq!(reason, "HTTP 401");
    assert_eq!(world.fleet.progress().unenrolled, 1);
    assert!(matches!(world.push().await, Err(PushError::Unregistered { .. })));
}

#[tokio::test]
async fn an_old_mac_takes_profiles_and_a_removed_one_is_found_missing() {
    let mut world = World::with(Family::Mac, 100).await;
    let install = [
        ("RequestType", Value::from("InstallProfile")),
        ("Payload", Value::Data(file_vault())),
    ];
    {
        let mut script = world.server.script();
        script.command("c-1", &sync_command());
        script.command("c-2", &install);
        script.command("c-3", &[("RequestType", "SecurityInfo".into())]);
    }
    world.enroll();
    world
        .server
        .until(|script| script.reported("c-3", "Acknowledged").is_some())
        .await;
    {
        let script = world.server.script();
        assert!(
            script.reported("c-1", "Error").is_some(),
            "it has no declarative management"
        );
        let info = script
            .reported("c-3", "Acknowledged")
            .unwrap()
            .get("SecurityInfo")
            .unwrap();
        assert_eq!(
            info.as_dictionary().unwrap().get("FDE_Enabled"),
            Some(&Value::Boolean(true))
        );
    }
    world.numbers(|progress| progress.synced == 1).await;
    world.fleet.drift(5).await;
    let Event::Drifted { kinds, .. } = world.event().await else {
        panic!("no drift")
    };
    assert_eq!(kinds, ["profileRemoved"], "there is one device to drift");

    {
        let mut script = world.server.script();
        script.command("c-4", &[("RequestType", "ProfileList".into())]);
        script.command("c-5", &install);
    }
    world.push().await.unwrap();
    assert!(matches!(
        world.event().await,
        Event::Corrected {
            kind: "profileRemoved",
            ..
        }
    ));
    let script = world.server.script();
    let list = script
        .reported("c-4", "Acknowledged")
        .unwrap()
        .get("ProfileList")
        .unwrap()
        .as_array()
        .unwrap();
    assert!(
        list.iter()
            .all(|profile| text(profile.as_dictionary().unwrap(), "PayloadIdentifier") != "fv")
    );
}

#[tokio::test]
async fn an_offline_device_comes_for_its_pending_push_when_it_is_back() {
    let world = World::with(Family::IPhone, 100).await;
    world.enroll();
    // It has polled once and waits.
    world.numbers(|progress| progress.synced == 1).await;
    world.fleet.take_offline(100);
    world.numbers(|progress| progress.offline == 1).await;
    world
        .server
        .script()
        .command("c-1", &[("RequestType", "SecurityInfo".into())]);
    world.push().await.unwrap();
    world.push().await.unwrap();
    let pushes = world.fleet.progress().pushes;
    world.fleet.bring_online();
    world
        .server
        .until(|script| script.reported("c-1", "Acknowledged").is_some())
        .await;
    assert_eq!(
        world.fleet.progress().pushes,
        pushes + 1,
        "the newest push of several"
    );
}

#[tokio::test]
async fn removing_the_enrolment_profile_checks_the_device_out() {
    let mut world = World::with(Family::Mac, 0).await;
    let remove = [
        ("RequestType", "RemoveProfile".into()),
        ("Identifier", "dev.provost.mdm".into()),
    ];
    world.server.script().command("c-1", &remove);
    world.enroll();
    assert!(matches!(world.event().await, Event::Unenrolled { .. }));
    let script = world.server.script();
    assert_eq!(
        script.message_types(),
        ["Authenticate", "TokenUpdate", "CheckOut"]
    );
    assert!(script.reported("c-1", "Acknowledged").is_some());
}

#[tokio::test]
async fn a_refused_device_says_why_and_stops() {
    let mut world = World::with(Family::Mac, 0).await;
    world
        .server
        .script()
        .faults
        .push_back((StatusCode::GONE, "this invitation has been used"));
    world.enroll();
    let Event::Refused { reason, .. } = world.event().await else {
        panic!("not refused")
    };
    assert!(
        reason.contains("410") && reason.contains("has been used"),
        "{reason}"
    );
    world.fleet.stop().await;
    assert_eq!(world.fleet.progress().refused, 1);
}

#[tokio::test]
async fn a_mac_with_a_user_hands_over_its_token_and_looks_after_two_channels() {
    let world = World::with_users(Family::Mac, 0, 100).await;
    world.enroll();
    world
        .server
        .until(|script| {
            script.message_types() == ["Authenticate", "TokenUpdate", "SetBootstrapToken", "TokenUpdate"]
        })
        .await;
    world.numbers(|progress| progress.enrolled == 1).await;
    let user = {
        let script = world.server.script();
        let token = script.check_ins[2].get("BootstrapToken");
        assert!(
            token
                .and_then(Value::as_data)
                .is_some_and(|token| !token.is_empty())
        );
        assert_ne!(script.check_ins[1].get("Token"), script.check_ins[3].get("Token"));
        assert_eq!(script.check_ins[1].get("UserID"), None);
        text(&script.check_ins[3], "UserID").to_owned()
    };
    world
        .server
        .script()
        .command("c-1", &[("RequestType", "ProfileList".into())]);
    world.push_to(&user).await.unwrap();
    world
        .numbers(|progress| progress.commands + progress.user_commands == 1)
        .await;
    world
        .server
        .until(|script| script.reported("c-1", "Acknowledged").is_some())
        .await;
}
