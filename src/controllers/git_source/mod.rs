//! The GitSource controller: fetch → read → validate → plan → apply → status.
//!
//! A revision is applied whole or not at all: everything that can be refused is refused before the first object is changed, by the
//! compiled-in schemas (with file, line and column) and by a dry run against the API. What is in force stays in force until then.

mod apply;
mod dereference;
mod revision;
mod status;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType};
use kube::runtime::finalizer::{Event as Finalizer, finalizer};
use kube::runtime::watcher;
use kube::{Api, Resource as _, ResourceExt as _};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::{GitSource, names};
use crate::gitops::fetch::Fetcher;
use crate::gitops::validate::SchemaSet;
use crate::telemetry::metrics::Reconciliation;

use super::error::{backoff, classify};
use super::watch::Chain;
use super::{Context, duration};

/// Sources worked on at once.
const CONCURRENCY: u16 = 4;
/// How soon a suspended or stalled source is looked at again if no event tells of a change.
const LONG: Duration = Duration::from_secs(3_600);

/// Why a reconciliation ended early. What happened to a revision is no error: the status tells it.
#[derive(Debug, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Error {
    /// The object cannot be read.
    #[error("the GitSource cannot be read: {0}")]
    Invalid(#[source] kube::core::error_boundary::InvalidObject),
    /// The Kubernetes API failed.
    #[error("the Kubernetes API did not answer for the GitSource")]
    Api(#[from] kube::Error),
    /// The finalizer could not be set or removed.
    #[error("the finalizer of the GitSource could not be changed")]
    Finalizer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Work off the async threads was lost.
    #[error("the work on the repository was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// What the controller works with.
struct Sources {
    context: Context,
    fetcher: Arc<Fetcher>,
    schemas: SchemaSet,
    cache: PathBuf,
    /// When each source is due, and what was asked of it at the last look; by uid.
    looks: Mutex<HashMap<String, Look>>,
}

/// The last look at a source.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    asked: Asked,
    due: Instant,
    failures: u32,
}

/// What a source asks for; a change is a reason to look at once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    generation: Option<i64>,
    reconcile: Option<String>,
    allow_prune: Option<String>,
}

/// Keeps sources in force until `shutdown`. Clones of repositories live under `cache`.
pub async fn run(context: Context, schemas: SchemaSet, cache: PathBuf, shutdown: CancellationToken) {
    let api: Api<DeserializeGuard<GitSource>> = Api::all(context.client.clone());
    let sources = Arc::new(Sources {
        context,
        fetcher: Arc::new(Fetcher::new()),
        schemas,
        cache,
        looks: Mutex::default(),
    });
    let config = kube::runtime::controller::Config::default().concurrency(CONCURRENCY);
    Controller::new(api, watcher::Config::default())
        .with_config(config)
        .graceful_shutdown_on(shutdown.cancelled_owned())
        .run(reconcile, on_error, sources)
        .for_each(|result| async move {
            if let Err(error @ kube::runtime::controller::Error::QueueError(_)) = result {
                tracing::warn!(error = %Chain(&error), "the watch of GitSources was interrupted and goes on");
            }
        })
        .await;
}

async fn reconcile(object: Arc<DeserializeGuard<GitSource>>, sources: Arc<Sources>) -> Result<Action, Error> {
    let source = object.0.clone().map_err(Error::Invalid)?;
    let namespace = source.namespace().unwrap_or_default();
    let api: Api<GitSource> = Api::namespaced(sources.context.client.clone(), &namespace);
    finalizer(&api, names::SOURCE_FINALIZER, Arc::new(source), |event| async {
        match event {
            Finalizer::Apply(source) => sources.look(&source).await,
            Finalizer::Cleanup(source) => sources.clean_up(&source).await,
        }
    })
    .await
    .map_err(|error| match error {
        kube::runtime::finalizer::Error::ApplyFailed(error)
        | kube::runtime::finalizer::Error::CleanupFailed(error) => error,
        other => Error::Finalizer(Box::new(other)),
    })
}

