//! Ways in: how a device gets the right to enrol, and the certificate that proves it afterwards.
//!
//! The right is an [`invitation`]: a one-time challenge, bound to a device where one is named. The identity certificate is issued for it by
//! [`identity`] for who has a key and a request at hand, and by [`scep`] for devices that follow an enrolment [`profile`]; both over [`http`]. A certificate alone never begins an enrolment: at Authenticate the store compares what it was issued for.

pub mod http;
pub mod identity;
pub mod invitation;
pub mod limiter;
pub mod metrics;
pub mod profile;
pub mod scep;
pub mod transfer;

pub use identity::{CurrentAddress, IdentityIssuer, MdmAddress};
pub use invitation::{Invite, InviteRequest, invite};
pub use limiter::{Limiter, Rate};
pub use metrics::IdentityMetrics;
pub use profile::{ProfileIssuer, Variant};
pub use scep::{Dialect, ScepServer};
