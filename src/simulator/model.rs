//! What a virtual device is: its hardware, its system and the names it goes by.

use super::seed::Seed;

/// The kinds of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Family {
    /// An iPhone with iOS.
    IPhone,
    /// An iPad with iPadOS.
    IPad,
    /// A Mac with macOS.
    Mac,
}

/// A release of a system. Numbers are for comparisons: 15.7.2 has major 15 and minor 7.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) version: &'static str,
    pub(super) build: &'static str,
    pub(super) major: u16,
    pub(super) minor: u16,
    pub(super) marketing_name: &'static str,
}

const fn release(
    version: &'static str,
    build: &'static str,
    major: u16,
    minor: u16,
    marketing_name: &'static str,
) -> Release {
    Release {
        version,
        build,
        major,
        minor,
        marketing_name,
    }
}

/// Product identifier, model name, model number.
type Product = (&'static str, &'static str, &'static str);

const IPHONES: &[Product] = &[
    ("iPhone17,3", "iPhone 16", "MYEV3"),
    ("iPhone16,1", "iPhone 15 Pro", "MTUW3"),
    ("iPhone15,4", "iPhone 15", "MTP03"),
];
const IPADS: &[Product] = &[
    ("iPad16,3", "iPad Pro", "MVV83"),
    ("iPad14,8", "iPad Air", "MUWC3"),
];
const MACS: &[Product] = &[
    ("Mac16,10", "Mac mini", "MU9D3"),
    ("Mac16,12", "MacBook Air", "MW0Y3"),
    ("Mac16,8", "MacBook Pro", "MX2H3"),
    ("Mac16,3", "iMac", "MWUC3"),
];
const CLASSIC_IPHONES: &[Product] = &[("iPhone10,4", "iPhone 8", "MQ6K2")];
const CLASSIC_IPADS: &[Product] = &[("iPad8,1", "iPad Pro", "MTXN2")];
const CLASSIC_MACS: &[Product] = &[("MacBookPro15,1", "MacBook Pro", "MR932")];

const IOS: &[Release] = &[
    release("26.1", "23B85", 26, 1, "iOS 26"),
    release("18.7.2", "22H124", 18, 7, "iOS 18"),
];
const IPADOS: &[Release] = &[
    release("26.1", "23B85", 26, 1, "iPadOS 26"),
    release("18.7.2", "22H124", 18, 7, "iPadOS 18"),
];
const MACOS: &[Release] = &[
    release("26.1", "25B78", 26, 1, "macOS Tahoe"),
    release("15.7.2", "24G325", 15, 7, "macOS Sequoia"),
];
const CLASSIC_IOS: &[Release] = &[release("14.8.1", "18H107", 14, 8, "iOS 14")];
const CLASSIC_IPADOS: &[Release] = &[release("14.8.1", "18H107", 14, 8, "iPadOS 14")];
const CLASSIC_MACOS: &[Release] = &[release("12.7.6", "21H1320", 12, 7, "macOS Monterey")];

/// Letters and digits that Apple uses in serial numbers.
const SERIAL_LETTERS: &[char] = &[
    'C', 'D', 'F', 'G', 'H', 'J', 'K', 'L', 'M', 'N', 'P', 'Q', 'R', 'T', 'V', 'W', 'X', 'Y', '0', '1', '2',
    '3', '4', '5', '6', '7', '9',
];

/// One device's unchanging part.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) udid: String,
    pub(super) serial: String,
    pub(super) name: String,
    pub(super) family: Family,
    pub(super) product: &'static str,
    pub(super) model_name: &'static str,
    pub(super) model_number: &'static str,
    pub(super) release: &'static Release,
    /// The user of a Mac who is managed, if there is one: their `UserID`.
    pub(super) user: Option<String>,
}

/// Apart from the choices that draw a device, so that who has a user changes nothing else about it.
const USERS: u64 = 1 << 41;

impl Identity {
    /// Device `index` of the fleet with this seed; `classic_percent` of them have a system without declarative
    /// management.
    #[must_use]
    pub(super) fn draw(seed: u64, index: u64, classic_percent: u8) -> Self {
        let mut seed = Seed::new(seed, index);
        let family = match seed.below(10) {
            0..=4 => Family::Mac,
            5..=7 => Family::IPhone,
            _ => Family::IPad,
        };
        let classic = seed.chance(classic_percent);
        let (products, releases) = match (family, classic) {
            (Family::IPhone, false) => (IPHONES, IOS),
            (Family::IPad, false) => (IPADS, IPADOS),
            (Family::Mac, false) => (MACS, MACOS),
            (Family::IPhone, true) => (CLASSIC_IPHONES, CLASSIC_IOS),
            (Family::IPad, true) => (CLASSIC_IPADS, CLASSIC_IPADOS),
            (Family::Mac, true) => (CLASSIC_MACS, CLASSIC_MACOS),
        };
        let (product, model_name, model_number) = seed.pick(products).copied().unwrap_or_default();
        let release = seed.pick(releases).unwrap_or(&FALLBACK);
        let udid = match family {
            Family::Mac => seed.uuid().to_string().to_uppercase(),
            Family::IPhone | Family::IPad => {
                format!("0000{:04X}-{:016X}", 0x8110 + seed.below(0x30), seed.next())
            }
        };
        let serial = (0..10).filter_map(|_| seed.pick(SERIAL_LETTERS)).collect();
        Self {
            udid,
            serial,
            name: format!("{model_name} {index}"),
            family,
            product,
            model_name,
            model_number,
            release,
            user: None,
        }
    }

