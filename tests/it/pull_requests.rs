//! A change of policy as its reviewers see it: the example's two commits through `provost plan` and `provost render`, and the guide that tells of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::both;
use crate::control_plane::left_out;
use crate::world::server::PROGRAM;
use crate::world::{Api, World, said};

both!(a_plan_counts_the_devices_of_a_running_server);

async fn a_plan_counts_the_devices_of_a_running_server(api: Api) {
    let mut world = World::on(api).await;
    let (_, devices) = world.under_policy(3, 12).await;
    world.write_essentials(14);
    world.commit("Longer passcodes");
    let source = world.source_spec();
    let repository = source.url.strip_prefix("file://").unwrap();
    let mut command = tokio::process::Command::new(PROGRAM);
    command
        .args([
            "plan",
            "--repository",
            repository,
            "--from",
            "main~1",
            "fleet",
            "--server",
            "-o",
            "json",
        ])
        .arg("--kubeconfig")
        .arg(&world.server.ready.kubeconfig);
    let said = said(&mut command, "").await;
    assert_eq!(said.code, 1, "{said:?}");
    let plan: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        (&plan["fleet"]["devices"], &plan["devicesTouched"]),
        (&Value::from(devices.len()), &Value::from(3))
    );
    let settings = plan["settings"].as_array().unwrap();
    assert_eq!(settings.len(), 1, "{settings:?}");
    assert_eq!(
        (
            &settings[0]["key"],
            &settings[0]["before"],
            &settings[0]["after"],
            &settings[0]["devices"]
        ),
        (
            &Value::from("minLength"),
            &Value::from(12),
            &Value::from(14),
            &Value::from(3)
        )
    );
    let verdicts = plan["verdicts"].as_array().unwrap();
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    assert_eq!(
        (
            &verdicts[0]["rule"],
            &verdicts[0]["from"],
            &verdicts[0]["to"],
            &verdicts[0]["devices"]
        ),
        (
            &Value::from("essentials/passcode_length"),
            &Value::from("pass"),
            &Value::from("untilReported"),
            &Value::from(3)
        )
    );
}

/// The example's repository.
struct Studio {
    dir: TempDir,
}

