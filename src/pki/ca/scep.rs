//! The authority that serves SCEP: an RSA key, for SCEP encrypts to it, signs by it and issues from it.
//!
//! Making such a key takes a second, and many fleets never need it, so it is made when it is first asked for.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::authority::Purpose;
use super::{Authority, ClientTrust, Error};
use crate::clock::Entropy;
use crate::pki::cms::{Recipient, Signer};

/// The name in its certificate.
const COMMON_NAME: &str = "Provost device authority (RSA)";

/// An authority that reads and answers messages.
#[derive(Debug)]
pub struct ScepAuthority {
    /// Issues certificates.
    pub authority: Authority,
    /// Opens messages.
    pub recipient: Recipient,
    /// Signs messages.
    pub signer: Signer,
}

impl ScepAuthority {
    fn new(authority: Authority) -> Result<Self, Error> {
        let key = authority.key_der();
        Ok(Self {
            recipient: Recipient::new(authority.certificate(), &key).map_err(Error::Key)?,
            signer: Signer::new(authority.certificate(), &key).map_err(Error::Key)?,
            authority,
        })
    }
}

/// The authority for SCEP, made when it is needed.
#[derive(Debug)]
pub struct ScepKeys {
    path: PathBuf,
    trust: Arc<ClientTrust>,
    made: Mutex<Option<Arc<ScepAuthority>>>,
}

impl ScepKeys {
    /// Reads the authority at `path` if there is one. What it issues is trusted by `trust`, now or later.
    pub(super) fn open(path: PathBuf, trust: Arc<ClientTrust>) -> Result<Self, Error> {
        let made = Authority::read(&path)?
            .map(ScepAuthority::new)
            .transpose()?
            .map(Arc::new);
        if let Some(made) = &made {
            trust.add(made.authority.certificate())?;
        }
        Ok(Self {
            path,
            trust,
            made: Mutex::new(made),
        })
    }

    /// The authority, if it has been made.
    #[must_use]
    pub fn made(&self) -> Option<Arc<ScepAuthority>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The authority. **The first time this takes a second of computing.**
    ///
    /// # Errors
    /// When it cannot be made, or its file cannot be written.
    pub fn get(&self, now: Timestamp, entropy: &dyn Entropy) -> Result<Arc<ScepAuthority>, Error> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*made {
            return Ok(Arc::clone(made));
        }
        let authority = Authority::open(&self.path, COMMON_NAME, Purpose::IssueByScep, now, entropy)?;
        self.trust.add(authority.certificate())?;
        let authority = Arc::new(ScepAuthority::new(authority)?);
        *made = Some(Arc::clone(&authority));
        Ok(authority)
    }
}
