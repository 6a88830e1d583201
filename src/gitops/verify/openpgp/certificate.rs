//! Certificates (RFC 9580 §10.1): a primary key, what its owner says about it, and the keys that belong to it.

use jiff::{SignedDuration, Timestamp};

use super::armor;
use super::key::Key;
use super::packet::{self, packets};
use super::signature::{Signature, after, kind};
use crate::gitops::verify::refusal::Outcome;
use crate::gitops::verify::when::Span;

/// How far another clock may be ahead of ours.
const AHEAD: SignedDuration = SignedDuration::from_mins(10);
/// How many signatures are looked at of those on one key or one name: more by its own owner are not needed.
const MAXIMUM_SIGNATURES: usize = 64;
/// How many names, and how many keys, of one certificate are looked at.
const MAXIMUM_PARTS: usize = 64;

/// A public key with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gitops::verify) struct Certificate {
    primary: Key,
    /// On the primary key: what it says of itself, and revocations.
    direct: Vec<Signature>,
    names: Vec<Name>,
    subkeys: Vec<Subkey>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    text: Vec<u8>,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Subkey {
    key: Key,
    signatures: Vec<Signature>,
}

/// What of a certificate comes next in a list of packets.
enum Part {
    Primary,
    Name,
    Subkey,
    /// Something that is passed over, with its signatures.
    Other,
}

/// Reads certificates from their armor.
///
/// # Errors
/// When there is none, or one is broken or of a version that is not supported.
pub(in crate::gitops::verify) fn certificates(text: &str) -> Result<Vec<Certificate>, String> {
    let mut certificates = Vec::new();
    for block in armor::blocks(text, "PUBLIC KEY BLOCK")? {
        read(&block, &mut certificates)?;
    }
    Ok(certificates)
}

fn read(block: &[u8], certificates: &mut Vec<Certificate>) -> Result<(), String> {
    let mut part = Part::Other;
    for found in packets(block)? {
        if found.kind == packet::kind::PUBLIC_KEY {
            let primary = Key::parse(found.body).ok_or("it is no key of version 4, as GnuPG makes them")?;
            certificates.push(Certificate {
                primary,
                direct: Vec::new(),
                names: Vec::new(),
                subkeys: Vec::new(),
            });
            part = Part::Primary;
            continue;
        }
        let Some(certificate) = certificates.last_mut() else {
            return Err("it does not begin with a public key".to_owned());
        };
        match found.kind {
            packet::kind::SIGNATURE => certificate.sign(&part, found.body),
            packet::kind::USER_ID if certificate.names.len() < MAXIMUM_PARTS => {
                certificate.names.push(Name {
                    text: found.body.to_vec(),
                    signatures: Vec::new(),
                });
                part = Part::Name;
            }
            packet::kind::PUBLIC_SUBKEY if certificate.subkeys.len() < MAXIMUM_PARTS => {
                match Key::parse(found.body) {
                    Some(key) => {
                        certificate.subkeys.push(Subkey {
                            key,
                            signatures: Vec::new(),
                        });
                        part = Part::Subkey;
                    }
                    None => part = Part::Other,
                }
            }
            packet::kind::TRUST | packet::kind::MARKER | packet::kind::PADDING => {}
            _ => part = Part::Other,
        }
    }
    Ok(())
}

impl Certificate {
    /// Keeps a signature that the owner is said to have made; what others say counts for nothing here.
    fn sign(&mut self, part: &Part, body: &[u8]) {
        let Some(signature) =
            Signature::parse(body).filter(|signature| signature.is_said_to_be_by(&self.primary))
        else {
            return;
        };
        let signatures = match part {
            Part::Primary => Some(&mut self.direct),
            Part::Name => self.names.last_mut().map(|name| &mut name.signatures),
            Part::Subkey => self.subkeys.last_mut().map(|subkey| &mut subkey.signatures),
            Part::Other => None,
        };
        if let Some(signatures) = signatures.filter(|signatures| signatures.len() < MAXIMUM_SIGNATURES) {
            signatures.push(signature);
        }
    }

