use std::path::Path;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::clock::SeededEntropy;
use crate::pki::cms::{Content, HashPolicy, Signer, certificates_only, oid, verify};

/// An RSA key and its certificate, by OpenSSL, in a folder that both programs use.
struct Pair {
    folder: tempfile::TempDir,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

fn openssl(folder: &Path, command: &str) -> Vec<u8> {
    let output = Command::new("openssl")
        .args(command.split(' '))
        .current_dir(folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {command}: {said}");
    output.stdout
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        openssl(
            path,
            "req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -subj /CN=ra -days 9",
        );
        Self {
            certificate: openssl(path, "x509 -in c.pem -outform DER"),
            key: openssl(path, "pkcs8 -topk8 -nocrypt -in k.pem -outform DER"),
            folder,
        }
    }

    fn recipient(&self) -> Recipient {
        Recipient::new(&self.certificate, &self.key).unwrap()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn entropy() -> SeededEntropy {
    SeededEntropy::new(11)
}

/// Another sequence than the one that made the keys.
fn other_entropy() -> SeededEntropy {
    SeededEntropy::new(12)
}

const WORDS: &[u8] = b"what is in the envelope";

#[test]
fn what_openssl_encrypts_is_opened() {
    let pair = Pair::new();
    std::fs::write(pair.path().join("words"), WORDS).unwrap();
    let ours = pair.recipient();
    for (options, cipher) in [
        ("-aes-128-cbc", Cipher::Aes128),
        ("-aes192", Cipher::Aes192),
        ("-aes256 -keyid", Cipher::Aes256),
        ("-des3", Cipher::TripleDes),
        // In BER, with the content in pieces.
        ("-aes256 -stream -indef", Cipher::Aes256),
    ] {
        let command = format!("cms -encrypt -binary -in words -outform DER -out m {options} c.pem");
        // The certificate is the last of the arguments whatever stands before it.
        openssl(pair.path(), &command);
        let message = std::fs::read(pair.path().join("m")).unwrap();
        let opened = open(&[&ours], &message, CipherPolicy::Strong, &entropy()).unwrap();
        assert_eq!(
            (opened.content.as_slice(), opened.cipher),
            (WORDS, cipher),
            "{options}"
        );
    }
}

#[test]
fn what_is_sealed_is_read_by_openssl_and_by_us() {
    let pair = Pair::new();
    for cipher in [Cipher::Aes128, Cipher::Aes256] {
        let message = seal(&pair.certificate, WORDS, cipher, &entropy()).unwrap();
        std::fs::write(pair.path().join("m"), &message).unwrap();
        let read = openssl(
            pair.path(),
            "cms -decrypt -binary -inform DER -in m -inkey k.pem -recip c.pem",
        );
        assert_eq!(read, WORDS);
        let opened = open(&[&pair.recipient()], &message, CipherPolicy::Strong, &entropy()).unwrap();
        assert_eq!(opened.content.as_slice(), WORDS);
    }
    for never in [Cipher::TripleDes, Cipher::SingleDes] {
        assert_eq!(
            seal(&pair.certificate, WORDS, never, &entropy()),
            Err(KeyError::Key)
        );
    }
}

#[test]
fn every_way_not_to_decrypt_looks_the_same() {
    let (pair, stranger) = (Pair::new(), Pair::new());
    let message = seal(&pair.certificate, WORDS, Cipher::Aes128, &entropy()).unwrap();
    // The end of the message is the content, and the encrypted key lies well before it.
    let content = message.len() - 1;
    let key = message.len() - 150;
    for at in [content, content - 16, key] {
        let mut damaged = message.clone();
        damaged[at] ^= 1;
        let error = open(
            &[&pair.recipient()],
            &damaged,
            CipherPolicy::Strong,
            &other_entropy(),
        );
        // One in 256 random keys gives something that is padded; then it is not what was sent.
        match error {
            Err(error) => assert_eq!(error, EnvelopeError::Unreadable, "{at}"),
            Ok(opened) => assert_ne!(opened.content.as_slice(), WORDS),
        }
    }
    // The same name and number, another key.
    let impostor = Recipient::new(&pair.certificate, &stranger.key).unwrap();
    let error = open(&[&impostor], &message, CipherPolicy::Strong, &other_entropy()).unwrap_err();
    assert_eq!(error, EnvelopeError::Unreadable);
    let error = open(
        &[&stranger.recipient()],
        &message,
        CipherPolicy::Strong,
        &other_entropy(),
    )
    .unwrap_err();
    assert_eq!(error, EnvelopeError::Recipient);
}

#[test]
fn a_message_that_breaks_off_anywhere_is_refused() {
    let pair = Pair::new();
    let recipient = pair.recipient();
    let message = seal(&pair.certificate, WORDS, Cipher::Aes256, &entropy()).unwrap();
    for length in 0..message.len() {
        open(
            &[&recipient],
            &message[..length],
            CipherPolicy::Strong,
            &entropy(),
        )
        .unwrap_err();
    }
}

#[test]
fn a_signed_message_is_accepted_by_openssl_and_by_us() {
    let pair = Pair::new();
    let signer = Signer::new(&pair.certificate, &pair.key).unwrap();
    let message = signer.sign(WORDS, &[], &[]).unwrap();
    std::fs::write(pair.path().join("m"), &message).unwrap();
    let read = openssl(pair.path(), "cms -verify -binary -inform DER -in m -CAfile c.pem");
    assert_eq!(read, WORDS);
    let read = verify(&message, Content::Attached, HashPolicy::Strong).unwrap();
    assert_eq!(read.signer.as_ref(), pair.certificate);
    assert_eq!(
        (read.content.as_deref(), read.content_type),
        (Some(WORDS), oid::DATA)
    );

    std::fs::write(
        pair.path().join("chain"),
        certificates_only(&[&pair.certificate]).unwrap(),
    )
    .unwrap();
    let listed = openssl(pair.path(), "pkcs7 -inform DER -in chain -print_certs -noout");
    assert!(String::from_utf8_lossy(&listed).contains("CN = ra"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = open(&[], &bytes, CipherPolicy::AllowSingleDes, &entropy());
    }
}
