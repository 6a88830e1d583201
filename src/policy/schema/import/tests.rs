//! The traps of Apple's schema, and what was made of them.

use serde_json::json;

use super::*;
use crate::api::common::{EnrollmentMode, Platform};
use crate::policy::OsVersion;
use crate::policy::schema::{Scalar, System, Target};

fn file(path: &str, content: &str) -> SchemaFile {
    SchemaFile {
        path: path.to_owned(),
        content: content.as_bytes().to_vec(),
    }
}

fn declaration(name: &str, keys: &str) -> SchemaFile {
    let path = format!("declarative/declarations/configurations/{name}.yaml");
    file(
        &path,
        &format!(
            "payload:\n  declarationtype: com.example.{name}\n  apply: combined\n  supportedOS:\n    macOS: {{introduced: '14.0', allowed-enrollments: [supervised, local], allowed-scopes: [system]}}\n    iOS: {{introduced: n/a}}\npayloadkeys:\n{keys}"
        ),
    )
}

fn imported(files: &[SchemaFile]) -> Schema {
    import(files, "").unwrap().0
}

fn refused(files: &[SchemaFile]) -> String {
    import(files, "").unwrap_err().to_string()
}

#[test]
fn an_anchor_inside_itself_becomes_a_shape() {
    let schema = imported(&[declaration(
        "tree",
        "- key: Items\n  type: <array>\n  subkeys: &a\n  - key: item\n    type: <dictionary>\n    subkeys:\n    - {key: Name, type: <string>, presence: required}\n    - {key: Inside, type: <array>, subkeys: *a}\n- {key: More, type: <array>, subkeys: *a}\n",
    )]);
    let facts = &schema.declarations["com.example.tree"];
    let (name, _) = facts.shapes.first_key_value().unwrap();
    assert_eq!(facts.shapes.len(), 1);
    for key in ["Items", "More"] {
        assert_eq!(facts.keys[key].like.as_ref(), Some(name), "{key}");
    }
    assert_eq!(
        facts
            .key(&["Items", "item", "Inside", "item", "Inside", "item", "Name"])
            .unwrap()
            .kind,
        super::super::Kind::String
    );
    assert_eq!(Schema::read(&schema.write()).unwrap(), schema);
}

#[test]
fn an_anchor_that_is_only_repeated_is_written_out() {
    let schema = imported(&[declaration(
        "twice",
        "- {key: A, type: <dictionary>, subkeys: &a [{key: X, type: <integer>}]}\n- {key: B, type: <dictionary>, subkeys: *a}\n",
    )]);
    let facts = &schema.declarations["com.example.twice"];
    assert!(facts.shapes.is_empty());
    assert_eq!(facts.keys["A"], facts.keys["B"]);
}

#[test]
fn anchors_that_multiply_are_refused_in_time() {
    let mut keys = "- {key: K0, type: <dictionary>, subkeys: &a0 [{key: X, type: <integer>}]}\n".to_owned();
    for level in 1..20 {
        let below = level - 1;
        let inside: Vec<String> = (0..8)
            .map(|n| format!("{{key: X{n}, type: <dictionary>, subkeys: *a{below}}}"))
            .collect();
        let inside = inside.join(", ");
        keys.extend([format!(
            "- {{key: K{level}, type: <dictionary>, subkeys: &a{level} [{inside}]}}\n"
        )]);
    }
    assert_eq!(
        refused(&[declaration("bomb", &keys)]),
        "declarative/declarations/configurations/bomb.yaml: the type has more than 20000 keys"
    );
}

#[test]
fn what_is_not_yaml_or_too_deep_is_refused_with_its_line() {
    let deep = format!("a: {}1{}", "[".repeat(100), "]".repeat(100));
    for (content, expected) in [
        ("a: [1\nb: 2\n", "mdm/profiles/a.yaml:2: not valid YAML"),
        (
            "a: 1\na: 2\n",
            "mdm/profiles/a.yaml:2: the key `a` is given twice",
        ),
        ("a: !!str 1\n", "mdm/profiles/a.yaml:1: tags (!…) are not read"),
        ("<<: 1\n", "mdm/profiles/a.yaml:1: merge keys (<<) are not read"),
        ("? [a]\n: 1\n", "mdm/profiles/a.yaml:1: a key must be text"),
        ("", "mdm/profiles/a.yaml: the file is empty"),
        (&deep, "mdm/profiles/a.yaml:1: values nest deeper than 64 levels"),
    ] {
        let text = refused(&[file("mdm/profiles/a.yaml", content)]);
        assert!(text.starts_with(expected), "{text}");
    }
    let broken = SchemaFile {
        path: "mdm/profiles/a.yaml".into(),
        content: vec![0xff],
    };
    assert_eq!(
        refused(&[broken]),
        "mdm/profiles/a.yaml: the file is not UTF-8 text"
    );
    assert!(refused(&[file("mdm/profiles/a.yaml", "title: x\n")]).starts_with("there is no schema here"));
}

