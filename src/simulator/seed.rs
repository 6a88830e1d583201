//! Repeatable randomness: the same seed gives the same fleet, on every computer and in every version.
//!
//! Not for secrets: keys come from the operating system's generator.

/// A `SplitMix64` sequence.
#[derive(Debug, Clone)]
pub(super) struct Seed(u64);

impl Seed {
    /// The sequence for one `purpose` (a device's number, say) under `seed`.
    pub(super) fn new(seed: u64, purpose: u64) -> Self {
        let mut sequence = Self(seed ^ purpose.wrapping_mul(0xA24B_AED4_963E_E407));
        sequence.next();
        sequence
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number under `bound`; 0 when `bound` is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        self.next()
            .checked_rem(bound)
            .and_then(|value| usize::try_from(value).ok())
            .unwrap_or(0)
    }

    /// True in `percent` of a hundred cases.
    pub(super) fn chance(&mut self, percent: u8) -> bool {
        self.below(100) < usize::from(percent)
    }

    /// One of `items`.
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// A fraction of one, for jitter.
    pub(super) fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }

    pub(super) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            let value = self.next().to_le_bytes();
            for (byte, fresh) in chunk.iter_mut().zip(value) {
                *byte = fresh;
            }
        }
        bytes
    }

    pub(super) fn uuid(&mut self) -> uuid::Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let sequence = |seed, purpose| {
            let mut seed = Seed::new(seed, purpose);
            (seed.uuid(), seed.below(1000), seed.bytes::<5>())
        };
        assert_eq!(sequence(1, 2), sequence(1, 2));
        assert_ne!(sequence(1, 2), sequence(1, 3));
        assert_ne!(sequence(1, 2), sequence(2, 2));
    }

    #[test]
    fn chances_come_out_as_asked() {
        let mut seed = Seed::new(1, 1);
        assert!((0..1000).all(|_| !seed.chance(0) && seed.chance(100)));
        let hits = (0..10_000).filter(|_| seed.chance(30)).count();
        assert!((2700..3300).contains(&hits), "{hits}");
    }
}
