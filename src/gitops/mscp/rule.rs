//! What a rule says for one system and version, whichever format it is written in.

use serde_json::{Map, Value};

use super::raw::Raw;
use super::tree::{Format, System};
use crate::api::baseline::ControlRef;
use crate::api::common::Severity;
use crate::gitops::Finding;
use crate::suggest::did_you_mean;

/// The keys of a 2.0 rule.
const KEYS: [&str; 9] = [
    "ddm_info",
    "discussion",
    "id",
    "mobileconfig_info",
    "odv",
    "platforms",
    "references",
    "tags",
    "title",
];
/// The keys that only a 1.x rule has.
const KEYS_OF_ONE: [&str; 9] = [
    "check",
    "fix",
    "iOS",
    "macOS",
    "mobileconfig",
    "result",
    "severity",
    "supervised",
    "visionOS",
];

/// A rule as one system and version has it, with its values still to be put in.
#[derive(Debug)]
pub(super) struct View<'r> {
    pub(super) severity: Severity,
    /// iOS and visionOS: whether it needs supervision, by mSCP's account.
    pub(super) supervised: Option<bool>,
    pub(super) check: Option<CheckView<'r>>,
    /// Shell that mends what fails, as text.
    pub(super) fix: Option<Text<'r>>,
    pub(super) payloads: Vec<PayloadView<'r>>,
    pub(super) declaration: Option<DeclarationView<'r>>,
}

/// A text and the field that it is from.
#[derive(Debug, Clone)]
pub(super) struct Text<'r> {
    pub(super) text: &'r str,
    pub(super) field: String,
}

/// Shell that checks a device, as text, and what it prints where all is well.
#[derive(Debug)]
pub(super) struct CheckView<'r> {
    pub(super) command: Text<'r>,
    pub(super) expected: &'r Value,
    pub(super) expected_field: String,
}

/// Keys of a profile payload.
#[derive(Debug)]
pub(super) struct PayloadView<'r> {
    pub(super) type_: &'r str,
    pub(super) content: &'r Map<String, Value>,
    pub(super) field: String,
}

/// A key of a declaration, or a piece of a configuration file.
#[derive(Debug)]
pub(super) enum DeclarationView<'r> {
    Key {
        type_: &'r str,
        key: &'r str,
        value: &'r Value,
    },
    File {
        service: &'r str,
        file: &'r str,
        key: &'r str,
        value: &'r Value,
    },
}

/// The declaration that brings configuration files.
pub(super) const CONFIGURATION_FILES: &str = "com.apple.configuration.services.configuration-files";

/// What can be said of a rule before a baseline asks for it: whether its keys are known and of the right kind.
pub(super) fn check_shape(raw: &Raw) -> (Vec<Finding>, Vec<Finding>) {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    for key in ["title", "discussion"] {
        match raw.fields.get(key) {
            Some(Value::String(_)) => {}
            Some(_) => errors.push(raw.finding(key, "must be text; put quotes around it")),
            None => errors.push(raw.finding("", format!("the rule has no {key}"))),
        }
    }
    let known = || KEYS.into_iter().chain(KEYS_OF_ONE);
    for key in raw
        .fields
        .keys()
        .filter(|key| !known().any(|known| known == *key))
    {
        let guess = did_you_mean(key, known());
        warnings.push(raw.finding(key, format!("no rule of mSCP has this key{guess}")));
    }
    if let Some(tags) = raw.fields.get("tags")
        && !tags
            .as_array()
            .is_some_and(|tags| tags.iter().all(Value::is_string))
    {
        errors.push(raw.finding("tags", "must be a list of texts"));
    }
    for key in ["references", "platforms", "ddm_info", "odv"] {
        if raw
            .fields
            .get(key)
            .is_some_and(|value| !value.is_object() && !value.is_null())
        {
            errors.push(raw.finding(key, "must be a mapping"));
        }
    }
    (errors, warnings)
}

/// The format of a rule.
pub(super) fn format_of(raw: &Raw) -> Format {
    if raw.fields.contains_key("platforms") {
        Format::Two
    } else {
        Format::One
    }
}

