//! What two runs of one kubectl command cannot have in common: the written list.

use std::sync::LazyLock;

use regex::Regex;

/// What is blanked out, by what, and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        r"https?://127\.0\.0\.1:\d+",
        "SERVER",
        "each API listens on a port of its own",
    ),
    (
        r"127\.0\.0\.1:\d+",
        "SERVER",
        "each API listens on a port of its own",
    ),
    (
        r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        "UID",
        "uids are random",
    ),
    (
        r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| ?[+-]\d{4}( \w+)?)?",
        "TIME",
        "the two run at different moments",
    ),
    (
        r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}",
        "TIME",
        "the two run at different moments",
    ),
    (
        r#"(resourceVersion"?: ?)"\d+""#,
        r#"$1"REVISION""#,
        "etcd and SQLite count writes differently",
    ),
    (
        r"\(REVISION \d+\)|(Resource Version:\s+)\d+",
        "${1}REVISION",
        "etcd and SQLite count writes differently",
    ),
    (
        r"(^|[\s(])(<invalid>|(\d+[ydhms]){1,2})([\s)]|$)",
        "${1}AGE$4",
        "the two run at different moments",
    ),
    (
        r"Server Version: v1\.37\.\d+(\+provost)?$",
        "Server Version: v1.37",
        "each says what it is",
    ),
    (
        r"AGE +",
        "AGE   ",
        "the width of a column follows the longest age",
    ),
    (
        r"/tmp/[\w./-]+",
        "PATH",
        "files of kubectl's own have random names",
    ),
    (
        r"(?m)^[IWE]\d{4} [^\n]*\n",
        "",
        "lines of kubectl's own log, which name a process and a moment",
    ),
];

/// A text with those blanked out. `folder` is where the scenario runs.
pub(super) fn normal(text: &str, folder: &str) -> String {
    static COMPILED: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let compile = |&(pattern, by, _): &(&str, &'static str, &str)| {
            (Regex::new(&format!("(?m){pattern}")).unwrap(), by)
        };
        DIFFERENCES.iter().map(compile).collect()
    });
    let mut text = text.replace(folder, "FOLDER");
    for (pattern, by) in COMPILED.iter() {
        text = pattern.replace_all(&text, *by).into_owned();
    }
    in_order(&managers_in_order(&text))
}

/// The entries of `managedFields` in YAML, sorted: they stand in the order of their times in whole seconds, and two runs do not share
/// the seconds.
fn managers_in_order(text: &str) -> String {
    let (mut sorted, mut entries, mut inside) = (String::new(), Vec::<String>::new(), None);
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        match inside {
            Some(start) if indent == start && line.trim_start().starts_with("- ") => {
                entries.push(line.to_owned());
            }
            Some(start) if indent > start => entries.last_mut().expect("an entry has begun").push_str(line),
            _ => {
                entries.sort_unstable();
                sorted.extend(entries.drain(..));
                sorted.push_str(line);
                inside = (line.trim() == "managedFields:").then_some(indent);
            }
        }
    }
    entries.sort_unstable();
    sorted.extend(entries);
    sorted
}

/// What has no order of its own in an order: the errors of one object, which kube-apiserver finds by walking through maps, and the
/// fields of raw answers, which kubectl passes on as they come.
fn in_order(text: &str) -> String {
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(text)
        && !text.contains("\n    ")
    {
        return format!("{json}\n");
    }
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    for errors in lines.chunk_by_mut(|one, other| one.starts_with("* ") && other.starts_with("* ")) {
        if errors.iter().all(|line| line.starts_with("* ")) {
            errors.sort_unstable();
        }
    }
    lines.concat()
}

#[test]
fn what_differs_is_blanked_out_and_nothing_else() {
    let (one, other) = (
        "NAME   MEMBERS   AGE   LABELS\na      3         5s    x=y\n",
        "NAME   MEMBERS   AGE    LABELS\na      3         2m5s   x=y\n",
    );
    assert_eq!(normal(one, "/nowhere"), normal(other, "/nowhere"));
    assert_ne!(
        normal(one, "/nowhere"),
        normal(&one.replace('3', "4"), "/nowhere")
    );
    let manifest =
        "  resourceVersion: \"17\"\n  uid: 9b0b3c1e-6a39-4c64-9f3b-0b34cbbd7d60\n  generation: 17\n";
    assert_eq!(
        normal(manifest, "/nowhere"),
        "  resourceVersion: \"REVISION\"\n  uid: UID\n  generation: 17\n"
    );
    let managers = |first: &str, then: &str| {
        format!(
            "metadata:\n  managedFields:\n  - manager: {first}\n    x: 1\n  - manager: {then}\n    x: 1\n  name: n\n"
        )
    };
    assert_eq!(
        normal(&managers("a", "b"), "/nowhere"),
        normal(&managers("b", "a"), "/nowhere")
    );
    assert_ne!(
        normal(&managers("a", "b"), "/nowhere"),
        normal(&managers("a", "a"), "/nowhere")
    );
}
