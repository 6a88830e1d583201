//! The API server goes away and comes back. Devices notice nothing; the controllers go on where they were.

use std::net::TcpListener;
use std::time::Duration;

use provost::api::Device;

use super::{leads, plane, reads, work_is_done};
use crate::world::{Caller, Mac, NAMESPACE, SHORT_LEASE, Server, eventually, text};

const FIRST: &str = "11111111-2222-3333-4444-000000000001";
const SECOND: &str = "11111111-2222-3333-4444-000000000002";

async fn an_outage_of(duration: Duration) {
    let Some(mut plane) = plane().await else { return };
    let client = plane.client().await;
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let server = Server::serve(&data_dir, &plane.kubeconfig(), 0, &SHORT_LEASE).await;
    leads(&server).await;
    work_is_done(&client, "before").await;
    let first = Mac::enrolled(&server, FIRST).await;
    let second = Mac::invited(&server, SECOND).await;
    let devices: kube::Api<Device> = kube::Api::namespaced(client.clone(), NAMESPACE);
    let has_object = async |udid: &str| {
        let name = udid.to_lowercase();
        eventually("the device has its object", async || {
            devices.get(&name).await.map_err(text)
        })
        .await;
    };
    has_object(FIRST).await;

    plane.kill();
    reads(&server, "provost_kubernetes_api_reachable", 0).await;
    reads(&server, "provost_leader", 0).await;
    let end = tokio::time::Instant::now() + duration;
    loop {
        assert_eq!(server.admin("/readyz").await, (200, "ok\n".to_owned()));
        first.drain().await;
        assert_eq!(first.declarative("tokens").await.status, 200);
        if tokio::time::Instant::now() >= end {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    // Even a new one comes in.
    assert_eq!(second.authenticate().await.status, 200);
    assert_eq!(second.token_update().await.status, 200);

    plane.restart().await;
    leads(&server).await;
    has_object(SECOND).await;
    work_is_done(&client, "after").await;
    assert!(!server.said().contains("panicked"), "{}", server.said());
}

#[tokio::test]
async fn an_api_server_that_is_killed_stops_no_device_and_is_found_again() {
    an_outage_of(Duration::ZERO).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn an_api_server_that_is_gone_for_a_minute_stops_no_device_and_is_found_again() {
    an_outage_of(Duration::from_mins(1)).await;
}

#[tokio::test]
async fn started_without_an_api_server_it_serves_devices_and_is_ready_later() {
    let Some(mut plane) = plane().await else { return };
    let client = plane.client().await;
    plane.kill();
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let kubeconfig = plane.kubeconfig();
    let starting = {
        let data_dir = data_dir.clone();
        tokio::spawn(async move { Server::serve(&data_dir, &kubeconfig, port, &SHORT_LEASE).await })
    };
    eventually("the device endpoint is there", async || {
        let open = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
        open.map_err(|error| error.to_string())?;
        std::fs::read(data_dir.join("ca.pem")).map_err(|error| error.to_string())
    })
    .await;
    let caller = Caller::of_port(port, &data_dir.join("ca.pem"));
    let refused = caller
        .send(
            "POST /enroll/identity",
            "Authorization: Bearer nothing\r\n",
            b"nothing",
        )
        .await;
    assert!((400..500).contains(&refused.status), "{}", refused.text());
    assert!(!starting.is_finished(), "it does not call itself ready");

    plane.restart().await;
    let server = starting.await.unwrap();
    leads(&server).await;
    work_is_done(&client, "after").await;
}
