//! What the formats of SSH and OpenPGP have in common: numbers of any length, and ECDSA signatures made of two of them. Pure.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA384_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1,
    ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};

/// A hash that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub(super) fn digest(self, data: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, data).as_ref().to_vec()
    }
}

/// A curve of NIST's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    fn algorithm(self, hash: Hash) -> Option<&'static EcdsaVerificationAlgorithm> {
        Some(match (self, hash) {
            (Self::P256, Hash::Sha256) => &ECDSA_P256_SHA256_ASN1,
            (Self::P256, Hash::Sha384) => &ECDSA_P256_SHA384_ASN1,
            (Self::P384, Hash::Sha256) => &ECDSA_P384_SHA256_ASN1,
            (Self::P384, Hash::Sha384) => &ECDSA_P384_SHA384_ASN1,
            (Self::P521, Hash::Sha256) => &ECDSA_P521_SHA256_ASN1,
            (Self::P521, Hash::Sha384) => &ECDSA_P521_SHA384_ASN1,
            (Self::P521, Hash::Sha512) => &ECDSA_P521_SHA512_ASN1,
            (Self::P256 | Self::P384, Hash::Sha512) => return None,
        })
    }
}

/// Whether an ECDSA signature of the numbers `r` and `s` is one over `data`. `point`: the key, uncompressed.
pub(super) fn ecdsa(curve: Curve, hash: Hash, point: &[u8], data: &[u8], r: &[u8], s: &[u8]) -> bool {
    let (Some(algorithm), Some(signature)) = (curve.algorithm(hash), sequence(r, s)) else {
        return false;
    };
    UnparsedPublicKey::new(algorithm, point)
        .verify(data, &signature)
        .is_ok()
}

/// Whether an Ed25519 signature is one over `data`.
pub(super) fn ed25519(key: &[u8], data: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, key)
        .verify(data, signature)
        .is_ok()
}

/// Whether an RSA signature (PKCS#1 v1.5) is one over `data`. Keys of less than 2048 bits sign nothing.
pub(super) fn rsa(modulus: &[u8], exponent: &[u8], hash: Hash, data: &[u8], signature: &[u8]) -> bool {
    let parameters: &RsaParameters = match hash {
        Hash::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        Hash::Sha384 => &RSA_PKCS1_2048_8192_SHA384,
        Hash::Sha512 => &RSA_PKCS1_2048_8192_SHA512,
    };
    let (n, e) = (trimmed(modulus), trimmed(exponent));
    let Some(signature) = padded(signature, n.len()) else {
        return false;
    };
    RsaPublicKeyComponents { n, e }
        .verify(parameters, data, &signature)
        .is_ok()
}

/// A number without the zeros before it.
pub(super) fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// A number at a length, with zeros before it. None: it is longer.
pub(super) fn padded(number: &[u8], length: usize) -> Option<Vec<u8>> {
    let number = trimmed(number);
    let mut padded = vec![0; length.checked_sub(number.len())?];
    padded.extend_from_slice(number);
    Some(padded)
}

/// Two numbers as an ASN.1 sequence (X.690). None: they are longer than those of any curve.
fn sequence(r: &[u8], s: &[u8]) -> Option<Vec<u8>> {
    let mut numbers = Vec::new();
    for number in [r, s] {
        let number = trimmed(number);
        let sign = usize::from(number.first().is_none_or(|first| first & 0x80 != 0));
        numbers.extend([
            2,
            u8::try_from(number.len() + sign)
                .ok()
                .filter(|length| *length < 0x80)?,
        ]);
        numbers.extend(std::iter::repeat_n(0, sign));
        numbers.extend_from_slice(number);
    }
    let length = u8::try_from(numbers.len()).ok()?;
    let mut sequence = vec![0x30];
    sequence.extend((length >= 0x80).then_some(0x81));
    sequence.push(length);
    sequence.append(&mut numbers);
    Some(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_asn1_as_others_write_it() {
        assert_eq!(
            sequence(&[0, 0x80], &[1]).unwrap(),
            [0x30, 7, 2, 2, 0, 0x80, 2, 1, 1]
        );
        assert_eq!(sequence(&[], &[0]).unwrap(), [0x30, 6, 2, 1, 0, 2, 1, 0]);
        let long = sequence(&[1; 66], &[1; 66]).unwrap();
        assert_eq!(long.get(..3).unwrap(), [0x30, 0x81, 136]);
        assert_eq!(sequence(&[1; 200], &[1]), None);
        assert_eq!(
            (padded(&[0, 1], 3), padded(&[1; 4], 3)),
            (Some(vec![0, 0, 1]), None)
        );
    }
}
