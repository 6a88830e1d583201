//! What the steps of declarative management do.
//!
//! What is for users is part of their device's manifest, and a user's channel is served from there.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use super::{Failure, Gateway, Reply};
use crate::ids::{Digest, EnrollmentId};
use crate::mdm::checkin::DeclarativeManagement;
use crate::mdm::ddm::{
    self, Endpoint, StatusReport, declaration, declaration_items, declarations_proven, tokens,
};
use crate::mdm::profile_pass::Proof;
use crate::mdm::sender::Sender;
use crate::policy::{DeviceClass, Lacks, Manifest, OsVersion, Section};
use crate::store::{Enrollment, SystemNews};

impl Gateway {
    pub(super) async fn declarative_management(
        &self,
        fingerprint: Digest,
        proof: Proof,
        sender: &Sender,
        step: DeclarativeManagement,
        now: Timestamp,
        kind: &mut &'static str,
    ) -> Result<Reply, Failure> {
        let endpoint = Endpoint::parse(&step.endpoint)?;
        *kind = match endpoint {
            Endpoint::Tokens => "DeclarativeManagement/tokens",
            Endpoint::DeclarationItems => "DeclarativeManagement/declaration-items",
            Endpoint::Declaration { .. } => "DeclarativeManagement/declaration",
            Endpoint::Status => "DeclarativeManagement/status",
        };
        let device = self.recognise(fingerprint, sender, now).await?;
        if !sender.is_device() {
            let user = self.user(sender, now).await?;
            return self
                .users_step(endpoint, &device, user.as_ref(), step.data.as_deref(), now)
                .await;
        }
        match endpoint {
            Endpoint::Tokens => {
                let manifest = self.manifest_of(&device).await?;
                Ok(Reply::Json(
                    tokens(manifest.as_deref(), changed_at(&device)).into(),
                ))
            }
            Endpoint::DeclarationItems => self.declaration_items(&device, now).await,
            Endpoint::Declaration { section, identifier } => {
                self.declaration(&device, proof, section, identifier).await
            }
            Endpoint::Status => self.status(&device, step.data.as_deref(), now).await,
        }
    }

    /// The items of what the device should hold. That it was told of them is kept first: whatever happens in between, and whichever replica
    /// it asks next, it gets the declarations of these items. Its users are called where there is something new for them.
    async fn declaration_items(&self, enrollment: &Enrollment, now: Timestamp) -> Result<Reply, Failure> {
        let manifest = self.manifest_of(enrollment).await?;
        if let Some(told) = enrollment.manifest
            && enrollment.advertised_manifest != Some(told)
        {
            self.call_users(enrollment, manifest.as_deref(), now).await?;
            self.store.advertise(&enrollment.id, told).await?;
        }
        Ok(Reply::Json(declaration_items(manifest.as_deref()).into()))
    }

    /// A declaration of the manifest that the device was told of, which the pointer may have left behind in the meantime.
    async fn declaration(
        &self,
        enrollment: &Enrollment,
        proof: Proof,
        section: Section,
        identifier: &str,
    ) -> Result<Reply, Failure> {
        for id in served(enrollment) {
            let Some(manifest) = self.store.manifest(id).await? else {
                continue;
            };
            if let Some(found) = declaration([&*manifest], section, identifier) {
                let passed = match (&self.passes, proof) {
                    (Some(passes), Proof::Signature) => passes.added_to(&found.body, enrollment),
                    _ => None,
                };
                return Ok(Reply::Json(passed.map_or_else(|| found.body.clone(), Arc::from)));
            }
        }
        Err(Failure::NotFound)
    }

    async fn status(
        &self,
        enrollment: &Enrollment,
        data: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        let StatusReport {
            value,
            os_version,
            build_version,
            capabilities,
        } = StatusReport::read(data)?;
        let manifest = self.manifest_of(enrollment).await?;
        let proven = self
            .take_status(&enrollment.id, value, manifest.clone(), now)
            .await?;
        let class = DeviceClass {
            os_version: OsVersion::read(os_version.as_deref().unwrap_or(&enrollment.os_version)),
            ..enrollment.class()
        };
        let news = SystemNews {
            os_version,
            build_version,
            lacks: capabilities.and_then(|capabilities| Lacks::read(&capabilities, &class)),
        };
        self.note_system(enrollment, news).await?;
        if let Some(manifest) = manifest
            && proven
        {
            self.note_applied(enrollment, manifest.id).await?;
        }
        Ok(Reply::Nothing)
    }

    /// Takes the facts of a status report, of a device or of a user. Whether they prove that it holds `wanted`.
    pub(super) async fn take_status(
        &self,
        id: &EnrollmentId,
        report: serde_json::Value,
        wanted: Option<Arc<Manifest>>,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let taken = Arc::new(OnceLock::new());
        let outcome = Arc::clone(&taken);
        self.store
            .update_facts(
                id,
                Box::new(move |facts| {
                    let taken = facts.status_report(&report, now);
                    let changed = *taken.as_ref().unwrap_or(&false);
                    let proves = |_| {
                        wanted
                            .as_deref()
                            .is_some_and(|wanted| declarations_proven(wanted, &facts.declarations))
                    };
                    // This runs once, so the cell is empty.
                    let _ = outcome.set(taken.map(proves).map_err(|error| error.to_string()));
                    changed
                }),
            )
            .await?;
        match taken.get() {
            Some(Ok(proven)) => Ok(*proven),
            Some(Err(reason)) => Err(ddm::StatusError::Refused(reason.clone()).into()),
            None => Ok(false),
        }
    }

    /// Keeps the system that a report tells of, where that is news.
    pub(super) async fn note_system(&self, enrollment: &Enrollment, news: SystemNews) -> Result<(), Failure> {
        if news.is_news(enrollment) {
            self.store.update_system(&enrollment.id, news).await?;
        }
        Ok(())
    }

    /// Keeps that the device has proved to hold `manifest`, where that is news.
    pub(super) async fn note_applied(
        &self,
        enrollment: &Enrollment,
        manifest: Digest,
    ) -> Result<(), Failure> {
        if enrollment.applied_manifest != Some(manifest)
            && self.store.applied(&enrollment.id, manifest).await?
        {
            tracing::info!(manifest = %manifest.short(), "a device holds its manifest");
        }
        Ok(())
    }
}

/// When what the device should hold last changed.
pub(super) fn changed_at(enrollment: &Enrollment) -> Timestamp {
    enrollment.manifest_at.unwrap_or(enrollment.enrolled_at)
}

/// The manifests whose declarations and profiles a device may have, in the order in which they are looked through: the one it was told of,
/// the one it should hold, and the one before until that is proved.
pub(super) fn served(enrollment: &Enrollment) -> impl Iterator<Item = Digest> {
    let Enrollment {
        advertised_manifest: told,
        manifest,
        previous_manifest: previous,
        ..
    } = enrollment;
    let manifest = manifest.filter(|id| Some(*id) != *told);
    let previous = previous.filter(|id| Some(*id) != *told && Some(*id) != manifest);
    [*told, manifest, previous].into_iter().flatten()
}
