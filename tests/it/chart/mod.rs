//! The Helm chart: what it renders is taken by a real API server, and Provost works with the roles that it gives and needs each of them.

mod least_privilege;
mod matrix;
mod readme;
mod rendering;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::control_plane::Assets;

/// Where the stories install the chart.
const NAMESPACE: &str = "provost-system";

/// The folder of the chart.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/provost")
}

/// A file of the chart.
fn file(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// Runs a program. Gives whether it succeeded, what it printed and what it complained of.
fn run(program: &Path, args: &[&str], input: &str) -> (bool, String, String) {
    use std::io::Write as _;

    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(program)
        .args(args)
        .env("HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // The other side may print before it has read everything, or end without.
    let writing = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

/// Renders the chart with these values, or says why not.
fn render(assets: &Assets, values: &Value) -> Result<String, String> {
    let (chart, values) = (folder(), values.to_string());
    let args = [
        "template",
        "provost",
        chart.to_str().unwrap(),
        "--namespace",
        NAMESPACE,
        "--values",
        "-",
    ];
    match run(&assets.helm(), &args, &values) {
        (true, rendered, _) => Ok(rendered),
        (false, _, complaint) => Err(complaint),
    }
}

/// The objects of a rendering.
fn objects(rendered: &str) -> Vec<Value> {
    use serde::Deserialize as _;

    serde_yaml::Deserializer::from_str(rendered)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|object| !object.is_null())
        .collect()
}

fn kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap()
}

/// The objects of a kind.
fn of_kind<'a>(objects: &'a [Value], wanted: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| kind(object) == wanted).collect()
}
