//! What the reader accepts, refuses and survives.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn values(text: &str) -> Vec<Value> {
    parse(text.as_bytes())
        .unwrap()
        .into_iter()
        .map(|document| document.value)
        .collect()
}

fn refusal(text: &str) -> (usize, usize, String) {
    let error = parse(text.as_bytes()).unwrap_err();
    (error.position.line, error.position.column, error.message)
}

#[test]
fn values_and_places_come_from_one_reading() {
    let text = "# policy\nspec:\n  on: yes\n  rules:\n    - id: a\n      severity: \"high\"\n    -   id: b\n  text: |\n    one\n    two\n";
    let documents = parse(text.as_bytes()).unwrap();
    assert_eq!(
        documents[0].value,
        json!({"spec": {"on": "yes", "rules": [{"id": "a", "severity": "high"}, {"id": "b"}], "text": "one\ntwo\n"}})
    );
    let at = |field| {
        let Position { line, column } = documents[0].positions.locate(field);
        (line, column)
    };
    assert_eq!(at(""), (2, 1));
    assert_eq!(at("spec.on"), (3, 3));
    assert_eq!(at("spec.rules[0]"), (5, 7));
    assert_eq!(at("spec.rules[0].severity"), (6, 7));
    assert_eq!(at("spec.rules[1].id"), (7, 9));
    assert_eq!(at("spec.text"), (8, 3));
}

#[test]
fn documents_are_separate_and_empty_ones_do_not_count() {
    assert_eq!(
        values("---\na: 1\n---\n# nothing\n---\nb: 2\n...\n---\n"),
        [json!({"a": 1}), json!({"b": 2})]
    );
    assert!(values("").is_empty());
    assert!(values("# only a comment\n").is_empty());
    assert_eq!(values("\u{feff}a: 1"), [json!({"a": 1})]);
    // An anchor does not outlive its document.
    assert!(parse(b"a: &x 1\n---\nb: *x\n").is_err());
}

#[test]
fn json_is_read_by_the_same_rules() {
    let text = "{\n\t\"a\": [1, 2.5, true, null, \"x\\u00e9\\/\\n\"],\n\t\"b\": {}\n}\n";
    assert_eq!(
        values(text),
        [json!({"a": [1, 2.5, true, null, "xé/\n"], "b": {}})]
    );
    assert_eq!(refusal("{\"a\": 1,\n \"a\": 2}").0, 2);
}

#[test]
fn aliases_repeat_what_they_name() {
    let text = "base: &base {min: 6, list: [a, &s b]}\none: *base\ntwo: [*s, *base]\n";
    let base = json!({"min": 6, "list": ["a", "b"]});
    assert_eq!(
        values(text),
        [json!({"base": base, "one": base, "two": ["b", base]})]
    );
    let documents = parse(text.as_bytes()).unwrap();
    assert_eq!(
        documents[0].positions.locate("two[1].min"),
        Position { line: 3, column: 11 }
    );
}

#[test]
fn what_readers_disagree_about_is_refused_with_its_place() {
    for (text, line, column, words) in [
        (
            "a: 1\nb: 2\na: 3\n",
            3,
            1,
            "the key \"a\" was already given in line 1",
        ),
        ("a: 1\n\"a\": 3\n", 2, 1, "already given"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n", 3, 3, "merge keys"),
        ("a: !!str 1\n", 1, 4, "tags"),
        ("a: !secret x\n", 1, 4, "tags"),
        ("a: 0777\n", 1, 4, "octal"),
        ("? [a]\n: 1\n", 1, 3, "a key must be text"),
        ("a: &x [*x]\n", 1, 8, "inside what it names"),
        ("? *x\n: 1\n", 1, 3, ""),
        ("~: 1\n", 1, 1, "a key must be text"),
        ("a: .inf\n", 1, 4, "JSON has no such number"),
        ("a: b: c\n", 1, 5, "not valid YAML"),
        ("a: [1, 2\n", 2, 1, "not valid YAML"),
        ("a:\n\t- b\n", 2, 2, "not valid YAML"),
    ] {
        let (l, c, message) = refusal(text);
        assert!(message.contains(words), "{text:?}: {message}");
        assert_eq!((l, c), (line, column), "{text:?}: {message}");
    }
    assert_eq!(
        values("\"<<\": 1\n'~': 2\n1: x\ntrue: y\n"),
        [json!({"<<": 1, "~": 2, "1": "x", "true": "y"})]
    );
}

#[test]
fn an_error_names_the_field_it_is_in() {
    let error = parse(b"spec:\n  rules:\n  - id: a\n  - id: !x b\n").unwrap_err();
    assert_eq!(error.field, "spec.rules[1].id");
}

#[test]
fn bombs_are_refused_before_they_grow() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(laughs, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    assert!(refusal(&laughs).2.contains("aliases included"));

    // Few values but much text.
    let long = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(100_000),
        vec!["*a"; 1_000].join(", ")
    );
    assert!(refusal(&long).2.contains("bytes of text"));

    // Depth by nesting, by aliases of aliases, in blocks, in flow, and by keys.
    assert!(refusal(&"[".repeat(100)).2.contains("nest deeper"));
    assert!(refusal(&"{a: ".repeat(100)).2.contains("nest deeper"));
    // The scanner looks ahead and has a limit of its own.
    assert!(refusal(&"[".repeat(100_000)).2.contains("recursion limit"));
    assert!(refusal(&"{a: ".repeat(100_000)).2.contains("recursion limit"));
    assert!(refusal(&"- ".repeat(100_000)).2.contains("nest deeper"));
    let indented = (0..2_000)
        .map(|level| format!("{}a:\n", " ".repeat(level)))
        .collect::<Vec<_>>()
        .concat();
    assert!(refusal(&indented).2.contains("nest deeper"));
    let mut ladder = String::from("a0: &a0 [x]\n");
    for level in 1..100 {
        writeln!(ladder, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
    }
    assert!(refusal(&ladder).2.contains("nest deeper"));

    let large = vec![b'#'; MAXIMUM_FILE + 1];
    assert!(parse(&large).unwrap_err().message.contains("more than"));
    let many = "- x\n".repeat(MAXIMUM_NODES + 1);
    assert!(refusal(&many).2.contains("values"));
}

#[test]
fn bytes_that_are_not_text_are_refused_where_they_stand() {
    let error = parse(b"a: 1\nb: \xff\n").unwrap_err();
    assert_eq!(
        (error.position, error.message.as_str()),
        (Position { line: 2, column: 4 }, "the file is not UTF-8 text")
    );
    let _ = parse(b"a: \0\n");
    let _ = parse(b"\xff\xfea\0:\0");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_breaks_the_reader(text in r#"([-?:,\[\]{}#&*!|>'"%@` \n\t\r<~a0.]|---|\.\.\.|\\u|é){0,60}"#) {
        let _ = parse(text.as_bytes());
    }

    #[test]
    fn what_json_says_yaml_reads(value in json_value()) {
        let text = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(values(&text), [value]);
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~é€\n\"\\\\]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inside| {
        prop_oneof![
            prop::collection::vec(inside.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z<~.]{1,6}", inside, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
