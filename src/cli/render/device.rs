//! A device as people describe it: `platform=macOS,os=26.0,enrollment=supervised`.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::api::common::{EnrollmentMode, Platform};
use crate::api::names::{ENROLLMENT_MODE_LABEL, PLATFORM_LABEL};
use crate::policy::platform::supports_declarations;
use crate::policy::{Candidate, DeviceClass, Lacks, OsVersion};
use crate::suggest::did_you_mean;

const PLATFORMS: [Platform; 6] = [
    Platform::MacOS,
    Platform::IOS,
    Platform::IPadOS,
    Platform::TvOS,
    Platform::VisionOS,
    Platform::WatchOS,
];
const MODES: [EnrollmentMode; 3] = [
    EnrollmentMode::Supervised,
    EnrollmentMode::Device,
    EnrollmentMode::User,
];
const KEYS: [&str; 8] = [
    "platform",
    "os",
    "enrollment",
    "name",
    "model",
    "serial",
    "ddm",
    "label:",
];

/// A device that need not exist.
#[derive(Debug, Clone)]
pub(super) struct DescribedDevice {
    /// What it is called here.
    pub(super) name: String,
    pub(super) class: DeviceClass,
    pub(super) candidate: Candidate,
}

impl FromStr for DescribedDevice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
        let mut labels = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (key, value) = part
                .split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
                .ok_or_else(|| format!("`{part}` is not KEY=VALUE"))?;
            if let Some(label) = key.strip_prefix("label:") {
                labels.insert(label.to_owned(), value.to_owned());
            } else if !KEYS.contains(&key) {
                let guess = did_you_mean(key, KEYS);
                return Err(format!(
                    "a device has no `{key}`{guess}; it has {}",
                    KEYS.join(", ")
                ));
            } else if fields.insert(key, value).is_some() {
                return Err(format!("`{key}` is there twice"));
            }
        }
        let platform = one_of("platform", fields.get("platform").copied(), &PLATFORMS)?;
        let mode = match fields.get("enrollment") {
            None => EnrollmentMode::Supervised,
            given => one_of("enrollment", given.copied(), &MODES)?,
        };
        let os = fields.get("os").copied().unwrap_or_default();
        let os_version = OsVersion::read(os);
        if os_version == OsVersion::default() {
            return Err("say the version of the system, such as os=26.0".to_owned());
        }
        let declarative = match fields.get("ddm").copied() {
            None => supports_declarations(platform, os_version),
            Some("yes") => true,
            Some("no") => false,
            Some(other) => {
                return Err(format!(
                    "ddm={other}: whether the device is managed by declarations is yes or no"
                ));
            }
        };
        let class = DeviceClass {
            platform,
            os_version,
            mode,
            declarative,
            lacks: Lacks::default(),
        };
        for (label, value) in [
            (PLATFORM_LABEL, platform.to_string()),
            (ENROLLMENT_MODE_LABEL, mode.to_string()),
        ] {
            labels.entry(label.to_owned()).or_insert(value);
        }
        let (model, serial) = (fields.get("model").copied(), fields.get("serial").copied());
        let usual = format!("{platform}-{os}-{}", mode.to_string().to_lowercase());
        Ok(Self {
            name: fields.get("name").map_or(usual, |name| (*name).to_owned()),
            class,
            candidate: Candidate::new(platform, os, mode, model, serial, labels),
        })
    }
}

/// A value by its name, in any case.
fn one_of<T: Copy + ToString>(key: &str, given: Option<&str>, known: &[T]) -> Result<T, String> {
    let names: Vec<String> = known.iter().map(ToString::to_string).collect();
    let given = given.unwrap_or_default();
    let found = known
        .iter()
        .zip(&names)
        .find(|(_, name)| name.eq_ignore_ascii_case(given));
    found.map(|(value, _)| *value).ok_or_else(|| {
        let guess = did_you_mean(given, names.iter().map(String::as_str));
        format!("{key} is one of {}{guess}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_described_in_any_case_and_knows_its_labels() {
        let device: DescribedDevice = "platform=macos,os=26.1,enrollment=supervised,label:team=design"
            .parse()
            .unwrap();
        assert_eq!(device.name, "macOS-26.1-supervised");
        assert_eq!(device.class.to_string(), "macOS 26.1 (supervised)");
        assert!(device.class.declarative);
        let old: DescribedDevice = "platform=macOS, os=12.7, name=lab".parse().unwrap();
        assert_eq!((old.name.as_str(), old.class.declarative), ("lab", false));
    }

    #[test]
    fn what_is_wrong_says_what_would_be_right() {
        let wrong = |text: &str| text.parse::<DescribedDevice>().unwrap_err();
        assert_eq!(
            wrong("platform=macOS"),
            "say the version of the system, such as os=26.0"
        );
        assert_eq!(
            wrong("platfrom=macOS,os=26"),
            "a device has no `platfrom`; did you mean `platform`?; it has platform, os, enrollment, name, model, serial, ddm, label:"
        );
        assert!(wrong("platform=mac,os=26").starts_with("platform is one of macOS, iOS"));
        assert_eq!(wrong("macOS"), "`macOS` is not KEY=VALUE");
        assert_eq!(wrong("os=26,os=27,platform=iOS"), "`os` is there twice");
    }
}
