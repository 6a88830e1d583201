//! Signed and encrypted messages (CMS, RFC 5652): by RSA and SHA-256, with AES.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::cipher::{
    AES_128, AES_256, Algorithm, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
    PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

use super::der::{
    CONTEXT_0, INTEGER, NULL, OCTETS, OID, PLAIN_0, Reader, SEQUENCE, SET, around, element, set_of,
};
use super::keys::RsaKey;

/// An object identifier, encoded.
pub(super) type Oid = &'static [u8];

const DATA: Oid = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01];
const SIGNED_DATA: Oid = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x02];
const ENVELOPED_DATA: Oid = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x03];
const CONTENT_TYPE: Oid = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: Oid = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x04];
const RSA: Oid = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
const SHA_256: Oid = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const AES_128_CBC: Oid = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x02];
const AES_256_CBC: Oid = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2A];

/// What of a certificate messages refer to.
pub(super) struct Named<'a> {
    /// Issuer and serial number.
    name: Vec<u8>,
    /// The public key.
    pub(super) public: &'a [u8],
}

impl<'a> Named<'a> {
    /// Reads a certificate.
    pub(super) fn read(certificate: &'a [u8]) -> Option<Self> {
        let mut body = Reader(certificate).within(SEQUENCE)?.within(SEQUENCE)?;
        body.next_if(CONTEXT_0);
        let serial = body.next_if(INTEGER)?;
        let _algorithm = body.next_if(SEQUENCE)?;
        let issuer = body.next_if(SEQUENCE)?;
        let _validity = body.next_if(SEQUENCE)?;
        let _subject = body.next_if(SEQUENCE)?;
        Some(Self {
            name: element(SEQUENCE, &[issuer.whole, serial.whole].concat()),
            public: body.next_if(SEQUENCE)?.whole,
        })
    }
}

/// Who signs messages: a key and its certificate.
pub(in crate::simulator) struct Signer {
    key: Arc<RsaKey>,
    certificate: Vec<u8>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    pub(super) const fn new(key: Arc<RsaKey>, certificate: Vec<u8>) -> Self {
        Self { key, certificate }
    }

    /// A signature over bytes that are elsewhere, as `Mdm-Signature` carries it.
    pub(in crate::simulator) fn sign_beside(&self, content: &[u8]) -> Option<Vec<u8>> {
        self.message(content, None, &[])
    }

    /// A signed message around bytes, with more attributes that are signed, each with its value as DER.
    pub(super) fn sign(&self, content: &[u8], attributes: &[(Oid, Vec<u8>)]) -> Option<Vec<u8>> {
        self.message(content, Some(content), attributes)
    }

    fn message(&self, content: &[u8], within: Option<&[u8]>, more: &[(Oid, Vec<u8>)]) -> Option<Vec<u8>> {
        let attribute =
            |(oid, value): (Oid, Vec<u8>)| around(SEQUENCE, &[element(OID, oid), element(SET, &value)]);
        let fixed = [
            (CONTENT_TYPE, element(OID, DATA)),
            (MESSAGE_DIGEST, element(OCTETS, digest(&SHA256, content).as_ref())),
        ];
        let attributes = set_of(
            fixed
                .into_iter()
                .chain(more.iter().cloned())
                .map(attribute)
                .collect(),
        );
        let signature = self.key.sign(&attributes).ok()?;
        // In the message they have another tag than they are signed with.
        let (_, untagged) = attributes.split_first()?;
        let algorithm = |oid| around(SEQUENCE, &[element(OID, oid), element(NULL, &[])]);
        let signer = around(
            SEQUENCE,
            &[
                element(INTEGER, &[1]),
                Named::read(&self.certificate)?.name,
                algorithm(SHA_256),
                [&[CONTEXT_0], untagged].concat(),
                algorithm(RSA),
                element(OCTETS, &signature),
            ],
        );
        let mut encapsulated = vec![element(OID, DATA)];
        encapsulated.extend(within.map(|content| element(CONTEXT_0, &element(OCTETS, content))));
        let message = around(
            SEQUENCE,
            &[
                element(INTEGER, &[1]),
                element(SET, &algorithm(SHA_256)),
                around(SEQUENCE, &encapsulated),
                element(CONTEXT_0, &self.certificate),
                element(SET, &signer),
            ],
        );
        Some(around(
            SEQUENCE,
            &[element(OID, SIGNED_DATA), element(CONTEXT_0, &message)],
        ))
    }
}

/// What is within a message of this type.
fn content_of(message: &[u8], oid: Oid) -> Option<Reader<'_>> {
    let mut info = Reader(message).within(SEQUENCE)?;
    (info.next_if(OID)?.content == oid).then_some(())?;
    info.within(CONTEXT_0)?.within(SEQUENCE)
}

