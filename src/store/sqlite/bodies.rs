//! Request bodies, shared by all commands that differ in nothing but their UUID.
//!
//! A body holds its CommandUUID, and a fleet's worth of commands would be a fleet's worth of bodies. So what is kept is a template with a
//! gap where the UUID stood, sealed, under a keyed digest. Nothing here ever looks into a body.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::columns::Fault;
use super::writer::Writing;
use crate::ids::{CommandUuid, Digest};
use crate::pki::Sealer;
use crate::secret::Secret;

/// Begins an escape. XML has no such character, so it is rarely seen, but nothing depends on that.
const ESCAPE: char = '\0';
/// After [`ESCAPE`]: the UUID stood here. Anything else after it stands for itself.
const GAP: char = 'u';

/// The body with gaps for the UUID.
fn template(body: &str, uuid: &CommandUuid) -> String {
    body.replace(ESCAPE, "\0\0").replace(uuid.as_str(), "\0u")
}

/// The body with the UUID put back.
fn fill(template: &str, uuid: &CommandUuid) -> String {
    let mut body = String::with_capacity(template.len() + uuid.as_str().len());
    let mut rest = template;
    while let Some((plain, escaped)) = rest.split_once(ESCAPE) {
        body.push_str(plain);
        let mut after = escaped.chars();
        match after.next() {
            Some(GAP) => body.push_str(uuid.as_str()),
            other => body.extend(other),
        }
        rest = after.as_str();
    }
    body.push_str(rest);
    body
}

/// The templates of many commands, made before the writer is taken up.
pub(super) struct Templates {
    sealed: HashMap<Digest, Vec<u8>>,
    /// Commands for many devices usually share one body in memory: it is looked at once. The bodies are kept so that an address stands for one body only.
    known: HashMap<(usize, CommandUuid), (Digest, Arc<str>)>,
}

impl Templates {
    pub(super) fn new() -> Self {
        Self {
            sealed: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// The tag of a body, whose template is sealed where it is a new one.
    pub(super) fn tag(
        &mut self,
        sealer: &dyn Sealer,
        body: &Arc<str>,
        uuid: &CommandUuid,
    ) -> Result<Digest, Fault> {
        let address = (body.as_ptr() as usize, uuid.clone());
        if let Some((tag, _)) = self.known.get(&address) {
            return Ok(*tag);
        }
        let template = template(body, uuid);
        let tag = sealer.tag("command-body", template.as_bytes());
        if let Entry::Vacant(vacant) = self.sealed.entry(tag) {
            vacant.insert(sealer.seal(&context(tag), template.as_bytes())?);
        }
        self.known.insert(address, (tag, Arc::clone(body)));
        Ok(tag)
    }

    /// Keeps the template of `tag` in the database, and notes that it is used again. Returns its row.
    pub(super) fn keep(&self, writing: &Writing<'_>, tag: Digest) -> Result<i64, Fault> {
        let kept: Option<i64> = writing
            .prepare_cached("SELECT id FROM bodies WHERE tag = ?1")?
            .query_row([tag], |row| row.get(0))
            .optional()?;
        if let Some(row) = kept {
            writing
                .prepare_cached("UPDATE bodies SET uses = uses + 1 WHERE id = ?1")?
                .execute([row])?;
            return Ok(row);
        }
        writing
            .prepare_cached("INSERT INTO bodies (tag, sealed, uses) VALUES (?1, ?2, 1)")?
            .execute(params![tag, self.sealed.get(&tag)])?;
        Ok(writing.last_insert_rowid())
    }
}

fn context(tag: Digest) -> String {
    format!("command-body/{tag}")
}

/// The body of a command.
pub(super) fn body(
    writing: &Writing<'_>,
    sealer: &dyn Sealer,
    row: i64,
    uuid: &CommandUuid,
) -> Result<Arc<str>, Fault> {
    let known = writing.queues().borrow_mut().template(row);
    let template = if let Some(known) = known {
        known
    } else {
        let opened = Arc::new(open(writing, sealer, row)?);
        writing.queues().borrow_mut().know_template(row, &opened);
        opened
    };
    let template = std::str::from_utf8(template.reveal())
        .map_err(|error| Fault::Damaged("command body", Box::new(error)))?;
    Ok(fill(template, uuid).into())
}

fn open(connection: &Connection, sealer: &dyn Sealer, row: i64) -> Result<Secret<Vec<u8>>, Fault> {
    let (tag, stored): (Digest, Vec<u8>) = connection
        .prepare_cached("SELECT tag, sealed FROM bodies WHERE id = ?1")?
        .query_row([row], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(sealer.open(&context(tag), &stored)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bodies_that_differ_in_their_uuid_share_a_template() {
        let body = |uuid: &str| format!("<string>{uuid}</string><dict>Lock {uuid}</dict>");
        let (one, two) = (
            CommandUuid::parse("A-1").unwrap(),
            CommandUuid::parse("B-22").unwrap(),
        );
        assert_eq!(template(&body("A-1"), &one), template(&body("B-22"), &two));
        assert_eq!(fill(&template(&body("A-1"), &one), &two), body("B-22"));
    }

    proptest! {
        #[test]
        fn every_body_comes_back_byte_for_byte(body in "[\0uAB-]{0,40}|.{0,40}", uuid in "[uAB-]{1,3}") {
            let uuid = CommandUuid::parse(&uuid).unwrap();
            prop_assert_eq!(fill(&template(&body, &uuid), &uuid), body);
        }
    }
}
