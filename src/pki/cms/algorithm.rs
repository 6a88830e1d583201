//! The hashes and signatures that are accepted, by their object identifiers.

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use aws_lc_rs::signature as sign;
use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};
use der::asn1::{AnyRef, ContextSpecific, ObjectIdentifier};
use der::{Decode as _, Reader as _, SliceReader, TagNumber};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::verify::{Algorithm, Error};

/// Object identifiers of what is in signed messages.
pub mod oid {
    use der::asn1::ObjectIdentifier;

    /// `id-data`: bytes.
    pub const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
    /// `id-signedData`.
    pub const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
    /// The attribute that says what is signed.
    pub const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
    /// The attribute that holds the digest of what is signed.
    pub const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
    /// SHA-1.
    pub const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
    /// SHA-256.
    pub const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
    /// SHA-384.
    pub const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
    /// SHA-512.
    pub const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

    pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
    pub(super) const RSA_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");
    pub(super) const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
    pub(super) const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
    pub(super) const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
    pub(super) const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
    pub(super) const EC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
    pub(super) const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
    pub(super) const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
    pub(super) const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
}

/// Which hashes are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashPolicy {
    /// SHA-256, SHA-384 and SHA-512.
    #[default]
    Strong,
    /// SHA-1 as well, with RSA: for clients that know nothing better. Collisions of it can be bought.
    AllowSha1,
}

/// A hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub(super) fn of(algorithm: ObjectIdentifier, policy: HashPolicy) -> Result<Self, Error> {
        match algorithm {
            oid::SHA1 => Self::Sha1.under(policy),
            oid::SHA256 => Ok(Self::Sha256),
            oid::SHA384 => Ok(Self::Sha384),
            oid::SHA512 => Ok(Self::Sha512),
            other => Err(Error::Algorithm { oid: other }),
        }
    }

    fn under(self, policy: HashPolicy) -> Result<Self, Error> {
        if self == Self::Sha1 && policy != HashPolicy::AllowSha1 {
            return Err(Error::Sha1);
        }
        Ok(self)
    }

    pub(super) fn digest(self, content: &[u8]) -> digest::Digest {
        let algorithm = match self {
            Self::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        };
        digest::digest(algorithm, content)
    }
}

/// How a message is signed.
enum Scheme {
    Pkcs1(Hash),
    Pss(Hash),
    Ecdsa(Hash),
}

impl Scheme {
    /// `hash` is the one of the content, for identifiers that name none.
    fn of(algorithm: &Algorithm<'_>, hash: Hash, policy: HashPolicy) -> Result<Self, Error> {
        Ok(match algorithm.oid {
            oid::RSA => Self::Pkcs1(hash),
            oid::RSA_SHA1 => Self::Pkcs1(Hash::Sha1.under(policy)?),
            oid::RSA_SHA256 => Self::Pkcs1(Hash::Sha256),
            oid::RSA_SHA384 => Self::Pkcs1(Hash::Sha384),
            oid::RSA_SHA512 => Self::Pkcs1(Hash::Sha512),
            oid::RSA_PSS => Self::Pss(pss_hash(algorithm.parameters, policy)?),
            oid::EC_KEY => Self::Ecdsa(hash),
            oid::ECDSA_SHA256 => Self::Ecdsa(Hash::Sha256),
            oid::ECDSA_SHA384 => Self::Ecdsa(Hash::Sha384),
            oid::ECDSA_SHA512 => Self::Ecdsa(Hash::Sha512),
            other => return Err(Error::Algorithm { oid: other }),
        })
    }

