//! What a device's model tells: its platform.

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
}
