//! Creating, changing and refusing objects.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, ValidationDirective};
use serde_json::{Value, json};

use super::{TestApi, code, kite, kite_definition};

#[tokio::test]
async fn a_custom_object_gets_its_defaults_and_its_server_fields() {
    let test = TestApi::with_kites().await;
    let made = test.make_kite("a").await;
    assert_eq!(made.data["spec"], json!({ "colour": "red", "tails": 1 }));
    assert_eq!(made.data["status"], json!({ "observedGeneration": -1 }));
    assert_eq!(made.metadata.generation, Some(1));
    assert!(made.uid().is_some() && made.resource_version().is_some() && made.creation_timestamp().is_some());
    assert_eq!(test.kites().get("a").await.unwrap(), made);
    let again = test
        .kites()
        .create(&PostParams::default(), &kite("a"))
        .await
        .unwrap_err();
    assert_eq!(
        code(again),
        (
            409,
            "AlreadyExists".to_owned(),
            "kites.toys.example.org \"a\" already exists".to_owned()
        )
    );
    let missing = test.kites().get("b").await.unwrap_err();
    assert_eq!(
        code(missing),
        (
            404,
            "NotFound".to_owned(),
            "kites.toys.example.org \"b\" not found".to_owned()
        )
    );
}

#[tokio::test]
async fn what_breaks_a_rule_is_refused_and_the_field_is_named() {
    let test = TestApi::with_kites().await;
    for (spec, words) in [
        (
            json!({ "colour": "pink" }),
            "spec.colour: Unsupported value: \"pink\"",
        ),
        (
            json!({ "colour": "red", "tails": 10 }),
            "a kite has fewer than ten tails",
        ),
        (json!({ "colour": 7 }), "spec.colour"),
        (json!({}), "spec.colour: Required value"),
    ] {
        let mut kite = kite("bad");
        kite.data["spec"] = spec;
        let (code, reason, message) = code(
            test.kites()
                .create(&PostParams::default(), &kite)
                .await
                .unwrap_err(),
        );
        assert_eq!((code, reason.as_str()), (422, "Invalid"));
        assert!(
            message.starts_with("Kite.toys.example.org \"bad\" is invalid: "),
            "{message}"
        );
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test]
async fn unknown_fields_are_refused_reported_or_dropped_as_asked() {
    let test = TestApi::with_kites().await;
    let body = json!({
        "apiVersion": "toys.example.org/v1", "kind": "Kite", "metadata": { "name": "a", "shoeSize": 3 },
        "spec": { "colour": "red", "weight": 3 },
    });
    let path = "/apis/toys.example.org/v1/namespaces/default/kites";
    let (code, status) = test
        .request(
            "POST",
            &format!("{path}?fieldValidation=Strict"),
            "application/json",
            body.clone(),
        )
        .await;
    assert_eq!(code, 400);
    assert_eq!(
        status["message"],
        "Kite in version \"v1\" cannot be handled as a Kite: strict decoding error: unknown field \
         \"metadata.shoeSize\", unknown field \"spec.weight\""
    );
    let (code, made) = test
        .request(
            "POST",
            &format!("{path}?fieldValidation=Ignore"),
            "application/json",
            body.clone(),
        )
        .await;
    assert_eq!(
        (code, &made["spec"]),
        (201, &json!({ "colour": "red", "tails": 1 }))
    );
    let config = json!({ "metadata": { "name": "c" }, "data": { "a": "b" }, "dota": {} });
    let (code, status) = test
        .request(
            "POST",
            "/api/v1/namespaces/default/configmaps?fieldValidation=Strict",
            "",
            config,
        )
        .await;
    assert_eq!(code, 400, "{status}");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("unknown field \"dota\""),
        "{status}"
    );
}

