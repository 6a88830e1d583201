//! Conformance of the embedded Kubernetes API: one list of requests, sent to it and to a real kube-apiserver, and the answers compared.
//!
//! ```text
//! requests/*.yaml ──► list ──► exchange ──► embedded API ──┐
//!                                  └──────► kube-apiserver ─┴─► allowed ──► difference
//! ```
//!
//! # How to add requests
//!
//! Each file of `requests/` is a scenario: its requests run in order, in a namespace of its own whose name is `${ns}` (the file's name
//! with `conformance-` before it). What a scenario makes outside that namespace it names so that no other scenario meets it. Files are read when
//! the test runs, so a new request needs no compiler. A request:
//!
//! ```yaml
//! why: What these requests are about.
//! requests:
//! - name: unique in the file
//!   send: POST /api/v1/namespaces/${ns}/configmaps?dryRun=All
//!   as: anonymous                  # default: the administrator
//!   headers: { accept: "…" }       # content-type is application/json unless said otherwise
//!   body: { … }                    # sent as JSON; or `text: "…"`, sent as it is
//!   capture: { rv: /metadata/resourceVersion }   # JSON pointers into the answer; `${rv}` in later paths, headers and bodies
//!   until: { /status/phase: Active }             # asked again until the answer has this (at most 15 s); `code: 200` is the status
//!   events: 3                      # a watch: read this many lines, compare them as a list
//!   unordered: [/items]            # lists at these pointers compare as sets
//! ```
//!
//! Provost's kinds are served, and one made up for this suite, `gadgets.conformance.example.com` (`gadgets.yaml`), with every feature of a schema;
//! `widgets.reads.example.com` (`widgets.yaml`) is for requests that read.
//!
//! `${x*4000}` is the letter x 4000 times. A resourceVersion in an answer compares by its order of first appearance in the scenario, so that
//! "this write changed nothing" is compared too; a uid likewise. A captured value compares as its name.
//!
//! Compared are the status code, the content type, warnings, `Retry-After` and `Allow` headers, and the whole body. What may differ stands in
//! `allowed.yaml`, with why; what differs and is not mended stands in `known.yaml`, by cause, and fails once it no longer differs. The
//! documentation tells the causes (`documented`).
//!
//! `CONFORMANCE=word cargo test …` runs only the files with `word` in their names; `CONFORMANCE_SHOW=1` prints the real answers, too.

mod allowed;
mod difference;
mod documented;
mod exchange;
mod list;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::control_plane::{ControlPlane, EmbeddedApi, install_crds, summary};
use allowed::Allowed;
use exchange::{Answer, Server};
use list::Scenario;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/conformance")
}

fn word(variable: &str) -> Option<String> {
    std::env::var_os(variable).and_then(|value| value.into_string().ok())
}

#[tokio::test]
async fn the_embedded_api_answers_as_kubernetes_does() {
    let scenarios = list::read(&folder().join("requests"), word("CONFORMANCE").as_deref());
    let allowed = Allowed::read(&folder().join("allowed.yaml"));
    let causes = difference::causes(&folder().join("known.yaml"));
    let mut known = difference::known(&causes);
    let Some(plane) = ControlPlane::start("conformance of the embedded API with a real API server").await
    else {
        return;
    };
    let embedded = EmbeddedApi::start().await;
    let servers = (
        Server::new("embedded", &embedded.kubeconfig()).await,
        Server::new("kube-apiserver", &plane.kubeconfig()).await,
    );
    tokio::join!(async { install_crds(&embedded.client().await).await }, async {
        install_crds(&plane.client().await).await;
    },);
    for kind in ["gadgets.yaml", "widgets.yaml"] {
        let kind = folder().join(kind);
        tokio::join!(servers.0.install(&kind), servers.1.install(&kind));
    }
    let (ours, theirs) = tokio::join!(servers.0.run(&scenarios), servers.1.run(&scenarios));

    let mut complaints = Vec::new();
    let mut count = 0;
    for (scenario, (ours, theirs)) in scenarios.iter().zip(ours.iter().zip(&theirs)) {
        count += theirs.len();
        let found = compare(scenario, &allowed, ours, theirs);
        for request in &scenario.requests {
            let id = format!("{} / {}", scenario.name, request.name);
            match (found.get(&request.name), known.remove(&id)) {
                (Some(complaint), None) => complaints.push(complaint.clone()),
                (None, Some(why)) => {
                    complaints.push(format!(
                        "=== {id}\nno longer differs; remove it from known.yaml ({why})\n"
                    ));
                }
                _ => {}
            }
        }
    }
    if word("CONFORMANCE").is_none() {
        complaints.extend(
            known
                .keys()
                .map(|id| format!("=== {id}\nis in known.yaml but not among the requests\n")),
        );
    }
    let line = format!(
        "Conformance: {count} requests on the embedded API and on kube-apiserver {}",
        plane.version()
    );
    assert!(
        complaints.is_empty(),
        "{}\n{} of {count} requests are answered differently\n{line}",
        complaints.join("\n"),
        complaints.len()
    );
    summary(&line);
}

/// What differs, by the request's name.
fn compare(
    scenario: &Scenario,
    allowed: &Allowed,
    ours: &[Answer],
    theirs: &[Answer],
) -> BTreeMap<String, String> {
    let show = word("CONFORMANCE_SHOW").is_some();
    let (mut our_names, mut their_names) = (allowed::Names::default(), allowed::Names::default());
    let mut found = BTreeMap::new();
    for (request, (our, their)) in scenario.requests.iter().zip(ours.iter().zip(theirs)) {
        let plain_ours = allowed.apply(&mut our_names, our, &request.unordered);
        let plain_theirs = allowed.apply(&mut their_names, their, &request.unordered);
        let differences = difference::between(&plain_ours, &plain_theirs);
        if show {
            println!("--- {} / {}\n{their}", scenario.name, request.name);
        }
        if !differences.is_empty() {
            let complaint = format!(
                "=== {} / {}\n{}\n--- embedded\n{our}\n--- real\n{their}\n--- differences\n{}\n",
                scenario.name,
                request.name,
                their.sent,
                differences.join("\n")
            );
            found.insert(request.name.clone(), complaint);
        }
    }
    found
}
