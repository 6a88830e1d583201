//! What `provost serve` needs to find, and says when it does not.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::timeout;

use super::plane;
use crate::control_plane::{ControlPlane, install_crds};
use crate::world::Said;
use crate::world::{Api, SHORT_LEASE, Server, provost};

async fn try_serve(folder: &tempfile::TempDir, more: &[&str]) -> Said {
    let data_dir = folder.path().join("data");
    let mut args = vec!["serve", "--data-dir", data_dir.to_str().unwrap()];
    args.extend(["--mdm-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    args.extend(more);
    timeout(Duration::from_mins(1), provost(&args))
        .await
        .expect("it ends by itself")
}

#[tokio::test]
async fn a_cluster_that_cannot_be_found_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let said = try_serve(&folder, &["--kubeconfig", nowhere.to_str().unwrap()]).await;
    assert!(!said.success && said.stdout.is_empty());
    assert!(said.stderr.contains("nowhere cannot be read"), "{}", said.stderr);
    let said = try_serve(&folder, &["--lease-duration", "5s"]).await;
    assert!(said.stderr.contains("renew deadline"), "{}", said.stderr);
}

#[tokio::test]
async fn missing_definitions_are_named_with_what_to_do_and_never_written() {
    if !Api::Cluster.is_here() {
        return;
    }
    let plane = ControlPlane::start("definitions").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = plane.kubeconfig();
    let said = try_serve(&folder, &["--kubeconfig", kubeconfig.to_str().unwrap()]).await;
    assert!(!said.success && said.stdout.is_empty());
    for part in [
        "missing: gitsources.provost.dev, baselines.provost.dev",
        "devices.provost.dev",
        "provost crd | kubectl apply --server-side -f -",
    ] {
        assert!(said.stderr.contains(part), "{}", said.stderr);
    }
    assert_eq!(super::writes(&plane, super::by_provost), Vec::<String>::new());

    let client = plane.client().await;
    install_crds(&client).await;
    let withdrawn = json!([{ "op": "replace", "path": "/spec/versions/0/served", "value": false }]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(withdrawn).unwrap());
    kube::Api::<CustomResourceDefinition>::all(client)
        .patch("profiles.provost.dev", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let said = try_serve(&folder, &["--kubeconfig", kubeconfig.to_str().unwrap()]).await;
    assert!(
        !said.success
            && said
                .stderr
                .contains("without version v1alpha1: profiles.provost.dev"),
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn definitions_of_another_version_are_a_warning() {
    let Some(plane) = plane().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let mut server = Server::serve(&data_dir, &plane.kubeconfig(), 0, &SHORT_LEASE).await;
    assert!(
        !server.said().contains("another version of Provost"),
        "the API server gives back what `provost crd` prints:\n{}",
        server.said()
    );
    server.terminate().await;

    let client = plane.client().await;
    let longer = json!([{
        "op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/title/maxLength", "value": 9_999,
    }]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(longer).unwrap());
    kube::Api::<CustomResourceDefinition>::all(client)
        .patch("baselines.provost.dev", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let server = Server::serve(&data_dir, &plane.kubeconfig(), 0, &SHORT_LEASE).await;
    let said = server.said();
    assert!(
        said.contains("definitions of another version of Provost: baselines.provost.dev;"),
        "{said}"
    );
}
