//! The tokens, what is pending for them, and the verdict on each request. No network here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// Requests that are remembered for tests; older ones are dropped.
const REMEMBERED: usize = 64;

/// A device, as the push service sees it.
pub trait PushSink: Send + Sync + 'static {
    /// A push has arrived. Called on the service's task: must return at once.
    fn deliver(&self, push: &Delivery);
}

/// What a device receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The body's `mdm` value, which the device compares with the magic it has given out.
    pub push_magic: String,
}

/// A request as it arrived, for tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceivedPush {
    /// The path's token, as written.
    pub token: String,
    /// `apns-topic`.
    pub topic: String,
    /// `apns-push-type`.
    pub push_type: String,
    /// `apns-priority`.
    pub priority: String,
    /// `apns-expiration`, seconds since 1970.
    pub expiration: String,
    /// The body, as text.
    pub body: String,
    /// Whether the provider presented a TLS certificate.
    pub client_certificate: bool,
}

/// Makes the next requests fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The HTTP status, such as 429 or 503.
    pub status: u16,
    /// Apple's word, such as `TooManyRequests`.
    pub reason: String,
    /// `Retry-After` in seconds, if any.
    pub retry_after: Option<u64>,
    /// How many requests fail.
    pub count: u32,
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) reason: Option<String>,
    pub(super) retry_after: Option<u64>,
    /// Since when a token is dead, in milliseconds since 1970.
    pub(super) timestamp: Option<u64>,
}

impl Answer {
    const OK: Self = Self {
        status: 200,
        reason: None,
        retry_after: None,
        timestamp: None,
    };

    pub(super) fn refuse(status: u16, reason: &str) -> Self {
        Self {
            status,
            reason: Some(reason.to_owned()),
            retry_after: None,
            timestamp: None,
        }
    }
}

struct Registration {
    topic: Arc<str>,
    sink: Arc<dyn PushSink>,
    connected: bool,
    pending: Option<Delivery>,
}

enum Token {
    Live(Registration),
    /// Was once live: Apple answers 410, not 400, and since when.
    Dead(u64),
}

#[derive(Default)]
struct State {
    delay: Duration,
    goodbye: Option<u32>,
    connections: u64,
    tokens: HashMap<Vec<u8>, Token>,
    fault: Option<Fault>,
    accepted: u64,
    recent: Vec<ReceivedPush>,
}

/// All tokens of the service.
#[derive(Default)]
pub(super) struct Registry(Mutex<State>);

impl Registry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn attach(&self, token: Vec<u8>, topic: Arc<str>, sink: Arc<dyn PushSink>) {
        let registration = Registration {
            topic,
            sink,
            connected: true,
            pending: None,
        };
        self.state().tokens.insert(token, Token::Live(registration));
    }

    pub(super) fn detach(&self, token: &[u8], since: u64) {
        if let Some(token) = self.state().tokens.get_mut(token) {
            *token = Token::Dead(since);
        }
    }

    pub(super) fn connect(&self, token: &[u8], connected: bool) {
        let waiting = match self.state().tokens.get_mut(token) {
            Some(Token::Live(registration)) => {
                registration.connected = connected;
                if connected {
                    registration
                        .pending
                        .take()
                        .map(|push| (Arc::clone(&registration.sink), push))
                } else {
                    None
                }
            }
            _ => None,
        };
        if let Some((sink, push)) = waiting {
            sink.deliver(&push);
        }
    }

    pub(super) fn fail(&self, fault: Option<Fault>) {
        self.state().fault = fault;
    }

    pub(super) fn slow(&self, delay: Duration) {
        self.state().delay = delay;
    }

    pub(super) fn delay(&self) -> Duration {
        self.state().delay
    }

    pub(super) fn say_goodbye_after(&self, requests: Option<u32>) {
        self.state().goodbye = requests;
    }

    /// Whether a connection has had its requests.
    pub(super) fn is_enough(&self, requests: u32) -> bool {
        self.state().goodbye.is_some_and(|enough| requests >= enough)
    }

    pub(super) fn connected(&self) {
        self.state().connections += 1;
    }

    pub(super) fn connections(&self) -> u64 {
        self.state().connections
    }

    pub(super) fn accepted(&self) -> u64 {
        self.state().accepted
    }

    pub(super) fn recent(&self) -> Vec<ReceivedPush> {
        self.state().recent.clone()
    }

    /// Judges one request and, if it is right, delivers or keeps the push.
    pub(super) fn receive(&self, push: &ReceivedPush) -> Answer {
        let mut state = self.state();
        if state.recent.len() >= REMEMBERED {
            state.recent.remove(0);
        }
        state.recent.push(push.clone());
        if let Some(answer) = state.injected() {
            return answer;
        }
        let (token, delivery) = match read(push) {
            Ok(read) => read,
            Err(answer) => return answer,
        };
        let sink = match state.tokens.get_mut(&token) {
            None => return Answer::refuse(400, "BadDeviceToken"),
            Some(Token::Dead(since)) => {
                return Answer {
                    timestamp: Some(*since),
                    ..Answer::refuse(410, "Unregistered")
                };
            }
            Some(Token::Live(registration)) if *registration.topic != *push.topic => {
                return Answer::refuse(400, "DeviceTokenNotForTopic");
            }
            Some(Token::Live(registration)) if registration.connected => Some(Arc::clone(&registration.sink)),
            Some(Token::Live(registration)) => {
                registration.pending = (push.expiration != "0").then(|| delivery.clone());
                None
            }
        };
        state.accepted += 1;
        drop(state);
        if let Some(sink) = sink {
            sink.deliver(&delivery);
        }
        Answer::OK
    }
}

