//! Where the evidence is told, for `kubectl provost` to find: a ConfigMap, written when it differs.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use crate::api::names;
use crate::controllers::error::backoff;
use crate::telemetry::Chain;

/// The name of the ConfigMap, and of what lets people read it.
pub const CONFIG_MAP: &str = "provost-evidence";
/// The namespace it is in, unless another is chosen.
pub const NAMESPACE: &str = "provost-system";
/// The key of the URL in it.
pub const URL_KEY: &str = "url";
/// The key of the certificate that vouches for the server, PEM.
pub const AUTHORITY_KEY: &str = "ca.crt";

/// What is published.
pub(super) struct Notice {
    pub(super) namespace: String,
    pub(super) url: String,
    pub(super) authority: String,
    /// In the embedded API the namespace and the right to read it are made as well; on a cluster they come with the chart.
    pub(super) embedded: bool,
}

impl Notice {
    /// Publishes, trying until it succeeds, and waits for `shutdown`.
    pub(super) async fn publish(self, client: Client, shutdown: CancellationToken) {
        let mut failures = 0;
        while let Err(error) = self.write(&client).await {
            failures += 1;
            let pause = backoff(failures, u8::MAX);
            tracing::warn!(
                error = %Chain(&error),
                "the address of the evidence listener could not be published and will be later"
            );
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
        shutdown.cancelled().await;
    }

    async fn write(&self, client: &Client) -> kube::Result<()> {
        if self.embedded {
            self.open(client).await?;
        }
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &self.namespace);
        let data = BTreeMap::from([
            (URL_KEY.to_owned(), self.url.clone()),
            (AUTHORITY_KEY.to_owned(), self.authority.clone()),
        ]);
        match maps.get_opt(CONFIG_MAP).await? {
            Some(map) if map.data.as_ref() == Some(&data) => {}
            Some(mut map) => {
                map.data = Some(data);
                maps.replace(CONFIG_MAP, &parameters(), &map).await?;
            }
            None => {
                let map = ConfigMap {
                    metadata: named(CONFIG_MAP),
                    data: Some(data),
                    ..ConfigMap::default()
                };
                maps.create(&parameters(), &map).await?;
            }
        }
        Ok(())
    }

    /// Makes the namespace, and lets everybody who is known read the ConfigMap.
    async fn open(&self, client: &Client) -> kube::Result<()> {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        if namespaces.get_opt(&self.namespace).await?.is_none() {
            let namespace = Namespace {
                metadata: named(&self.namespace),
                ..Namespace::default()
            };
            namespaces.create(&parameters(), &namespace).await?;
        }
        let role = Role {
            metadata: named(CONFIG_MAP),
            rules: Some(vec![PolicyRule {
                api_groups: Some(vec![String::new()]),
                resources: Some(vec!["configmaps".to_owned()]),
                resource_names: Some(vec![CONFIG_MAP.to_owned()]),
                verbs: vec!["get".to_owned()],
                ..PolicyRule::default()
            }]),
        };
        let binding = RoleBinding {
            metadata: named(CONFIG_MAP),
            role_ref: RoleRef {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "Role".to_owned(),
                name: CONFIG_MAP.to_owned(),
            },
            subjects: Some(vec![Subject {
                api_group: Some("rbac.authorization.k8s.io".to_owned()),
                kind: "Group".to_owned(),
                name: "system:authenticated".to_owned(),
                namespace: None,
            }]),
        };
        let apply = PatchParams::apply(names::FIELD_MANAGER).force();
        Api::<Role>::namespaced(client.clone(), &self.namespace)
            .patch(CONFIG_MAP, &apply, &Patch::Apply(&role))
            .await?;
        Api::<RoleBinding>::namespaced(client.clone(), &self.namespace)
            .patch(CONFIG_MAP, &apply, &Patch::Apply(&binding))
            .await?;
        Ok(())
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(names::FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}
