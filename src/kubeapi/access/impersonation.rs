//! Acting as somebody else (`kubectl --as`): read from the headers, allowed by the roles of the one who asks.
//!
//! Both of Kubernetes' ways are served: the constrained verbs (`impersonate:user-info`, `impersonate:serviceaccount`,
//! `impersonate:arbitrary-node`, each with `impersonate-on:MODE:VERB`) and the old verb `impersonate`.

use http::HeaderMap;

use super::attributes::{Attributes, OnResource};
use super::index::Index;
use super::user::{
    ANONYMOUS, AUTHENTICATED, MASTERS, UNAUTHENTICATED, User, service_account_groups, split_service_account,
};
use crate::kubeapi::error::ApiError;
use crate::kubeapi::request::percent_decode;

const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUP: &str = "impersonate-group";
const EXTRA_PREFIX: &str = "impersonate-extra-";
const NODE_PREFIX: &str = "system:node:";
const AUTHENTICATION: &str = "authentication.k8s.io";

/// Reads whom the headers name.
///
/// # Errors
/// 400 when they name parts of a user but no user.
pub(super) fn wanted(headers: &HeaderMap) -> Result<Option<User>, ApiError> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let one = |name: &str| headers.get(name).map(text).unwrap_or_default();
    let mut user = User {
        name: one(USER),
        uid: one(UID),
        groups: headers.get_all(GROUP).iter().map(text).collect(),
        ..User::default()
    };
    for (header, value) in headers {
        if let Some(key) = header.as_str().strip_prefix(EXTRA_PREFIX) {
            let key = percent_decode(key).unwrap_or_else(|| key.to_owned());
            user.extra.entry(key).or_default().push(text(value));
        }
    }
    if !user.name.is_empty() {
        return Ok(Some(user));
    }
    if user.uid.is_empty() && user.groups.is_empty() && user.extra.is_empty() {
        return Ok(None);
    }
    let name =
        "requested to impersonate a uid, a group or extra information without impersonating a user name";
    Err(ApiError::BadRequest(name.to_owned()))
}

/// One of the ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    ArbitraryNode,
    ServiceAccount,
    UserInfo,
    Legacy,
}

impl Mode {
    const ALL: [Self; 4] = [
        Self::ArbitraryNode,
        Self::ServiceAccount,
        Self::UserInfo,
        Self::Legacy,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::ArbitraryNode => "arbitrary-node",
            Self::ServiceAccount => "serviceaccount",
            Self::UserInfo => "user-info",
            Self::Legacy => "",
        }
    }

    fn verb(self) -> String {
        match self {
            Self::Legacy => "impersonate".to_owned(),
            constrained => format!("impersonate:{}", constrained.name()),
        }
    }

    /// Whether this is a way of becoming `wanted`.
    fn applies(self, wanted: &User) -> bool {
        let only_name = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        let node = wanted.name.starts_with(NODE_PREFIX);
        let service_account = split_service_account(&wanted.name).is_some();
        match self {
            Self::ArbitraryNode => only_name && node,
            Self::ServiceAccount => only_name && service_account,
            Self::UserInfo => !node && !service_account,
            Self::Legacy => true,
        }
    }
}

/// The user that `requester` becomes for `request`.
///
/// # Errors
/// 403 with what is missing in the first of the ways that could lead there.
pub(super) fn become_user(
    index: &Index,
    requester: &User,
    wanted: &User,
    request: &Attributes,
) -> Result<User, ApiError> {
    let mut first = None;
    for mode in Mode::ALL.into_iter().filter(|mode| mode.applies(wanted)) {
        let attempt = Attempt {
            mode,
            index,
            requester,
        };
        match attempt.run(wanted, request) {
            Ok(user) => return Ok(user),
            Err(error) => {
                first.get_or_insert(error);
            }
        }
    }
    Err(first.unwrap_or(ApiError::Unauthorized))
}

