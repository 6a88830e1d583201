//! Signature packets (RFC 9580 §5.2), version 4.

use jiff::{SignedDuration, Timestamp};

use super::key::Key;
use super::packet::Input;
use crate::gitops::verify::elliptic::Hash;

/// The types of signature that are looked at.
pub(super) mod kind {
    pub(in super::super) const BINARY: u8 = 0x00;
    pub(in super::super) const CERTIFICATIONS: std::ops::RangeInclusive<u8> = 0x10..=0x13;
    pub(in super::super) const SUBKEY_BINDING: u8 = 0x18;
    pub(in super::super) const PRIMARY_BINDING: u8 = 0x19;
    pub(in super::super) const DIRECT: u8 = 0x1f;
    pub(in super::super) const KEY_REVOCATION: u8 = 0x20;
    pub(in super::super) const SUBKEY_REVOCATION: u8 = 0x28;
    pub(in super::super) const CERTIFICATION_REVOCATION: u8 = 0x30;
}

/// The flag of a key that may sign.
const MAY_SIGN: u8 = 2;
/// Reasons of a revocation that say nothing against what was signed before it: superseded, and no longer used.
const HARMLESS: [u8; 2] = [1, 3];

/// A signature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) kind: u8,
    algorithm: u8,
    hash: u8,
    /// What is hashed of it, its own trailer included.
    trailer: Vec<u8>,
    numbers: Vec<u8>,
    /// When it was made. None: it does not say, and counts for nothing.
    pub(super) created: Option<Timestamp>,
    /// How long it counts.
    lasts: Option<u32>,
    /// How long the key counts that it is about.
    pub(super) key_lasts: Option<u32>,
    /// What the key may do that it is about.
    flags: Option<u8>,
    /// Why a key is revoked.
    reason: Option<u8>,
    /// The fingerprint, or the id, of the key that is said to have made it.
    issuer: Vec<u8>,
    /// That of a signing key over its certificate.
    pub(super) embedded: Option<Box<Self>>,
    /// It says something that matters and is not understood here.
    has_unknown: bool,
}

