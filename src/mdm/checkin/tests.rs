//! What is read out of check-in messages, and what is not.

use proptest::prelude::*;

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

#[test]
fn absent_false_and_empty_are_three_things() {
    let update = |rest: &str| {
        let message = read(&format!(
            "<key>MessageType</key><string>TokenUpdate</string><key>UDID</key><string>A0-1</string>\
             <key>Topic</key><string>com.apple.mgmt.x</string><key>Token</key><data>AAEC</data>\
             <key>PushMagic</key><string>M-1</string>{rest}"
        ));
        let Message::TokenUpdate(update) = message.unwrap().message else {
            panic!("not read as TokenUpdate");
        };
        let unlock = update.unlock_token.map(|token| token.reveal().clone());
        (update.awaiting_configuration, unlock)
    };
    assert_eq!(update(""), (None, None));
    let key = "<key>AwaitingConfiguration</key>";
    assert_eq!(update(&format!("{key}<false/>")), (Some(false), None));
    assert_eq!(update(&format!("{key}<true/>")), (Some(true), None));
    assert_eq!(update(&format!("{key}<string>true</string>")), (None, None));
    let key = "<key>UnlockToken</key>";
    assert_eq!(update(&format!("{key}<data></data>")), (None, None));
    assert_eq!(
        update(&format!("{key}<data>AAEC</data>")),
        (None, Some(vec![0, 1, 2]))
    );
}

#[test]
fn nonsense_is_not_taken_for_the_order_to_delete_a_bootstrap_token() {
    for nonsense in ["<string></string>", "<false/>", "<array/>"] {
        let message = format!(
            "<key>MessageType</key><string>SetBootstrapToken</string><key>UDID</key><string>A0-1</string>\
             <key>BootstrapToken</key>{nonsense}"
        );
        assert!(matches!(read(&message), Err(Error::Missing { .. })), "{nonsense}");
    }
}

#[test]
fn a_request_for_a_token_names_its_service() {
    let request = |rest: &str| {
        read(&format!(
            "<key>MessageType</key><string>GetToken</string><key>UDID</key><string>A0-1</string>{rest}"
        ))
    };
    assert!(matches!(request(""), Err(Error::Missing { .. })));
    let read = request(
        "<key>TokenServiceType</key><string>com.apple.watch.pairing</string><key>TokenParameters</key><dict>\
         <key>SecurityToken</key><string>S-1</string><key>PhoneUDID</key><string>P-1</string></dict>",
    );
    let Message::GetToken(request) = read.unwrap().message else {
        panic!("not read as GetToken");
    };
    let expected = TokenRequest {
        service: "com.apple.watch.pairing".into(),
        security_token: Some("S-1".into()),
        phone_udid: Some("P-1".into()),
        watch_udid: None,
    };
    assert_eq!(request, expected);
}

/// Values as messages hold them, right and wrong.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~ü東]{0,20}".prop_map(Value::from),
        Just(Value::from("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF")),
        Just(Value::from("com.apple.mgmt.External.x")),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Data),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        proptest::collection::vec(inner, 0..3).prop_map(Value::Array)
    })
}

const KINDS: [&str; 9] = [
    "Authenticate",
    "TokenUpdate",
    "CheckOut",
    "UserAuthenticate",
    "SetBootstrapToken",
    "GetBootstrapToken",
    "GetToken",
    "DeclarativeManagement",
    "Sing",
];

const KEYS: [&str; 17] = [
    "UDID",
    "UserID",
    "UserShortName",
    "EnrollmentID",
    "EnrollmentUserID",
    "Topic",
    "Token",
    "PushMagic",
    "UnlockToken",
    "AwaitingConfiguration",
    "BootstrapToken",
    "DigestResponse",
    "TokenServiceType",
    "SerialNumber",
    "OSVersion",
    "Endpoint",
    "Data",
];

fn messages() -> impl Strategy<Value = Dictionary> {
    let entries = proptest::collection::vec((proptest::sample::select(&KEYS[..]), values()), 0..10);
    (proptest::sample::select(&KINDS[..]), entries, any::<bool>()).prop_map(|(kind, entries, known)| {
        let mut message: Dictionary = entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        message.insert("MessageType".to_owned(), kind.into());
        if known {
            message.insert("UDID".to_owned(), "A0-1".into());
        }
        message
    })
}

proptest::proptest! {
    #[test]
    fn whatever_a_message_holds_its_sender_is_who_it_names(message in messages()) {
        let Ok(CheckIn { sender, .. }) = CheckIn::read(&message) else { return Ok(()) };
        let key = if message.contains_key("UDID") { "UDID" } else { "EnrollmentID" };
        prop_assert_eq!(Some(sender.enrollment.as_str()), text(&message, key));
        prop_assert_eq!(&sender.id.device(), &sender.enrollment);
        prop_assert_eq!(sender.id.is_user(), !sender.is_device());
        prop_assert_eq!(sender.user_enrollment, key == "EnrollmentID");
        // It is found again by what the store keeps.
        prop_assert_eq!(crate::ids::EnrollmentId::parse_with_user(sender.id.as_str()), Ok(sender.id));
    }

    #[test]
    fn a_message_says_the_same_in_xml_and_in_binary(message in messages()) {
        let mut binary = Vec::new();
        Value::Dictionary(message.clone()).to_writer_binary(&mut binary).unwrap();
        let mut xml = Vec::new();
        Value::Dictionary(message).to_writer_xml(&mut xml).unwrap();
        let (xml, binary) = (read_dictionary(&xml).unwrap(), read_dictionary(&binary).unwrap());
        prop_assert_eq!(format!("{:?}", CheckIn::read(&xml)), format!("{:?}", CheckIn::read(&binary)));
    }
}
