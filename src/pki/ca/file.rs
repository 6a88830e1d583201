//! Files that hold keys and certificates.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::Error;
use super::authority::to_pem;
use crate::files;

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
    files::private_folder(path).map_err(failed("create", path))
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

/// The certificate in a file that may hold its key as well.
pub(super) fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, Error> {
    let pem = Zeroizing::new(fs::read(path).map_err(failed("read", path))?);
    CertificateDer::from_pem_slice(&pem).map_err(|_| Error::Contents {
        path: path.to_owned(),
    })
}

/// The files in a folder, in the order of their names. None where there is no such folder.
pub(super) fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", folder)(error)),
    };
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed("read", folder))?;
    files.sort();
    Ok(files)
}

/// Gives a file another name.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(failed("move", from))
}

/// Keeps a private key and its certificate.
pub(super) fn write_pair(path: &Path, key: &KeyPair, certificate: &CertificateDer<'_>) -> Result<(), Error> {
    let key = Zeroizing::new(key.serialize_pem());
    let pem = Zeroizing::new(format!("{}{}", *key, to_pem(certificate)));
    files::replace(path, pem.as_bytes(), files::PRIVATE).map_err(failed("write", path))
}

/// Keeps what everybody may read.
pub(super) fn write_public(path: &Path, pem: &str) -> Result<(), Error> {
    files::replace(path, pem.as_bytes(), files::PUBLIC).map_err(failed("write", path))
}
