//! Verifying a signed message.
//!
//! Exactly one signer, whose certificate is named by the message and in it. With signed attributes the signature is over them, so that three
//! things have to hold together: the signature, the digest among them that has to be the content's, and the content type among them that
//! has to be the message's (RFC 5652 section 5.4 and 5.6).

use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Reader as _, Sequence, SliceReader, Tag, Tagged as _};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

use super::algorithm::{Hash, HashPolicy, is_signed, oid};
use super::ber::{self, BerError, to_der};

/// The most certificates that a message may bring.
const CERTIFICATES: usize = 16;

/// The most signers that are counted.
const SIGNERS: usize = 16;

/// The most signed attributes that it may have.
const ATTRIBUTES: usize = 32;

const SET: u8 = 0x31;

/// Why a message is not taken as signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no BER.
    #[error("the signed message cannot be read: {0}")]
    Ber(#[from] BerError),
    /// It is no SignedData.
    #[error("the signed message is not built as one")]
    Structure(#[source] der::Error),
    /// It is some other kind of message.
    #[error("the message is of type {oid}, not signed data")]
    NotSigned {
        /// What it says it is.
        oid: ObjectIdentifier,
    },
    /// More of something than is read.
    #[error("the signed message has more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are read.
        most: usize,
    },
    /// Not exactly one signer.
    #[error("the signed message has {count} signers, not one")]
    Signers {
        /// How many.
        count: usize,
    },
    /// The certificate of the signer is not in it, or cannot be read.
    #[error("the signed message does not hold its signer's certificate")]
    NoCertificate,
    /// An algorithm that is not accepted, or not with such a key.
    #[error("the algorithm {oid} is not accepted here, or not for such a key")]
    Algorithm {
        /// Which.
        oid: ObjectIdentifier,
    },
    /// SHA-1, where it is not allowed.
    #[error("the message is signed by way of SHA-1, which is not accepted")]
    Sha1,
    /// An attribute that has to be there once, with one value, is not.
    #[error("the signed message does not have exactly one {name}")]
    Attribute {
        /// Which.
        name: &'static str,
    },
    /// There is nothing in it to be signed, where there has to be.
    #[error("the signed message has no content")]
    NoContent,
    /// The content is not what was signed.
    #[error("the content is not what was signed")]
    Content,
    /// The signature is not by the key of the certificate.
    #[error("the signature does not verify")]
    Signature,
}

/// Where the content is.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// Here. One within the message is not looked at.
    Detached(&'a [u8]),
    /// Within the message.
    Attached,
}

/// A message whose signature holds.
#[derive(Debug, Clone)]
pub struct Signed {
    /// The certificate whose key has signed. **It is only what the message says of itself**: find a chain for it before it is believed.
    pub signer: CertificateDer<'static>,
    /// The other certificates of the message, in its order: what a chain may be made of.
    pub others: Vec<CertificateDer<'static>>,
    /// What kind of content is signed.
    pub content_type: ObjectIdentifier,
    /// The content, where it was [`Content::Attached`].
    pub content: Option<Vec<u8>>,
    /// The signed attributes that have one value, and that value as DER.
    attributes: Vec<(ObjectIdentifier, Vec<u8>)>,
}

impl Signed {
    /// The one value of a signed attribute, as DER. None: it has none, or several.
    #[must_use]
    pub fn attribute(&self, oid: ObjectIdentifier) -> Option<&[u8]> {
        let mut values = self.attributes.iter().filter(|(name, _)| *name == oid);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Some(value),
            _ => None,
        }
    }
}

/// An algorithm and its parameters.
#[derive(Clone, Copy, Sequence)]
pub(super) struct Algorithm<'a> {
    pub(super) oid: ObjectIdentifier,
    #[asn1(optional = "true")]
    pub(super) parameters: Option<AnyRef<'a>>,
}

#[derive(Sequence)]
struct ContentInfo<'a> {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    content: AnyRef<'a>,
}

