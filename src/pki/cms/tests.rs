//! Messages that OpenSSL signs, and what attackers make of them.

use std::path::Path;
use std::process::{Command, Stdio};

use rcgen::{
    CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256,
};

use super::*;

const BODY: &[u8] = b"<plist><dict><key>Status</key><string>Idle</string></dict></plist>";

/// A key and a certificate by itself, in files.
struct Signer {
    directory: tempfile::TempDir,
    certificate: Vec<u8>,
}

impl Signer {
    fn new(key: &KeyPair) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "A0-1");
        let certificate = params.self_signed(key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("certificate.pem"), certificate.pem()).unwrap();
        std::fs::write(directory.path().join("key.pem"), key.serialize_pem()).unwrap();
        Self {
            directory,
            certificate: certificate.der().to_vec(),
        }
    }

    fn p256() -> Self {
        Self::new(&KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
    }

    fn path(&self, name: &str) -> String {
        let path: &Path = self.directory.path();
        path.join(name).to_str().unwrap().to_owned()
    }

    fn arguments(&self) -> [String; 4] {
        [
            "-signer".into(),
            self.path("certificate.pem"),
            "-inkey".into(),
            self.path("key.pem"),
        ]
    }

    /// Has OpenSSL sign `body`.
    fn sign(&self, body: &[u8], options: &[&str]) -> Vec<u8> {
        let file = self.path("body");
        std::fs::write(&file, body).unwrap();
        let signed = Command::new("openssl")
            .args(["cms", "-sign", "-binary", "-outform", "DER", "-in", &file])
            .args(self.arguments())
            .args(options)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(signed.status.success());
        signed.stdout
    }
}

fn detached(message: &[u8], body: &[u8]) -> Result<Signed, Error> {
    verify(message, Content::Detached(body), HashPolicy::Strong)
}

#[test]
fn what_openssl_signs_is_by_its_signer_with_every_key_and_hash() {
    let keys = [
        KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap(),
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
    ];
    for (at, key) in keys.iter().enumerate() {
        let signer = Signer::new(key);
        for hash in ["sha256", "sha384", "sha512"] {
            for form in [&[][..], &["-nodetach"], &["-nodetach", "-stream"], &["-noattr"]] {
                let options = [&["-md", hash], form].concat();
                let message = signer.sign(BODY, &options);
                let found =
                    detached(&message, BODY).unwrap_or_else(|error| panic!("key {at}, {options:?}: {error}"));
                assert_eq!(found.signer.as_ref(), signer.certificate);
                assert_eq!((found.content_type, found.content), (oid::DATA, None));
                assert!(found.others.is_empty());
            }
        }
    }
}

#[test]
fn the_salted_rsa_scheme_is_known() {
    let signer = Signer::new(&KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap());
    let options = [
        "-keyopt",
        "rsa_padding_mode:pss",
        "-keyopt",
        "rsa_pss_saltlen:-1",
        "-md",
        "sha256",
    ];
    let message = signer.sign(BODY, &options);
    detached(&message, BODY).unwrap();
    assert_eq!(detached(&message, b"other").unwrap_err(), Error::Content);
}

#[test]
fn a_signer_may_be_named_by_its_key_identifier() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    let certificate = params.self_signed(&key).unwrap();
    let mut signer = Signer::new(&key);
    std::fs::write(signer.path("certificate.pem"), certificate.pem()).unwrap();
    signer.certificate = certificate.der().to_vec();
    let message = signer.sign(BODY, &["-keyid"]);
    assert_eq!(
        detached(&message, BODY).unwrap().signer.as_ref(),
        signer.certificate
    );
}

#[test]
fn content_within_the_message_is_given_out_only_when_asked_for() {
    let signer = Signer::p256();
    for form in [
        &["-nodetach"][..],
        &["-nodetach", "-stream"],
        &["-nodetach", "-noattr"],
    ] {
        let message = signer.sign(BODY, form);
        let attached = verify(&message, Content::Attached, HashPolicy::Strong).unwrap();
        assert_eq!(attached.content.as_deref(), Some(BODY));
        // What counts is what came, not what the message holds.
        assert!(detached(&message, b"something else").is_err());
    }
    let message = signer.sign(BODY, &[]);
    let error = verify(&message, Content::Attached, HashPolicy::Strong).unwrap_err();
    assert_eq!(error, Error::NoContent);
}

#[test]
fn sha1_counts_only_where_it_is_allowed() {
    let signer = Signer::new(&KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap());
    for form in [&["-md", "sha1"][..], &["-md", "sha1", "-noattr"]] {
        let message = signer.sign(BODY, form);
        assert_eq!(detached(&message, BODY).unwrap_err(), Error::Sha1);
        verify(&message, Content::Detached(BODY), HashPolicy::AllowSha1).unwrap();
        let swapped = verify(&message, Content::Detached(b"other"), HashPolicy::AllowSha1);
        assert!(swapped.is_err());
    }
}

#[test]
fn a_valid_signature_over_another_body_is_worth_nothing() {
    let signer = Signer::p256();
    let message = signer.sign(BODY, &[]);
    for body in [&b""[..], b"<plist/>", &BODY[1..], &[BODY, b" "].concat()] {
        assert_eq!(detached(&message, body).unwrap_err(), Error::Content);
    }
    let bare = signer.sign(BODY, &["-noattr"]);
    assert_eq!(detached(&bare, b"<plist/>").unwrap_err(), Error::Signature);
}

