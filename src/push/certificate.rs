//! The push certificate: reading it, and the topic it stands for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::secret::Secret;

/// The attribute of the subject that holds the topic (UID, 0.9.2342.19200300.100.1.1).
const USER_ID: &str = "0.9.2342.19200300.100.1.1";
/// What every management topic starts with.
const TOPIC_PREFIX: &str = "com.apple.mgmt.";
/// Characters of base64 in a line of PEM. Apple's portal insists on it.
const PEM_LINE: usize = 64;

/// An Apple push certificate for device management, with its key.
#[derive(Debug, Clone)]
pub struct PushCertificate {
    chain_pem: String,
    key_pem: Secret<String>,
    topic: String,
    not_before: Timestamp,
    not_after: Timestamp,
    links: Vec<Link>,
}

/// A certificate of a chain, as people want to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Whose it is.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
}

/// Why a push certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The certificate file holds no readable certificate.
    #[error("the push certificate is not a PEM certificate")]
    ReadCertificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The key file holds no PKCS#8 key.
    #[error(
        "the push certificate's key is not an unencrypted PKCS#8 PEM key (\"BEGIN PRIVATE KEY\"); convert it with \
         `openssl pkcs8 -topk8 -nodes`"
    )]
    ReadKey(#[source] rustls::pki_types::pem::Error),
    /// Certificate and key do not belong together.
    #[error("the key does not belong to the push certificate")]
    MatchKey(#[source] rustls::Error),
    /// The subject has no management topic, so this is another kind of certificate.
    #[error(
        "the certificate's subject names no topic (a UID that starts with com.apple.mgmt.), so it is not an MDM push \
         certificate; get one at identity.apple.com/pushcert"
    )]
    NoTopic,
}

impl PushCertificate {
    /// Reads a certificate (with its chain, if any) and its PKCS#8 key. Either text may hold more, such as the other.
    ///
    /// # Errors
    /// [`CertificateError`] when they are unreadable, do not match, or are not for device management. An expired
    /// certificate is accepted: see [`Self::not_after`].
    pub fn from_pem(chain_pem: &str, key_pem: &Secret<String>) -> Result<Self, CertificateError> {
        let certificate = Self::without_key(chain_pem)?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(key_pem.reveal().as_bytes())
            .map_err(CertificateError::ReadKey)?;
        let key_pem = Secret::new(to_pem("PRIVATE KEY", key.secret_pkcs8_der()));
        let unreadable = |source| CertificateError::ReadCertificate(Box::new(source));
        rustls::sign::CertifiedKey::from_der(
            read_chain(chain_pem).map_err(unreadable)?,
            PrivateKeyDer::Pkcs8(key),
            &rustls::crypto::aws_lc_rs::default_provider(),
        )
        .map_err(CertificateError::MatchKey)?;
        Ok(Self {
            key_pem,
            ..certificate
        })
    }

    /// Reads a certificate that is only to be looked at.
    ///
    /// # Errors
    /// As [`Self::from_pem`], but for the key.
    pub fn without_key(chain_pem: &str) -> Result<Self, CertificateError> {
        let unreadable = |source| CertificateError::ReadCertificate(Box::new(source));
        let chain = read_chain(chain_pem).map_err(unreadable)?;
        let leaf = chain
            .first()
            .ok_or_else(|| unreadable(rustls::pki_types::pem::Error::NoItemsFound))?;
        let (topic, not_before, not_after) = read_subject(leaf)?;
        let links = chain.iter().map(link).collect::<Result<_, _>>()?;
        let chain = chain.iter().map(|certificate| to_pem("CERTIFICATE", certificate));
        Ok(Self {
            chain_pem: chain.collect(),
            key_pem: Secret::new(String::new()),
            topic,
            not_before,
            not_after,
            links,
        })
    }

    /// The certificate and its chain, PEM.
    #[must_use]
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// The key, PKCS#8 PEM; empty after [`Self::without_key`].
    #[must_use]
    pub const fn key_pem(&self) -> &Secret<String> {
        &self.key_pem
    }

