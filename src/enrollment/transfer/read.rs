//! A line, read strictly.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use zeroize::Zeroize as _;

use super::fields::{
    BOOTSTRAP_TOKEN, CERTIFICATE, CERTIFICATE_SHA256, ENROLLMENT_ID, FIELDS, FIELDS_OF_USERS, LABELS,
    NAMESPACE, NOT_OF_PERSONAL_DEVICES, OS_VERSION, PRODUCT_NAME, PUSH_MAGIC, PUSH_TOKEN, SERIAL_NUMBER,
    SUPERVISED, TOPIC, UDID, UNLOCK_TOKEN,
};
use super::record::{Record, TokenAndMagic};
use crate::enrollment::invitation::check_labels;
use crate::ids::{Digest, EnrollmentId, IdError};
use crate::mdm::checkin::{ESCROW_LIMIT, PUSH_MAGIC_LIMIT, PUSH_TOKEN_LIMIT, TEXT_LIMIT};
use crate::pki::certificate;
use crate::secret::Secret;
use crate::suggest;

/// The longest line, in bytes: the largest tokens and a certificate fit twice.
pub const LINE_LIMIT: usize = 512 * 1024;

/// Characters of an unknown field's name that are repeated.
const NAME_SHOWN: usize = 64;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// In which field. None: in the line as a whole.
    pub field: Option<String>,
    /// What, for people.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{field}: {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

impl Mistake {
    /// One of the line as a whole.
    pub fn of_line(problem: impl Into<String>) -> Self {
        Self {
            field: None,
            problem: problem.into(),
        }
    }

    /// One of a field.
    pub fn of(field: &str, problem: impl Into<String>) -> Self {
        Self {
            field: Some(field.to_owned()),
            problem: problem.into(),
        }
    }
}

impl Record {
    /// Reads a line.
    ///
    /// # Errors
    /// The first mistake in it.
    pub fn read(line: &str) -> Result<Self, Mistake> {
        if line.len() > LINE_LIMIT {
            return Err(too_long());
        }
        // What serde_json says may repeat what it has read.
        let fields: Fields = serde_json::from_str(line).map_err(|error| {
            Mistake::of_line(match error.classify() {
                serde_json::error::Category::Data => "it is no JSON object".to_owned(),
                _ => format!("it is not JSON: there is a mistake at column {}", error.column()),
            })
        })?;
        read(fields)
    }
}

pub(super) fn too_long() -> Mistake {
    Mistake::of_line(format!("it is longer than the {LINE_LIMIT} bytes allowed"))
}

/// The fields of a line that have a value. `null` is none.
struct Fields {
    values: BTreeMap<String, Value>,
    /// The first that stands there more than once.
    twice: Option<String>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Fields {
                    values: BTreeMap::new(),
                    twice: None,
                };
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if fields.values.insert(name.clone(), value).is_some() {
                        fields.twice.get_or_insert(name);
                    }
                }
                fields.values.retain(|_, value| !value.is_null());
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Fields {
    fn has(&self, field: &str) -> bool {
        self.values.contains_key(field)
    }

    fn text(&mut self, field: &str) -> Result<Option<String>, Mistake> {
        match self.values.remove(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Mistake::of(field, "it has to be a string")),
        }
    }

    /// A text of which nothing is known but that it is not long.
    fn short_text(&mut self, field: &str, limit: usize) -> Result<Option<String>, Mistake> {
        let Some(text) = self.text(field)? else {
            return Ok(None);
        };
        if text.is_empty() || text.len() > limit || text.chars().any(char::is_control) {
            let problem = format!("it has to have 1 to {limit} bytes, and no control characters");
            return Err(Mistake::of(field, problem));
        }
        Ok(Some(text))
    }

    fn parsed<T>(
        &mut self,
        field: &str,
        parse: impl FnOnce(&str) -> Result<T, IdError>,
    ) -> Result<Option<T>, Mistake> {
        let text = self.text(field)?;
        let parsed = text.map(|text| parse(&text).map_err(|error| Mistake::of(field, error.to_string())));
        parsed.transpose()
    }

    fn flag(&mut self, field: &str) -> Result<Option<bool>, Mistake> {
        match self.values.remove(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(_) => Err(Mistake::of(field, "it has to be true or false")),
        }
    }

    fn bytes(&mut self, field: &str, limit: usize) -> Result<Option<Secret<Vec<u8>>>, Mistake> {
        let Some(mut text) = self.text(field)? else {
            return Ok(None);
        };
        let decoded = STANDARD.decode(text.as_bytes());
        let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        text.zeroize();
        let wrong = |problem: String| Err(Mistake::of(field, problem));
        match decoded {
            // The sixty-four digits of a usual push token can be read as base64, and mean something else then.
            _ if is_hex => wrong("it looks like hexadecimal digits; it has to be base64".to_owned()),
            Err(_) => wrong("it is not base64 (with `+`, `/` and padding)".to_owned()),
            Ok(bytes) if bytes.is_empty() => {
                wrong("it is empty; leave the field out where there is none".to_owned())
            }
            Ok(bytes) if bytes.len() > limit => wrong(format!(
                "it has {} bytes, more than the {limit} allowed",
                bytes.len()
            )),
            Ok(bytes) => Ok(Some(Secret::new(bytes))),
        }
    }

    fn labels(&mut self) -> Result<BTreeMap<String, String>, Mistake> {
        let wrong = || Mistake::of(LABELS, "it has to be an object of strings");
        let labels = match self.values.remove(LABELS) {
            None => return Ok(BTreeMap::new()),
            Some(Value::Object(labels)) => labels,
            Some(_) => return Err(wrong()),
        };
        let labels = labels.into_iter().map(|(key, value)| match value {
            Value::String(value) => Ok((key, value)),
            _ => Err(wrong()),
        });
        let labels: BTreeMap<String, String> = labels.collect::<Result<_, _>>()?;
        check_labels(&labels).map_err(|error| Mistake::of(LABELS, error.to_string()))?;
        Ok(labels)
    }

    /// The fingerprint of the certificate, by itself or by the certificate.
    fn certificate(&mut self) -> Result<Option<Digest>, Mistake> {
        let pem = self.text(CERTIFICATE)?;
        let digits = self.text(CERTIFICATE_SHA256)?;
        let by_pem = pem.map(|pem| {
            certificate::fingerprint_of_pem(&pem).map_err(|error| Mistake::of(CERTIFICATE, error.to_string()))
        });
        let by_digits = digits.map(|digits| {
            // `openssl x509 -fingerprint` writes a colon after every byte.
            Digest::from_hex(&digits.replace(':', ""))
                .ok_or_else(|| Mistake::of(CERTIFICATE_SHA256, "a SHA-256 digest has 64 hexadecimal digits"))
        });
        let (by_pem, by_digits) = (by_pem.transpose()?, by_digits.transpose()?);
        match (by_pem, by_digits) {
            (Some(one), Some(other)) if one != other => Err(Mistake::of(
                CERTIFICATE_SHA256,
                format!("it is not the digest of `{CERTIFICATE}`; give one of them"),
            )),
            (one, other) => Ok(one.or(other)),
        }
    }
}

