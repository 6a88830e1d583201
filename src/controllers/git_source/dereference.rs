//! What a GitSource's spec and Secret ask of git.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret as KubernetesSecret;
use kube::{Api, Client, ResourceExt as _};
use tokio_util::sync::CancellationToken;

use crate::api::GitSource;
use crate::api::condition::Reason;
use crate::controllers::duration;
use crate::gitops::fetch::{Credentials, FetchRequest, Limits, Reference};
use crate::gitops::verify::KeyRing;
use crate::secret::Secret;

const BRANCH: &str = "main";
const TIMEOUT: Duration = Duration::from_mins(1);
/// The entries that a Secret of signers should have.
const SIGNERS: &str =
    "the keys that may sign: `NAME.asc` (OpenPGP), `NAME.sshpub` (SSH public keys) or `allowed_signers`";

/// What a source needs and does not have. It is looked for again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) reason: Reason,
    /// What is missing, and what to do about it.
    pub(super) message: String,
}

/// The request, or what is missing for it.
///
/// # Errors
/// When the API fails.
pub(super) async fn request(
    client: &Client,
    source: &GitSource,
    cache_dir: PathBuf,
    stop: &CancellationToken,
) -> kube::Result<Result<FetchRequest, Missing>> {
    let spec = &source.spec;
    let (secret, data) = match &spec.secret_ref {
        None => (None, BTreeMap::new()),
        Some(reference) => {
            let namespace = source.namespace().unwrap_or_default();
            match secret(
                client,
                &namespace,
                &reference.name,
                ("secretRef", keys(&spec.url)),
            )
            .await?
            {
                Ok(data) => (Some(format!("{namespace}/{}", reference.name)), data),
                Err(missing) => return Ok(Err(missing)),
            }
        }
    };
    let text = |key: &str| {
        data.get(key)
            .and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
    };
    let credentials = match credentials(&spec.url, secret.as_deref(), &text) {
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
        stop: stop.clone(),
    }))
}

/// The keys that count for the signatures of a source, or what is missing for them. None: it asks for no signatures.
///
/// # Errors
/// When the API fails.
pub(super) async fn key_ring(
    client: &Client,
    source: &GitSource,
) -> kube::Result<Option<Result<KeyRing, Missing>>> {
    let Some(verify) = &source.spec.verify else {
        return Ok(None);
    };
    let (namespace, name) = (source.namespace().unwrap_or_default(), &verify.secret_ref.name);
    let wanted = ("verify.secretRef", SIGNERS);
    let found = secret(client, &namespace, name, wanted).await?;
    Ok(Some(found.and_then(|data| {
        let entries = data
            .iter()
            .map(|(entry, bytes)| (entry.as_str(), bytes.0.as_slice()));
        KeyRing::read(entries).map_err(|error| Missing {
            reason: Reason::SecretIncomplete,
            message: format!("the Secret {namespace}/{name} of verify.secretRef cannot be used: {error}"),
        })
    })))
}

/// What a Secret holds, or why it cannot be had. `field`, and what the Secret there should hold, are for people.
async fn secret(
    client: &Client,
    namespace: &str,
    name: &str,
    (field, content): (&str, &str),
) -> kube::Result<Result<BTreeMap<String, ByteString>, Missing>> {
    let api: Api<KubernetesSecret> = Api::namespaced(client.clone(), namespace);
    let (reason, message) = match api.get_opt(name).await {
        Ok(Some(secret)) => return Ok(Ok(secret.data.unwrap_or_default())),
        Ok(None) => (
            Reason::SecretNotFound,
            format!("the Secret {namespace}/{name} of {field} does not exist; make it, with {content}"),
        ),
        // It may exist or not: who may not read it is not told.
        Err(kube::Error::Api(refusal)) if refusal.code == 403 => (
            Reason::SecretNotGranted,
            format!(
                "Provost may not read the Secret {namespace}/{name} of {field}; grant it with the chart's value gitCredentials: \
                 `- {{ namespace: {namespace}, secretName: {name} }}`"
            ),
        ),
        Err(error) => return Err(error),
    };
    Ok(Err(Missing { reason, message }))
}

/// The keys that a Secret for this URL should have.
fn keys(url: &str) -> &'static str {
    if url.starts_with("ssh://") {
        "`identity` (the private key) and `known_hosts` (a host is trusted only by a key that is listed there)"
    } else {
        "`username` and `password`, or `bearerToken`"
    }
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

