//! Rules of one baseline on the same device: those that want different values for one setting, and what all of them together leave out.
//!
//! Every class of devices that the baseline can tell apart is tried: the versions at which a range or a declaration type
//! begins or ends, each kind of enrolment, with and without declarative management.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::{Map, Value};

use super::apple;
use crate::api::BaselineSpec;
use crate::api::baseline::BaselineRule;
use crate::api::common::{EnrollmentMode, Platform, PlatformRange};
use crate::policy::compile::{Target, select};
use crate::policy::merge::{Clash, Merged, Part, merge};
use crate::policy::parameter;
use crate::policy::platform::{DeviceClass, Lacks, OsVersion, declaration_type, supports_declarations};
use crate::policy::schema::Schema;

/// Something about a rule beside others.
pub(super) struct Remark {
    /// The index of the rule; of two, of the later.
    pub(super) rule: usize,
    pub(super) message: String,
}

/// What is found about the rules together.
#[derive(Default)]
pub(super) struct Together {
    /// Rules that cannot both hold.
    pub(super) contradictions: Vec<Remark>,
    /// Rules of which the content lacks something that no other rule adds.
    pub(super) incomplete: Vec<Remark>,
}

const PLATFORMS: [Platform; 6] = [
    Platform::IOS,
    Platform::IPadOS,
    Platform::MacOS,
    Platform::TvOS,
    Platform::VisionOS,
    Platform::WatchOS,
];
const MODES: [EnrollmentMode; 3] = [
    EnrollmentMode::Supervised,
    EnrollmentMode::Device,
    EnrollmentMode::User,
];

/// Before every version that begins anything.
const OLDEST: OsVersion = OsVersion([0; 4]);
/// After every version that ends anything.
const NEWEST: OsVersion = OsVersion([u32::MAX; 4]);

pub(super) fn find(schema: &Schema, spec: &BaselineSpec, values: &BTreeMap<String, Value>) -> Together {
    let mut incomplete: BTreeMap<(usize, String), String> = BTreeMap::new();
    let mut found: BTreeMap<(usize, usize, String), String> = BTreeMap::new();
    let mut tried = HashSet::new();
    for class in classes(spec) {
        let mut targets: BTreeMap<Target, Vec<(usize, &Value)>> = BTreeMap::new();
        let mut chosen = Vec::new();
        for (n, rule) in spec.rules.iter().enumerate() {
            if !class.is_in_any(&spec.platforms) || !class.is_in_any(&rule.platforms) {
                continue;
            }
            if let Ok((target, content)) = select(&class, rule) {
                chosen.push((n, std::ptr::from_ref(content)));
                targets.entry(target).or_default().push((n, content));
            }
        }
        // The same choice of content gives the same contradictions.
        if !tried.insert(chosen) {
            continue;
        }
        for (target, members) in &targets {
            let merged = merged(members, values);
            if let Some((first, _)) = members.first() {
                for finding in apple::missing(schema, target, &merged.content, &class) {
                    let message = format!(
                        "what the rules set in {} lacks {}: it {}",
                        target.type_(),
                        finding.path,
                        finding.text()
                    );
                    incomplete
                        .entry((*first, format!("{}: {}", target.type_(), finding.path)))
                        .or_insert(message);
                }
            }
            for (setting, one, other) in contradicting(&merged.clashes) {
                let names = [one, other].map(|n| spec.rules.get(n).map_or("", |rule| rule.id.as_str()));
                let [first, second] = names;
                let message = format!(
                    "rules `{first}` and `{second}` want different values for {}: {setting} (on {})",
                    target.type_(),
                    name(&class)
                );
                found
                    .entry((one, other, format!("{}: {setting}", target.type_())))
                    .or_insert(message);
            }
        }
    }
    let contradictions = found
        .into_iter()
        .map(|((_, rule, _), message)| Remark { rule, message })
        .collect();
    let incomplete = incomplete
        .into_iter()
        .map(|((rule, _), message)| Remark { rule, message })
        .collect();
    Together {
        contradictions,
        incomplete,
    }
}

/// A class for people; a version that only stands for the oldest or newest is not named.
fn name(class: &DeviceClass) -> String {
    if [OLDEST, NEWEST].contains(&class.os_version) {
        class.platform.to_string()
    } else {
        format!("{} {}", class.platform, class.os_version)
    }
}

/// What rules say together.
fn merged(members: &[(usize, &Value)], values: &BTreeMap<String, Value>) -> Merged {
    let contents: Vec<(usize, Map<String, Value>)> = members
        .iter()
        .filter_map(|(n, content)| match parameter::substitute(content, values) {
            Ok(Value::Object(content)) => Some((*n, content)),
            _ => None,
        })
        .collect();
    let parts: Vec<Part<'_>> = contents
        .iter()
        .map(|(source, content)| Part {
            precedence: 0,
            source: *source,
            content,
        })
        .collect();
    merge(&parts)
}

/// The settings on which rules differ, each with the two rules, the earlier one first.
fn contradicting(clashes: &[Clash]) -> Vec<(String, usize, usize)> {
    let mut pairs = Vec::new();
    for clash in clashes {
        let firsts: Vec<usize> = clash
            .sides
            .iter()
            .filter_map(|side| side.first().copied())
            .collect();
        if let Some((one, others)) = firsts.split_first() {
            pairs.extend(
                others
                    .iter()
                    .map(|other| (clash.setting.clone(), *one.min(other), *one.max(other))),
            );
        }
    }
    pairs
}

/// One class for each that the baseline can tell apart.
fn classes(spec: &BaselineSpec) -> Vec<DeviceClass> {
    let mut classes = Vec::new();
    for platform in PLATFORMS {
        if !spec.platforms.is_empty() && !spec.platforms.iter().any(|range| range.name == platform) {
            continue;
        }
        for os_version in versions(spec, platform) {
            for mode in MODES {
                for declarative in [false, true] {
                    if !declarative || supports_declarations(platform, os_version) {
                        classes.push(DeviceClass {
                            platform,
                            os_version,
                            mode,
                            declarative,
                            lacks: Lacks::default(),
                        });
                    }
                }
            }
        }
    }
    classes
}

/// The versions at which something begins or ends.
fn versions(spec: &BaselineSpec, platform: Platform) -> BTreeSet<OsVersion> {
    let in_rule = |rule: &'_ BaselineRule| -> Vec<PlatformRange> {
        let mut ranges = rule.platforms.clone();
        ranges.extend(
            rule.enforce
                .iter()
                .flat_map(|enforcement| enforcement.platforms.clone()),
        );
        ranges
    };
    let mut ranges = spec.platforms.clone();
    ranges.extend(spec.rules.iter().flat_map(in_rule));
    let mut versions: BTreeSet<OsVersion> = ranges
        .iter()
        .filter(|range| range.name == platform)
        .flat_map(|range| [&range.minimum_version, &range.before_version])
        .flatten()
        .map(|version| OsVersion::read(version))
        .collect();
    let declared = spec
        .rules
        .iter()
        .flat_map(|rule| &rule.enforce)
        .filter_map(|e| e.declaration.as_ref());
    versions.extend(
        declared
            .filter_map(|body| declaration_type(&body.type_))
            .filter_map(|type_| type_.since(platform)),
    );
    versions.extend([OLDEST, NEWEST]);
    versions
}
