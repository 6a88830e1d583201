//! The Kubernetes side of Provost's data: the resources people write and read, and the rules for their schemas.
//!
//! Nothing here performs input or output.

pub mod schema;
