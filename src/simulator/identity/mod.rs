//! The way in that Apple documents: an enrolment profile is fetched and read, its SCEP payload brings the identity, and its MDM payload says
//! where to go and whether messages are signed.
//!
//! From the inside out: `der` and `cms` are the formats, [`keys`] the keys, `enrolment` the profile, `scep` the conversation (RFC 8894). A
//! second reading of the same documents as the server's, and none of its code. The signature of a profile is not judged: a person
//! installs it, whoever has signed.

mod cms;
mod der;
mod enrolment;
pub(super) mod keys;
mod scep;

pub(super) use cms::Signer;
pub(super) use enrolment::ProfileError;
pub(super) use scep::ProfileRequest;
