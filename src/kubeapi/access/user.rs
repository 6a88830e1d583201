//! Who makes a request.

use std::collections::BTreeMap;

/// The administrator whose certificate the generated kubeconfig holds.
pub(in crate::kubeapi) const ADMINISTRATOR: &str = "provost:admin";
/// The group that may do everything, whatever the stored roles say.
pub(in crate::kubeapi) const MASTERS: &str = "system:masters";
/// Whoever has shown no credential.
pub(super) const ANONYMOUS: &str = "system:anonymous";
/// The group of those who have shown a credential.
pub(super) const AUTHENTICATED: &str = "system:authenticated";
/// The group of those who have shown none.
pub(super) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group of all service accounts; with `:NAMESPACE`, of those of one namespace.
const SERVICE_ACCOUNTS: &str = "system:serviceaccounts";
const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";
/// The key of the extra information that names the credential.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// An authenticated user, as Kubernetes describes one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::kubeapi) struct User {
    /// The name that roles are bound to.
    pub name: String,
    /// Tells a service account from an earlier one of its name.
    pub uid: String,
    /// The groups that roles are bound to.
    pub groups: Vec<String>,
    /// What else is known.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Callers in this process.
    #[must_use]
    pub(in crate::kubeapi) fn administrator() -> Self {
        Self {
            name: ADMINISTRATOR.to_owned(),
            groups: vec![MASTERS.to_owned(), AUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    /// Whoever has shown no credential.
    #[must_use]
    pub(super) fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    /// Somebody with a credential, which `credential` names.
    #[must_use]
    pub(super) fn authenticated(name: String, mut groups: Vec<String>, credential: String) -> Self {
        if !groups.iter().any(|group| group == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self {
            name,
            groups,
            uid: String::new(),
            extra: BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![credential])]),
        }
    }

    /// Whether the user may do everything.
    #[must_use]
    pub(in crate::kubeapi) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }
}

/// The user name of a service account.
#[must_use]
pub(super) fn service_account(namespace: &str, name: &str) -> String {
    format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}")
}

/// Namespace and name of the service account that a user name stands for.
#[must_use]
pub(super) fn split_service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')?;
    let good = |text: &str| !text.is_empty() && !text.contains([':', '/']);
    (good(namespace) && good(name)).then_some((namespace, name))
}

/// The groups of a service account of `namespace`.
#[must_use]
pub(super) fn service_account_groups(namespace: &str) -> Vec<String> {
    vec![
        SERVICE_ACCOUNTS.to_owned(),
        format!("{SERVICE_ACCOUNTS}:{namespace}"),
    ]
}