#[test]
fn an_array_says_its_item_under_any_name_and_wildcards_stand_for_every_name() {
    let schema = imported(&[declaration(
        "names",
        "- key: List\n  type: <array>\n  subkeys: [{key: _Errors, type: <string>, repetition: {min: 2, max: 2}}]\n- key: Map\n  type: <dictionary>\n  subkeys: [{key: ANY restriction name, type: <boolean>}]\n- {key: Key Type, type: <string>, rangelist: [RSA, 'on', 5, 1.5, true]}\n- {key: Least, type: <integer>, range: {min: 3600}}\n",
    )]);
    let facts = &schema.declarations["com.example.names"];
    assert_eq!(
        facts.keys["Key Type"].values,
        [
            Scalar::Text("RSA".into()),
            Scalar::Text("on".into()),
            Scalar::Integer(5),
            Scalar::Real(1.5),
            Scalar::Boolean(true)
        ]
    );
    let target = Target {
        os_version: OsVersion::read("14"),
        mode: Some(EnrollmentMode::Supervised),
        ..Target::of(Platform::MacOS)
    };
    let judged = |content: serde_json::Value| -> Vec<String> {
        let content = content.as_object().unwrap();
        let found = schema.check_declaration(&target, "com.example.names", content);
        found.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        judged(json!({ "List": ["a", "b"], "Map": { "x": true, "y z": false }, "Least": 3600 })),
        Vec::<String>::new()
    );
    assert_eq!(
        judged(json!({ "List": [1], "Map": { "x": 1 }, "Least": 3599 })),
        [
            "Least: cannot be 3599; give it an integer of at least 3600",
            "List: holds 1 items; it takes a number of them exactly 2",
            "List[0]: is an integer; give it a string",
            "Map.x: is an integer; give it true or false",
        ]
    );
}

#[test]
fn versions_stay_text_and_unknown_attributes_are_passed_over() {
    let schema = imported(&[file(
        "mdm/profiles/a.yaml",
        "title: A\nexamples: {files: []}\nfuture: [1]\npayload: {payloadtype: com.example.a, supportedOS: {macOS: {introduced: 10.10, nextyear: true}}}\npayloadkeys:\n- {key: A, type: <string>, content: words, futuretype: x}\n",
    )]);
    let on = schema.profiles["com.example.a"].on[&System::MacOS];
    assert_eq!(
        on.since,
        Some(crate::policy::schema::Since::from("10.10".to_owned()))
    );
}

#[test]
fn what_this_program_does_not_know_is_told() {
    let (schema, report) = import(
        &[declaration(
            "new",
            "- {key: A, type: <tensor>, combinetype: median, format: '(?!x)'}\n",
        )],
        "",
    )
    .unwrap();
    let notes: Vec<String> = report
        .notes
        .iter()
        .map(|note| note.problem.message.clone())
        .collect();
    assert_eq!(
        notes,
        [
            "the type `tensor` is not known to this program and is passed over",
            "the format `(?!x)` is not known to this program and is passed over",
            "the combinetype `median` is not known to this program and is passed over",
        ]
    );
    assert_eq!(
        schema.declarations["com.example.new"].keys["A"].kind,
        super::super::Kind::Any
    );
}

fn versions(newest: &str, keys: &str) -> Schema {
    let newer = file(
        "declarative/declarations/configurations/newest.yaml",
        &format!(
            "payload: {{declarationtype: com.example.newest, supportedOS: {{macOS: {{introduced: '{newest}'}}}}}}\n"
        ),
    );
    imported(&[newer, declaration("kept", keys)])
}

