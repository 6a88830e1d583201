//! The commands that end Setup Assistant.

use super::Command;
use crate::ids::EnrollmentId;

/// The command that lets a device, or a user of a Shared iPad, go on from Setup Assistant.
#[must_use]
pub fn configured(enrollment: &EnrollmentId) -> Command {
    if enrollment.is_user() {
        Command::UserConfigured
    } else {
        Command::DeviceConfigured
    }
}

/// Whether a command of this `RequestType` ends Setup Assistant.
#[must_use]
pub fn ends_setup(request_type: &str) -> bool {
    matches!(request_type, "DeviceConfigured" | "UserConfigured")
}
