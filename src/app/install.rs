//! Installing the custom resource definitions, and the roles for them, into the embedded API.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt as _};

use crate::api::{crds, names, roles};

/// How long a definition may take to be served.
const PATIENCE: Duration = Duration::from_secs(30);

/// Applies every definition and waits until it is served.
pub(super) async fn definitions(client: &Client) -> anyhow::Result<()> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds::all() {
        let name = crd.name_any();
        let parameters = PatchParams::apply(names::FIELD_MANAGER).force();
        api.patch(&name, &parameters, &Patch::Apply(&crd))
            .await
            .with_context(|| format!("the definition {name} was refused"))?;
        let established = await_condition(api.clone(), &name, conditions::is_crd_established());
        tokio::time::timeout(PATIENCE, established)
            .await
            .with_context(|| format!("the definition {name} is not served"))??;
    }
    Ok(())
}

/// Applies the roles of those who work with Provost's resources.
pub(super) async fn cluster_roles(client: &Client) -> anyhow::Result<()> {
    let api: Api<ClusterRole> = Api::all(client.clone());
    for role in roles::all() {
        let name = role.name_any();
        let parameters = PatchParams::apply(names::FIELD_MANAGER).force();
        api.patch(&name, &parameters, &Patch::Apply(&role))
            .await
            .with_context(|| format!("the role {name} was refused"))?;
    }
    Ok(())
}
