use std::os::unix::fs::PermissionsExt as _;

use rcgen::CertificateParams;
use rustls::pki_types::pem::PemObject as _;

use super::*;
use crate::clock::SeededEntropy;
use crate::pki::csr::CertificateRequest;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn start() -> Timestamp {
    at("2026-11-24T00:00:00Z")
}

fn open(directory: &Path, host: &str, now: Timestamp) -> Pki {
    Pki::open(directory, &server_names(host), now, &SeededEntropy::new(1)).unwrap()
}

fn request() -> CertificateRequest {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "whatever it asks for");
    CertificateRequest::read(params.serialize_request(&key).unwrap().der()).unwrap()
}

#[test]
fn keys_are_made_once_and_are_their_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path(), "mdm.example.com", start());
    for name in ["device-ca.pem", "server-ca.pem", "server.pem"] {
        let mode = std::fs::metadata(directory.path().join("keys").join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let second = open(directory.path(), "mdm.example.com", start());
    assert_eq!(first.devices.certificate(), second.devices.certificate());
    assert_eq!(first.servers.certificate(), second.servers.certificate());
    assert_eq!(first.server.chain, second.server.chain);
    let published = std::fs::read_to_string(first.published).unwrap();
    assert_eq!(published, second.servers.certificate_pem());
    assert!(!published.contains("PRIVATE"));
}

#[test]
fn the_server_certificate_is_replaced_when_names_change_or_it_is_about_to_end() {
    let directory = tempfile::tempdir().unwrap();
    let chain = |host, now| open(directory.path(), host, at(now)).server.chain;
    let first = chain("a.example.com", "2026-11-24T00:00:00Z");
    assert_eq!(chain("A.example.com", "2027-10-01T00:00:00Z"), first);
    let renewed = chain("a.example.com", "2027-11-20T00:00:00Z");
    assert_ne!(renewed, first);
    assert_ne!(chain("192.0.2.7", "2027-11-20T00:00:00Z"), renewed);
}

#[test]
fn an_authority_that_could_not_outlive_an_identity_is_followed_by_another() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path(), "localhost", start());
    let issued = |pki: &Pki, now: &str| {
        let issued = pki
            .devices
            .issue_identity(&request(), "A0-1", at(now), &SeededEntropy::new(3));
        [issued.unwrap().certificate]
    };
    let old = issued(&first, "2034-11-01T00:00:00Z");
    let same = open(directory.path(), "localhost", at("2034-11-01T00:00:00Z"));
    assert_eq!(same.devices.certificate(), first.devices.certificate());

    let second = Pki::open(
        directory.path(),
        &server_names("localhost"),
        at("2035-01-01T00:00:00Z"),
        &SeededEntropy::new(9),
    )
    .unwrap();
    assert_ne!(second.devices.certificate(), first.devices.certificate());
    for certificate in [old, issued(&second, "2035-01-01T00:00:00Z")] {
        let identity = second.trust.identify(&certificate, at("2035-02-01T00:00:00Z"));
        assert!(matches!(identity, Identity::Issued { .. }), "{identity:?}");
    }
    assert_eq!(
        second.first_devices_pem, first.first_devices_pem,
        "the topic hangs on it"
    );

    // Who takes the old one away ends the trust in it.
    std::fs::remove_dir_all(directory.path().join("keys/retired")).unwrap();
    let third = open(directory.path(), "localhost", at("2035-01-01T00:00:00Z"));
    let old = issued(&first, "2034-11-01T00:00:00Z");
    assert!(matches!(
        third.trust.identify(&old, at("2035-02-01T00:00:00Z")),
        Identity::Untrusted { .. }
    ));
}

#[test]
fn what_the_rsa_authority_issues_is_trusted_once_it_is_made_and_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let entropy = SeededEntropy::new(4);
    let pki = open(directory.path(), "localhost", start());
    assert!(pki.scep.made().is_none());
    let scep = pki.scep.get(start(), &entropy).unwrap();
    let issued = scep
        .authority
        .issue_identity(&request(), "A0-1", start(), &entropy)
        .unwrap();
    let again = open(directory.path(), "localhost", start());
    for trust in [&pki.trust, &again.trust] {
        let identity = trust.identify(std::slice::from_ref(&issued.certificate), start());
        assert!(matches!(identity, Identity::Issued { .. }), "{identity:?}");
    }
    let made = again.scep.made().unwrap();
    assert_eq!(made.authority.certificate(), scep.authority.certificate());
    let (_, certificate) = x509_parser::parse_x509_certificate(made.authority.certificate()).unwrap();
    let usage = certificate.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_encipherment() && usage.key_cert_sign());
}

