//! Users' channels: of Macs, of Shared iPads, of personal Macs; and what becomes of them with their device.

use axum::http::StatusCode;
use jiff::SignedDuration;
use plist::Value;

use super::world::{Answer, Device, TOPIC, World};
use crate::clock::Clock as _;
use crate::ids::{CommandUuid, EnrollmentId};
use crate::mdm::commands::Command;
use crate::mdm::gateway::{Gateway, NetworkUsers};
use crate::store::EnrollmentState;

const UDID: &str = "A0000000-0000-4000-8000-000000000001";
const USER: &str = "B0000000-0000-4000-8000-000000000001";
/// The id that all users of a Shared iPad have.
pub(super) const SHARED: &str = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF";

/// A user of a device, by the keys that say so.
pub(super) struct User<'d> {
    device: &'d Device,
    keys: Vec<(&'static str, Value)>,
    pub(super) id: EnrollmentId,
}

impl<'d> User<'d> {
    pub(super) fn new(device: &'d Device, keys: &[(&'static str, &str)], id: &str) -> Self {
        let keys = keys.iter().map(|(key, value)| (*key, Value::from(*value)));
        Self {
            device,
            keys: keys.collect(),
            id: EnrollmentId::parse_with_user(id).unwrap(),
        }
    }

    /// A user of a Mac.
    pub(super) fn of_mac(device: &'d Device) -> Self {
        let keys = [("UserID", USER), ("UserShortName", "m"), ("UserLongName", "M")];
        Self::new(device, &keys, &format!("{UDID}:{USER}"))
    }

    pub(super) async fn check_in(&self, kind: &str, entries: &[(&str, Value)]) -> Answer {
        self.device.check_in(kind, &[entries, &self.keys].concat()).await
    }

    pub(super) async fn token_update(&self, more: &[(&str, Value)]) -> Answer {
        let entries = [
            ("Topic", TOPIC.into()),
            ("Token", Value::Data(vec![9; 32])),
            ("PushMagic", "of the user".into()),
        ];
        self.check_in("TokenUpdate", &[&entries, more].concat()).await
    }

    pub(super) async fn report(&self, entries: &[(&str, Value)]) -> Answer {
        self.device.report(&[entries, &self.keys].concat()).await
    }

    async fn idle(&self) -> Answer {
        self.report(&[("Status", "Idle".into())]).await
    }

    async fn acknowledge(&self, uuid: &str) -> Answer {
        let status = ("Status", "Acknowledged".into());
        self.report(&[status, ("CommandUUID", uuid.into())]).await
    }
}

async fn enqueue(world: &World, id: &EnrollmentId, uuid: &str) -> bool {
    let now = world.clock.now();
    let uuid = CommandUuid::parse(uuid).unwrap();
    let command = Command::ProfileList { managed_only: false }.queued(
        id,
        uuid,
        None,
        now + SignedDuration::from_hours(1),
    );
    world.store.enqueue(vec![command], now).await.unwrap().is_empty()
}

