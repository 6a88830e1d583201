//! Platforms: OS versions, ranges of devices, and which declarations each system takes.
//!
//! The tables are facts of Apple's published schema (declarations and status items, 27.0).

mod lacks;
mod tables;

use std::fmt;

use crate::api::common::{EnrollmentMode, Platform, PlatformRange};

pub use lacks::Lacks;
pub use tables::{
    Apply, Channels, DeclarationType, StatusItem, declaration_type, declaration_types, status_items,
};

/// The version of an operating system, compared number by number; a part that is missing is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OsVersion(pub [u32; 4]);

impl OsVersion {
    /// Reads as much of a version as there is: `15.2`, `15.6.1`; what is no number ends it. Nothing readable is version 0.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut parts = [0; 4];
        for (part, slot) in text.trim().split('.').zip(&mut parts) {
            let digits = part
                .find(|c: char| !c.is_ascii_digit())
                .map_or(part, |end| part.split_at(end).0);
            match digits.parse() {
                Ok(number) => *slot = number,
                Err(_) => break,
            }
            if digits.len() < part.len() {
                break;
            }
        }
        Self(parts)
    }
}

impl fmt::Display for OsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch, more] = self.0;
        write!(f, "{major}.{minor}")?;
        if patch > 0 || more > 0 {
            write!(f, ".{patch}")?;
        }
        if more > 0 {
            write!(f, ".{more}")?;
        }
        Ok(())
    }
}

/// What decides which content a device can take: devices of one class with the same assignments share one manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceClass {
    /// The operating system.
    pub platform: Platform,
    /// Its version.
    pub os_version: OsVersion,
    /// How the device is managed.
    pub mode: EnrollmentMode,
    /// Whether it is managed by declarations.
    pub declarative: bool,
    /// What it says it does not take.
    pub lacks: Lacks,
}

impl DeviceClass {
    /// Whether a range includes these devices. `iOS` does not include iPads: Provost calls their system by its own name.
    #[must_use]
    pub fn is_in(&self, range: &PlatformRange) -> bool {
        self.platform == range.name
            && range
                .minimum_version
                .as_deref()
                .is_none_or(|minimum| self.os_version >= OsVersion::read(minimum))
            && range
                .before_version
                .as_deref()
                .is_none_or(|before| self.os_version < OsVersion::read(before))
            && (range.enrollment_modes.is_empty() || range.enrollment_modes.contains(&self.mode))
    }

    /// Whether any of the ranges includes these devices; no ranges at all include every device.
    #[must_use]
    pub fn is_in_any(&self, ranges: &[PlatformRange]) -> bool {
        ranges.is_empty() || ranges.iter().any(|range| self.is_in(range))
    }
}

impl fmt::Display for DeviceClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let enrolment = match self.mode {
            EnrollmentMode::Supervised => "supervised",
            EnrollmentMode::Device => "device enrolment",
            EnrollmentMode::User => "user enrolment",
        };
        write!(f, "{} {} ({enrolment})", self.platform, self.os_version)
    }
}

/// The first version of a platform that can be managed by declarations.
#[must_use]
pub fn declarations_since(platform: Platform) -> Option<OsVersion> {
    tables::introduced(tables::BASE, platform).map(OsVersion::read)
}

/// Whether a system can be managed by declarations.
#[must_use]
pub fn supports_declarations(platform: Platform, version: OsVersion) -> bool {
    declarations_since(platform).is_none_or(|since| version >= since)
}

/// The ranges that include exactly the devices that both lists include; an empty list includes every device. None: no device is in both.
#[must_use]
pub fn in_both(one: &[PlatformRange], other: &[PlatformRange]) -> Option<Vec<PlatformRange>> {
    if one.is_empty() || other.is_empty() {
        return Some([one, other].concat());
    }
    let mut both: Vec<PlatformRange> = Vec::new();
    for range in one
        .iter()
        .flat_map(|one| other.iter().filter_map(|other| common(one, other)))
    {
        if !both.contains(&range) {
            both.push(range);
        }
    }
    (!both.is_empty()).then_some(both)
}

