//! Messages of SCEP (RFC 8894 §3): a signed message around an encrypted one. Pure: bytes in, bytes out.

use std::fmt;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode as _, Tag, Tagged as _};
use rustls::pki_types::CertificateDer;

use crate::clock::Entropy;
use crate::pki::ca::ScepAuthority;
use crate::pki::cms::envelope::{self, Opened};
use crate::pki::cms::{
    self, Cipher, CipherPolicy, Content, EnvelopeError, HashPolicy, KeyError, certificates_only,
};

const MESSAGE_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.2");
const PKI_STATUS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.3");
const FAIL_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.4");
const SENDER_NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.5");
const RECIPIENT_NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.6");
const TRANSACTION_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.7");

/// The longest transaction id or nonce that is sent back, in bytes of DER.
const ECHO_LIMIT: usize = 1024;

/// Which algorithms are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// SHA-256 and better, AES and triple DES.
    #[default]
    Strict,
    /// SHA-1 and single DES as well.
    Legacy,
}

impl Dialect {
    /// The hashes that may sign.
    #[must_use]
    pub const fn hashes(self) -> HashPolicy {
        match self {
            Self::Strict => HashPolicy::Strong,
            Self::Legacy => HashPolicy::AllowSha1,
        }
    }

    const fn ciphers(self) -> CipherPolicy {
        match self {
            Self::Strict => CipherPolicy::Strong,
            Self::Legacy => CipherPolicy::AllowSingleDes,
        }
    }
}

/// What a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// A certificate, on a challenge.
    PkcsReq,
    /// A certificate, on the one that signs.
    RenewalReq,
    /// Something else, which is not offered.
    Other,
}

/// Why a client gets nothing, as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailInfo {
    /// An algorithm that is not accepted.
    BadAlg,
    /// A signature that does not hold.
    BadMessageCheck,
    /// Not permitted, or not supported.
    BadRequest,
}

impl FailInfo {
    const fn digit(self) -> &'static str {
        match self {
            Self::BadAlg => "0",
            Self::BadMessageCheck => "1",
            Self::BadRequest => "2",
        }
    }
}

impl fmt::Display for FailInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadAlg => "badAlg",
            Self::BadMessageCheck => "badMessageCheck",
            Self::BadRequest => "badRequest",
        })
    }
}

/// What an answer repeats of its request, as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The transaction id, as DER. It means nothing here.
    id: Vec<u8>,
    /// The nonce of the client, as DER.
    nonce: Option<Vec<u8>>,
}

/// A message whose signature holds.
#[derive(Debug)]
pub struct Request {
    /// What is wanted.
    pub message_type: MessageType,
    /// What the answer repeats.
    pub transaction: Transaction,
    /// The certificate that has signed, which the client may have made itself.
    pub signer: CertificateDer<'static>,
    /// The other certificates of the message.
    pub others: Vec<CertificateDer<'static>>,
    /// The encrypted message within.
    envelope: Vec<u8>,
}

/// Why a message is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no message that could be answered.
    #[error("it is no message of SCEP")]
    Message(#[source] cms::Error),
    /// It says nothing that an answer could refer to.
    #[error("it has no transaction id or message type")]
    Transaction,
    /// It can be answered, by a refusal.
    #[error("it is refused: {info}")]
    Refused {
        /// What the client is told.
        info: FailInfo,
        /// What the answer repeats.
        transaction: Transaction,
    },
}

impl Request {
    /// Reads a message and checks its signature.
    ///
    /// # Errors
    /// When it is none, or is signed in a way that is not accepted.
    pub fn read(message: &[u8], dialect: Dialect) -> Result<Self, Error> {
        // Read with all that is known, so that a client is told what is wrong with it.
        let signed = match cms::verify(message, Content::Attached, HashPolicy::AllowSha1) {
            Ok(signed) => signed,
            Err(error) => return Err(refusal_of(message, error)),
        };
        let transaction = Transaction::of(|oid| signed.attribute(oid).map(<[u8]>::to_vec))?;
        let refused = |info| Error::Refused {
            info,
            transaction: transaction.clone(),
        };
        if dialect == Dialect::Strict {
            cms::verify(message, Content::Attached, HashPolicy::Strong)
                .map_err(|_| refused(FailInfo::BadAlg))?;
        }
        let message_type = signed.attribute(MESSAGE_TYPE).ok_or(Error::Transaction)?;
        let message_type = match text(message_type) {
            Some(b"19") => MessageType::PkcsReq,
            Some(b"17") => MessageType::RenewalReq,
            Some(_) => MessageType::Other,
            None => return Err(refused(FailInfo::BadRequest)),
        };
        Ok(Self {
            message_type,
            transaction,
            signer: signed.signer,
            others: signed.others,
            envelope: signed.content.unwrap_or_default(),
        })
    }

