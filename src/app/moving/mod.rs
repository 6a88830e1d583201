//! Moving enrolments in and out: what `provost enrollments` asks of a running server, or does itself where none runs.
//!
//! [`Desk`] works on a store, whoever has opened it. A running server gives it to its socket file ([`router`]); [`Stopped`] opens the data directory
//! under the same lock as a server. Device objects are the planner's work: it hears of what has come, or finds it at the next start.

mod http;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1;
use kube::{Api, Client};
use serde::{Deserialize, Serialize};

use crate::clock::{Clock, SystemClock, SystemEntropy};
use crate::enrollment::transfer::Record;
use crate::ids::{EnrollmentId, Namespace};
use crate::secret::Secret;
use crate::store::{Arrived, Enrollment, EnrollmentState, Escrow, Store, StoreError};

use super::data_dir::DataDir;
pub use http::{EXPORT_PATH, ExportOrder, IMPORT_LIMIT, IMPORT_PATH, ImportOrder, NEXT, router};

/// Devices in one page of an export.
const PAGE: usize = 500;
/// Enrolments read side by side.
const CONCURRENCY: usize = 8;

/// What became of a record, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It is enrolled here from now on.
    Imported,
    /// It had been imported before, otherwise.
    Updated,
    /// It had been imported before, and just so.
    Unchanged,
    /// It has been in contact with this server, or has ended here, and is left as it is.
    Left,
    /// It cannot be taken, for this reason.
    Refused(String),
}

/// A part of an export.
#[derive(Debug, Clone)]
pub struct Page {
    /// Lines.
    pub lines: Secret<String>,
    /// Where to go on. None: this was the last.
    pub next: Option<EnrollmentId>,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The Kubernetes API could not say which namespaces there are.
    #[error("the Kubernetes API did not answer")]
    Kubernetes(#[source] kube::Error),
}

/// Where enrolments come and go.
#[derive(Clone)]
pub struct Desk {
    /// The device plane.
    pub store: Arc<dyn Store>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The API, to look up namespaces. None: nothing runs, and nobody is asked.
    pub client: Option<Client>,
}

impl Desk {
    /// Takes records over, all in one transaction; says of each what became of it. `fleet` is that of records that name none. `look`: nothing is
    /// changed, and what is said would be so.
    ///
    /// # Errors
    /// When the store or the Kubernetes API fails.
    pub async fn import(
        &self,
        records: Vec<Record>,
        fleet: &Namespace,
        look: bool,
    ) -> Result<Vec<Outcome>, Error> {
        let missing = self.missing_namespaces(&records, fleet).await?;
        let mut refused = BTreeMap::new();
        let mut arrivals = Vec::with_capacity(records.len());
        let total = records.len();
        for (place, record) in records.into_iter().enumerate() {
            let arrival = record.arrival(fleet);
            if !arrival.enrollment.is_user() && missing.contains(&arrival.namespace) {
                let namespace = &arrival.namespace;
                let advice = format!("make it with: kubectl create namespace {namespace}");
                let reason = format!("the namespace {namespace} does not exist; {advice}");
                refused.insert(place, Outcome::Refused(reason));
            } else {
                arrivals.push(arrival);
            }
        }
        let arrivals: Arc<[_]> = arrivals.into();
        let outcomes = if look {
            self.store.weigh_arrivals(arrivals).await?
        } else {
            self.store.take_over(arrivals, self.clock.now()).await?
        };
        let mut outcomes = outcomes.into_iter().map(|outcome| match outcome {
            Ok(Arrived::New) => Outcome::Imported,
            Ok(Arrived::Changed) => Outcome::Updated,
            Ok(Arrived::Same) => Outcome::Unchanged,
            Ok(Arrived::Left) => Outcome::Left,
            Err(reason) => Outcome::Refused(reason.to_string()),
        });
        let each = (0..total).filter_map(|place| refused.remove(&place).or_else(|| outcomes.next()));
        Ok(each.collect())
    }

    async fn missing_namespaces(
        &self,
        records: &[Record],
        fleet: &Namespace,
    ) -> Result<BTreeSet<Namespace>, Error> {
        let Some(client) = &self.client else {
            return Ok(BTreeSet::new());
        };
        let devices = records.iter().filter(|record| !record.id.is_user());
        let named: BTreeSet<&Namespace> = devices
            .map(|record| record.namespace.as_ref().unwrap_or(fleet))
            .collect();
        let api: Api<v1::Namespace> = Api::all(client.clone());
        let mut missing = BTreeSet::new();
        for namespace in named {
            let found = api.get_opt(namespace.as_str()).await.map_err(Error::Kubernetes)?;
            if found.is_none() {
                missing.insert(namespace.clone());
            }
        }
        Ok(missing)
    }

    /// The active enrolments after a device, in the order of their ids, each device before its users.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn export(&self, after: Option<&EnrollmentId>, with_tokens: bool) -> Result<Page, Error> {
        let devices = self.store.enrollments(after, PAGE).await?;
        let next = devices
            .last()
            .filter(|_| devices.len() == PAGE)
            .map(|device| device.id.clone());
        let active = devices
            .into_iter()
            .filter(|device| device.state == EnrollmentState::Enrolled);
        let parts: Vec<Secret<String>> = stream::iter(active)
            .map(|device| self.lines(device, with_tokens))
            .buffered(CONCURRENCY)
            .try_collect()
            .await?;
        let mut lines = String::with_capacity(parts.iter().map(|part| part.reveal().len()).sum());
        for part in &parts {
            lines.push_str(part.reveal());
        }
        Ok(Page {
            lines: Secret::new(lines),
            next,
        })
    }

    /// The lines of a device and its users.
    async fn lines(&self, device: Enrollment, with_tokens: bool) -> Result<Secret<String>, Error> {
        let mut users = self.store.users(&device.id).await?;
        users.retain(|user| user.state == EnrollmentState::Enrolled);
        let mut lines = self.line(&device, with_tokens).await?.reveal().clone();
        for user in &users {
            lines.push_str(self.line(user, with_tokens).await?.reveal());
        }
        Ok(Secret::new(lines))
    }

    async fn line(&self, enrollment: &Enrollment, with_tokens: bool) -> Result<Secret<String>, Error> {
        let topic = self.store.push_topic(&enrollment.id).await?;
        let mut record = Record::of(enrollment, topic);
        if with_tokens {
            let address = self.store.push_address(&enrollment.id).await?;
            record.push = address.map(|address| (address.token, address.magic));
            if enrollment.unlock_token {
                record.unlock_token = self.store.escrow(&enrollment.id, Escrow::UnlockToken).await?;
            }
            if enrollment.bootstrap_token {
                record.bootstrap_token = self.store.escrow(&enrollment.id, Escrow::BootstrapToken).await?;
            }
        }
        Ok(record.line())
    }
}

/// A data directory in which no server runs, and none can start while this is held.
pub struct Stopped {
    /// Works on its store. Dropped before the lock.
    pub desk: Desk,
    _data_dir: DataDir,
}

impl Stopped {
    /// Opens a data directory; one that is not there yet is made.
    ///
    /// # Errors
    /// When another process works in it, or its store cannot be opened.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let data_dir = DataDir::open(path)?;
        let sealer = super::sealer(&data_dir, Arc::new(SystemEntropy))?;
        let store = super::store(&data_dir, sealer)
            .with_context(|| format!("the store in {} cannot be opened", path.display()))?;
        Ok(Self {
            desk: Desk {
                store,
                clock: Arc::new(SystemClock),
                client: None,
            },
            _data_dir: data_dir,
        })
    }
}