impl Signature {
    /// None: it is no signature of version 4.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        Self::parse_within(body, true)
    }

    fn parse_within(body: &[u8], outer: bool) -> Option<Self> {
        let mut input = Input(body);
        input.byte().filter(|version| *version == 4)?;
        let mut signature = Self {
            kind: input.byte()?,
            algorithm: input.byte()?,
            hash: input.byte()?,
            ..Self::default()
        };
        let hashed_length = usize::from(input.short()?);
        let hashed = input.take(hashed_length)?;
        let head = body.get(..6 + hashed_length)?;
        signature.trailer = head.to_vec();
        signature.trailer.extend([4, 0xff]);
        signature
            .trailer
            .extend(u32::try_from(head.len()).ok()?.to_be_bytes());
        let unhashed_length = usize::from(input.short()?);
        let unhashed = input.take(unhashed_length)?;
        // The beginning of the digest, to find a mistake early; it proves nothing.
        input.short()?;
        signature.numbers = input.0.to_vec();
        signature.read(hashed, true, outer)?;
        signature.read(unhashed, false, outer)?;
        Some(signature)
    }

    /// Takes in subpackets. Only those that are hashed are the signer's; of the others, only hints count and what proves itself.
    fn read(&mut self, bytes: &[u8], hashed: bool, outer: bool) -> Option<()> {
        let mut input = Input(bytes);
        while !input.is_empty() {
            let length = input.length(255)?;
            let mut body = Input(input.take(length)?);
            let kind = body.byte()?;
            match (kind & 0x7f, hashed) {
                (2, true) => self.created = Some(Timestamp::from_second(i64::from(body.long()?)).ok()?),
                (3, true) => self.lasts = Some(body.long()?).filter(|seconds| *seconds > 0),
                (9, true) => self.key_lasts = Some(body.long()?).filter(|seconds| *seconds > 0),
                (27, true) => self.flags = Some(body.byte().unwrap_or_default()),
                (29, true) => self.reason = Some(body.byte()?),
                // An id is the end of a fingerprint: whichever is longer says more.
                (16, _) if self.issuer.is_empty() => self.issuer = body.0.to_vec(),
                (33, _) => self.issuer = body.0.get(1..)?.to_vec(),
                (32, _) if outer => self.embedded = Self::parse_within(body.0, false).map(Box::new),
                // A note that must be understood is one that is not.
                (20, true) if kind & 0x80 != 0 => self.has_unknown = true,
                // Preferences, notations, names and addresses: nothing that makes a signature count less.
                (4..=7 | 10..=12 | 16 | 20..=28 | 30..=32 | 34 | 35 | 39, _) => {}
                (_, true) if kind & 0x80 != 0 => self.has_unknown = true,
                _ => {}
            }
        }
        Some(())
    }

    /// The hash, if it counts.
    fn hash(&self) -> Result<Hash, String> {
        match self.hash {
            8 => Ok(Hash::Sha256),
            9 => Ok(Hash::Sha384),
            10 => Ok(Hash::Sha512),
            1 => Err("it uses the hash MD5, which is broken".to_owned()),
            2 => Err("it uses the hash SHA-1, which is broken".to_owned()),
            other => Err(format!("it uses the hash {other}, which is not supported")),
        }
    }

    /// Whether `key` is said to have made it.
    pub(super) fn is_said_to_be_by(&self, key: &Key) -> bool {
        !self.issuer.is_empty() && key.fingerprint().ends_with(&self.issuer)
    }

    /// The key that is said to have made it.
    pub(super) fn issuer(&self) -> String {
        match hex::encode_upper(&self.issuer) {
            none if none.is_empty() => "a key that it does not name".to_owned(),
            id => id,
        }
    }

    /// Why it is not one by `key` over `data` that counts at `at`.
    pub(super) fn objection(&self, key: &Key, data: &[u8], at: Timestamp) -> Option<String> {
        let hash = match self.hash() {
            Ok(hash) => hash,
            Err(why) => return Some(why),
        };
        if self.has_unknown {
            return Some("it says something critical that is not understood".to_owned());
        }
        let Some(created) = self.created else {
            return Some("it does not say when it was made".to_owned());
        };
        if !key.can_verify() {
            return Some(format!("keys of algorithm {} are not supported", key.algorithm));
        }
        let mut signed = data.to_vec();
        signed.extend_from_slice(&self.trailer);
        if self.algorithm != key.algorithm || !key.holds(hash, &signed, &self.numbers) {
            return Some("it is not one over this content".to_owned());
        }
        let ends = after(created, self.lasts)?;
        (at >= ends).then(|| format!("it ended at {}", ends.strftime("%Y-%m-%dT%H:%M:%SZ")))
    }

    /// Whether it takes something back. One that cannot be checked does: by mistake, a key is rather refused than trusted.
    pub(super) fn revokes(&self, primary: &Key, data: &[u8]) -> bool {
        let Ok(hash) = self.hash() else { return true };
        let mut signed = data.to_vec();
        signed.extend_from_slice(&self.trailer);
        !primary.can_verify() || primary.holds(hash, &signed, &self.numbers)
    }

    /// Whether the key may sign that it is about. `by_default`: what it means that nothing is said.
    pub(super) fn lets_sign(&self, by_default: bool) -> bool {
        self.flags.map_or(by_default, |flags| flags & MAY_SIGN != 0)
    }

    /// Whether a revocation leaves what was signed before it.
    pub(super) fn is_harmless(&self) -> bool {
        self.reason.is_some_and(|reason| HARMLESS.contains(&reason))
    }
}

/// The end of something. None: it has none.
pub(super) fn after(begin: Timestamp, lasts: Option<u32>) -> Option<Timestamp> {
    begin
        .checked_add(SignedDuration::from_secs(i64::from(lasts?)))
        .ok()
}