impl Studio {
    /// None: there is no git on this machine, which is said.
    fn make(what: &str) -> Option<Self> {
        if Command::new("git").arg("--version").output().is_err() {
            left_out(what, "git is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let made = Command::new(root().join("examples/pull-request/make-repository.sh"))
            .arg(dir.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        Some(Self { dir })
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(PROGRAM)
            .args(args)
            .current_dir(self.dir.path())
            .env("NO_COLOR", "1")
            .output()
            .unwrap()
    }

    /// What a call prints, without what differs each time.
    fn say(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            text(&output.stderr)
        );
        let mut said = text(&output.stdout);
        for (name, revision) in [("BEFORE", "main~1"), ("AFTER", "main")] {
            let commit = self.git(&["rev-parse", revision]);
            said = said.replace(&commit, name).replace(&commit[..7], name);
        }
        said
    }

    fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(args)
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        let who = ["-c", "user.name=Example", "-c", "user.email=example@provost.dev"];
        self.git(&[&who[..], &["commit", "--quiet", "--message", message]].concat());
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const PLAN: [&str; 5] = ["plan", "--from", "main~1", "--to", "main"];

#[test]
fn the_example_is_told_at_a_terminal_in_a_comment_and_to_programs() {
    let Some(studio) = Studio::make("plan of the example") else {
        return;
    };
    let with = |more: &[&str]| studio.say(1, &[&PLAN[..], more].concat());
    insta::assert_snapshot!("human", with(&["fleet"]));
    insta::assert_snapshot!("human_fleet", with(&["fleet", "--fleet", "devices.json"]));
    insta::assert_snapshot!(
        "markdown_fleet",
        with(&["fleet", "--fleet", "devices.json", "-o", "markdown"])
    );
    insta::assert_snapshot!(
        "json_fleet",
        with(&["fleet", "--fleet", "devices.json", "-o", "json"])
    );
}

#[test]
fn looked_at_backwards_it_is_the_same_the_other_way_round() {
    let Some(studio) = Studio::make("plan of the example, backwards") else {
        return;
    };
    let json = |from: &str, to: &str| -> Value {
        let said = studio.say(1, &["plan", "--from", from, "--to", to, "fleet", "-o", "json"]);
        serde_json::from_str(&said).unwrap()
    };
    let changes = |plan: &Value, reverse: bool| -> Vec<(String, String, Value, Value)> {
        let mut changes: Vec<_> = plan["settings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|setting| {
                let (before, after) = if reverse {
                    ("after", "before")
                } else {
                    ("before", "after")
                };
                let key = format!("{} {}", setting["type"], setting["key"]);
                let change = match (setting["change"].as_str().unwrap(), reverse) {
                    ("added", true) => "removed",
                    ("removed", true) => "added",
                    (same, _) => same,
                };
                (
                    key,
                    change.to_owned(),
                    setting[before].clone(),
                    setting[after].clone(),
                )
            })
            .collect();
        changes.sort_by_key(|change| change.0.clone());
        changes
    };
    let (forth, back) = (json("main~1", "main"), json("main", "main~1"));
    assert!(!changes(&forth, false).is_empty());
    assert_eq!(changes(&forth, false), changes(&back, true));
}

#[test]
fn no_change_ends_with_0_and_what_cannot_be_told_with_2() {
    let Some(studio) = Studio::make("ends of plan") else {
        return;
    };
    assert!(
        studio
            .say(0, &["plan", "--from", "main", "fleet"])
            .ends_with("No change.\n")
    );
    // A comment changes nothing for any device.
    let file = studio.dir.path().join("fleet/studio.yaml");
    let policy = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("# A comment.\n{policy}")).unwrap();
    studio.commit("Say more");
    assert!(
        studio
            .say(0, &["plan", "--from", "main~1", "fleet"])
            .ends_with("No change.\n")
    );

    let refused = |args: &[&str]| {
        let output = studio.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(text(&output.stdout), "");
        text(&output.stderr)
    };
    let error = refused(&["plan", "--from", "nowhere", "fleet"]);
    assert!(
        error.contains("the repository has no revision nowhere"),
        "{error}"
    );
    let error = refused(&["plan", "--from", "main", "elsewhere"]);
    assert!(
        error.contains("neither revision has a folder elsewhere"),
        "{error}"
    );
    let error = refused(&["plan", "--from", "main", "fleet", "--fleet", "fleet/studio.yaml"]);
    assert!(error.contains("kubectl get devices -o json"), "{error}");
    assert!(error.ends_with('\n') && !error.contains("panicked"), "{error}");

    fs::write(&file, policy.replace("mode: Enforce", "mode: Enforced")).unwrap();
    studio.commit("Mistype");
    let error = refused(&["plan", "--from", "main~1", "fleet"]);
    assert!(
        error.contains("fleet/studio.yaml:19:3: spec.mode: Unsupported value"),
        "{error}"
    );
    assert!(error.contains("19 |   mode: Enforced"), "{error}");
}

#[test]
fn only_what_a_branch_does_counts_and_a_folder_may_come_or_go() {
    let Some(studio) = Studio::make("plan of a branch that is behind") else {
        return;
    };
    studio.git(&["checkout", "--quiet", "-b", "topic", "main~1"]);
    let file = studio.dir.path().join("fleet/studio.yaml");
    let policy = fs::read_to_string(&file).unwrap();
    fs::write(&file, policy.replace("mode: Enforce", "mode: Audit")).unwrap();
    studio.commit("Only look");
    let branch = studio.say(1, &["plan", "--from", "main", "--merge-base", "fleet"]);
    assert!(
        branch.contains("Settings: 3 removed, 0 changed, 0 added"),
        "{branch}"
    );
    let whole = studio.say(1, &["plan", "--from", "main", "fleet"]);
    assert!(whole.contains("Settings: 5 removed"), "{whole}");

    studio.git(&["mv", "fleet", "policy"]);
    studio.commit("Move");
    let gone = studio.say(1, &["plan", "--from", "HEAD~1", "fleet"]);
    assert!(gone.contains("HEAD has no folder fleet"), "{gone}");
    assert!(gone.contains("it removes 3 of 3 objects"), "{gone}");
    let new = studio.say(1, &["plan", "--from", "HEAD~1", "policy"]);
    assert!(new.contains("HEAD~1 has no folder policy"), "{new}");
}

#[test]
fn a_rendering_is_the_same_to_the_byte_and_leaves_nothing_of_an_earlier_one() {
    let Some(studio) = Studio::make("render of the example") else {
        return;
    };
    let render = |out: &str| {
        let device = "platform=macOS,os=26.1,label:team=studio,name=mac";
        let args = [
            "render",
            "fleet",
            "--device",
            device,
            "--device",
            "platform=iOS,os=26.1",
            "--out",
            out,
        ];
        studio.say(0, &args)
    };
    let said = render("one");
    insta::assert_snapshot!("render", said);
    render("two");
    let (one, two) = (
        read_all(&studio.dir.path().join("one")),
        read_all(&studio.dir.path().join("two")),
    );
    assert_eq!(one, two);
    let profiles: Vec<&String> = one
        .keys()
        .filter(|path| path.ends_with(".mobileconfig"))
        .collect();
    assert_eq!(profiles.len(), 2, "{profiles:?}");
    for path in profiles {
        let profile: plist::Value = plist::from_bytes(&one[path]).unwrap();
        let profile = profile.into_dictionary().unwrap();
        assert_eq!(profile["PayloadType"].as_string(), Some("Configuration"));
        assert!(!profile["PayloadContent"].as_array().unwrap().is_empty());
    }
    for (path, content) in one.iter().filter(|(path, _)| path.contains("/declarations/")) {
        let declaration: Value = serde_json::from_slice(content).unwrap();
        let file = Path::new(path).file_stem().unwrap().to_str().unwrap();
        assert_eq!(declaration["Identifier"], file);
    }
    // The commit before has other content: what is no longer there is removed, what people put beside it stays.
    studio.git(&["checkout", "--quiet", "main~1"]);
    fs::write(studio.dir.path().join("one/mac/profiles/notes.txt"), "mine").unwrap();
    render("one");
    let earlier = read_all(&studio.dir.path().join("one"));
    assert!(
        !earlier.keys().any(|path| path.contains("FileVault2")),
        "{:?}",
        earlier.keys()
    );
    assert!(earlier.contains_key("mac/profiles/notes.txt"));
}

/// Every file below a folder, by path.
fn read_all(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(at).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else {
                let path = entry.path().strip_prefix(folder).unwrap().display().to_string();
                files.insert(path, fs::read(entry.path()).unwrap());
            }
        }
    }
    files
}

