//! Certificates that are renewed, and what their predecessors and thieves can still do.

use std::time::Duration;

use axum::http::StatusCode;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::world::{Client, Device, World};
use crate::clock::Clock as _;
use crate::ids::{Digest, EnrollmentId};
use crate::mdm::commands::Command;
use crate::mdm::metrics::RequestLabels;
use crate::pki::csr::CertificateRequest;
use crate::store::{EnrollmentState, IssuedCertificate, Refusal};

const UDID: &str = "A0000000-0000-4000-8000-000000000001";
const OTHER: &str = "A0000000-0000-4000-8000-000000000002";

fn device(world: &World, udid: &str, chain: &str, key: &KeyPair) -> Device {
    Device {
        udid: udid.to_owned(),
        os_version: "15.4".into(),
        client: Client::with_identity(world, chain, key),
    }
}

fn fingerprint(chain: &str) -> Digest {
    Digest::of(&CertificateDer::from_pem_slice(chain.as_bytes()).unwrap())
}

/// A certificate for `udid` on proof by another one, as a server of certificates issues it.
pub(super) async fn renew(world: &World, by: &str, udid: &str) -> Result<(String, KeyPair), Refusal> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "whatever");
    let request = params.serialize_request(&key).unwrap();
    let request = CertificateRequest::read(request.der()).unwrap();
    let enrollment = EnrollmentId::parse(udid).unwrap();
    let issued = world
        .pki
        .devices
        .issue_identity(&request, enrollment.as_str(), world.clock.now(), &*world.entropy)
        .unwrap();
    let certificate = IssuedCertificate {
        fingerprint: issued.fingerprint,
        key: request.key_digest,
        enrollment: Some(enrollment),
        not_after: issued.not_after,
        namespace: crate::ids::Namespace::parse("fleet").unwrap(),
        labels: std::collections::BTreeMap::new(),
        serial_number: None,
    };
    let renewed = world
        .store
        .renew(fingerprint(by), certificate, world.clock.now())
        .await;
    renewed.unwrap().map(|()| (issued.chain_pem, key))
}

#[tokio::test]
async fn a_device_renews_its_certificate_and_loses_nothing() {
    let world = World::new();
    let (old_chain, old_key) = world.identity(UDID).await;
    let old = device(&world, UDID, &old_chain, &old_key);
    old.enroll().await;
    old.drain().await;
    world.clock.advance(Duration::from_hours(240 * 24));
    world.enqueue(&old, &Command::SecurityInfo, "waiting").await;
    let (chain, key) = renew(&world, &old_chain, UDID).await.unwrap();
    // It may go on with the old one for as long as it has not used the new one.
    assert_eq!(old.idle().await.status, StatusCode::OK);
    let new = device(&world, UDID, &chain, &key);
    assert_eq!(new.idle().await.command().unwrap().1, "waiting");
    assert_eq!(
        old.idle().await.status,
        StatusCode::OK,
        "what is under way is not cut off"
    );
    world.clock.advance(Duration::from_hours(25));
    assert_eq!(old.idle().await.status, StatusCode::BAD_REQUEST);
    assert_eq!(old.authenticate().await.status, StatusCode::BAD_REQUEST);
    assert_eq!(new.idle().await.status, StatusCode::OK);
    let enrollment = world.store.enrollment(&new.id()).await.unwrap().unwrap();
    assert_eq!(enrollment.certificate, fingerprint(&chain));
    assert_eq!(
        (enrollment.state, enrollment.token_updates),
        (EnrollmentState::Enrolled, 1)
    );
}

#[tokio::test]
async fn a_profile_installed_again_to_renew_is_no_new_enrolment_and_a_new_invitation_is_one() {
    let world = World::new();
    let (old_chain, old_key) = world.identity(UDID).await;
    let old = device(&world, UDID, &old_chain, &old_key);
    old.enroll().await;
    old.drain().await;
    world.enqueue(&old, &Command::SecurityInfo, "waiting").await;
    let (chain, key) = renew(&world, &old_chain, UDID).await.unwrap();
    let new = device(&world, UDID, &chain, &key);
    new.enroll().await;
    let queue = new.drain().await;
    assert_eq!(queue, ["SecurityInfo"], "what was queued, and no first questions");
    assert_eq!(
        world
            .store
            .enrollment(&new.id())
            .await
            .unwrap()
            .unwrap()
            .token_updates,
        2
    );
    let again = world.enrolled(UDID).await;
    assert_eq!(again.drain().await.len(), 3, "the first questions");
    assert_eq!(new.idle().await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nobody_renews_for_another_or_after_leaving() {
    let world = World::new();
    let (victims, key) = world.identity(UDID).await;
    let victim = device(&world, UDID, &victims, &key);
    victim.enroll().await;
    let (attackers, attackers_key) = world.identity(OTHER).await;
    let attacker = device(&world, OTHER, &attackers, &attackers_key);
    attacker.enroll().await;
    let refused = renew(&world, &attackers, UDID).await.unwrap_err();
    assert_eq!(refused, Refusal::WrongCertificate);
    let (never_used, _) = world.identity(UDID).await;
    assert_eq!(
        renew(&world, &never_used, UDID).await.unwrap_err(),
        Refusal::WrongCertificate
    );
    assert_eq!(victim.drain().await.len(), 3);

    let (renewed, renewed_key) = renew(&world, &attackers, OTHER).await.unwrap();
    assert_eq!(attacker.check_in("CheckOut", &[]).await.status, StatusCode::OK);
    let refused = renew(&world, &attackers, OTHER).await.unwrap_err();
    assert_eq!(refused, Refusal::WrongCertificate);
    for (chain, key) in [(&attackers, &attackers_key), (&renewed, &renewed_key)] {
        let back = device(&world, OTHER, chain, key);
        assert_eq!(back.authenticate().await.status, StatusCode::BAD_REQUEST);
        assert_ne!(back.idle().await.status, StatusCode::OK);
        assert_ne!(back.token_update().await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_certificate_that_ran_out_is_good_for_its_renewal_and_for_nothing_else() {
    let world = World::new();
    let (chain, key) = world.identity(UDID).await;
    let late = device(&world, UDID, &chain, &key);
    late.enroll().await;
    late.drain().await;
    world.clock.advance(Duration::from_hours((365 + 80) * 24));
    for answer in [
        late.idle().await,
        late.authenticate().await,
        late.token_update().await,
        late.check_in("CheckOut", &[]).await,
    ] {
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text());
    }
    let (chain, key) = renew(&world, &chain, UDID).await.unwrap();
    assert_eq!(
        device(&world, UDID, &chain, &key).idle().await.status,
        StatusCode::OK
    );
    world.clock.advance(Duration::from_hours((365 + 91) * 24));
    assert_eq!(renew(&world, &chain, UDID).await.unwrap_err(), Refusal::RanOut);
}

#[tokio::test]
async fn who_has_missed_its_renewal_is_counted_apart() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    world.clock.advance(Duration::from_hours(366 * 24));
    assert_eq!(device.idle().await.status, StatusCode::BAD_REQUEST);
    let counted = |kind, status| {
        world
            .metrics
            .requests
            .get_or_create(&RequestLabels { kind, status })
            .get()
    };
    assert_eq!((counted("Expired", 400), counted("Malformed", 400)), (1, 0));
}
