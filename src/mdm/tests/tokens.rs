//! Tokens of other services, and push topics that nobody can push to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use axum::http::StatusCode;
use jiff::Timestamp;
use plist::Value;

use super::world::{Answer, Device, TOPIC, World, dictionary};
use crate::mdm::checkin::TokenRequest;
use crate::mdm::gateway::token_service::{TokenService, TokenServiceError};
use crate::secret::Secret;
use crate::store::Enrollment;

const UDID: &str = "A0000000-0000-4000-8000-000000000001";

/// Pairs watches with the one phone it knows.
struct Pairing;

#[async_trait]
impl TokenService for Pairing {
    async fn issue(
        &self,
        enrollment: &Enrollment,
        request: &TokenRequest,
        _now: Timestamp,
    ) -> Result<Option<Secret<Vec<u8>>>, TokenServiceError> {
        match request.phone_udid.as_deref() {
            Some("down") => Err(TokenServiceError("it is down".into())),
            Some(phone) if phone == enrollment.id.as_str() => Ok(request
                .security_token
                .as_ref()
                .map(|token| Secret::new(token.clone().into_bytes()))),
            _ => Ok(None),
        }
    }
}

async fn pair(device: &Device, phone: &str) -> Answer {
    let parameters = dictionary(&[("PhoneUDID", phone.into()), ("SecurityToken", "S-1".into())]);
    let service = Value::from("com.apple.watch.pairing");
    let entries = [("TokenServiceType", service), ("TokenParameters", parameters)];
    device.check_in("GetToken", &entries).await
}

#[tokio::test]
async fn a_token_is_had_where_its_service_is_and_declined_without_harm_elsewhere() {
    let world = World::with_gateway(|gateway| {
        gateway.with_token_service("com.apple.watch.pairing", Arc::new(Pairing))
    });
    let device = world.enrolled(UDID).await;
    let given = pair(&device, UDID).await;
    assert_eq!(given.status, StatusCode::OK, "{}", given.text());
    insta::assert_snapshot!(given.text(), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
    <plist version="1.0">
    <dict>
    	<key>TokenData</key>
    	<data>
    	Uy0x
    	</data>
    </dict>
    </plist>
    "#);
    assert_eq!(pair(&device, "another").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        pair(&device, "down").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let maid = [("TokenServiceType", Value::from("com.apple.maid"))];
    for entries in [&maid[..], &[]] {
        let declined = device.check_in("GetToken", entries).await;
        assert_eq!(declined.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(device.drain().await.len(), 3, "the enrolment goes on");
}

#[tokio::test]
async fn a_topic_that_nobody_can_push_to_raises_an_alarm() {
    let foreign = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&foreign);
    let world = World::with_gateway(|gateway| {
        gateway.with_topics(move |topic| {
            let held = topic.as_str() == TOPIC;
            counted.fetch_add(u64::from(!held), Ordering::Relaxed);
            held
        })
    });
    let device = world.enrolled(UDID).await;
    assert_eq!(foreign.load(Ordering::Relaxed), 0);
    let entries = [
        ("Topic", "com.apple.mgmt.External.another".into()),
        ("Token", Value::Data(vec![7; 32])),
        ("PushMagic", "M-1".into()),
    ];
    let answer = device.check_in("TokenUpdate", &entries).await;
    assert_eq!(
        answer.status,
        StatusCode::OK,
        "that is our fault, not the device's"
    );
    assert_eq!(foreign.load(Ordering::Relaxed), 1);
}