/// What the rule says for a system and version. `benchmark` is the baseline's name, by which severities are given.
///
/// # Errors
/// When the rule is not for them, or something in it is not of the kind that it must be.
pub(super) fn view<'r>(
    raw: &'r Raw,
    system: System,
    version: &str,
    benchmark: &str,
) -> Result<View<'r>, Vec<Finding>> {
    let mut reader = Reader {
        raw,
        findings: Vec::new(),
    };
    let view = match format_of(raw) {
        Format::Two => reader.two(system, version, benchmark),
        Format::One => reader.one(system, version),
    };
    match view {
        Ok(view) if reader.findings.is_empty() => Ok(view),
        Ok(_) => Err(reader.findings),
        Err(finding) => Err(vec![finding]),
    }
}

/// Whether two versions are the same: `26` is `26.0`.
pub(super) fn same_version(one: &str, other: &str) -> bool {
    let numbers = |text: &str| -> Vec<String> {
        let mut parts: Vec<String> = text.trim().split('.').map(str::to_owned).collect();
        while parts.len() > 1 && parts.last().is_some_and(|part| part == "0") {
            parts.pop();
        }
        parts
    };
    numbers(one) == numbers(other)
}

struct Reader<'r> {
    raw: &'r Raw,
    findings: Vec<Finding>,
}

