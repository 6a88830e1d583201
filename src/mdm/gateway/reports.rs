//! What reports on commands do, and which command comes next.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use uuid::Uuid;

use super::{Failure, Gateway, Reply};
use crate::ids::{CommandUuid, Digest};
use crate::mdm::command::{ErrorLink, OfferedCommand, ReportStatus};
use crate::mdm::commands::{
    Command, CommandReport, Evidence, FIRST_CONTACT_DEADLINE, MDM_PROFILE, Report, ends_setup,
};
use crate::mdm::ddm::profiles_proven;
use crate::mdm::sender::Sender;
use crate::store::{Ending, Enrollment, EnrollmentState, ReportOutcome, SystemNews};

impl Gateway {
    pub(super) async fn report(
        &self,
        fingerprint: Digest,
        report: CommandReport,
        now: Timestamp,
        kind: &mut &'static str,
    ) -> Result<Reply, Failure> {
        let CommandReport { sender, report } = report;
        *kind = kind_of(&report);
        let enrollment = self.recognise(fingerprint, &sender, now).await?;
        if !sender.is_device() {
            return self.user_report(&enrollment, &sender, report, now).await;
        }
        if enrollment.state == EnrollmentState::Removing {
            return self.remove(&enrollment, &report, now).await;
        }
        let next = match report {
            Report::Idle => self.next(&enrollment, true, now).await?,
            Report::Command {
                uuid,
                status,
                evidence,
            } => self.take(&enrollment, &uuid, &status, evidence, now).await?,
            Report::Unidentified { status } => {
                tracing::warn!(%status, "a report names no command");
                self.next(&enrollment, false, now).await?
            }
        };
        Ok(offer(next))
    }

    /// A report of a user, who has a queue of their own. What the answers say is no evidence about the device.
    async fn user_report(
        &self,
        device: &Enrollment,
        sender: &Sender,
        report: Report,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        if device.state == EnrollmentState::Removing {
            return Ok(Reply::Nothing);
        }
        let Some(user) = self.user(sender, now).await? else {
            // A channel that has not begun here has nothing to do.
            return Ok(Reply::Nothing);
        };
        let next = match report {
            Report::Idle => self.next(&user, true, now).await?,
            Report::Command { uuid, status, .. } => self.settle(&user, &uuid, &status, now).await?,
            Report::Unidentified { status } => {
                tracing::warn!(%status, "a report names no command");
                self.next(&user, false, now).await?
            }
        };
        Ok(offer(next))
    }

    /// The next command of a queue.
    async fn next(
        &self,
        enrollment: &Enrollment,
        idle: bool,
        now: Timestamp,
    ) -> Result<Option<OfferedCommand>, Failure> {
        Ok(self.store.next_command(&enrollment.id, idle, now).await?)
    }

    /// Takes a report: first what it says about the device, then that the command has ended. If we fall over in between, the command is
    /// offered again, and the same answer changes nothing. Gives the next command.
    async fn take(
        &self,
        enrollment: &Enrollment,
        uuid: &CommandUuid,
        status: &ReportStatus,
        evidence: Evidence,
        now: Timestamp,
    ) -> Result<Option<OfferedCommand>, Failure> {
        if !evidence.is_empty() {
            self.take_evidence(enrollment, evidence, now).await?;
        } else if !enrollment.declarative && !matches!(status, ReportStatus::NotNow | ReportStatus::Other(_))
        {
            self.look_after_profiles(enrollment, uuid, now).await?;
        }
        self.settle(enrollment, uuid, status, now).await
    }

    /// Ends a command, if it ends by this. Gives the next one.
    async fn settle(
        &self,
        enrollment: &Enrollment,
        uuid: &CommandUuid,
        status: &ReportStatus,
        now: Timestamp,
    ) -> Result<Option<OfferedCommand>, Failure> {
        let (outcome, next) = self
            .store
            .report_and_next(&enrollment.id, uuid, status, now)
            .await?;
        match outcome {
            ReportOutcome::Ended { state, request_type } => {
                tracing::Span::current().record("command.kind", &*request_type);
                if ends_setup(&request_type) {
                    // One that answers with an error waits for nothing either.
                    self.store.await_configuration(&enrollment.id, false).await?;
                }
                let state: &'static str = state.into();
                match status {
                    ReportStatus::CommandFormatError => {
                        tracing::error!(command.uuid = %uuid, "a device could not parse a command");
                    }
                    ReportStatus::Error(chain) => {
                        // What the device says in words may name a person; history keeps it.
                        let codes: Vec<String> = chain.iter().map(ErrorLink::code).collect();
                        tracing::warn!(command.uuid = %uuid, ?codes, "a command failed");
                    }
                    _ => tracing::debug!(command.uuid = %uuid, state, "a command has ended"),
                }
            }
            ReportOutcome::Deferred => tracing::debug!(command.uuid = %uuid, "a command has to wait"),
            ReportOutcome::AlreadyKnown => {
                let status = status_of(status);
                tracing::info!(command.uuid = %uuid, status, "a report on a command that is not pending");
            }
        }
        Ok(next)
    }

