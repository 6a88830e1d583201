//! The classes of devices that a policy is for, where no fleet says which there are: for each platform that it names one class for every version at
//! which something begins or ends.

use std::collections::BTreeSet;

use crate::api::common::{EnrollmentMode, Platform, PlatformRange};
use crate::policy::compile::AssignmentInput;
use crate::policy::platform::{
    DeviceClass, Lacks, OsVersion, declaration_type, declarations_since, supports_declarations,
};
use crate::policy::schema::Schema;

/// The systems that a policy is taken to be for where it names none.
const USUAL: [Platform; 3] = [Platform::MacOS, Platform::IOS, Platform::IPadOS];
/// The kinds of management, in the order in which they are told.
const MODES: [EnrollmentMode; 3] = [
    EnrollmentMode::Supervised,
    EnrollmentMode::Device,
    EnrollmentMode::User,
];
/// The most versions of one platform that are looked at: the newest.
const MAX_VERSIONS: usize = 12;

/// The classes that assignments could concern, by platform, version and mode.
#[must_use]
pub fn classes_concerned<'a>(assignments: impl IntoIterator<Item = &'a AssignmentInput>) -> Vec<DeviceClass> {
    let mut policy = Policy::default();
    for assignment in assignments {
        policy.take(assignment);
    }
    let platforms = if policy.platforms.is_empty() || policy.is_for_all {
        policy.platforms.iter().copied().chain(USUAL).collect()
    } else {
        policy.platforms.clone()
    };
    platforms
        .into_iter()
        .flat_map(|platform| policy.classes(platform))
        .collect()
}

/// What of a policy decides who it is for.
#[derive(Default)]
struct Policy<'a> {
    platforms: BTreeSet<Platform>,
    /// Whether some of it is for every platform.
    is_for_all: bool,
    ranges: Vec<&'a PlatformRange>,
    /// The ranges of baselines and profiles as a whole: the outermost ones.
    outer: Vec<&'a [PlatformRange]>,
    declarations: BTreeSet<&'a str>,
}

impl<'a> Policy<'a> {
    fn take(&mut self, assignment: &'a AssignmentInput) {
        for baseline in &assignment.baselines {
            let spec = &baseline.baseline.spec;
            self.range(&spec.platforms);
            self.outer.push(&spec.platforms);
            let rules_name_platforms = spec.rules.iter().all(|rule| !rule.platforms.is_empty());
            self.is_for_all |= spec.platforms.is_empty() && !rules_name_platforms;
            for rule in &spec.rules {
                self.range(&rule.platforms);
                for enforcement in &rule.enforce {
                    self.range(&enforcement.platforms);
                    self.declarations
                        .extend(enforcement.declaration.iter().map(|body| body.type_.as_str()));
                }
            }
        }
        for profile in &assignment.profiles {
            self.range(&profile.spec.platforms);
            self.outer.push(&profile.spec.platforms);
            self.is_for_all |= profile.spec.platforms.is_empty();
            let declarations = profile.spec.declarations.iter();
            self.declarations
                .extend(declarations.map(|body| body.type_.as_str()));
        }
    }

    fn range(&mut self, ranges: &'a [PlatformRange]) {
        self.platforms.extend(ranges.iter().map(|range| range.name));
        self.ranges.extend(ranges);
    }

    fn classes(&self, platform: Platform) -> Vec<DeviceClass> {
        let versions = self.versions(platform);
        let newest = versions.iter().rev().take(MAX_VERSIONS).rev();
        newest
            .flat_map(|version| MODES.map(|mode| class(platform, *version, mode)))
            .filter(|class| self.outer.iter().any(|ranges| class.is_in_any(ranges)))
            .collect()
    }

    /// The versions at which something begins or ends, and the newest there is.
    fn versions(&self, platform: Platform) -> BTreeSet<OsVersion> {
        let mut versions: BTreeSet<OsVersion> = self
            .ranges
            .iter()
            .filter(|range| range.name == platform)
            .flat_map(|range| [&range.minimum_version, &range.before_version])
            .flatten()
            .map(|version| OsVersion::read(version))
            .collect();
        versions.extend(declarations_since(platform));
        versions.extend(
            self.declarations
                .iter()
                .filter_map(|name| declaration_type(name)?.since(platform)),
        );
        versions.extend(
            Schema::in_force()
                .newest(platform.into())
                .map(|version| version.0),
        );
        versions
    }
}

fn class(platform: Platform, os_version: OsVersion, mode: EnrollmentMode) -> DeviceClass {
    DeviceClass {
        platform,
        os_version,
        mode,
        declarative: supports_declarations(platform, os_version),
        lacks: Lacks::default(),
    }
}
