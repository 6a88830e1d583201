//! The way to the device plane of a data directory: through the server that runs in it, or straight to the store.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, ensure};
use http::Method;

use crate::app::data_dir::{admin_socket, store_file};
use crate::app::moving::{EXPORT_PATH, ExportOrder, IMPORT_PATH, ImportOrder, NEXT, Outcome, Page, Stopped};
use crate::app::push_topics::{self, PUSH_TOPICS_PATH};
use crate::app::queued::{self, COMMANDS_PATH, Queued};
use crate::enrollment::transfer::Record;
use crate::ids::{CommandUuid, EnrollmentId, Namespace, PushTopic};
use crate::secret::Secret;

use super::socket::{Socket, escaped};

/// A way in.
pub(super) enum Door {
    /// A server runs.
    Running(Socket),
    /// None does, and none can start meanwhile.
    Stopped(Stopped),
}

impl Door {
    /// Finds the way.
    ///
    /// # Errors
    /// When the directory is in use by something that does not answer, or cannot be used.
    pub(super) async fn open(data_dir: &Path) -> anyhow::Result<Self> {
        match Socket::connect(data_dir).await? {
            Some(socket) => Ok(Self::Running(socket)),
            None => Stopped::open(data_dir).map(Self::Stopped),
        }
    }

    /// Whether a server runs in a data directory, or ever has.
    pub(super) fn is_there(data_dir: &Path) -> bool {
        admin_socket(data_dir).exists() || store_file(data_dir).exists()
    }

    /// As [`Self::open`], for what is of no use in a directory that is not there yet.
    ///
    /// # Errors
    /// When there is nothing in it.
    pub(super) async fn open_existing(data_dir: &Path) -> anyhow::Result<Self> {
        ensure!(
            Self::is_there(data_dir),
            "there are no enrolments in {}; name a data directory with --data-dir",
            data_dir.display()
        );
        Self::open(data_dir).await
    }

    /// Takes records over; see [`crate::app::moving::Desk::import`].
    ///
    /// # Errors
    /// When it could not be done: nothing of these was changed then.
    pub(super) async fn import(
        &mut self,
        records: Vec<Record>,
        fleet: &Namespace,
        look: bool,
    ) -> anyhow::Result<Vec<Outcome>> {
        match self {
            Self::Stopped(stopped) => Ok(stopped.desk.import(records, fleet, look).await?),
            Self::Running(socket) => {
                let order = ImportOrder {
                    namespace: fleet.clone(),
                    look,
                };
                let lines: Vec<Secret<String>> = records.iter().map(Record::line).collect();
                let mut body = String::with_capacity(lines.iter().map(|line| line.reveal().len()).sum());
                for line in &lines {
                    body.push_str(line.reveal());
                }
                let target = format!("{IMPORT_PATH}?namespace={}&look={}", order.namespace, order.look);
                let (_, answer) = socket
                    .ask(Method::POST, &target, "application/jsonl", body)
                    .await?;
                serde_json::from_slice(&answer).context("the server's answer cannot be read")
            }
        }
    }

    /// A page of the export; see [`crate::app::moving::Desk::export`].
    ///
    /// # Errors
    /// When it could not be read.
    pub(super) async fn export(&mut self, order: &ExportOrder) -> anyhow::Result<Page> {
        match self {
            Self::Stopped(stopped) => {
                let page = stopped.desk.export(order.after.as_ref(), order.with_tokens);
                Ok(page.await?)
            }
            Self::Running(socket) => {
                let mut target = format!("{EXPORT_PATH}?withTokens={}", order.with_tokens);
                if let Some(after) = &order.after {
                    // The id of a device needs no escapes.
                    target.push_str("&after=");
                    target.push_str(after.as_str());
                }
                let (headers, body) = socket.ask(Method::GET, &target, "text/plain", "").await?;
                let lines = String::from_utf8(body.to_vec()).context("the server's answer cannot be read")?;
                let next = headers
                    .get(NEXT)
                    .map(|next| next.to_str().map(EnrollmentId::parse));
                let next = next.transpose()?.transpose()?;
                Ok(Page {
                    lines: Secret::new(lines),
                    next,
                })
            }
        }
    }

    /// The push topics that devices have; see [`push_topics::in_use`].
    ///
    /// # Errors
    /// When they could not be read.
    pub(super) async fn push_topics(&mut self) -> anyhow::Result<BTreeMap<PushTopic, u32>> {
        match self {
            Self::Stopped(stopped) => Ok(push_topics::in_use(&stopped.desk).await?),
            Self::Running(socket) => {
                let asked = socket.ask(Method::GET, PUSH_TOPICS_PATH, "text/plain", "");
                serde_json::from_slice(&asked.await?.1).context("the server's answer cannot be read")
            }
        }
    }

    /// What waits for an enrolment; see [`queued::list`].
    ///
    /// # Errors
    /// When there is no such enrolment, or it could not be read.
    pub(super) async fn commands(&mut self, enrollment: &EnrollmentId) -> anyhow::Result<Vec<Queued>> {
        match self {
            Self::Stopped(stopped) => Ok(queued::list(&stopped.desk, enrollment).await?),
            Self::Running(socket) => {
                let target = format!("{COMMANDS_PATH}?device={}", escaped(enrollment.as_str()));
                let (_, answer) = socket.ask(Method::GET, &target, "text/plain", "").await?;
                serde_json::from_slice(&answer).context("the server's answer cannot be read")
            }
        }
    }

    /// Withdraws what waits for an enrolment; see [`queued::cancel`].
    ///
    /// # Errors
    /// When there is no such enrolment, or it could not be done.
    pub(super) async fn cancel(
        &mut self,
        enrollment: &EnrollmentId,
        uuid: Option<&CommandUuid>,
    ) -> anyhow::Result<Vec<Queued>> {
        match self {
            Self::Stopped(stopped) => Ok(queued::cancel(&stopped.desk, enrollment, uuid).await?),
            Self::Running(socket) => {
                let mut target = format!("{COMMANDS_PATH}?device={}", escaped(enrollment.as_str()));
                if let Some(uuid) = uuid {
                    target.push_str("&uuid=");
                    target.push_str(&escaped(uuid.as_str()));
                }
                let (_, answer) = socket.ask(Method::DELETE, &target, "text/plain", "").await?;
                serde_json::from_slice(&answer).context("the server's answer cannot be read")
            }
        }
    }
}
