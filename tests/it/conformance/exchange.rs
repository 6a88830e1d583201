//! Sends the requests to one API and keeps what came back.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WARNING};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::config::{AuthInfo, Config, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::list::{Request, Scenario, User};
use crate::control_plane;
use crate::world::eventually::eventually;

/// How long a request is asked again for what it waits for.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a watch is listened to.
const WATCH: Duration = Duration::from_secs(10);
/// Who writes, unless a request says otherwise: the field manager follows from it.
const AGENT: &str = "conformance/1.0";

/// An API that is asked.
pub(super) struct Server {
    name: &'static str,
    admin: Client,
    anonymous: Client,
}

/// What came back.
pub(super) struct Answer {
    /// The request as it was sent, for people.
    pub(super) sent: String,
    pub(super) code: u16,
    /// Those that are compared.
    pub(super) headers: BTreeMap<String, Vec<String>>,
    /// JSON where it is JSON, else a string; of a watch the list of its events.
    pub(super) body: Value,
    /// Values captured so far, name to value.
    pub(super) captured: BTreeMap<String, String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.code)?;
        for (name, values) in &self.headers {
            for value in values {
                writeln!(f, "{name}: {value}")?;
            }
        }
        match &self.body {
            Value::String(text) => write!(f, "{text}"),
            body => write!(f, "{}", serde_json::to_string_pretty(body).unwrap()),
        }
    }
}

/// A client that passes on every answer, also those after which others would ask again.
async fn client(kubeconfig: Kubeconfig) -> Client {
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

impl Server {
    pub(super) async fn new(name: &'static str, kubeconfig: &Path) -> Self {
        control_plane::install_provider();
        let with = Kubeconfig::read_from(kubeconfig).unwrap();
        let mut without = with.clone();
        for user in &mut without.auth_infos {
            user.auth_info = Some(AuthInfo::default());
        }
        let (admin, anonymous) = tokio::join!(client(with), client(without));
        Self {
            name,
            admin,
            anonymous,
        }
    }

    /// Makes a definition and waits until its kind is served.
    pub(super) async fn install(&self, path: &Path) {
        let text = std::fs::read_to_string(path).unwrap();
        let definition: Value = serde_yaml::from_str(&text).unwrap();
        let made = self.post(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            &definition,
        );
        assert_eq!(made.await, 201, "{}: {}", self.name, path.display());
        let spec = &definition["spec"];
        let part = |value: &Value| value.as_str().unwrap().to_owned();
        let (group, version) = (part(&spec["group"]), part(&spec["versions"][0]["name"]));
        let list = format!("/apis/{group}/{version}/{}", part(&spec["names"]["plural"]));
        eventually("the kind is served", async || {
            let request = http::Request::get(&list).body(Body::empty()).unwrap();
            match self.admin.send(request).await.unwrap().status().as_u16() {
                200 => Ok(()),
                code => Err(code.to_string()),
            }
        })
        .await;
    }

    async fn post(&self, path: &str, object: &Value) -> u16 {
        let request = http::Request::post(path).header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(object.to_string().into_bytes())).unwrap();
        self.admin.send(request).await.unwrap().status().as_u16()
    }

    /// Runs every scenario: the answers, in the order of the requests.
    pub(super) async fn run(&self, scenarios: &[Scenario]) -> Vec<Vec<Answer>> {
        let mut answers = Vec::new();
        for scenario in scenarios {
            answers.push(self.scenario(scenario).await);
        }
        answers
    }

    async fn scenario(&self, scenario: &Scenario) -> Vec<Answer> {
        let namespace = format!("conformance-{}", scenario.name);
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        let made = self.post("/api/v1/namespaces", &object).await;
        assert_eq!(made, 201, "{}: the namespace of {}", self.name, scenario.name);
        let mut captured = BTreeMap::from([("ns".to_owned(), namespace)]);
        let mut answers = Vec::new();
        for request in &scenario.requests {
            let started = Instant::now();
            let answer = loop {
                let answer = self.send(request, &captured).await;
                let arrived = request.until.iter().flatten().all(|(pointer, wanted)| {
                    if pointer == "code" {
                        return *wanted == json!(answer.code);
                    }
                    answer.body.pointer(pointer).unwrap_or(&Value::Null) == wanted
                });
                if arrived {
                    break answer;
                }
                if started.elapsed() > PATIENCE {
                    // Shows as a difference.
                    let note = vec![format!("{:?} does not come", request.until)];
                    let mut answer = answer;
                    answer.headers.insert("until".to_owned(), note);
                    break answer;
                }
                sleep(Duration::from_millis(50)).await;
            };
            for (name, pointer) in &request.capture {
                // What is not there shows as a difference, and in the requests that use it.
                let value = match answer.body.pointer(pointer) {
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                    None => format!("missing-{name}"),
                };
                captured.insert(name.clone(), value);
            }
            answers.push(Answer {
                captured: captured.clone(),
                ..answer
            });
        }
        answers
    }

    async fn send(&self, request: &Request, captured: &BTreeMap<String, String>) -> Answer {
        let (method, path) = request.send.split_once(' ').unwrap();
        let (path, body) = (fill(path, captured), body(request, captured));
        let mut builder = http::Request::builder().method(method).uri(&path);
        let mut headers = BTreeMap::from([
            ("user-agent".to_owned(), AGENT.to_owned()),
            ("accept".to_owned(), "application/json".to_owned()),
        ]);
        if !body.is_empty() {
            headers.insert(CONTENT_TYPE.to_string(), "application/json".to_owned());
        }
        for (name, value) in &request.headers {
            headers.insert(name.to_lowercase(), fill(value, captured));
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            builder = builder.header(name, value);
        }
        let mut sent = format!("{method} {path}");
        for (name, value) in &request.headers {
            let _ = write!(sent, "\n{name}: {}", fill(value, captured));
        }
        let shown: String = body.chars().take(2000).collect();
        let _ = write!(sent, "\n{shown}");
        let client = match request.user {
            User::Admin => &self.admin,
            User::Anonymous => &self.anonymous,
        };
        let response = client
            .send(builder.body(Body::from(body.into_bytes())).unwrap())
            .await
            .unwrap_or_else(|error| panic!("{}: {sent}: {error}", self.name));
        let (parts, body) = response.into_parts();
        let mut compared = BTreeMap::new();
        for name in [CONTENT_TYPE, WARNING, RETRY_AFTER, ALLOW] {
            let values = parts.headers.get_all(&name).iter();
            let values: Vec<_> = values.map(|value| value.to_str().unwrap().to_owned()).collect();
            if !values.is_empty() {
                compared.insert(name.to_string(), values);
            }
        }
        let body = match request.events {
            Some(wanted) if parts.status.is_success() => events(body, wanted).await,
            _ => {
                let bytes = body.collect().await.unwrap().to_bytes();
                read(&parts.headers, &bytes)
            }
        };
        Answer {
            sent,
            code: parts.status.as_u16(),
            headers: compared,
            body,
            captured: captured.clone(),
        }
    }
}

