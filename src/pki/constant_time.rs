//! Comparing what is secret, so that the time that it takes tells nothing.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::ids::Digest;

/// Whether two secrets are the same. Not even their lengths can be told from how long it takes: what is compared are digests.
#[must_use]
pub fn equal(one: &[u8], other: &[u8]) -> bool {
    verify_slices_are_equal(&Digest::of(one).0, &Digest::of(other).0).is_ok()
}

#[cfg(test)]
mod tests {
    use super::equal;

    #[test]
    fn the_same_is_the_same_and_nothing_else() {
        assert!(equal(b"key", b"key") && equal(b"", b""));
        assert!(!equal(b"key", b"kez") && !equal(b"key", b"key ") && !equal(b"key", b""));
    }
}
