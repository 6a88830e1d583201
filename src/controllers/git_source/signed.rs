//! Whether a revision is signed as its source asks. Pure.

use jiff::Timestamp;

use crate::api::GitSource;
use crate::api::git_source::VerificationMode;
use crate::gitops::fetch::Revision;
use crate::gitops::verify::{self, Demand, KeyRing, Refusal};

/// Who signed a revision. None: the source does not ask.
///
/// # Errors
/// Why it is not signed as it should be.
pub(super) fn verify(
    source: &GitSource,
    revision: &Revision,
    ring: Option<&KeyRing>,
    now: Timestamp,
) -> Result<Option<String>, Refusal> {
    let Some((asked, ring)) = source.spec.verify.as_ref().zip(ring) else {
        return Ok(None);
    };
    let demand = Demand {
        head: matches!(asked.mode, VerificationMode::Head | VerificationMode::TagAndHead),
        tag: matches!(asked.mode, VerificationMode::Tag | VerificationMode::TagAndHead),
        authors: asked.authors.clone(),
        now,
        at: good_at(source, &revision.name, now),
    };
    verify::verify(&revision.commit, &revision.objects, ring, &demand).map(|signed| Some(signed.by))
}

/// The time that the keys of a revision have to be good at: now; or for one that was verified and is in force, when it came into force. A key that
/// expires does not take back what it has signed.
fn good_at(source: &GitSource, revision: &str, now: Timestamp) -> Timestamp {
    let artifact = source.status.as_ref().and_then(|status| status.artifact.as_ref());
    let in_force = artifact.filter(|artifact| artifact.revision == revision && artifact.signer.is_some());
    in_force.map_or(now, |artifact| artifact.applied_at.0)
}
