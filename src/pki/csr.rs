//! Certificate requests (PKCS #10): read, and proven to come from the holder of the key.
//!
//! Of what a request asks for, only the key, the common name and the challenge are taken. Everything else in the certificate is decided by who issues it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::SubjectPublicKeyInfo;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION,
};
use x509_parser::oid_registry::{OID_PKCS1_SHA1WITHRSA, OID_SHA1_WITH_RSA};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo as ParsedKey;

use super::cms::HashPolicy;
use crate::ids::Digest;
use crate::secret::Secret;

/// The largest request that is read, in bytes. One with an RSA key of 8,192 bits and attributes stays far below.
pub const REQUEST_LIMIT: usize = 16 * 1024;

/// The sizes of RSA keys that are accepted, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The lines around a request in PEM.
const PEM_BEGIN: [&str; 2] = [
    "-----BEGIN CERTIFICATE REQUEST-----",
    "-----BEGIN NEW CERTIFICATE REQUEST-----",
];

/// Why a request is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More bytes than [`REQUEST_LIMIT`].
    #[error("the certificate request has {bytes} bytes, more than the {REQUEST_LIMIT} allowed")]
    TooLarge {
        /// Bytes given.
        bytes: usize,
    },
    /// Neither DER nor PEM of a request.
    #[error("the body is not a certificate request (PKCS #10) in DER or PEM")]
    Malformed,
    /// The key is of a kind, or a size, that is not accepted.
    #[error("the key is not one of P-256, P-384 and RSA of 2048 to 8192 bits")]
    Key,
    /// The signature is not by that key, or by a hash that is broken.
    #[error("the certificate request is not signed by its own key")]
    Signature,
}

/// A request whose sender holds its key.
#[derive(Debug)]
pub struct CertificateRequest {
    /// The common name of its subject, if it has exactly one.
    pub common_name: Option<String>,
    /// The challenge that it carries, if any.
    pub challenge: Option<Secret<String>>,
    /// Whether its key is an RSA key.
    pub is_rsa: bool,
    /// Its key.
    pub key: SubjectPublicKeyInfo,
    /// The SHA-256 of its key, as SubjectPublicKeyInfo.
    pub key_digest: Digest,
}

impl CertificateRequest {
    /// Reads and proves a request, DER or PEM.
    ///
    /// # Errors
    /// When it is no request, its key is weak or unusual, or it is not signed by its own key.
    pub fn read(body: &[u8]) -> Result<Self, Error> {
        Self::read_with(body, HashPolicy::Strong)
    }

    /// As [`Self::read`], with a say in whether its signature may be by way of SHA-1.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_with(body: &[u8], policy: HashPolicy) -> Result<Self, Error> {
        if body.len() > REQUEST_LIMIT {
            return Err(Error::TooLarge { bytes: body.len() });
        }
        let decoded;
        let der = if body.trim_ascii_start().starts_with(b"-----BEGIN ") {
            decoded = from_pem(body).ok_or(Error::Malformed)?;
            &decoded
        } else {
            body
        };
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| Error::Malformed)?;
        if !rest.is_empty() {
            return Err(Error::Malformed);
        }
        let info = &request.certification_request_info;
        if !is_strong(&info.subject_pki) {
            return Err(Error::Key);
        }
        let signed_with = &request.signature_algorithm.algorithm;
        let by_sha1 = *signed_with == OID_PKCS1_SHA1WITHRSA || *signed_with == OID_SHA1_WITH_RSA;
        if by_sha1 && policy == HashPolicy::Strong {
            return Err(Error::Signature);
        }
        request.verify_signature().map_err(|_| Error::Signature)?;
        let mut names = info.subject.iter_common_name();
        let common_name = match (names.next(), names.next()) {
            (Some(name), None) => name.as_str().ok().map(str::to_owned),
            _ => None,
        };
        let mut challenges = request
            .certification_request_info
            .iter_attributes()
            .filter_map(|attribute| match attribute.parsed_attribute() {
                ParsedCriAttribute::ChallengePassword(challenge) => Some(challenge.0.clone()),
                _ => None,
            });
        Ok(Self {
            common_name,
            challenge: challenges.next().map(Secret::new),
            is_rsa: info.subject_pki.algorithm.algorithm == OID_PKCS1_RSAENCRYPTION,
            key: SubjectPublicKeyInfo::from_der(info.subject_pki.raw).map_err(|_| Error::Key)?,
            key_digest: Digest::of(info.subject_pki.raw),
        })
    }
}

