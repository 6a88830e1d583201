//! One device authority after another, with both trusted meanwhile.
//!
//! An authority that could not outlive the identities it issues is retired: its file moves to `DIR/keys/retired`, and a new one is made. What lies in
//! that folder issues nothing and is trusted until its certificate ends, so identities of the old authority stay good until their renewal, which
//! brings one of the new. Moving a file there by hand is how an administrator rotates early; removing it ends the trust.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::CertificateDer;

use super::authority::Said;
use super::{Error, IDENTITY_LIFE, file};
use crate::ids::Digest;

/// How long before its end an authority is retired: a whole identity's life, and as long again for a server that is not restarted.
const RETIREMENT: SignedDuration = SignedDuration::from_hours(2 * IDENTITY_LIFE.as_hours());

/// The folder of retired authorities.
pub(super) fn folder(keys: &Path) -> PathBuf {
    keys.join("retired")
}

/// Retires the authority at `path` if it is about to end.
pub(super) fn retire_when_due(path: &Path, keys: &Path, now: Timestamp) -> Result<(), Error> {
    let Some((_, certificate)) = file::read_pair(path)? else {
        return Ok(());
    };
    let until = now.saturating_add(RETIREMENT).unwrap_or(Timestamp::MAX);
    if Said::by(&certificate).is_none_or(|said| said.not_after > until.as_second()) {
        return Ok(());
    }
    let folder = folder(keys);
    file::make_private_folder(&folder)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{stem}-{}.pem", Digest::of(&certificate).short());
    tracing::info!(
        file = name,
        "a device authority has been retired; a new one is made"
    );
    file::rename(path, &folder.join(name))
}

/// The certificates of retired authorities.
pub(super) fn retired(keys: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let mut certificates = Vec::new();
    for path in file::files_in(&folder(keys))? {
        if path.extension().is_some_and(|extension| extension == "pem") {
            certificates.push(file::read_certificate(&path)?);
        }
    }
    Ok(certificates)
}

/// The first of the authorities with the name of `current`: what must never change is derived from it.
pub(super) fn eldest<'a>(
    current: &'a CertificateDer<'static>,
    retired: &'a [CertificateDer<'static>],
) -> &'a CertificateDer<'static> {
    let Some(own) = Said::by(current) else {
        return current;
    };
    retired
        .iter()
        .filter_map(|certificate| Some((Said::by(certificate)?, certificate)))
        .filter(|(said, _)| said.common_name == own.common_name && said.not_before < own.not_before)
        .min_by_key(|(said, _)| said.not_before)
        .map_or(current, |(_, certificate)| certificate)
}
