//! What breaks servers: bombs, floods, half handshakes, defects. Each is refused, and everybody else is served.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use super::world::World;
use crate::clock::SeededEntropy;
use crate::mdm::http::{Limits, guarded};
use crate::mdm::metrics::GatewayMetrics;
use crate::mdm::plist::BODY_LIMIT;

const UDID: &str = "A0000000-0000-4000-8000-000000000001";

#[tokio::test]
async fn bad_bodies_are_refused_and_the_enrolment_goes_on() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    let deep = format!("<plist>{}", "<array>".repeat(10_000)).into_bytes();
    // Twelve arrays of ten references to the next: a terabyte, in 150 bytes.
    let mut bomb = b"bplist00".to_vec();
    let mut offsets = Vec::new();
    for level in 0..12_u8 {
        offsets.push(u8::try_from(bomb.len()).unwrap());
        bomb.push(0xAA);
        bomb.extend([level + 1; 10]);
    }
    offsets.push(u8::try_from(bomb.len()).unwrap());
    bomb.push(0x09);
    let table = bomb.len() as u64;
    bomb.extend(&offsets);
    bomb.extend([0, 0, 0, 0, 0, 0, 1, 1]);
    for word in [13, 0, table] {
        bomb.extend(u64::to_be_bytes(word));
    }
    for (name, body, status) in [
        ("empty", vec![], StatusCode::BAD_REQUEST),
        ("no plist", b"hello".to_vec(), StatusCode::BAD_REQUEST),
        (
            "no dictionary",
            b"<plist><array/></plist>".to_vec(),
            StatusCode::BAD_REQUEST,
        ),
        (
            "nobody",
            b"<plist><dict/></plist>".to_vec(),
            StatusCode::BAD_REQUEST,
        ),
        ("deep", deep, StatusCode::BAD_REQUEST),
        ("bomb", bomb, StatusCode::BAD_REQUEST),
        ("large", vec![b' '; BODY_LIMIT + 1], StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        for path in ["/mdm", "/mdm/checkin"] {
            let answer = device.client.send(Method::PUT, path, &[], body.clone()).await;
            assert_eq!(answer.status, status, "{name} at {path}");
        }
    }
    assert_eq!(device.drain().await.len(), 3);
}

#[tokio::test]
async fn other_paths_and_methods_are_no_reason_to_leave() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    for (method, path, status) in [
        (Method::GET, "/mdm", StatusCode::METHOD_NOT_ALLOWED),
        (Method::DELETE, "/mdm/checkin", StatusCode::METHOD_NOT_ALLOWED),
        (Method::GET, "/", StatusCode::NOT_FOUND),
        (Method::GET, "/mdm/profiles/..%2f..%2fetc", StatusCode::NOT_FOUND),
    ] {
        let answer = device.client.send(method, path, &[], vec![]).await;
        assert_eq!(answer.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_handshake_that_breaks_off_disturbs_nobody() {
    let world = World::new();
    for beginning in [
        &b""[..],
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PUT /mdm HTTP/1.1\r\n\r\n",
        &[0; 600],
    ] {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        stream.shutdown().await.unwrap();
        // The server hangs up, with or without an alert.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    let device = world.enrolled(UDID).await;
    assert_eq!(device.drain().await.len(), 3);
}

#[tokio::test]
async fn a_defect_is_a_500_and_the_next_request_is_served() {
    let world = World::new();
    let client = world.anonymous();
    let answer = client.send(Method::GET, "/defect", &[], vec![]).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(world.metrics.panics.get(), 1);
    assert_eq!(
        client.send(Method::GET, "/", &[], vec![]).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn too_many_requests_at_once_are_told_when_to_come_back() {
    let limits = Limits {
        concurrent: 0,
        ..Limits::default()
    };
    let world = World::with(|store| store, limits);
    let answer = world.anonymous().send(Method::GET, "/", &[], vec![]).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers.contains_key("retry-after"));
    assert!(answer.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_cut_off() {
    // What never ends takes longer than any limit, and so the shortest of all does here.
    let limits = Limits {
        request: Duration::ZERO,
        ..Limits::default()
    };
    let metrics = GatewayMetrics::default();
    let router = Router::new().route("/", get(std::future::pending::<&str>));
    let router = guarded(router, limits, metrics.clone(), Arc::new(SeededEntropy::new(1)));
    let request = Request::get("/").body(Body::empty()).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    assert_eq!(metrics.in_flight.get(), 0);
}

#[tokio::test]
async fn requests_are_counted_by_kind_and_status() {
    let world = World::new();
    let device = world.enrolled(UDID).await;
    device.drain().await;
    device.client.send(Method::PUT, "/mdm", &[], b"x".to_vec()).await;
    let mut registry = prometheus_client::registry::Registry::default();
    world.metrics.register(&mut registry);
    let mut shown = String::new();
    prometheus_client::encoding::text::encode(&mut shown, &registry).unwrap();
    for line in [
        r#"device_requests_total{kind="Identity",status="200"} 1"#,
        r#"device_requests_total{kind="Authenticate",status="200"} 1"#,
        r#"device_requests_total{kind="Acknowledged",status="200"} 3"#,
        r#"device_requests_total{kind="Malformed",status="400"} 1"#,
    ] {
        assert!(shown.contains(line), "no {line} in\n{shown}");
    }
}
