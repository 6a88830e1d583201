//! What has to be signed of a revision, and whether it is. Pure.

use jiff::Timestamp;

use super::keys::KeyRing;
use super::object::Object;
use super::refusal::{Outcome, Refusal};
use super::{openpgp, ssh};

/// The bytes of the objects that a reference leads to, as git keeps them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RawObjects {
    /// The commit.
    pub commit: Vec<u8>,
    /// The tag, where the reference names one.
    pub tag: Option<RawTag>,
}

/// A tag, as git keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawTag {
    /// The name that it was found under.
    pub name: String,
    /// The tag object. None: the name leads to a commit at once.
    pub object: Option<Vec<u8>>,
}

/// What has to be signed, and by whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Demand {
    /// The commit that the reference leads to.
    pub head: bool,
    /// The tag that the reference names.
    pub tag: bool,
    /// The e-mail addresses of which a signed commit's author, and a signed tag's tagger, must have one. Empty: any.
    pub authors: Vec<String>,
    /// What the time is.
    pub now: Timestamp,
    /// The time that keys have to be good at: that at which the revision came into force where it is, now where it is new. A key that has expired
    /// since takes nothing back.
    pub at: Timestamp,
}

/// A revision that is signed as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Who signed what, such as `the commit by ada@example.com (ssh-ed25519 SHA256:…)`.
    pub by: String,
}

/// Whether the objects that `commit` was found by are signed as `demand` asks, with keys of `ring`.
///
/// # Errors
/// Why they are not.
pub fn verify(
    commit: &str,
    objects: &RawObjects,
    ring: &KeyRing,
    demand: &Demand,
) -> Result<Signed, Refusal> {
    let mut signed = Vec::new();
    if demand.tag {
        let tag = objects.tag.as_ref().ok_or(Refusal::NotATag)?;
        signed.push(format!("the tag by {}", verify_tag(commit, tag, ring, demand)?));
    }
    if demand.head {
        let what = format!("commit {commit}");
        let object = Object::commit(&objects.commit).map_err(|why| Refusal::Malformed {
            what: what.clone(),
            why,
        })?;
        signed.push(format!(
            "the commit by {}",
            check(&what, &object, "author", ring, demand)?
        ));
    }
    Ok(Signed {
        by: signed.join(", "),
    })
}

fn verify_tag(commit: &str, tag: &RawTag, ring: &KeyRing, demand: &Demand) -> Result<String, Refusal> {
    let name = &tag.name;
    let raw = tag
        .object
        .as_ref()
        .ok_or_else(|| Refusal::NoTagObject { tag: name.clone() })?;
    let what = format!("tag {name}");
    let object = Object::tag(raw).map_err(|why| Refusal::Malformed {
        what: what.clone(),
        why,
    })?;
    let signer = check(&what, &object, "tagger", ring, demand)?;
    // What is signed says its own name and its commit: a signed tag cannot be put in the place of another.
    match object.only("tag") {
        Some(own) if own == name => {}
        other => {
            return Err(Refusal::OtherTag {
                tag: name.clone(),
                signed: other.unwrap_or_default().to_owned(),
            });
        }
    }
    if (object.only("object"), object.only("type")) != (Some(commit), Some("commit")) {
        return Err(Refusal::OtherTarget {
            tag: name.clone(),
            commit: commit.to_owned(),
        });
    }
    Ok(signer)
}

/// Who signed an object.
fn check(
    what: &str,
    object: &Object,
    person: &str,
    ring: &KeyRing,
    demand: &Demand,
) -> Result<String, Refusal> {
    let what = || what.to_owned();
    if object.signature.is_empty() {
        return Err(Refusal::Unsigned {
            what: what(),
            wanted: ring.described(),
        });
    }
    let unreadable = |why: String| Refusal::Unreadable { what: what(), why };
    let text = std::str::from_utf8(&object.signature).map_err(|_| unreadable("it is no text".to_owned()))?;
    let outcome = if text.starts_with("-----BEGIN SSH SIGNATURE-----") {
        ssh::verify(&ring.signers, &object.payload, text, demand.at)
    } else if text.starts_with("-----BEGIN PGP SIGNATURE-----") {
        openpgp::verify(&ring.certificates, &object.payload, text, demand.at, demand.now)
    } else {
        Err("it is of a kind that is not supported; sign with SSH or OpenPGP".to_owned())
    };
    let signer = match outcome.map_err(unreadable)? {
        Outcome::Signed(signer) => signer,
        Outcome::Unknown(key) => return Err(Refusal::UnknownKey { what: what(), key }),
        Outcome::Bad { key, why } => {
            return Err(Refusal::BadSignature {
                what: what(),
                key,
                why,
            });
        }
    };
    let email = object.email(person).unwrap_or_default();
    let is_listed = demand
        .authors
        .iter()
        .any(|listed| listed.eq_ignore_ascii_case(email));
    if !(demand.authors.is_empty() || is_listed) {
        let email = email.chars().filter(|c| !c.is_control()).take(254).collect();
        return Err(Refusal::Author { what: what(), email });
    }
    Ok(signer)
}
