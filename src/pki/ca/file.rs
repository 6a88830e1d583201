//! Files that hold keys: whole or not at all, and readable by their owner alone from the first byte on.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::Error;
use super::authority::to_pem;

/// The largest key file that is read, in bytes.
const FILE_LIMIT: u64 = 256 * 1024;

fn failed<'p>(action: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> Error + 'p {
    move |source| Error::File {
        action,
        path: path.to_owned(),
        source,
    }
}

pub(super) fn make_private_folder(path: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed("create", path))
}

/// A private key and its certificate. None: there is no such file.
pub(super) fn read_pair(
    path: &Path,
) -> Result<Option<(PrivateKeyDer<'static>, CertificateDer<'static>)>, Error> {
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    let contents = || Error::Contents {
        path: path.to_owned(),
    };
    if length > FILE_LIMIT {
        return Err(contents());
    }
    let pem = Zeroizing::new(fs::read(path).map_err(failed("read", path))?);
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| contents())?;
    let certificate = CertificateDer::from_pem_slice(&pem).map_err(|_| contents())?;
    Ok(Some((key, certificate)))
}

/// Keeps a private key and its certificate.
pub(super) fn write_pair(path: &Path, key: &KeyPair, certificate: &CertificateDer<'_>) -> Result<(), Error> {
    let key = Zeroizing::new(key.serialize_pem());
    let pem = Zeroizing::new(format!("{}{}", *key, to_pem(certificate)));
    replace(path, pem.as_bytes(), 0o600)
}

/// Keeps what everybody may read.
pub(super) fn write_public(path: &Path, pem: &str) -> Result<(), Error> {
    replace(path, pem.as_bytes(), 0o644)
}

/// Puts a new file in the place of an old one: after a crash either of them is there, whole.
fn replace(path: &Path, contents: &[u8], mode: u32) -> Result<(), Error> {
    let fresh = path.with_extension("new");
    let write = || -> io::Result<()> {
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&fresh)?;
        // What the umask has taken away.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(contents)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        match path.parent() {
            Some(folder) => fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().map_err(failed("write", path))
}