#[tokio::test]
async fn status_and_spec_are_written_apart_and_generation_follows_the_spec() {
    let test = TestApi::with_kites().await;
    let kites = test.kites();
    kites.create(&PostParams::default(), &kite("a")).await.unwrap();
    let merge = |value: Value| Patch::Merge(value);
    let params = PatchParams::default();
    let both = json!({ "spec": { "colour": "blue" }, "status": { "height": 5 } });
    let main = kites.patch("a", &params, &merge(both.clone())).await.unwrap();
    assert_eq!(
        (&main.data["spec"]["colour"], main.metadata.generation),
        (&json!("blue"), Some(2))
    );
    assert_eq!(main.data["status"].get("height"), None);
    let both = json!({ "spec": { "colour": "green" }, "status": { "height": 5 }, "metadata": { "labels": { "a": "b" } } });
    let status = kites.patch_status("a", &params, &merge(both)).await.unwrap();
    assert_eq!(
        (&status.data["spec"]["colour"], status.metadata.generation),
        (&json!("blue"), Some(2))
    );
    assert_eq!(status.data["status"]["height"], 5);
    assert!(status.labels().is_empty());
    let same = kites
        .patch_status("a", &params, &merge(json!({ "status": { "height": 5 } })))
        .await
        .unwrap();
    assert_eq!(
        same.resource_version(),
        status.resource_version(),
        "a write that changes nothing is none"
    );
}