#[test]
fn a_tree_of_mscp_is_rendered_by_the_baseline_that_is_named() {
    let tree = root().join("tests/it/mscp/two");
    let render = |more: &[&str]| {
        let args = [
            "render",
            tree.to_str().unwrap(),
            "--device",
            "platform=macOS,os=26.0",
        ];
        Command::new(PROGRAM).args(args).args(more).output().unwrap()
    };
    let said = render(&["--baseline", "essential-macos-26.0", "-o", "json"]);
    assert!(said.status.success(), "{}", text(&said.stderr));
    let summary: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert!(!summary[0]["settings"].as_array().unwrap().is_empty());
    let reasons = summary[0]["rules"].as_array().unwrap().iter();
    let unserved = reasons.filter(|rule| rule["outcome"] == "notServed");
    assert!(unserved.clone().count() > 0);
    assert!(
        unserved
            .clone()
            .all(|rule| !rule["reason"].as_str().unwrap().is_empty())
    );
    let wrong = render(&["--baseline", "essential-macos"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(
        text(&wrong.stderr).contains("did you mean `essential-macos-26.0`?"),
        "{}",
        text(&wrong.stderr)
    );
}

#[test]
fn the_published_tree_of_mscp_is_rendered() {
    let Some(folder) = crate::mscp::published("render of the published tree") else {
        return;
    };
    let tree = folder.join("mscp");
    let render = |more: &[&str]| {
        let args = [
            "render",
            tree.to_str().unwrap(),
            "--device",
            "platform=macOS,os=26.0",
        ];
        Command::new(PROGRAM).args(args).args(more).output().unwrap()
    };
    let said = render(&["--baseline", "disa-stig-macos-26.0", "-o", "json"]);
    assert!(said.status.success(), "{}", text(&said.stderr));
    let summary: Value = serde_json::from_slice(&said.stdout).unwrap();
    // The one type of Apple's that begins with a dot is among them.
    let settings = summary[0]["settings"].as_array().unwrap();
    assert!(
        settings
            .iter()
            .any(|setting| setting["type"] == ".GlobalPreferences")
    );
    // Which of its many baselines is meant has to be said.
    let many = render(&[]);
    assert_eq!(many.status.code(), Some(1));
    assert!(
        text(&many.stderr).contains("choose with --baseline"),
        "{}",
        text(&many.stderr)
    );
}

#[test]
fn the_commands_of_the_guide_run_as_they_stand() {
    let Some(studio) = Studio::make("the commands of the guide") else {
        return;
    };
    let mut ran = 0;
    for file in ["docs/pull-requests.md", "examples/pull-request/README.md"] {
        let guide = fs::read_to_string(root().join(file)).unwrap();
        for line in guide.lines().filter_map(|line| line.strip_prefix("$ provost ")) {
            let args: Vec<&str> = line.split_whitespace().collect();
            let Some(expected) = ends_with(&args) else {
                continue;
            };
            let output = studio.run(&args);
            assert_eq!(
                output.status.code(),
                Some(expected),
                "{line}: {}",
                text(&output.stderr)
            );
            ran += 1;
        }
    }
    assert!(ran >= 6, "only {ran} commands were found");
}

/// How a command of the guide ends. None: it is not for this test.
fn ends_with(args: &[&str]) -> Option<i32> {
    match args.first() {
        Some(&"plan") => Some(1),
        Some(&"render") => Some(0),
        _ => None,
    }
}

#[test]
fn the_pipelines_of_the_guide_are_yaml_and_name_only_options_that_exist() {
    let guide = fs::read_to_string(root().join("docs/pull-requests.md")).unwrap();
    let mut pipelines = 0;
    for block in guide.split("```yaml\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let parsed: Value = serde_yaml::from_str(block).unwrap();
        assert!(parsed.is_object());
        for line in block.lines().filter(|line| line.contains("plan --from")) {
            pipelines += 1;
            let help = Command::new(PROGRAM).args(["plan", "--help"]).output().unwrap();
            let help = text(&help.stdout);
            for option in line.split_whitespace().filter(|word| word.starts_with("--")) {
                assert!(
                    help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n")),
                    "{option}"
                );
            }
        }
    }
    assert_eq!(pipelines, 2);
}

#[test]
fn the_guide_tells_all_that_cannot_be_undone() {
    let guide = fs::read_to_string(root().join("docs/pull-requests.md")).unwrap();
    for lasting in provost::policy::difference::LASTING {
        assert!(guide.contains(lasting.what), "the table lacks: {}", lasting.what);
    }
}
