//! The GitSource controller: fetch → verify → read → validate → plan → apply → status.
//!
//! A revision is applied whole or not at all: everything that can be refused is refused before the first object is changed, by the
//! compiled-in schemas (with file, line and column) and by a dry run against the API. What is in force stays in force until then.

mod apply;
mod begin;
mod dereference;
mod finalizer;
mod origin;
pub mod revision;
mod signed;
mod status;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher;
use kube::{Api, Resource as _, ResourceExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::git_source::SourceFormat;
use crate::api::{Baseline, GitSource, names};
use crate::gitops::fetch::{FetchErrorKind, Fetcher};
use crate::gitops::validate::SchemaSet;
use crate::policy::schema::Schema;
use crate::telemetry::metrics::Reconciliation;

use super::error::backoff;
use super::{Context, duration};
use crate::telemetry::Chain;
use status::{About, Asked, Ended};

/// Sources worked on at once.
const CONCURRENCY: u16 = 4;
/// How soon a suspended or stalled source is looked at again if no event tells of a change.
const LONG: Duration = Duration::from_hours(1);
/// How soon a source is looked at again whose clone is still in use: by a fetch of an earlier term, which has been told to stop.
const SOON: Duration = Duration::from_secs(1);

/// Why a reconciliation ended early. What happened to a revision is no error: the status tells it.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Error {
    /// The object cannot be read.
    #[error("the GitSource is not as its definition says")]
    Invalid(#[source] Box<kube::core::error_boundary::InvalidObject>),
    /// The Kubernetes API failed.
    #[error("the Kubernetes API did not answer for the GitSource")]
    Api(#[from] kube::Error),
    /// What it brought stays: the API refuses to remove it.
    #[error("what the GitSource brought was not removed: {0}")]
    NotRemoved(String),
    /// Work off the async threads was lost.
    #[error("the work on the repository was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// What the controller works with.
struct Sources {
    context: Context,
    fetcher: Arc<Fetcher>,
    /// Tells fetches to end.
    stop: CancellationToken,
    schemas: Arc<SchemaSet>,
    cache: PathBuf,
    /// When each source is due, and what was asked of it at the last look; by uid.
    looks: Mutex<HashMap<String, Look>>,
    /// How often in a row work on a source was cut short by an error; by namespace and name.
    errors: Mutex<HashMap<(String, String), u32>>,
}

/// The last look at a source.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    asked: Asked,
    due: Instant,
    failures: u32,
}

/// How a pass ended.
enum Pass {
    /// With something to say of the source.
    Ended(Ended),
    /// The source has gone.
    Gone,
    /// Before anything was found out: its clone is still in use.
    Postponed,
    /// Before anything was found out: the term is over.
    Stopped,
}

/// Keeps sources in force until `shutdown`. Clones of repositories live under `cache`, and whoever else works there has the same `fetcher`: a fetch
/// may be stuck in the network for longer than the term that it began in.
pub async fn run(
    context: Context,
    schemas: Arc<SchemaSet>,
    fetcher: Arc<Fetcher>,
    cache: PathBuf,
    shutdown: CancellationToken,
) {
    // Also when this is broken off: what blocks in a thread of its own is not.
    let stop = shutdown.child_token();
    let _stopped = stop.clone().drop_guard();
    let api: Api<DeserializeGuard<GitSource>> = Api::all(context.client.clone());
    let sources = Arc::new(Sources {
        context,
        fetcher,
        stop,
        schemas,
        cache,
        looks: Mutex::default(),
        errors: Mutex::default(),
    });
    let config = kube::runtime::controller::Config::default().concurrency(CONCURRENCY);
    let controller = Controller::new(api, watcher::Config::default());
    let known = controller.store();
    let running = controller
        .with_config(config)
        .graceful_shutdown_on(shutdown.clone().cancelled_owned())
        .run(reconcile, on_error, sources)
        .for_each(|result| async move {
            if let Err(error @ kube::runtime::controller::Error::QueueError(_)) = result {
                tracing::warn!(error = %Chain(&error), "the watch of GitSources was interrupted and goes on");
            }
        });
    tokio::select! {
        () = running => {}
        () = begin::stopped_before(&known, &shutdown) => {}
    }
}

async fn reconcile(object: Arc<DeserializeGuard<GitSource>>, sources: Arc<Sources>) -> Result<Action, Error> {
    let source = object
        .0
        .clone()
        .map_err(|invalid| Error::Invalid(Box::new(invalid)))?;
    let name = (source.namespace().unwrap_or_default(), source.name_any());
    let api: Api<GitSource> = Api::namespaced(sources.context.client.clone(), &name.0);
    let done = match (
        source.metadata.deletion_timestamp.is_some(),
        finalizer::is_on(&source),
    ) {
        (false, true) => sources.look(&source).await?,
        (true, true) => sources.clean_up(&api, &source).await?,
        // That it is on comes back as an event.
        (false, false) => {
            finalizer::put_on(&api, &source).await?;
            Action::await_change()
        }
        (true, false) => Action::await_change(),
    };
    lock(&sources.errors).remove(&name);
    Ok(done)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the controller wants a function of these types"
)]
fn on_error(object: Arc<DeserializeGuard<GitSource>>, error: &Error, sources: Arc<Sources>) -> Action {
    let category: &'static str = error.into();
    sources.count(category);
    if matches!(error, Error::Invalid(_)) {
        tracing::error!(source.name = object.name_any(), error = %Chain(error), "a GitSource cannot be read");
        return Action::requeue(LONG);
    }
    let name = (object.namespace().unwrap_or_default(), object.name_any());
    let failures = {
        let mut errors = lock(&sources.errors);
        let failures = errors.entry(name).or_default();
        *failures += 1;
        *failures
    };
    let pause = sources.backoff(failures);
    tracing::warn!(
        source.name = object.name_any(),
        error = %Chain(error),
        retry_seconds = pause.as_secs(),
        "a GitSource was not reconciled"
    );
    Action::requeue(pause)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sources {
    fn count(&self, result: &'static str) {
        let reconciliation = Reconciliation {
            kind: "GitSource",
            result,
        };
        self.context
            .metrics
            .reconciliations
            .get_or_create(&reconciliation)
            .inc();
    }

    fn backoff(&self, failures: u32) -> Duration {
        let mut jitter = [0];
        self.context.entropy.fill(&mut jitter);
        backoff(failures, jitter[0])
    }

    /// The folder of a source's clone.
    fn cache_of(&self, source: &GitSource) -> PathBuf {
        self.cache.join(source.uid().unwrap_or_else(|| source.name_any()))
    }

    /// Looks at a source if it is due or asks for something new: its own status writes come back as events and are no reason.
    async fn look(&self, source: &GitSource) -> Result<Action, Error> {
        let uid = source.uid().unwrap_or_default();
        let asked = Asked::from(source);
        let last = lock(&self.looks).get(&uid).cloned();
        if let Some(last) = &last
            && last.asked == asked
        {
            let rest = last.due.saturating_duration_since(Instant::now());
            if !rest.is_zero() {
                return Ok(Action::requeue(rest));
            }
        }
        let ended = match self.reconcile(source, &asked).await? {
            Pass::Ended(ended) => ended,
            // Whatever has its name now has its own turn.
            Pass::Gone | Pass::Stopped => return Ok(Action::await_change()),
            Pass::Postponed => return Ok(Action::requeue(SOON)),
        };
        self.count(ended.category());
        let failures = if ended.transient() {
            last.map_or(1, |last| last.failures + 1)
        } else {
            0
        };
        let interval = duration::parse(&source.spec.interval).unwrap_or(LONG);
        let wait = match (source.spec.suspend, failures) {
            (true, _) => LONG,
            (false, 0) => interval,
            (false, failures) => self.backoff(failures).min(interval),
        };
        let look = Look {
            asked,
            due: Instant::now() + wait,
            failures,
        };
        lock(&self.looks).insert(uid, look);
        Ok(Action::requeue(wait))
    }

    /// One pass: from the spec to the status.
    async fn reconcile(&self, source: &GitSource, asked: &Asked) -> Result<Pass, Error> {
        // The watch may be behind: what is in force is what the status says now.
        let Some(current) = self.newest(source).await? else {
            return Ok(Pass::Gone);
        };
        let pass = self.attempt(&current).await?;
        if let Pass::Ended(ended) = &pass {
            self.write(source, asked, ended).await?;
        }
        Ok(pass)
    }

    /// The object as it is now. None: it has gone, or another has its name.
    async fn newest(&self, source: &GitSource) -> kube::Result<Option<GitSource>> {
        let api: Api<GitSource> = Api::namespaced(
            self.context.client.clone(),
            &source.namespace().unwrap_or_default(),
        );
        let found = api.get_opt(&source.name_any()).await?;
        Ok(found.filter(|found| found.uid() == source.uid()))
    }

    /// Writes how a pass ended.
    async fn write(&self, source: &GitSource, asked: &Asked, ended: &Ended) -> Result<(), Error> {
        // While objects were applied the status was written: build on what is there now.
        let Some(current) = self.newest(source).await? else {
            return Ok(());
        };
        let new = status::build(&current, asked, ended, self.context.clock.now());
        let old = current.status.clone().unwrap_or_default();
        let api: Api<GitSource> = Api::namespaced(
            self.context.client.clone(),
            &source.namespace().unwrap_or_default(),
        );
        let written = super::status::apply(&api, &current, &new, &self.context.metrics).await?;
        if written.is_some() && status::is_news(&old, &new, ended) {
            self.tell(&current, ended).await;
        }
        Ok(())
    }

    async fn attempt(&self, source: &GitSource) -> Result<Pass, Error> {
        if source.spec.suspend {
            return Ok(Pass::Ended(Ended::Suspended));
        }
        let asked = dereference::request(&self.context.client, source, self.cache_of(source), &self.stop);
        let request = match asked.await? {
            Ok(request) => request,
            Err(missing) => return Ok(Pass::Ended(Ended::NotReady(missing))),
        };
        let ring = match dereference::key_ring(&self.context.client, source)
            .await?
            .transpose()
        {
            Ok(ring) => ring,
            Err(missing) => return Ok(Pass::Ended(Ended::NotReady(missing))),
        };
        // libgit2 blocks: all of it runs off the async threads.
        let fetcher = self.fetcher.clone();
        let revision = match tokio::task::spawn_blocking(move || fetcher.fetch(&request)).await? {
            Ok(revision) => revision,
            Err(error) => {
                return Ok(match error.kind {
                    FetchErrorKind::Busy => Pass::Postponed,
                    FetchErrorKind::Stopped => Pass::Stopped,
                    kind => Pass::Ended(Ended::NotFetched {
                        kind,
                        message: error.report(),
                    }),
                });
            }
        };
        let mut about = About::from(&revision);
        about.signer = match signed::verify(source, &revision, ring.as_ref(), self.context.clock.now()) {
            Ok(signer) => signer,
            Err(refusal) => return Ok(Pass::Ended(Ended::Unverified { about, refusal })),
        };
        let native = source.spec.format == SourceFormat::Native;
        let elsewhere = if native && revision::may_extend(&revision.files) {
            self.baselines_elsewhere(source).await?
        } else {
            revision::Baselines::new()
        };
        let documents = match revision::read_beside(
            &revision.files,
            source.spec.format,
            source.namespace().unwrap_or_default().as_str(),
            &self.schemas,
            Schema::in_force(),
            Some(&elsewhere),
        ) {
            Ok(documents) => documents,
            Err(findings) => return Ok(Pass::Ended(Ended::Refused { about, findings })),
        };
        apply::apply(&self.context, source, about, &documents)
            .await
            .map(Pass::Ended)
    }

    /// The baselines of the fleet that a source did not bring.
    async fn baselines_elsewhere(&self, source: &GitSource) -> kube::Result<revision::Baselines> {
        let namespace = source.namespace().unwrap_or_default();
        let api: Api<Baseline> = Api::namespaced(self.context.client.clone(), &namespace);
        let name = source.name_any();
        let found = api.list(&ListParams::default()).await?;
        let others = found.items.into_iter().filter(|baseline| {
            let owner = baseline.labels().get(names::SOURCE_LABEL);
            owner.is_none_or(|owner| *owner != name)
        });
        Ok(others
            .map(|baseline| (baseline.name_any(), Arc::new(baseline.spec)))
            .collect())
    }

    /// A line in the log, and an event on the object for `kubectl describe` and `kubectl events`. Losing one is no harm: the status has it too.
    async fn tell(&self, source: &GitSource, ended: &Ended) {
        let news = ended.news(source);
        if news.is_good {
            tracing::info!(
                source.name = source.name_any(),
                reason = news.reason,
                "{}",
                news.note
            );
        } else {
            tracing::warn!(
                source.name = source.name_any(),
                reason = news.reason,
                "{}",
                news.note
            );
        }
        if let Err(error) = self.context.events.tell(&source.object_ref(&()), &news).await {
            tracing::debug!(error = %Chain(&error), "an event was not recorded");
        }
    }

    /// Removes what a source brought, before it goes.
    async fn clean_up(&self, api: &Api<GitSource>, source: &GitSource) -> Result<Action, Error> {
        // The watch may be behind: what it brought is what the status says now.
        let Some(current) = self.newest(source).await? else {
            return Ok(Action::await_change());
        };
        if current.spec.prune {
            let inventory = current
                .status
                .as_ref()
                .map(|status| status.inventory.as_slice())
                .unwrap_or_default();
            if let Some(message) = apply::prune(&self.context, &current, inventory).await? {
                self.write(
                    &current,
                    &Asked::from(&current),
                    &Ended::NotRemoved(message.clone()),
                )
                .await?;
                return Err(Error::NotRemoved(message));
            }
        }
        let (fetcher, cache) = (self.fetcher.clone(), self.cache_of(source));
        match tokio::task::spawn_blocking(move || fetcher.forget(&cache)).await? {
            Ok(()) => {}
            Err(error) if error.kind == FetchErrorKind::Busy => return Ok(Action::requeue(SOON)),
            Err(error) => {
                tracing::warn!(source.name = source.name_any(), error = %Chain(&error), "a clone was left behind");
            }
        }
        lock(&self.looks).remove(&source.uid().unwrap_or_default());
        finalizer::take_off(api, source).await?;
        Ok(Action::await_change())
    }
}
