//! Waking devices through Apple's push service (APNs).
//!
//! A push says only "contact your server": it carries no command and may be lost. [`Pusher`] is the port; its
//! adapters are [`ApnsPusher`] (Apple's hosts, through `a2`), [`Http2Pusher`] (any other address: an egress proxy,
//! another port, a fake) and [`Unconfigured`] (no push certificate: devices come by polling). [`schedule`] decides
//! when which device is woken, so that nothing else in the program pushes, and no request waits for a push.
//!
//! Specification: Apple, "Sending notification requests to APNs" and "Notifying devices about MDM commands".

pub mod apns;
pub mod certificate;
pub mod http2;
pub mod notification;
pub mod port;
pub mod schedule;
pub mod unconfigured;

#[cfg(test)]
mod contract;

pub use apns::ApnsPusher;
pub use certificate::{CertificateError, PushCertificate};
pub use http2::{Http2Pusher, Http2Settings};
pub use port::{PushError, PushRequest, Pusher};
pub use schedule::{Pending, PushObserver, PushScheduler, PushTarget, ScheduleSettings, WakeUp};
pub use unconfigured::Unconfigured;