    /// The topic that enrolment profiles and pushes carry, `com.apple.mgmt.…`.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// From when on the certificate is good.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The certificate and those that come with it, leaf first.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// When the certificate ends; after that no device can be woken. Renew it before, under the same topic.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

/// All certificates of a PEM text, leaf first.
pub(super) fn read_chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).collect()
}

/// A block of PEM.
pub(super) fn to_pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for (position, character) in STANDARD.encode(der).chars().enumerate() {
        if position > 0 && position.is_multiple_of(PEM_LINE) {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str("\n-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CertificateError> {
    X509Certificate::from_der(certificate)
        .map(|(_, certificate)| certificate)
        .map_err(|source| CertificateError::ReadCertificate(Box::new(source)))
}

fn link(certificate: &CertificateDer<'_>) -> Result<Link, CertificateError> {
    let certificate = parse(certificate)?;
    Ok(Link {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
    })
}

fn read_subject(leaf: &CertificateDer<'_>) -> Result<(String, Timestamp, Timestamp), CertificateError> {
    let certificate = parse(leaf)?;
    let topic = certificate
        .subject()
        .iter_attributes()
        .filter(|attribute| attribute.attr_type().to_id_string() == USER_ID)
        .find_map(|attribute| {
            attribute
                .as_str()
                .ok()
                .filter(|value| value.starts_with(TOPIC_PREFIX) && value.chars().all(is_of_a_topic))
        })
        .ok_or(CertificateError::NoTopic)?;
    let validity = certificate.validity();
    let not_before = Timestamp::from_second(validity.not_before.timestamp()).unwrap_or(Timestamp::MIN);
    let not_after = Timestamp::from_second(validity.not_after.timestamp()).unwrap_or(Timestamp::MAX);
    Ok((topic.to_owned(), not_before, not_after))
}

/// Topics become headers, labels and the names of files.
const fn is_of_a_topic(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '.' | '-')
}

/// Certificates as tests make them.
#[cfg(test)]
pub(crate) mod fixtures {
    use jiff::Timestamp;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use crate::secret::Secret;

    /// A self-made certificate with the subject of a push certificate, and its key.
    pub(crate) fn certificate(topic: &str) -> (String, Secret<String>) {
        certificate_until(topic, "4000-01-01T00:00:00Z".parse().unwrap())
    }

    /// The same, with an end.
    pub(crate) fn certificate_until(topic: &str, end: Timestamp) -> (String, Secret<String>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "APSP:test");
        params.distinguished_name.push(
            DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]),
            topic,
        );
        let day = end.to_zoned(jiff::tz::TimeZone::UTC).date();
        params.not_after = rcgen::date_time_ymd(
            day.year().into(),
            day.month().try_into().unwrap(),
            day.day().try_into().unwrap(),
        );
        (
            params.self_signed(&key).unwrap().pem(),
            key.serialize_pem().into(),
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::fixtures::certificate;
    use super::*;

    pub(in crate::push) const TOPIC: &str = "com.apple.mgmt.External.00000000-0000-4000-8000-000000000001";

    #[test]
    fn the_topic_is_the_subjects_user_id() {
        let (certificate_pem, key) = certificate(TOPIC);
        let certificate = PushCertificate::from_pem(&certificate_pem, &key).unwrap();
        assert_eq!(certificate.topic(), TOPIC);
        assert!(certificate.not_after().as_second() > 0);
        assert!(!format!("{certificate:?}").contains("PRIVATE"));
    }

    #[test]
    fn other_certificates_and_keys_are_refused_with_advice() {
        let (web, key) = certificate("com.example.app");
        assert!(matches!(
            PushCertificate::from_pem(&web, &key),
            Err(CertificateError::NoTopic)
        ));
        let (good, key) = certificate(TOPIC);
        let (_, another) = certificate(TOPIC);
        assert!(matches!(
            PushCertificate::from_pem(&good, &another),
            Err(CertificateError::MatchKey(_))
        ));
        assert!(matches!(
            PushCertificate::from_pem("nothing", &key),
            Err(CertificateError::ReadCertificate(_))
        ));
        let sec1 = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n".to_owned();
        let refused = PushCertificate::from_pem(&good, &sec1.into()).unwrap_err();
        assert!(refused.to_string().contains("openssl pkcs8"), "{refused}");
    }
}
