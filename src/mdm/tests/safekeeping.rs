//! Bootstrap and unlock tokens: kept for their device, shown to nobody, gone with the enrolment.

use axum::http::StatusCode;
use plist::Value;

use super::world::{Device, World};
use crate::mdm::plist::read_dictionary;
use crate::store::Escrow;

const UDID: &str = "A0000000-0000-4000-8000-000000000001";
const OTHER: &str = "A0000000-0000-4000-8000-000000000002";

async fn hand_over(device: &Device, token: &[u8]) {
    let token = [("BootstrapToken", Value::Data(token.to_vec()))];
    let answer = device.check_in("SetBootstrapToken", &token).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
}

/// What a device gets back.
async fn token(device: &Device) -> Option<Vec<u8>> {
    let answer = device.check_in("GetBootstrapToken", &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    if answer.body.is_empty() {
        return None;
    }
    let reply = read_dictionary(&answer.body).unwrap();
    Some(reply.get("BootstrapToken")?.as_data()?.to_vec())
}

/// Whether the bootstrap token and the unlock token are said to be there.
async fn shown(world: &World, device: &Device) -> (bool, bool) {
    let enrollment = world.store.enrollment(&device.id()).await.unwrap().unwrap();
    (enrollment.bootstrap_token, enrollment.unlock_token)
}

#[tokio::test]
async fn a_mac_gets_back_the_bootstrap_token_that_it_gave_and_no_other_does() {
    let world = World::new();
    let (device, other) = (world.enrolled(UDID).await, world.enrolled(OTHER).await);
    assert_eq!(token(&device).await, None, "none is no error");
    hand_over(&device, &[0, 1, 2]).await;
    let reply = device.check_in("GetBootstrapToken", &[]).await;
    insta::assert_snapshot!(reply.text(), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
    <plist version="1.0">
    <dict>
    	<key>BootstrapToken</key>
    	<data>
    	AAEC
    	</data>
    </dict>
    </plist>
    "#);
    hand_over(&device, b"second").await;
    assert_eq!(token(&device).await.as_deref(), Some(&b"second"[..]));
    assert_eq!(token(&other).await, None);
    // In the name of another it is asked for in vain.
    let stolen = other
        .check_in("GetBootstrapToken", &[("UDID", UDID.into())])
        .await;
    assert_eq!(stolen.status, StatusCode::BAD_REQUEST);
    assert!(!stolen.text().contains("second"));
    assert_eq!(shown(&world, &device).await, (true, false));
    assert_eq!(shown(&world, &other).await, (false, false));
}

#[tokio::test]
async fn an_absent_or_empty_bootstrap_token_is_deleted_and_nonsense_is_not_taken_for_one() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    for taken_back in [vec![], vec![("BootstrapToken", Value::Data(vec![]))]] {
        hand_over(&device, b"token").await;
        for nonsense in ["text".into(), false.into(), Value::Data(vec![0; 65 * 1024])] {
            let answer = device
                .check_in("SetBootstrapToken", &[("BootstrapToken", nonsense)])
                .await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        }
        assert!(token(&device).await.is_some());
        let answer = device.check_in("SetBootstrapToken", &taken_back).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(token(&device).await, None);
        assert_eq!(shown(&world, &device).await, (false, false));
    }
}

#[tokio::test]
async fn an_unlock_token_stays_until_another_comes() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let unlock = async || {
        let token = world
            .store
            .escrow(&device.id(), Escrow::UnlockToken)
            .await
            .unwrap();
        token.map(|token| token.reveal().clone())
    };
    let tell = async |token: Option<Value>| {
        let entries: Vec<_> = token.map(|token| ("UnlockToken", token)).into_iter().collect();
        let answer = device.token_update_saying(&entries).await;
        assert_eq!(answer.status, StatusCode::OK);
    };
    assert_eq!(unlock().await, None);
    tell(Some(Value::Data(b"first".to_vec()))).await;
    // None of these says that there is none any more.
    for nothing in [None, Some(Value::Data(vec![])), Some("text".into())] {
        tell(nothing).await;
        assert_eq!(unlock().await.as_deref(), Some(&b"first"[..]));
    }
    // Too large to be kept, but no reason to do without the push address.
    tell(Some(Value::Data(vec![0; 65 * 1024]))).await;
    assert_eq!(unlock().await.as_deref(), Some(&b"first"[..]));
    tell(Some(Value::Data(b"second".to_vec()))).await;
    assert_eq!(unlock().await.as_deref(), Some(&b"second"[..]));
    assert_eq!(shown(&world, &device).await, (false, true));
}

#[tokio::test]
async fn tokens_survive_everything_but_the_end_of_the_enrolment() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let give = async || {
        hand_over(&device, b"token").await;
        let unlock = ("UnlockToken", Value::Data(b"unlock".to_vec()));
        device.token_update_saying(&[unlock]).await;
        assert_eq!(shown(&world, &device).await, (true, true));
    };
    give().await;
    device.drain().await;
    device.token_update().await;
    assert_eq!(token(&device).await.as_deref(), Some(&b"token"[..]));
    // Whoever enrols is another device now, even under the old name.
    device.enroll().await;
    assert_eq!(shown(&world, &device).await, (false, false));
    assert_eq!(token(&device).await, None);
    give().await;
    device.check_in("CheckOut", &[]).await;
    assert_eq!(shown(&world, &device).await, (false, false));
    let refused = device.check_in("GetBootstrapToken", &[]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
}
