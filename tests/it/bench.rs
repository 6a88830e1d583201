//! `provost bench`: a data directory with a past, and each measurement for a second on a real server.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use kube::Api as Objects;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use provost::api::Device;
use serde::Deserialize as _;
use serde_json::Value;

use crate::world::{NAMESPACE, Server, eventually, provost};

const DEVICES: usize = 30;

/// A server in a prepared directory, and where proxies come.
async fn prepared(folder: &Path) -> (Server, String) {
    let (data_dir, fleet) = (folder.join("data"), folder.join("fleet.jsonl"));
    let said = provost(&[
        "bench",
        "prepare",
        "--data-dir",
        data_dir.to_str().unwrap(),
        "--fleet",
        fleet.to_str().unwrap(),
        "--devices",
        &DEVICES.to_string(),
        "--history",
        "3",
        "--commands",
        "400",
    ])
    .await;
    assert!(said.success, "{}", said.stderr);
    // Taken and given back: the server says of its other addresses only which they are.
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let more = ["--mdm-proxy-listen", &address, "--mdm-proxy-trust", "127.0.0.1"];
    (
        Server::start(&data_dir, 0, &more).await,
        format!("http://{address}"),
    )
}

/// What a measurement of a second says in JSON.
async fn measured(args: &[&str]) -> Value {
    let mut all = vec!["bench"];
    all.extend(args);
    all.extend(["--connections", "4", "--seconds", "1", "--output", "json"]);
    let said = provost(&all).await;
    assert!(said.success, "{all:?}: {}\n{}", said.stdout, said.stderr);
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    for measured in report["measured"].as_array().unwrap() {
        assert!(measured["count"].as_u64().unwrap() > 0, "{measured}");
        assert_eq!(measured["errors"], serde_json::json!({}), "{measured}");
        assert!(
            measured["p50Ms"].as_f64() <= measured["p99Ms"].as_f64(),
            "{measured}"
        );
    }
    report
}

#[tokio::test]
async fn each_measurement_is_taken_without_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (server, url) = prepared(folder.path()).await;
    let client = server.client().await;
    let devices: Objects<Device> = Objects::namespaced(client.clone(), NAMESPACE);
    eventually("the devices have their objects", async || {
        let found = devices
            .list(&Default::default())
            .await
            .map_err(|error| error.to_string())?;
        if found.items.len() == DEVICES {
            Ok(())
        } else {
            Err(format!("{} objects", found.items.len()))
        }
    })
    .await;

    let fleet = folder.path().join("fleet.jsonl");
    let fleet = fleet.to_str().unwrap();
    let report = measured(&["checkin", "--url", &url, "--fleet", fleet, "--floor"]).await;
    assert_eq!(
        report["measured"].as_array().unwrap().len(),
        3,
        "with the floor before and after"
    );
    assert!(report["ratio"].as_f64().unwrap() > 0.0);

    policy(&client).await;
    eventually("everybody has five declarations", async || {
        let said = provost(&[
            "bench",
            "ddm",
            "--url",
            &url,
            "--fleet",
            fleet,
            "--seconds",
            "1",
            "-o",
            "json",
        ])
        .await;
        let report: Value = serde_json::from_str(&said.stdout).map_err(|_| said.stderr.clone())?;
        let measured = &report["measured"][0];
        let whole = measured["requests"].as_u64() == measured["count"].as_u64().map(|syncs| syncs * 7);
        if said.success && whole {
            Ok(())
        } else {
            Err(said.stdout)
        }
    })
    .await;

    let data_dir = server.data_dir().to_str().unwrap();
    let invite = [
        "enroll",
        "invite",
        "-o",
        "json",
        "--data-dir",
        data_dir,
        "--namespace",
        NAMESPACE,
    ];
    let invited = provost(&[invite.as_slice(), &["--count", "200"]].concat()).await;
    assert!(invited.success, "{}", invited.stderr);
    let invitations = folder.path().join("invitations.jsonl");
    fs::write(&invitations, invited.stdout).unwrap();
    let (invitations, ca) = (invitations.to_str().unwrap(), server.ready.ca.to_str().unwrap());
    let report = measured(&["enroll", "--invitations", invitations, "--ca", ca]).await;
    assert_eq!(
        report["measured"].as_array().unwrap().len(),
        2,
        "enrolments and handshakes"
    );
}

/// Applies the policy that the documentation measures with.
async fn policy(client: &kube::Client) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bench/policy.yaml");
    let text = fs::read_to_string(file).unwrap();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let object = DynamicObject::deserialize(document).unwrap();
        let types = object.types.clone().unwrap();
        let kind = GroupVersionKind::gvk("provost.dev", "v1alpha1", &types.kind);
        let objects = Objects::<DynamicObject>::namespaced_with(
            client.clone(),
            NAMESPACE,
            &ApiResource::from_gvk(&kind),
        );
        let name = object.metadata.name.clone().unwrap();
        let parameters = PatchParams::apply("bench");
        objects
            .patch(&name, &parameters, &Patch::Apply(&object))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_directory_that_holds_something_is_not_filled() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let (data_dir, fleet) = (folder.path().to_str().unwrap(), folder.path().join("fleet.jsonl"));
    let args = [
        "bench",
        "prepare",
        "--data-dir",
        data_dir,
        "--fleet",
        fleet.to_str().unwrap(),
    ];
    let said = provost(&args).await;
    assert!(
        !said.success && said.stderr.contains("there is something in it"),
        "{}",
        said.stderr
    );
    assert!(!fleet.exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
