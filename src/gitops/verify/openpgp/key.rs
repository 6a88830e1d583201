//! Public keys (RFC 9580 §5.5.2), version 4.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use jiff::Timestamp;

use super::packet::Input;
use crate::gitops::verify::elliptic::{self, Curve, Hash};

/// Ed25519, as keys of the algorithm EdDSA name it.
const ED25519: [u8; 9] = [0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
const P256: [u8; 8] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: [u8; 5] = [0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: [u8; 5] = [0x2b, 0x81, 0x04, 0x00, 0x23];

/// A public key, primary or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// The packet's body: what fingerprints and bindings are made over.
    body: Vec<u8>,
    pub(super) created: Timestamp,
    pub(super) algorithm: u8,
    material: Material,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    Ecdsa(Curve, Vec<u8>),
    /// Written as two numbers (EdDSA) or as 64 bytes.
    Ed25519(Vec<u8>),
    /// Not for signing, or not supported.
    Other,
}

impl Key {
    /// None: it is no key of version 4.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        // A fingerprint is made over a length of two bytes.
        u16::try_from(body.len()).ok()?;
        let mut input = Input(body);
        input.byte().filter(|version| *version == 4)?;
        let created = Timestamp::from_second(i64::from(input.long()?)).ok()?;
        let algorithm = input.byte()?;
        let material = match algorithm {
            1 | 3 => {
                let (modulus, exponent) = (input.number()?.to_vec(), input.number()?.to_vec());
                Material::Rsa { modulus, exponent }
            }
            19 => {
                let length = usize::from(input.byte()?);
                let curve = input.take(length)?;
                let known = [
                    (P256.as_slice(), Curve::P256),
                    (&P384, Curve::P384),
                    (&P521, Curve::P521),
                ];
                let point = input.number()?.to_vec();
                let found = known.iter().find(|(name, _)| *name == curve);
                found.map_or(Material::Other, |(_, curve)| Material::Ecdsa(*curve, point))
            }
            22 => {
                let length = usize::from(input.byte()?);
                let curve = input.take(length)?;
                let point = input.number()?.strip_prefix(&[0x40]);
                point
                    .filter(|_| curve == ED25519)
                    .map_or(Material::Other, |point| Material::Ed25519(point.to_vec()))
            }
            27 => Material::Ed25519(input.take(32)?.to_vec()),
            _ => Material::Other,
        };
        Some(Self {
            body: body.to_vec(),
            created,
            algorithm,
            material,
        })
    }

    /// The bytes that a key is hashed as, in fingerprints and in signatures about it.
    pub(super) fn hashed(&self) -> Vec<u8> {
        let length = u16::try_from(self.body.len()).unwrap_or(u16::MAX);
        let mut bytes = vec![0x99];
        bytes.extend(length.to_be_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Its fingerprint. A version 4 key has none by another hash; it names a key, and proves nothing.
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.hashed())
            .as_ref()
            .to_vec()
    }

    /// Whether it can be asked about a signature at all.
    pub(super) const fn can_verify(&self) -> bool {
        !matches!(self.material, Material::Other)
    }

    /// Whether `numbers`, the end of a signature packet, is a signature over `data`.
    pub(super) fn holds(&self, hash: Hash, data: &[u8], numbers: &[u8]) -> bool {
        self.check(hash, data, numbers).unwrap_or(false)
    }

    fn check(&self, hash: Hash, data: &[u8], numbers: &[u8]) -> Option<bool> {
        let mut input = Input(numbers);
        let holds = match &self.material {
            Material::Rsa { modulus, exponent } => {
                elliptic::rsa(modulus, exponent, hash, data, input.number()?)
            }
            Material::Ecdsa(curve, point) => {
                let (r, s) = (input.number()?, input.number()?);
                elliptic::ecdsa(*curve, hash, point, data, r, s)
            }
            // What is signed is the digest, itself a message.
            Material::Ed25519(point) if self.algorithm == 22 => {
                let mut signature = elliptic::padded(input.number()?, 32)?;
                signature.extend(elliptic::padded(input.number()?, 32)?);
                elliptic::ed25519(point, &hash.digest(data), &signature)
            }
            Material::Ed25519(point) => elliptic::ed25519(point, &hash.digest(data), input.take(64)?),
            Material::Other => return None,
        };
        Some(holds && input.is_empty())
    }
}
