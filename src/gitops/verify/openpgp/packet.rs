//! Packets (RFC 9580 §4.2) and the bytes in them.

/// The types of packet that are looked at.
pub(super) mod kind {
    pub(in super::super) const SIGNATURE: u8 = 2;
    pub(in super::super) const PUBLIC_KEY: u8 = 6;
    pub(in super::super) const MARKER: u8 = 10;
    pub(in super::super) const TRUST: u8 = 12;
    pub(in super::super) const USER_ID: u8 = 13;
    pub(in super::super) const PUBLIC_SUBKEY: u8 = 14;
    pub(in super::super) const PADDING: u8 = 21;
}

/// The most packets that are read of one block.
const MAXIMUM: usize = 4_096;

/// A packet: its type and its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) kind: u8,
    pub(super) body: &'a [u8],
}

/// The packets that bytes consist of, with nothing left over. Lengths in parts are for encrypted data, and are not read.
pub(super) fn packets(bytes: &[u8]) -> Result<Vec<Packet<'_>>, &'static str> {
    let mut input = Input(bytes);
    let mut packets = Vec::new();
    while !input.is_empty() {
        if packets.len() == MAXIMUM {
            return Err("it has too many packets");
        }
        packets.push(packet(&mut input).ok_or("it is cut off, or no OpenPGP data")?);
    }
    Ok(packets)
}

fn packet<'a>(input: &mut Input<'a>) -> Option<Packet<'a>> {
    let head = input.byte()?;
    if head & 0x80 == 0 {
        return None;
    }
    let (kind, length) = if head & 0x40 != 0 {
        (head & 0x3f, input.length(224)?)
    } else {
        let length = match head & 3 {
            0 => usize::from(input.byte()?),
            1 => usize::from(input.short()?),
            2 => usize::try_from(input.long()?).ok()?,
            _ => return None,
        };
        ((head >> 2) & 0xf, length)
    };
    Some(Packet {
        kind,
        body: input.take(length)?,
    })
}

/// Bytes to read from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(super) fn long(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A length as new packets (`limit` 224) and subpackets (`limit` 255) have it.
    pub(super) fn length(&mut self, limit: u8) -> Option<usize> {
        match self.byte()? {
            short @ 0..192 => Some(usize::from(short)),
            255 => usize::try_from(self.long()?).ok(),
            long if long < limit => Some((usize::from(long) - 192) * 256 + usize::from(self.byte()?) + 192),
            _ => None,
        }
    }

    /// A number of any length (§3.2).
    pub(super) fn number(&mut self) -> Option<&'a [u8]> {
        let bits = usize::from(self.short()?);
        self.take(bits.div_ceil(8))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_apart_in_both_ways_of_writing() {
        let mut bytes = vec![0xb4, 2, b'h', b'i', 0xcd, 1, b'x', 0xc2, 192, 8];
        bytes.extend([7; 200]);
        let found = packets(&bytes).unwrap();
        let told: Vec<_> = found
            .iter()
            .map(|packet| (packet.kind, packet.body.len()))
            .collect();
        assert_eq!(told, [(13, 2), (13, 1), (2, 200)]);
        bytes.pop();
        assert!(packets(&bytes).is_err());
        assert!(packets(&[0xc2, 224, 0]).is_err(), "a length in parts");
        assert!(packets(&[0x83, 0]).is_err(), "a length that is not told");
        assert!(packets(&[0x12]).is_err());
        assert!(packets(&[0xc2, 0].repeat(MAXIMUM + 1)).is_err());
    }
}
