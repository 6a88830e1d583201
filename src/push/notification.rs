//! The one notification that device management uses, and the meaning of the service's answers.
//!
//! Both adapters build their requests from [`MdmNotification`] and read answers through [`outcome`], in the request
//! and response types of `a2`, so that they cannot drift apart.

use std::fmt;
use std::time::Duration;

use a2::request::payload::PayloadLike;
use a2::{ErrorReason, NotificationOptions, Priority, PushType};
use jiff::Timestamp;
use serde::Serialize;

use super::port::{PushError, PushRequest};

/// The push that says "contact your server": body `{"mdm": PushMagic}`, nothing else.
#[derive(Serialize)]
pub struct MdmNotification<'a> {
    mdm: &'a str,
    #[serde(skip)]
    token: String,
    #[serde(skip)]
    options: NotificationOptions<'a>,
}

impl<'a> MdmNotification<'a> {
    /// The notification for `request`: push type `mdm`, priority 10, its topic and its expiration.
    #[must_use]
    pub fn new(request: &'a PushRequest) -> Self {
        Self {
            mdm: &request.push_magic,
            token: hex::encode(&request.token),
            options: NotificationOptions {
                apns_push_type: Some(PushType::Mdm),
                apns_priority: Some(Priority::High),
                apns_topic: Some(&request.topic),
                apns_expiration: Some(request.expiration.as_second().try_into().unwrap_or(0)),
                ..NotificationOptions::default()
            },
        }
    }
}

impl fmt::Debug for MdmNotification<'_> {
    /// `a2` traces its argument: token and magic stay out of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MdmNotification").finish_non_exhaustive()
    }
}

impl PayloadLike for MdmNotification<'_> {
    fn get_device_token(&self) -> &str {
        &self.token
    }

    fn get_options(&self) -> &NotificationOptions<'_> {
        &self.options
    }
}

/// What an answer of the service means. `after` is its `Retry-After`, where the adapter can see it.
///
/// # Errors
/// Every answer but 200 is a [`PushError`].
pub fn outcome(response: &a2::Response, after: Option<Duration>) -> Result<(), PushError> {
    let reason = response.error.as_ref().map(|body| &body.reason);
    let word = || reason.map_or_else(|| "no reason given".to_owned(), |reason| format!("{reason:?}"));
    match (response.code, reason) {
        (200, _) => Ok(()),
        (410, _) | (_, Some(ErrorReason::Unregistered | ErrorReason::ExpiredToken)) => {
            let since = response.error.as_ref().and_then(|body| body.timestamp);
            let since = since.and_then(|milliseconds| i64::try_from(milliseconds).ok());
            Err(PushError::Unregistered {
                reason: word(),
                since: since.and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok()),
            })
        }
        (_, Some(ErrorReason::BadDeviceToken | ErrorReason::DeviceTokenNotForTopic)) => {
            Err(PushError::AddressRefused { reason: word() })
        }
        (429, _) => Err(PushError::TooManyRequests { after }),
        (status @ 500.., _) => Err(PushError::Unavailable { status, after }),
        (status, _) => Err(PushError::Rejected {
            status,
            reason: word(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use a2::{ErrorBody, Response};

    fn response(code: u16, body: &str) -> Response {
        Response {
            error: serde_json::from_str(body).ok(),
            apns_id: None,
            apns_unique_id: None,
            code,
        }
    }

    #[test]
    fn the_body_is_the_magic_and_nothing_else() {
        let request = PushRequest {
            token: vec![0xAB, 0x01],
            push_magic: "M-\"1".to_owned(),
            topic: "com.apple.mgmt.External.t".to_owned(),
            expiration: Timestamp::from_second(86_400).unwrap(),
        };
        let notification = MdmNotification::new(&request);
        assert_eq!(notification.to_json_string().unwrap(), r#"{"mdm":"M-\"1"}"#);
        assert_eq!(notification.get_device_token(), "ab01");
        assert_eq!(notification.get_options().apns_expiration, Some(86_400));
        assert!(!format!("{notification:?} {request:?}").contains("M-"));
    }

    #[test]
    fn each_answer_asks_for_its_own_reaction() {
        let category = |code, body: &str| outcome(&response(code, body), None).map_err(|e| e.category());
        assert_eq!(category(200, ""), Ok(()));
        assert_eq!(
            category(410, r#"{"reason":"Unregistered","timestamp":1}"#),
            Err("unregistered")
        );
        assert_eq!(
            category(400, r#"{"reason":"BadDeviceToken"}"#),
            Err("address_refused")
        );
        assert_eq!(
            category(400, r#"{"reason":"DeviceTokenNotForTopic"}"#),
            Err("address_refused")
        );
        assert_eq!(category(410, r#"{"reason":"ExpiredToken"}"#), Err("unregistered"));
        assert_eq!(category(400, r#"{"reason":"BadTopic"}"#), Err("rejected"));
        assert_eq!(category(403, r#"{"reason":"BadCertificate"}"#), Err("rejected"));
        assert_eq!(category(400, "<html>"), Err("rejected"));
        assert_eq!(
            category(429, r#"{"reason":"TooManyRequests"}"#),
            Err("too_many_requests")
        );
        assert_eq!(category(500, ""), Err("unavailable"));
        assert_eq!(category(503, r#"{"reason":"Shutdown"}"#), Err("unavailable"));
    }

    #[test]
    fn a_dead_token_is_told_with_the_moment_in_milliseconds_since_which_it_is_dead() {
        let since = |body: &str| match outcome(&response(410, body), None) {
            Err(PushError::Unregistered { since, .. }) => since,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            since(r#"{"reason":"Unregistered","timestamp":1800000000500}"#),
            Some("2027-01-15T08:00:00.5Z".parse().unwrap())
        );
        assert_eq!(since(r#"{"reason":"Unregistered"}"#), None);
        assert_eq!(
            since(r#"{"reason":"Unregistered","timestamp":18446744073709551615}"#),
            None
        );
    }

    #[test]
    fn reasons_are_apples_words() {
        let body: ErrorBody = serde_json::from_str(r#"{"reason":"DeviceTokenNotForTopic"}"#).unwrap();
        let answer = Response {
            error: Some(body),
            apns_id: None,
            apns_unique_id: None,
            code: 400,
        };
        assert!(
            outcome(&answer, None)
                .unwrap_err()
                .to_string()
                .contains("DeviceTokenNotForTopic")
        );
    }
}