/// What git is shown. `secret` is the name of the Secret that `text` reads, if one is named.
fn credentials(
    url: &str,
    secret: Option<&str>,
    text: &impl Fn(&str) -> Option<String>,
) -> Result<Credentials, Missing> {
    let lacks = |what: &str| match secret {
        Some(secret) => Missing {
            reason: Reason::SecretIncomplete,
            message: format!(
                "the Secret {secret} of secretRef lacks {what}; it needs {}",
                keys(url)
            ),
        },
        None => Missing {
            reason: Reason::DependencyNotReady,
            message: format!(
                "an ssh source needs a Secret: name one in secretRef, with {}",
                keys(url)
            ),
        },
    };
    if url.starts_with("ssh://") {
        return Ok(Credentials::Ssh {
            identity: Secret::new(text("identity").ok_or_else(|| lacks("`identity`"))?),
            passphrase: text("password").map(Secret::new),
            known_hosts: text("known_hosts").ok_or_else(|| lacks("`known_hosts`"))?,
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
        // Such a Secret may hold nothing but `ca.crt`.
        (None, None) => Ok(Credentials::None),
        (Some(_), None) => Err(lacks("`password`")),
        (None, Some(_)) => Err(lacks("`username`")),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use kube::api::{Patch, PatchParams};
    use serde_json::json;

    use super::*;
    use crate::controllers::ground::Ground;

    const SECRET: Option<&str> = Some("fleet/policy-git");

    #[test]
    fn an_ssh_source_is_never_read_without_known_hosts() {
        let only_key = |key: &str| (key == "identity").then(|| "key".to_owned());
        let missing = credentials("ssh://git@host/x", SECRET, &only_key).unwrap_err();
        assert_eq!(missing.reason, Reason::SecretIncomplete);
        assert!(
            missing
                .message
                .starts_with("the Secret fleet/policy-git of secretRef lacks `known_hosts`")
        );
        let missing = credentials("ssh://git@host/x", None, &|_: &str| None).unwrap_err();
        assert_eq!(missing.reason, Reason::DependencyNotReady);
        assert!(missing.message.contains("secretRef"), "{}", missing.message);
    }

    #[test]
    fn half_a_password_is_a_mistake_and_not_anonymous() {
        let only_name = |key: &str| (key == "username").then(|| "x".to_owned());
        let missing = credentials("https://host/x", SECRET, &only_name).unwrap_err();
        assert!(
            missing.message.contains("lacks `password`"),
            "{}",
            missing.message
        );
        assert!(matches!(
            credentials("https://host/x", SECRET, &|_: &str| None),
            Ok(Credentials::None)
        ));
    }

    /// A client that is refused everything, as one whose role grants nothing.
    fn refused() -> Client {
        let service = tower::service_fn(async |_: http::Request<kube::client::Body>| {
            let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
                                 "message": "secrets \"policy-git\" is forbidden" });
            let body = kube::client::Body::from(status.to_string().into_bytes());
            let answer = http::Response::builder().status(403).body(body).unwrap();
            Ok::<_, std::convert::Infallible>(answer)
        });
        Client::new(service, "fleet")
    }

    #[tokio::test]
    async fn a_source_says_what_its_secret_needs_until_it_has_it() {
        let ground = Ground::new(Timestamp::UNIX_EPOCH).await;
        let object = json!({
            "apiVersion": "provost.dev/v1alpha1", "kind": "GitSource", "metadata": { "name": "policy", "namespace": "fleet" },
            "spec": { "url": "https://git.example.com/policy.git", "secretRef": { "name": "policy-git" } },
        });
        let source: GitSource = serde_json::from_value(object).unwrap();
        let ask = async |client: &Client| {
            request(client, &source, PathBuf::new(), &CancellationToken::new())
                .await
                .unwrap()
        };
        let write = async |data: serde_json::Value| {
            let secrets: Api<KubernetesSecret> = Api::namespaced(ground.client.clone(), "fleet");
            let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "policy-git" }, "stringData": data });
            let parameters = PatchParams::apply("test");
            secrets
                .patch("policy-git", &parameters, &Patch::Apply(&secret))
                .await
                .unwrap();
        };

        let missing = ask(&refused()).await.unwrap_err();
        assert_eq!(missing.reason, Reason::SecretNotGranted);
        assert_eq!(
            missing.message,
            "Provost may not read the Secret fleet/policy-git of secretRef; grant it with the chart's value gitCredentials: \
             `- { namespace: fleet, secretName: policy-git }`"
        );
        let missing = ask(&ground.client).await.unwrap_err();
        assert_eq!(missing.reason, Reason::SecretNotFound);
        assert_eq!(
            missing.message,
            "the Secret fleet/policy-git of secretRef does not exist; make it, with `username` and `password`, or `bearerToken`"
        );
        write(json!({ "username": "ada" })).await;
        assert_eq!(
            ask(&ground.client).await.unwrap_err().reason,
            Reason::SecretIncomplete
        );
        write(json!({ "username": "ada", "password": "x" })).await;
        let request = ask(&ground.client).await.unwrap();
        assert!(matches!(request.credentials, Credentials::Basic { .. }));
    }
}
