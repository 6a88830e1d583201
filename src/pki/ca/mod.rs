//! The internal certificate authorities: one for the identities of devices, one for the server that they talk to.
//!
//! They are made at the first start, under `DIR/keys`, and read at every later one. Keys never leave that folder, whose files are readable by
//! their owner alone; the certificate that devices trust the server by is published as `DIR/ca.pem`. Which certificates are in use, and whose
//! they are, is the store's to know.
//!
//! Devices are issued identities by one of two authorities: with a P-256 key, or with an RSA key by SCEP ([`scep`]). How one follows another is
//! [`rotation`]'s.

mod authority;
mod file;
mod rotation;
mod scep;
mod trust;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub use authority::{Authority, IssuedIdentity};
pub use scep::{ScepAuthority, ScepKeys};
pub use trust::{ClientTrust, Identity, Subject};

use super::cms::{KeyError, Signer};
use crate::clock::Entropy;
use authority::Purpose;

/// How long an authority is valid.
const AUTHORITY_LIFE: SignedDuration = SignedDuration::from_hours(10 * 365 * 24);

/// How long a device's identity is valid.
pub const IDENTITY_LIFE: SignedDuration = SignedDuration::from_hours(365 * 24);

/// How long a server certificate is valid: Apple's systems refuse more than 825 days, and public ones more than 398.
const SERVER_LIFE: SignedDuration = SignedDuration::from_hours(397 * 24);

/// A server certificate that ends sooner than this is replaced at the start.
const SERVER_RENEWAL: SignedDuration = SignedDuration::from_hours(60 * 24);

/// Certificates are valid from a little before they are made, for clocks that are slow.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(1);

/// Why keys or certificates could not be made, read or kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot {action} {path}", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold a key and a certificate.
    #[error("{path} does not hold a private key and its certificate; restore it from a backup", path = path.display())]
    Contents {
        /// Which file.
        path: PathBuf,
    },
    /// A key or certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
    /// A key does not do what it is for.
    #[error("cannot use a key")]
    Key(#[source] KeyError),
    /// An authority cannot be used to judge certificates.
    #[error("cannot judge certificates by the device authority")]
    Trust(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a TLS server shows.
#[derive(Debug)]
pub struct ServerIdentity {
    /// Its certificate, and the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

/// All keys of an installation.
#[derive(Debug)]
pub struct Pki {
    /// Issues identities to devices.
    pub devices: Arc<Authority>,
    /// Issues identities to devices by SCEP.
    pub scep: Arc<ScepKeys>,
    /// Whose identities are trusted: those of the device authorities, retired ones included.
    pub trust: Arc<ClientTrust>,
    /// The certificate of the first device authority there was, PEM. It stays the same when authorities follow each other.
    pub first_devices_pem: String,
    /// Issues certificates to servers; devices and people trust it.
    pub servers: Authority,
    /// The server certificate in use.
    pub server: ServerIdentity,
    /// Signs enrolment profiles, vouched for by `servers`.
    pub profiles: Arc<Signer>,
    /// The file that holds the certificate of `servers`, for those who have to trust it.
    pub published: PathBuf,
}

impl Pki {
    /// Reads the keys under `directory`, making those that are missing. The server certificate is for `names` (DNS names and addresses); it is
    /// replaced when they change, or when it is about to end.
    ///
    /// # Errors
    /// When a file cannot be read or written, or does not hold what it should: keys are never replaced silently.
    pub fn open(
        directory: &Path,
        names: &[String],
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Self, Error> {
        let keys = directory.join("keys");
        file::make_private_folder(&keys)?;
        let (by_ec, by_rsa) = (keys.join("device-ca.pem"), keys.join("device-ca-rsa.pem"));
        for path in [&by_ec, &by_rsa] {
            rotation::retire_when_due(path, &keys, now)?;
        }
        let devices = Authority::open(&by_ec, "Provost device authority", Purpose::Issue, now, entropy)?;
        let retired = rotation::retired(&keys)?;
        let trust = Arc::new(ClientTrust::new(&devices)?);
        for certificate in &retired {
            trust.add(certificate)?;
        }
        let scep = Arc::new(ScepKeys::open(by_rsa, Arc::clone(&trust))?);
        let first_devices_pem = authority::to_pem(rotation::eldest(devices.certificate(), &retired));
        let servers = Authority::open(
            &keys.join("server-ca.pem"),
            "Provost server authority",
            Purpose::Issue,
            now,
            entropy,
        )?;
        let server = open_server(&keys.join("server.pem"), &servers, names, now, entropy)?;
        let profiles = open_profile_signer(&keys.join("profile-signer.pem"), &servers, now, entropy)?;
        let published = directory.join("ca.pem");
        file::write_public(&published, servers.certificate_pem())?;
        Ok(Self {
            devices: Arc::new(devices),
            scep,
            trust,
            first_devices_pem,
            servers,
            server,
            profiles: Arc::new(profiles),
            published,
        })
    }
}

fn open_profile_signer(
    path: &Path,
    authority: &Authority,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Signer, Error> {
    // As with a server's, nothing hangs on this key.
    let until = now.saturating_add(SERVER_RENEWAL).ok();
    let kept = file::read_pair(path)
        .unwrap_or_default()
        .filter(|(_, certificate)| authority::is_current(certificate, authority, until));
    let (key, certificate) = if let Some(kept) = kept {
        kept
    } else {
        let pair = KeyPair::generate().map_err(Error::Make)?;
        let certificate = authority.issue_profile_signer(&pair, now, entropy)?;
        file::write_pair(path, &pair, &certificate)?;
        (PrivateKeyDer::from(pair), certificate)
    };
    Signer::new(&certificate, key.secret_der()).map_err(Error::Key)
}

fn open_server(
    path: &Path,
    authority: &Authority,
    names: &[String],
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<ServerIdentity, Error> {
    // A damaged file is no loss here: nothing hangs on this key.
    let kept = file::read_pair(path)
        .unwrap_or_default()
        .filter(|(_, certificate)| {
            authority::serves(
                certificate,
                names,
                authority,
                now.saturating_add(SERVER_RENEWAL).ok(),
            )
        });
    let (key, certificate) = if let Some(kept) = kept {
        kept
    } else {
        let pair = KeyPair::generate().map_err(Error::Make)?;
        let certificate = authority.issue_server(&pair, names, now, entropy)?;
        file::write_pair(path, &pair, &certificate)?;
        (PrivateKeyDer::from(pair), certificate)
    };
    Ok(ServerIdentity {
        chain: vec![certificate, authority.certificate().clone()],
        key,
    })
}

/// The names that a server reached at `public_host` is known by: that one, and the local ones.
#[must_use]
pub fn server_names(public_host: &str) -> Vec<String> {
    let public_host = public_host.trim_start_matches('[').trim_end_matches(']');
    let mut names: Vec<String> = [public_host, "localhost", "127.0.0.1", "::1"]
        .iter()
        .filter(|name| !name.is_empty())
        .map(|name| {
            // One way to write each name.
            name.parse::<IpAddr>()
                .map_or_else(|_| name.to_ascii_lowercase(), |address| address.to_string())
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests;