/// One attempt: who asks, in which way.
struct Attempt<'a> {
    mode: Mode,
    index: &'a Index,
    requester: &'a User,
}

impl Attempt<'_> {
    fn constrained(&self) -> bool {
        self.mode != Mode::Legacy
    }

    /// The group in which roles speak of users and groups.
    fn names(&self) -> &'static str {
        if self.constrained() { AUTHENTICATION } else { "" }
    }

    fn permitted(&self, attributes: &Attributes) -> Result<(), ApiError> {
        let decision = self.index.decide(self.requester, attributes);
        if decision.allowed {
            return Ok(());
        }
        Err(attributes.forbidden(self.requester, &decision.reason))
    }

    /// The question whether a part of a user may be taken on.
    fn part(&self, group: &str, resource: &str, name: &str) -> Attributes {
        self.ask(named(group, resource, name))
    }

    fn ask(&self, on: OnResource) -> Attributes {
        Attributes::on(&self.mode.verb(), on)
    }

    /// Asks for the name, and gives `user` the groups that come with it.
    fn name(&self, wanted: &User, user: &mut User) -> Result<(), ApiError> {
        let mut on = named(self.names(), "users", &wanted.name);
        if self.mode == Mode::ArbitraryNode {
            let node = wanted.name.strip_prefix(NODE_PREFIX).unwrap_or_default();
            on = named(self.names(), "nodes", node);
            user.groups = vec!["system:nodes".to_owned()];
        }
        if let Some((namespace, account)) = split_service_account(&wanted.name) {
            on = named(self.names(), "serviceaccounts", account);
            namespace.clone_into(&mut on.namespace);
            if wanted.groups.is_empty() {
                user.groups = service_account_groups(namespace);
            }
        }
        self.permitted(&self.ask(on))
    }

    fn groups(&self, wanted: &User) -> Result<(), ApiError> {
        for group in &wanted.groups {
            let attributes = self.part(self.names(), "groups", group);
            if self.constrained() && (group.is_empty() || group == MASTERS) {
                let which = if group.is_empty() { "empty string" } else { MASTERS };
                let why = format!("impersonating the {which} group is not allowed");
                return Err(attributes.forbidden(self.requester, &why));
            }
            self.permitted(&attributes)?;
        }
        Ok(())
    }

    fn extra(&self, wanted: &User) -> Result<(), ApiError> {
        let pairs = wanted
            .extra
            .iter()
            .flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
        for (key, value) in pairs {
            let mut on = named(AUTHENTICATION, "userextras", value);
            on.subresource.clone_from(key);
            let attributes = self.ask(on);
            if self.constrained() && (key.is_empty() || value.is_empty()) {
                let why = "impersonating the empty string in extra is not allowed";
                return Err(attributes.forbidden(self.requester, why));
            }
            self.permitted(&attributes)?;
        }
        Ok(())
    }

    fn run(&self, wanted: &User, request: &Attributes) -> Result<User, ApiError> {
        if self.constrained() {
            self.permitted(&Attributes {
                verb: format!("impersonate-on:{}:{}", self.mode.name(), request.verb),
                on: request.on.clone(),
            })?;
        }
        let mut user = wanted.clone();
        self.name(wanted, &mut user)?;
        if !wanted.uid.is_empty() {
            self.permitted(&self.part(AUTHENTICATION, "uids", &wanted.uid))?;
        }
        self.groups(wanted)?;
        self.extra(wanted)?;
        let has = |group: &str| user.groups.iter().any(|found| found == group);
        let everybody = if user.name == ANONYMOUS {
            UNAUTHENTICATED
        } else {
            AUTHENTICATED
        };
        if !has(everybody) && !has(UNAUTHENTICATED) {
            user.groups.push(everybody.to_owned());
        }
        Ok(user)
    }
}