    /// Lets `percent` of a hundred Macs have a managed user.
    #[must_use]
    pub(super) fn with_user(mut self, seed: u64, index: u64, percent: u8) -> Self {
        let mut seed = Seed::new(seed ^ USERS, index);
        if self.family == Family::Mac && seed.chance(percent) {
            self.user = Some(seed.uuid().to_string().to_uppercase());
        }
        self
    }

    /// Whether the system can be managed by declarations: iOS 15, macOS 13 and later.
    pub(super) const fn is_declarative(&self) -> bool {
        self.is_at_least((13, 0), (15, 0))
    }

    /// Whether the system is at least this macOS, or this iOS.
    pub(super) const fn is_at_least(&self, macos: (u16, u16), ios: (u16, u16)) -> bool {
        let (major, minor) = if matches!(self.family, Family::Mac) {
            macos
        } else {
            ios
        };
        self.release.major > major || (self.release.major == major && self.release.minor >= minor)
    }

    /// The system's name, as in `device.operating-system.family`.
    pub(super) const fn system(&self) -> &'static str {
        match self.family {
            Family::IPhone => "iOS",
            Family::IPad => "iPadOS",
            Family::Mac => "macOS",
        }
    }

    /// The device's kind, as in `device.model.family`.
    pub(super) const fn kind(&self) -> &'static str {
        match self.family {
            Family::IPhone => "iPhone",
            Family::IPad => "iPad",
            Family::Mac => "Mac",
        }
    }
}

/// For an empty catalogue, which does not occur.
const FALLBACK: Release = release("26.1", "25B78", 26, 1, "macOS Tahoe");

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Some device of this family; an old one if `classic_percent` is 100.
    pub(in crate::simulator) fn some(family: Family, classic_percent: u8) -> Identity {
        let mut fleet = (0..1000).map(|index| Identity::draw(1, index, classic_percent));
        fleet.find(|identity| identity.family == family).unwrap()
    }

    #[test]
    fn a_fleet_is_the_same_each_time_and_all_devices_differ() {
        let fleet = |seed| -> Vec<Identity> { (0..2000).map(|n| Identity::draw(seed, n, 10)).collect() };
        let (first, again) = (fleet(7), fleet(7));
        assert!(
            first
                .iter()
                .zip(&again)
                .all(|(a, b)| a.udid == b.udid && a.product == b.product)
        );
        assert_eq!(
            first
                .iter()
                .map(|device| &device.udid)
                .collect::<BTreeSet<_>>()
                .len(),
            2000
        );
        assert_eq!(
            first
                .iter()
                .map(|device| &device.serial)
                .collect::<BTreeSet<_>>()
                .len(),
            2000
        );
        assert_ne!(fleet(8)[0].udid, first[0].udid);
    }

    #[test]
    fn every_family_occurs_old_and_new() {
        let fleet: Vec<Identity> = (0..500).map(|n| Identity::draw(1, n, 10)).collect();
        for family in [Family::IPhone, Family::IPad, Family::Mac] {
            for declarative in [true, false] {
                assert!(
                    fleet
                        .iter()
                        .any(|d| d.family == family && d.is_declarative() == declarative)
                );
            }
        }
        let old = fleet.iter().filter(|device| !device.is_declarative()).count();
        assert!((25..80).contains(&old), "{old}");
        assert!((0..500).all(|n| Identity::draw(1, n, 0).is_declarative()));
    }

    #[test]
    fn versions_compare_by_number() {
        let mac = Identity {
            release: &CLASSIC_MACOS[0],
            family: Family::Mac,
            ..Identity::draw(1, 1, 0)
        };
        assert!(mac.is_at_least((12, 7), (99, 0)) && !mac.is_at_least((12, 8), (1, 0)));
        assert!(!mac.is_at_least((13, 0), (1, 0)) && mac.is_at_least((9, 9), (99, 0)));
    }
}