#[derive(Sequence)]
struct Encapsulated<'a> {
    content_type: ObjectIdentifier,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    content: Option<AnyRef<'a>>,
}

/// A signed attribute with its values, as DER.
struct SignedAttribute<'a> {
    oid: ObjectIdentifier,
    values: Vec<&'a [u8]>,
}

#[derive(Sequence)]
struct Attribute<'a> {
    oid: ObjectIdentifier,
    values: AnyRef<'a>,
}

/// Verifies a message (DER or BER).
///
/// # Errors
/// When it is no signed message, or its signature is not over the content.
pub fn verify(message: &[u8], content: Content<'_>, policy: HashPolicy) -> Result<Signed, Error> {
    let message = to_der(message)?;
    let message = SignedData::read(&message)?;
    let signer = message.signer()?;
    let (content, attached) = match content {
        Content::Detached(content) => (content, false),
        Content::Attached => (message.embedded()?, true),
    };
    let certificate = message.certificate_of(&signer)?;
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| Error::NoCertificate)?;
    let hash = Hash::of(signer.digest_algorithm.oid, policy)?;
    let verifies = |signed: &[u8]| {
        is_signed(
            signed,
            signer.signature,
            parsed.public_key(),
            &signer.signature_algorithm,
            hash,
            policy,
        )
    };
    let mut attributes = Vec::new();
    if let Some(encoded) = &signer.attributes {
        attributes = read_attributes(encoded)?;
        check_attributes(&attributes, message.content_type, hash, content)?;
        // DER sorts a set; who did not sort it may have signed it as it is. Either way these attributes are what was signed.
        if !verifies(&as_set(&sorted(encoded)))? && !verifies(&as_set(encoded))? {
            return Err(Error::Signature);
        }
    } else {
        // Only plain bytes may go without attributes, and none that could be the attributes of another message.
        if message.content_type != oid::DATA || content.first() == Some(&SET) {
            return Err(Error::Attribute {
                name: "digest of its content",
            });
        }
        if !verifies(content)? {
            return Err(Error::Signature);
        }
    }
    let others = message.certificates.iter().filter(|other| **other != certificate);
    Ok(Signed {
        signer: CertificateDer::from(certificate.to_vec()),
        others: others.map(|other| CertificateDer::from(other.to_vec())).collect(),
        content_type: message.content_type,
        content: attached.then(|| content.to_vec()),
        attributes: attributes
            .iter()
            .filter_map(|attribute| match attribute.values.as_slice() {
                [value] => Some((attribute.oid, value.to_vec())),
                _ => None,
            })
            .collect(),
    })
}

/// What a message says of itself in its signed attributes that have one value, **whether or not it is signed**: to answer it, and for nothing else.
///
/// # Errors
/// When it is no signed message.
pub fn claimed_attributes(message: &[u8]) -> Result<Vec<(ObjectIdentifier, Vec<u8>)>, Error> {
    let message = to_der(message)?;
    let message = SignedData::read(&message)?;
    let attributes = read_attributes(&message.signer()?.attributes.unwrap_or_default())?;
    Ok(attributes
        .into_iter()
        .filter_map(|attribute| match attribute.values.as_slice() {
            [value] => Some((attribute.oid, value.to_vec())),
            _ => None,
        })
        .collect())
}

/// The certificate that a message names as its signer's, first, and the others that it brings. **Nothing of it is proven**: it tells beforehand
/// whether verifying can be worth it.
///
/// # Errors
/// When it is no signed message, or has not exactly one signer.
pub fn claimed_chain(message: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let message = to_der(message)?;
    let message = SignedData::read(&message)?;
    let certificate = message.certificate_of(&message.signer()?)?;
    let others = message.certificates.iter().filter(|other| **other != certificate);
    Ok(std::iter::once(&certificate)
        .chain(others)
        .map(|certificate| CertificateDer::from(certificate.to_vec()))
        .collect())
}

