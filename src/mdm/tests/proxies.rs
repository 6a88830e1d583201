//! Devices whose TLS ends at a proxy, and those who would like to be one.

use std::fmt::Write as _;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::world::{Client, Device, World};

const UDID: &str = "A0000000-0000-4000-8000-000000000001";
const OTHER: &str = "A0000000-0000-4000-8000-000000000002";
const LOOPBACK: &[&str] = &["127.0.0.0/8"];

/// The first certificate of a chain, as RFC 9440 writes it.
fn client_cert(chain: &str) -> String {
    let certificate = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
    format!(":{}:", STANDARD.encode(certificate))
}

/// As nginx writes it.
fn escaped(chain: &str) -> String {
    let end = "-----END CERTIFICATE-----\n";
    let pem = &chain[..chain.find(end).unwrap() + end.len()];
    pem.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").unwrap();
        }
        text
    })
}

fn device(udid: &str, client: Client) -> Device {
    Device {
        udid: udid.to_owned(),
        os_version: "15.4".into(),
        client,
    }
}

#[tokio::test]
async fn a_device_is_known_by_the_certificate_that_a_trusted_proxy_has_seen() {
    let world = World::new();
    let standard = world.behind_proxies(LOOPBACK, "client-cert");
    let nginx = world.behind_proxies(LOOPBACK, "x-ssl-cert");
    let (chain, _) = world.identity(UDID).await;
    let first = device(
        UDID,
        Client::proxy(standard, vec![("client-cert", client_cert(&chain))]),
    );
    first.enroll().await;
    assert_eq!(first.drain().await.len(), 3);
    let manifest = super::world::manifest("t-1", &[]);
    world.point(&first, &manifest).await;
    let path = format!("/mdm/profiles/{}", manifest.profiles[0].digest);
    let profile = first.client.send(Method::GET, &path, &[], vec![]).await;
    assert_eq!(profile.status, StatusCode::OK);

    let (chain, _) = world.identity(OTHER).await;
    let second = device(OTHER, Client::proxy(nginx, vec![("x-ssl-cert", escaped(&chain))]));
    second.enroll().await;
    assert_eq!(second.drain().await.len(), 3);
}

#[tokio::test]
async fn an_untrusted_hop_is_refused_whatever_it_says_and_nobody_leaves_for_it() {
    let world = World::new();
    let address = world.behind_proxies(&["10.0.0.0/8", "::1"], "client-cert");
    let (chain, key) = world.identity(UDID).await;
    device(UDID, Client::with_identity(&world, &chain, &key))
        .enroll()
        .await;
    for headers in [
        vec![],
        vec![("client-cert", client_cert(&chain))],
        vec![
            ("client-cert", client_cert(&chain)),
            ("x-forwarded-for", "10.0.0.1".into()),
        ],
    ] {
        let answer = device(UDID, Client::proxy(address, headers)).idle().await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(!answer.text().contains("com.apple"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_certificate_header_counts_nowhere_else() {
    let world = World::new();
    let address = world.behind_proxies(LOOPBACK, "x-ssl-cert");
    let (chain, key) = world.identity(UDID).await;
    let victim = device(UDID, Client::with_identity(&world, &chain, &key));
    victim.enroll().await;
    // Straight to the TLS endpoint.
    let mut straight = world.anonymous();
    straight.headers = vec![
        ("client-cert", client_cert(&chain)),
        ("x-ssl-cert", escaped(&chain)),
    ];
    assert_eq!(
        device(UDID, straight).idle().await.status,
        StatusCode::BAD_REQUEST
    );
    // Beside another's own certificate.
    let (chain_of_other, key_of_other) = world.identity(OTHER).await;
    let mut other = Client::with_identity(&world, &chain_of_other, &key_of_other);
    other.headers = vec![("client-cert", client_cert(&chain))];
    assert_eq!(device(UDID, other).idle().await.status, StatusCode::BAD_REQUEST);
    // Through the proxy, under a name that it does not write itself.
    let smuggled = Client::proxy(address, vec![("client-cert", client_cert(&chain))]);
    assert_eq!(
        device(UDID, smuggled).idle().await.status,
        StatusCode::BAD_REQUEST
    );
    assert_eq!(victim.drain().await.len(), 3);
}

#[tokio::test]
async fn a_header_that_is_there_twice_or_is_no_certificate_of_ours_is_refused() {
    let world = World::new();
    let address = world.behind_proxies(LOOPBACK, "client-cert");
    let (chain, _) = world.identity(UDID).await;
    let good = client_cert(&chain);
    device(UDID, Client::proxy(address, vec![("client-cert", good.clone())]))
        .enroll()
        .await;
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec![UDID.to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    for headers in [
        vec![("client-cert", good.clone()), ("client-cert", good.clone())],
        vec![("client-cert", format!("{good}, {good}"))],
        vec![("client-cert", String::new())],
        vec![("client-cert", ":AAAA:".into())],
        vec![("client-cert", client_cert(&own.pem()))],
        vec![],
    ] {
        let answer = device(UDID, Client::proxy(address, headers.clone())).idle().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{headers:?}");
    }
}

#[tokio::test]
async fn a_proxy_vouches_for_possession_and_for_nothing_else() {
    let world = World::new();
    let address = world.behind_proxies(LOOPBACK, "client-cert");
    let through = |chain: &str, udid| {
        device(
            udid,
            Client::proxy(address, vec![("client-cert", client_cert(chain))]),
        )
    };
    let (chain, _) = world.identity(UDID).await;
    through(&chain, UDID).enroll().await;
    let (chain_of_other, _) = world.identity(OTHER).await;
    let attacker = through(&chain_of_other, UDID);
    assert_eq!(attacker.authenticate().await.status, StatusCode::BAD_REQUEST);
    assert_eq!(attacker.idle().await.status, StatusCode::BAD_REQUEST);
    assert_eq!(through(&chain, UDID).drain().await.len(), 3);
    // However often it was seen while it was valid.
    world.clock.advance(Duration::from_hours(366 * 24));
    assert_eq!(through(&chain, UDID).idle().await.status, StatusCode::BAD_REQUEST);
}
