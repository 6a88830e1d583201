//! Encrypted messages (CMS EnvelopedData, RFC 5652 §6): opened with an RSA key, and made for one.
//!
//! The content key is transported by RSA PKCS #1 v1.5, since that is what SCEP and Apple's systems speak. So nothing here tells why a message cannot
//! be opened: a content key that does not decrypt is replaced by a random one, and what follows is the same work with the same error. What can be
//! seen without the private key (the algorithms, whom the message is for) has errors of its own.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm as BlockCipher, DecryptionContext, EncryptionContext,
    PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{
    Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt as _, KeyIvInit as _};
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode as _, Encode as _, Reader as _, SliceReader, Tag, Tagged as _};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use super::ber;
use super::encode::{context, octets, sequence, set, small_integer};
use super::verify::{Algorithm, expect, is_context, key_identifier};
use crate::clock::Entropy;

/// The most recipients that are looked at.
const RECIPIENTS: usize = 16;

/// `id-envelopedData`.
pub(super) const ENVELOPED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.3");
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const AES_128_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.2");
const AES_192_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.22");
const AES_256_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42");
const DES_EDE3_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.3.7");
const DES_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.7");

/// How the content of a message is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cipher {
    /// AES of 128 bits, CBC.
    Aes128,
    /// AES of 192 bits, CBC.
    Aes192,
    /// AES of 256 bits, CBC.
    Aes256,
    /// Triple DES, CBC. Read, never written.
    TripleDes,
    /// Single DES, CBC: no protection at all. Read where [`CipherPolicy::AllowSingleDes`] says so, never written.
    SingleDes,
}

/// Which ciphers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CipherPolicy {
    /// AES and triple DES.
    #[default]
    Strong,
    /// Single DES as well: for clients that know nothing better.
    AllowSingleDes,
}

/// Why a message is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It is no BER.
    #[error("the encrypted message cannot be read: {0}")]
    Ber(#[from] ber::BerError),
    /// It is no EnvelopedData.
    #[error("the encrypted message is not built as one")]
    Structure(#[source] der::Error),
    /// A cipher that is not accepted.
    #[error("the cipher {oid} is not accepted here")]
    Cipher {
        /// Which.
        oid: ObjectIdentifier,
    },
    /// None of its recipients is ours, or not by RSA.
    #[error("the message is encrypted to somebody else")]
    Recipient,
    /// It does not decrypt. Why not is told to nobody.
    #[error("the message does not decrypt")]
    Unreadable,
}

/// Why nothing can be encrypted to a certificate, or signed or opened with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The certificate cannot be read.
    #[error("the certificate cannot be read")]
    Certificate,
    /// The key is of another kind than is needed, or too small.
    #[error("the key cannot be used for this")]
    Key,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
}

/// Who can open messages.
pub struct Recipient {
    /// Issuer and serial number, as DER.
    name: Vec<u8>,
    key_identifier: Option<Vec<u8>>,
    key: Pkcs1PrivateDecryptingKey,
}

impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recipient").finish_non_exhaustive()
    }
}

impl Recipient {
    /// The holder of an RSA key (PKCS #8) and its certificate (DER).
    ///
    /// # Errors
    /// When the certificate cannot be read, or the key is no RSA key.
    pub fn new(certificate: &[u8], key: &[u8]) -> Result<Self, KeyError> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| KeyError::Certificate)?;
        let key = PrivateDecryptingKey::from_pkcs8(key).map_err(|_| KeyError::Key)?;
        Ok(Self {
            name: issuer_and_serial(&parsed),
            key_identifier: key_identifier(&parsed).map(<[u8]>::to_vec),
            key: Pkcs1PrivateDecryptingKey::new(key).map_err(|_| KeyError::Key)?,
        })
    }

    fn is_meant(&self, identifier: &[u8]) -> bool {
        let by_key = || {
            let named = AnyRef::from_der(identifier).ok()?;
            is_context(named.tag(), 0).then(|| self.key_identifier.as_deref() == Some(named.value()))
        };
        identifier == self.name || by_key().unwrap_or_default()
    }
}

/// A message that was opened.
#[derive(Debug)]
pub struct Opened {
    /// What was in it.
    pub content: Zeroizing<Vec<u8>>,
    /// How it was encrypted.
    pub cipher: Cipher,
}

