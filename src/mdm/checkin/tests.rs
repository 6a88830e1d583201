//! What is read out of check-in messages, and what is not.

use super::*;
use crate::mdm::plist::read_dictionary;
use crate::mdm::sender::Channel;

fn read(entries: &str) -> Result<CheckIn, Error> {
    let xml = format!("<plist version=\"1.0\"><dict>{entries}</dict></plist>");
    CheckIn::read(&read_dictionary(xml.as_bytes()).unwrap())
}

const MAC: &str = "<key>MessageType</key><string>Authenticate</string>\
    <key>Topic</key><string>com.apple.mgmt.External.00000000-0000-4000-8000-000000000001</string>\
    <key>UDID</key><string>A0000000-0000-4000-8000-000000000001</string>\
    <key>SerialNumber</key><string>TESTSERIAL01</string><key>DeviceName</key><string>m1</string>\
    <key>Model</key><string>Mac16,10</string><key>ModelName</key><string>Mac mini</string>\
    <key>ProductName</key><string>Mac16,10</string><key>OSVersion</key><string>15.4</string>\
    <key>BuildVersion</key><string>24E263</string><key>Challenge</key><data>AAEC</data>";

#[test]
fn authenticate_says_what_the_device_is() {
    let Message::Authenticate(mac) = read(MAC).unwrap().message else {
        panic!("not read as Authenticate");
    };
    assert_eq!(mac.platform, Platform::MacOS);
    assert_eq!(mac.mode, EnrollmentMode::Device);
    assert_eq!(mac.serial_number.unwrap().as_str(), "TESTSERIAL01");
    assert_eq!((mac.os_version.as_str(), mac.declarative), ("15.4", true));
}

#[test]
fn a_personal_device_shows_no_hardware() {
    let CheckIn { sender, message } = read(
        "<key>MessageType</key><string>Authenticate</string><key>Topic</key><string>com.apple.mgmt.x</string>\
         <key>EnrollmentID</key><string>E0-1</string><key>SerialNumber</key><string>TESTSERIAL01</string>\
         <key>OSVersion</key><string>17.0</string>",
    )
    .unwrap();
    let Message::Authenticate(phone) = message else {
        panic!("not read as Authenticate");
    };
    assert!(sender.user_enrollment);
    assert_eq!(phone.mode, EnrollmentMode::User);
    assert_eq!(phone.serial_number, None);
    assert_eq!(phone.platform, Platform::IOS);
}

#[test]
fn a_push_address_must_be_whole() {
    let with = |rest: &str| {
        read(&format!(
            "<key>MessageType</key><string>TokenUpdate</string><key>UDID</key><string>A0-1</string>\
             <key>Topic</key><string>com.apple.mgmt.x</string>{rest}"
        ))
    };
    let whole =
        with("<key>Token</key><data>AAEC\n\tAw==</data><key>PushMagic</key><string>M-1</string>").unwrap();
    let Message::TokenUpdate(update) = whole.message else {
        panic!("not read as TokenUpdate");
    };
    assert_eq!(update.token.reveal(), &[0, 1, 2, 3]);
    assert_eq!(update.magic.reveal(), "M-1");
    for part in [
        "<key>Token</key><data>AAEC</data>",
        "<key>PushMagic</key><string>M-1</string>",
        "<key>Token</key><data></data><key>PushMagic</key><string>M-1</string>",
    ] {
        assert!(matches!(with(part), Err(Error::Missing { .. })), "{part}");
    }
}

#[test]
fn an_absent_or_empty_bootstrap_token_takes_it_back() {
    for (token, deletes) in [
        ("", true),
        ("<key>BootstrapToken</key><data></data>", true),
        ("<key>BootstrapToken</key><data>AAEC</data>", false),
    ] {
        let read = read(&format!(
            "<key>MessageType</key><string>SetBootstrapToken</string><key>UDID</key><string>A0-1</string>{token}"
        ));
        assert!(
            matches!(read.unwrap().message, Message::SetBootstrapToken { token } if token.is_none() == deletes),
            "{token}"
        );
    }
}

#[test]
fn a_user_channel_is_recognised() {
    let read = read(
        "<key>MessageType</key><string>UserAuthenticate</string><key>UDID</key><string>A0-1</string>\
         <key>UserID</key><string>B0-1</string>",
    )
    .unwrap();
    assert_eq!(read.sender.channel, Channel::User("B0-1".into()));
    assert!(matches!(
        read.message,
        Message::UserAuthenticate { answered: false }
    ));
}

#[test]
fn an_unknown_message_is_told_by_its_name() {
    let read = read("<key>MessageType</key><string>Sing</string><key>UDID</key><string>A0-1</string>");
    assert!(matches!(read.unwrap().message, Message::Unknown(name) if name == "Sing"));
}
