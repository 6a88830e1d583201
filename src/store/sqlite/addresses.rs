//! How to wake a device: its push address, sealed, and whether the push service takes it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::columns::{Fault, Micros};
use super::writer::Writing;
use crate::ids::{Digest, EnrollmentId, PushTopic};
use crate::pki::Sealer;
use crate::secret::Secret;
use crate::store::{Change, EnrollmentState, PushAddress, PushRefusal};

/// A push address as it stands in the database.
pub(super) struct SealedAddress {
    topic: PushTopic,
    token: Vec<u8>,
    magic: Vec<u8>,
}

impl SealedAddress {
    pub(super) fn seal(
        sealer: &dyn Sealer,
        enrollment: &EnrollmentId,
        address: &PushAddress,
    ) -> Result<Self, Fault> {
        Ok(Self {
            topic: address.topic.clone(),
            token: sealer.seal(&format!("push-token/{enrollment}"), address.token.reveal())?,
            magic: sealer.seal(
                &format!("push-magic/{enrollment}"),
                address.magic.reveal().as_bytes(),
            )?,
        })
    }

    pub(super) fn unseal(self, sealer: &dyn Sealer, enrollment: &EnrollmentId) -> Result<PushAddress, Fault> {
        let magic = sealer.open(&format!("push-magic/{enrollment}"), &self.magic)?;
        let magic = std::str::from_utf8(magic.reveal())
            .map_err(|error| Fault::Damaged("push magic", Box::new(error)))?;
        Ok(PushAddress {
            topic: self.topic,
            token: sealer.open(&format!("push-token/{enrollment}"), &self.token)?,
            magic: Secret::new(magic.to_owned()),
        })
    }
}

/// Keeps an address, which nobody has refused yet. `registered_at`: when the device told it to us.
pub(super) fn put(
    writing: &Writing<'_>,
    row: i64,
    address: &SealedAddress,
    registered_at: Option<Timestamp>,
) -> Result<(), Fault> {
    writing
        .prepare_cached(
            "INSERT INTO push_addresses (enrollment, topic, token, magic, registered_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (enrollment) DO UPDATE SET topic = excluded.topic, token = excluded.token, magic = excluded.magic,
                 registered_at = excluded.registered_at",
        )?
        .execute(params![
            row,
            address.topic,
            address.token,
            address.magic,
            registered_at.map(Micros)
        ])?;
    forget_refusal(writing, row)
}

/// Forgets the address of an enrolment.
pub(super) fn remove(writing: &Writing<'_>, row: i64) -> Result<(), Fault> {
    writing
        .prepare_cached("DELETE FROM push_addresses WHERE enrollment = ?1")?
        .execute([row])?;
    forget_refusal(writing, row)
}

fn forget_refusal(writing: &Writing<'_>, row: i64) -> Result<(), Fault> {
    writing
        .prepare_cached(
            "UPDATE enrollments SET push_refused = NULL WHERE id = ?1 AND push_refused IS NOT NULL",
        )?
        .execute([row])?;
    Ok(())
}

pub(super) fn of(connection: &Connection, id: &EnrollmentId) -> Result<Option<SealedAddress>, Fault> {
    Ok(connection
        .prepare_cached(
            "SELECT topic, token, magic FROM push_addresses
             WHERE enrollment = (SELECT id FROM enrollments WHERE device = ?1)",
        )?
        .query_row([id], |row| {
            Ok(SealedAddress {
                topic: row.get(0)?,
                token: row.get(1)?,
                magic: row.get(2)?,
            })
        })
        .optional()?)
}

/// The address of an enrolment, why it is refused, and when it was last heard of.
type SealedWakeable = (SealedAddress, Option<PushRefusal>, Option<Timestamp>);

pub(super) fn wakeable(connection: &Connection, id: &EnrollmentId) -> Result<Option<SealedWakeable>, Fault> {
    Ok(connection
        .prepare_cached(
            "SELECT p.topic, p.token, p.magic, e.push_refused, s.at
             FROM enrollments e JOIN push_addresses p ON p.enrollment = e.id LEFT JOIN seen s ON s.enrollment = e.id
             WHERE e.device = ?1",
        )?
        .query_row([id], |row| {
            let address = SealedAddress {
                topic: row.get(0)?,
                token: row.get(1)?,
                magic: row.get(2)?,
            };
            let last_seen: Option<Micros> = row.get(4)?;
            Ok((address, row.get(3)?, last_seen.map(|Micros(time)| time)))
        })
        .optional()?)
}

