//! Stories of whole revisions.

use super::*;

const NAMESPACE: &str = "fleet";

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile {
        path: path.to_owned(),
        content: text.as_bytes().to_vec(),
    }
}

fn baseline(name: &str) -> String {
    format!(
        "apiVersion: provost.dev/v1alpha1\nkind: Baseline\nmetadata:\n  name: {name}\nspec:\n  title: T\n"
    )
}

fn findings(files: &[SourceFile]) -> Vec<String> {
    read_documents(files, NAMESPACE)
        .unwrap_err()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn policy_is_read_and_everything_else_is_counted() {
    let text = format!(
        "{}---\napiVersion: apps/v1\nkind: Deployment\n---\n{}",
        baseline("b"),
        baseline("a")
    );
    let files = [
        file("policy/all.yaml", &text),
        file("chart/template.yaml", "{{- if .Values.x }}\na: [\n"),
        file("data.json", "[1, 2]"),
        file(
            "json.json",
            "{\"apiVersion\": \"provost.dev/v1alpha1\", \"kind\": \"DeviceGroup\", \"metadata\": {\"name\": \"g\", \"namespace\": \"fleet\"}}",
        ),
    ];
    let documents = read_documents(&files, NAMESPACE).unwrap();
    let names: Vec<_> = documents
        .objects
        .iter()
        .map(|d| (d.kind.as_str(), d.name.as_str()))
        .collect();
    assert_eq!(
        names,
        [("Baseline", "a"), ("Baseline", "b"), ("DeviceGroup", "g")]
    );
    assert_eq!((documents.other_documents, documents.unread_files), (2, 1));
    assert_eq!(documents.objects[0].start().line, 11);
    let finding = documents.objects[0].finding("spec.title", "too short");
    assert_eq!(finding.to_string(), "policy/all.yaml:16:3: spec.title: too short");
}

#[test]
fn a_policy_file_that_is_not_yaml_is_a_mistake_and_not_passed_over() {
    let text = format!("{}  bad: [\n", baseline("a"));
    insta::assert_snapshot!(findings(&[file("a.yaml", &text)]).join("\n"), @r#"
    a.yaml:8:1: spec.bad[0]: not valid YAML: while parsing a node, did not find expected node content
    "#);
}

#[test]
fn one_name_in_two_places_is_refused_naming_both() {
    let files = [
        file("a.yaml", &baseline("x")),
        file("b.yaml", &format!("---\n{}", baseline("x"))),
    ];
    insta::assert_snapshot!(findings(&files).join("\n"), @r#"
    b.yaml:5:3: metadata.name: Baseline x is already in a.yaml:1; keep one of the two
    "#);
}

#[test]
fn what_git_may_not_hold_is_refused() {
    let other = |kind: &str, api: &str| format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: x}}\n");
    let files = [
        file("a.yaml", &other("GitSource", "provost.dev/v1alpha1")),
        file("b.yaml", &other("Device", "provost.dev/v1alpha1")),
        file("c.yaml", &other("Secret", "v1")),
        file("d.yaml", &other("Baseline", "provost.dev/v9")),
        file("e.yaml", &other("Baseline", "provost.dev")),
        file(
            "f.yaml",
            &format!(
                "apiVersion: v1\nkind: List\nitems:\n- {}",
                other("Baseline", "provost.dev/v1alpha1").replace('\n', "\n  ")
            ),
        ),
        file("g.yaml", "apiVersion: provost.dev/v1alpha1\n"),
    ];
    insta::assert_snapshot!(findings(&files).join("\n"), @r#"
    a.yaml:2:1: kind: a GitSource is never read from git: a source may not bring sources; create it with kubectl
    b.yaml:2:1: kind: a Device is never read from git: its enrolment makes it; change it with kubectl
    c.yaml:2:1: kind: a Secret is never read from git; create it with kubectl and keep it out of git
    d.yaml:1:1: apiVersion: the version served is provost.dev/v1alpha1
    e.yaml:1:1: apiVersion: the version served is provost.dev/v1alpha1
    f.yaml:2:1: kind: a List is not read: write its objects as documents, separated by ---
    g.yaml:1:1: kind: required: name the kind as text, such as Baseline
    g.yaml:1:1: metadata: required: a mapping that holds at least the name
    "#);
}

#[test]
fn metadata_is_checked_field_by_field() {
    let text = "apiVersion: provost.dev/v1alpha1\nkind: Baseline\nmetadata:\n  name: Not_A_Name\n  namespace: other\n  \
                labels:\n    a.b/c: 1\n    d: \"2\"\n  annotations: x\n  uid: abc\n  ownerReferences: []\nstatus: {}\n";
    insta::assert_snapshot!(findings(&[file("m.yaml", text)]).join("\n"), @r#"
    m.yaml:4:3: metadata.name: a name has lower-case letters, digits, '-' and '.', at most 253 of them, and starts and ends with a letter or digit
    m.yaml:5:3: metadata.namespace: objects of this source live in its own namespace; write fleet or leave it out
    m.yaml:7:5: metadata.labels[a.b/c]: the value is not text; put quotes around it
    m.yaml:9:3: metadata.annotations: must be a mapping of text to text
    m.yaml:10:3: metadata.uid: git may set annotations, labels, name, namespace only; remove it
    m.yaml:11:3: metadata.ownerReferences: git may set annotations, labels, name, namespace only; remove it
    m.yaml:12:1: status: Provost writes the status; remove it here
    "#);
    let text = "apiVersion: provost.dev/v1alpha1\nkind: Baseline\nmetadata: {name: 12}\n";
    insta::assert_snapshot!(findings(&[file("n.yaml", text)]).join("\n"), @r#"
    n.yaml:3:12: metadata.name: the name is not text; put quotes around it
    "#);
}

#[test]
fn there_is_an_end_to_objects_and_to_mistakes() {
    let many = (0..=MAXIMUM_OBJECTS)
        .map(|n| format!("---\n{}", baseline(&format!("b{n}"))))
        .collect::<Vec<_>>()
        .concat();
    assert!(findings(&[file("many.yaml", &many)])[0].contains("more than 4096 objects"));
    let wrong = "---\napiVersion: provost.dev/v1alpha1\n".repeat(500);
    assert_eq!(findings(&[file("wrong.yaml", &wrong)]).len(), MAXIMUM_FINDINGS);
}
