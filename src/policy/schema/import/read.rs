//! From the graph of one of Apple's files to the facts of one type.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;

use super::Problem;
use super::yaml::{Graph, Node};
use crate::policy::platform::OsVersion;
use crate::policy::schema::conditions::{
    AccessRights, Conditions, Enrollments, Mode, Scopes, SharedIPad, Since, System, Version,
};
use crate::policy::schema::facts::{Apply, Combine, Format, Key, Keys, Kind, Range, TypeFacts};

/// Keys of one type, those that anchors repeat included.
const MAXIMUM_KEYS: usize = 20_000;
/// Keys within each other.
const MAXIMUM_DEPTH: usize = 32;

/// The kind of thing that a file is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    Command,
    Credential,
    Declaration,
    Profile,
}

/// One file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) about: About,
    /// Apple's name of the type.
    pub(super) name: String,
    pub(super) facts: TypeFacts,
    /// What was passed over.
    pub(super) problems: Vec<Problem>,
}

/// Reads a file. None: it is about nothing that the table holds.
pub(super) fn read(path: &str, bytes: &[u8]) -> Result<Option<File>, Problem> {
    let graph = Graph::read(bytes)?;
    let root = Some(Graph::root());
    let payload = graph.at(root, "payload");
    let named = |attribute: &str| graph.text(graph.at(payload, attribute)).map(str::to_owned);
    let in_folder = |folder: &str| path.split('/').any(|part| part == folder);
    let (about, name) = if let Some(name) = named("payloadtype").filter(|_| in_folder("profiles")) {
        (About::Profile, name)
    } else if let Some(name) = named("requesttype").filter(|_| in_folder("commands")) {
        (About::Command, name)
    } else if let Some(name) = named("credentialtype") {
        (About::Credential, name)
    } else if let Some(name) = named("declarationtype").filter(|name| name != "any") {
        (About::Declaration, name)
    } else {
        return Ok(None);
    };
    let mut reading = Reading {
        graph: &graph,
        problems: Vec::new(),
        open: Vec::new(),
        cyclic: HashSet::new(),
        shapes: HashMap::new(),
        named: BTreeMap::new(),
        count: 0,
    };
    let mut on = reading.systems(graph.at(payload, "supportedOS"));
    // Of a system that never has it nothing else matters; what a type says of every system it may as well not say.
    on.retain(|_, on| on.since != Some(Since::Never));
    for on in on.values_mut() {
        *on = plainer(*on);
    }
    let apply = graph.at(payload, "apply");
    let facts = TypeFacts {
        apply: reading.word::<Apply>("apply", apply),
        on,
        keys: reading.keys(graph.at(root, "payloadkeys"), "")?,
        response: if about == About::Command {
            reading.keys(graph.at(root, "responsekeys"), "")?
        } else {
            Keys::new()
        },
        shapes: std::mem::take(&mut reading.named),
        ..TypeFacts::default()
    };
    Ok(Some(File {
        about,
        name,
        facts,
        problems: reading.problems,
    }))
}

/// Without what says no more than silence does where there is nothing below.
fn plainer(on: Conditions) -> Conditions {
    let unless = |value: Option<bool>, silence: bool| value.filter(|value| *value != silence);
    Conditions {
        supervised: unless(on.supervised, false),
        automated: unless(on.automated, false),
        user_approved: unless(on.user_approved, false),
        multiple: unless(on.multiple, true),
        user_enrollment: on.user_enrollment.filter(|mode| *mode != Mode::Allowed),
        ..on
    }
}

struct Reading<'g> {
    graph: &'g Graph,
    problems: Vec<Problem>,
    /// The lists of keys that are being read, from the outside in.
    open: Vec<Node>,
    /// Those of them that an alias inside leads back to.
    cyclic: HashSet<Node>,
    /// Those that are cyclic, by the name of the shape.
    shapes: HashMap<Node, String>,
    named: BTreeMap<String, Keys>,
    count: usize,
}

