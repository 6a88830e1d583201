//! Signed messages (CMS SignedData, RFC 5652 §5), made: content and signer's certificate within, SHA-256, one signer.
//!
//! Also the degenerate form without content and signer, which carries certificates.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256};
use der::Encode as _;
use der::asn1::ObjectIdentifier;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::encode::{context, octets, sequence, set, small_integer, tagged};
use super::envelope::{KeyError, RSA, issuer_and_serial};
use super::oid;

const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

/// Who signs messages.
pub struct Signer {
    certificate: Vec<u8>,
    /// Issuer and serial number, as DER.
    name: Vec<u8>,
    key: Key,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

/// A signed attribute: its name, and its one value as DER.
pub type Attribute = (ObjectIdentifier, Vec<u8>);

impl Signer {
    /// The holder of a key (PKCS #8; RSA or P-256) and its certificate (DER).
    ///
    /// # Errors
    /// When the certificate cannot be read, or the key is of another kind.
    pub fn new(certificate: &[u8], key: &[u8]) -> Result<Self, KeyError> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| KeyError::Certificate)?;
        let key = match RsaKeyPair::from_pkcs8(key) {
            Ok(key) => Key::Rsa(key),
            Err(_) => Key::P256(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key).map_err(|_| KeyError::Key)?,
            ),
        };
        Ok(Self {
            certificate: certificate.to_vec(),
            name: issuer_and_serial(&parsed),
            key,
        })
    }

    /// A message (DER) that holds `content`, signed with `attributes` beside those that every signature has, and `others` beside the signer's
    /// certificate.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn sign(
        &self,
        content: &[u8],
        attributes: &[Attribute],
        others: &[&[u8]],
    ) -> Result<Vec<u8>, KeyError> {
        let mut signed = vec![
            attribute(&oid::CONTENT_TYPE, &encode(&oid::DATA)?)?,
            attribute(&oid::MESSAGE_DIGEST, &octets(digest(&SHA256, content).as_ref()))?,
        ];
        for (name, value) in attributes {
            signed.push(attribute(name, value)?);
        }
        // The signature is over a SET; the message holds the same bytes under another tag.
        let signed = set(&signed);
        let (algorithm, signature) = self.signature(&signed)?;
        let mut attributes = signed;
        if let Some(tag) = attributes.first_mut() {
            *tag = 0xA0;
        }
        let sha256 = sequence(&[encode(&oid::SHA256)?]);
        let info = sequence(&[
            small_integer(1),
            self.name.clone(),
            sha256.clone(),
            attributes,
            algorithm,
            octets(&signature),
        ]);
        let content = sequence(&[encode(&oid::DATA)?, context(0, &octets(content))]);
        let certificates = std::iter::once(self.certificate.as_slice()).chain(others.iter().copied());
        signed_data(
            &[sha256],
            content,
            certificates.map(<[u8]>::to_vec).collect(),
            &[info],
        )
    }

    /// How a signature is named, and the signature.
    fn signature(&self, bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), KeyError> {
        let library = |_| KeyError::Library;
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature)
                    .map_err(library)?;
                // Older clients know a signature by RSA only by the name of the key.
                let algorithm = sequence(&[encode(&RSA)?, vec![0x05, 0x00]]);
                Ok((algorithm, signature))
            }
            Key::P256(key) => {
                let signature = key.sign(&random, bytes).map_err(library)?;
                let algorithm = sequence(&[encode(&ECDSA_SHA256)?]);
                Ok((algorithm, signature.as_ref().to_vec()))
            }
        }
    }
}

/// A message that carries certificates (DER), signed by nobody.
///
/// # Errors
/// Never, but for a defect of the library.
pub fn certificates_only(certificates: &[&[u8]]) -> Result<Vec<u8>, KeyError> {
    let content = sequence(&[encode(&oid::DATA)?]);
    let certificates = certificates
        .iter()
        .map(|certificate| certificate.to_vec())
        .collect();
    signed_data(&[], content, certificates, &[])
}

fn signed_data(
    digests: &[Vec<u8>],
    content: Vec<u8>,
    mut certificates: Vec<Vec<u8>>,
    signers: &[Vec<u8>],
) -> Result<Vec<u8>, KeyError> {
    certificates.sort_unstable();
    let data = sequence(&[
        small_integer(1),
        set(digests),
        content,
        context(0, &certificates.concat()),
        set(signers),
    ]);
    Ok(sequence(&[encode(&oid::SIGNED_DATA)?, context(0, &data)]))
}

fn attribute(name: &ObjectIdentifier, value: &[u8]) -> Result<Vec<u8>, KeyError> {
    Ok(sequence(&[encode(name)?, tagged(0x31, value)]))
}

fn encode(oid: &ObjectIdentifier) -> Result<Vec<u8>, KeyError> {
    oid.to_der().map_err(|_| KeyError::Library)
}
