//! Waking devices through Apple's push service (APNs).
//!
//! A push says only "contact your server": it carries no command and may be lost. [`Pusher`] is the port; its
//! adapters are [`ApnsPusher`] (Apple's hosts, through `a2`) and [`Http2Pusher`] (any other address: an egress proxy,
//! another port, a fake); [`Topics`] chooses among them by the topic of the device, and has none without a push
//! certificate: devices then come by polling. [`schedule`] decides when which device is woken, so that nothing else in
//! the program pushes, and no request waits for a push.
//!
//! Push certificates end every year: [`request`] asks Apple for one, [`folder`] keeps them, [`expiry`] says how near the
//! end is.
//!
//! Specification: Apple, "Sending notification requests to APNs" and "Notifying devices about MDM commands".

pub mod apns;
pub mod certificate;
pub mod expiry;
pub mod folder;
pub mod http2;
pub mod notification;
pub mod port;
pub mod request;
pub mod schedule;
pub mod topics;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod stories;

pub use apns::ApnsPusher;
pub use certificate::{CertificateError, Link, PushCertificate};
pub use expiry::{Expiry, HeldCertificate};
pub use folder::{FolderError, PushFolder};
pub use http2::{Http2Pusher, Http2Settings};
pub use port::{PushError, PushRequest, Pusher};
pub use schedule::{Pending, PushObserver, PushScheduler, PushTarget, ScheduleSettings, WakeUp};
pub use topics::Topics;
