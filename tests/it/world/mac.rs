//! A Mac by hand: it holds a key, and says what its story lets it say.

use std::sync::Arc;

use plist::{Dictionary, Value};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::caller::{Answer, Caller};
use super::server::{Server, provost};

/// Of a check-in message.
const CHECK_IN: &str = "Content-Type: application/x-apple-aspen-mdm-checkin\r\n";
/// Of a report.
const REPORT: &str = "Content-Type: application/x-apple-aspen-mdm\r\n";

/// A Mac with an identity.
pub(crate) struct Mac {
    pub(crate) udid: String,
    pub(crate) caller: Caller,
    topic: String,
    /// Its certificate and what vouches for it, PEM, and its key.
    identity: Arc<(String, KeyPair)>,
    /// What it was invited with.
    pub(crate) challenge: String,
    /// Its push token.
    pub(crate) token: Vec<u8>,
    /// What push messages to it say.
    pub(crate) magic: String,
}

impl Mac {
    /// Invites a Mac and lets it fetch its identity.
    pub(crate) async fn invited(server: &Server, udid: &str) -> Self {
        let data_dir = server.data_dir().to_str().unwrap();
        let options = ["--data-dir", data_dir, "--namespace", "default", "--udid", udid];
        let said = provost(&[&["enroll", "invite", "-o", "json"], options.as_slice()].concat()).await;
        let invitation: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, udid);
        let request = params.serialize_request(&key).unwrap();
        let challenge = invitation["challenge"].as_str().unwrap().to_owned();
        let bearer = format!("Authorization: Bearer {challenge}\r\n");
        let anonymous = Caller::of_devices(server, None);
        let answer = anonymous
            .send("POST /enroll/identity", &bearer, request.der())
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let identity = answer.json();
        let chain = identity["certificate"].as_str().unwrap();
        Self {
            udid: udid.to_owned(),
            caller: Caller::of_devices(server, Some((chain, &key))),
            topic: identity["mdm"]["topic"].as_str().unwrap().to_owned(),
            challenge,
            token: format!("token-of-{}", &udid[udid.len() - 23..]).into_bytes(),
            magic: format!("magic-of-{udid}"),
            identity: Arc::new((chain.to_owned(), key)),
        }
    }

    /// The same Mac, whose server has been replaced by another.
    pub(crate) fn moved_to(&self, server: &Server) -> Self {
        let (chain, key) = &*self.identity;
        Self {
            caller: Caller::of_devices(server, Some((chain, key))),
            ..self.spoken_by(&self.caller)
        }
    }

    /// Invites a Mac and lets it enrol.
    pub(crate) async fn enrolled(server: &Server, udid: &str) -> Self {
        let mac = Self::invited(server, udid).await;
        for answer in [mac.authenticate().await, mac.token_update().await] {
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        mac
    }

    /// The same words from the mouth of another.
    pub(crate) fn spoken_by(&self, caller: &Caller) -> Self {
        let (udid, topic, challenge) = (self.udid.clone(), self.topic.clone(), self.challenge.clone());
        Self {
            udid,
            caller: caller.clone(),
            topic,
            challenge,
            identity: self.identity.clone(),
            token: vec![6; 32],
            magic: "another magic".to_owned(),
        }
    }

    pub(crate) fn serial(&self) -> String {
        format!("TEST{}", &self.udid[28..])
    }

    pub(crate) async fn authenticate(&self) -> Answer {
        let entries = [
            ("Topic", self.topic.as_str()),
            ("SerialNumber", &self.serial()),
            ("ProductName", "Mac16,10"),
            ("OSVersion", "15.4"),
            ("BuildVersion", "24E263"),
        ];
        self.check_in("Authenticate", &entries.map(|(key, value)| (key, value.into())))
            .await
    }

    pub(crate) async fn token_update(&self) -> Answer {
        self.check_in("TokenUpdate", &self.tokens()).await
    }

    /// Tells its push address, and a secret with it.
    pub(crate) async fn token_update_with(&self, key: &str, secret: &[u8]) -> Answer {
        let entries = [self.tokens().as_slice(), &[(key, Value::Data(secret.to_vec()))]].concat();
        self.check_in("TokenUpdate", &entries).await
    }

    fn tokens(&self) -> [(&'static str, Value); 3] {
        [
            ("Topic", self.topic.as_str().into()),
            ("Token", Value::Data(self.token.clone())),
            ("PushMagic", self.magic.as_str().into()),
        ]
    }

    pub(crate) async fn declarative(&self, endpoint: &str) -> Answer {
        self.check_in("DeclarativeManagement", &[("Endpoint", endpoint.into())])
            .await
    }

    pub(crate) async fn check_in(&self, kind: &str, entries: &[(&str, Value)]) -> Answer {
        let entries = [entries, &[("MessageType", kind.into())]].concat();
        self.put("PUT /mdm/checkin", CHECK_IN, &entries).await
    }

    pub(crate) async fn report(&self, status: &str, entries: &[(&str, Value)]) -> Answer {
        let entries = [entries, &[("Status", status.into())]].concat();
        self.put("PUT /mdm", REPORT, &entries).await
    }

    /// Bytes instead of a message, as a report and as a check-in message.
    pub(crate) async fn blurt(&self, bytes: &[u8]) -> [u16; 2] {
        let report = self.caller.send("PUT /mdm", REPORT, bytes).await;
        let check_in = self.caller.send("PUT /mdm/checkin", CHECK_IN, bytes).await;
        [report.status, check_in.status]
    }

    async fn put(&self, target: &str, headers: &str, entries: &[(&str, Value)]) -> Answer {
        let mut message: Dictionary = entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        message.insert("UDID".to_owned(), self.udid.as_str().into());
        let mut body = Vec::new();
        plist::to_writer_xml(&mut body, &message).unwrap();
        self.caller.send(target, headers, &body).await
    }

    /// Acknowledges what is pending, without saying more; gives the kinds of command.
    pub(crate) async fn drain(&self) -> Vec<String> {
        let mut kinds = Vec::new();
        let mut answer = self.report("Idle", &[]).await;
        loop {
            assert_eq!(answer.status, 200, "{}", answer.text());
            if answer.body.is_empty() {
                return kinds;
            }
            let whole: Dictionary = plist::from_bytes(&answer.body).unwrap();
            let command = whole["Command"].as_dictionary().unwrap();
            kinds.push(command["RequestType"].as_string().unwrap().to_owned());
            answer = self
                .report("Acknowledged", &[("CommandUUID", whole["CommandUUID"].clone())])
                .await;
        }
    }
}