    /// The keys that may have signed something, the primary one first.
    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.primary).chain(self.subkeys.iter().map(|subkey| &subkey.key))
    }

    /// Who it belongs to: the first of its names.
    fn owner(&self) -> String {
        let name = self
            .names
            .first()
            .map(|name| String::from_utf8_lossy(&name.text).into_owned());
        let name: String = name
            .unwrap_or_default()
            .chars()
            .filter(|c| !c.is_control())
            .take(128)
            .collect();
        format!("{name} ({})", hex::encode_upper(self.primary.fingerprint()))
    }

    /// What the owner says of the primary key now: the newest of its own signatures that count, on it or on a name that is not revoked.
    fn own(&self, now: Timestamp) -> Result<&Signature, String> {
        let key = self.primary.hashed();
        let mut objection = None;
        let mut own: Option<&Signature> = None;
        let mut consider =
            |signature: &'_ Signature, data: &[u8]| match signature.objection(&self.primary, data, now) {
                None => signature.created.is_some_and(|created| created <= ahead(now)),
                Some(why) => {
                    objection = Some(why);
                    false
                }
            };
        for signature in self
            .direct
            .iter()
            .filter(|signature| signature.kind == kind::DIRECT)
        {
            if consider(signature, &key) {
                own = newer(own, signature);
            }
        }
        for name in &self.names {
            let data = name.hashed(&key);
            let of = |kinds: std::ops::RangeInclusive<u8>| {
                name.signatures
                    .iter()
                    .filter(move |one| kinds.contains(&one.kind))
            };
            let revocations = of(kind::CERTIFICATION_REVOCATION..=kind::CERTIFICATION_REVOCATION);
            let revoked_at = revocations
                .filter(|one| one.revokes(&self.primary, &data))
                .map(|one| one.created)
                .max();
            for signature in of(kind::CERTIFICATIONS) {
                // A name can be taken back and given again.
                let is_revoked = revoked_at.is_some_and(|at| at.is_none() || signature.created <= at);
                if !is_revoked && consider(signature, &data) {
                    own = newer(own, signature);
                }
            }
        }
        own.ok_or_else(|| match objection {
            Some(why) => format!("its owner's signature on the key does not count: {why}"),
            None => "its owner has not signed the key".to_owned(),
        })
    }

    /// Why `key` of this certificate may not sign something of the time `at`, as of `now`.
    fn objection(&self, key: &Key, at: Timestamp, now: Timestamp) -> Option<String> {
        let primary = self.primary.hashed();
        let objection = revoked(&self.direct, kind::KEY_REVOCATION, &self.primary, &primary, at);
        if objection.is_some() {
            return objection;
        }
        let own = match self.own(now) {
            Ok(own) => own,
            Err(why) => return Some(why),
        };
        if let Some(why) = span(&self.primary, own).objection(at) {
            return Some(why);
        }
        if *key == self.primary {
            return (!own.lets_sign(true)).then(|| "the key is not for signing".to_owned());
        }
        let subkey = self.subkeys.iter().find(|subkey| subkey.key == *key)?;
        let mut data = primary;
        data.extend(key.hashed());
        let objection = revoked(
            &subkey.signatures,
            kind::SUBKEY_REVOCATION,
            &self.primary,
            &data,
            at,
        );
        if objection.is_some() {
            return objection;
        }
        let bindings = subkey
            .signatures
            .iter()
            .filter(|one| one.kind == kind::SUBKEY_BINDING);
        let counting = bindings.filter(|one| {
            one.objection(&self.primary, &data, now).is_none()
                && one.created.is_some_and(|created| created <= ahead(now))
        });
        let Some(binding) = counting.fold(None, newer) else {
            return Some("the key is not bound to its certificate by a signature that counts".to_owned());
        };
        if !binding.lets_sign(false) {
            return Some("the key is not for signing".to_owned());
        }
        // Otherwise a key of somebody else's could be passed off as one's own.
        let agrees = binding.embedded.as_deref().is_some_and(|embedded| {
            embedded.kind == kind::PRIMARY_BINDING && embedded.objection(key, &data, now).is_none()
        });
        if !agrees {
            return Some("the key has not agreed to belong to its certificate".to_owned());
        }
        span(key, binding).objection(at)
    }
}

