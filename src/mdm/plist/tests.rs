use super::*;

/// A binary property list of `levels` arrays, each of which holds the one below `fan` times.
fn bomb(levels: u8, fan: u8) -> Vec<u8> {
    let mut body = guard::BINARY_MAGIC.to_vec();
    let mut offsets = Vec::new();
    for level in 0..levels {
        offsets.push(u8::try_from(body.len()).unwrap());
        body.push(0xA0 | fan);
        body.extend(std::iter::repeat_n(level + 1, usize::from(fan)));
    }
    offsets.push(u8::try_from(body.len()).unwrap());
    body.extend(b"\x58abcdefgh");
    finish(body, &offsets)
}

fn finish(mut body: Vec<u8>, offsets: &[u8]) -> Vec<u8> {
    let table = body.len() as u64;
    body.extend(offsets);
    body.extend([0, 0, 0, 0, 0, 0, 1, 1]);
    for word in [offsets.len() as u64, 0, table] {
        body.extend(word.to_be_bytes());
    }
    body
}

#[test]
fn xml_nested_ten_thousand_deep_is_refused_before_it_is_parsed() {
    let deep = format!(
        "<plist>{}{}</plist>",
        "<array>".repeat(10_000),
        "</array>".repeat(10_000)
    );
    assert!(matches!(read(deep.as_bytes()), Err(Error::TooDeep)));
    let unclosed = "<dict>".repeat(1_000_000);
    assert!(matches!(read(unclosed.as_bytes()), Err(Error::TooDeep)));
}

#[test]
fn xml_of_many_elements_is_refused() {
    let wide = format!("<plist><array>{}</array></plist>", "<true/>".repeat(500_000));
    assert!(matches!(read(wide.as_bytes()), Err(Error::Expands)));
}

#[test]
fn a_small_binary_body_that_stands_for_a_large_one_is_refused() {
    let body = bomb(12, 10);
    assert!(body.len() < 300);
    assert!(matches!(read(&body), Err(Error::Expands)));
    // One long string, referred to again and again.
    let mut body = guard::BINARY_MAGIC.to_vec();
    body.extend([0xAF, 0x11, 0x40, 0x00]);
    body.extend([1; 0x4000]);
    let long = u16::try_from(body.len()).unwrap();
    body.extend([0x5F, 0x11, 0x40, 0x00]);
    body.extend([b'x'; 0x4000]);
    let table = body.len() as u64;
    body.extend([0, 8]);
    body.extend(long.to_be_bytes());
    body.extend([0, 0, 0, 0, 0, 0, 2, 1]);
    for word in [2, 0, table] {
        body.extend(u64::to_be_bytes(word));
    }
    assert!(matches!(read(&body), Err(Error::Expands)));
    assert!(read(&bomb(2, 4)).is_ok());
}

#[test]
fn a_binary_body_that_holds_itself_or_goes_too_deep_is_refused() {
    let mut cycle = guard::BINARY_MAGIC.to_vec();
    cycle.extend([0xA1, 0]);
    assert!(matches!(read(&finish(cycle, &[8])), Err(Error::Cycle)));
    assert!(matches!(read(&bomb(70, 1)), Err(Error::TooDeep)));
    assert!(read(&bomb(60, 1)).is_ok());
}

#[test]
fn a_shared_deep_object_is_too_deep_wherever_it_hangs() {
    // Object 0 holds 1 and then 2; both chains end in the same tail of forty arrays, which is first measured from near the top.
    let mut body = guard::BINARY_MAGIC.to_vec();
    let mut offsets = vec![8];
    body.extend([0xA2, 31, 1]);
    for link in 1..=70_u8 {
        offsets.push(u8::try_from(body.len()).unwrap());
        body.extend([0xA1, link + 1]);
    }
    offsets.push(u8::try_from(body.len()).unwrap());
    body.push(0x08);
    assert!(matches!(read(&finish(body, &offsets)), Err(Error::TooDeep)));
}