impl Reading<'_> {
    fn pass_over(&mut self, what: &str, word: &str) {
        self.problems.push(Problem::of(format!(
            "the {what} `{word}` is not known to this program and is passed over"
        )));
    }

    /// A word that this program should know.
    fn word<T: FromStr>(&mut self, what: &str, node: Option<Node>) -> Option<T> {
        let word = self.graph.text(node)?;
        let known = word.parse().ok();
        if known.is_none() {
            let word = word.to_owned();
            self.pass_over(what, &word);
        }
        known
    }

    fn keys(&mut self, list: Option<Node>, name: &str) -> Result<Keys, Problem> {
        let mut keys = Keys::new();
        let Some(list) = list else { return Ok(keys) };
        if self.open.len() >= MAXIMUM_DEPTH {
            return Err(Problem::of(format!(
                "keys nest deeper than {MAXIMUM_DEPTH} levels at `{name}`"
            )));
        }
        self.open.push(list);
        for node in self.graph.items(Some(list)).to_vec() {
            self.count += 1;
            if self.count > MAXIMUM_KEYS {
                return Err(Problem::of(format!("the type has more than {MAXIMUM_KEYS} keys")));
            }
            let Some(name) = self.graph.text(self.graph.at(Some(node), "key")) else {
                self.problems.push(Problem::of(format!(
                    "a key in `{name}` has no name and is passed over"
                )));
                continue;
            };
            let name = name.to_owned();
            let key = self.key(node, &name)?;
            if keys.insert(name.clone(), key).is_some() {
                self.problems.push(Problem::of(format!(
                    "the key `{name}` stands there twice; the last counts"
                )));
            }
        }
        self.open.pop();
        Ok(keys)
    }

    fn key(&mut self, node: Node, name: &str) -> Result<Key, Problem> {
        let graph = self.graph;
        let at = |attribute: &str| graph.at(Some(node), attribute);
        let kind = graph
            .text(at("type"))
            .unwrap_or_default()
            .trim_matches(['<', '>']);
        let kind = kind.parse::<Kind>().unwrap_or_else(|_| {
            self.pass_over("type", kind);
            Kind::Any
        });
        let range = |node: Option<Node>| {
            let bound = |name: &str| graph.number(graph.at(node, name));
            node.map(|_| Range(bound("min"), bound("max")))
        };
        let scalars = |node: Option<Node>| {
            graph
                .items(node)
                .iter()
                .filter_map(|item| graph.scalar(Some(*item)))
        };
        let texts = |node: Option<Node>| {
            let items = graph.items(node).iter();
            items
                .filter_map(|item| graph.text(Some(*item)).map(str::to_owned))
                .collect()
        };
        let mut key = Key {
            kind,
            required: graph.text(at("presence")) == Some("required"),
            values: scalars(at("rangelist")).collect(),
            range: range(at("range")),
            repetition: range(at("repetition")),
            format: self.format(at("format")),
            default: graph.scalar(at("default")),
            combine: self.word::<Combine>("combinetype", at("combinetype")),
            assets: texts(at("assettypes")),
            media: texts(at("asset-content-types")),
            on: self.systems(at("supportedOS")),
            ..Key::default()
        };
        if let Some(list) = at("subkeys") {
            self.inside(&mut key, list, name)?;
        }
        Ok(key)
    }

    /// Reads what a key holds: as its own, or, where it holds itself, as a shape with a name.
    fn inside(&mut self, key: &mut Key, list: Node, name: &str) -> Result<(), Problem> {
        if let Some(shape) = self.shapes.get(&list) {
            key.like = Some(shape.clone());
            return Ok(());
        }
        if self.open.contains(&list) {
            // One more than there are names is always free.
            let names = (1..=self.shapes.len() + 1).map(|n| match n {
                1 => name.to_owned(),
                n => format!("{name} {n}"),
            });
            let mut free = names.filter(|shape| !self.shapes.values().any(|taken| taken == shape));
            let shape = free.next().unwrap_or_default();
            self.cyclic.insert(list);
            self.shapes.insert(list, shape.clone());
            key.like = Some(shape);
            return Ok(());
        }
        let keys = self.keys(Some(list), name)?;
        match self.shapes.get(&list) {
            Some(shape) if self.cyclic.remove(&list) => {
                self.named.insert(shape.clone(), keys);
                key.like = Some(shape.clone());
            }
            _ => key.keys = keys,
        }
        Ok(())
    }

    fn format(&mut self, node: Option<Node>) -> Option<Format> {
        let pattern = self.graph.text(node)?.to_owned();
        if regex::Regex::new(&pattern).is_err() {
            self.pass_over("format", &pattern);
            return None;
        }
        Some(Format::from(pattern))
    }

    fn systems(&mut self, node: Option<Node>) -> BTreeMap<System, Conditions> {
        let mut systems = BTreeMap::new();
        for (name, node) in self.graph.entries(node).to_vec() {
            let Ok(system) = name.parse::<System>() else {
                self.pass_over("system", &name);
                continue;
            };
            let on = self.conditions(node);
            // A key that is never there needs no further conditions, and says so only where what it is part of is.
            let on = if on.since == Some(Since::Never) {
                Conditions {
                    since: on.since,
                    ..Conditions::default()
                }
            } else {
                on
            };
            if on != Conditions::default() {
                systems.insert(system, on);
            }
        }
        systems
    }

    fn conditions(&mut self, node: Node) -> Conditions {
        let graph = self.graph;
        let at = |attribute: &str| graph.at(Some(node), attribute);
        let version = |node| graph.text(node).map(|text| Version(OsVersion::read(text)));
        let shared = at("sharedipad");
        let user = at("userenrollment");
        Conditions {
            since: graph.text(at("introduced")).map(|since| match since {
                "n/a" => Since::Never,
                version => Since::Version(Version(OsVersion::read(version))),
            }),
            deprecated: version(at("deprecated")),
            removed: version(at("removed")),
            rights: self.rights(at("accessrights")),
            supervised: graph.flag(at("supervised")),
            automated: graph.flag(at("requiresdep")),
            user_approved: graph.flag(at("userapprovedmdm")),
            multiple: graph.flag(at("multiple")),
            device_channel: graph.flag(at("devicechannel")),
            user_channel: graph.flag(at("userchannel")),
            enrollments: self.set(
                at("allowed-enrollments"),
                "kind of enrolment",
                Enrollments::named,
                Enrollments::and,
            ),
            scopes: self.set(at("allowed-scopes"), "scope", Scopes::named, Scopes::and),
            user_enrollment: self.word::<Mode>("mode", graph.at(user, "mode")),
            shared_ipad: shared.map(|_| SharedIPad {
                mode: self.word::<Mode>("mode", graph.at(shared, "mode")),
                device_channel: graph.flag(graph.at(shared, "devicechannel")),
                user_channel: graph.flag(graph.at(shared, "userchannel")),
                scopes: self.set(
                    graph.at(shared, "allowed-scopes"),
                    "scope",
                    Scopes::named,
                    Scopes::and,
                ),
            }),
        }
    }

    fn set<T: Default>(
        &mut self,
        node: Option<Node>,
        what: &str,
        named: fn(&str) -> Option<T>,
        and: fn(T, T) -> T,
    ) -> Option<T> {
        node?;
        let mut set = T::default();
        for item in self.graph.items(node) {
            let word = self.graph.text(Some(*item)).unwrap_or_default();
            match named(word) {
                Some(known) => set = and(set, known),
                None => self.pass_over(what, word),
            }
        }
        Some(set)
    }

    /// The schema's names of rights, which are not always the same for the same right.
    fn rights(&mut self, node: Option<Node>) -> Option<AccessRights> {
        Some(AccessRights(match self.graph.text(node)? {
            // Each key says its own.
            "Special Case" => return None,
            "None" | "n/a" => 0,
            "AllowInspection" => 1,
            "AllowInstallationRemoval" => 2,
            "AllowPasscodeRemovalAndLock" | "DeviceLockAndRemovePasscode" => 4,
            "AllowDeviceErase" => 8,
            "AllowQueryDeviceInformation" => 16,
            "AllowQueryNetworkInformation" => 32,
            "AllowProvisioningInspection" => 64,
            "AllowProvisioningInstallationRemoval" => 128,
            "AllowQueryApplications" | "QueryInstalledApps" => 256,
            "AllowQueryRestrictions" => 512,
            "AllowQuerySecurity" => 1024,
            "AllowSettings" => 2048,
            "AllowAppInstallation" => 4096,
            other => {
                self.pass_over("right", other);
                return None;
            }
        }))
    }
}
