//! The page of guarantees names tests; here is checked that they are there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every Rust file below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of functions that a text defines.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.split("fn ").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        rest.get(..end)
    })
}

#[test]
fn every_guarantee_is_kept_by_tests_that_exist_or_is_a_choice() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        sources(&root.join(folder), &mut files);
    }
    let texts: Vec<String> = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let known: BTreeSet<&str> = texts.iter().flat_map(|text| functions(text)).collect();
    let page = std::fs::read_to_string(root.join("docs/protocol-guarantees.md")).unwrap();
    let mut guarantees = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let columns: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [guarantee, tests] = columns[..] else {
            panic!("two columns: {row}");
        };
        if (guarantee, tests) == ("Guarantee", "Tests") {
            continue;
        }
        guarantees += 1;
        if tests == "a choice" {
            continue;
        }
        for test in tests.split(", ") {
            let name = test.trim_matches('`');
            assert!(known.contains(name), "{name} is no test: {guarantee}");
        }
    }
    assert!(guarantees > 40, "the page was not read");
}
