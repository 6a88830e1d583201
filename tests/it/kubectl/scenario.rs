//! A scenario: shell lines in order, and the files that they name.
//!
//! ```text
//! # A comment.
//! $ kubectl apply -f group.yaml          runs to its end
//! & kubectl get devicegroups -w          begins; the next lines run meanwhile
//! . 3                                    the oldest that still runs has written 3 lines: it is stopped and compared
//! ? Why the answer may differ.           of the next line only success or failure is compared
//! -- group.yaml --                       begins a file
//! ```
//!
//! Each scenario has a folder and a namespace of its own, named as the scenario; `fleet.yaml` is in every folder.

use std::fs;
use std::path::{Path, PathBuf};

/// One step.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Runs a shell line.
    Run {
        line: String,
        /// Why its words may differ.
        may_differ: Option<String>,
    },
    /// Begins one.
    Begin(String),
    /// Stops the oldest that was begun, once it has written so many lines.
    Stop(usize),
}

/// A scenario.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: String,
    pub(super) steps: Vec<Step>,
    files: Vec<(PathBuf, String)>,
}

impl Scenario {
    /// All of them, by name.
    pub(super) fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/kubectl/scenarios");
        let mut paths: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(path).unwrap();
        let (mut steps, mut files, mut reason) = (Vec::new(), Vec::<(PathBuf, String)>::new(), None);
        for line in text.lines() {
            let heading = line.strip_prefix("-- ").and_then(|line| line.strip_suffix(" --"));
            if let Some(file) = heading {
                files.push((file.into(), String::new()));
            } else if let Some((_, content)) = files.last_mut() {
                content.push_str(line);
                content.push('\n');
            } else {
                let Some((mark, rest)) = line.split_once(' ') else {
                    assert!(line.is_empty() || line == "#", "{name}: {line}");
                    continue;
                };
                match mark {
                    "#" => {}
                    "$" => steps.push(Step::Run {
                        line: rest.to_owned(),
                        may_differ: reason.take(),
                    }),
                    "&" => steps.push(Step::Begin(rest.to_owned())),
                    "." => steps.push(Step::Stop(rest.parse().unwrap())),
                    "?" => reason = Some(rest.to_owned()),
                    _ => panic!("{name}: {line}"),
                }
            }
        }
        Self { name, steps, files }
    }

    /// Writes its files into `folder`.
    pub(super) fn unpack(&self, folder: &Path) {
        fs::write(folder.join("fleet.yaml"), include_str!("fleet.yaml")).unwrap();
        for (path, content) in &self.files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}