/// Opens a message (DER or BER) with the key of whichever of `recipients` it is for.
///
/// # Errors
/// When it is no encrypted message, its cipher is not accepted, it is for somebody else, or it does not decrypt.
pub fn open(
    recipients: &[&Recipient],
    message: &[u8],
    policy: CipherPolicy,
    entropy: &dyn Entropy,
) -> Result<Opened, EnvelopeError> {
    let message = ber::to_der(message)?;
    let envelope = Envelope::read(&message)?;
    let (cipher, iv) = Cipher::of(&envelope.algorithm, policy)?;
    let (recipient, encrypted_key) = envelope
        .keys
        .iter()
        .find_map(|(identifier, key)| {
            let meant = recipients
                .iter()
                .find(|recipient| recipient.is_meant(identifier))?;
            Some((*meant, *key))
        })
        .ok_or(EnvelopeError::Recipient)?;

    // Whatever is wrong with the key, the content is decrypted with some key.
    let mut key = Zeroizing::new(vec![0; cipher.key_length()]);
    entropy.fill(&mut key);
    let mut room = Zeroizing::new(vec![0; recipient.key.min_output_size()]);
    if let Ok(found) = recipient.key.decrypt(encrypted_key, &mut room)
        && found.len() == key.len()
    {
        key.copy_from_slice(found);
    }
    let content = cipher
        .decrypt(&key, iv, envelope.content)
        .ok_or(EnvelopeError::Unreadable)?;
    Ok(Opened { content, cipher })
}

/// Encrypts bytes to the RSA key of a certificate (DER), as DER.
///
/// # Errors
/// When the certificate cannot be read or its key is no RSA key, or the cipher is one that is only read.
pub fn seal(
    certificate: &[u8],
    content: &[u8],
    cipher: Cipher,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, KeyError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| KeyError::Certificate)?;
    let key = PublicEncryptingKey::from_der(parsed.public_key().raw).map_err(|_| KeyError::Key)?;
    let public = Pkcs1PublicEncryptingKey::new(key).map_err(|_| KeyError::Key)?;
    let (algorithm, oid) = cipher.written().ok_or(KeyError::Key)?;

    let mut key = Zeroizing::new(vec![0; cipher.key_length()]);
    entropy.fill(&mut key);
    let mut iv = [0; 16];
    entropy.fill(&mut iv);
    let library = |_| KeyError::Library;
    let mut encrypted_key = vec![0; public.ciphertext_size()];
    public.encrypt(&key, &mut encrypted_key).map_err(library)?;
    let unbound = UnboundCipherKey::new(algorithm, &key).map_err(library)?;
    let encrypting = PaddedBlockEncryptingKey::cbc_pkcs7(unbound).map_err(library)?;
    let mut encrypted = content.to_vec();
    let context_of_iv = EncryptionContext::Iv128(FixedLength::from(iv));
    encrypting
        .less_safe_encrypt(&mut encrypted, context_of_iv)
        .map_err(library)?;

    let recipient = sequence(&[
        small_integer(0),
        issuer_and_serial(&parsed),
        sequence(&[encode(&RSA)?, vec![0x05, 0x00]]),
        octets(&encrypted_key),
    ]);
    let content = sequence(&[
        encode(&super::oid::DATA)?,
        sequence(&[encode(&oid)?, octets(&iv)]),
        super::encode::tagged(0x80, &encrypted),
    ]);
    let envelope = sequence(&[small_integer(0), set(&[recipient]), content]);
    Ok(sequence(&[encode(&ENVELOPED_DATA)?, context(0, &envelope)]))
}

fn encode(oid: &ObjectIdentifier) -> Result<Vec<u8>, KeyError> {
    oid.to_der().map_err(|_| KeyError::Library)
}

/// How a certificate is named in a message.
pub(super) fn issuer_and_serial(certificate: &X509Certificate<'_>) -> Vec<u8> {
    sequence(&[
        certificate.issuer().as_raw().to_vec(),
        super::encode::tagged(0x02, certificate.raw_serial()),
    ])
}

impl Cipher {
    /// The cipher of a message, and where it starts.
    fn of<'a>(algorithm: &Algorithm<'a>, policy: CipherPolicy) -> Result<(Self, &'a [u8]), EnvelopeError> {
        let cipher = match algorithm.oid {
            AES_128_CBC => Self::Aes128,
            AES_192_CBC => Self::Aes192,
            AES_256_CBC => Self::Aes256,
            DES_EDE3_CBC => Self::TripleDes,
            DES_CBC if policy == CipherPolicy::AllowSingleDes => Self::SingleDes,
            oid => return Err(EnvelopeError::Cipher { oid }),
        };
        let parameters = algorithm.parameters.unwrap_or(AnyRef::NULL);
        expect(parameters, Tag::OctetString).map_err(|_| EnvelopeError::Cipher { oid: algorithm.oid })?;
        Ok((cipher, parameters.value()))
    }

    const fn key_length(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 | Self::TripleDes => 24,
            Self::Aes256 => 32,
            Self::SingleDes => 8,
        }
    }

    fn aes(self) -> Option<&'static BlockCipher> {
        match self {
            Self::Aes128 => Some(&AES_128),
            Self::Aes192 => Some(&AES_192),
            Self::Aes256 => Some(&AES_256),
            Self::TripleDes | Self::SingleDes => None,
        }
    }

    /// What is written with.
    fn written(self) -> Option<(&'static BlockCipher, ObjectIdentifier)> {
        let oid = match self {
            Self::Aes128 => AES_128_CBC,
            Self::Aes192 => AES_192_CBC,
            Self::Aes256 => AES_256_CBC,
            Self::TripleDes | Self::SingleDes => return None,
        };
        Some((self.aes()?, oid))
    }

    /// Decrypts, and takes the padding off. None: that did not work.
    fn decrypt(self, key: &[u8], iv: &[u8], content: Vec<u8>) -> Option<Zeroizing<Vec<u8>>> {
        let mut content = Zeroizing::new(content);
        let length = match self.aes() {
            Some(aes) => {
                let key = UnboundCipherKey::new(aes, key).ok()?;
                let start = DecryptionContext::Iv128(FixedLength::try_from(iv).ok()?);
                let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).ok()?;
                key.decrypt(&mut content, start).ok()?.len()
            }
            None if self == Self::TripleDes => {
                let decryptor = cbc::Decryptor::<des::TdesEde3>::new_from_slices(key, iv).ok()?;
                decryptor.decrypt_padded::<Pkcs7>(&mut content).ok()?.len()
            }
            None => {
                let decryptor = cbc::Decryptor::<des::Des>::new_from_slices(key, iv).ok()?;
                decryptor.decrypt_padded::<Pkcs7>(&mut content).ok()?.len()
            }
        };
        content.truncate(length);
        Some(content)
    }
}

