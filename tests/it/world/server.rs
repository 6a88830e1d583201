//! `provost up`, `provost serve` and the other commands, as processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::TokioExecutor;
use kube::Client;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::said::{Said, said};

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_provost");

/// Runs a command to its end.
pub(crate) async fn provost(args: &[&str]) -> Said {
    said(Command::new(PROGRAM).args(args), "").await
}

/// A command of the program, for whoever needs its pipes.
pub(crate) fn command() -> Command {
    let mut command = Command::new(PROGRAM);
    command.kill_on_drop(true);
    command
}

/// What the line `ready …` says.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) mdm: String,
    pub(crate) api: String,
    pub(crate) admin: String,
    pub(crate) kubeconfig: PathBuf,
    pub(crate) ca: PathBuf,
}

impl Ready {
    /// Reads the line. `kubeconfig` is the cluster's, if there is one.
    fn read(line: &str, kubeconfig: Option<&Path>) -> Self {
        let fields = line
            .strip_prefix("ready ")
            .unwrap_or_else(|| panic!("not the ready line: {line}"));
        let field = |name: &str| {
            let mut found = fields
                .split(' ')
                .filter_map(|field| field.split_once('='))
                .filter(|(key, _)| *key == name);
            found
                .next()
                .unwrap_or_else(|| panic!("no {name} in: {line}"))
                .1
                .to_owned()
        };
        Self {
            mdm: field("mdm"),
            api: field("api"),
            admin: field("admin"),
            kubeconfig: kubeconfig.map_or_else(|| field("kubeconfig").into(), Path::to_owned),
            ca: field("ca").into(),
        }
    }
}

/// A lease that stories need not wait for long, and that a busy machine keeps.
pub(crate) const SHORT_LEASE: [&str; 6] = [
    "--lease-duration",
    "5s",
    "--lease-renew-deadline",
    "4s",
    "--lease-retry-period",
    "400ms",
];

/// A running `provost up` or `provost serve`.
pub(crate) struct Server {
    child: Child,
    stdout: BufReader<ChildStdout>,
    data_dir: PathBuf,
    /// The cluster's, of `provost serve`.
    kubeconfig: Option<PathBuf>,
    more: Vec<String>,
    pub(crate) ready: Ready,
}

impl Server {
    /// Starts `provost up` on free ports (but for `mdm_port`, unless 0) and waits until it is ready.
    pub(crate) async fn start(data_dir: &Path, mdm_port: u16, more: &[&str]) -> Self {
        Self::begin(data_dir, None, mdm_port, more).await
    }

    /// Starts `provost serve` for the cluster of a kubeconfig, likewise.
    pub(crate) async fn serve(data_dir: &Path, kubeconfig: &Path, mdm_port: u16, more: &[&str]) -> Self {
        Self::begin(data_dir, Some(kubeconfig), mdm_port, more).await
    }

    async fn begin(data_dir: &Path, kubeconfig: Option<&Path>, mdm_port: u16, more: &[&str]) -> Self {
        let more: Vec<String> = more.iter().map(|&arg| arg.to_owned()).collect();
        let ports = Ports {
            mdm: mdm_port,
            ..Ports::default()
        };
        let (child, stdout, ready) = run(data_dir, kubeconfig, &ports, &more).await;
        Self {
            child,
            stdout,
            data_dir: data_dir.to_owned(),
            kubeconfig: kubeconfig.map(Path::to_owned),
            more,
            ready,
        }
    }

    /// Its data directory.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The port that devices come to.
    pub(crate) fn mdm_port(&self) -> u16 {
        port(&self.ready.mdm)
    }

    /// Kills it as a power cut would, and starts it again on the same data and ports.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.kill().await;
        let ready = &self.ready;
        let ports = Ports {
            mdm: port(&ready.mdm),
            api: port(&ready.api),
            admin: port(&ready.admin),
        };
        let kubeconfig = self.kubeconfig.as_deref();
        (self.child, self.stdout, self.ready) = run(&self.data_dir, kubeconfig, &ports, &self.more).await;
    }

    /// Kills it as a power cut would.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends it a signal, such as `STOP`.
    pub(crate) async fn signal(&self, name: &str) {
        let kill = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.pid())])
            .status()
            .await
            .unwrap();
        assert!(kill.success());
    }

    /// The memory it holds now, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        memory(self.pid(), "VmRSS:")
    }

    /// The most memory it has held, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        memory(self.pid(), "VmHWM:")
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// What it has said on standard error so far.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(log(&self.data_dir)).unwrap()
    }

    /// Asks it to stop. Gives how it ended and what it printed on standard output after the ready line.
    pub(crate) async fn terminate(&mut self) -> (ExitStatus, String) {
        self.signal("TERM").await;
        let status = self.child.wait().await.unwrap();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).await.unwrap();
        (status, rest)
    }

    /// A client, as kubectl would make it from the kubeconfig.
    pub(crate) async fn client(&self) -> Client {
        crate::control_plane::client(&self.ready.kubeconfig).await
    }

    /// Gets a page of the admin address: status and text.
    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let client: HttpClient<_, Empty<Bytes>> = HttpClient::builder(TokioExecutor::new()).build_http();
        let response = client
            .get(format!("{}{path}", self.ready.admin).parse().unwrap())
            .await
            .unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// A counter or gauge of the metrics page; labels, if any, belong to the name.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let (_, page) = self.admin("/metrics").await;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in:\n{page}"))
            .parse()
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(log(&self.data_dir)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(60)..).unwrap_or_default();
            println!("the server's last words:\n{}", tail.join("\n"));
        }
    }
}

/// Where a server listens, on loopback; 0 is any.
#[derive(Default)]
struct Ports {
    mdm: u16,
    api: u16,
    admin: u16,
}

async fn run(
    data_dir: &Path,
    kubeconfig: Option<&Path>,
    ports: &Ports,
    more: &[String],
) -> (Child, BufReader<ChildStdout>, Ready) {
    let log = fs::File::options()
        .create(true)
        .append(true)
        .open(log(data_dir))
        .unwrap();
    let mut command = command();
    match kubeconfig {
        None => {
            command.args(["up", "--api-listen", &format!("127.0.0.1:{}", ports.api)]);
        }
        Some(path) => {
            command.args(["serve", "--kubeconfig"]).arg(path);
        }
    }
    command.arg("--data-dir").arg(data_dir).args(more);
    for (option, port) in [("--mdm-listen", ports.mdm), ("--admin-listen", ports.admin)] {
        command.arg(option).arg(format!("127.0.0.1:{port}"));
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).await.unwrap();
    if line.is_empty() {
        let said = fs::read_to_string(self::log(data_dir)).unwrap_or_default();
        panic!("the server ended before it was ready:\n{said}");
    }
    (child, stdout, Ready::read(line.trim_end(), kubeconfig))
}

/// Where its standard error goes: beside the data directory.
fn log(data_dir: &Path) -> PathBuf {
    data_dir.with_extension("log")
}

fn port(url: &str) -> u16 {
    url.parse::<http::Uri>().unwrap().port_u16().unwrap()
}

/// A line of what the kernel says about a process, in bytes.
pub(crate) fn memory(pid: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the server lives");
    let kilobytes = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    kilobytes.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