fn on_error(object: Arc<DeserializeGuard<GitSource>>, error: &Error, sources: Arc<Sources>) -> Action {
    let category: &'static str = error.into();
    sources.count(category);
    tracing::warn!(source.name = object.name_any(), error = %Chain(error), "a GitSource was not reconciled");
    let waits = match error {
        Error::Invalid(_) => true,
        Error::Api(error) => classify(error) == super::error::Class::WaitForChange,
        Error::Finalizer(_) | Error::Interrupted(_) => false,
    };
    if waits {
        Action::requeue(LONG)
    } else {
        Action::requeue(sources.backoff(1))
    }
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
        let annotation = |name: &str| source.annotations().get(name).cloned();
        let asked = Asked {
            generation: source.meta().generation,
            reconcile: annotation(names::RECONCILE_ANNOTATION),
            allow_prune: annotation(names::ALLOW_PRUNE_ANNOTATION),
        };
        let last = self
            .looks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&uid)
            .cloned();
        if let Some(last) = &last
            && last.asked == asked
        {
            let rest = last.due.saturating_duration_since(Instant::now());
            if !rest.is_zero() {
                return Ok(Action::requeue(rest));
            }
        }
        let ended = self.reconcile(source).await?;
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
        self.looks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(uid, look);
        Ok(Action::requeue(wait))
    }

    /// One pass: from the spec to the status.
    async fn reconcile(&self, source: &GitSource) -> Result<status::Ended, Error> {
        let ended = self.attempt(source).await?;
        let namespace = source.namespace().unwrap_or_default();
        let api: Api<GitSource> = Api::namespaced(self.context.client.clone(), &namespace);
        // While objects were applied the status may have been written: build on what is there now.
        let Some(current) = api.get_opt(&source.name_any()).await? else {
            return Ok(ended);
        };
        let new = status::build(&current, &ended, self.context.clock.now());
        let news = current.status.as_ref().map(|status| &status.history) != Some(&new.history);
        super::status::apply(&api, &current, &new, &self.context.metrics).await?;
        if news {
            self.tell(&current, &ended).await;
        }
        Ok(ended)
    }

    async fn attempt(&self, source: &GitSource) -> Result<status::Ended, Error> {
        if source.spec.suspend {
            return Ok(status::Ended::Suspended);
        }
        let request = match dereference::request(&self.context.client, source, self.cache_of(source)).await? {
            Ok(request) => request,
            Err(missing) => return Ok(status::Ended::NotReady(missing)),
        };
        // libgit2 blocks: all of it runs off the async threads.
        let fetcher = self.fetcher.clone();
        let fetched = tokio::task::spawn_blocking(move || fetcher.fetch(&request)).await?;
        let revision = match fetched {
            Ok(revision) => revision,
            Err(error) => {
                return Ok(status::Ended::NotFetched {
                    kind: error.kind,
                    message: error.report(),
                });
            }
        };
        let about = status::About::from(&revision);
        let documents = match revision::read(
            &revision,
            source.namespace().unwrap_or_default().as_str(),
            &self.schemas,
        ) {
            Ok(documents) => documents,
            Err(findings) => return Ok(status::Ended::Refused { about, findings }),
        };
        apply::apply(&self.context, source, about, &documents).await
    }

    /// An event on the object, for `kubectl describe` and `kubectl events`. Losing one is no harm: the status has it too.
    async fn tell(&self, source: &GitSource, ended: &status::Ended) {
        let (type_, note) = match ended.news() {
            Some(news) => news,
            None => return,
        };
        let event = Event {
            type_: if type_ {
                EventType::Normal
            } else {
                EventType::Warning
            },
            reason: ended.reason().to_owned(),
            note: Some(note.chars().take(1_000).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self
            .context
            .recorder
            .publish(&event, &source.object_ref(&()))
            .await
        {
            tracing::debug!(error = %Chain(&error), "an event was not recorded");
        }
    }

    /// Removes what a source brought, before it goes.
    async fn clean_up(&self, source: &GitSource) -> Result<Action, Error> {
        if source.spec.prune {
            let inventory = source
                .status
                .as_ref()
                .map(|status| status.inventory.as_slice())
                .unwrap_or_default();
            apply::prune(&self.context, source, inventory).await?;
        }
        let (fetcher, cache) = (self.fetcher.clone(), self.cache_of(source));
        if let Err(error) = tokio::task::spawn_blocking(move || fetcher.forget(&cache)).await? {
            tracing::warn!(source.name = source.name_any(), error = %Chain(&error), "a clone was left behind");
        }
        self.looks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&source.uid().unwrap_or_default());
        Ok(Action::await_change())
    }
}
