//! Ways in: how a device gets the right to enrol, and the certificate that proves it afterwards.
//!
//! The right is an [`invitation`]: a one-time challenge, bound to a device where one is named. The identity certificate is issued for it by
//! [`identity`], over [`http`]. A certificate alone never begins an enrolment: at Authenticate the store compares what it was issued for.

pub mod http;
pub mod identity;
pub mod invitation;
pub mod limiter;

pub use identity::{IdentityIssuer, MdmAddress};
pub use invitation::{Invite, InviteRequest, invite};
pub use limiter::{Limiter, Rate};