impl<'r> Reader<'r> {
    fn two(&mut self, system: System, version: &str, benchmark: &str) -> Result<View<'r>, Finding> {
        let os = system.name();
        let field = format!("platforms.{os}");
        let platform = self
            .raw
            .fields
            .get("platforms")
            .and_then(|platforms| platforms.get(os));
        let Some(platform) = platform.and_then(Value::as_object) else {
            return Err(self
                .raw
                .finding("platforms", format!("rule {} is not for {os}", self.raw.id)));
        };
        let found = platform
            .iter()
            .find(|(key, value)| same_version(key, version) && (value.is_object() || value.is_null()));
        let Some((key, here)) = found else {
            return Err(self
                .raw
                .finding(&field, format!("rule {} is not for {os} {version}", self.raw.id)));
        };
        let field_here = format!("{field}.{key}");
        let severity = self.severity(here, &field_here, benchmark);
        let enforcement = Layered {
            platform: (
                platform.get("enforcement_info"),
                format!("{field}.enforcement_info"),
            ),
            version: (
                here.get("enforcement_info"),
                format!("{field_here}.enforcement_info"),
            ),
        };
        let check = match enforcement.text(&["check", "shell"]) {
            Some(command) => enforcement
                .value(&["check", "result"])
                .map(|(expected, expected_field)| CheckView {
                    command,
                    expected,
                    expected_field,
                }),
            None => None,
        };
        let top = self
            .raw
            .fields
            .get("mobileconfig_info")
            .filter(|value| !value.is_null());
        // A version's own payloads count only where the rule has any.
        let payloads = match (top, here.get("mobileconfig_info")) {
            (Some(_), Some(own)) => self.payloads(own, &format!("{field_here}.mobileconfig_info")),
            (Some(top), None) => self.payloads(top, "mobileconfig_info"),
            (None, _) => Vec::new(),
        };
        Ok(View {
            severity,
            supervised: here.get("supervised").and_then(Value::as_bool),
            check,
            fix: enforcement.text(&["fix", "shell"]),
            payloads,
            declaration: self.declaration(),
        })
    }

    fn severity(&mut self, here: &Value, field: &str, benchmark: &str) -> Severity {
        let benchmarks = here.get("benchmarks").and_then(Value::as_array);
        let named = benchmarks.into_iter().flatten().enumerate().find(|(_, entry)| {
            entry.get("name").and_then(Value::as_str) == Some(benchmark) && entry.get("severity").is_some()
        });
        match named {
            Some((n, entry)) => self.severity_of(
                entry.get("severity"),
                &format!("{field}.benchmarks[{n}].severity"),
            ),
            None => Severity::default(),
        }
    }

    fn severity_of(&mut self, value: Option<&Value>, field: &str) -> Severity {
        match value.map(|value| value.as_str().unwrap_or_default()) {
            None => Severity::default(),
            Some("low") => Severity::Low,
            Some("medium") => Severity::Medium,
            Some("high") => Severity::High,
            Some(_) => {
                self.findings
                    .push(self.raw.finding(field, "must be one of high, medium, low"));
                Severity::default()
            }
        }
    }

    fn one(&mut self, system: System, version: &str) -> Result<View<'r>, Finding> {
        let fields = &self.raw.fields;
        let os = system.name();
        // Rules that name no system at all are for that of the branch; the tree says so.
        if let Some(list) = fields.get(os) {
            let listed = list.as_array().into_iter().flatten().enumerate();
            let mut versions = listed.map(|(n, entry)| match entry {
                Value::String(text) => text.as_str(),
                _ => self.raw.number(&format!("{os}[{n}]")).unwrap_or_default(),
            });
            if !versions.any(|listed| same_version(listed, version)) {
                return Err(self
                    .raw
                    .finding(os, format!("rule {} is not for {os} {version}", self.raw.id)));
            }
        } else if let Some(other) = System::ALL
            .into_iter()
            .find(|other| fields.contains_key(other.name()))
        {
            let message = format!("rule {} is not for {os}", self.raw.id);
            return Err(self.raw.finding(other.name(), message));
        }
        let text = |key: &str| {
            let text = fields.get(key)?.as_str()?;
            Some(Text {
                text,
                field: key.to_owned(),
            })
        };
        let result = fields.get("result").filter(|result| match result {
            Value::Object(map) => !map.is_empty(),
            _ => false,
        });
        let check = result.and_then(|expected| {
            Some(CheckView {
                command: text("check")?,
                expected,
                expected_field: "result".to_owned(),
            })
        });
        let fix = text("fix").and_then(|fix| {
            Some(Text {
                text: shell_block(fix.text)?,
                ..fix
            })
        });
        let payloads = match fields.get("mobileconfig_info") {
            Some(Value::Object(types)) if fields.get("mobileconfig") != Some(&Value::Bool(false)) => {
                self.payloads_of_one(types)
            }
            None | Some(Value::Null | Value::Object(_)) => Vec::new(),
            Some(_) => {
                self.findings.push(
                    self.raw
                        .finding("mobileconfig_info", "must map payload types to their keys"),
                );
                Vec::new()
            }
        };
        Ok(View {
            severity: self.severity_of(fields.get("severity"), "severity"),
            supervised: fields.get("supervised").and_then(Value::as_bool),
            check,
            fix,
            payloads,
            declaration: self.declaration(),
        })
    }

    fn payloads_of_one(&mut self, types: &'r Map<String, Value>) -> Vec<PayloadView<'r>> {
        let mut payloads = Vec::new();
        for (type_, content) in types {
            let field = format!("mobileconfig_info.{type_}");
            match content {
                Value::Object(content) => payloads.push(PayloadView {
                    type_,
                    content,
                    field,
                }),
                _ => self
                    .findings
                    .push(self.raw.finding(&field, "must be a mapping of payload keys")),
            }
        }
        payloads
    }

    fn payloads(&mut self, list: &'r Value, field: &str) -> Vec<PayloadView<'r>> {
        let mut payloads = Vec::new();
        let mut wrong = |field: &str, message: &str| self.findings.push(self.raw.finding(field, message));
        let Some(list) = list.as_array() else {
            wrong(
                field,
                "must be a list of payloads, each with PayloadType and PayloadContent",
            );
            return payloads;
        };
        for (n, payload) in list.iter().enumerate() {
            let field = format!("{field}[{n}]");
            let Some(type_) = payload.get("PayloadType").and_then(Value::as_str) else {
                wrong(&field, "the payload has no PayloadType");
                continue;
            };
            let Some(contents) = payload.get("PayloadContent").and_then(Value::as_array) else {
                wrong(&field, "the payload has no PayloadContent, a list of mappings");
                continue;
            };
            for (m, content) in contents.iter().enumerate() {
                let field = format!("{field}.PayloadContent[{m}]");
                match content {
                    Value::Object(content) => payloads.push(PayloadView {
                        type_,
                        content,
                        field,
                    }),
                    _ => wrong(&field, "must be a mapping of payload keys"),
                }
            }
        }
        payloads
    }

    fn declaration(&mut self) -> Option<DeclarationView<'r>> {
        let info = self.raw.fields.get("ddm_info").filter(|info| !info.is_null())?;
        let mut text = |key: &str| {
            let found = info.get(key).and_then(Value::as_str);
            if found.is_none() {
                self.findings.push(
                    self.raw
                        .finding("ddm_info", format!("`{key}` is missing, or is not text")),
                );
            }
            found
        };
        let type_ = text("declarationtype")?;
        let (value_key, view) = if type_ == CONFIGURATION_FILES {
            let (service, file, key) = (text("service")?, text("config_file")?, text("configuration_key")?);
            let view = |value| DeclarationView::File {
                service,
                file,
                key,
                value,
            };
            ("configuration_value", info.get("configuration_value").map(view))
        } else {
            let key = text("ddm_key")?;
            let view = |value| DeclarationView::Key { type_, key, value };
            ("ddm_value", info.get("ddm_value").map(view))
        };
        if view.is_none() {
            self.findings
                .push(self.raw.finding("ddm_info", format!("`{value_key}` is missing")));
        }
        view
    }
}

