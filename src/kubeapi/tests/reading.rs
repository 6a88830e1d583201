//! Lists, tables, schemas and scales.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{TestApi, code, kite};

#[tokio::test]
async fn lists_are_paged_and_chosen_by_labels_and_fields() {
    let test = TestApi::with_kites().await;
    for index in 0..7 {
        let mut kite = kite(&format!("k{index}"));
        kite.data["spec"]["colour"] = json!(if index % 2 == 0 { "red" } else { "blue" });
        kite.metadata.labels = Some([("parity".to_owned(), (index % 2).to_string())].into());
        test.kites().create(&PostParams::default(), &kite).await.unwrap();
    }
    let names = |list: &kube::api::ObjectList<kube::api::DynamicObject>| {
        list.items
            .iter()
            .map(kube::ResourceExt::name_any)
            .collect::<Vec<_>>()
    };
    let first = test.kites().list(&ListParams::default().limit(3)).await.unwrap();
    assert_eq!(names(&first), ["k0", "k1", "k2"]);
    assert_eq!(first.metadata.remaining_item_count, Some(4));
    test.make_kite("z").await;
    let token = first.metadata.continue_.clone().unwrap();
    let second = test
        .kites()
        .list(&ListParams::default().limit(3).continue_token(&token))
        .await
        .unwrap();
    assert_eq!(names(&second), ["k3", "k4", "k5"]);
    assert_eq!(second.metadata.resource_version, first.metadata.resource_version);
    let odd = test
        .kites()
        .list(&ListParams::default().labels("parity in (1)"))
        .await
        .unwrap();
    assert_eq!(names(&odd), ["k1", "k3", "k5"]);
    let blue = test
        .kites()
        .list(&ListParams::default().fields("spec.colour=blue,metadata.name!=k3"))
        .await
        .unwrap();
    assert_eq!(names(&blue), ["k1", "k5"]);
    let unknown = test
        .kites()
        .list(&ListParams::default().fields("spec.size=1"))
        .await
        .unwrap_err();
    assert_eq!(code(unknown).2, "field label not supported: spec.size");
    test.api.compact(test.api.revision()).await.unwrap();
    let late = test
        .kites()
        .list(&ListParams::default().limit(3).continue_token(&token))
        .await
        .unwrap_err();
    assert_eq!(code(late).0, 410);
}

#[tokio::test]
async fn a_long_list_without_a_limit_is_whole() {
    let test = TestApi::new().await;
    let configs: Api<ConfigMap> = Api::default_namespaced(test.client());
    let made = (0..1203).map(|index| {
        let config: ConfigMap =
            serde_json::from_value(json!({ "metadata": { "name": format!("c{index:04}") } })).unwrap();
        let configs = configs.clone();
        async move { configs.create(&PostParams::default(), &config).await.unwrap() }
    });
    futures::stream::iter(made).buffer_unordered(64).count().await;
    let list = configs.list(&ListParams::default()).await.unwrap();
    let names: Vec<_> = list.items.iter().map(kube::ResourceExt::name_any).collect();
    assert_eq!(
        names,
        (0..1203).map(|index| format!("c{index:04}")).collect::<Vec<_>>()
    );
    assert_eq!(
        list.metadata.resource_version,
        Some(test.api.revision().to_string())
    );
    let (code, _) = test
        .request("DELETE", "/api/v1/configmaps", "", Value::Null)
        .await;
    assert_eq!(code, 405, "only one namespace at a time");
}

#[tokio::test]
async fn tables_carry_the_columns_of_the_definition() {
    let test = TestApi::with_kites().await;
    test.make_kite("a").await;
    let path = "/apis/toys.example.org/v1/namespaces/default/kites";
    let table = test.table(path).await;
    assert_eq!(table["kind"], "Table");
    let names: Vec<_> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| &column["name"])
        .collect();
    assert_eq!(names, ["Name", "Colour", "Height", "Age"]);
    assert_eq!(table["rows"][0]["cells"][1], "red");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(test.table(&format!("{path}/a")).await["rows"][0]["cells"][0], "a");
}

#[tokio::test]
async fn schemas_are_published() {
    let test = TestApi::with_kites().await;
    let (_, index) = test.request("GET", "/openapi/v3", "", Value::Null).await;
    let url = index["paths"]["apis/toys.example.org/v1"]["serverRelativeURL"]
        .as_str()
        .unwrap()
        .to_owned();
    let (code, document) = test.request("GET", &url, "", Value::Null).await;
    assert_eq!(code, 200);
    let kite = &document["components"]["schemas"]["org.example.toys.v1.Kite"];
    assert_eq!(
        kite["properties"]["spec"]["properties"]["colour"]["type"],
        "string"
    );
}

#[tokio::test]
async fn the_scale_of_an_object_is_read_and_written() {
    let test = TestApi::with_kites().await;
    test.make_kite("a").await;
    assert_eq!(
        test.kites().get_scale("a").await.unwrap().spec.unwrap().replicas,
        Some(1)
    );
    let patch = Patch::Merge(json!({ "spec": { "replicas": 4 } }));
    test.kites()
        .patch_scale("a", &PatchParams::default(), &patch)
        .await
        .unwrap();
    assert_eq!(test.kites().get("a").await.unwrap().data["spec"]["tails"], 4);
}

#[tokio::test]
async fn an_object_from_before_shows_what_its_definition_says_now() {
    let test = TestApi::with_kites().await;
    test.make_kite("old").await;
    let definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/kites.toys.example.org";
    let fields = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    let change = json!([
        { "op": "remove", "path": format!("{fields}/tails") },
        { "op": "add", "path": format!("{fields}/shape"), "value": { "type": "string", "default": "delta" } },
        { "op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/x-kubernetes-validations" },
    ]);
    let (code, answer) = test
        .request("PATCH", definition, "application/json-patch+json", change)
        .await;
    assert_eq!(code, 200, "{answer}");
    let now = json!({ "colour": "red", "shape": "delta" });
    let path = "/apis/toys.example.org/v1/namespaces/default/kites";
    let (_, one) = test.request("GET", &format!("{path}/old"), "", Value::Null).await;
    assert_eq!(one["spec"], now);
    let revision = one["metadata"]["resourceVersion"].clone();
    let (_, list) = test.request("GET", path, "", Value::Null).await;
    assert_eq!(list["items"][0]["spec"], now);
    assert_eq!(
        list["items"][0]["metadata"]["resourceVersion"], revision,
        "nothing is written"
    );
}