/// A message in its parts, which point into it.
struct Envelope<'a> {
    /// Recipients by RSA: how each is named, and the content key encrypted to it.
    keys: Vec<(&'a [u8], &'a [u8])>,
    algorithm: Algorithm<'a>,
    /// In one piece.
    content: Vec<u8>,
}

impl<'a> Envelope<'a> {
    fn read(message: &'a [u8]) -> Result<Self, EnvelopeError> {
        Self::parts(message).map_err(EnvelopeError::Structure)
    }

    fn parts(message: &'a [u8]) -> der::Result<Self> {
        let mut info = parts_of(AnyRef::from_der(message)?, Tag::Sequence)?;
        let content_type: ObjectIdentifier = info.decode()?;
        let wrapped: AnyRef<'_> = info.decode()?;
        if content_type != ENVELOPED_DATA || !is_context(wrapped.tag(), 0) {
            return Err(Tag::Sequence.value_error().into());
        }
        let mut parts = parts_of(AnyRef::from_der(wrapped.value())?, Tag::Sequence)?;
        let _version: u8 = parts.decode()?;
        if Tag::peek(&parts).is_ok_and(|tag| is_context(tag, 0)) {
            let _originator: AnyRef<'_> = parts.decode()?;
        }
        let mut recipients = parts_of(parts.decode()?, Tag::Set)?;
        let mut keys = Vec::new();
        while !recipients.is_finished() && keys.len() < RECIPIENTS {
            let recipient: AnyRef<'_> = recipients.decode()?;
            // The other kinds of recipients have tags of their own.
            if recipient.tag() == Tag::Sequence {
                keys.extend(key_transport(recipient)?);
            }
        }
        let mut content = parts_of(parts.decode()?, Tag::Sequence)?;
        let _content_type: ObjectIdentifier = content.decode()?;
        let algorithm = content.decode()?;
        let encrypted: AnyRef<'_> = content.decode()?;
        Ok(Self {
            keys,
            algorithm,
            content: in_one_piece(encrypted)?,
        })
    }
}

fn parts_of(value: AnyRef<'_>, tag: Tag) -> der::Result<SliceReader<'_>> {
    value.tag().assert_eq(tag)?;
    SliceReader::new(value.value())
}

/// How a recipient is named, and the encrypted key. None: by another algorithm than RSA PKCS #1 v1.5.
fn key_transport(recipient: AnyRef<'_>) -> der::Result<Option<(&[u8], &[u8])>> {
    let mut parts = parts_of(recipient, Tag::Sequence)?;
    let _version: u8 = parts.decode()?;
    let identifier = parts.tlv_bytes()?;
    let algorithm: Algorithm<'_> = parts.decode()?;
    let key: &OctetStringRef = parts.decode()?;
    Ok((algorithm.oid == RSA).then_some((identifier, key.as_bytes())))
}

/// The encrypted content: `[0] IMPLICIT OCTET STRING`, which in BER may be in pieces.
fn in_one_piece(encrypted: AnyRef<'_>) -> der::Result<Vec<u8>> {
    let Tag::ContextSpecific { constructed, number } = encrypted.tag() else {
        return Err(encrypted.tag().unexpected_error(None).into());
    };
    if number.0 != 0 {
        return Err(encrypted.tag().unexpected_error(None).into());
    }
    if !constructed {
        return Ok(encrypted.value().to_vec());
    }
    let mut whole = Vec::new();
    let mut pieces = SliceReader::new(encrypted.value())?;
    while !pieces.is_finished() {
        let piece: &OctetStringRef = pieces.decode()?;
        whole.extend_from_slice(piece.as_bytes());
    }
    Ok(whole)
}

#[cfg(test)]
mod tests;
