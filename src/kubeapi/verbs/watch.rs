//! `GET` of a collection with `watch=true`: one JSON event per line.
//!
//! A watch is a revision and a question, "what came after it?", asked again whenever the log grows. It therefore has no
//! gap and no buffer of its own. Where the log no longer reaches back, the answer is 200 and one ERROR event with a
//! Status of code 410, on which clients list again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::Instant;

use super::Target;
use super::listing::Listing;
use super::read::pages;
use crate::kubeapi::api::Core;
use crate::kubeapi::error::ApiError;
use crate::kubeapi::negotiate::Form;
use crate::kubeapi::object;
use crate::kubeapi::present::{Shape, TableHeader};
use crate::kubeapi::request::Query;
use crate::kubeapi::storage::{Change, ChangeKind, Replay};

/// Time after which a watch without `timeoutSeconds` ends.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);
/// The longest time a watch may ask for.
const MAX_TIMEOUT: i64 = 24 * 3600;
/// Time between bookmarks.
const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);

enum Phase {
    /// Sends what there is, after this namespace and name.
    Initial(Option<(String, String)>),
    /// Sends what changes.
    Live,
    Done,
}

struct Watch {
    core: Arc<Core>,
    target: Target,
    listing: Listing,
    form: Form,
    query: Query,
    /// Everything up to this revision has been sent.
    revision: i64,
    /// Objects sent at the start that were written after `revision`: their older changes are not sent again.
    ahead: HashMap<(String, String), i64>,
    phase: Phase,
    queue: VecDeque<Bytes>,
    head: Receiver<i64>,
    deadline: Instant,
    bookmarks: bool,
    next_bookmark: Instant,
    /// End the initial events with a bookmark that says so.
    announce: bool,
    /// Tables name their columns in the first event only.
    header: TableHeader,
}

/// Starts a watch.
///
/// # Errors
/// A number that cannot be read, or a table that nobody knows.
pub(crate) async fn watch(
    core: &Arc<Core>,
    target: &Target,
    listing: Listing,
    form: Form,
    query: &Query,
) -> Result<Body, ApiError> {
    // Before the answer begins.
    Shape::new(&target.resource, form, query, core.now())?;
    let streaming = query.has("sendInitialEvents");
    let announce = query.flag("sendInitialEvents");
    let head = core.storage.follow();
    let asked = listing.revision.unwrap_or(0);
    let current = core.storage.head();
    let initial = announce || (asked == 0 && !streaming);
    let timeout = query.number("timeoutSeconds")?.filter(|seconds| *seconds > 0);
    let timeout = timeout.and_then(|seconds| u64::try_from(seconds.min(MAX_TIMEOUT)).ok());
    let now = Instant::now();
    let mut watch = Watch {
        core: Arc::clone(core),
        target: target.clone(),
        form,
        query: query.clone(),
        revision: if initial || asked == 0 { current } else { asked },
        ahead: HashMap::new(),
        phase: if initial {
            Phase::Initial(None)
        } else {
            Phase::Live
        },
        queue: VecDeque::new(),
        head,
        deadline: now + timeout.map_or(DEFAULT_TIMEOUT, Duration::from_secs),
        bookmarks: query.flag("allowWatchBookmarks"),
        next_bookmark: now + BOOKMARK_INTERVAL,
        announce: announce && query.flag("allowWatchBookmarks"),
        header: TableHeader::First,
        listing: Listing {
            limit: 0,
            cursor: None,
            ..listing
        },
    };
    let compacted = core.storage.compacted().await?;
    // A revision that was never handed out means that the database was replaced by an older one.
    if asked > current || (!initial && asked != 0 && asked < compacted) {
        watch.too_old(asked, compacted);
    }
    let lines = futures::stream::unfold(watch, async move |mut watch| {
        let line = watch.next().await?;
        Some((Ok::<_, std::convert::Infallible>(line), watch))
    });
    Ok(Body::from_stream(lines))
}