fn named(group: &str, resource: &str, name: &str) -> OnResource {
    OnResource {
        group: group.to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        ..OnResource::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn headers_name_a_whole_user_or_none() {
        let user = wanted(&headers(&[
            ("impersonate-user", "bob"),
            ("impersonate-group", "a"),
            ("impersonate-group", "b"),
            ("impersonate-uid", "u"),
            ("impersonate-extra-acme.com%2fscope", "x"),
            ("impersonate-extra-acme.com%2fscope", "y"),
        ]));
        let user = user.unwrap().unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_str()), ("bob", "u"));
        assert_eq!(user.groups, ["a", "b"]);
        assert_eq!(user.extra["acme.com/scope"], ["x", "y"]);
        assert_eq!(wanted(&HeaderMap::new()).unwrap(), None);
        assert!(wanted(&headers(&[("impersonate-group", "system:masters")])).is_err());
        assert!(wanted(&headers(&[("impersonate-extra-a", "b")])).is_err());
    }

    fn index(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Index {
        let mut index = Index::default();
        let [roles, bindings, ..] = super::super::index::RESOURCES;
        let role = json!({ "rules": [{ "verbs": verbs, "apiGroups": groups, "resources": resources }] });
        let binding = json!({
            "roleRef": { "kind": "ClusterRole", "name": "r" }, "subjects": [{ "kind": "User", "name": "helper" }],
        });
        index.put(roles, "", "r", Some(&role));
        index.put(bindings, "", "b", Some(&binding));
        index
    }

    fn as_user(index: &Index, name: &str, groups: &[&str]) -> Result<User, String> {
        let requester = User {
            name: "helper".to_owned(),
            ..User::default()
        };
        let wanted = User {
            name: name.to_owned(),
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            ..User::default()
        };
        let request = Attributes::on(
            "list",
            OnResource {
                resource: "secrets".to_owned(),
                namespace: "a".to_owned(),
                ..OnResource::default()
            },
        );
        become_user(index, &requester, &wanted, &request).map_err(|error| error.to_string())
    }

    #[test]
    fn each_part_of_the_wanted_user_is_asked_of_the_roles() {
        let users = index(&["impersonate"], &[""], &["users"]);
        assert_eq!(
            as_user(&users, "bob", &[]).unwrap().groups,
            ["system:authenticated"]
        );
        assert_eq!(
            as_user(&users, "system:anonymous", &[]).unwrap().groups,
            ["system:unauthenticated"]
        );
        assert!(as_user(&users, "bob", &["system:masters"]).is_err());
        assert!(as_user(&users, "system:serviceaccount:a:bot", &[]).is_err());
        let accounts = index(&["impersonate"], &[""], &["serviceaccounts"]);
        assert_eq!(
            as_user(&accounts, "system:serviceaccount:a:bot", &[])
                .unwrap()
                .groups,
            [
                "system:serviceaccounts",
                "system:serviceaccounts:a",
                "system:authenticated"
            ]
        );
        assert!(as_user(&accounts, "bob", &[]).is_err());
    }

    #[test]
    fn the_constrained_way_needs_both_verbs_and_never_leads_to_the_masters() {
        let on = "impersonate-on:user-info:list";
        let both = index(
            &[on, "impersonate:user-info"],
            &["", AUTHENTICATION],
            &["users", "groups", "secrets"],
        );
        assert!(as_user(&both, "bob", &["ops"]).is_ok());
        let refused = as_user(&both, "bob", &["system:masters"]).unwrap_err();
        assert!(
            refused.contains("impersonating the system:masters group is not allowed"),
            "{refused}"
        );
        let half = index(
            &["impersonate:user-info"],
            &["", AUTHENTICATION],
            &["users", "secrets"],
        );
        let refused = as_user(&half, "bob", &[]).unwrap_err();
        assert!(
            refused.contains("cannot impersonate-on:user-info:list resource \"secrets\""),
            "{refused}"
        );
    }
}