    /// Decrypts what is within. Nothing but a cipher that is not accepted is told apart from other reasons.
    ///
    /// # Errors
    /// What the client is told.
    pub fn open(
        &self,
        authority: &ScepAuthority,
        dialect: Dialect,
        entropy: &dyn Entropy,
    ) -> Result<Opened, FailInfo> {
        envelope::open(
            &[&authority.recipient],
            &self.envelope,
            dialect.ciphers(),
            entropy,
        )
        .map_err(|error| match error {
            EnvelopeError::Cipher { .. } => FailInfo::BadAlg,
            _ => FailInfo::BadRequest,
        })
    }
}

/// A message that does not verify is refused, where it says enough of itself to be answered.
fn refusal_of(message: &[u8], error: cms::Error) -> Error {
    let info = match error {
        cms::Error::Algorithm { .. } | cms::Error::Sha1 => FailInfo::BadAlg,
        cms::Error::Content | cms::Error::Signature => FailInfo::BadMessageCheck,
        _ => return Error::Message(error),
    };
    let Ok(claimed) = cms::claimed_attributes(message) else {
        return Error::Message(error);
    };
    let one = |oid| {
        claimed
            .iter()
            .find(|(name, _)| *name == oid)
            .map(|(_, value)| value.clone())
    };
    match Transaction::of(one) {
        Ok(transaction) => Error::Refused { info, transaction },
        Err(_) => Error::Message(error),
    }
}

impl Transaction {
    fn of(attribute: impl Fn(ObjectIdentifier) -> Option<Vec<u8>>) -> Result<Self, Error> {
        let short = |value: &Vec<u8>| value.len() <= ECHO_LIMIT;
        Ok(Self {
            id: attribute(TRANSACTION_ID)
                .filter(short)
                .ok_or(Error::Transaction)?,
            nonce: attribute(SENDER_NONCE).filter(short),
        })
    }
}

/// The text of an attribute, whatever kind of string it is.
fn text(der: &[u8]) -> Option<&[u8]> {
    let value = AnyRef::from_der(der).ok()?;
    matches!(
        value.tag(),
        Tag::PrintableString | Tag::Utf8String | Tag::Ia5String
    )
    .then(|| value.value())
}

/// A refusal.
///
/// # Errors
/// When the cryptographic library fails.
pub fn failure(
    transaction: &Transaction,
    info: FailInfo,
    authority: &ScepAuthority,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, KeyError> {
    answer(transaction, Some(info), &[], authority, entropy)
}

/// A certificate, encrypted to the one that has signed the request: with AES, whatever the request was encrypted with.
///
/// # Errors
/// [`KeyError::Key`] when nothing can be encrypted to the client's key, and when the cryptographic library fails.
pub fn success(
    request: &Request,
    certificate: &[u8],
    asked_with: Cipher,
    authority: &ScepAuthority,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, KeyError> {
    let cipher = match asked_with {
        Cipher::Aes192 | Cipher::Aes256 => Cipher::Aes256,
        Cipher::Aes128 | Cipher::TripleDes | Cipher::SingleDes => Cipher::Aes128,
    };
    // Alone, since clients take the first one for theirs; they have the authority's from GetCACert.
    let content = certificates_only(&[certificate])?;
    let envelope = envelope::seal(&request.signer, &content, cipher, entropy)?;
    answer(&request.transaction, None, &envelope, authority, entropy)
}

fn answer(
    transaction: &Transaction,
    failure: Option<FailInfo>,
    content: &[u8],
    authority: &ScepAuthority,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, KeyError> {
    let mut nonce = [0; 16];
    entropy.fill(&mut nonce);
    let mut attributes = vec![
        (TRANSACTION_ID, transaction.id.clone()),
        (MESSAGE_TYPE, printable("3")),
        (PKI_STATUS, printable(if failure.is_some() { "2" } else { "0" })),
        (SENDER_NONCE, element(0x04, &nonce)),
    ];
    if let Some(nonce) = &transaction.nonce {
        attributes.push((RECIPIENT_NONCE, nonce.clone()));
    }
    if let Some(info) = failure {
        attributes.push((FAIL_INFO, printable(info.digit())));
    }
    authority.signer.sign(content, &attributes, &[])
}

fn printable(text: &str) -> Vec<u8> {
    element(0x13, text.as_bytes())
}

/// A short element as DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len() & 0x7F).unwrap_or_default();
    [&[tag, length], content].concat()
}
