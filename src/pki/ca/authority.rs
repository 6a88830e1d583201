//! One certificate authority.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use rcgen::{PKCS_RSA_SHA256, RsaKeySize};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use super::{AUTHORITY_LIFE, CLOCK_SKEW, Error, IDENTITY_LIFE, SERVER_LIFE, file};
use crate::clock::Entropy;
use crate::ids::Digest;
use crate::pki::csr::CertificateRequest;

/// A key that signs certificates.
#[derive(Debug)]
pub struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What an authority is for, which decides its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It signs certificates, with P-256.
    Issue,
    /// It also signs messages and opens those encrypted to it, with RSA: SCEP knows nothing else.
    IssueByScep,
}

impl Purpose {
    fn key(self) -> Result<KeyPair, rcgen::Error> {
        match self {
            Self::Issue => KeyPair::generate(),
            Self::IssueByScep => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
        }
    }

    fn usages(self) -> Vec<KeyUsagePurpose> {
        let mut usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        if self == Self::IssueByScep {
            usages.extend([
                KeyUsagePurpose::DigitalSignature,
                KeyUsagePurpose::KeyEncipherment,
            ]);
        }
        usages
    }
}

/// An identity certificate for a device.
#[derive(Debug)]
pub struct IssuedIdentity {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The certificate and the authority's, as PEM.
    pub chain_pem: String,
    /// The SHA-256 of the certificate's DER.
    pub fingerprint: Digest,
    /// The end of its validity.
    pub not_after: Timestamp,
}

impl Authority {
    /// Reads the authority at `path`, or makes it.
    pub(super) fn open(
        path: &Path,
        common_name: &str,
        purpose: Purpose,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Self, Error> {
        if let Some(kept) = Self::read(path)? {
            return Ok(kept);
        }
        let key = purpose.key().map_err(Error::Make)?;
        let mut params = blank(common_name, now, AUTHORITY_LIFE, entropy);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = purpose.usages();
        let certificate = CertificateDer::from(params.self_signed(&key).map_err(Error::Make)?);
        file::write_pair(path, &key, &certificate)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(Error::Make)?;
        Ok(Self::new(certificate, issuer))
    }

    /// Reads the authority at `path`, if there is one.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let Some((key, certificate)) = file::read_pair(path)? else {
            return Ok(None);
        };
        let contents = |_| Error::Contents {
            path: path.to_owned(),
        };
        let key = KeyPair::try_from(&key).map_err(contents)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(contents)?;
        Ok(Some(Self::new(certificate, issuer)))
    }

    fn new(certificate: CertificateDer<'static>, issuer: Issuer<'static, KeyPair>) -> Self {
        Self {
            pem: to_pem(&certificate),
            certificate,
            issuer,
        }
    }

    /// Its own certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its own certificate, as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// Issues an identity for the device that `name` stands for: the key comes from the request, everything else is decided here.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn issue_identity(
        &self,
        request: &CertificateRequest,
        name: &str,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<IssuedIdentity, Error> {
        let mut params = blank(name, now, IDENTITY_LIFE, entropy);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if request.is_rsa {
            // What a renewal by SCEP is answered with is encrypted to it.
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = self.sign(&params, &request.key)?;
        Ok(IssuedIdentity {
            fingerprint: Digest::of(&certificate),
            chain_pem: format!("{}{}", to_pem(&certificate), self.pem),
            not_after: whole_seconds(now.saturating_add(IDENTITY_LIFE).unwrap_or(Timestamp::MAX)),
            certificate,
        })
    }

    /// Issues a certificate for a server of these names.
    pub(super) fn issue_server(
        &self,
        key: &KeyPair,
        names: &[String],
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<CertificateDer<'static>, Error> {
        let common_name = names.first().map_or("provost", String::as_str);
        let mut params = blank(common_name, now, SERVER_LIFE, entropy);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().map_err(Error::Make)?),
            });
        }
        self.sign(&params, key)
    }

    /// Issues a certificate for signing profiles. It names no extended usage: none fits, and verifiers of messages refuse those of servers.
    pub(super) fn issue_profile_signer(
        &self,
        key: &KeyPair,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<CertificateDer<'static>, Error> {
        let mut params = blank("Provost enrolment profiles", now, SERVER_LIFE, entropy);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        self.sign(&params, key)
    }

    /// Its key, PKCS #8.
    pub(super) fn key_der(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.issuer.key().serialize_der())
    }

    fn sign(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, Error> {
        params
            .signed_by(key, &self.issuer)
            .map(CertificateDer::from)
            .map_err(Error::Make)
    }
}

/// A certificate with nothing but a name, a time and a random serial number.
fn blank(
    common_name: &str,
    now: Timestamp,
    life: jiff::SignedDuration,
    entropy: &dyn Entropy,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let after_epoch =
        |time: Timestamp| std::time::Duration::from_secs(u64::try_from(time.as_second()).unwrap_or_default());
    params.not_before = epoch + after_epoch(now.saturating_sub(CLOCK_SKEW).unwrap_or(now));
    params.not_after = epoch + after_epoch(now.saturating_add(life).unwrap_or(now));
    let mut serial = [0; 16];
    entropy.fill(&mut serial);
    // Positive, and never shorter than the rest.
    serial[0] = serial[0] & 0x7F | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.use_authority_key_identifier_extension = true;
    params
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// What a certificate says of itself that rotation has to know.
pub(super) struct Said {
    pub(super) common_name: Option<String>,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

impl Said {
    pub(super) fn by(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let name = certificate.subject().iter_common_name().next();
        Some(Self {
            common_name: name.and_then(|name| name.as_str().ok()).map(str::to_owned),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }
}

/// Whether `certificate` is by `authority`, and valid at `until`.
pub(super) fn is_current(
    certificate: &CertificateDer<'_>,
    authority: &Authority,
    until: Option<Timestamp>,
) -> bool {
    let parsed = (
        X509Certificate::from_der(certificate),
        X509Certificate::from_der(&authority.certificate),
    );
    let (Ok((_, certificate)), Ok((_, issuer))) = parsed else {
        return false;
    };
    certificate.verify_signature(Some(issuer.public_key())).is_ok()
        && until.is_some_and(|until| certificate.validity().not_after.timestamp() > until.as_second())
}

/// Whether `certificate` is by `authority`, for exactly `names`, and valid at `until`.
pub(super) fn serves(
    certificate: &CertificateDer<'_>,
    names: &[String],
    authority: &Authority,
    until: Option<Timestamp>,
) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return false;
    };
    let held: BTreeSet<String> = parsed
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|names| names.value.general_names.iter().filter_map(name_of).collect())
        .unwrap_or_default();
    held == names.iter().cloned().collect() && is_current(certificate, authority, until)
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => {
            if let Ok(octets) = <[u8; 4]>::try_from(*octets) {
                return Some(IpAddr::from(octets).to_string());
            }
            <[u8; 16]>::try_from(*octets)
                .ok()
                .map(|octets| IpAddr::from(octets).to_string())
        }
        _ => None,
    }
}

/// A certificate as PEM.
pub(super) fn to_pem(certificate: &CertificateDer<'_>) -> String {
    let digits = STANDARD.encode(certificate);
    let lines: Vec<&str> = digits
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}
