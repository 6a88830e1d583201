//! What the rest of the API asks of this folder: whether a request may be done, whether a write may grant what it grants,
//! and what follows from it.

use std::sync::Arc;

use http::request::Parts;
use serde_json::Value;

use super::attributes::{Attributes, OnResource};
use super::user::User;
use super::{authentication, bootstrap, escalation, impersonation, tokens};
use crate::kubeapi::api::Core;
use crate::kubeapi::error::ApiError;
use crate::kubeapi::registry::BuiltIn;
use crate::kubeapi::request::Query;
use crate::kubeapi::verbs::{Target, Written};

/// Where a request comes from. The listener says so; without it a request is refused.
#[derive(Debug, Clone)]
pub(in crate::kubeapi) enum Caller {
    /// Over a connection, perhaps with a certificate (DER) that the handshake has verified.
    Connection {
        /// The client's certificate.
        certificate: Option<Vec<u8>>,
    },
    /// From this process: the administrator.
    InProcess,
}

/// The user on whose behalf a request is done, if it may be done.
///
/// # Errors
/// 401 for a credential that does not hold, 403 for what no role allows.
pub(in crate::kubeapi) async fn admit(
    core: &Core,
    parts: &mut Parts,
    query: Option<&Query>,
) -> Result<Arc<User>, ApiError> {
    let mut user = match parts.extensions.remove::<Caller>() {
        Some(Caller::InProcess) => User::administrator(),
        Some(Caller::Connection { certificate }) => {
            authentication::authenticate(core, certificate.as_deref(), &mut parts.headers).await?
        }
        None => return Err(ApiError::Unauthorized),
    };
    let wanted = impersonation::wanted(&parts.headers)?;
    if wanted.is_none() && user.is_master() {
        return Ok(Arc::new(user));
    }
    core.policy.follow(&core.storage).await?;
    let attributes = Attributes::of(&parts.method, parts.uri.path(), query);
    core.policy.ask(|index| {
        if let Some(wanted) = wanted {
            user = impersonation::become_user(index, &user, &wanted, &attributes)?;
        }
        let decision = index.decide(&user, &attributes);
        if decision.allowed {
            return Ok(Arc::new(user));
        }
        Err(attributes.forbidden(&user, &decision.reason))
    })
}

/// Refuses an apply that would create an object by one who may not create.
///
/// # Errors
/// 403.
pub(in crate::kubeapi) async fn may_create(
    core: &Core,
    target: &Target,
    author: Option<&User>,
) -> Result<(), ApiError> {
    let Some(user) = author.filter(|user| !user.is_master()) else {
        return Ok(());
    };
    core.policy.follow(&core.storage).await?;
    let attributes = Attributes::on("create", OnResource::of_target(target));
    let decision = core.policy.ask(|index| index.decide(user, &attributes));
    if decision.allowed {
        return Ok(());
    }
    Err(attributes.forbidden(user, &decision.reason))
}

/// Refuses a role or a binding that grants more than its author has. The server itself may grant anything.
///
/// # Errors
/// 403, and 404 for a binding of a role that is not there.
pub(in crate::kubeapi) async fn may_grant(
    core: &Core,
    target: &Target,
    author: Option<&User>,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    let grants = matches!(
        target.resource.built_in,
        Some(BuiltIn::ClusterRole | BuiltIn::ClusterRoleBinding | BuiltIn::Role | BuiltIn::RoleBinding)
    );
    let Some(user) = author.filter(|user| grants && !user.is_master()) else {
        return Ok(());
    };
    core.policy.follow(&core.storage).await?;
    core.policy
        .ask(|index| escalation::check(index, user, target, new, old))
}

/// Does what follows from a write at once: a new namespace gets its service account, roles that gather others are
/// gathered anew. What cannot be done is done at the next start.
pub(in crate::kubeapi) async fn follow_up(core: &Arc<Core>, target: &Target, written: Option<&Written>) {
    let created = written.filter(|written| written.code == http::StatusCode::CREATED);
    let done = match (target.resource.built_in, created) {
        (Some(BuiltIn::ClusterRole), _) => bootstrap::gather(core).await,
        (Some(BuiltIn::Namespace), Some(created)) => match created.object.name() {
            Some(name) => bootstrap::default_account(core, &name).await,
            None => Ok(()),
        },
        _ => Ok(()),
    };
    if let Err(error) = done {
        tracing::warn!(%error, "what follows from a write in the embedded Kubernetes API was not done");
    }
}

/// Answers a `TokenRequest`.
///
/// # Errors
/// See [`tokens::request`].
pub(in crate::kubeapi) async fn issue_token(
    core: &Arc<Core>,
    target: &Target,
    request: Value,
) -> Result<Written, ApiError> {
    let object = tokens::request(core, &target.namespace, &target.name, request).await?;
    Ok(Written {
        code: http::StatusCode::CREATED,
        object: crate::kubeapi::verbs::Answer::Value(object),
        warnings: Vec::new(),
    })
}
