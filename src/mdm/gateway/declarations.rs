//! What the steps of declarative management do.

use std::sync::{Arc, OnceLock};

use jiff::Timestamp;

use super::{Failure, Gateway, Reply};
use crate::ids::Digest;
use crate::mdm::checkin::DeclarativeManagement;
use crate::mdm::ddm::{
    self, Endpoint, StatusReport, declaration, declaration_items, declarations_proven, tokens,
};
use crate::mdm::peer::Peer;
use crate::mdm::sender::Sender;
use crate::policy::{Manifest, Section};
use crate::store::Enrollment;

impl Gateway {
    pub(super) async fn declarative_management(
        &self,
        peer: &Peer,
        fingerprint: Digest,
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
        let enrollment = self.recognise(fingerprint, sender, now).await?;
        if !sender.is_device() {
            return user_step(endpoint, &enrollment);
        }
        match endpoint {
            Endpoint::Tokens => {
                let manifest = self.manifest_of(&enrollment).await?;
                Ok(Reply::Json(
                    tokens(manifest.as_deref(), changed_at(&enrollment)).into(),
                ))
            }
            Endpoint::DeclarationItems => {
                let manifest = self.manifest_of(&enrollment).await?;
                peer.advertise(enrollment.manifest);
                Ok(Reply::Json(declaration_items(manifest.as_deref()).into()))
            }
            Endpoint::Declaration { section, identifier } => {
                self.declaration(peer, &enrollment, section, identifier).await
            }
            Endpoint::Status => self.status(&enrollment, step.data.as_deref(), now).await,
        }
    }

    /// A declaration of the manifest that the device was told of, which the pointer may have left behind in the meantime.
    async fn declaration(
        &self,
        peer: &Peer,
        enrollment: &Enrollment,
        section: Section,
        identifier: &str,
    ) -> Result<Reply, Failure> {
        let mut ids = [enrollment.manifest, enrollment.previous_manifest];
        if ids[1].is_some() && ids[1] == peer.advertised() {
            ids.reverse();
        }
        let mut manifests: Vec<Arc<Manifest>> = Vec::with_capacity(ids.len());
        for id in ids.into_iter().flatten() {
            manifests.extend(self.store.manifest(id).await?);
        }
        declaration(manifests.iter().map(|manifest| &**manifest), section, identifier)
            .map(|declaration| Reply::Json(declaration.body.clone()))
            .ok_or(Failure::NotFound)
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
        } = StatusReport::read(data)?;
        let manifest = self.manifest_of(enrollment).await?;
        let taken = Arc::new(OnceLock::new());
        let outcome = Arc::clone(&taken);
        let wanted = manifest.clone();
        self.store
            .update_facts(
                &enrollment.id,
                Box::new(move |facts| {
                    let taken = facts.status_report(&value, now);
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
        let proven = match taken.get() {
            Some(Ok(proven)) => *proven,
            Some(Err(reason)) => return Err(ddm::StatusError::Refused(reason.clone()).into()),
            None => false,
        };
        self.note_system(enrollment, os_version.as_deref(), build_version.as_deref())
            .await?;
        if let Some(manifest) = manifest
            && proven
        {
            self.note_applied(enrollment, manifest.id).await?;
        }
        Ok(Reply::Nothing)
    }

    /// Keeps the system that a report tells of, where that is news.
    pub(super) async fn note_system(
        &self,
        enrollment: &Enrollment,
        os_version: Option<&str>,
        build_version: Option<&str>,
    ) -> Result<(), Failure> {
        let os_version = os_version.unwrap_or(&enrollment.os_version);
        let build_version = build_version.or(enrollment.build_version.as_deref());
        if os_version != enrollment.os_version || build_version != enrollment.build_version.as_deref() {
            self.store
                .update_system(&enrollment.id, os_version, build_version)
                .await?;
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
fn changed_at(enrollment: &Enrollment) -> Timestamp {
    enrollment.manifest_at.unwrap_or(enrollment.enrolled_at)
}

/// The users of a device have nothing to hold, and what they report is not the device's.
fn user_step(endpoint: Endpoint<'_>, enrollment: &Enrollment) -> Result<Reply, Failure> {
    match endpoint {
        Endpoint::Tokens => Ok(Reply::Json(tokens(None, enrollment.enrolled_at).into())),
        Endpoint::DeclarationItems => Ok(Reply::Json(declaration_items(None).into())),
        Endpoint::Declaration { .. } => Err(Failure::NotFound),
        Endpoint::Status => Ok(Reply::Nothing),
    }
}
