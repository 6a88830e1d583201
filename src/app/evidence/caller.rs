//! Who calls: by a bearer token that the Kubernetes API reviews, or by a client certificate of its authority.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::Mutex;

use super::access::{Memory, User};
use super::refusal::Refusal;
use crate::bearer;
use crate::clock::Clock;
use crate::ids::Digest;
use crate::listener::ClientCertificates;
use crate::pki::ca::ClientTrust;

/// Where a cluster says which authority its client certificates are of.
const AUTHENTICATION: (&str, &str) = ("kube-system", "extension-apiserver-authentication");
const CLIENT_AUTHORITY: &str = "client-ca-file";
/// How long that is believed.
const AUTHORITY_MEMORY: SignedDuration = SignedDuration::from_mins(5);
/// Whoever has shown a credential is also in this group.
const AUTHENTICATED: &str = "system:authenticated";
/// The longest token that is looked at.
const LONGEST_TOKEN: usize = 16 * 1024;

/// Finds out who calls.
pub(super) struct Callers {
    client: Client,
    clock: Arc<dyn Clock>,
    tokens: Memory<Digest, Option<User>>,
    authority: Authority,
}

/// The authority of client certificates.
enum Authority {
    /// Of the embedded API.
    Own(Arc<ClientTrust>),
    /// The cluster's, as it was when it was last asked for. None in it: it has none that can be used.
    Clusters(Mutex<Option<(Timestamp, Option<Arc<ClientTrust>>)>>),
}

impl Callers {
    pub(super) fn new(client: Client, clock: Arc<dyn Clock>, own: Option<ClientTrust>) -> Self {
        Self {
            client,
            tokens: Memory::new(clock.clone()),
            clock,
            authority: match own {
                Some(own) => Authority::Own(Arc::new(own)),
                None => Authority::Clusters(Mutex::default()),
            },
        }
    }

    /// The caller with these headers on a connection with these client certificates. The credential is taken out
    /// of the headers.
    ///
    /// # Errors
    /// [`Refusal::Unauthorized`] for nobody, [`Refusal::Unavailable`] when the API does not say.
    pub(super) async fn identify(
        &self,
        headers: &mut HeaderMap,
        certificates: &ClientCertificates,
    ) -> Result<User, Refusal> {
        let authorization = headers.remove(AUTHORIZATION);
        if !certificates.is_empty()
            && let Some(trust) = self.trust().await?
            && let Some(subject) = trust.subject(certificates, self.clock.now())
        {
            let mut groups = subject.groups;
            groups.push(AUTHENTICATED.to_owned());
            return Ok(User {
                name: subject.name,
                uid: None,
                groups,
                extra: BTreeMap::new(),
            });
        }
        let token = authorization
            .as_ref()
            .and_then(bearer::token)
            .filter(|token| token.len() <= LONGEST_TOKEN)
            .ok_or(Refusal::Unauthorized)?;
        let digest = Digest::of(token.as_bytes());
        let user = if let Some(user) = self.tokens.recall(&digest) {
            user
        } else {
            let user = self.review(token).await?;
            self.tokens.remember(digest, user.clone());
            user
        };
        user.ok_or(Refusal::Unauthorized)
    }

    async fn review(&self, token: &str) -> Result<Option<User>, Refusal> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let answer = reviews
            .create(&PostParams::default(), &review)
            .await
            .map_err(Refusal::api)?;
        let status = answer.status.filter(|status| status.authenticated == Some(true));
        Ok(status.and_then(|status| user(status.user?)))
    }

    /// What client certificates are judged by. None: the cluster does not say.
    async fn trust(&self) -> Result<Option<Arc<ClientTrust>>, Refusal> {
        let known = match &self.authority {
            Authority::Own(own) => return Ok(Some(own.clone())),
            Authority::Clusters(known) => known,
        };
        let now = self.clock.now();
        // One asks at a time; the others wait for its answer.
        let mut known = known.lock().await;
        if let Some((at, trust)) = known.as_ref()
            && now >= *at
            && now.duration_since(*at) < AUTHORITY_MEMORY
        {
            return Ok(trust.clone());
        }
        let (namespace, name) = AUTHENTICATION;
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let map = match maps.get_opt(name).await {
            Ok(map) => map,
            Err(kube::Error::Api(status)) if status.code == 403 => {
                tracing::warn!(
                    "client certificates are not taken for evidence: {}",
                    status.message
                );
                None
            }
            Err(error) => return Err(Refusal::api(error)),
        };
        let bundle = map.and_then(|map| map.data?.remove(CLIENT_AUTHORITY));
        let trust = bundle.and_then(|bundle| match ClientTrust::in_bundle(&bundle) {
            Ok(trust) => Some(Arc::new(trust)),
            Err(error) => {
                tracing::warn!(%error, "the cluster's client authority cannot be used");
                None
            }
        });
        *known = Some((now, trust.clone()));
        Ok(trust)
    }
}

fn user(info: UserInfo) -> Option<User> {
    let name = info.username.filter(|name| !name.is_empty())?;
    Some(User {
        name,
        uid: info.uid,
        groups: info.groups.unwrap_or_default(),
        extra: info.extra.unwrap_or_default(),
    })
}
