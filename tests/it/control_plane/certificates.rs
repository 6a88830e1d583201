//! The certificates of a control plane, made for one story.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};

/// An authority for the server, one for clients, and the key that signs service account tokens.
pub(super) struct Certificates {
    pub(super) server_authority: String,
    server: String,
    server_key: String,
    client_authority: String,
    client_issuer: Issuer<'static, KeyPair>,
    tokens: KeyPair,
}

impl Certificates {
    pub(super) fn make() -> Self {
        let (server_authority, issuer) = authority("control plane");
        let (client_authority, client_issuer) = authority("clients");
        let mut params = leaf("kube-apiserver", &[], ExtendedKeyUsagePurpose::ServerAuth);
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into().unwrap()),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ];
        let key = KeyPair::generate().unwrap();
        Self {
            server_authority,
            server: params.signed_by(&key, &issuer).unwrap().pem(),
            server_key: key.serialize_pem(),
            client_authority,
            client_issuer,
            tokens: KeyPair::generate().unwrap(),
        }
    }

    /// Writes what the API server reads.
    pub(super) fn write(&self, folder: &Path) {
        for (name, content) in [
            ("apiserver.crt", &self.server),
            ("apiserver.key", &self.server_key),
            ("client-ca.crt", &self.client_authority),
            ("service-accounts.pub", &self.tokens.public_key_pem()),
            ("service-accounts.key", &self.tokens.serialize_pem()),
        ] {
            fs::write(folder.join(name), content).unwrap();
        }
    }

    /// A certificate and key for a client: the user is its CN, the groups are its O.
    pub(super) fn client(&self, user: &str, groups: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = leaf(user, groups, ExtendedKeyUsagePurpose::ClientAuth);
        let certificate = params.signed_by(&key, &self.client_issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate().unwrap();
    let mut params = leaf(name, &[], ExtendedKeyUsagePurpose::Any);
    params.extended_key_usages.clear();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(params, key))
}

fn leaf(name: &str, organizations: &[&str], usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for organization in organizations {
        params
            .distinguished_name
            .push(DnType::OrganizationName, *organization);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params
}