/// What a version says over what its platform says, key by key; a `result` replaces the other whole.
struct Layered<'r> {
    platform: (Option<&'r Value>, String),
    version: (Option<&'r Value>, String),
}

impl<'r> Layered<'r> {
    fn value(&self, path: &[&str]) -> Option<(&'r Value, String)> {
        [&self.version, &self.platform]
            .into_iter()
            .find_map(|(value, field)| {
                let value = path
                    .iter()
                    .try_fold((*value)?, |value, key| value.get(*key))
                    .filter(|value| !value.is_null())?;
                Some((value, format!("{field}.{}", path.join("."))))
            })
    }

    fn text(&self, path: &[&str]) -> Option<Text<'r>> {
        let (value, field) = self.value(path)?;
        Some(Text {
            text: value.as_str()?,
            field,
        })
    }
}

/// The shell in a 1.x fix: the listing under `[source,bash]`. Any other fix is prose.
fn shell_block(fix: &str) -> Option<&str> {
    let (_, after) = fix.split_once("[source,bash]")?;
    let (_, listing) = after.split_once("----\n")?;
    let end = listing.find("\n----").unwrap_or(listing.len());
    listing.get(..end)
}

/// The controls that the rule supports on a system and version, those that people ask for first, at most [`MAXIMUM_CONTROLS`].
pub(super) fn controls(raw: &Raw, system: System, version: &str) -> Vec<ControlRef> {
    let mut found = Vec::new();
    let edition = system.edition(version);
    for (namespace, references) in raw
        .fields
        .get("references")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        collect(raw, references, &mut vec![namespace], &edition, &mut found);
    }
    found.sort_by(|a: &ControlRef, b| {
        let by_rank = rank(&a.framework).cmp(&rank(&b.framework));
        by_rank.then_with(|| a.cmp(b))
    });
    found.dedup();
    found.truncate(MAXIMUM_CONTROLS);
    found
}

/// The most controls that a rule of a Baseline names.
const MAXIMUM_CONTROLS: usize = 64;
/// The longest id of a control.
const MAXIMUM_CONTROL_ID: usize = 63;

