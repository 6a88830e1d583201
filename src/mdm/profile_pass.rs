//! How a device whose connection shows no certificate fetches its profiles: by a pass in the address.
//!
//! A device with `SignMessage` is known by what it signs, and there is nothing to sign in the `GET` of a profile, so behind a proxy in which TLS
//! ends it would be nobody there. What it has signed is its question for the declaration that names the profile: the answer to that is given to
//! it alone, with an address that only the server can have made. It is good for one profile and one enrolment, for as long as that lasts and what
//! the device should hold names that profile. It says who may ask and never what there is: the gateway looks that up as it does for everybody.
//!
//! The server token of a declaration does not cover the pass: with and without, it stands for the same content.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::ids::{Digest, EnrollmentId};
use crate::pki::Sealer;
use crate::policy::declaration::{LEGACY, profiles_address};
use crate::store::Enrollment;

/// What the tags of passes are bound to.
const CONTEXT: &str = "profile-pass";

/// How a client has proven who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// By the certificate of its connection, which its other requests show too.
    Connection,
    /// By its signature of the message alone.
    Signature,
}

/// A pass that somebody shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfilePass {
    /// Whose it claims to be.
    pub enrollment: EnrollmentId,
    /// When that enrolment began, in microseconds since 1970.
    since: i64,
    tag: Digest,
}

impl ProfilePass {
    /// Reads the query of an address. None: that is no pass.
    #[must_use]
    pub fn read(query: &str) -> Option<Self> {
        let (enrollment, rest) = query.strip_prefix("for=")?.split_once("&since=")?;
        let (since, tag) = rest.split_once("&pass=")?;
        Some(Self {
            enrollment: EnrollmentId::parse(enrollment).ok()?,
            since: since.parse().ok()?,
            tag: Digest::from_hex(tag)?,
        })
    }

    /// Whether the enrolment of its holder is still the one that it was made for.
    #[must_use]
    pub fn is_of(&self, enrollment: &Enrollment) -> bool {
        self.enrollment == enrollment.id && self.since == enrollment.enrolled_at.as_microsecond()
    }

    fn query(&self) -> String {
        let Self {
            enrollment,
            since,
            tag,
        } = self;
        format!("for={enrollment}&since={since}&pass={tag}")
    }
}

/// Makes passes and judges them.
pub struct ProfilePasses {
    sealer: Arc<dyn Sealer>,
    /// What the address of each profile begins with.
    address: String,
}

impl ProfilePasses {
    /// Passes by the keys of `sealer`, for profiles below `public_url`.
    #[must_use]
    pub fn new(sealer: Arc<dyn Sealer>, public_url: &str) -> Self {
        Self {
            sealer,
            address: profiles_address(public_url),
        }
    }

    /// A declaration as `enrollment` alone gets it. None: it names no profile of ours, and is the same for everybody.
    #[must_use]
    pub fn added_to(&self, declaration: &str, enrollment: &Enrollment) -> Option<String> {
        let mut declaration: Value = serde_json::from_str(declaration).ok()?;
        if declaration.get("Type")? != LEGACY {
            return None;
        }
        let url = declaration.pointer_mut("/Payload/ProfileURL")?;
        let profile = Digest::from_hex(url.as_str()?.strip_prefix(&self.address)?)?;
        let query = self.pass(&enrollment.id, enrollment.enrolled_at, profile).query();
        *url = Value::String(format!("{}{profile}?{query}", self.address));
        Some(declaration.to_string())
    }

    /// Whether a pass was made here for this profile.
    #[must_use]
    pub fn made(&self, pass: &ProfilePass, profile: Digest) -> bool {
        let subject = subject(&pass.enrollment, pass.since, profile);
        self.sealer.is_tag(CONTEXT, subject.as_bytes(), &pass.tag)
    }

    fn pass(&self, enrollment: &EnrollmentId, since: Timestamp, profile: Digest) -> ProfilePass {
        let since = since.as_microsecond();
        let subject = subject(enrollment, since, profile);
        ProfilePass {
            enrollment: enrollment.clone(),
            since,
            tag: self.sealer.tag(CONTEXT, subject.as_bytes()),
        }
    }
}

/// What a tag is made of. Neither part can hold a slash, so that no two stand for the same.
fn subject(enrollment: &EnrollmentId, since: i64, profile: Digest) -> String {
    format!("{enrollment}/{since}/{profile}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededEntropy;
    use crate::pki::KeyFile;

    fn passes(folder: &std::path::Path) -> ProfilePasses {
        let keys = KeyFile::open(&folder.join("seal.key"), SeededEntropy::new(1)).unwrap();
        ProfilePasses::new(Arc::new(keys), "https://mdm.example.com/")
    }

    fn id(text: &str) -> EnrollmentId {
        EnrollmentId::parse(text).unwrap()
    }

    #[test]
    fn a_pass_is_for_one_enrolment_one_profile_and_the_keys_that_made_it() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (passes, at) = (passes(folder.path()), Timestamp::from_second(7).unwrap());
        let profile = Digest::of(b"p");
        let pass = passes.pass(&id("A0-1"), at, profile);
        assert_eq!(ProfilePass::read(&pass.query()), Some(pass.clone()));
        assert!(passes.made(&pass, profile));
        assert!(!passes.made(&pass, Digest::of(b"q")));
        for forged in [
            ProfilePass {
                enrollment: id("A0-2"),
                ..pass.clone()
            },
            ProfilePass {
                since: 7_000_001,
                ..pass.clone()
            },
            ProfilePass {
                tag: Digest::of(b"guessed"),
                ..pass.clone()
            },
        ] {
            assert!(!passes.made(&forged, profile), "{forged:?}");
        }
        let keys = KeyFile::open(&other.path().join("seal.key"), SeededEntropy::new(2)).unwrap();
        let elsewhere = ProfilePasses::new(Arc::new(keys), "https://mdm.example.com");
        assert!(!elsewhere.made(&pass, profile));
    }

    #[test]
    fn what_is_no_pass_is_not_taken_for_one() {
        let tag = Digest::of(b"t");
        for query in [
            String::new(),
            "for=A0-1".to_owned(),
            format!("for=A0-1&since=7&pass={}", &tag.to_string()[1..]),
            format!("for=A0-1&since=x&pass={tag}"),
            format!("for=A0/1&since=7&pass={tag}"),
            format!("since=7&for=A0-1&pass={tag}"),
            format!("for=A0-1&since=7&pass={tag}&pass={tag}"),
        ] {
            assert_eq!(ProfilePass::read(&query), None, "{query}");
        }
    }
}
