//! Load: as many devices as a server can take, for measuring it.
//!
//! Where [`super::fleet`] plays lives, this plays one exchange over and over, as fast as the answers come, on as many connections as are asked
//! for: an acknowledgement answered by the next command, a sync of declarations, an enrolment. It counts what was answered well, how long each took, and every answer that was not as it should be.
//!
//! The first two speak as a proxy in which the devices' TLS has ended: plain HTTP/1.1 with the certificate in a header. They do as little as
//! possible for each request, since generator and server usually share the processor.

mod caller;
mod checkin;
mod connection;
mod declarations;
mod enrolling;
mod measure;
mod run;

pub use caller::{Recruit, read_fleet};
pub use checkin::{acknowledge, same_requests};
pub use declarations::sync;
pub use enrolling::{EnrollLoad, Enrolling, certificate_request, enroll, read_invitations};
pub use measure::{Measured, Report};
pub use run::{Load, ProxyLoad};

use std::path::PathBuf;

use super::trust::TrustError;

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("could not read {}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line of a file is not as it should be.
    #[error("line {line} of {} is no {what}", path.display())]
    ReadLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What it should be.
        what: &'static str,
        /// Why it is not.
        #[source]
        source: serde_json::Error,
    },
    /// A file names nobody.
    #[error("{} holds no {what}", path.display())]
    Nobody {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The server's address cannot be used.
    #[error("`{0}` is no address such as http://127.0.0.1:8090")]
    Address(String),
    /// The server's CA cannot be used.
    #[error("could not use the server's CA")]
    UseCa(#[from] TrustError),
    /// A key or a certificate request could not be made.
    #[error("could not make a certificate request")]
    Request(#[from] rcgen::Error),
}