#[tokio::test]
async fn a_user_of_a_mac_has_a_queue_and_a_push_address_of_their_own() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let user = User::of_mac(&device);
    assert_eq!(user.idle().await.command(), None, "not begun");
    assert_eq!(user.token_update(&[]).await.status, StatusCode::OK);

    let enrollment = world.store.enrollment(&user.id).await.unwrap().unwrap();
    assert_eq!(enrollment.state, EnrollmentState::Enrolled);
    assert_eq!(enrollment.namespace.as_str(), "fleet");
    let address = async |id| {
        let address = world.store.push_address(id).await.unwrap().unwrap();
        (address.token.reveal().clone(), address.magic.reveal().clone())
    };
    assert_eq!(address(&user.id).await, (vec![9; 32], "of the user".to_owned()));
    assert_eq!(address(&device.id()).await, (vec![7; 32], "M-1".to_owned()));

    assert!(enqueue(&world, &user.id, "c-user").await);
    let (kind, uuid) = user.idle().await.command().unwrap();
    assert_eq!((kind.as_str(), uuid.as_str()), ("ProfileList", "c-user"));
    // What the device says of a user's command, or another user does, changes nothing.
    assert_ne!(
        device.acknowledge("c-user", &[]).await.command().unwrap().1,
        "c-user"
    );
    assert_eq!(world.store.pending(&user.id).await.unwrap().len(), 1);
    assert_eq!(user.acknowledge("c-user").await.command(), None);
    assert_eq!(world.store.pending(&user.id).await.unwrap(), []);
    assert_eq!(device.drain().await.len(), 3, "the device's own questions");
    world.seen.flush(&*world.store).await.unwrap();
    assert!(world.store.last_seen(&user.id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_user_who_is_not_at_the_console_keeps_their_channel() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let user = User::of_mac(&device);
    for away in [false, true] {
        let answer = user.token_update(&[("NotOnConsole", away.into())]).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert!(enqueue(&world, &user.id, "c-1").await);
    assert!(user.idle().await.command().is_some());
}

#[tokio::test]
async fn users_of_a_shared_ipad_are_told_apart_by_their_accounts() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let pupil = |account: &str| {
        let keys = [("UserID", SHARED), ("UserShortName", account)];
        User::new(&device, &keys, &format!("{UDID}:{account}"))
    };
    let (first, second) = (pupil("m@school.example"), pupil("n@school.example"));
    for user in [&first, &second] {
        assert_eq!(user.token_update(&[]).await.status, StatusCode::OK);
        assert!(enqueue(&world, &user.id, "c-1").await);
    }
    assert!(first.idle().await.command().is_some());
    assert_eq!(first.acknowledge("c-1").await.command(), None);
    assert!(second.idle().await.command().is_some(), "theirs is still to do");
    let users = world.store.users(&device.id()).await.unwrap();
    assert_eq!(users.len(), 2);
    // Without the account nobody knows who it is.
    let nobody = User::new(&device, &[("UserID", SHARED)], UDID);
    assert_eq!(nobody.idle().await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_personal_mac_and_its_user_are_known_by_their_enrolment_ids() {
    const ID: &str = "E0000000-0000-4000-8000-000000000001";
    let world = World::new();
    let device = world.invited(ID).await;
    let personal = [("EnrollmentID", Value::from(ID))];
    let with = |entries: &[(&'static str, Value)]| [entries, &personal].concat();
    let serial = ("SerialNumber", "TESTSERIAL01".into());
    let begin = with(&[
        ("Topic", TOPIC.into()),
        ("ProductName", "Mac16,10".into()),
        serial,
    ]);
    let answer = device.check_in("Authenticate", &begin).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let unlock = ("UnlockToken", Value::Data(b"secret".to_vec()));
    let answer = device.token_update_saying(&with(&[unlock])).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
    assert_eq!(enrollment.serial_number, None, "never kept, even if told");
    assert!(!enrollment.unlock_token, "nor this");

    let keys = [("EnrollmentID", ID), ("EnrollmentUserID", "EU-1")];
    let user = User::new(&device, &keys, &format!("{ID}:EU-1"));
    assert_eq!(user.token_update(&[]).await.status, StatusCode::OK);
    assert!(enqueue(&world, &user.id, "c-1").await);
    assert!(user.idle().await.command().is_some());
    let token = with(&[("BootstrapToken", Value::Data(vec![1]))]);
    let refused = device.check_in("SetBootstrapToken", &token).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn network_users_are_declined_unless_they_are_wanted() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let user = User::of_mac(&device);
    let declined = user.check_in("UserAuthenticate", &[]).await;
    assert_eq!(declined.status, StatusCode::GONE);
    let nobody = device.check_in("UserAuthenticate", &[]).await;
    assert_eq!(nobody.status, StatusCode::BAD_REQUEST);

    let accepting = |gateway: Gateway| gateway.with_network_users(NetworkUsers::Accept);
    let world = World::with_gateway(accepting);
    let device = world.enrolled(UDID).await;
    let user = User::of_mac(&device);
    let challenge = user.check_in("UserAuthenticate", &[]).await;
    assert_eq!(challenge.status, StatusCode::OK);
    insta::assert_snapshot!(challenge.text(), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
    <plist version="1.0">
    <dict>
    	<key>DigestChallenge</key>
    	<string></string>
    </dict>
    </plist>
    "#);
    let answered = [("DigestResponse", Value::from(""))];
    let welcome = user.check_in("UserAuthenticate", &answered).await;
    assert_eq!((welcome.status, welcome.body.len()), (StatusCode::OK, 0));
    // In a User Enrollment it is forbidden, whatever is wanted.
    let keys = [("EnrollmentID", UDID), ("EnrollmentUserID", "EU-1")];
    let personal = User::new(&device, &keys, UDID);
    let declined = personal.check_in("UserAuthenticate", &[]).await;
    assert_eq!(declined.status, StatusCode::GONE);
}

#[tokio::test]
async fn users_go_with_their_device_and_begin_anew_with_it() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let user = User::of_mac(&device);
    user.token_update(&[]).await;
    assert!(enqueue(&world, &user.id, "c-1").await);
    device.enroll().await;
    assert_eq!(world.store.pending(&user.id).await.unwrap(), []);
    assert!(world.store.push_address(&user.id).await.unwrap().is_none());
    assert_eq!(user.idle().await.command(), None, "it has not begun again");

    user.token_update(&[]).await;
    assert!(enqueue(&world, &user.id, "c-2").await);
    device.check_in("CheckOut", &[]).await;
    assert_eq!(world.store.pending(&user.id).await.unwrap(), []);
    assert!(world.store.push_address(&user.id).await.unwrap().is_none());
    assert!(!enqueue(&world, &user.id, "c-3").await);
    for answer in [user.idle().await, user.token_update(&[]).await] {
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn a_user_changes_nothing_of_the_devices() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let user = User::of_mac(&device);
    user.token_update(&[]).await;
    let tokens = user
        .check_in("DeclarativeManagement", &[("Endpoint", "tokens".into())])
        .await;
    assert!(tokens.text().contains("provost-empty"), "{}", tokens.text());
    let token = [("BootstrapToken", Value::Data(vec![1]))];
    for (kind, entries) in [
        ("Authenticate", &[("Topic", TOPIC.into())][..]),
        ("SetBootstrapToken", &token),
        ("GetBootstrapToken", &[]),
    ] {
        let answer = user.check_in(kind, entries).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{kind}");
    }
    assert_eq!(user.check_in("CheckOut", &[]).await.status, StatusCode::OK);
    let state = async |id| world.store.enrollment(id).await.unwrap().unwrap().state;
    assert_eq!(state(&user.id).await, EnrollmentState::Ended);
    assert_eq!(state(&device.id()).await, EnrollmentState::Enrolled);
    assert_eq!(device.drain().await.len(), 3);
}

#[tokio::test]
async fn a_device_that_is_to_go_has_nothing_more_for_its_users() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let user = User::of_mac(&device);
    user.token_update(&[]).await;
    assert!(enqueue(&world, &user.id, "c-1").await);
    let now = world.clock.now();
    assert!(
        world
            .store
            .remove_at_next_contact(&device.id(), now)
            .await
            .unwrap()
    );
    assert_eq!(user.idle().await.command(), None);
    assert_eq!(user.token_update(&[]).await.status, StatusCode::OK);
    let (kind, _) = device.idle().await.command().unwrap();
    assert_eq!(kind, "RemoveProfile");
}
