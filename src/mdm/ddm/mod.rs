//! Declarative management: the four endpoints as pure functions of what a device should hold.
//!
//! Nothing here knows how a request comes in, whose it is or where manifests are kept. Manifests are made elsewhere and arrive already
//! serialised; this module never changes a declaration.

mod documents;
mod endpoint;
mod status;

pub use documents::{EMPTY_TOKEN, declaration, declaration_items, tokens};
pub use endpoint::{Endpoint, Error as EndpointError};
pub use status::{Error as StatusError, StatusReport, declarations_proven, profiles_proven};
