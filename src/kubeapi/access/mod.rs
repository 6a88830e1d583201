//! Who may do what: every request passes [`admit()`] once, before anything else is looked at.
//!
//! ```text
//!  certificate, token ─► authentication ─► impersonation ─► index (RBAC) ─► verbs ─► escalation
//!                             │                                ▲
//!                             └─► tokens (JWT)     policy ─────┘ follows the change log
//! ```
//!
//! Users, groups, roles, messages and reviews are Kubernetes' own. Callers in this process are the administrator. It
//! authorises nothing but by stored roles and the group `system:masters`, keeps no token, and logs no credential.

mod admit;
mod attributes;
mod authentication;
mod bootstrap;
mod defaults;
mod escalation;
mod impersonation;
mod index;
mod policy;
mod reviews;
mod rules;
mod tokens;
mod user;

pub(super) use self::admit::{Caller, admit, follow_up, issue_token, may_create, may_grant};
pub(super) use self::bootstrap::prepare;
pub(super) use self::defaults::fill_in;
pub(super) use self::policy::Policy;
pub(super) use self::reviews::review;
pub(super) use self::tokens::{Signer, SignerError};
pub(super) use self::user::{ADMINISTRATOR, MASTERS, User};