/// A body as it is compared: JSON, YAML where it says so, or a string.
fn read(headers: &http::HeaderMap, bytes: &[u8]) -> Value {
    let yaml = headers
        .get(CONTENT_TYPE)
        .is_some_and(|found| found == "application/yaml");
    let value = if yaml {
        serde_yaml::from_slice(bytes).ok()
    } else {
        serde_json::from_slice(bytes).ok()
    };
    value.unwrap_or_else(|| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

/// The first events of a watch.
async fn events(mut body: Body, wanted: usize) -> Value {
    let mut bytes = Vec::new();
    let enough = |bytes: &[u8]| bytes.split(|&byte| byte == b'\n').count() > wanted;
    let listening = async {
        while !enough(&bytes) {
            match body.frame().await {
                Some(Ok(frame)) => bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                _ => break,
            }
        }
    };
    // One that does not come shows as a difference.
    let _ = timeout(WATCH, listening).await;
    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines
        .take(wanted)
        .map(|line| {
            serde_json::from_slice(line)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(line).into_owned()))
        })
        .collect()
}

fn body(request: &Request, captured: &BTreeMap<String, String>) -> String {
    match (&request.text, &request.body) {
        (Some(text), _) => fill(text, captured),
        (None, Some(body)) => fill(&body.to_string(), captured),
        (None, None) => String::new(),
    }
}

/// Puts captured values and repeated letters where `${…}` stands.
fn fill(text: &str, captured: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').unwrap();
        filled += before;
        match (captured.get(name), name.split_once('*')) {
            (Some(value), _) => filled += value,
            (None, Some((letters, times))) => filled += &letters.repeat(times.parse().unwrap()),
            (None, None) => panic!("nothing was captured as {name}"),
        }
        rest = after;
    }
    filled + rest
}