    async fn take_evidence(
        &self,
        enrollment: &Enrollment,
        evidence: Evidence,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let Evidence {
            device_information,
            security_info,
            profiles,
            other,
        } = evidence;
        let system = |key: &str| {
            let information = device_information.as_ref()?;
            information.get(key)?.as_str().map(str::to_owned)
        };
        let (os_version, build_version) = (system("OSVersion"), system("BuildVersion"));
        let wanted = match (&profiles, enrollment.declarative) {
            (Some(_), false) => self.manifest_of(enrollment).await?,
            _ => None,
        };
        let proven = Arc::new(AtomicBool::new(false));
        let (verdict, manifest) = (Arc::clone(&proven), wanted.clone());
        self.store
            .update_facts(
                &enrollment.id,
                Box::new(move |facts| {
                    let mut changed = false;
                    if let Some(information) = device_information {
                        changed |= facts.device_information(&information, now);
                    }
                    if let Some(info) = security_info {
                        changed |= facts.security_info(&info, now);
                    }
                    if let Some((source, answer)) = other {
                        changed |= facts.answer(source, &answer, now);
                    }
                    if let Some(profiles) = profiles {
                        let held = manifest.is_some_and(|manifest| profiles_proven(&manifest, &profiles));
                        verdict.store(held, Ordering::Release);
                        changed |= facts.profile_list(profiles, now);
                    }
                    changed
                }),
            )
            .await?;
        let news = SystemNews {
            os_version,
            build_version,
            lacks: None,
        };
        self.note_system(enrollment, news).await?;
        if let Some(manifest) = wanted
            && proven.load(Ordering::Acquire)
        {
            self.note_applied(enrollment, manifest.id).await?;
        }
        Ok(())
    }

    /// A report on an InstallProfile or RemoveProfile is no evidence of what is installed: where nothing else tells, ask for the list.
    async fn look_after_profiles(
        &self,
        enrollment: &Enrollment,
        uuid: &CommandUuid,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let pending = self.store.pending(&enrollment.id).await?;
        let about_profiles = pending.iter().any(|command| {
            command.uuid == *uuid && matches!(&*command.request_type, "InstallProfile" | "RemoveProfile")
        });
        if !about_profiles {
            return Ok(());
        }
        let deadline = now
            .saturating_add(FIRST_CONTACT_DEADLINE)
            .unwrap_or(Timestamp::MAX);
        if let Ok(uuid) = CommandUuid::parse(&self.entropy.uuid().to_string()) {
            let list = Command::profile_list(&enrollment.target());
            let list = list.queued(&enrollment.id, uuid, None, deadline);
            self.store.enqueue(vec![list], now).await?;
        }
        Ok(())
    }

    /// Tells a device to remove its MDM profile, and ends the enrolment when it has. Nothing of this is kept: the command's UUID follows from
    /// the enrolment, so it is the same at each offer.
    async fn remove(
        &self,
        enrollment: &Enrollment,
        report: &Report,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        let seed = format!("remove/{}/{}", enrollment.id, enrollment.enrolled_at);
        let Ok(removal) =
            CommandUuid::parse(&Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes()).to_string())
        else {
            return Ok(Reply::Nothing);
        };
        tracing::Span::current().record("command.kind", "RemoveProfile");
        match report {
            Report::Command { uuid, status, .. } if *uuid == removal => {
                match status {
                    ReportStatus::Acknowledged => {
                        if self.store.end(&enrollment.id, Ending::Removed, now).await? {
                            tracing::info!(namespace = %enrollment.namespace, "a device has been removed");
                        }
                    }
                    // It is told again at its next Idle.
                    other => {
                        tracing::warn!(
                            status = status_of(other),
                            "a device does not remove its MDM profile"
                        );
                    }
                }
                Ok(Reply::Nothing)
            }
            _ => {
                let remove = Command::RemoveProfile {
                    identifier: MDM_PROFILE.into(),
                };
                Ok(Reply::PropertyList(remove.body(&removal)))
            }
        }
    }
}

/// What a device gets that is offered a command, or none.
fn offer(next: Option<OfferedCommand>) -> Reply {
    next.map_or(Reply::Nothing, |command| {
        tracing::debug!(command.kind = %command.request_type, "a command is offered");
        Reply::PropertyList(command.body)
    })
}

/// The kind of a report, for counting.
fn kind_of(report: &Report) -> &'static str {
    match report {
        Report::Idle => "Idle",
        Report::Command { status, .. } => status_of(status),
        Report::Unidentified { .. } => "Other",
    }
}

const fn status_of(status: &ReportStatus) -> &'static str {
    match status {
        ReportStatus::Acknowledged => "Acknowledged",
        ReportStatus::Error(_) => "Error",
        ReportStatus::CommandFormatError => "CommandFormatError",
        ReportStatus::NotNow => "NotNow",
        ReportStatus::Other(_) => "Other",
    }
}
