//! Why a revision does not count as signed, in words that say what to do about it.

/// Why a commit or a tag is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no signature.
    #[error("the {what} is not signed; it must be, with {wanted}")]
    Unsigned {
        /// Such as `commit 1c2d…`.
        what: String,
        /// Which keys would do.
        wanted: String,
    },
    /// The signature is by a key that is not listed.
    #[error("the {what} is signed by {key}, which is not among the keys of spec.verify.secretRef")]
    UnknownKey {
        /// Which object.
        what: String,
        /// The key, as its fingerprint or id.
        key: String,
    },
    /// The signature is by a listed key and counts for nothing all the same.
    #[error("the signature of the {what} by {key} does not count: {why}")]
    BadSignature {
        /// Which object.
        what: String,
        /// The key, as its fingerprint or id.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// The signature cannot be read.
    #[error("the signature of the {what} cannot be read: {why}")]
    Unreadable {
        /// Which object.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// Whoever wrote it is not listed.
    #[error("the {what} is by <{email}>, who is not among spec.verify.authors")]
    Author {
        /// Which object.
        what: String,
        /// The address that it names.
        email: String,
    },
    /// A tag was to be signed, and the reference is none that carries a signature.
    #[error("the tag {tag} is a plain name for a commit and cannot be signed; make it with `git tag -s`")]
    NoTagObject {
        /// Its name.
        tag: String,
    },
    /// A tag was to be signed, and the source follows something else.
    #[error("spec.verify.mode asks for a signed tag, and spec.ref names none")]
    NotATag,
    /// A signed tag stands under another name than the one that was signed.
    #[error("the tag {tag} is the signed tag {signed} under another name")]
    OtherTag {
        /// Where it stands.
        tag: String,
        /// What was signed.
        signed: String,
    },
    /// A signed tag is for something else than the commit that it would bring.
    #[error("the signed tag {tag} is not for the commit {commit} itself")]
    OtherTarget {
        /// Its name.
        tag: String,
        /// The commit that the reference leads to.
        commit: String,
    },
    /// The object is not of the form that git writes.
    #[error("the {what} is not as git writes it: {why}")]
    Malformed {
        /// Which object.
        what: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// How one signature fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It counts; by whom.
    Signed(String),
    /// Its key, this one, is not listed.
    Unknown(String),
    /// Its key is listed, and it does not count.
    Bad {
        /// The key, as its owner and its fingerprint.
        key: String,
        /// What is wrong with it.
        why: String,
    },
}
