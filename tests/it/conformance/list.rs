//! The requests, as data.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// Requests that run in order, in a namespace of their own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// The file's name.
    #[serde(skip)]
    pub(super) name: String,
    /// What they are about: for readers.
    #[serde(rename = "why")]
    _why: String,
    pub(super) requests: Vec<Request>,
}

/// One request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    pub(super) name: String,
    /// `METHOD /path?query`
    pub(super) send: String,
    #[serde(default, rename = "as")]
    pub(super) user: User,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// Sent as JSON.
    pub(super) body: Option<Value>,
    /// Sent as it is.
    pub(super) text: Option<String>,
    #[serde(default)]
    pub(super) capture: BTreeMap<String, String>,
    pub(super) until: Option<BTreeMap<String, Value>>,
    pub(super) events: Option<usize>,
    #[serde(default)]
    pub(super) unordered: Vec<String>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum User {
    #[default]
    Admin,
    /// Without a certificate.
    Anonymous,
}

/// Every scenario of a folder, in order of name; with a word, only those that have it in their names.
pub(super) fn read(folder: &Path, word: Option<&str>) -> Vec<Scenario> {
    let mut paths: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut scenarios = Vec::new();
    for path in paths {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if word.is_some_and(|word| !name.contains(word)) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let mut scenario: Scenario =
            serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        scenario.name = name;
        for (index, request) in scenario.requests.iter().enumerate() {
            let twice = scenario.requests[..index]
                .iter()
                .any(|other| other.name == request.name);
            assert!(!twice, "{}: {} twice", path.display(), request.name);
        }
        scenarios.push(scenario);
    }
    assert!(!scenarios.is_empty(), "no scenario is called so");
    scenarios
}