impl State {
    fn injected(&mut self) -> Option<Answer> {
        let fault = self.fault.as_mut()?;
        fault.count = fault.count.checked_sub(1)?;
        Some(Answer {
            status: fault.status,
            reason: Some(fault.reason.clone()),
            retry_after: fault.retry_after,
            timestamp: None,
        })
    }
}

/// Checks a request's parts in the order in which Apple's service complains.
fn read(push: &ReceivedPush) -> Result<(Vec<u8>, Delivery), Answer> {
    let token = hex::decode(&push.token).map_err(|_| Answer::refuse(400, "BadDeviceToken"))?;
    if push.push_type != "mdm" {
        return Err(Answer::refuse(400, "InvalidPushType"));
    }
    if push.topic.is_empty() {
        return Err(Answer::refuse(400, "MissingTopic"));
    }
    if push.priority != "10" && push.priority != "5" {
        return Err(Answer::refuse(400, "BadPriority"));
    }
    // Apple treats a missing expiration as zero: the push is not kept.
    if !push.expiration.is_empty() && push.expiration.parse::<u64>().is_err() {
        return Err(Answer::refuse(400, "BadExpirationDate"));
    }
    let body: Value = serde_json::from_str(&push.body).map_err(|_| Answer::refuse(400, "PayloadEmpty"))?;
    match body
        .as_object()
        .filter(|object| object.len() == 1)
        .and_then(|object| object.get("mdm")?.as_str())
    {
        Some(push_magic) => Ok((
            token,
            Delivery {
                push_magic: push_magic.to_owned(),
            },
        )),
        None => Err(Answer::refuse(400, "PayloadEmpty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Phone(Mutex<Vec<String>>);

    impl PushSink for Phone {
        fn deliver(&self, push: &Delivery) {
            self.0.lock().unwrap().push(push.push_magic.clone());
        }
    }

    fn push(magic: &str) -> ReceivedPush {
        ReceivedPush {
            token: "0a0b".to_owned(),
            topic: "t".to_owned(),
            push_type: "mdm".to_owned(),
            priority: "10".to_owned(),
            expiration: "99".to_owned(),
            body: format!(r#"{{"mdm":"{magic}"}}"#),
            client_certificate: true,
        }
    }

    fn phone(registry: &Registry) -> Arc<Phone> {
        let phone = Arc::new(Phone(Mutex::default()));
        registry.attach(vec![10, 11], "t".into(), Arc::clone(&phone) as Arc<dyn PushSink>);
        phone
    }

    #[test]
    fn an_offline_device_gets_the_newest_push_once() {
        let registry = Registry::default();
        let phone = phone(&registry);
        registry.connect(&[10, 11], false);
        assert_eq!(registry.receive(&push("M-1")), Answer::OK);
        assert_eq!(registry.receive(&push("M-2")), Answer::OK);
        assert!(phone.0.lock().unwrap().is_empty());
        registry.connect(&[10, 11], true);
        registry.connect(&[10, 11], true);
        assert_eq!(*phone.0.lock().unwrap(), ["M-2"]);
    }

    #[test]
    fn a_push_without_expiration_is_lost_on_an_offline_device() {
        let registry = Registry::default();
        let phone = phone(&registry);
        registry.connect(&[10, 11], false);
        registry.receive(&ReceivedPush {
            expiration: "0".to_owned(),
            ..push("M-1")
        });
        registry.connect(&[10, 11], true);
        assert!(phone.0.lock().unwrap().is_empty());
    }

    #[test]
    fn each_mistake_has_apples_word() {
        let registry = Registry::default();
        phone(&registry);
        let reason = |push: ReceivedPush| registry.receive(&push).reason.unwrap_or_default();
        let right = || push("M");
        assert_eq!(reason(right()), "");
        assert_eq!(
            reason(ReceivedPush {
                token: "ff".to_owned(),
                ..right()
            }),
            "BadDeviceToken"
        );
        assert_eq!(
            reason(ReceivedPush {
                token: "zz".to_owned(),
                ..right()
            }),
            "BadDeviceToken"
        );
        assert_eq!(
            reason(ReceivedPush {
                topic: "u".to_owned(),
                ..right()
            }),
            "DeviceTokenNotForTopic"
        );
        assert_eq!(
            reason(ReceivedPush {
                topic: String::new(),
                ..right()
            }),
            "MissingTopic"
        );
        assert_eq!(
            reason(ReceivedPush {
                push_type: "alert".to_owned(),
                ..right()
            }),
            "InvalidPushType"
        );
        assert_eq!(
            reason(ReceivedPush {
                priority: "1".to_owned(),
                ..right()
            }),
            "BadPriority"
        );
        assert_eq!(
            reason(ReceivedPush {
                expiration: "soon".to_owned(),
                ..right()
            }),
            "BadExpirationDate"
        );
        let with_aps = r#"{"mdm":"M","aps":{}}"#.to_owned();
        assert_eq!(
            reason(ReceivedPush {
                body: with_aps,
                ..right()
            }),
            "PayloadEmpty"
        );
        registry.detach(&[10, 11], 7);
        let gone = registry.receive(&right());
        assert_eq!((gone.status, gone.timestamp), (410, Some(7)));
    }

    #[test]
    fn a_fault_lasts_for_its_count() {
        let registry = Registry::default();
        phone(&registry);
        let reason = "TooManyRequests".to_owned();
        registry.fail(Some(Fault {
            status: 429,
            reason,
            retry_after: Some(3),
            count: 1,
        }));
        assert_eq!(registry.receive(&push("M")).retry_after, Some(3));
        assert_eq!(registry.receive(&push("M")), Answer::OK);
    }
}
