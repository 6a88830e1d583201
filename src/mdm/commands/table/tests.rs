use std::path::Path;

use super::*;

/// Says where a copy of Apple's repository is; `PROVOST_TEST_WRITE` has the table written again.
const SCHEMA: &str = "PROVOST_APPLE_SCHEMA";

#[test]
fn the_table_says_what_the_schema_says() {
    let Some(schema) = std::env::var_os(SCHEMA) else {
        eprintln!("skipped: {SCHEMA} does not name a copy of github.com/apple/device-management");
        return;
    };
    let folder = Path::new(&schema).join("mdm/commands");
    let expected = generate::write(&generate::read(&folder));
    if std::env::var_os("PROVOST_TEST_WRITE").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mdm/commands/table/commands.json");
        std::fs::write(file, expected).unwrap();
    } else {
        assert!(
            COMMANDS == expected,
            "the table is stale: run `make command-table SCHEMA=…`"
        );
    }
}

#[test]
fn the_table_can_be_read_and_is_written_as_it_was_read() {
    let table: BTreeMap<String, CommandFacts> = serde_json::from_str(COMMANDS).unwrap();
    assert_eq!(table.len(), 66);
    assert!(generate::write(&table) == COMMANDS);
}

#[test]
fn a_key_takes_over_what_it_does_not_say_itself() {
    let (_, erase) = command("EraseDevice").unwrap();
    let plan = &erase.request["PreserveDataPlan"];
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
    let item = &settings.request["Settings"];
    assert!(item.item(Some("Wallpaper")).unwrap().keys.contains_key("Image"));
    assert!(item.item(Some("Wallpapre")).is_none());
    assert!(item.item(None).is_none());
    assert!(item.kinds().count() >= 20);
}

#[test]
fn rights_are_named() {
    assert_eq!(
        AccessRights(8 | 1024).to_string(),
        "erase the device, query security information"
    );
    assert!(AccessRights::ALL.include(AccessRights(8)) && !AccessRights(4).include(AccessRights(8)));
}