impl Name {
    fn hashed(&self, key: &[u8]) -> Vec<u8> {
        let mut bytes = key.to_vec();
        bytes.push(0xb4);
        bytes.extend(u32::try_from(self.text.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(&self.text);
        bytes
    }
}

/// Checks a signature over `payload`. `at`: the time that the key has to be good at, besides that at which it signed; `now`: of what its owner
/// says of it, everything until then counts.
///
/// # Errors
/// When it cannot be read.
pub(in crate::gitops::verify) fn verify(
    certificates: &[Certificate],
    payload: &[u8],
    armored: &str,
    at: Timestamp,
    now: Timestamp,
) -> Result<Outcome, String> {
    let blocks = armor::blocks(armored, "SIGNATURE")?;
    let [block] = blocks.as_slice() else {
        return Err("there is more than one".to_owned());
    };
    let found = packets(block)?;
    let [one] = found.as_slice() else {
        return Err("it is not exactly one signature".to_owned());
    };
    let signature = Some(one.body).filter(|_| one.kind == packet::kind::SIGNATURE);
    let signature = signature
        .and_then(Signature::parse)
        .ok_or("it is no signature of version 4, as GnuPG makes them")?;
    let known = certificates.iter().find_map(|certificate| {
        let key = certificate.keys().find(|key| signature.is_said_to_be_by(key))?;
        Some((certificate, key))
    });
    let Some((certificate, key)) = known else {
        return Ok(Outcome::Unknown(format!(
            "the OpenPGP key {}",
            signature.issuer()
        )));
    };
    let owner = certificate.owner();
    Ok(match objection(certificate, key, &signature, payload, at, now) {
        None => Outcome::Signed(owner),
        Some(why) => Outcome::Bad { key: owner, why },
    })
}

fn objection(
    certificate: &Certificate,
    key: &Key,
    signature: &Signature,
    payload: &[u8],
    at: Timestamp,
    now: Timestamp,
) -> Option<String> {
    if signature.kind != kind::BINARY {
        return Some(format!(
            "it is of type {}, not one over a document",
            signature.kind
        ));
    }
    if let Some(why) = signature.objection(key, payload, at) {
        return Some(why);
    }
    let Some(created) = signature.created.filter(|created| *created <= ahead(now)) else {
        return Some("it is from the future".to_owned());
    };
    // When it signed, and when it is looked at: a key that has expired since signs nothing new, whatever date its user gives.
    certificate
        .objection(key, created, now)
        .or_else(|| certificate.objection(key, at, now))
}

/// Why a key counts as revoked at `at`. One that may have been stolen is revoked for ever: whoever has it can give any date.
fn revoked(signatures: &[Signature], kind: u8, primary: &Key, data: &[u8], at: Timestamp) -> Option<String> {
    let revocations = signatures.iter().filter(|signature| signature.kind == kind);
    let applies = |one: &&Signature| !one.is_harmless() || one.created.is_none_or(|created| at >= created);
    let found = revocations
        .filter(applies)
        .find(|one| one.revokes(primary, data))?;
    let when = found
        .created
        .map(|created| created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    Some(format!("the key was revoked at {}", when.unwrap_or_default()))
}

fn ahead(now: Timestamp) -> Timestamp {
    now.saturating_add(AHEAD).unwrap_or(now)
}

fn newer<'a>(known: Option<&'a Signature>, one: &'a Signature) -> Option<&'a Signature> {
    known.filter(|known| known.created >= one.created).or(Some(one))
}

fn span(key: &Key, says: &Signature) -> Span {
    Span {
        from: Some(key.created),
        until: after(key.created, says.key_lasts),
    }
}
