//! A stand-in for Apple's push service: HTTP/2 over TLS, one pending push a token, the newest wins.
//!
//! Devices attach themselves with their token ([`FakeApns::attach`]) and are told of pushes while they are
//! connected; a push to a device that is not is kept until it connects. It checks a provider's request as Apple
//! documents it and answers in Apple's words. It can be made to fail ([`FakeApns::fail`]), to be slow
//! ([`FakeApns::slow`]) and to say goodbye ([`FakeApns::say_goodbye_after`]).
//!
//! Specification: Apple, "Sending notification requests to APNs", "Handling notification responses from APNs".

mod registry;
mod server;
mod tls;

pub use registry::{Delivery, Fault, PushSink, ReceivedPush};
pub use server::{ApnsError, FakeApns, FakeApnsSettings};
pub use tls::{TlsIdentity, TlsIdentityError};
