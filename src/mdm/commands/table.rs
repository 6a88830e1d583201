//! What Apple's schema says of each command: its keys, its answer, and who understands it.
//!
//! The facts are those of [`Schema::in_force`]; nothing of them is compiled into names.
//!
//! Specification: github.com/apple/device-management, `mdm/commands`.

use crate::policy::schema::{Schema, Types};

pub use crate::policy::schema::{
    AccessRights, Conditions, DISCRIMINATOR, Key, Keys, Kind, Mode, Since, System, TypeFacts, Version, item,
    key,
};

/// All commands, by `RequestType`.
#[must_use]
pub fn commands() -> &'static Types {
    &Schema::in_force().commands
}

/// One command, with its name as the table holds it.
#[must_use]
pub fn command(request_type: &str) -> Option<(&'static str, &'static TypeFacts)> {
    let (name, facts) = commands().get_key_value(request_type)?;
    Some((name, facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_takes_over_what_it_does_not_say_itself() {
        let (_, erase) = command("EraseDevice").unwrap();
        let plan = &erase.keys["PreserveDataPlan"];
        let ios = plan.on[&System::IOS].over(&erase.on[&System::IOS]);
        assert_eq!(ios.since, Some(Since::from("11.0".to_owned())));
        assert_eq!(ios.rights, Some(AccessRights(8)));
        assert_eq!(ios.user_enrollment, Some(Mode::Forbidden));
        assert_eq!(plan.on[&System::MacOS].since, Some(Since::Never));
    }

    #[test]
    fn what_the_next_system_removes_is_known() {
        let (_, updates) = command("ScheduleOSUpdate").unwrap();
        let removed = updates.on[&System::MacOS].removed.unwrap();
        assert_eq!(String::from(removed), "27.0");
    }

    #[test]
    fn items_are_told_apart_by_their_name() {
        let (_, settings) = command("Settings").unwrap();
        let kinds = &settings.keys["Settings"].keys;
        assert!(item(kinds, Some("Wallpaper")).unwrap().keys.contains_key("Image"));
        assert!(item(kinds, Some("Wallpapre")).is_none());
        assert!(item(kinds, None).is_none());
    }

    #[test]
    fn rights_are_named() {
        assert_eq!(
            AccessRights(8 | 1024).to_string(),
            "erase the device, query security information"
        );
        assert!(AccessRights::ALL.include(AccessRights(8)) && !AccessRights(4).include(AccessRights(8)));
    }
}