impl Watch {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.queue.pop_front() {
                return Some(line);
            }
            let step = match &self.phase {
                Phase::Done => return None,
                Phase::Initial(after) => {
                    let after = after.clone();
                    self.initial(after).await
                }
                Phase::Live => self.live().await,
            };
            if let Err(error) = step {
                self.end_with(&error);
            }
        }
    }

    async fn initial(&mut self, after: Option<(String, String)>) -> Result<(), ApiError> {
        let page = pages(&self.core, &self.target, &self.listing, after).await?;
        for row in page.rows {
            if !self.target.name.is_empty() && row.name != self.target.name {
                continue;
            }
            if row.revision > self.revision {
                self.ahead.insert((row.namespace, row.name), row.revision);
            }
            self.send("ADDED", &row.body, row.revision)?;
        }
        self.phase = match page.next {
            Some(after) => Phase::Initial(Some(after)),
            None => Phase::Live,
        };
        if self.announce && matches!(self.phase, Phase::Live) {
            self.bookmark(&json!({ "k8s.io/initial-events-end": "true" }))?;
        }
        Ok(())
    }

    async fn live(&mut self) -> Result<(), ApiError> {
        // Marked as seen before the log is read, so that a write in between wakes the wait below.
        self.head.borrow_and_update();
        let storage = &self.core.storage;
        match storage
            .changes(Arc::clone(&self.target.resource.storage), self.revision)
            .await?
        {
            Replay::Compacted => {
                let compacted = self.core.storage.compacted().await?;
                self.too_old(self.revision, compacted);
            }
            Replay::Changes { changes, upto } => {
                for change in changes {
                    self.consider(&change).await?;
                }
                self.revision = upto;
                if self.queue.is_empty() && upto >= *self.head.borrow() {
                    self.wait().await?;
                }
            }
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), ApiError> {
        let now = Instant::now();
        let resource = &self.target.resource;
        let served = self.core.registry.served();
        let gone = served
            .find(&resource.group, &resource.version, &resource.plural)
            .is_none();
        if now >= self.deadline || gone || self.core.stop.is_cancelled() {
            if self.bookmarks && !gone {
                self.bookmark(&json!({}))?;
            }
            self.phase = Phase::Done;
            return Ok(());
        }
        if self.bookmarks && now >= self.next_bookmark {
            return self.bookmark(&json!({}));
        }
        let until = if self.bookmarks {
            self.deadline.min(self.next_bookmark)
        } else {
            self.deadline
        };
        tokio::select! {
            changed = self.head.changed() => if changed.is_err() { self.phase = Phase::Done },
            () = tokio::time::sleep_until(until) => {}
            () = self.core.stop.cancelled() => {}
        }
        Ok(())
    }

    /// Sends a change if it concerns what is watched.
    async fn consider(&mut self, change: &Change) -> Result<(), ApiError> {
        if !self.target.namespace.is_empty() && change.namespace != self.target.namespace {
            return Ok(());
        }
        if !self.ahead.is_empty() {
            let key = (change.namespace.clone(), change.name.clone());
            if self.ahead.get(&key).is_some_and(|sent| change.revision <= *sent) {
                return Ok(());
            }
        }
        if !self.target.name.is_empty() && change.name != self.target.name {
            return Ok(());
        }
        let matches = |facets| {
            self.listing
                .matches(&self.target.resource, &change.namespace, &change.name, facets)
        };
        let now = matches(&change.facets);
        let before = match change.kind {
            ChangeKind::Added => false,
            ChangeKind::Deleted => now,
            ChangeKind::Modified => change.previous.as_ref().map_or(now, matches),
        };
        match (change.kind, before, now) {
            (ChangeKind::Deleted, _, true) => self.send("DELETED", &change.body, change.revision),
            (ChangeKind::Modified, true, false) => {
                // Who watches a selection never sees the state that is no part of it.
                let last = self.core.storage.replaced(change).await?;
                self.send("DELETED", last.as_ref().unwrap_or(&change.body), 0)
            }
            (ChangeKind::Added, _, true) | (ChangeKind::Modified, false, true) => {
                self.send("ADDED", &change.body, change.revision)
            }
            (ChangeKind::Modified, true, true) => self.send("MODIFIED", &change.body, change.revision),
            _ => Ok(()),
        }
    }

    /// Sends an object that was stored at `revision`.
    fn send(&mut self, kind: &str, body: &Bytes, revision: i64) -> Result<(), ApiError> {
        let resource = &self.target.resource;
        if self.form == Form::Object && resource.serves_verbatim(revision) {
            self.queue.push_back(line(kind, body));
            return Ok(());
        }
        let mut object: Value =
            serde_json::from_slice(body).map_err(|error| ApiError::Internal(error.to_string()))?;
        resource.to_served(&mut object);
        let shape = Shape::new(resource, self.form, &self.query, self.core.now())?;
        let object = shape.event(object, &mut self.header);
        self.queue.push_back(line(kind, &object));
        Ok(())
    }

    fn bookmark(&mut self, annotations: &Value) -> Result<(), ApiError> {
        self.next_bookmark = Instant::now() + BOOKMARK_INTERVAL;
        let mut metadata = json!({ "resourceVersion": self.revision.to_string() });
        if annotations
            .as_object()
            .is_some_and(|annotations| !annotations.is_empty())
        {
            object::put(&mut metadata, "annotations", annotations.clone());
        }
        let resource = &self.target.resource;
        let object =
            json!({ "kind": resource.kind, "apiVersion": resource.api_version(), "metadata": metadata });
        let shape = Shape::new(resource, self.form, &self.query, self.core.now())?;
        let object = shape.bookmark(object, &mut self.header);
        self.queue.push_back(line("BOOKMARK", &object));
        Ok(())
    }

    fn too_old(&mut self, asked: i64, oldest: i64) {
        let error = ApiError::Expired(format!("too old resource version: {asked} ({oldest})"));
        self.end_with(&error);
    }

    fn end_with(&mut self, error: &ApiError) {
        let status = error.status().to_string();
        self.queue.push_back(line("ERROR", status.as_bytes()));
        self.phase = Phase::Done;
    }
}

fn line(kind: &str, object: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(object.len() + 40);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(kind.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line.into()
}
