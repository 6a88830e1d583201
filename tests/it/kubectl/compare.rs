//! Runs every scenario on a real API server and on the embedded API with the same kubectl, and compares what kubectl says, complains
//! of and exits with. All differences of a run are shown, side by side, before it fails.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::normal::normal;
use super::scenario::{Scenario, Step};
use crate::control_plane::{ControlPlane, EmbeddedApi, assets, install_crds, summary};
use crate::world::eventually::eventually;

/// How long a command may take. Those that wait have shorter limits of their own.
const PATIENCE: Duration = Duration::from_mins(1);

/// One API, and where commands against it run.
struct Side<'a> {
    kubectl: &'a Path,
    kubeconfig: PathBuf,
    /// kubectl keeps what it discovered there.
    home: PathBuf,
    folder: PathBuf,
}

/// What came of a line.
struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    fn shown(&self) -> String {
        let mut shown = format!("exit {:?}\n{}", self.code, self.stdout);
        if !self.stderr.is_empty() {
            let _ = write!(shown, "--- stderr\n{}", self.stderr);
        }
        shown
    }
}

impl Side<'_> {
    /// The same API in a scenario: a folder with its files, and a namespace that kubectl is pointed at.
    async fn enter(&self, scenario: &Scenario) -> Side<'_> {
        let folder = self.home.join(&scenario.name);
        fs::create_dir_all(&folder).unwrap();
        scenario.unpack(&folder);
        let kubeconfig = self.home.join(format!("{}.kubeconfig", scenario.name));
        fs::copy(&self.kubeconfig, &kubeconfig).unwrap();
        let side = Side {
            kubectl: self.kubectl,
            kubeconfig,
            home: self.home.clone(),
            folder,
        };
        let name = &scenario.name;
        for line in [
            format!("kubectl create namespace {name}"),
            format!("kubectl config set-context --current --namespace={name}"),
        ] {
            let outcome = side.run(&line).await;
            assert_eq!(outcome.code, Some(0), "{line}: {}", outcome.shown());
        }
        side
    }

    fn command(&self, line: &str) -> Command {
        let tools = self.kubectl.parent().unwrap().display();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = path.to_string_lossy();
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(&self.folder)
            .env("PATH", format!("{tools}:{path}"))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, line: &str) -> Outcome {
        let output = tokio::time::timeout(PATIENCE, self.command(line).output()).await;
        let Ok(output) = output else {
            return Outcome {
                code: None,
                stdout: String::new(),
                stderr: "took too long\n".to_owned(),
            };
        };
        let output = output.unwrap();
        self.outcome(output.status.code(), &output.stdout, &output.stderr)
    }

    fn outcome(&self, code: Option<i32>, stdout: &[u8], stderr: &[u8]) -> Outcome {
        let folder = self.folder.display().to_string();
        let text = |bytes: &[u8]| normal(&String::from_utf8_lossy(bytes), &folder);
        Outcome {
            code,
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }

    /// Begins a line and waits until its watch has begun.
    async fn begin(&self, line: &str, number: usize) -> Begun {
        let stdout = self.folder.join(format!("stdout.{number}"));
        let stderr = self.folder.join(format!("stderr.{number}"));
        let begun = Begun {
            // `exec`, so that what is stopped is kubectl and not the shell before it; `-v=6` says when the watch begins.
            child: self
                .command(&format!("exec {line} -v=6"))
                .stdout(fs::File::create(&stdout).unwrap())
                .stderr(fs::File::create(&stderr).unwrap())
                .spawn()
                .unwrap(),
            line: line.to_owned(),
            stdout,
            stderr,
        };
        eventually(&format!("{line} watches"), async || {
            let log = fs::read_to_string(&begun.stderr).unwrap();
            if log.contains("watch=true") {
                Ok(())
            } else {
                Err(log)
            }
        })
        .await;
        begun
    }

    /// Waits until a begun line has written `lines` lines, and stops it.
    async fn stop(&self, mut begun: Begun, lines: usize) -> Outcome {
        let read = |path: &Path| fs::read(path).unwrap();
        let written = |bytes: &[u8]| String::from_utf8_lossy(bytes).matches('\n').count();
        let _ = tokio::time::timeout(PATIENCE / 4, async {
            while written(&read(&begun.stdout)) < lines && begun.child.try_wait().unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        begun.child.kill().await.unwrap();
        self.outcome(None, &read(&begun.stdout), &read(&begun.stderr))
    }
}

/// A line that runs while others do.
struct Begun {
    child: Child,
    line: String,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// What a scenario gave: of each line what came of it, and whether its words may differ.
async fn play(side: &Side<'_>, scenario: &Scenario) -> Vec<(String, Outcome, bool)> {
    let side = side.enter(scenario).await;
    let (mut outcomes, mut begun) = (Vec::new(), VecDeque::new());
    let mut number = 0;
    for step in &scenario.steps {
        match step {
            Step::Run { line, may_differ } => {
                outcomes.push((line.clone(), side.run(line).await, may_differ.is_some()));
            }
            Step::Begin(line) => {
                begun.push_back(side.begin(line, number).await);
                number += 1;
            }
            Step::Stop(lines) => {
                let one: Begun = begun.pop_front().expect("something was begun");
                let line = one.line.clone();
                outcomes.push((line, side.stop(one, *lines).await, false));
            }
        }
    }
    outcomes
}

/// Two texts beside each other: the lines that only one has, and one line of what both have around them.
fn side_by_side(real: &str, embedded: &str) -> String {
    let (real, embedded): (Vec<&str>, Vec<&str>) = (real.lines().collect(), embedded.lines().collect());
    // How many lines the rests have in common, from each pair of lines on.
    let mut common = vec![vec![0_usize; embedded.len() + 1]; real.len() + 1];
    for left in (0..real.len()).rev() {
        for right in (0..embedded.len()).rev() {
            common[left][right] = if real[left] == embedded[right] {
                common[left + 1][right + 1] + 1
            } else {
                common[left + 1][right].max(common[left][right + 1])
            };
        }
    }
    let (mut left, mut right, mut lines) = (0, 0, Vec::new());
    while left < real.len() || right < embedded.len() {
        let here = real.get(left).zip(embedded.get(right));
        if let Some((line, _)) = here.filter(|(one, other)| one == other) {
            lines.push((' ', *line));
            (left, right) = (left + 1, right + 1);
        } else if right == embedded.len()
            || (left < real.len() && common[left + 1][right] >= common[left][right + 1])
        {
            lines.push(('R', real[left]));
            left += 1;
        } else {
            lines.push(('E', embedded[right]));
            right += 1;
        }
    }
    let mut text = String::new();
    for (index, (mark, line)) in lines.iter().enumerate() {
        let around = &lines[index.saturating_sub(1)..(index + 2).min(lines.len())];
        if around.iter().any(|(mark, _)| *mark != ' ') {
            let _ = writeln!(text, "  {mark} {line}");
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_cannot_tell_the_embedded_api_from_a_real_one() {
    let what = "comparisons of kubectl on both APIs";
    let Some(assets) = assets(what) else { return };
    let Some(plane) = ControlPlane::start(what).await else {
        return;
    };
    let embedded_api = EmbeddedApi::start().await;
    install_crds(&plane.client().await).await;
    install_crds(&embedded_api.client().await).await;

    let kubectl = assets.kubectl();
    let side = |kubeconfig: PathBuf, home: PathBuf| {
        fs::create_dir_all(&home).unwrap();
        Side {
            kubectl: &kubectl,
            kubeconfig,
            folder: home.clone(),
            home,
        }
    };
    let real = side(plane.kubeconfig(), plane.path("home"));
    let embedded = side(embedded_api.kubeconfig(), embedded_api.path("home"));

    let (mut commands, mut differences) = (0, Vec::new());
    for scenario in Scenario::all() {
        let (on_real, on_embedded) = tokio::join!(play(&real, &scenario), play(&embedded, &scenario));
        commands += on_real.len();
        for ((line, expected, may_differ), (_, found, _)) in on_real.iter().zip(&on_embedded) {
            let same = if *may_differ {
                (expected.code == Some(0)) == (found.code == Some(0))
            } else {
                expected.shown() == found.shown()
            };
            if !same {
                let texts = side_by_side(&expected.shown(), &found.shown());
                differences.push(format!("{}: $ {line}\n{texts}", scenario.name));
            }
        }
    }
    let version = plane.version();
    summary(&format!(
        "kubectl {version}: {commands} commands on kube-apiserver {version} and on the embedded API, {} differences",
        differences.len()
    ));
    assert!(
        differences.is_empty(),
        "R is the real API server, E the embedded API\n\n{}",
        differences.join("\n")
    );
}
