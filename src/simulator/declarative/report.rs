//! Status reports: what the server has not been told yet.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};

use super::super::status::{self, Observed};
use super::catalogue;
use super::engine::{Declarative, Held};
use super::wire::Kind;

const DECLARATIONS: &str = "management.declarations";
const CAPABILITIES: &str = "management.client-capabilities";

/// A report, and what to remember once the server has taken it.
#[derive(Debug)]
pub(in crate::simulator) struct Report {
    /// The JSON document.
    pub(in crate::simulator) body: Value,
    declarations: BTreeMap<(Kind, String), u64>,
    items: BTreeMap<String, u64>,
}

impl Declarative {
    /// What the server has not been told; everything when `full`. `None` when there is nothing to tell.
    pub(in crate::simulator) fn report(&self, observed: &Observed<'_>, full: bool) -> Option<Report> {
        let mut tree = Map::new();
        let mut errors = Vec::new();
        let items = self.place_items(observed, full, &mut tree, &mut errors);
        let declarations = self.place_declarations(full, &mut tree);
        if !full && tree.is_empty() && errors.is_empty() {
            return None;
        }
        let mut body = json!({ "StatusItems": tree, "Errors": errors });
        if let (true, Value::Object(body)) =
            (full && status::knows_full_reports(observed.identity), &mut body)
        {
            body.insert("FullReport".to_owned(), Value::Bool(true));
        }
        Some(Report {
            body,
            declarations,
            items,
        })
    }

    /// The server has taken `report`.
    pub(in crate::simulator) fn reported(&mut self, report: Report) {
        let Report {
            body: _,
            declarations,
            items,
        } = report;
        for (key, digest) in declarations {
            if let Some(held) = self.held.get_mut(&key) {
                held.reported = Some(digest);
            }
        }
        self.gone.clear();
        self.reported_items = items;
    }

    /// Places the subscribed items that changed; returns the digests of all of them.
    fn place_items(
        &self,
        observed: &Observed<'_>,
        full: bool,
        tree: &mut Map<String, Value>,
        errors: &mut Vec<Value>,
    ) -> BTreeMap<String, u64> {
        let mut digests = BTreeMap::new();
        for path in self.subscriptions() {
            if path == DECLARATIONS {
                continue;
            }
            let value = match path {
                CAPABILITIES => {
                    let configurations = catalogue::configurations(observed.identity);
                    Some(status::client_capabilities(observed.identity, &configurations))
                }
                _ => status::value(path, observed),
            };
            let digest = digest(&value.as_ref().map(Value::to_string));
            let is_news = full || self.reported_items.get(path) != Some(&digest);
            digests.insert(path.to_owned(), digest);
            match value {
                _ if !is_news => {}
                Some(value) => status::place(tree, path, value),
                None => errors.push(json!({
                    "StatusItem": path,
                    "Reasons": [{
                        "Code": "Error.UnsupportedStatusItem",
                        "Description": "This system does not have the status item.",
                        "Details": {},
                    }],
                })),
            }
        }
        digests
    }

    /// Places the declarations that changed; returns the digests of those it placed.
    fn place_declarations(&self, full: bool, tree: &mut Map<String, Value>) -> BTreeMap<(Kind, String), u64> {
        let mut digests = BTreeMap::new();
        let mut sections: BTreeMap<Kind, Vec<Value>> = Kind::ALL.map(|kind| (kind, Vec::new())).into();
        for (key, held) in &self.held {
            let digest = digest(&(&held.declaration.server_token, &held.state));
            if full || held.reported != Some(digest) {
                sections.entry(key.0).or_default().push(entry(held));
                digests.insert(key.clone(), digest);
            }
        }
        for (kind, identifier) in self.gone.iter().filter(|_| !full) {
            sections
                .entry(*kind)
                .or_default()
                .push(json!({"identifier": identifier, "_removed": true}));
        }
        if full || sections.values().any(|section| !section.is_empty()) {
            let sections: Map<String, Value> = sections
                .into_iter()
                .map(|(kind, entries)| (kind.report_key().to_owned(), Value::Array(entries)))
                .collect();
            status::place(tree, DECLARATIONS, Value::Object(sections));
        }
        digests
    }
}

fn entry(held: &Held) -> Value {
    let reasons: Vec<Value> = held
        .state
        .reasons
        .iter()
        .map(|reason| {
            let details: Map<String, Value> = reason
                .detail
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)))
                .collect();
            json!({"code": reason.code, "description": reason.description, "details": details})
        })
        .collect();
    json!({
        "identifier": held.declaration.identifier,
        "server-token": held.declaration.server_token,
        "active": held.state.active,
        "valid": held.state.validity.word(),
        "reasons": reasons,
    })
}

fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