/// A signed message in its parts.
pub(super) struct Signed<'a> {
    /// The content; of a message that only carries certificates there is none.
    pub(super) content: Option<&'a [u8]>,
    pub(super) certificates: Vec<&'a [u8]>,
    /// Of the first signer.
    attributes: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// Reads a message. Whether its signature holds is another question: [`Self::is_by`].
    pub(super) fn read(message: &'a [u8]) -> Option<Self> {
        let mut parts = content_of(message, SIGNED_DATA)?;
        let _version = parts.next_if(INTEGER)?;
        let _hashes = parts.next_if(SET)?;
        let mut encapsulated = parts.within(SEQUENCE)?;
        let _type = encapsulated.next_if(OID)?;
        let content = encapsulated
            .within(CONTEXT_0)
            .and_then(|mut content| content.next_if(OCTETS));
        let certificates = parts.within(CONTEXT_0).into_iter().flatten();
        let certificates = certificates.map(|certificate| certificate.whole).collect();
        let (mut attributes, mut signature) = (&[][..], &[][..]);
        if let Some(mut signer) = parts.within(SET).and_then(|mut signers| signers.within(SEQUENCE)) {
            let _version = signer.next_if(INTEGER)?;
            let _name = signer.next()?;
            let _hash = signer.next_if(SEQUENCE)?;
            attributes = signer.next_if(CONTEXT_0)?.content;
            let _algorithm = signer.next_if(SEQUENCE)?;
            signature = signer.next_if(OCTETS)?.content;
        }
        Some(Self {
            content: content.map(|content| content.content),
            certificates,
            attributes,
            signature,
        })
    }

    /// The content of the value of a signed attribute.
    pub(super) fn attribute(&self, oid: &[u8]) -> Option<&'a [u8]> {
        Reader(self.attributes).find_map(|attribute| {
            let mut parts = Reader(attribute.content);
            (parts.next_if(OID)?.content == oid).then_some(())?;
            Some(parts.within(SET)?.next()?.content)
        })
    }

    /// Whether the holder of a certificate has signed the content.
    pub(super) fn is_by(&self, certificate: &[u8]) -> bool {
        let Some(named) = Named::read(certificate) else {
            return false;
        };
        let digested = digest(&SHA256, self.content.unwrap_or_default());
        self.attribute(MESSAGE_DIGEST) == Some(digested.as_ref())
            && UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, named.public)
                .verify(&element(SET, self.attributes), self.signature)
                .is_ok()
    }
}

/// Encrypts bytes to the RSA key of a certificate.
pub(super) fn seal(certificate: &[u8], content: &[u8]) -> Option<Vec<u8>> {
    let named = Named::read(certificate)?;
    let public = PublicEncryptingKey::from_der(named.public).ok()?;
    let public = Pkcs1PublicEncryptingKey::new(public).ok()?;
    let (mut key, mut start) = ([0; 16], [0; 16]);
    aws_lc_rs::rand::fill(&mut key).ok()?;
    aws_lc_rs::rand::fill(&mut start).ok()?;
    let mut encrypted_key = vec![0; public.ciphertext_size()];
    public.encrypt(&key, &mut encrypted_key).ok()?;
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_128, &key).ok()?).ok()?;
    let mut encrypted = content.to_vec();
    let mode = EncryptionContext::Iv128(FixedLength::from(start));
    cipher.less_safe_encrypt(&mut encrypted, mode).ok()?;

    let recipient = around(
        SEQUENCE,
        &[
            element(INTEGER, &[0]),
            named.name,
            around(SEQUENCE, &[element(OID, RSA), element(NULL, &[])]),
            element(OCTETS, &encrypted_key),
        ],
    );
    let algorithm = around(SEQUENCE, &[element(OID, AES_128_CBC), element(OCTETS, &start)]);
    let message = around(
        SEQUENCE,
        &[
            element(INTEGER, &[0]),
            element(SET, &recipient),
            around(
                SEQUENCE,
                &[element(OID, DATA), algorithm, element(PLAIN_0, &encrypted)],
            ),
        ],
    );
    Some(around(
        SEQUENCE,
        &[element(OID, ENVELOPED_DATA), element(CONTEXT_0, &message)],
    ))
}

/// Decrypts a message whose only recipient has this key.
pub(super) fn open(message: &[u8], key: &RsaKey) -> Option<Vec<u8>> {
    let mut parts = content_of(message, ENVELOPED_DATA)?;
    let _version = parts.next_if(INTEGER)?;
    let mut recipient = parts.within(SET)?.within(SEQUENCE)?;
    let _version = recipient.next_if(INTEGER)?;
    let _name = recipient.next()?;
    let _algorithm = recipient.next_if(SEQUENCE)?;
    let content_key = key.decrypt(recipient.next_if(OCTETS)?.content)?;
    let mut encrypted = parts.within(SEQUENCE)?;
    let _type = encrypted.next_if(OID)?;
    let mut algorithm = encrypted.within(SEQUENCE)?;
    let cipher: &Algorithm = match algorithm.next_if(OID)?.content {
        oid if oid == AES_128_CBC => &AES_128,
        oid if oid == AES_256_CBC => &AES_256,
        _ => return None,
    };
    let start = DecryptionContext::Iv128(FixedLength::try_from(algorithm.next_if(OCTETS)?.content).ok()?);
    let cipher = UnboundCipherKey::new(cipher, &content_key).ok()?;
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(cipher).ok()?;
    let mut content = encrypted.next_if(PLAIN_0)?.content.to_vec();
    Some(cipher.decrypt(&mut content, start).ok()?.to_vec())
}