/// The attributes that make the signature one over the content.
fn check_attributes(
    attributes: &[SignedAttribute<'_>],
    content_type: ObjectIdentifier,
    hash: Hash,
    content: &[u8],
) -> Result<(), Error> {
    let name = "content type among its signed attributes";
    let signed_type = only_value(attributes, oid::CONTENT_TYPE).ok_or(Error::Attribute { name })?;
    let signed_type = ObjectIdentifier::from_der(signed_type).map_err(|_| Error::Attribute { name })?;
    if signed_type != content_type {
        return Err(Error::Attribute { name });
    }
    let name = "digest of its content among its signed attributes";
    let digest = only_value(attributes, oid::MESSAGE_DIGEST).ok_or(Error::Attribute { name })?;
    let digest = <&OctetStringRef>::from_der(digest).map_err(|_| Error::Attribute { name })?;
    if digest.as_bytes() == hash.digest(content).as_ref() {
        Ok(())
    } else {
        Err(Error::Content)
    }
}

/// The value of an attribute that is there once, with one value.
fn only_value<'a>(attributes: &[SignedAttribute<'a>], oid: ObjectIdentifier) -> Option<&'a [u8]> {
    let mut found = attributes.iter().filter(|attribute| attribute.oid == oid);
    match (found.next(), found.next()) {
        (Some(attribute), None) if attribute.values.len() == 1 => attribute.values.first().copied(),
        _ => None,
    }
}

fn read_attributes<'a>(encoded: &[&'a [u8]]) -> Result<Vec<SignedAttribute<'a>>, Error> {
    encoded
        .iter()
        .map(|attribute| {
            let attribute = Attribute::from_der(attribute).map_err(Error::Structure)?;
            expect(attribute.values, Tag::Set)?;
            let values = elements(attribute.values.value(), ATTRIBUTES, "values of an attribute")?;
            Ok(SignedAttribute {
                oid: attribute.oid,
                values,
            })
        })
        .collect()
}

fn sorted<'a>(encoded: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let mut encoded = encoded.to_vec();
    encoded.sort_unstable();
    encoded
}

fn as_set(encoded: &[&[u8]]) -> Vec<u8> {
    let mut set = Vec::new();
    ber::write(&mut set, SET, &encoded.concat());
    set
}

/// The elements within the content of a SEQUENCE or SET, each with its tag and length.
fn elements<'a>(content: &'a [u8], most: usize, what: &'static str) -> Result<Vec<&'a [u8]>, Error> {
    let mut reader = SliceReader::new(content).map_err(Error::Structure)?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        if elements.len() == most {
            return Err(Error::TooMany { what, most });
        }
        elements.push(reader.tlv_bytes().map_err(Error::Structure)?);
    }
    Ok(elements)
}

/// A message in its parts, which point into it.
struct SignedData<'a> {
    content_type: ObjectIdentifier,
    content: Option<AnyRef<'a>>,
    certificates: Vec<&'a [u8]>,
    signers: Vec<&'a [u8]>,
}

struct Signer<'a> {
    identifier: &'a [u8],
    digest_algorithm: Algorithm<'a>,
    /// In the order in which they came.
    attributes: Option<Vec<&'a [u8]>>,
    signature_algorithm: Algorithm<'a>,
    signature: &'a [u8],
}