fn collect<'r>(
    raw: &Raw,
    references: &'r Value,
    path: &mut Vec<&'r str>,
    edition: &str,
    found: &mut Vec<ControlRef>,
) {
    match references {
        Value::Array(list) => {
            let Some(framework) = framework(path, edition) else {
                return;
            };
            for (n, item) in list.iter().enumerate() {
                let id = match item {
                    Value::String(text) => text.trim().to_owned(),
                    // Ids look like numbers: what the file says counts, not what a reader makes of it.
                    Value::Number(number) => raw
                        .number(&format!("references.{}[{n}]", path.join(".")))
                        .map_or_else(|| number.to_string(), str::to_owned),
                    _ => continue,
                };
                if !id.is_empty() && id != "N/A" && id.chars().count() <= MAXIMUM_CONTROL_ID {
                    found.push(ControlRef {
                        framework: framework.clone(),
                        id,
                    });
                }
            }
        }
        Value::Object(map) if path.len() < 4 => {
            for (key, below) in map {
                path.push(key);
                collect(raw, below, path, edition, found);
                path.pop();
            }
        }
        _ => {}
    }
}

/// The name of a framework by where its references stand. None: they are for another system or version, or are none at all.
fn framework(path: &[&str], edition: &str) -> Option<String> {
    let by_edition = |name: &str| format!("{name}-{edition}");
    let is_edition = |key: &str| {
        System::ALL
            .into_iter()
            .any(|system| key.starts_with(&format!("{}_", system.short())))
    };
    let name = match path {
        // 1.x: rules whose system was written among the references.
        ["macOS" | "iOS" | "visionOS"] => return None,
        [_, _, key] if is_edition(key) && key.replace('_', "-") != edition => return None,
        ["cis", "benchmark"] | ["cis", "benchmark", _] => by_edition("cis"),
        ["disa_stig"] | ["disa", "disa_stig", _] => by_edition("disa-stig"),
        ["cis", _] => "cis-v8".to_owned(),
        ["nist", "cce", _] => "cce".to_owned(),
        ["bsi", "indigo", _] => by_edition("indigo"),
        ["nist" | "disa" | "bzk" | "hhs" | "bsi", key] => (*key).to_owned(),
        _ => {
            let named: Vec<&str> = path.iter().copied().filter(|key| !is_edition(key)).collect();
            named.join("-")
        }
    };
    let name: String = name
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' || c == '-' {
                c
            } else {
                '-'
            }
        })
        .take(MAXIMUM_CONTROL_ID)
        .collect();
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
    (!name.is_empty()).then_some(name)
}

/// Lists of identifiers rather than demands come last: they are the first to be left out where there are too many.
fn rank(framework: &str) -> usize {
    match framework {
        "800-53r5" => 0,
        "cci" | "srg" | "sfr" | "cce" => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_the_same_by_number() {
        assert!(same_version("26", "26.0") && same_version("26.0.0", "26.0"));
        assert!(!same_version("26.1", "26.10") && !same_version("26.0", "26.1"));
    }

    #[test]
    fn the_shell_of_an_old_fix_is_its_listing() {
        assert_eq!(
            shell_block("Do this:\n[source,bash]\n----\n/bin/one\n/bin/two\n----\nand rest.\n"),
            Some("/bin/one\n/bin/two")
        );
        assert_eq!(
            shell_block("This is implemented by a Configuration Profile.\n"),
            None
        );
    }

    #[test]
    fn frameworks_are_named_as_baselines_name_them() {
        for (path, name) in [
            (&["nist", "800-53r5"][..], Some("800-53r5")),
            (&["800-53r5"], Some("800-53r5")),
            (&["cis", "benchmark", "macos_26"], Some("cis-macos-26")),
            (&["cis", "benchmark", "macos_15"], None),
            (&["cis", "benchmark"], Some("cis-macos-26")),
            (&["cis", "controls_v8"], Some("cis-v8")),
            (&["cis", "controls v8"], Some("cis-v8")),
            (&["disa", "disa_stig", "macos_26"], Some("disa-stig-macos-26")),
            (&["disa", "cmmc"], Some("cmmc")),
            (&["bzk", "bio"], Some("bio")),
            (&["acme", "Policy 7"], Some("acme-policy-7")),
            (&["acme", "guide", "macos_26"], Some("acme-guide")),
            (&["macOS"], None),
        ] {
            assert_eq!(framework(path, "macos-26").as_deref(), name, "{path:?}");
        }
    }
}
