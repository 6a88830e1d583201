//! Provost keeps an Apple device fleet at the standard that git says it must meet, and proves it.
//!
//! ```text
//!    git ──► gitops ──► policy objects ─┐                       ┌────────► kubectl, auditors
//!                                       ▼                       │ status, history, events
//!             Kubernetes API  ◄──► controllers ── policy ──► desired state
//!         (embedded: kubeapi)           ▲                       │
//!                                       │ transitions           ▼ manifests, commands
//!                                   compliance ◄── facts ──── store (SQLite)
//!                                       │                       ▲
//!                                       ▼                       │ check-ins, reports, results
//!                                  Device.status             mdm ◄──► devices
//!                                                               └──► push ──► APNs
//! ```
//!
//! **A device enrols.** `provost enroll invite` keeps the digest of a one-time challenge ([`enrollment`]). The device asks for its identity with it and gets a
//! certificate from the device authority ([`pki`]). It sends Authenticate and TokenUpdate over mutual TLS ([`mdm`]); the certificate is pinned to it
//! ([`store`]). The planner ([`controllers::fleet`]) hears of it, makes its Device object and finds its class.
//!
//! **A commit makes devices compliant.** The GitSource controller ([`controllers::git_source`]) fetches it, reads and validates every document
//! ([`gitops`]) and applies them whole. The planner compiles one plan for each class of devices ([`policy`]), writes one pointer a device and queues
//! the commands. Devices are woken ([`push`]), fetch declarations and profiles, and report. Reports become facts, facts become verdicts, and each
//! changed verdict becomes a transition ([`compliance`]) that status and history show.
//!
//! Modules, in reading order; each may use those above it, as the table in `tests/it/structure.rs` says and checks:
//!
//! - [`api`], [`ids`], [`clock`], [`secret`], [`expression`] (CEL), [`suggest`], [`files`], [`body`], `cache`, [`bearer`], [`listener`]: what everything speaks of
//!   and listens with.
//! - [`policy`], [`compliance`], the types of [`mdm`]: pure.
//! - [`store`], [`push`], [`gitops`], [`pki`], [`enrollment`]: ports and their adapters.
//! - [`controllers`], [`kubeapi`], the servers of [`mdm`]: what runs.
//! - [`app`] puts it together, with the embedded API (`provost up`) or that of a cluster (`provost serve`); [`cli`] is how
//!   people start it; [`simulator`] plays the devices and shares nothing with the server.

pub mod api;
pub mod app;
pub mod bearer;
pub mod body;
pub(crate) mod cache;
pub mod cli;
pub mod clock;
pub mod compliance;
pub mod controllers;
pub mod enrollment;
pub mod expression;
pub mod files;
pub mod gitops;
pub mod ids;
pub mod kubeapi;
pub mod listener;
pub mod mdm;
pub mod pki;
pub mod policy;
pub mod push;
pub mod secret;
pub mod simulator;
pub mod store;
pub mod suggest;
pub mod telemetry;