impl<'a> SignedData<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Error> {
        let info = ContentInfo::from_der(message).map_err(Error::Structure)?;
        if info.content_type != oid::SIGNED_DATA {
            return Err(Error::NotSigned {
                oid: info.content_type,
            });
        }
        expect(info.content, Tag::Sequence)?;
        let mut parts = SliceReader::new(info.content.value()).map_err(Error::Structure)?;
        let _version: u8 = parts.decode().map_err(Error::Structure)?;
        let _digest_algorithms: AnyRef<'_> = parts.decode().map_err(Error::Structure)?;
        let content: Encapsulated<'_> = parts.decode().map_err(Error::Structure)?;
        let (mut certificates, mut signers) = (Vec::new(), None);
        while !parts.is_finished() {
            let part: AnyRef<'_> = parts.decode().map_err(Error::Structure)?;
            match part.tag() {
                tag if is_context(tag, 0) => {
                    certificates = elements(part.value(), CERTIFICATES, "certificates")?;
                }
                // Revocation lists are not ours to read.
                tag if is_context(tag, 1) => {}
                Tag::Set if signers.is_none() => signers = Some(elements(part.value(), SIGNERS, "signers")?),
                _ => expect(part, Tag::Set)?,
            }
        }
        Ok(Self {
            content_type: content.content_type,
            content: content.content,
            certificates,
            signers: signers.unwrap_or_default(),
        })
    }

    /// The only signer.
    fn signer(&self) -> Result<Signer<'a>, Error> {
        let [signer] = self.signers.as_slice() else {
            return Err(Error::Signers {
                count: self.signers.len(),
            });
        };
        let signer = AnyRef::from_der(signer).map_err(Error::Structure)?;
        expect(signer, Tag::Sequence)?;
        let mut parts = SliceReader::new(signer.value()).map_err(Error::Structure)?;
        let _version: u8 = parts.decode().map_err(Error::Structure)?;
        let identifier = parts.tlv_bytes().map_err(Error::Structure)?;
        let digest_algorithm = parts.decode().map_err(Error::Structure)?;
        let mut attributes = None;
        if Tag::peek(&parts).is_ok_and(|tag| is_context(tag, 0)) {
            let part: AnyRef<'_> = parts.decode().map_err(Error::Structure)?;
            attributes = Some(elements(part.value(), ATTRIBUTES, "signed attributes")?);
        }
        let signature_algorithm = parts.decode().map_err(Error::Structure)?;
        let signature: &OctetStringRef = parts.decode().map_err(Error::Structure)?;
        // Attributes that are not signed say nothing.
        Ok(Signer {
            identifier,
            digest_algorithm,
            attributes,
            signature_algorithm,
            signature: signature.as_bytes(),
        })
    }

    fn embedded(&self) -> Result<&'a [u8], Error> {
        let content = self.content.ok_or(Error::NoContent)?;
        if content.tag() == Tag::OctetString {
            Ok(content.value())
        } else {
            Err(Error::NoContent)
        }
    }

    /// The certificate that a signer names, by issuer and serial number or by key identifier. Not just the first.
    fn certificate_of(&self, signer: &Signer<'_>) -> Result<&'a [u8], Error> {
        let named = AnyRef::from_der(signer.identifier).map_err(Error::Structure)?;
        if is_context(named.tag(), 0) {
            return self.certificate(|certificate| key_identifier(certificate) == Some(named.value()));
        }
        expect(named, Tag::Sequence)?;
        let parts = elements(named.value(), 2, "parts of a signer's name")?;
        let [issuer, serial] = parts.as_slice() else {
            return Err(Error::NoCertificate);
        };
        let serial = AnyRef::from_der(serial).map_err(Error::Structure)?;
        self.certificate(|certificate| {
            certificate.issuer().as_raw() == *issuer && certificate.raw_serial() == serial.value()
        })
    }

    fn certificate(&self, wanted: impl Fn(&X509Certificate<'_>) -> bool) -> Result<&'a [u8], Error> {
        let mut certificates = self.certificates.iter();
        certificates
            .find(|der| X509Certificate::from_der(der).is_ok_and(|(_, certificate)| wanted(&certificate)))
            .copied()
            .ok_or(Error::NoCertificate)
    }
}

pub(super) fn key_identifier<'a>(certificate: &X509Certificate<'a>) -> Option<&'a [u8]> {
    certificate
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
            _ => None,
        })
}

pub(super) fn is_context(tag: Tag, expected: u32) -> bool {
    matches!(tag, Tag::ContextSpecific { number, .. } if number.0 == expected)
}

pub(super) fn expect(value: AnyRef<'_>, tag: Tag) -> Result<(), Error> {
    value.tag().assert_eq(tag).map(drop).map_err(Error::Structure)
}
