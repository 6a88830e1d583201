//! The list of known differences in `docs/kubernetes.md` is made from `known.yaml`.

use std::fmt::Write as _;
use std::path::Path;

use super::difference::{Cause, causes};

const START: &str = "<!-- The table is made from tests/it/conformance/known.yaml. -->\n";
const END: &str = "<!-- End of the table. -->\n";

fn table(causes: &[Cause]) -> String {
    let cell = |text: &str| text.trim().replace('|', "\\|").replace('\n', " ");
    let mut table =
        String::from("\n| what differs | why | what you notice, and what to do |\n|---|---|---|\n");
    for cause in causes {
        let (what, why, notice) = (cell(&cause.what), cell(&cause.why), cell(&cause.notice));
        writeln!(table, "| {what} | {why} | {notice} |").unwrap();
    }
    table.push('\n');
    table
}

#[test]
fn the_documentation_tells_every_known_difference() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kubernetes.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once(START).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let table = table(&causes(&super::folder().join("known.yaml")));
    let expected = format!("{before}{START}{table}{END}{after}");
    if std::env::var_os("PROVOST_TEST_WRITE").is_some() {
        std::fs::write(&page, &expected).unwrap();
    } else {
        assert_eq!(text, expected, "the table is stale: run `make kubernetes-docs`");
    }
}
