//! How the world reaches a device: pushes, and the simulation's own orders.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::apns::{Delivery, PushSink};

/// Answers an order to drift: in which way, or not.
pub(super) type DriftReply = oneshot::Sender<Option<&'static str>>;

/// What the magic of the user's channel has more than the device's.
const USER_MAGIC: &str = "-user";

/// Where a device stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not enrolled yet.
    New,
    /// Enrolled, not yet in the state that the server wants.
    Enrolled,
    /// Was in the state that the server wants.
    Synced,
    /// No longer enrolled, or refused.
    Gone,
}

#[derive(Debug)]
struct Post {
    pushed: bool,
    /// The push was for the user's channel.
    user_pushed: bool,
    online: bool,
    drift: Option<DriftReply>,
    phase: Phase,
}

/// One device's mailbox.
#[derive(Debug)]
pub(super) struct Mailbox {
    magic: String,
    news: Notify,
    post: Mutex<Post>,
}

impl Mailbox {
    /// A mailbox that listens to pushes with this magic.
    pub(super) fn new(magic: String) -> Self {
        let post = Post {
            pushed: false,
            user_pushed: false,
            online: true,
            drift: None,
            phase: Phase::New,
        };
        Self {
            magic,
            news: Notify::new(),
            post: Mutex::new(post),
        }
    }

    fn post(&self) -> MutexGuard<'_, Post> {
        self.post.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn magic(&self) -> &str {
        &self.magic
    }

    /// What pushes to the user's channel say.
    pub(super) fn user_magic(&self) -> String {
        format!("{}{USER_MAGIC}", self.magic)
    }

    /// Waits until something may have come.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    pub(super) fn is_online(&self) -> bool {
        self.post().online
    }

    pub(super) fn set_online(&self, online: bool) {
        self.post().online = online;
        self.news.notify_one();
    }

    pub(super) fn phase(&self) -> Phase {
        self.post().phase
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.post().phase = phase;
    }

    /// Takes the push that has come, if any.
    pub(super) fn take_push(&self) -> bool {
        std::mem::take(&mut self.post().pushed)
    }

    /// Whether a push to the user's channel has come and not been taken.
    pub(super) fn has_user_push(&self) -> bool {
        self.post().user_pushed
    }

    /// Takes the push that has come to the user's channel, if any.
    pub(super) fn take_user_push(&self) -> bool {
        std::mem::take(&mut self.post().user_pushed)
    }

    /// Orders the device to drift.
    pub(super) fn order_drift(&self, reply: DriftReply) {
        self.post().drift = Some(reply);
        self.news.notify_one();
    }

    pub(super) fn take_drift(&self) -> Option<DriftReply> {
        self.post().drift.take()
    }
}

impl PushSink for Mailbox {
    /// A push with another magic is not for this enrolment.
    fn deliver(&self, push: &Delivery) {
        match push.push_magic.strip_prefix(&self.magic) {
            Some("") => self.post().pushed = true,
            Some(USER_MAGIC) => self.post().user_pushed = true,
            _ => return,
        }
        self.news.notify_one();
    }
}