#[test]
fn what_a_newer_schema_lacks_was_removed_with_it() {
    let both = "- {key: A, type: <string>}\n- {key: B, type: <dictionary>, subkeys: [{key: C, type: <string>, presence: required}, {key: D, type: <string>}]}\n";
    let mut earlier = versions("26.0", both);
    earlier.profiles.insert(
        "com.example.gone".into(),
        earlier.declarations["com.example.kept"].clone(),
    );
    let mut later = versions(
        "27.0",
        "- {key: B, type: <dictionary>, subkeys: [{key: D, type: <string>}]}\n",
    );
    let done = later.succeed(&earlier);
    assert_eq!(done.dropped, Vec::<String>::new());
    assert_eq!(
        done.removed,
        ["com.example.gone", "com.example.kept: A", "com.example.kept: B.C"]
    );
    let removed = |facts: &TypeFacts, path: &[&str]| {
        facts.key(path).unwrap().on[&System::MacOS]
            .removed
            .map(String::from)
    };
    let kept = &later.declarations["com.example.kept"];
    assert_eq!(removed(kept, &["A"]), Some("27.0".to_owned()));
    assert_eq!(removed(kept, &["B", "C"]), Some("27.0".to_owned()));
    assert!(!kept.key(&["B", "C"]).unwrap().required);
    assert_eq!(
        later.profiles["com.example.gone"].on[&System::MacOS]
            .removed
            .map(String::from),
        Some("27.0".to_owned())
    );
    assert!(
        !kept.keys["A"].on.contains_key(&System::IOS),
        "it never was there"
    );
    // Once more, nothing changes: what is there is there.
    let again = later.clone();
    assert_eq!(later.succeed(&again), Succession::default());
    assert_eq!(later, again);
}

#[test]
fn what_an_equally_new_schema_lacks_is_dropped() {
    let earlier = versions("27.0", "- {key: A, type: <string>}\n- {key: B, type: <string>}\n");
    let mut later = versions("27.0", "- {key: A, type: <string>}\n");
    let done = later.succeed(&earlier);
    assert_eq!(done.dropped, ["com.example.kept: B"]);
    assert!(!later.declarations["com.example.kept"].keys.contains_key("B"));
}

#[test]
fn errata_correct_a_table_and_tell_what_does_not_apply() {
    let mut schema = versions("27.0", "- {key: A, type: <string>}\n");
    let errata = Errata::read(
        r#"
errata:
  - { reason: r, declaration: com.example.kept, key: [A], values: [x, y], everywhere: { removed: "28" } }
  - { reason: r, declaration: com.example.kept, key: [New], type: boolean, on: { macOS: { since: "15" } } }
  - { reason: r, profile: com.example.fresh, open: true, on: { macOS: { since: "15", multiple: false } } }
  - { reason: r, declaration: com.example.kept, key: [Nothing], required: true }
  - { reason: r, command: Nothing, everywhere: { removed: "28" } }
"#,
    )
    .unwrap();
    assert_eq!(
        errata.apply(&mut schema),
        ["com.example.kept has no key Nothing", "there is no Nothing"]
    );
    let kept = &schema.declarations["com.example.kept"];
    assert_eq!(kept.keys["A"].values.len(), 2);
    assert_eq!(
        kept.keys["A"].on[&System::MacOS].removed.map(String::from),
        Some("28.0".to_owned())
    );
    assert_eq!(kept.keys["New"].kind, super::super::Kind::Boolean);
    assert!(schema.profiles["com.example.fresh"].open);
}

#[test]
fn errata_that_say_too_little_or_too_much_are_refused() {
    for (text, expected) in [
        (
            "errata: [{ reason: ' ', command: a, open: true }]",
            "erratum 1: give a reason",
        ),
        (
            "errata: [{ reason: r, open: true }]",
            "erratum 1: give exactly one of profile, declaration, credential and command",
        ),
        (
            "errata: [{ reason: r, command: a, profile: b, open: true }]",
            "erratum 1: give exactly one of profile, declaration, credential and command",
        ),
        (
            "errata: [{ reason: r, command: a }]",
            "erratum 1: say what to correct: on, everywhere, type, required, values, range, format, apply or open",
        ),
        (
            "errata: [{ reason: r, command: a, key: [b], open: true }]",
            "erratum 1: apply and open are about a type; leave `key` out",
        ),
        (
            "errata: [{ reason: r, command: a, required: true }]",
            "erratum 1: type, required, values, range and format are about a key; name it with `key`",
        ),
        ("errata: [{ reason: r, commend: a }]", "the errata cannot be read"),
        ("a: [", "the errata cannot be read"),
    ] {
        assert_eq!(Errata::read(text).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn the_errata_that_ship_can_be_read() {
    assert!(Errata::shipped().unwrap().len() > 20);
    assert!(!Errata::shipped().unwrap().is_empty());
}
