//! DER, as much of it as signed and encrypted messages take. Lengths are definite; what breaks off is not read.

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OID: u8 = 0x06;
pub(super) const PRINTABLE: u8 = 0x13;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `[0]` with something within.
pub(super) const CONTEXT_0: u8 = 0xA0;
/// `[0] IMPLICIT` of something plain.
pub(super) const PLAIN_0: u8 = 0x80;

/// One element.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut length = content.len().to_be_bytes().to_vec();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    length.drain(..zeros);
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(short @ 0..=0x7F) => out.push(short),
        _ => {
            // Eight bytes at most.
            out.push(0x80 | u8::try_from(length.len()).unwrap_or(8));
            out.extend(length);
        }
    }
    out.extend(content);
    out
}

/// Elements one after the other, within one.
pub(super) fn around(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    element(tag, &parts.concat())
}

/// A `SET OF`, whose elements are in the order of their bytes.
pub(super) fn set_of(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    parts.sort();
    around(SET, &parts)
}

/// An element that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// With its tag and length.
    pub(super) whole: &'a [u8],
}

/// Reads elements one after the other, until there is none or one breaks off.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next element, if it is of this kind; it is left where it is otherwise.
    pub(super) fn next_if(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = self.clone();
        let element = ahead.next().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(element)
    }

    /// What is within the next element, which has to be of this kind.
    pub(super) fn within(&mut self, tag: u8) -> Option<Self> {
        self.next_if(tag).map(|element| Self(element.content))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            let length = match bytes.len() {
                1..=4 => bytes
                    .iter()
                    .fold(0, |length, byte| (length << 8) | usize::from(*byte)),
                _ => return None,
            };
            (length, rest)
        };
        let (content, after) = rest.split_at_checked(length)?;
        let whole = self.0.get(..self.0.len() - after.len())?;
        self.0 = after;
        Some(Element { tag, content, whole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_whatever_its_length() {
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let written = around(SEQUENCE, &[element(OCTETS, &vec![7; length]), element(NULL, &[])]);
            let mut reader = Reader(&written);
            let mut within = reader.within(SEQUENCE).unwrap();
            assert_eq!(within.next_if(OCTETS).unwrap().content.len(), length);
            assert!(within.next_if(OID).is_none());
            assert_eq!(within.next().unwrap().whole, [NULL, 0]);
            assert!(within.next().is_none() && reader.next().is_none());
        }
    }

    #[test]
    fn what_breaks_off_is_not_read() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 2, 1],
            &[0x30, 0x82, 1],
            &[0x30, 0x80, 0, 0],
            &[0x04, 0x89],
        ] {
            assert!(Reader(bytes).next().is_none(), "{bytes:?}");
        }
    }
}
