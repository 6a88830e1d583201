//! Declarative management on the channels of users.
//!
//! What users should hold is part of the manifest of their device, so that both move together and users have no pointers of their own but one: the
//! manifest that they were last told of, whose declarations are served until they are told of another. What they report is kept with their
//! channel; nothing of it says anything about the device.

use std::sync::Arc;

use jiff::Timestamp;

use super::declarations::changed_at;
use super::{Failure, Gateway, Reply};
use crate::ids::{CommandUuid, Digest};
use crate::mdm::commands::{Command, FIRST_CONTACT_DEADLINE};
use crate::mdm::ddm::{Endpoint, StatusReport, declaration, declaration_items, tokens};
use crate::policy::{Manifest, Section};
use crate::store::{Enrollment, EnrollmentState};

impl Gateway {
    /// A step of a user. None: their channel has not begun, or has ended; they hold nothing.
    pub(super) async fn users_step(
        &self,
        endpoint: Endpoint<'_>,
        device: &Enrollment,
        user: Option<&Enrollment>,
        data: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        let manifest = match user {
            Some(_) => self.manifest_of(device).await?,
            None => None,
        };
        let theirs = manifest.as_ref().and_then(|manifest| manifest.users.as_deref());
        match (endpoint, user) {
            (Endpoint::Tokens, _) => Ok(Reply::Json(tokens(theirs, changed_at(device)).into())),
            (Endpoint::DeclarationItems, _) => {
                if let (Some(user), Some(told)) = (user, device.manifest)
                    && user.advertised_manifest != Some(told)
                {
                    self.store.advertise(&user.id, told).await?;
                }
                Ok(Reply::Json(declaration_items(theirs).into()))
            }
            (Endpoint::Declaration { section, identifier }, Some(user)) => {
                self.users_declaration(device, user, section, identifier).await
            }
            (Endpoint::Status, Some(user)) => self.users_status(user, manifest.as_deref(), data, now).await,
            (Endpoint::Declaration { .. }, None) => Err(Failure::NotFound),
            (Endpoint::Status, None) => Ok(Reply::Nothing),
        }
    }

    /// A declaration of what the user was told of, should hold, or was to hold before.
    async fn users_declaration(
        &self,
        device: &Enrollment,
        user: &Enrollment,
        section: Section,
        identifier: &str,
    ) -> Result<Reply, Failure> {
        let served: [Option<Digest>; 3] = [
            user.advertised_manifest,
            device.manifest,
            device.previous_manifest,
        ];
        for id in served.into_iter().flatten() {
            let manifest = self.store.manifest(id).await?;
            let Some(theirs) = manifest.as_ref().and_then(|manifest| manifest.users.as_deref()) else {
                continue;
            };
            if let Some(found) = declaration([theirs], section, identifier) {
                return Ok(Reply::Json(found.body.clone()));
            }
        }
        Err(Failure::NotFound)
    }

    async fn users_status(
        &self,
        user: &Enrollment,
        manifest: Option<&Manifest>,
        data: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        // Their system and capabilities are those of the device, which tells of them itself.
        let StatusReport { value, .. } = StatusReport::read(data)?;
        let wanted = manifest.and_then(|manifest| manifest.users.clone());
        let proven = self.take_status(&user.id, value, wanted, now).await?;
        if let Some(manifest) = manifest
            && proven
        {
            self.note_applied(user, manifest.id).await?;
        }
        Ok(Reply::Nothing)
    }

    /// Calls the users of a device that is about to be told of `manifest`, where what is for them is not what it was.
    pub(super) async fn call_users(
        &self,
        device: &Enrollment,
        manifest: Option<&Manifest>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let before = match device.advertised_manifest {
            Some(told) => self.store.manifest(told).await?,
            None => None,
        };
        let token = |manifest: Option<&Manifest>| {
            let users = manifest.and_then(|manifest| manifest.users.as_ref());
            users.map(|users| Arc::clone(&users.declarations_token))
        };
        if token(before.as_deref()) == token(manifest) {
            return Ok(());
        }
        let users = self.store.users(&device.id).await?;
        let users = users
            .iter()
            .filter(|user| user.state == EnrollmentState::Enrolled);
        self.call(users, now).await
    }

    /// Calls a user whose channel begins or goes on, where there is something that they have not been told of.
    pub(super) async fn call_user(
        &self,
        device: &Enrollment,
        user: &Enrollment,
        now: Timestamp,
    ) -> Result<(), Failure> {
        if device.manifest.is_none() || user.advertised_manifest == device.manifest {
            return Ok(());
        }
        match self.manifest_of(device).await? {
            Some(manifest) if manifest.users.is_some() => self.call([user], now).await,
            _ => Ok(()),
        }
    }

    async fn call(
        &self,
        users: impl IntoIterator<Item = &Enrollment>,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let deadline = now
            .saturating_add(FIRST_CONTACT_DEADLINE)
            .unwrap_or(Timestamp::MAX);
        let commands: Vec<_> = users
            .into_iter()
            .map(|user| {
                let uuid = CommandUuid::from(self.entropy.uuid());
                Command::DeclarativeManagement { tokens: None }.queued(&user.id, uuid, None, deadline)
            })
            .collect();
        if !commands.is_empty() {
            self.store.enqueue(commands, now).await?;
        }
        Ok(())
    }
}
