//! Stories of lines and files.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::common::{EnrollmentMode, Platform};
use crate::ids::{Digest, EnrollmentId, Namespace};

const DIGEST: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A Mac of which everything is known.
fn mac() -> Value {
    json!({
        "udid": "A0000000-0000-4000-8000-000000000001", "serialNumber": "C02XG0THJGH5",
        "topic": "com.apple.mgmt.External.00000000-0000-4000-8000-000000000001",
        "pushToken": "AAECAwQFBgc=", "pushMagic": "11111111-2222-4333-8444-555555555555",
        "bootstrapToken": "c2VjcmV0", "certificateSha256": DIGEST, "osVersion": "15.4", "productName": "Mac16,10",
        "supervised": true, "namespace": "studio", "labels": { "team": "design" },
    })
}

fn with(field: &str, value: impl Into<Value>) -> Value {
    let mut line = mac();
    line[field] = value.into();
    line
}

fn without(fields: &[&str]) -> Value {
    let mut line = mac();
    for field in fields {
        line.as_object_mut().unwrap().remove(*field);
    }
    line
}

fn mistake(line: &Value) -> String {
    Record::read(&line.to_string()).unwrap_err().to_string()
}

fn fleet() -> Namespace {
    Namespace::parse("default").unwrap()
}

#[test]
fn a_line_says_all_that_the_store_wants_to_know() {
    let arrival = Record::read(&mac().to_string()).unwrap().arrival(&fleet());
    assert_eq!(
        arrival.enrollment.as_str(),
        "A0000000-0000-4000-8000-000000000001"
    );
    assert_eq!(
        (arrival.platform, arrival.mode),
        (Platform::MacOS, EnrollmentMode::Supervised)
    );
    assert_eq!(
        (arrival.namespace.as_str(), arrival.declarative),
        ("studio", true)
    );
    assert_eq!(arrival.certificate, Digest::from_hex(DIGEST));
    assert_eq!(arrival.push.unwrap().token.reveal(), &[0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(arrival.bootstrap_token.unwrap().reveal(), b"secret");
    assert!(arrival.unlock_token.is_none());
}

#[test]
fn what_a_line_leaves_out_has_a_meaning() {
    let least = json!({ "udid": "A0-1", "certificateSha256": DIGEST, "labels": null });
    let arrival = Record::read(&least.to_string()).unwrap().arrival(&fleet());
    assert_eq!(
        (arrival.platform, arrival.mode),
        (Platform::IOS, EnrollmentMode::Device)
    );
    assert_eq!(
        (arrival.namespace.as_str(), arrival.declarative),
        ("default", false)
    );
    assert!(arrival.push.is_none());
    let unnamed = without(&["productName"]);
    let arrival = Record::read(&unnamed.to_string()).unwrap().arrival(&fleet());
    assert_eq!(
        arrival.platform,
        Platform::MacOS,
        "only Macs have bootstrap tokens"
    );
    // A topic alone is what an export without tokens has.
    assert!(Record::read(&without(&["pushToken", "pushMagic"]).to_string()).is_ok());
}

#[test]
fn a_certificate_may_be_given_whole_or_by_its_digest_however_that_is_written() {
    let made = rcgen::generate_simple_self_signed(["device".to_owned()])
        .unwrap()
        .cert;
    let digest = Digest::of(made.der());
    let mut line = without(&["certificateSha256"]);
    line["certificate"] = made.pem().into();
    assert_eq!(Record::read(&line.to_string()).unwrap().certificate, Some(digest));
    line["certificateSha256"] = digest.to_string().into();
    assert_eq!(Record::read(&line.to_string()).unwrap().certificate, Some(digest));
    line["certificateSha256"] = DIGEST.into();
    assert!(mistake(&line).contains("is not the digest"), "{}", mistake(&line));
    let pairs: Vec<String> = DIGEST
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8(pair.into()).unwrap())
        .collect();
    let colons = with("certificateSha256", pairs.join(":").to_uppercase());
    assert_eq!(
        Record::read(&colons.to_string()).unwrap().certificate,
        Digest::from_hex(DIGEST)
    );
}

#[test]
fn a_personal_device_and_a_user_have_what_is_theirs_and_no_more() {
    let personal =
        json!({ "enrollmentId": "E0-1", "certificateSha256": DIGEST, "productName": "iPhone15,2" });
    let record = Record::read(&personal.to_string()).unwrap();
    assert_eq!(record.arrival(&fleet()).mode, EnrollmentMode::User);
    for field in ["serialNumber", "unlockToken", "bootstrapToken"] {
        let mut line = personal.clone();
        line[field] = "AAAA".into();
        assert!(mistake(&line).starts_with(&format!("{field}: a personal device")));
    }
    let user = json!({ "udid": "A0-1:m@example.com", "topic": "t", "pushToken": "AAAA", "pushMagic": "m" });
    let record = Record::read(&user.to_string()).unwrap();
    assert!(record.id.is_user() && record.certificate.is_none());
    let mut line = user;
    line["osVersion"] = "15".into();
    assert!(mistake(&line).starts_with("osVersion: it belongs on the line of the device"));
}

#[test]
fn every_mistake_names_its_field_and_repeats_no_value() {
    const SECRET: &str = "hunter2!";
    let told = |line: Value| mistake(&line);
    let list = [
        told(with("serialNum", "X")),
        told(with("deviceColour", "X")),
        told(with("enrollmentId", "E0-1")),
        told(without(&["udid"])),
        told(with("udid", "A/1")),
        told(with("serialNumber", 5)),
        told(with("pushToken", SECRET)),
        told(with("pushToken", "")),
        told(with("pushToken", DIGEST)),
        told(without(&["pushMagic"])),
        told(without(&["pushToken"])),
        told(without(&["topic"])),
        told(with("bootstrapToken", SECRET)),
        told(with("certificate", "nonsense")),
        told(with("certificateSha256", "12")),
        told(without(&["certificateSha256"])),
        told(with("supervised", "yes")),
        told(with("namespace", "Studio")),
        told(with("labels", json!({ "team": 5 }))),
        told(with("labels", json!({ "a b": "x" }))),
        told(with("osVersion", "")),
    ];
    insta::assert_snapshot!(list.join("\n"), @r#"
    serialNum: there is no such field; did you mean `serialNumber`?
    deviceColour: there is no such field
    enrollmentId: a device has either this or `udid`
    it has neither `udid` nor `enrollmentId`
    udid: enrolment id may not hold the character '/'
    serialNumber: it has to be a string
    pushToken: it is not base64 (with `+`, `/` and padding)
    pushToken: it is empty; leave the field out where there is none
    pushToken: it looks like hexadecimal digits; it has to be base64
    pushMagic: it is missing; `pushToken` is of no use without it
    pushToken: it is missing; `pushMagic` is of no use without it
    topic: it is missing; a `pushToken` is good for one topic
    bootstrapToken: it is not base64 (with `+`, `/` and padding)
    certificate: there is no certificate in it; it has to be PEM (-----BEGIN CERTIFICATE-----)
    certificateSha256: a SHA-256 digest has 64 hexadecimal digits
    it has neither `certificate` nor `certificateSha256`, by which the device is known
    supervised: it has to be true or false
    namespace: namespace may not hold the character 'S'
    labels: it has to be an object of strings
    labels: "a b" is not a key of a label: at most 63 letters, digits, '-', '_' and '.', with a letter or digit at either end
    osVersion: it has to have 1 to 128 bytes, and no control characters
    "#);
    for line in [
        format!("{{\"pushMagic\": \"{SECRET}\""),
        format!("\"{SECRET}\""),
        format!("{{\"pushMagic\": \"{SECRET}\", \"pushMagic\": \"{SECRET}\"}}"),
        format!("[\"{SECRET}\"]"),
    ] {
        let told = Record::read(&line).unwrap_err().to_string();
        assert!(!told.contains("hunter"), "{told}");
    }
    assert!(!list.join("").contains("hunter"));
}

#[test]
fn a_file_is_read_to_its_end_whatever_is_in_it() {
    let long = format!("{{\"udid\": \"{}\"}}", "x".repeat(LINE_LIMIT));
    let user = json!({ "udid": "A0000000-0000-4000-8000-000000000001:u" });
    let other = with("udid", "B0-1");
    let twice = with("udid", "a0000000-0000-4000-8000-000000000001");
    let file = [
        user.to_string().into_bytes(),
        Vec::new(),
        mac().to_string().into_bytes(),
        long.into_bytes(),
        other.to_string().into_bytes(),
        b"\xff".to_vec(),
        twice.to_string().into_bytes(),
        json!({ "udid": "C0-1", "certificateSha256": "1".repeat(64) })
            .to_string()
            .into_bytes(),
    ]
    .join(&b'\n');
    let intake = Intake::read(file.as_slice()).unwrap();
    assert_eq!(intake.devices().len(), 2);
    let (records, mistakes) = intake.finish();
    let lines: Vec<u64> = records.iter().map(|numbered| numbered.line).collect();
    assert_eq!(lines, [3, 8, 1], "users come last");
    let told: Vec<String> = mistakes
        .kept
        .iter()
        .map(|(line, mistake)| format!("{line}: {mistake}"))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    4: it is longer than the 524288 bytes allowed
    5: certificateSha256: line 3 has the same certificate; each belongs to one device
    6: it is not UTF-8
    7: udid: line 3 has it already
    "#);
}

#[test]
fn the_mistakes_of_a_wrong_file_fill_no_memory() {
    let intake = Intake::read("x\n".repeat(5_000).as_bytes()).unwrap();
    let (records, mistakes) = intake.finish();
    assert_eq!(
        (records.len(), mistakes.count, mistakes.kept.len()),
        (0, 5_000, 1_000)
    );
}

#[test]
fn every_field_is_documented() {
    let guide = include_str!("../../../docs/moving-in.md");
    for field in FIELDS {
        assert!(guide.contains(&format!("| `{field}`")), "{field}");
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_as_it_was(
        udid in "[A-F0-9-]{1,36}", user in proptest::option::of("[^\u{0}-\u{1f}\u{7f}-\u{9f}]{1,20}"), personal: bool, supervised: Option<bool>,
        token in proptest::collection::vec(any::<u8>(), 1..40), magic in "[!-~]{1,40}", os in proptest::option::of("[0-9.]{1,8}"),
    ) {
        let device = EnrollmentId::parse(&udid).unwrap();
        let id = match &user {
            Some(user) => EnrollmentId::of_user(&device, user).unwrap(),
            None => device,
        };
        let mut line = json!({ "topic": "t", "pushMagic": magic });
        line["pushToken"] = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &token).into();
        line[if personal { "enrollmentId" } else { "udid" }] = id.as_str().into();
        if user.is_none() {
            line["certificateSha256"] = DIGEST.into();
            line["osVersion"] = os.into();
            line["supervised"] = supervised.filter(|_| !personal).into();
        }
        let record = Record::read(&line.to_string()).unwrap();
        let written = record.line();
        let again = Record::read(written.reveal()).unwrap();
        let rewritten = again.line();
        prop_assert_eq!(written.reveal(), rewritten.reveal());
        let (one, other) = (record.arrival(&fleet()), again.arrival(&fleet()));
        let tokens = [&one, &other].map(|arrival| arrival.push.as_ref().unwrap().token.reveal().clone());
        prop_assert_eq!(&tokens[0], &tokens[1]);
        prop_assert_eq!((one.enrollment, one.mode, one.os_version), (other.enrollment, other.mode, other.os_version));
    }

    #[test]
    fn no_text_makes_it_panic(text: String) {
        let _ = Record::read(&text);
        let _ = Intake::read(text.as_bytes()).unwrap().finish();
    }
}
