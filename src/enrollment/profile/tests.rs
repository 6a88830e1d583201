use jiff::Timestamp;

use super::*;
use crate::clock::{ManualClock, SeededEntropy};
use crate::enrollment::MdmAddress;
use crate::ids::{EnrollmentId, Namespace, PushTopic};
use crate::pki::KeyFile;
use crate::pki::ca::{Pki, server_names};
use crate::store::sqlite::SqliteStore;

fn issuer(folder: &tempfile::TempDir) -> ProfileIssuer {
    let entropy = SeededEntropy::new(1);
    let now: Timestamp = "2026-11-24T00:00:00Z".parse().unwrap();
    let pki = Pki::open(folder.path(), &server_names("localhost"), now, &entropy).unwrap();
    let sealer = KeyFile::open(&folder.path().join("k"), entropy).unwrap();
    let store = SqliteStore::open(&folder.path().join("db"), Arc::new(sealer)).unwrap();
    let topic = PushTopic::parse("com.apple.mgmt.External.test").unwrap();
    ProfileIssuer::new(
        Arc::new(store),
        Arc::new(ManualClock::new(now)),
        Arc::new(move || MdmAddress::new("https://mdm.example.com", topic.clone())),
        "https://mdm.example.com/",
        b"the certificate of an authority".to_vec(),
        pki.profiles,
    )
}

fn invitation(udid: Option<&str>) -> Invitation {
    Invitation {
        challenge: digest_of("challenge"),
        namespace: Namespace::parse("fleet").unwrap(),
        labels: std::collections::BTreeMap::new(),
        serial_number: None,
        udid: udid.map(|udid| EnrollmentId::parse(udid).unwrap()),
        expires_at: Timestamp::UNIX_EPOCH,
    }
}

fn unsigned(sign_message: bool) -> Variant {
    Variant {
        signed: false,
        sign_message,
    }
}

/// The UUIDs of a profile and its payloads, in order.
fn uuids(profile: &Dictionary) -> Vec<String> {
    let of = |payload: &Dictionary| {
        payload
            .get("PayloadUUID")
            .unwrap()
            .as_string()
            .unwrap()
            .to_owned()
    };
    let payloads = profile.get("PayloadContent").unwrap().as_array().unwrap();
    let inner = payloads
        .iter()
        .map(|payload| of(payload.as_dictionary().unwrap()));
    std::iter::once(of(profile)).chain(inner).collect()
}

#[test]
fn a_profile_is_as_apple_describes_it() {
    let folder = tempfile::tempdir().unwrap();
    let profile = issuer(&folder).compose("the challenge", &invitation(Some("A0-1")), unsigned(false));
    insta::assert_snapshot!(to_xml(&Value::Dictionary(profile)));
}

#[test]
fn another_challenge_changes_no_uuid_and_other_settings_change_only_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = issuer(&folder);
    let first = uuids(&issuer.compose("one", &invitation(None), unsigned(false)));
    let again = uuids(&issuer.compose("two", &invitation(None), unsigned(false)));
    assert_eq!(first, again);
    let signing = uuids(&issuer.compose("one", &invitation(None), unsigned(true)));
    assert_eq!(first[..3], signing[..3]);
    assert_ne!(first[3], signing[3]);
}
