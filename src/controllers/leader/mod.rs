//! Which replica runs the controllers: the holder of a Lease (`coordination.k8s.io/v1`), by the rule of Kubernetes' own components.
//!
//! [`election`] is the rule, as a pure state machine. [`candidate`] reads and writes the Lease by it and runs the controllers while it is held.
//! [`term`] is what a leader may do and until when: a lease by itself stops nobody, so every write of a leader passes the term's
//! [fence](term::Term::fence).
//!
//! Serving devices needs no lease. The embedded API has one process and none either.

pub mod candidate;
pub mod election;
pub mod term;

pub use candidate::Candidate;
pub use election::Timing;
pub use term::Term;
