//! Manifests by content, and the pointers of devices to them.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::columns::{Fault, Micros, decode};
use super::writer::Writing;
use crate::ids::{Digest, EnrollmentId};
use crate::pki::Sealer;
use crate::policy::Manifest;
use crate::store::{Change, EnrollmentState, StoreError};

/// What a sealed manifest is bound to.
pub(super) fn context(id: Digest) -> String {
    format!("manifest/{id}")
}

pub(super) fn keep(writing: &Writing<'_>, id: Digest, sealed: &[u8]) -> Result<(), Fault> {
    writing
        .prepare_cached(
            "INSERT INTO manifests (digest, sealed, fresh, uses) VALUES (?1, ?2, 1, 0)
             ON CONFLICT (digest) DO UPDATE SET fresh = 1, uses = uses + 1",
        )?
        .execute(params![id, sealed])?;
    Ok(())
}

pub(super) fn manifest(
    connection: &Connection,
    sealer: &dyn Sealer,
    id: Digest,
) -> Result<Option<Manifest>, Fault> {
    let stored: Option<Vec<u8>> = connection
        .prepare_cached("SELECT sealed FROM manifests WHERE digest = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let Some(stored) = stored else { return Ok(None) };
    decode("manifest", sealer.open(&context(id), &stored)?.reveal()).map(Some)
}

/// About how much memory a manifest takes, in bytes.
pub(super) fn size(manifest: &Manifest) -> usize {
    let declarations = manifest
        .declarations
        .iter()
        .map(|declaration| declaration.body.len() + 256);
    let profiles = manifest.profiles.iter().map(|profile| profile.body.len() + 256);
    declarations.chain(profiles).sum::<usize>() + 256
}

pub(super) fn point(
    writing: &mut Writing<'_>,
    pointers: &[(EnrollmentId, Digest)],
    now: Timestamp,
) -> Result<usize, Fault> {
    let connection = writing.connection();
    let mut find = connection.prepare_cached(
        "SELECT e.id, e.state, e.certificate, p.manifest
         FROM enrollments e JOIN pointers p ON p.enrollment = e.id WHERE e.device = ?1",
    )?;
    let mut write = connection.prepare_cached(
        "UPDATE pointers SET previous_manifest = manifest, manifest = ?2, manifest_at = ?3 WHERE enrollment = ?1",
    )?;
    let mut written = 0;
    let mut last_used = None;
    for (id, manifest) in pointers {
        let device: Option<(i64, EnrollmentState, Option<Digest>, Option<Digest>)> = find
            .query_row([id], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let Some((row, state, certificate, current)) = device else {
            continue;
        };
        if state == EnrollmentState::Ended || current == Some(*manifest) {
            continue;
        }
        // Pointers of one class come together: its manifest is looked at once.
        if last_used != Some(*manifest) {
            let kept = writing
                .prepare_cached("UPDATE manifests SET fresh = 0, uses = uses + 1 WHERE digest = ?1")?
                .execute([manifest])?;
            if kept == 0 {
                return Err(Fault::Refused(StoreError::NoManifest(*manifest)));
            }
            last_used = Some(*manifest);
        }
        write.execute(params![row, manifest, Micros(now)])?;
        writing.forget_if(certificate);
        writing.announce(Change::Work(id.clone()));
        written += 1;
    }
    Ok(written)
}

/// Keeps which manifest a device was told of.
pub(super) fn advertise(writing: &mut Writing<'_>, id: &EnrollmentId, manifest: Digest) -> Result<(), Fault> {
    let device: Option<(i64, Option<Digest>)> = writing
        .prepare_cached("SELECT id, certificate FROM enrollments WHERE device = ?1 AND state <> ?2")?
        .query_row(params![id, EnrollmentState::Ended], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((row, certificate)) = device else {
        return Ok(());
    };
    writing
        .prepare_cached("UPDATE pointers SET advertised_manifest = ?2 WHERE enrollment = ?1")?
        .execute(params![row, manifest])?;
    writing.forget_if(certificate);
    Ok(())
}

/// Whether a device is already known to hold `manifest`, so that saying so again changes nothing.
pub(super) fn is_applied(
    connection: &Connection,
    id: &EnrollmentId,
    manifest: Digest,
) -> Result<bool, Fault> {
    let known = connection
        .prepare_cached(
            "SELECT p.applied_manifest = ?2 AND NOT (p.manifest IS ?2 AND p.previous_manifest IS NOT NULL)
             FROM enrollments e JOIN pointers p ON p.enrollment = e.id WHERE e.device = ?1",
        )?
        .query_row(params![id, manifest], |row| row.get::<_, Option<bool>>(0))
        .optional()?;
    Ok(known.flatten().unwrap_or(false))
}

pub(super) fn applied(writing: &mut Writing<'_>, id: &EnrollmentId, manifest: Digest) -> Result<bool, Fault> {
    let device: Option<(i64, EnrollmentState, Option<Digest>, Option<Digest>)> = writing
        .prepare_cached(
            "SELECT e.id, e.state, e.certificate, p.applied_manifest
             FROM enrollments e JOIN pointers p ON p.enrollment = e.id WHERE e.device = ?1",
        )?
        .query_row([id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let Some((row, state, certificate, before)) = device else {
        return Ok(false);
    };
    if state == EnrollmentState::Ended {
        return Ok(false);
    }
    writing
        .prepare_cached(
            "UPDATE pointers SET applied_manifest = ?2,
                 previous_manifest = CASE WHEN manifest IS ?2 THEN NULL ELSE previous_manifest END
             WHERE enrollment = ?1",
        )?
        .execute(params![row, manifest])?;
    writing.forget_if(certificate);
    let news = before != Some(manifest);
    if news {
        writing.announce(Change::Enrollment(id.clone()));
    }
    Ok(news)
}

/// A manifest that nothing pointed at when a reader looked.
pub(super) struct Unused {
    digest: Digest,
    fresh: bool,
    uses: i64,
}

pub(super) fn unused(connection: &Connection) -> Result<Vec<Unused>, Fault> {
    Ok(connection
        .prepare_cached(
            "SELECT digest, fresh, uses FROM manifests WHERE digest NOT IN (
                 SELECT manifest FROM pointers WHERE manifest IS NOT NULL
                 UNION SELECT previous_manifest FROM pointers WHERE previous_manifest IS NOT NULL
                 UNION SELECT advertised_manifest FROM pointers WHERE advertised_manifest IS NOT NULL
                 UNION SELECT applied_manifest FROM pointers WHERE applied_manifest IS NOT NULL)",
        )?
        .query_map([], |row| {
            Ok(Unused {
                digest: row.get(0)?,
                fresh: row.get(1)?,
                uses: row.get(2)?,
            })
        })?
        .collect::<Result<_, _>>()?)
}

/// Removes what is still unused; what was only just kept is spared once, for its pointers may be on their way. Returns what was removed.
pub(super) fn collect(writing: &Writing<'_>, unused: &[Unused]) -> Result<Vec<Digest>, Fault> {
    let mut removed = Vec::new();
    for Unused { digest, fresh, uses } in unused {
        if *fresh {
            writing
                .prepare_cached("UPDATE manifests SET fresh = 0 WHERE digest = ?1 AND uses = ?2")?
                .execute(params![digest, uses])?;
        } else if writing
            .prepare_cached("DELETE FROM manifests WHERE digest = ?1 AND uses = ?2")?
            .execute(params![digest, uses])?
            > 0
        {
            removed.push(*digest);
        }
    }
    Ok(removed)
}
