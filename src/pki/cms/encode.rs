//! Writing DER: the few forms that messages are made of.

use super::ber::write;

/// An element of any tag.
pub(super) fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut der = Vec::with_capacity(content.len() + 8);
    write(&mut der, tag, content);
    der
}

/// A SEQUENCE.
pub(super) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tagged(0x30, &parts.concat())
}

/// A SET, sorted as DER has it.
pub(super) fn set(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut parts = parts.to_vec();
    parts.sort_unstable();
    tagged(0x31, &parts.concat())
}

/// What stands under an explicit tag, or a SEQUENCE or SET under an implicit one.
pub(super) fn context(number: u8, content: &[u8]) -> Vec<u8> {
    tagged(0xA0 | number, content)
}

/// An OCTET STRING.
pub(super) fn octets(bytes: &[u8]) -> Vec<u8> {
    tagged(0x04, bytes)
}

/// A version number.
pub(super) fn small_integer(value: u8) -> Vec<u8> {
    tagged(0x02, &[value & 0x7F])
}
