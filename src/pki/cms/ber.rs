//! From BER to DER, as far as signatures need it: definite, shortest lengths, and each OCTET STRING in one piece.
//!
//! Values are not changed, and sets not sorted. Strings in pieces under an implicit tag keep their pieces: only who knows the schema can tell
//! what they are.

/// The longest message that is read, in bytes.
pub const MESSAGE_LIMIT: usize = 256 * 1024;

/// The deepest nesting that is read. Certificates in signed messages come to about 15.
const DEPTH_LIMIT: usize = 32;

const CONSTRUCTED: u8 = 0x20;
const OCTET_STRING: u8 = 0x04;
const CONSTRUCTED_OCTET_STRING: u8 = OCTET_STRING | CONSTRUCTED;
const INDEFINITE: u8 = 0x80;

/// Why bytes are no BER, or none that is read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BerError {
    /// More bytes than [`MESSAGE_LIMIT`].
    #[error("it has more than {MESSAGE_LIMIT} bytes")]
    TooLarge,
    /// It ends before its lengths say.
    #[error("it breaks off")]
    Truncated,
    /// Nested too deeply.
    #[error("it is nested more than {DEPTH_LIMIT} levels deep")]
    TooDeep,
    /// A tag or length of a form that nobody writes.
    #[error("it has an unusual tag or length")]
    Form,
    /// A string in pieces that are no such strings, or of a kind that is not expected in pieces.
    #[error("it has a string in unusual pieces")]
    Pieces,
    /// There are bytes after its end.
    #[error("there are bytes after its end")]
    Trailing,
}

/// Brings one BER value into DER.
///
/// # Errors
/// When it is none, or too large or deep.
pub fn to_der(message: &[u8]) -> Result<Vec<u8>, BerError> {
    if message.len() > MESSAGE_LIMIT {
        return Err(BerError::TooLarge);
    }
    let mut reader = Reader { rest: message };
    let mut der = Vec::with_capacity(message.len());
    reader.element(&mut der, DEPTH_LIMIT)?;
    if reader.rest.is_empty() {
        Ok(der)
    } else {
        Err(BerError::Trailing)
    }
}

/// What is left to read.
struct Reader<'a> {
    rest: &'a [u8],
}