    /// None: nobody verifies this combination.
    fn verification(&self, key: &SubjectPublicKeyInfo<'_>) -> Option<&'static dyn VerificationAlgorithm> {
        let is_ec = key.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY;
        match self {
            Self::Pkcs1(hash) if !is_ec => Some(match hash {
                Hash::Sha1 => &sign::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
                Hash::Sha256 => &sign::RSA_PKCS1_2048_8192_SHA256,
                Hash::Sha384 => &sign::RSA_PKCS1_2048_8192_SHA384,
                Hash::Sha512 => &sign::RSA_PKCS1_2048_8192_SHA512,
            }),
            Self::Pss(hash) if !is_ec => match hash {
                Hash::Sha1 => None,
                Hash::Sha256 => Some(&sign::RSA_PSS_2048_8192_SHA256),
                Hash::Sha384 => Some(&sign::RSA_PSS_2048_8192_SHA384),
                Hash::Sha512 => Some(&sign::RSA_PSS_2048_8192_SHA512),
            },
            Self::Ecdsa(hash) if is_ec => ecdsa(*hash, key),
            Self::Pkcs1(_) | Self::Pss(_) | Self::Ecdsa(_) => None,
        }
    }
}

fn ecdsa(hash: Hash, key: &SubjectPublicKeyInfo<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    let curve = key.algorithm.parameters.as_ref()?.as_oid().ok()?;
    if curve == OID_EC_P256 {
        match hash {
            Hash::Sha1 => None,
            Hash::Sha256 => Some(&sign::ECDSA_P256_SHA256_ASN1),
            Hash::Sha384 => Some(&sign::ECDSA_P256_SHA384_ASN1),
            Hash::Sha512 => Some(&sign::ECDSA_P256_SHA512_ASN1),
        }
    } else if curve == OID_NIST_EC_P384 {
        match hash {
            Hash::Sha1 => None,
            Hash::Sha256 => Some(&sign::ECDSA_P384_SHA256_ASN1),
            Hash::Sha384 => Some(&sign::ECDSA_P384_SHA384_ASN1),
            Hash::Sha512 => Some(&sign::ECDSA_P384_SHA512_ASN1),
        }
    } else if curve == OID_NIST_EC_P521 {
        match hash {
            Hash::Sha1 => None,
            Hash::Sha256 => Some(&sign::ECDSA_P521_SHA256_ASN1),
            Hash::Sha384 => Some(&sign::ECDSA_P521_SHA384_ASN1),
            Hash::Sha512 => Some(&sign::ECDSA_P521_SHA512_ASN1),
        }
    } else {
        None
    }
}

/// The hash of RSASSA-PSS parameters (RFC 4055). The mask by the same hash and a salt of its length are taken for granted: a signature made
/// otherwise does not verify.
fn pss_hash(parameters: Option<AnyRef<'_>>, policy: HashPolicy) -> Result<Hash, Error> {
    // Absent: SHA-1, which nobody signs with by this scheme.
    let parameters = parameters.ok_or(Error::Sha1)?;
    let mut reader = SliceReader::new(parameters.value()).map_err(Error::Structure)?;
    let hash = ContextSpecific::<Algorithm<'_>>::decode_explicit(&mut reader, TagNumber(0))
        .map_err(Error::Structure)?
        .ok_or(Error::Sha1)?;
    while !reader.is_finished() {
        AnyRef::decode(&mut reader).map_err(Error::Structure)?;
    }
    Hash::of(hash.value.oid, policy)
}

/// Whether `signature` is by `key` over `message`.
pub(super) fn is_signed(
    message: &[u8],
    signature: &[u8],
    key: &SubjectPublicKeyInfo<'_>,
    algorithm: &Algorithm<'_>,
    hash: Hash,
    policy: HashPolicy,
) -> Result<bool, Error> {
    let scheme = Scheme::of(algorithm, hash, policy)?;
    let Some(verification) = scheme.verification(key) else {
        return Err(Error::Algorithm { oid: algorithm.oid });
    };
    // It takes a SubjectPublicKeyInfo as it stands in the certificate.
    let key = UnparsedPublicKey::new(verification, key.raw);
    Ok(key.verify(message, signature).is_ok())
}
