//! What the program says about itself: log lines for people or machines, and metrics with bounded labels.
//!
//! Field names are dotted and the same everywhere (`device.id`, `source.name`, `request.id`). Nothing here ever sees a
//! secret, a token, a body or a person's name.

pub mod chain;
pub mod cluster;
pub mod logging;
pub mod metrics;
pub mod process;

pub use chain::{Chain, cause};
pub use logging::{LogFormat, start};
pub use metrics::Metrics;
