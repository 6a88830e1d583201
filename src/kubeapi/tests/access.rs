//! Who may do what, at the API's own door.

use std::time::Duration;

use axum::body::Body;
use jiff::Timestamp;
use tower::ServiceExt as _;

use super::*;
use crate::clock::ManualClock;
use crate::kubeapi::access::{Caller, Signer};

/// A request that comes over a connection, perhaps with a token.
async fn ask(api: &KubeApi, token: Option<&str>, path: &str) -> (u16, Value) {
    let mut request = http::Request::get(path)
        .extension(Caller::Connection { certificate: None })
        .body(Body::empty())
        .unwrap();
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.headers_mut().insert("authorization", value);
    }
    let response = api.open_router().oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .unwrap();
    (code, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

impl TestApi {
    async fn post(&self, path: &str, body: Value) -> Value {
        let (code, answer) = self.request("POST", path, "application/json", body).await;
        assert_eq!(code, 201, "{path}: {answer}");
        answer
    }

    async fn token(&self, spec: Value) -> String {
        let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
        let answer = self.post(path, json!({ "spec": spec })).await;
        answer["status"]["token"].as_str().unwrap().to_owned()
    }

    async fn let_read(&self, who: Value) {
        let rules = json!([{ "verbs": ["list"], "apiGroups": [""], "resources": ["secrets"] }]);
        let role = json!({ "metadata": { "name": "reads" }, "rules": rules });
        self.post(&format!("{RBAC}/clusterroles"), role).await;
        let role = json!({ "kind": "ClusterRole", "name": "reads", "apiGroup": "rbac.authorization.k8s.io" });
        let binding = json!({ "metadata": { "name": "reads" }, "roleRef": role, "subjects": [who] });
        self.post(&format!("{RBAC}/clusterrolebindings"), binding).await;
    }

    fn issuing_tokens(self) -> Self {
        self.api.sign_with(Signer::open(self.folder()).unwrap());
        self
    }
}

fn the_default_account() -> Value {
    json!({ "kind": "ServiceAccount", "name": "default", "namespace": "default" })
}

#[tokio::test]
async fn a_token_ends_with_its_time_its_secret_and_its_account() {
    let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
    let folder = tempfile::tempdir().unwrap();
    let api = open_at(folder.path(), Limits::default(), clock.clone()).await;
    let test = TestApi { api, folder }.issuing_tokens();
    test.let_read(the_default_account()).await;
    test.post(SECRETS, json!({ "metadata": { "name": "lease" } }))
        .await;

    let hour = test.token(json!({})).await;
    let ten_minutes = test.token(json!({ "expirationSeconds": 600 })).await;
    let reference = json!({ "kind": "Secret", "apiVersion": "v1", "name": "lease" });
    let bound = test.token(json!({ "boundObjectRef": reference })).await;
    for token in [&hour, &ten_minutes, &bound] {
        assert_eq!(ask(&test.api, Some(token), SECRETS).await.0, 200);
    }
    clock.advance(Duration::from_secs(600 + 61));
    assert_eq!(ask(&test.api, Some(&ten_minutes), SECRETS).await.0, 401);
    assert_eq!(ask(&test.api, Some(&hour), SECRETS).await.0, 200);

    test.request("DELETE", &format!("{SECRETS}/lease"), "", Value::Null)
        .await;
    assert_eq!(ask(&test.api, Some(&bound), SECRETS).await.0, 401);
    let again = json!({ "metadata": { "name": "lease" } });
    test.post(SECRETS, again).await;
    assert_eq!(
        ask(&test.api, Some(&bound), SECRETS).await.0,
        401,
        "another Secret of that name"
    );

    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    test.request("DELETE", &format!("{accounts}/default"), "", Value::Null)
        .await;
    assert_eq!(ask(&test.api, Some(&hour), SECRETS).await.0, 401);
    test.post(accounts, json!({ "metadata": { "name": "default" } }))
        .await;
    assert_eq!(
        ask(&test.api, Some(&hour), SECRETS).await.0,
        401,
        "another account of that name"
    );
    assert_eq!(
        ask(&test.api, Some(&test.token(json!({})).await), SECRETS)
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn no_token_of_another_key_or_algorithm_holds() {
    let test = TestApi::new().await.issuing_tokens();
    let other = TestApi::new().await.issuing_tokens();
    test.let_read(
        json!({ "kind": "Group", "name": "system:authenticated", "apiGroup": "rbac.authorization.k8s.io" }),
    )
    .await;
    let good = test.token(json!({})).await;
    assert_eq!(ask(&test.api, Some(&good), SECRETS).await.0, 200);
    let foreign = other.token(json!({})).await;
    let payload = good.split('.').nth(1).unwrap();
    // {"alg":"none"} and {"alg":"HS256"}
    let unsigned = format!("eyJhbGciOiJub25lIn0.{payload}.");
    let hashed = format!("eyJhbGciOiJIUzI1NiJ9.{payload}.AAAA");
    let long = "a".repeat(100_000);
    for bad in [&foreign, &unsigned, &hashed, &long] {
        let (code, answer) = ask(&test.api, Some(bad), SECRETS).await;
        assert_eq!((code, answer["message"].as_str()), (401, Some("Unauthorized")));
    }
}

#[tokio::test]
async fn a_request_that_nobody_vouches_for_is_refused() {
    let test = TestApi::new().await;
    let request = http::Request::get("/healthz").body(Body::empty()).unwrap();
    let response = test.api.open_router().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(ask(&test.api, None, SECRETS).await.0, 403);
    assert_eq!(ask(&test.api, None, "/readyz").await.0, 200);
}

#[tokio::test]
async fn a_change_of_roles_is_in_force_for_the_next_request_however_much_lies_between() {
    let limits = Limits {
        log_changes: 10,
        memory_changes: 4,
        memory_bytes: 1 << 20,
    };
    let test = TestApi::with(limits).await.issuing_tokens();
    let token = test.token(json!({})).await;
    assert_eq!(ask(&test.api, Some(&token), SECRETS).await.0, 403);
    test.let_read(the_default_account()).await;
    assert_eq!(ask(&test.api, Some(&token), SECRETS).await.0, 200);
    let binding = format!("{RBAC}/clusterrolebindings/reads");
    test.request("DELETE", &binding, "", Value::Null).await;
    // The log no longer holds the deletion.
    for number in 0..30 {
        let object = json!({ "metadata": { "name": format!("filler-{number}") } });
        test.post("/api/v1/namespaces/default/configmaps", object).await;
    }
    test.api.compact(test.api.revision()).await.unwrap();
    assert_eq!(ask(&test.api, Some(&token), SECRETS).await.0, 403);
}

#[tokio::test]
async fn default_roles_are_completed_at_the_next_start_unless_somebody_took_them_over() {
    let test = TestApi::new().await;
    let empty = json!({ "rules": [] });
    for name in ["system:discovery", "system:basic-user"] {
        let path = format!("{RBAC}/clusterroles/{name}");
        let merge = "application/merge-patch+json";
        test.request("PATCH", &path, merge, empty.clone()).await;
    }
    let mine =
        json!({ "metadata": { "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "false" } } });
    let path = format!("{RBAC}/clusterroles/system:basic-user");
    test.request("PATCH", &path, "application/merge-patch+json", mine)
        .await;
    let TestApi { api, folder } = test;
    api.stop();
    drop(api);
    let api = open(folder.path(), Limits::default()).await;
    let test = TestApi { api, folder };
    let rules = async |name: &str| {
        let path = format!("{RBAC}/clusterroles/{name}");
        let (_, role) = test.request("GET", &path, "", Value::Null).await;
        role["rules"].as_array().map_or(0, Vec::len)
    };
    assert!(rules("system:discovery").await > 0);
    assert_eq!(rules("system:basic-user").await, 0);
}

#[tokio::test]
async fn each_namespace_has_a_service_account() {
    let test = TestApi::new().await;
    test.post("/api/v1/namespaces", json!({ "metadata": { "name": "fleet" } }))
        .await;
    for namespace in ["default", "kube-system", "fleet"] {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default");
        assert_eq!(
            test.request("GET", &path, "", Value::Null).await.0,
            200,
            "{namespace}"
        );
    }
    let dry = json!({ "metadata": { "name": "dry" } });
    test.post("/api/v1/namespaces?dryRun=All", dry).await;
    let path = "/api/v1/namespaces/dry/serviceaccounts/default";
    assert_eq!(test.request("GET", path, "", Value::Null).await.0, 404);
}