#[test]
fn a_damaged_authority_is_never_replaced() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path(), "localhost", start());
    let path = directory.path().join("keys/device-ca.pem");
    std::fs::write(&path, "nothing").unwrap();
    let error = Pki::open(
        directory.path(),
        &server_names("localhost"),
        start(),
        &SeededEntropy::new(1),
    )
    .unwrap_err();
    assert!(matches!(error, Error::Contents { path: damaged } if damaged == path));
}

#[test]
fn an_identity_is_for_the_enrolment_whatever_the_request_asks_for() {
    let directory = tempfile::tempdir().unwrap();
    let pki = open(directory.path(), "localhost", start());
    let issued = pki
        .devices
        .issue_identity(&request(), "A0-1", start(), &SeededEntropy::new(2))
        .unwrap();
    let chain: Vec<_> = CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(chain.len(), 2);
    let (_, leaf) = x509_parser::parse_x509_certificate(&chain[0]).unwrap();
    assert_eq!(leaf.subject().to_string(), "CN=A0-1");

    let trust = ClientTrust::new(&pki.devices).unwrap();
    let Identity::Issued {
        fingerprint,
        not_before,
        not_after,
    } = trust.identify(&chain, start())
    else {
        panic!("our own certificate is not trusted");
    };
    assert_eq!(fingerprint, issued.fingerprint);
    assert_eq!(not_after, issued.not_after);
    assert!(not_before < start());
}

#[test]
fn certificates_of_others_of_the_server_and_of_the_past_are_not_trusted() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pki = open(ours.path(), "localhost", start());
    let trust = ClientTrust::new(&pki.devices).unwrap();
    let issue = |authority: &Authority| {
        let issued = authority
            .issue_identity(&request(), "A0-1", start(), &SeededEntropy::new(2))
            .unwrap();
        [CertificateDer::from_pem_slice(issued.chain_pem.as_bytes()).unwrap()]
    };
    let untrusted =
        |chain: &[CertificateDer<'_>], now| matches!(trust.identify(chain, now), Identity::Untrusted { .. });
    let foreign = open(theirs.path(), "localhost", start());
    assert!(untrusted(&issue(&foreign.devices), start()));
    assert!(untrusted(&pki.server.chain, start()));
    assert!(untrusted(&issue(&pki.devices), at("2028-01-01T00:00:00Z")));
    assert!(untrusted(&[CertificateDer::from(vec![0x30, 0])], start()));
    assert_eq!(trust.identify(&[], start()), Identity::Absent);
}

#[test]
fn what_a_former_authority_has_issued_is_trusted_beside_our_own() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (pki, former) = (
        open(ours.path(), "localhost", start()),
        open(theirs.path(), "localhost", start()),
    );
    let stranger = tempfile::tempdir().unwrap();
    let stranger = open(stranger.path(), "localhost", start());
    let bundle = [former.devices.certificate_pem(), former.servers.certificate_pem()].concat();
    let trust = ClientTrust::new(&pki.devices).unwrap();
    trust.add_former(&bundle).unwrap();
    let issued = |authority: &Authority| {
        let issued = authority
            .issue_identity(&request(), "A0-1", start(), &SeededEntropy::new(2))
            .unwrap();
        let chain = [CertificateDer::from_pem_slice(issued.chain_pem.as_bytes()).unwrap()];
        matches!(trust.identify(&chain, start()), Identity::Issued { .. })
    };
    assert!(issued(&pki.devices) && issued(&former.devices));
    assert!(!issued(&stranger.devices));
    let broken = [
        "-----BEGIN CERTIFICATE-----\n####\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    ];
    for broken in broken {
        assert!(matches!(trust.add_former(broken), Err(Error::Trust(_))));
    }
}