pub(super) fn topic(connection: &Connection, id: &EnrollmentId) -> Result<Option<PushTopic>, Fault> {
    let topic = connection
        .prepare_cached(
            "SELECT coalesce(p.topic, e.topic) FROM enrollments e LEFT JOIN push_addresses p ON p.enrollment = e.id
             WHERE e.device = ?1",
        )?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(topic.flatten())
}

pub(super) fn topics(connection: &Connection) -> Result<BTreeMap<PushTopic, u32>, Fault> {
    Ok(connection
        .prepare_cached(
            "SELECT coalesce(p.topic, e.topic) AS known, count(*)
             FROM enrollments e LEFT JOIN push_addresses p ON p.enrollment = e.id
             WHERE e.parent IS NULL AND e.state <> ?1 AND known IS NOT NULL GROUP BY known",
        )?
        .query_map([EnrollmentState::Ended], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?)
}

/// The row of an enrolment whose push token is `token`, the certificate it is pinned to, and when it told that token.
struct Holder {
    row: i64,
    certificate: Digest,
    registered_at: Option<Timestamp>,
}

fn holder(
    writing: &Writing<'_>,
    sealer: &dyn Sealer,
    id: &EnrollmentId,
    token: &[u8],
) -> Result<Option<Holder>, Fault> {
    let Some(address) = of(writing, id)? else {
        return Ok(None);
    };
    // One that cannot be opened wakes nobody: it counts as the one that is spoken of.
    if address
        .unseal(sealer, id)
        .is_ok_and(|kept| kept.token.reveal() != token)
    {
        return Ok(None);
    }
    let holder = writing
        .prepare_cached(
            "SELECT e.id, coalesce(e.certificate, d.certificate), p.registered_at
             FROM enrollments e JOIN push_addresses p ON p.enrollment = e.id LEFT JOIN enrollments d ON d.id = e.parent
             WHERE e.device = ?1",
        )?
        .query_row([id], |row| {
            Ok(Holder {
                row: row.get(0)?,
                certificate: row.get(1)?,
                registered_at: row.get::<_, Option<Micros>>(2)?.map(|Micros(time)| time),
            })
        })
        .optional()?;
    Ok(holder)
}

/// See [`crate::store::Store::drop_push_address`].
pub(super) fn drop(
    writing: &mut Writing<'_>,
    sealer: &dyn Sealer,
    id: &EnrollmentId,
    token: &[u8],
    since: Option<Timestamp>,
) -> Result<bool, Fault> {
    let Some(holder) = holder(writing, sealer, id, token)? else {
        return Ok(false);
    };
    if let (Some(since), Some(registered_at)) = (since, holder.registered_at)
        && since < registered_at
    {
        return Ok(false);
    }
    remove(writing, holder.row)?;
    writing.forget(holder.certificate);
    Ok(true)
}

/// See [`crate::store::Store::refuse_push_address`].
pub(super) fn refuse(
    writing: &mut Writing<'_>,
    sealer: &dyn Sealer,
    id: &EnrollmentId,
    token: &[u8],
    refusal: PushRefusal,
) -> Result<(), Fault> {
    let Some(holder) = holder(writing, sealer, id, token)? else {
        return Ok(());
    };
    writing
        .prepare_cached("UPDATE enrollments SET push_refused = ?2 WHERE id = ?1")?
        .execute(params![holder.row, refusal])?;
    writing.forget(holder.certificate);
    writing.announce(Change::Enrollment(id.clone()));
    Ok(())
}

/// See [`crate::store::Store::readmit_push_addresses`].
pub(super) fn readmit(writing: &mut Writing<'_>) -> Result<usize, Fault> {
    let readmitted: Vec<(EnrollmentId, Digest)> = writing
        .prepare_cached(
            "SELECT e.device, coalesce(e.certificate, d.certificate)
             FROM enrollments e LEFT JOIN enrollments d ON d.id = e.parent WHERE e.push_refused IS NOT NULL",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    writing
        .prepare_cached("UPDATE enrollments SET push_refused = NULL WHERE push_refused IS NOT NULL")?
        .execute([])?;
    let count = readmitted.len();
    for (id, certificate) in readmitted {
        writing.forget(certificate);
        writing.announce(Change::Enrollment(id));
    }
    Ok(count)
}
