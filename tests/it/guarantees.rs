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

/// The names of the tests in a text: functions that say so, and those in the lists that make tests of stories, one a line.
fn tests(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    let mut announced = false;
    for line in text.lines().map(str::trim) {
        let name = line.split_once("fn ").map(|(_, rest)| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            &rest[..end.unwrap_or(rest.len())]
        });
        match name {
            Some(name) => {
                if announced {
                    found.insert(name);
                }
                announced = false;
            }
            None if line.starts_with("#[test]") || line.starts_with("#[tokio::test") => announced = true,
            None if line.is_empty() => announced = false,
            None => {
                found.extend(line.strip_suffix(','));
            }
        }
    }
    found
}

#[test]
fn a_test_is_what_runs_as_one() {
    let text = "#[test]\n#[ignore]\nfn one() {}\nfn help() {}\n#[tokio::test(flavor = \"x\")]\nasync fn two() {}\nboth!(\n    three,\n);\n// fn four() {}\n";
    assert_eq!(tests(text), BTreeSet::from(["one", "two", "three"]));
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
    let known: BTreeSet<&str> = texts.iter().flat_map(|text| tests(text)).collect();
    let page = std::fs::read_to_string(root.join("docs/protocol-guarantees.md")).unwrap();
    let mut rows = 0;
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        let columns: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [promise, kept_by] = columns[..] else {
            panic!("two columns: {row}");
        };
        if (promise, kept_by) == ("Guarantee", "Tests") {
            continue;
        }
        rows += 1;
        if kept_by == "a choice" {
            continue;
        }
        for test in kept_by.split(", ") {
            let name = test.trim_matches('`');
            assert!(known.contains(name), "{name} is no test: {promise}");
        }
    }
    assert!(rows > 40, "the page was not read");
}