/// What two ranges have in common.
fn common(one: &PlatformRange, other: &PlatformRange) -> Option<PlatformRange> {
    let version = |text: &String| OsVersion::read(text);
    let minimum = [&one.minimum_version, &other.minimum_version];
    let minimum = minimum
        .into_iter()
        .flatten()
        .max_by_key(|text| version(text))
        .cloned();
    let before = [&one.before_version, &other.before_version];
    let before = before
        .into_iter()
        .flatten()
        .min_by_key(|text| version(text))
        .cloned();
    let modes = match (one.enrollment_modes.as_slice(), other.enrollment_modes.as_slice()) {
        ([], modes) | (modes, []) => modes.to_vec(),
        (one, other) => {
            let shared: Vec<_> = one.iter().filter(|mode| other.contains(mode)).copied().collect();
            if shared.is_empty() {
                return None;
            }
            shared
        }
    };
    let nothing = |(minimum, before): (&String, &String)| version(minimum) >= version(before);
    if one.name != other.name || minimum.as_ref().zip(before.as_ref()).is_some_and(nothing) {
        return None;
    }
    Some(PlatformRange {
        name: one.name,
        minimum_version: minimum,
        before_version: before,
        enrollment_modes: modes,
    })
}

/// Ranges for people: `macOS 14 to before 26, iPadOS`.
#[must_use]
pub fn describe(ranges: &[PlatformRange]) -> String {
    let texts: Vec<String> = ranges
        .iter()
        .map(|range| {
            let versions = match (&range.minimum_version, &range.before_version) {
                (None, None) => String::new(),
                (Some(minimum), None) => format!(" {minimum} and later"),
                (None, Some(before)) => format!(" before {before}"),
                (Some(minimum), Some(before)) => format!(" {minimum} to before {before}"),
            };
            let modes: Vec<String> = range.enrollment_modes.iter().map(ToString::to_string).collect();
            let modes = if modes.is_empty() {
                String::new()
            } else {
                format!(" ({} only)", modes.join(" and "))
            };
            format!("{}{versions}{modes}", range.name)
        })
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn class(platform: Platform, version: &str) -> DeviceClass {
        DeviceClass {
            platform,
            os_version: OsVersion::read(version),
            mode: EnrollmentMode::Supervised,
            declarative: true,
            lacks: Lacks::default(),
        }
    }

    fn range(name: Platform, minimum: Option<&str>, before: Option<&str>) -> PlatformRange {
        PlatformRange {
            name,
            minimum_version: minimum.map(str::to_owned),
            before_version: before.map(str::to_owned),
            enrollment_modes: Vec::new(),
        }
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(OsVersion::read("15.2") < OsVersion::read("15.10"));
        assert_eq!(OsVersion::read("15"), OsVersion::read("15.0.0"));
        assert_eq!(OsVersion::read("26.1 (25B78)").to_string(), "26.1");
        assert_eq!(OsVersion::read("15.6.1").to_string(), "15.6.1");
        assert_eq!(OsVersion::read("beta"), OsVersion::read(""));
    }

    #[test]
    fn a_range_includes_its_minimum_and_not_its_end() {
        let from_14_before_26 = range(Platform::MacOS, Some("14"), Some("26"));
        for (version, expected) in [
            ("13.9", false),
            ("14.0", true),
            ("15.10", true),
            ("25.9", true),
            ("26.0", false),
            ("26", false),
        ] {
            assert_eq!(
                class(Platform::MacOS, version).is_in(&from_14_before_26),
                expected,
                "{version}"
            );
        }
        assert_eq!(
            describe(&[from_14_before_26, range(Platform::IPadOS, None, None)]),
            "macOS 14 to before 26, iPadOS"
        );
    }

    fn ranges() -> impl Strategy<Value = Vec<PlatformRange>> {
        let version = || prop::option::of(prop::sample::select(vec!["13", "14.2", "14.10", "15", "26"]));
        let modes = prop::sample::subsequence(
            vec![
                EnrollmentMode::Supervised,
                EnrollmentMode::Device,
                EnrollmentMode::User,
            ],
            0..3,
        );
        let name = prop::sample::select(vec![Platform::MacOS, Platform::IOS]);
        let one =
            (name, version(), version(), modes).prop_map(|(name, minimum, before, modes)| PlatformRange {
                enrollment_modes: modes,
                ..range(name, minimum, before)
            });
        prop::collection::vec(one, 0..4)
    }

    proptest! {
        #[test]
        fn what_is_in_both_is_what_each_includes(one in ranges(), other in ranges()) {
            let both = in_both(&one, &other);
            for platform in [Platform::MacOS, Platform::IOS, Platform::TvOS] {
                for version in ["12", "13", "14.2", "14.9", "14.10", "15", "25", "26", "27"] {
                    for mode in [EnrollmentMode::Supervised, EnrollmentMode::Device, EnrollmentMode::User] {
                        let class = DeviceClass { mode, ..class(platform, version) };
                        let expected = class.is_in_any(&one) && class.is_in_any(&other);
                        prop_assert_eq!(both.as_ref().is_some_and(|both| class.is_in_any(both)), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn an_ipad_is_no_iphone_and_a_mode_can_be_asked_for() {
        assert!(!class(Platform::IPadOS, "26").is_in(&range(Platform::IOS, None, None)));
        assert!(class(Platform::IPadOS, "26").is_in_any(&[]));
        let mut supervised = range(Platform::IOS, None, None);
        supervised.enrollment_modes = vec![EnrollmentMode::Device];
        assert!(!class(Platform::IOS, "26").is_in(&supervised));
    }

    #[test]
    fn declarative_management_begins_with_a_version_of_each_system() {
        for (platform, before, first) in [
            (Platform::IOS, "14.9", "15.0"),
            (Platform::IPadOS, "14.9", "15.0"),
            (Platform::MacOS, "12.7.6", "13.0"),
            (Platform::TvOS, "15.6", "16.0"),
            (Platform::VisionOS, "1.0", "1.1"),
            (Platform::WatchOS, "9.6", "10.0"),
        ] {
            assert!(
                !supports_declarations(platform, OsVersion::read(before)),
                "{platform} {before}"
            );
            assert!(
                supports_declarations(platform, OsVersion::read(first)),
                "{platform} {first}"
            );
        }
    }

    #[test]
    fn a_declaration_is_allowed_by_version_system_and_enrolment() {
        let allows = |suffix: &str, class: DeviceClass| {
            declaration_type(&format!("com.apple.{suffix}"))
                .unwrap()
                .allows(&class)
        };
        let passcode = "configuration.passcode.settings";
        assert!(allows(passcode, class(Platform::MacOS, "13.0")).is_ok());
        assert_eq!(
            allows(passcode, class(Platform::VisionOS, "1.2")).unwrap_err(),
            "com.apple.configuration.passcode.settings needs visionOS 2.0"
        );
        assert_eq!(
            allows(passcode, class(Platform::TvOS, "26")).unwrap_err(),
            "com.apple.configuration.passcode.settings does not exist on tvOS"
        );
        let by_user = DeviceClass {
            mode: EnrollmentMode::User,
            ..class(Platform::MacOS, "26.0")
        };
        assert_eq!(
            allows(passcode, by_user).unwrap_err(),
            "com.apple.configuration.passcode.settings is not allowed in this kind of enrolment (User)"
        );
        let by_device = DeviceClass {
            mode: EnrollmentMode::Device,
            ..class(Platform::IOS, "26.4")
        };
        assert!(allows("configuration.softwareupdate.settings", by_device).is_ok());
        assert!(allows("configuration.siri.settings", by_device).is_err());
        let mac = DeviceClass {
            mode: EnrollmentMode::Device,
            ..class(Platform::MacOS, "26.0")
        };
        assert!(
            allows("configuration.softwareupdate.settings", mac).is_ok(),
            "a Mac is supervised by enrolling"
        );
        assert!(allows("configuration.legacy", by_user).is_ok());
        let not_declarative = DeviceClass {
            declarative: false,
            ..class(Platform::MacOS, "26.0")
        };
        assert_eq!(
            allows(passcode, not_declarative).unwrap_err(),
            "the device is not managed by declarations"
        );
    }

    #[test]
    fn every_item_that_can_be_asked_for_has_its_place_among_the_facts() {
        for name in tables::item_names() {
            assert!(crate::compliance::facts::is_known_item(name), "{name}");
        }
    }

    #[test]
    fn the_tables_can_be_read() {
        assert!(declaration_types().count() > 50);
        for row in declaration_types() {
            assert!(row.name().starts_with("com.apple."));
            assert!(row.is_on_some_system(), "{}", row.name());
        }
        let items: Vec<_> = status_items(&class(Platform::MacOS, "14.0"))
            .map(|item| item.name)
            .collect();
        assert!(items.contains(&"diskmanagement.filevault.enabled"));
        assert!(!items.contains(&"passcode.is-present") && !items.contains(&"softwareupdate.device-id"));
        assert!(status_items(&class(Platform::IOS, "26")).any(|item| item.name == "passcode.is-compliant"));
    }
}