/// How long a value is.
enum Length {
    Definite(usize),
    /// Until an end-of-contents mark.
    Indefinite,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, BerError> {
        let (first, rest) = self.rest.split_first().ok_or(BerError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], BerError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(BerError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    /// Tags above 30 do not occur in what is read here.
    fn tag(&mut self) -> Result<u8, BerError> {
        match self.byte()? {
            tag if tag & 0x1F == 0x1F => Err(BerError::Form),
            tag => Ok(tag),
        }
    }

    fn length(&mut self) -> Result<Length, BerError> {
        let first = self.byte()?;
        match first {
            INDEFINITE => Ok(Length::Indefinite),
            0..INDEFINITE => Ok(Length::Definite(usize::from(first))),
            _ => {
                let digits = self.take(usize::from(first & 0x7F))?;
                let significant = digits.iter().position(|digit| *digit != 0);
                let digits = significant.and_then(|at| digits.get(at..)).unwrap_or_default();
                if digits.len() > 4 {
                    return Err(BerError::Form);
                }
                let length = digits
                    .iter()
                    .fold(0, |length, digit| (length << 8) | usize::from(*digit));
                Ok(Length::Definite(length))
            }
        }
    }

    /// Reads one element and writes it as DER.
    fn element(&mut self, der: &mut Vec<u8>, depth: usize) -> Result<(), BerError> {
        let depth = depth.checked_sub(1).ok_or(BerError::TooDeep)?;
        let tag = self.tag()?;
        let length = self.length()?;
        if tag & CONSTRUCTED == 0 {
            let Length::Definite(length) = length else {
                return Err(BerError::Form);
            };
            write(der, tag, self.take(length)?);
            return Ok(());
        }
        let mut content = Vec::new();
        match length {
            Length::Definite(length) => {
                let mut inner = Reader {
                    rest: self.take(length)?,
                };
                while !inner.rest.is_empty() {
                    inner.part(tag, &mut content, depth)?;
                }
            }
            Length::Indefinite => {
                while !self.rest.starts_with(&[0, 0]) {
                    self.part(tag, &mut content, depth)?;
                }
                self.take(2)?;
            }
        }
        match tag {
            CONSTRUCTED_OCTET_STRING => write(der, OCTET_STRING, &content),
            _ => write(der, tag, &content),
        }
        Ok(())
    }

    /// Reads one part of a constructed value.
    fn part(&mut self, outer: u8, content: &mut Vec<u8>, depth: usize) -> Result<(), BerError> {
        match outer {
            CONSTRUCTED_OCTET_STRING => self.piece(content, depth),
            // SEQUENCE, SET, and whatever is not of the universal class.
            0x30 | 0x31 | 0x40.. => self.element(content, depth),
            _ => Err(BerError::Pieces),
        }
    }

    /// Reads one piece of an OCTET STRING, which may itself be in pieces, and writes its bytes alone.
    fn piece(&mut self, content: &mut Vec<u8>, depth: usize) -> Result<(), BerError> {
        let depth = depth.checked_sub(1).ok_or(BerError::TooDeep)?;
        let tag = self.tag()?;
        match (tag, self.length()?) {
            (OCTET_STRING, Length::Definite(length)) => content.extend_from_slice(self.take(length)?),
            (CONSTRUCTED_OCTET_STRING, Length::Definite(length)) => {
                let mut inner = Reader {
                    rest: self.take(length)?,
                };
                while !inner.rest.is_empty() {
                    inner.piece(content, depth)?;
                }
            }
            (CONSTRUCTED_OCTET_STRING, Length::Indefinite) => {
                while !self.rest.starts_with(&[0, 0]) {
                    self.piece(content, depth)?;
                }
                self.take(2)?;
            }
            _ => return Err(BerError::Pieces),
        }
        Ok(())
    }
}

/// Writes an element with the shortest length.
pub(super) fn write(der: &mut Vec<u8>, tag: u8, content: &[u8]) {
    der.push(tag);
    let length = content.len().to_be_bytes();
    let significant = length.iter().position(|digit| *digit != 0);
    let digits = significant.and_then(|at| length.get(at..)).unwrap_or(&[0]);
    match digits {
        [short @ 0..0x80] => der.push(*short),
        // Eight digits at most.
        digits => {
            der.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            der.extend_from_slice(digits);
        }
    }
    der.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn der_stays_as_it_is() {
        let mut long = vec![0x30, 0x82, 0x01, 0x04, 0x04, 0x82, 0x01, 0x00];
        long.extend([7; 256]);
        assert_eq!(to_der(&long), Ok(long.clone()));
        assert_eq!(to_der(&[0x05, 0x00]), Ok(vec![0x05, 0x00]));
    }

    #[test]
    fn indefinite_lengths_become_definite_and_pieces_become_one() {
        let ber = [
            0x30, 0x80, 0x24, 0x80, 0x04, 0x02, 1, 2, 0x24, 0x03, 0x04, 0x01, 3, 0, 0, 0xA0, 0x80, 0x02,
            0x81, 0x01, 9, 0, 0, 0, 0,
        ];
        assert_eq!(
            to_der(&ber),
            Ok(vec![0x30, 10, 0x04, 3, 1, 2, 3, 0xA0, 3, 0x02, 1, 9])
        );
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let deep = [0x30, 0x80].repeat(100_000);
        for (bytes, error) in [
            (&[][..], BerError::Truncated),
            (&[0x30], BerError::Truncated),
            (&[0x30, 0x80], BerError::Truncated),
            (&[0x04, 0x84, 0xFF, 0xFF, 0xFF, 0xFF], BerError::Truncated),
            (&[0x04, 0x85, 1, 0, 0, 0, 0], BerError::Form),
            (&[0x04, 0x80], BerError::Form),
            (&[0x1F, 0x20, 0], BerError::Form),
            (&[0x24, 0x02, 0x02, 0x00], BerError::Pieces),
            (&[0x23, 0x02, 0x03, 0x00], BerError::Pieces),
            (&[0x05, 0x00, 0x05, 0x00], BerError::Trailing),
            (&deep, BerError::TooDeep),
            (&vec![0; MESSAGE_LIMIT + 1], BerError::TooLarge),
        ] {
            assert_eq!(to_der(bytes), Err(error), "{:?}", bytes.get(..8));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer_and_der_is_a_fixed_point(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(der) = to_der(&bytes) {
                prop_assert_eq!(to_der(&der), Ok(der.clone()));
            }
        }
    }
}
