//! Setup Assistant: who waits is let go when all is in place, and in time.

use axum::http::StatusCode;
use plist::Value;

use super::world::{Device, TOPIC, World};
use crate::clock::Clock as _;
use crate::ids::EnrollmentId;
use crate::mdm::commands::Command;
use crate::mdm::gateway::setup::{self, PATIENCE};

const UDID: &str = "A0000000-0000-4000-8000-000000000001";

fn awaiting(says: bool) -> [(&'static str, Value); 1] {
    [("AwaitingConfiguration", says.into())]
}

/// A device in Setup Assistant.
async fn in_setup(world: &World) -> Device {
    let device = world.invited(UDID).await;
    device.authenticate().await;
    let answer = device.token_update_saying(&awaiting(true)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    device
}

async fn waits(world: &World, id: &EnrollmentId) -> bool {
    let enrollment = world.store.enrollment(id).await.unwrap().unwrap();
    enrollment.awaiting_configuration
}

#[tokio::test]
async fn that_a_device_waits_is_known_until_it_says_otherwise_or_is_told() {
    let world = World::new();
    let device = in_setup(&world).await;
    device.token_update().await;
    assert!(waits(&world, &device.id()).await, "nothing said, nothing changed");
    let nonsense = [("AwaitingConfiguration", Value::from("no"))];
    device.token_update_saying(&nonsense).await;
    assert!(waits(&world, &device.id()).await);
    device.token_update_saying(&awaiting(false)).await;
    assert!(!waits(&world, &device.id()).await);

    for status in ["Acknowledged", "Error"] {
        device.token_update_saying(&awaiting(true)).await;
        device.drain().await;
        world.enqueue(&device, &Command::DeviceConfigured, status).await;
        let (kind, uuid) = device.idle().await.command().unwrap();
        assert_eq!(kind, "DeviceConfigured");
        device.reply(&uuid, "NotNow", &[]).await;
        assert!(waits(&world, &device.id()).await);
        device.idle().await;
        device.reply(&uuid, status, &[]).await;
        assert!(!waits(&world, &device.id()).await, "{status}");
    }
}

#[tokio::test]
async fn nobody_waits_in_setup_assistant_for_ever() {
    let world = World::new();
    let device = in_setup(&world).await;
    let release = async || {
        let now = world.clock.now();
        setup::release_overdue(&*world.store, now).await.unwrap()
    };
    assert_eq!(release().await, 0, "there is time for what must be there first");
    // The plan's own word is stuck behind something that the device never can do.
    let now = world.clock.now();
    let chain = || Some("profiles".into());
    for (command, uuid) in [
        (Command::ProfileList { managed_only: false }, "c-1"),
        (Command::DeviceConfigured, "c-2"),
    ] {
        let uuid = crate::ids::CommandUuid::parse(uuid).unwrap();
        let command = command.queued(&device.id(), uuid, chain(), now + PATIENCE * 10);
        world.store.enqueue(vec![command], now).await.unwrap();
    }
    world.clock.advance(std::time::Duration::from_secs(601));
    let mut work = world.store.changes();
    assert_eq!(release().await, 1);
    let woken = crate::store::Change::Work(device.id());
    assert_eq!(work.recv().await.unwrap(), woken, "it is woken for that");
    assert_eq!(release().await, 1);
    let mut told = 0;
    let mut next = device.idle().await.command();
    while let Some((kind, uuid)) = next {
        told += usize::from(kind == "DeviceConfigured");
        let status = if kind == "ProfileList" {
            "NotNow"
        } else {
            "Acknowledged"
        };
        next = device.reply(&uuid, status, &[]).await.command();
    }
    assert_eq!(told, 1);
    assert!(!waits(&world, &device.id()).await);
    assert_eq!(release().await, 0);
}

#[tokio::test]
async fn a_user_of_a_shared_ipad_is_told_to_go_on() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let user = [
        ("UserID", Value::from("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF")),
        ("UserShortName", "m@school.example".into()),
    ];
    let token = [
        ("Topic", TOPIC.into()),
        ("Token", Value::Data(vec![9; 32])),
        ("PushMagic", "of the user".into()),
    ];
    let says = [&token[..], &user, &awaiting(true)].concat();
    for _ in 0..2 {
        let answer = device.check_in("TokenUpdate", &says).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    }
    let id = EnrollmentId::of_user(&device.id(), "m@school.example").unwrap();
    assert!(waits(&world, &id).await);
    assert!(!waits(&world, &device.id()).await);
    let report = async |entries: &[(&str, Value)]| device.report(&[entries, &user].concat()).await;
    let (kind, uuid) = report(&[("Status", "Idle".into())]).await.command().unwrap();
    assert_eq!(kind, "UserConfigured");
    let done = [
        ("Status", "Acknowledged".into()),
        ("CommandUUID", uuid.as_str().into()),
    ];
    assert_eq!(report(&done).await.command(), None, "told once");
    assert!(!waits(&world, &id).await);
}