fn read(mut fields: Fields) -> Result<Record, Mistake> {
    check_names(&fields)?;
    let personal = fields.has(ENROLLMENT_ID);
    let id = match (fields.has(UDID), personal) {
        (true, true) => {
            return Err(Mistake::of(
                ENROLLMENT_ID,
                format!("a device has either this or `{UDID}`"),
            ));
        }
        (false, true) => fields.parsed(ENROLLMENT_ID, EnrollmentId::parse_with_user)?,
        _ => fields.parsed(UDID, EnrollmentId::parse_with_user)?,
    };
    let id = id.ok_or_else(|| Mistake::of_line(format!("it has neither `{UDID}` nor `{ENROLLMENT_ID}`")))?;
    check_kind(&fields, &id, personal)?;
    let record = Record {
        personal,
        serial_number: fields.parsed(SERIAL_NUMBER, crate::ids::SerialNumber::parse)?,
        topic: fields.parsed(TOPIC, crate::ids::PushTopic::parse)?,
        push: push(&mut fields)?,
        unlock_token: fields.bytes(UNLOCK_TOKEN, ESCROW_LIMIT)?,
        bootstrap_token: fields.bytes(BOOTSTRAP_TOKEN, ESCROW_LIMIT)?,
        certificate: fields.certificate()?,
        os_version: fields.short_text(OS_VERSION, TEXT_LIMIT)?,
        product_name: fields.short_text(PRODUCT_NAME, TEXT_LIMIT)?,
        supervised: fields.flag(SUPERVISED)?,
        namespace: fields.parsed(NAMESPACE, crate::ids::Namespace::parse)?,
        labels: fields.labels()?,
        id,
    };
    if record.push.is_some() && record.topic.is_none() {
        return Err(Mistake::of(
            TOPIC,
            format!("it is missing; a `{PUSH_TOKEN}` is good for one topic"),
        ));
    }
    if record.certificate.is_none() && !record.id.is_user() {
        return Err(Mistake::of_line(format!(
            "it has neither `{CERTIFICATE}` nor `{CERTIFICATE_SHA256}`, by which the device is known"
        )));
    }
    if personal && record.supervised == Some(true) {
        return Err(Mistake::of(SUPERVISED, "a personal device is not supervised"));
    }
    Ok(record)
}

fn check_names(fields: &Fields) -> Result<(), Mistake> {
    if let Some(unknown) = fields.values.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let shown: String = unknown.chars().take(NAME_SHOWN).collect();
        let advice = suggest::did_you_mean(unknown, FIELDS);
        return Err(Mistake::of(&shown, format!("there is no such field{advice}")));
    }
    match &fields.twice {
        Some(twice) => Err(Mistake::of(twice, "it is there more than once")),
        None => Ok(()),
    }
}

/// Whether all fields are such as the enrolment's kind has.
fn check_kind(fields: &Fields, id: &EnrollmentId, personal: bool) -> Result<(), Mistake> {
    let mut names = fields.values.keys().map(String::as_str);
    if id.is_user()
        && let Some(other) = names.find(|name| !FIELDS_OF_USERS.contains(name))
    {
        return Err(Mistake::of(
            other,
            "it belongs on the line of the device, not on that of its user",
        ));
    }
    if personal && let Some(other) = NOT_OF_PERSONAL_DEVICES.iter().find(|name| fields.has(name)) {
        let problem = format!("a personal device (`{ENROLLMENT_ID}`) does not have it");
        return Err(Mistake::of(other, problem));
    }
    Ok(())
}

/// Token and magic, which are of no use without each other.
fn push(fields: &mut Fields) -> Result<Option<TokenAndMagic>, Mistake> {
    let token = fields.bytes(PUSH_TOKEN, PUSH_TOKEN_LIMIT)?;
    let magic = fields.short_text(PUSH_MAGIC, PUSH_MAGIC_LIMIT)?.map(Secret::new);
    match (token, magic) {
        (Some(token), Some(magic)) => Ok(Some((token, magic))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(Mistake::of(
            PUSH_MAGIC,
            format!("it is missing; `{PUSH_TOKEN}` is of no use without it"),
        )),
        (None, Some(_)) => Err(Mistake::of(
            PUSH_TOKEN,
            format!("it is missing; `{PUSH_MAGIC}` is of no use without it"),
        )),
    }
}
