//! One enrolment, as a line tells it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::api::common::{EnrollmentMode, Platform};
use crate::ids::{Digest, EnrollmentId, Namespace, PushTopic, SerialNumber};
use crate::mdm::system::platform_of;
use crate::policy::OsVersion;
use crate::policy::platform::supports_declarations;
use crate::secret::Secret;
use crate::store::{Arrival, Enrollment, PushAddress};

/// A push token and what a push to it has to say.
pub(super) type TokenAndMagic = (Secret<Vec<u8>>, Secret<String>);

/// One enrolment. What a user's has is its id and its push address.
#[derive(Debug, Clone)]
pub struct Record {
    /// A device, or one of its users.
    pub id: EnrollmentId,
    /// Whether it is a personal device (or a user of one), which goes by an EnrollmentID.
    pub personal: bool,
    /// Hardware.
    pub serial_number: Option<SerialNumber>,
    /// The push topic of its MDM profile.
    pub topic: Option<PushTopic>,
    /// Its push token and push magic; where they are known, so is the topic.
    pub push: Option<TokenAndMagic>,
    /// What clears its passcode.
    pub unlock_token: Option<Secret<Vec<u8>>>,
    /// What authorises a Mac.
    pub bootstrap_token: Option<Secret<Vec<u8>>>,
    /// The SHA-256 of its identity certificate.
    pub certificate: Option<Digest>,
    /// The operating system's version.
    pub os_version: Option<String>,
    /// The model identifier.
    pub product_name: Option<String>,
    /// Whether it is supervised. None: nobody says.
    pub supervised: Option<bool>,
    /// The fleet. None: whichever the caller names.
    pub namespace: Option<Namespace>,
    /// Labels of the Device object.
    pub labels: BTreeMap<String, String>,
}

impl Record {
    /// What the store is told of it. `fleet` is that of records that name none.
    #[must_use]
    pub fn arrival(self, fleet: &Namespace) -> Arrival {
        let platform = self.platform();
        let os_version = self.os_version.unwrap_or_default();
        let mode = match self.supervised {
            _ if self.personal => EnrollmentMode::User,
            Some(true) => EnrollmentMode::Supervised,
            Some(false) | None => EnrollmentMode::Device,
        };
        Arrival {
            enrollment: self.id,
            namespace: self.namespace.unwrap_or_else(|| fleet.clone()),
            labels: self.labels,
            certificate: self.certificate,
            platform,
            mode,
            serial_number: self.serial_number,
            model: self.product_name,
            declarative: supports_declarations(platform, OsVersion::read(&os_version)),
            os_version,
            topic: self.topic.clone(),
            push: self
                .topic
                .zip(self.push)
                .map(|(topic, (token, magic))| PushAddress { topic, token, magic }),
            unlock_token: self.unlock_token,
            bootstrap_token: self.bootstrap_token,
        }
    }

    /// By the model, as at Authenticate. Where there is none, only Macs have bootstrap tokens.
    fn platform(&self) -> Platform {
        let by_model = self.product_name.as_deref().and_then(platform_of);
        let is_mac = self.bootstrap_token.is_some();
        by_model.unwrap_or(if is_mac { Platform::MacOS } else { Platform::IOS })
    }

    /// What is told of an enrolment, without its secrets.
    #[must_use]
    pub fn of(enrollment: &Enrollment, topic: Option<PushTopic>) -> Self {
        let personal = enrollment.mode == EnrollmentMode::User;
        let bare = Self {
            id: enrollment.id.clone(),
            personal,
            serial_number: None,
            topic,
            push: None,
            unlock_token: None,
            bootstrap_token: None,
            certificate: None,
            os_version: None,
            product_name: None,
            supervised: None,
            namespace: None,
            labels: BTreeMap::new(),
        };
        if enrollment.id.is_user() {
            return bare;
        }
        Self {
            serial_number: enrollment.serial_number.clone().filter(|_| !personal),
            certificate: Some(enrollment.certificate),
            os_version: Some(enrollment.os_version.clone()).filter(|version| !version.is_empty()),
            product_name: enrollment.model.clone(),
            supervised: (!personal).then_some(enrollment.mode == EnrollmentMode::Supervised),
            namespace: Some(enrollment.namespace.clone()),
            labels: enrollment.labels.clone(),
            ..bare
        }
    }

    /// The line, with its end. It is as secret as what is in it.
    #[must_use]
    pub fn line(&self) -> Secret<String> {
        let encoded = |secret: &Secret<Vec<u8>>| STANDARD.encode(secret.reveal());
        let id = self.id.as_str();
        let line = Line {
            udid: (!self.personal).then_some(id),
            enrollment_id: self.personal.then_some(id),
            serial_number: self.serial_number.as_ref(),
            topic: self.topic.as_ref(),
            push_token: self.push.as_ref().map(|(token, _)| encoded(token)),
            push_magic: self.push.as_ref().map(|(_, magic)| magic.reveal().as_str()),
            unlock_token: self.unlock_token.as_ref().map(encoded),
            bootstrap_token: self.bootstrap_token.as_ref().map(encoded),
            certificate_sha256: self.certificate,
            os_version: self.os_version.as_deref(),
            product_name: self.product_name.as_deref(),
            supervised: self.supervised,
            namespace: self.namespace.as_ref(),
            labels: &self.labels,
        };
        // Strings and booleans under string keys always become JSON.
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        Secret::new(text)
    }
}

/// The order of the fields in a line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    udid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enrollment_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<&'a SerialNumber>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a PushTopic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    push_magic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unlock_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bootstrap_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_sha256: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    supervised: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a Namespace>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
}
