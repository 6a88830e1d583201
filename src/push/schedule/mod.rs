//! Who is woken when.
//!
//! The rate of pushes is the rate at which the fleet checks in, so one place decides it: [`core`] holds the waiting
//! devices and decides, purely, whom to push to now ([`core::Schedule::decide`]); [`runner`] carries the decisions
//! out. Per device pushes are coalesced and repeated with growing intervals while work is pending, because a push
//! may be lost; per topic they follow a token bucket, recently seen devices first and the rest by turns; a dead
//! token stops, trouble at the service pauses its topic, and is told once ([`health`]).

pub mod core;
pub mod health;
pub mod runner;
mod topic;

#[cfg(test)]
mod tests;

pub use self::core::{Outcome, Push, Schedule, ScheduleSettings, WakeUp};
pub use runner::{Pending, PushObserver, PushScheduler};

/// Where a device's pushes go; all three come from its `TokenUpdate`.
#[derive(Clone, PartialEq, Eq)]
pub struct PushTarget {
    /// `Token`, as bytes.
    pub token: Vec<u8>,
    /// `PushMagic`.
    pub push_magic: String,
    /// `Topic`.
    pub topic: std::sync::Arc<str>,
}

impl std::fmt::Debug for PushTarget {
    /// Shows the topic only, as [`super::PushRequest`] does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushTarget")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}