fn is_strong(key: &ParsedKey<'_>) -> bool {
    let algorithm = &key.algorithm;
    if algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = algorithm
            .parameters
            .as_ref()
            .and_then(|curve| curve.as_oid().ok());
        return curve.is_some_and(|curve| curve == OID_EC_P256 || curve == OID_NIST_EC_P384);
    }
    algorithm.algorithm == OID_PKCS1_RSAENCRYPTION
        && matches!(key.parsed(), Ok(PublicKey::RSA(rsa)) if RSA_BITS.contains(&rsa.key_size()))
}

fn from_pem(body: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let rest = PEM_BEGIN.iter().find_map(|begin| text.strip_prefix(begin))?;
    let (lines, _) = rest.split_once("-----END ")?;
    let digits: String = lines.split_ascii_whitespace().collect();
    STANDARD.decode(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SignatureAlgorithm};

    fn request(names: &[&str], algorithm: &'static SignatureAlgorithm) -> rcgen::CertificateSigningRequest {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for name in names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        let key = KeyPair::generate_for(algorithm).unwrap();
        params.serialize_request(&key).unwrap()
    }

    #[test]
    fn a_request_is_read_in_der_and_in_pem() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
            let request = request(&["A0-1"], algorithm);
            for body in [request.der().to_vec(), request.pem().unwrap().into_bytes()] {
                assert_eq!(
                    CertificateRequest::read(&body).unwrap().common_name.unwrap(),
                    "A0-1"
                );
            }
        }
    }

    #[test]
    fn a_request_signed_by_another_key_is_refused() {
        let mut der = request(&["A0-1"], &rcgen::PKCS_ECDSA_P256_SHA256).der().to_vec();
        // The common name is signed: changing it breaks the signature.
        let at = der.windows(4).position(|bytes| bytes == b"A0-1").unwrap();
        der[at + 3] = b'2';
        assert_eq!(CertificateRequest::read(&der).unwrap_err(), Error::Signature);
    }

    #[test]
    fn a_request_without_a_name_has_none() {
        let request = request(&[], &rcgen::PKCS_ECDSA_P256_SHA256);
        let read = CertificateRequest::read(request.der()).unwrap();
        assert_eq!((read.common_name, read.is_rsa), (None, false));
        assert!(read.challenge.is_none());
    }

    #[test]
    fn an_unusual_key_is_refused() {
        let request = request(&["A0-1"], &rcgen::PKCS_ED25519);
        assert_eq!(CertificateRequest::read(request.der()).unwrap_err(), Error::Key);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let valid = request(&["A0-1"], &rcgen::PKCS_ECDSA_P256_SHA256).der().to_vec();
        let trailing = [valid.as_slice(), b"x"].concat();
        for body in [
            &b""[..],
            b"x",
            b"-----BEGIN CERTIFICATE REQUEST-----",
            b"-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----",
            &trailing,
        ] {
            assert_eq!(CertificateRequest::read(body).unwrap_err(), Error::Malformed);
        }
        assert!(matches!(
            CertificateRequest::read(&vec![0; REQUEST_LIMIT + 1]),
            Err(Error::TooLarge { .. })
        ));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>, at in 0_usize..200, byte: u8) {
            let _ = CertificateRequest::read(&body);
            let mut damaged = request(&["A0-1"], &rcgen::PKCS_ECDSA_P256_SHA256).der().to_vec();
            if let Some(place) = damaged.get_mut(at) {
                *place = byte;
            }
            let _ = CertificateRequest::read(&damaged);
        }
    }
}
