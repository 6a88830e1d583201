use proptest::prelude::*;

use super::*;

const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_line_of_allowed_signers_says_who_when_and_for_what() {
    let file = format!(
        "# people\n\nada@example.com,*@ops.example.com namespaces=\"file,git\",valid-after=\"20260101Z\",valid-before=\"202702031530\" {ED25519} laptop\n\"bob b@example.com\" {ED25519}\neve@example.com namespaces=\"file\" {ED25519}\n"
    );
    let signers = allowed_signers(&file).unwrap();
    let told: Vec<_> = signers
        .iter()
        .map(|signer| (signer.name.as_str(), signer.for_git))
        .collect();
    assert_eq!(
        told,
        [
            ("ada@example.com,*@ops.example.com", true),
            ("bob b@example.com", true),
            ("eve@example.com", false)
        ]
    );
    let span = signers[0].span;
    assert_eq!(
        (span.from, span.until),
        (Some(at("2026-01-01T00:00:00Z")), Some(at("2027-02-03T15:30:00Z")))
    );
    assert_eq!(span.objection(at("2026-05-01T00:00:00Z")), None);
    assert_eq!(
        span.objection(at("2027-02-03T15:30:00Z")).unwrap(),
        "the key expired at 2027-02-03T15:30:00Z"
    );
    assert_eq!(
        span.objection(at("2025-12-31T23:59:59Z")).unwrap(),
        "the key is valid only from 2026-01-01T00:00:00Z"
    );
}

#[test]
fn a_list_that_is_half_understood_is_wrong_and_says_where() {
    let wrong = |file: &str| allowed_signers(file).unwrap_err();
    assert_eq!(
        wrong("\nada@example.com"),
        "line 2: a line is who, options if any, and a key"
    );
    assert_eq!(
        wrong(&format!("a cert-authority {ED25519}")),
        "line 1: certificates are not supported; list the key itself"
    );
    assert_eq!(
        wrong(&format!("a valid-before=\"soon\" {ED25519}")),
        "line 1: valid-before: `soon` is no time"
    );
    assert_eq!(
        wrong(&format!("a no-touch {ED25519}")),
        "line 1: `no-touch` is no option of allowed_signers"
    );
    assert_eq!(
        wrong("a ssh-dss AAAAB3NzaC1kc3M="),
        "line 1: ssh-dss is no key that is supported"
    );
    let other_type = ED25519.replace("ssh-ed25519 ", "ssh-rsa ");
    assert_eq!(
        public_keys(&other_type, "x").unwrap_err(),
        "line 1: the key is not of the type that the line says"
    );
}

#[test]
fn a_plain_key_is_known_by_its_comment_or_its_file() {
    let keys = public_keys(&format!("{ED25519}\n{ED25519} ada's laptop\n"), "ada.sshpub").unwrap();
    assert_eq!(
        (keys[0].name.as_str(), keys[1].name.as_str()),
        ("ada.sshpub", "ada's laptop")
    );
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in ".{0,200}") {
        let _ = Signature::parse(&bytes).map(|signature| holds(signature.key, &bytes, signature.value));
        let _ = Key::parse(&bytes);
        let _ = allowed_signers(&text);
        let mut prefixed = b"SSHSIG\0\0\0\x01".to_vec();
        prefixed.extend(&bytes);
        let armored = format!("{BEGIN}\n{}\n{END}", STANDARD.encode(&prefixed));
        let _ = verify(&[], b"", &armored, Timestamp::UNIX_EPOCH);
        let _ = verify(&[], b"", &text, Timestamp::UNIX_EPOCH);
    }
}
