use proptest::prelude::*;

use super::certificate::{certificates, verify};
use super::key::Key;
use super::packet::packets;
use super::signature::Signature;

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in ".{0,200}") {
        let _ = packets(&bytes);
        let mut body = vec![4];
        body.extend(&bytes);
        let _ = Key::parse(&body);
        let _ = Signature::parse(&body);
        let _ = certificates(&text);
        let _ = verify(&[], &bytes, &text, jiff::Timestamp::UNIX_EPOCH, jiff::Timestamp::UNIX_EPOCH);
    }
}