#[test]
fn a_damaged_binary_body_is_refused() {
    for body in [
        &b"bplist00"[..],
        &b"bplist00\x08\x00\x00\x00"[..],
        &[b"bplist00".as_slice(), &[0xFF; 64]].concat(),
        &[b"bplist00".as_slice(), &[0; 64]].concat(),
    ] {
        assert!(read(body).is_err());
    }
}

#[test]
fn more_bytes_than_allowed_are_refused() {
    assert!(matches!(
        read(&vec![b' '; BODY_LIMIT + 1]),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn a_message_must_be_a_dictionary() {
    assert!(matches!(
        read_dictionary(b"<plist><array/></plist>"),
        Err(Error::NoDictionary)
    ));
    for body in [&b""[..], b"no", b"{ a = b; }", b"<plist><dict><key>a</key>"] {
        assert!(
            matches!(read_dictionary(body), Err(Error::Parse { .. })),
            "{body:?}"
        );
    }
}

#[test]
fn a_date_that_has_no_written_form_harms_nobody() {
    for seconds in [-200_000_000_000.0_f64, -100_000_000_000.0, 253_000_000_000.0] {
        let mut body = guard::BINARY_MAGIC.to_vec();
        body.push(0x33);
        body.extend(seconds.to_be_bytes());
        let Ok(value) = read(&finish(body, &[8])) else {
            continue;
        };
        let (json, xml) = (to_json(&value), to_xml(&value));
        assert!(
            json.is_null() || json.as_str().is_some_and(|text| text.len() == 20),
            "{json}"
        );
        assert!(read(xml.as_bytes()).is_ok(), "{xml}");
    }
}

#[test]
fn an_id_of_a_keyed_archive_can_be_written() {
    let mut body = guard::BINARY_MAGIC.to_vec();
    body.extend([0x80, 7]);
    let value = read(&finish(body, &[8])).unwrap();
    assert_eq!(to_json(&value), serde_json::json!({"CF$UID": 7}));
    assert!(to_xml(&value).contains("<integer>7</integer>"));
}

#[test]
fn what_is_written_can_be_read_by_anybody() {
    let date = plist::Date::from(std::time::UNIX_EPOCH + std::time::Duration::from_millis(1500));
    let value = Value::Dictionary(Dictionary::from_iter([
        ("clean".to_owned(), Value::from("a\u{0}b\u{1b}c\td<&>")),
        ("date".to_owned(), Value::Date(date)),
    ]));
    let xml = to_xml(&value);
    assert!(xml.contains("<date>1970-01-01T00:00:01Z</date>"), "{xml}");
    let back = read_dictionary(xml.as_bytes()).unwrap();
    assert_eq!(back.get("clean").and_then(Value::as_string), Some("abc\td<&>"));
}

#[test]
fn json_has_base64_and_rfc_3339() {
    let xml = "<plist><dict><key>d</key><data>AAEC</data><key>t</key><date>2026-01-01T00:00:00Z</date>\
        <key>n</key><integer>-1</integer><key>u</key><integer>18446744073709551615</integer>\
        <key>r</key><real>nan</real><key>b</key><true/></dict></plist>";
    insta::assert_snapshot!(
        to_json(&read(xml.as_bytes()).unwrap()),
        @r#"{"b":true,"d":"AAEC","n":-1,"r":null,"t":"2026-01-01T00:00:00Z","u":18446744073709551615}"#
    );
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(body: Vec<u8>, trailer in proptest::collection::vec(0_u8..9, 32)) {
        let _ = read(&body);
        let _ = read(&[guard::BINARY_MAGIC, &body, &trailer].concat());
    }

    #[test]
    fn text_reads_back_as_it_was_written(text in "[\\t\\n -\u{D7FF}]{0,40}") {
        let xml = to_xml(&Value::from(text.as_str()));
        proptest::prop_assert_eq!(read(xml.as_bytes()).unwrap(), Value::from(text));
    }
}