#[tokio::test]
async fn a_stale_replace_is_a_conflict_and_one_without_a_revision_is_refused() {
    let test = TestApi::with_kites().await;
    let kites = test.kites();
    let first = kites.create(&PostParams::default(), &kite("a")).await.unwrap();
    let mut changed = first.clone();
    changed.data["spec"]["tails"] = json!(3);
    kites
        .replace("a", &PostParams::default(), &changed)
        .await
        .unwrap();
    let stale = kites
        .replace("a", &PostParams::default(), &changed)
        .await
        .unwrap_err();
    assert_eq!(code(stale).0, 409);
    let mut blind = changed.clone();
    blind.metadata.resource_version = None;
    let blind = code(
        kites
            .replace("a", &PostParams::default(), &blind)
            .await
            .unwrap_err(),
    );
    assert_eq!(blind.0, 422);
    assert!(
        blind
            .2
            .contains("metadata.resourceVersion: Invalid value: 0: must be specified for an update")
    );
    let mut other = kites.get("a").await.unwrap();
    other.metadata.uid = Some("other".to_owned());
    assert_eq!(
        code(
            kites
                .replace("a", &PostParams::default(), &other)
                .await
                .unwrap_err()
        )
        .0,
        409
    );
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_keeps_nothing() {
    let test = TestApi::with_kites().await;
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let made = test.kites().create(&dry, &kite("a")).await.unwrap();
    assert_eq!(made.data["spec"]["tails"], 1);
    assert!(test.kites().get_opt("a").await.unwrap().is_none());
    test.make_kite("a").await;
    assert_eq!(
        code(test.kites().create(&dry, &kite("a")).await.unwrap_err()).0,
        409
    );
    let patch = Patch::Merge(json!({ "spec": { "tails": 4 } }));
    let params = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    assert_eq!(
        test.kites().patch("a", &params, &patch).await.unwrap().data["spec"]["tails"],
        4
    );
    assert_eq!(test.kites().get("a").await.unwrap().data["spec"]["tails"], 1);
}

#[tokio::test]
async fn a_name_is_generated_and_a_missing_namespace_named() {
    let test = TestApi::with_kites().await;
    let mut unnamed = kite("");
    unnamed.metadata.name = None;
    unnamed.metadata.generate_name = Some("kite-".to_owned());
    let made = test
        .kites()
        .create(&PostParams::default(), &unnamed)
        .await
        .unwrap();
    assert_eq!(made.name_any().len(), "kite-".len() + 5);
    let body = json!({ "metadata": { "name": "a" } });
    let (code, status) = test
        .request("POST", "/api/v1/namespaces/nowhere/configmaps", "", body)
        .await;
    assert_eq!(
        (code, &status["message"]),
        (404, &json!("namespaces \"nowhere\" not found"))
    );
}

#[tokio::test]
async fn apply_keeps_owners_apart_and_merges_conditions_by_type() {
    let test = TestApi::with_kites().await;
    let kites = test.kites();
    let with = |manager: &str| PatchParams::apply(manager);
    let kite = |spec: Value| {
        Patch::Apply(json!({ "apiVersion": "toys.example.org/v1", "kind": "Kite", "spec": spec }))
    };
    kites
        .patch("a", &with("git"), &kite(json!({ "colour": "red", "tails": 2 })))
        .await
        .unwrap();
    let conflict = kites
        .patch("a", &with("person"), &kite(json!({ "colour": "blue" })))
        .await
        .unwrap_err();
    let (number, reason, message) = code(conflict);
    assert_eq!((number, reason.as_str()), (409, "Conflict"));
    assert!(
        message.contains(".spec.colour") && message.contains("git"),
        "{message}"
    );
    let forced = kites
        .patch("a", &with("person").force(), &kite(json!({ "colour": "blue" })))
        .await
        .unwrap();
    assert_eq!(forced.data["spec"], json!({ "colour": "blue", "tails": 2 }));
    let condition = |kind: &str| {
        Patch::Apply(json!({
            "apiVersion": "toys.example.org/v1", "kind": "Kite",
            "status": { "conditions": [{ "type": kind, "status": "True" }] },
        }))
    };
    kites
        .patch_status("a", &with("one"), &condition("Ready"))
        .await
        .unwrap();
    let both = kites
        .patch_status("a", &with("two"), &condition("Flying"))
        .await
        .unwrap();
    assert_eq!(both.data["status"]["conditions"].as_array().unwrap().len(), 2);
    let again = kites
        .patch_status("a", &with("two"), &condition("Flying"))
        .await
        .unwrap();
    assert_eq!(again.resource_version(), both.resource_version());
    // The one who set `tails` no longer wants it: its default comes back.
    let less = kites
        .patch("a", &with("git").force(), &kite(json!({ "colour": "red" })))
        .await
        .unwrap();
    assert_eq!(less.data["spec"], json!({ "colour": "red", "tails": 1 }));
}

#[tokio::test]
async fn apply_refuses_unknown_fields_when_strict() {
    let test = TestApi::with_kites().await;
    let mut params = PatchParams::apply("git");
    params.field_validation = Some(ValidationDirective::Strict);
    let patch = Patch::Apply(json!({
        "apiVersion": "toys.example.org/v1", "kind": "Kite", "spec": { "colour": "red", "wings": 2 },
    }));
    let (code, _, message) = code(test.kites().patch("a", &params, &patch).await.unwrap_err());
    // As kube-apiserver, however odd the code.
    assert_eq!(code, 500);
    assert!(
        message.contains(".spec.wings: field not declared in schema"),
        "{message}"
    );
}

#[tokio::test]
async fn secrets_never_stand_in_clear_in_the_database() {
    let test = TestApi::new().await;
    let secrets: Api<Secret> = Api::default_namespaced(test.client());
    let secret: Secret = serde_json::from_value(json!({
        "metadata": { "name": "token" }, "stringData": { "password": "correct-horse-battery" },
    }))
    .unwrap();
    let made = secrets.create(&PostParams::default(), &secret).await.unwrap();
    assert_eq!(
        made.data.as_ref().unwrap()["password"].0,
        b"correct-horse-battery"
    );
    assert_eq!((made.string_data, made.type_.as_deref()), (None, Some("Opaque")));
    let patch = Patch::Merge(json!({ "stringData": { "password": "correct-horse-again" } }));
    secrets
        .patch("token", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let reopened = super::open(test.folder.path(), super::Limits::default()).await;
    let secrets: Api<Secret> = Api::default_namespaced(reopened.client("default"));
    assert_eq!(
        secrets.get("token").await.unwrap().data.unwrap()["password"].0,
        b"correct-horse-again"
    );
    for entry in std::fs::read_dir(test.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for clear in ["correct-horse", "Y29ycmVjdC1ob3JzZ"] {
            assert!(
                !bytes
                    .windows(clear.len())
                    .any(|window| window == clear.as_bytes())
            );
        }
    }
}

#[tokio::test]
async fn definitions_are_checked_and_names_are_not_shared() {
    let test = TestApi::with_kites().await;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let (code, made) = test
        .request("GET", &format!("{path}/kites.toys.example.org"), "", Value::Null)
        .await;
    assert_eq!(code, 200);
    let conditions = made["status"]["conditions"].as_array().unwrap();
    assert!(
        conditions
            .iter()
            .any(|condition| condition["type"] == "Established" && condition["status"] == "True")
    );
    let mut rival = kite_definition();
    rival["metadata"]["name"] = json!("dragons.toys.example.org");
    rival["spec"]["names"] =
        json!({ "plural": "dragons", "singular": "dragon", "kind": "Kite", "listKind": "Dragons" });
    let (code, rival) = test.request("POST", path, "", rival).await;
    assert_eq!(code, 201, "{rival}");
    assert_eq!(rival["status"]["conditions"], Value::Null);
    let own = format!("{path}/dragons.toys.example.org");
    let (_, rival) = test.request("GET", &own, "", Value::Null).await;
    assert_eq!(rival["status"]["conditions"][0]["reason"], "KindConflict");
    let managers = rival["metadata"]["managedFields"].as_array().unwrap();
    assert!(
        managers
            .iter()
            .any(|entry| entry["manager"] == "kube-apiserver" && entry["subresource"] == "status")
    );
    let (code, _) = test
        .request("GET", "/apis/toys.example.org/v1/dragons", "", Value::Null)
        .await;
    assert_eq!(code, 404);
    let (code, _) = test
        .request(
            "DELETE",
            &format!("{path}/kites.toys.example.org"),
            "",
            Value::Null,
        )
        .await;
    assert_eq!(code, 200);
    let accepted = async {
        while test
            .request("GET", "/apis/toys.example.org/v1/dragons", "", Value::Null)
            .await
            .0
            != 200
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), accepted)
        .await
        .unwrap();
    let mut unstructural = kite_definition();
    unstructural["metadata"]["name"] = json!("x.toys.example.org");
    unstructural["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({});
    let (code, status) = test.request("POST", path, "", unstructural).await;
    assert_eq!(code, 422, "{status}");
    assert!(
        status["message"].as_str().unwrap().contains("metadata.name"),
        "{status}"
    );
}

#[tokio::test]
async fn hostile_bodies_are_refused() {
    let test = TestApi::with_kites().await;
    let path = "/apis/toys.example.org/v1/namespaces/default/kites";
    let mut large = serde_json::to_value(kite("a")).unwrap();
    large["metadata"]["annotations"] = json!({ "a": "x".repeat(4 << 20) });
    let (code, status) = test.request("POST", path, "", large).await;
    assert_eq!((code, &status["reason"]), (413, &json!("RequestEntityTooLarge")));
    let (code, _) = test.request("POST", path, "application/cbor", json!({})).await;
    assert_eq!(code, 415);
    let (code, status) = test.request("POST", path, "", json!([1])).await;
    assert_eq!(code, 400, "{status}");
    let (code, _) = test
        .request("GET", "/apis/toys.example.org/v1/kites?limit=x", "", Value::Null)
        .await;
    assert_eq!(code, 400);
}

#[tokio::test]
async fn permanent_namespaces_are_there_and_stay() {
    let test = TestApi::new().await;
    let namespaces: Api<Namespace> = Api::all(test.client());
    let names: Vec<_> = namespaces.list(&ListParams::default()).await.unwrap().items;
    let names: Vec<_> = names.iter().map(kube::ResourceExt::name_any).collect();
    assert_eq!(names, ["default", "kube-system"]);
    let refused = namespaces
        .delete("default", &kube::api::DeleteParams::default())
        .await
        .unwrap_err();
    assert_eq!(code(refused).0, 403);
    let configs: Api<ConfigMap> = Api::default_namespaced(test.client());
    let config: ConfigMap = serde_json::from_value(
        json!({ "metadata": { "name": "c" }, "data": { "a": "b" }, "immutable": true }),
    )
    .unwrap();
    configs.create(&PostParams::default(), &config).await.unwrap();
    let patch = Patch::Merge(json!({ "data": { "a": "c" } }));
    let refused = configs
        .patch("c", &PatchParams::default(), &patch)
        .await
        .unwrap_err();
    assert_eq!(code(refused).0, 422);
}

#[tokio::test]
async fn nobody_acts_as_somebody_else() {
    use tower::ServiceExt as _;
    let test = TestApi::new().await;
    let request = http::Request::get("/api/v1/namespaces").header("impersonate-user", "bob");
    let request = request.body(axum::body::Body::empty()).unwrap();
    assert_eq!(test.api.router().oneshot(request).await.unwrap().status(), 403);
}
