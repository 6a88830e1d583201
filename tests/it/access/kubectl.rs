//! The same through an unmodified kubectl, on both servers.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::server::Server;
use crate::control_plane::{ControlPlane, EmbeddedApi, assets};
use crate::world::said;

struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

impl Kubectl {
    /// Exit code and both outputs together.
    async fn run(&self, line: &str) -> String {
        let mut command = Command::new(&self.program);
        command
            .args(line.split_whitespace())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home);
        let said = said(&mut command, "").await;
        format!("{}\n{}{}", said.code, said.stdout, said.stderr)
    }

    /// Runs it as the holder of a token, who brings no certificate.
    async fn run_with_token(&self, token: &str, line: &str) -> String {
        // A certificate in the file would count before the token.
        let text = std::fs::read_to_string(&self.kubeconfig).unwrap();
        let without: Vec<&str> = text.lines().filter(|line| !line.contains("client-")).collect();
        let path = self.home.join("no-certificate");
        std::fs::write(&path, without.join("\n").replace("user:\n", "user: {}\n")).unwrap();
        let other = Self {
            program: self.program.clone(),
            kubeconfig: path,
            home: self.home.clone(),
        };
        other.run(&format!("--token={token} {line}")).await
    }
}

/// What people type to learn what they may do. Later lines see what earlier ones made.
const LINES: &[&str] = &[
    "auth can-i list devices -n a --as bob",
    "auth can-i list devices -n b --as bob",
    "auth can-i list devices.provost.dev -A --as bob",
    "auth can-i get devices/status -n a --as statuses",
    "auth can-i get /healthz --as bob",
    "auth can-i get /metrics --as bob",
    "auth can-i '*' '*' --as eve --as-group ops",
    "auth can-i '*' '*'",
    "auth can-i get secrets/two -n a --as one",
    "auth can-i get secrets/one -n a --as one",
    "auth can-i --list -n a --as bob",
    "auth can-i --list -n b --as one",
    "auth can-i --list -n a --as system:anonymous",
    "auth whoami --as bob --as-group dev -o jsonpath={.status.userInfo.username}|{.status.userInfo.groups}",
    "auth whoami --as system:serviceaccount:a:bot -o jsonpath={.status.userInfo.groups}",
    "get devices -n b --as bob",
    "get secrets -n a --as bob",
    "get secret two -n a --as one",
    "delete device x -n a --as bob",
    "create namespace z --as bob",
    "create serviceaccount auditor -n a",
    "create role sees-maps -n a --verb=get,list --resource=configmaps",
    "create rolebinding auditor -n a --role=sees-maps --serviceaccount=a:auditor",
    "auth can-i list configmaps -n a --as system:serviceaccount:a:auditor",
    "auth can-i list configmaps -n b --as system:serviceaccount:a:auditor",
    "create rolebinding mine -n a --clusterrole=cluster-admin --user=local --as local",
    "create clusterrolebinding mine --clusterrole=cluster-admin --user=bob --as bob",
    "create clusterrole everything --verb=* --resource=* --as granter -o name",
    "delete rolebinding auditor -n a",
    "auth can-i list configmaps -n a --as system:serviceaccount:a:auditor",
    "create token nobody -n a",
    "create token auditor -n a --duration 1m",
];

async fn on(kubeconfig: &Path, home: PathBuf) -> Option<Vec<(String, String)>> {
    let program = assets("kubectl's questions about access")?.kubectl();
    let name = "kubectl";
    Server::prepare(name, kubeconfig).await;
    std::fs::create_dir_all(&home).unwrap();
    let kubectl = Kubectl {
        program,
        kubeconfig: kubeconfig.to_owned(),
        home,
    };
    let mut answers = Vec::new();
    for line in LINES {
        let answer = kubectl.run(&line.replace('\'', "")).await;
        answers.push(((*line).to_owned(), answer));
    }
    let token = kubectl.run("create token bot -n a --duration 20m").await;
    let token = token
        .strip_prefix("0\n")
        .unwrap_or_else(|| panic!("{token}"))
        .trim()
        .to_owned();
    assert_eq!(token.split('.').count(), 3, "{token}");
    for line in [
        "auth can-i list devices -n a",
        "auth can-i list secrets -n a",
        "get devices -n a",
        "get secrets -n a",
    ] {
        let answer = kubectl.run_with_token(&token, line).await;
        answers.push((format!("{line} (as bot)"), answer));
    }
    let who = "auth whoami -o jsonpath={.status.userInfo.username}|{.status.userInfo.groups}";
    answers.push((who.to_owned(), kubectl.run_with_token(&token, who).await));
    Some(answers)
}

#[tokio::test]
async fn kubectl_is_told_the_same_about_access_by_both_servers() {
    let Some(plane) = ControlPlane::start("kubectl's questions about access").await else {
        return;
    };
    let embedded = EmbeddedApi::start().await;
    let ours = on(&embedded.kubeconfig(), embedded.path("home")).await.unwrap();
    let theirs = on(&plane.kubeconfig(), plane.path("home")).await.unwrap();
    let differ = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs);
    let differ: Vec<String> = differ
        .map(|((line, ours), (_, theirs))| {
            format!("kubectl {line}\n  embedded: {ours}\n  real:     {theirs}")
        })
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// The administrator's file is for its owner alone, and the default address is not reachable from elsewhere.
#[test]
fn the_api_listens_on_loopback_unless_told_otherwise() {
    use std::os::unix::fs::PermissionsExt as _;

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let embedded = EmbeddedApi::start().await;
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&embedded.kubeconfig()), 0o600);
        assert_eq!(mode(&embedded.path("keys/sa.key")), 0o600);
        assert_eq!(mode(&embedded.path("keys/ca.key")), 0o600);
    });
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_provost"))
        .args(["up", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let listen = help.split("--api-listen").nth(1).unwrap();
    assert!(
        listen
            .split("[default: ")
            .nth(1)
            .unwrap()
            .starts_with("127.0.0.1:"),
        "{help}"
    );
}
