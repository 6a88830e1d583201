//! Declarative management on the channels of users.

use std::sync::Arc;

use axum::http::StatusCode;
use plist::Value;
use serde_json::{Value as Json, json};

use super::channels::{SHARED, User};
use super::world::{Answer, Device, World, manifest};
use crate::policy::{Declaration, Manifest, Section};

const UDID: &str = "A0000000-0000-4000-8000-000000000001";

fn of_shared_ipad<'d>(device: &'d Device, account: &str) -> User<'d> {
    let keys = [("UserID", SHARED), ("UserShortName", account)];
    User::new(device, &keys, &format!("{UDID}:{account}"))
}

impl User<'_> {
    async fn begin(&self) {
        let answer = self.token_update(&[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }

    async fn declarative(&self, endpoint: &str, data: Option<&str>) -> Answer {
        let mut entries = vec![("Endpoint", Value::from(endpoint))];
        entries.extend(data.map(|data| ("Data", Value::Data(data.as_bytes().to_vec()))));
        self.check_in("DeclarativeManagement", &entries).await
    }

    async fn items(&self) -> Json {
        read(&self.declarative("declaration-items", None).await)
    }

    async fn token(&self) -> String {
        let tokens = read(&self.declarative("tokens", None).await);
        tokens["SyncTokens"]["DeclarationsToken"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Does what is queued; gives the kinds of command.
    async fn drain(&self) -> Vec<String> {
        let mut done = Vec::new();
        let mut next = self.report(&[("Status", "Idle".into())]).await.command();
        while let Some((kind, uuid)) = next {
            done.push(kind);
            let entries = [("Status", "Acknowledged".into()), ("CommandUUID", uuid.into())];
            next = self.report(&entries).await.command();
        }
        done
    }
}

fn read(answer: &Answer) -> Json {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// A manifest with something for the device, and this for its users.
fn shared(token: &str, for_users: &[(&str, &str)]) -> Arc<Manifest> {
    let declarations = for_users.iter().map(|(identifier, server_token)| Declaration {
        section: Section::Configurations,
        identifier: (*identifier).into(),
        server_token: (*server_token).into(),
        body: json!({"Identifier": identifier, "ServerToken": server_token})
            .to_string()
            .into(),
    });
    let plain = Manifest::clone(&manifest(token, &[("of-device", "d-1")]));
    Arc::new(plain.with_users(declarations.collect()))
}

fn holding(identifier: &str, token: &str) -> String {
    let held = json!([{"identifier": identifier, "server-token": token, "active": true, "valid": "valid"}]);
    let declarations = json!({"activations": [], "assets": [], "management": [], "configurations": held});
    json!({"StatusItems": {"management": {"declarations": declarations}}, "FullReport": true}).to_string()
}

#[tokio::test]
async fn a_user_syncs_what_is_for_users_and_proves_it_for_themselves() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let told = shared("t-1", &[("mail", "s-1")]);
    world.point(&device, &told).await;
    let user = User::of_mac(&device);
    user.begin().await;
    assert_eq!(
        user.drain().await,
        ["DeclarativeManagement"],
        "called as they come"
    );

    let token = user.token().await;
    let items = user.items().await;
    assert_eq!(items["DeclarationsToken"], token.as_str());
    assert_eq!(
        items["Declarations"]["Configurations"],
        json!([{"Identifier": "mail", "ServerToken": "s-1"}])
    );
    let of_device = read(&device.declarative("tokens", None).await);
    assert_ne!(of_device["SyncTokens"]["DeclarationsToken"], token.as_str());
    let mail = read(&user.declarative("declaration/configuration/mail", None).await);
    assert_eq!(mail["ServerToken"], "s-1");
    // Each channel has its own, and nothing of the other.
    let theirs = user
        .declarative("declaration/configuration/of-device", None)
        .await;
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
    let its = device.declarative("declaration/configuration/mail", None).await;
    assert_eq!(its.status, StatusCode::NOT_FOUND);

    let report = holding("mail", "s-1");
    assert_eq!(
        user.declarative("status", Some(&report)).await.status,
        StatusCode::OK
    );
    let applied = async |id| {
        world
            .store
            .enrollment(id)
            .await
            .unwrap()
            .unwrap()
            .applied_manifest
    };
    assert_eq!(applied(&user.id).await, Some(told.id));
    assert_eq!(
        applied(&device.id()).await,
        None,
        "a user proves nothing of the device"
    );
    let facts = world.store.facts(&user.id).await.unwrap();
    assert!(
        facts.declarations.contains_key("mail"),
        "what they report is kept"
    );
    let facts = world.store.facts(&device.id()).await.unwrap();
    assert!(facts.declarations.is_empty(), "with them alone");
    let odd = user.declarative("status", Some("[]")).await;
    assert_eq!(odd.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn users_are_called_when_their_device_is_told_of_something_new_for_them_and_only_then() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let user = User::of_mac(&device);
    user.begin().await;
    assert_eq!(
        user.drain().await,
        Vec::<String>::new(),
        "there is nothing for them"
    );
    let move_to = async |manifest: &Arc<Manifest>| {
        world.point(&device, manifest).await;
        read(&device.declarative("declaration-items", None).await);
        user.drain().await
    };
    let called = ["DeclarativeManagement"];
    assert_eq!(move_to(&shared("t-1", &[("mail", "s-1")])).await, called);
    let first = user.token().await;
    user.items().await;
    // Something new for the device alone.
    assert_eq!(
        move_to(&shared("t-2", &[("mail", "s-1")])).await,
        Vec::<String>::new()
    );
    assert_eq!(user.token().await, first);
    assert_eq!(move_to(&shared("t-2", &[("mail", "s-2")])).await, called);
    assert_ne!(user.token().await, first);
    // What the user was told of is served until they are told of another.
    let mail = async || read(&user.declarative("declaration/configuration/mail", None).await);
    assert_eq!(mail().await["ServerToken"], "s-1");
    user.items().await;
    assert_eq!(mail().await["ServerToken"], "s-2");
    // And when there is no more for them, they are told that.
    assert_eq!(move_to(&shared("t-3", &[])).await, called);
    assert_eq!(user.token().await, "provost-empty");
    assert_eq!(user.items().await["Declarations"]["Configurations"], json!([]));
}

#[tokio::test]
async fn each_user_of_a_shared_ipad_holds_the_same_and_proves_it_alone() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let told = shared("t-1", &[("mail", "s-1")]);
    world.point(&device, &told).await;
    let first = of_shared_ipad(&device, "m@school.example");
    let second = of_shared_ipad(&device, "n@school.example");
    for user in [&first, &second] {
        user.begin().await;
        assert_eq!(
            user.items().await["Declarations"]["Configurations"][0]["Identifier"],
            "mail"
        );
    }
    first.declarative("status", Some(&holding("mail", "s-1"))).await;
    let applied = async |id| {
        world
            .store
            .enrollment(id)
            .await
            .unwrap()
            .unwrap()
            .applied_manifest
    };
    assert_eq!(applied(&first.id).await, Some(told.id));
    assert_eq!(applied(&second.id).await, None);
    // One who has not begun holds nothing.
    let stranger = of_shared_ipad(&device, "o@school.example");
    assert_eq!(stranger.token().await, "provost-empty");
    let refused = stranger.declarative("declaration/configuration/mail", None).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
}