#[test]
fn signed_attributes_are_not_taken_for_a_body() {
    let signer = Signer::p256();
    let message = signer.sign(BODY, &[]);
    // The attributes as they were signed, which the signature alone would fit.
    let at = find(&message, &[0xA0, 0x81]);
    let length = usize::from(message[at + 2]) + 3;
    let mut attributes = message[at..at + length].to_vec();
    attributes[0] = 0x31;
    let bare = signer.sign(&attributes, &["-noattr"]);
    assert!(matches!(
        detached(&bare, &attributes).unwrap_err(),
        Error::Attribute { .. }
    ));
}

/// Where the signed attributes begin: the last of what looks like it.
fn find(message: &[u8], pattern: &[u8]) -> usize {
    message
        .windows(pattern.len())
        .rposition(|window| window == pattern)
        .unwrap()
}

#[test]
fn two_signers_are_nobody() {
    let (one, two) = (Signer::p256(), Signer::p256());
    let more: Vec<String> = two.arguments().into();
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let message = one.sign(BODY, &more);
    assert_eq!(detached(&message, BODY).unwrap_err(), Error::Signers { count: 2 });
}

#[test]
fn a_message_of_certificates_alone_is_not_signed() {
    let signer = Signer::p256();
    let bundle = Command::new("openssl")
        .args([
            "crl2pkcs7",
            "-nocrl",
            "-outform",
            "DER",
            "-certfile",
            &signer.path("certificate.pem"),
        ])
        .output()
        .unwrap();
    assert_eq!(
        detached(&bundle.stdout, b"").unwrap_err(),
        Error::Signers { count: 0 }
    );
}

#[test]
fn without_its_certificate_a_signer_is_nobody_and_another_certificate_does_not_do() {
    let (signer, other) = (Signer::p256(), Signer::p256());
    let message = signer.sign(BODY, &["-nocerts"]);
    assert_eq!(detached(&message, BODY).unwrap_err(), Error::NoCertificate);
    let message = signer.sign(BODY, &["-nocerts", "-certfile", &other.path("certificate.pem")]);
    assert_eq!(detached(&message, BODY).unwrap_err(), Error::NoCertificate);
    // Beside its own it is given back as what a chain may be made of.
    let message = signer.sign(BODY, &["-certfile", &other.path("certificate.pem")]);
    let found = detached(&message, BODY).unwrap();
    assert_eq!(found.signer.as_ref(), signer.certificate);
    let others: Vec<_> = found.others.iter().map(AsRef::as_ref).collect();
    assert_eq!(others, [other.certificate.as_slice()]);
}

#[test]
fn attributes_that_bind_the_content_must_be_there_once() {
    let signer = Signer::p256();
    let message = signer.sign(BODY, &[]);
    for (name, last) in [("content type", 3), ("digest", 4)] {
        // 1.2.840.113549.1.9.x
        let attribute = [0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, last];
        let at = find(&message, &attribute);
        // Another attribute in its place: then it is missing.
        let mut missing = message.clone();
        missing[at + attribute.len() - 1] = 0x7F;
        let error = detached(&missing, BODY).unwrap_err();
        assert!(
            matches!(error, Error::Attribute { name: which } if which.contains(name)),
            "{error}"
        );
        // The same twice: the signing time made into it.
        let mut twice = message.clone();
        let time = find(&message, &[0x86, 0xF7, 0x0D, 0x01, 0x09, 0x05]);
        twice[time + 5] = last;
        let error = detached(&twice, BODY).unwrap_err();
        assert!(
            matches!(error, Error::Attribute { name: which } if which.contains(name)),
            "{error}"
        );
    }
    // A changed time alone breaks the signature.
    let mut changed = message.clone();
    let time = find(&message, &[0x86, 0xF7, 0x0D, 0x01, 0x09, 0x05]);
    changed[time + 6 + 4] ^= 1;
    assert_eq!(detached(&changed, BODY).unwrap_err(), Error::Signature);
}

#[test]
fn a_message_cut_anywhere_is_refused_and_one_changed_anywhere_belongs_to_nobody_else() {
    let signer = Signer::p256();
    for form in [&[][..], &["-nodetach", "-stream"]] {
        let message = signer.sign(BODY, form);
        for at in 0..message.len() {
            assert!(detached(&message[..at], BODY).is_err(), "cut at {at}");
            for bit in [1, 0x80] {
                let mut changed = message.clone();
                changed[at] ^= bit;
                // What still verifies is signed by the same certificate over the same body.
                if let Ok(signed) = detached(&changed, BODY) {
                    assert_eq!(signed.content_type, oid::DATA);
                    assert!(detached(&changed, b"other").is_err(), "changed at {at}");
                }
            }
        }
        let longer = [&message[..], &[0]].concat();
        assert_eq!(
            detached(&longer, BODY).unwrap_err(),
            Error::Ber(BerError::Trailing)
        );
    }
}

#[test]
fn other_messages_are_named_for_what_they_are() {
    let compressed = [
        0x30, 0x0F, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x03, 0xA0, 0x02, 0x30, 0,
    ];
    assert!(matches!(
        detached(&compressed, BODY).unwrap_err(),
        Error::NotSigned { .. }
    ));
    assert!(matches!(detached(b"nonsense", BODY).unwrap_err(), Error::Ber(_)));
    assert!(matches!(
        detached(&[0x30, 0], BODY).unwrap_err(),
        Error::Structure(_)
    ));
}
