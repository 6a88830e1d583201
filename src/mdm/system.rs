//! What a device's model and operating-system version tell: its platform, and whether declarations can manage it.

use crate::api::common::Platform;

/// The platform of a model identifier (`ProductName`, such as `Mac16,10` or `iPhone15,2`). None: it is no model that is known.
#[must_use]
pub fn platform_of(model: &str) -> Option<Platform> {
    const FAMILIES: [(&str, Platform); 10] = [
        ("iPhone", Platform::IOS),
        ("iPod", Platform::IOS),
        ("iPad", Platform::IPadOS),
        ("AppleTV", Platform::TvOS),
        ("RealityDevice", Platform::VisionOS),
        ("Watch", Platform::WatchOS),
        ("Mac", Platform::MacOS),
        ("iMac", Platform::MacOS),
        ("VirtualMac", Platform::MacOS),
        ("Xserve", Platform::MacOS),
    ];
    FAMILIES
        .iter()
        .find(|(prefix, _)| model.starts_with(prefix))
        .map(|(_, platform)| *platform)
}

/// Whether a system of `version` can be managed by declarations. An unknown version cannot.
#[must_use]
pub fn is_declarative(platform: Platform, version: &str) -> bool {
    let mut parts = version.split('.').map(|part| part.trim().parse::<u32>().ok());
    let Some(major) = parts.next().flatten() else {
        return false;
    };
    let minor = parts.next().flatten().unwrap_or(0);
    let first = match platform {
        Platform::IOS | Platform::IPadOS => (15, 0),
        Platform::MacOS => (13, 0),
        Platform::TvOS => (16, 0),
        Platform::VisionOS => (1, 1),
        Platform::WatchOS => (10, 0),
    };
    (major, minor) >= first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_names_its_platform() {
        for (model, platform) in [
            ("iPhone15,2", Platform::IOS),
            ("iPad13,4", Platform::IPadOS),
            ("Mac16,10", Platform::MacOS),
            ("MacBookPro18,3", Platform::MacOS),
            ("iMac21,1", Platform::MacOS),
            ("VirtualMac2,1", Platform::MacOS),
            ("AppleTV14,1", Platform::TvOS),
            ("RealityDevice14,1", Platform::VisionOS),
            ("Watch7,1", Platform::WatchOS),
        ] {
            assert_eq!(platform_of(model), Some(platform), "{model}");
        }
        assert_eq!(platform_of("Toaster1,1"), None);
    }

    #[test]
    fn declarations_begin_with_a_version_of_each_system() {
        for (platform, last_without, first_with) in [
            (Platform::IOS, "14.8", "15.0"),
            (Platform::IPadOS, "14.8.1", "15"),
            (Platform::MacOS, "12.7.6", "13.0"),
            (Platform::TvOS, "15.6", "16.0"),
            (Platform::VisionOS, "1.0.3", "1.1"),
            (Platform::WatchOS, "9.6", "10.0"),
        ] {
            assert!(
                !is_declarative(platform, last_without),
                "{platform} {last_without}"
            );
            assert!(is_declarative(platform, first_with), "{platform} {first_with}");
        }
        assert!(!is_declarative(Platform::MacOS, ""));
        assert!(is_declarative(Platform::MacOS, "100.1 (a)"));
    }
}
