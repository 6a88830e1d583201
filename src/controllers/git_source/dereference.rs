//! What a GitSource's spec and Secret ask of git.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret as KubernetesSecret;
use kube::{Api, Client, ResourceExt as _};

use crate::api::GitSource;
use crate::controllers::duration;
use crate::gitops::fetch::{Credentials, FetchRequest, Limits, Reference};
use crate::secret::Secret;

const BRANCH: &str = "main";
const TIMEOUT: Duration = Duration::from_mins(1);

/// The request, or what is missing for it, for people.
///
/// # Errors
/// When the API fails.
pub(super) async fn request(
    client: &Client,
    source: &GitSource,
    cache_dir: PathBuf,
) -> kube::Result<Result<FetchRequest, String>> {
    let spec = &source.spec;
    let data = match &spec.secret_ref {
        None => BTreeMap::new(),
        Some(reference) => {
            let api: Api<KubernetesSecret> =
                Api::namespaced(client.clone(), &source.namespace().unwrap_or_default());
            match api.get_opt(&reference.name).await? {
                Some(secret) => secret.data.unwrap_or_default(),
                None => {
                    return Ok(Err(format!(
                        "the Secret {} of secretRef does not exist",
                        reference.name
                    )));
                }
            }
        }
    };
    let text = |key: &str| {
        data.get(key)
            .and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
    };
    let credentials = match credentials(&spec.url, &text) {
        Ok(credentials) => credentials,
        Err(missing) => return Ok(Err(missing)),
    };
    Ok(Ok(FetchRequest {
        url: spec.url.clone(),
        reference: reference(source),
        path: spec.path.clone(),
        credentials,
        ca_pem: data.get("ca.crt").map(|bytes| bytes.0.clone()),
        limits: Limits::default(),
        cache_dir,
        timeout: duration::parse(&spec.timeout).unwrap_or(TIMEOUT),
    }))
}

fn reference(source: &GitSource) -> Reference {
    let reference = source.spec.reference.clone().unwrap_or_default();
    if let Some(commit) = reference.commit {
        return Reference::Commit(commit);
    }
    if let Some(tag) = reference.tag {
        return Reference::Tag(tag);
    }
    Reference::Branch(reference.branch.unwrap_or_else(|| BRANCH.to_owned()))
}

fn credentials(url: &str, text: &impl Fn(&str) -> Option<String>) -> Result<Credentials, String> {
    if url.starts_with("ssh://") {
        let identity =
            text("identity").ok_or("an ssh source needs a Secret with `identity`, the private key")?;
        let known_hosts = text("known_hosts")
            .ok_or("an ssh source needs a Secret with `known_hosts`: a host is trusted only by a key that is listed there")?;
        return Ok(Credentials::Ssh {
            identity: Secret::new(identity),
            passphrase: text("password").map(Secret::new),
            known_hosts,
        });
    }
    if let Some(token) = text("bearerToken") {
        return Ok(Credentials::Bearer(Secret::new(token)));
    }
    match (text("username"), text("password")) {
        (Some(username), Some(password)) => Ok(Credentials::Basic {
            username,
            password: Secret::new(password),
        }),
        (None, None) => Ok(Credentials::None),
        _ => Err("the Secret of secretRef needs both `username` and `password`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ssh_source_is_never_read_without_known_hosts() {
        let only_key = |key: &str| (key == "identity").then(|| "key".to_owned());
        assert!(
            credentials("ssh://git@host/x", &only_key)
                .unwrap_err()
                .contains("known_hosts")
        );
    }

    #[test]
    fn half_a_password_is_a_mistake_and_not_anonymous() {
        let only_name = |key: &str| (key == "username").then(|| "x".to_owned());
        assert!(credentials("https://host/x", &only_name).is_err());
        assert!(matches!(
            credentials("https://host/x", &|_: &str| None),
            Ok(Credentials::None)
        ));
    }
}
