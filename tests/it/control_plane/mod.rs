//! Kubernetes APIs for stories: a real etcd and kube-apiserver, and the embedded API without controllers.
//!
//! The binaries come from `$KUBEBUILDER_ASSETS`, as envtest has it; `make test` builds them once and sets it. Each story starts its own,
//! so that none sees another's objects; what was started ends with it. There is no controller manager: nothing collects garbage,
//! finishes namespaces or makes service accounts.

mod certificates;
mod embedded;
mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt as _};
use provost::api::crds;
use provost::kubeapi::kubeconfig::{self, Access};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use embedded::EmbeddedApi;

use crate::world::eventually::eventually;
use certificates::Certificates;
use process::{Process, free_port};

/// Kubernetes' tools, and what is written with its libraries.
pub(crate) struct Assets(PathBuf);

impl Assets {
    pub(crate) fn kubectl(&self) -> PathBuf {
        self.0.join("kubectl")
    }

    pub(crate) fn helm(&self) -> PathBuf {
        self.0.join("helm")
    }

    pub(crate) fn informer(&self) -> PathBuf {
        self.0.join("informer")
    }
}

/// The tools, or nothing and a line that says what is left out.
pub(crate) fn assets(what: &str) -> Option<Assets> {
    const NEEDED: [&str; 5] = ["etcd", "kube-apiserver", "kubectl", "helm", "informer"];
    let folder = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let missing = match &folder {
        None => "KUBEBUILDER_ASSETS is not set; `make test` sets it where Go can build the tools".to_owned(),
        Some(folder) => match NEEDED.iter().find(|tool| !folder.join(tool).exists()) {
            Some(tool) => format!("there is no {tool} in {}", folder.display()),
            None => return Some(Assets(folder.clone())),
        },
    };
    left_out(what, &missing);
    None
}

/// Notes for the last lines of `make test` that something was left out.
pub(crate) fn left_out(what: &str, why: &str) {
    use std::io::Write as _;

    println!("left out: {what}: {why}");
    if let Some(path) = std::env::var_os("PROVOST_TEST_LEFT_OUT") {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        writeln!(file, "{what}: {why}").unwrap();
    }
}

/// A line for the last lines of `make test`: what ran against what.
pub(crate) fn summary(line: &str) {
    use std::io::Write as _;

    println!("{line}");
    if let Some(path) = std::env::var_os("PROVOST_TEST_SUMMARY") {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        writeln!(file, "{line}").unwrap();
    }
}

/// A real etcd and kube-apiserver.
pub(crate) struct ControlPlane {
    assets: PathBuf,
    certificates: Certificates,
    port: u16,
    etcd_port: u16,
    version: String,
    api_server: Option<Process>,
    _etcd: Process,
    /// Goes last: the processes work in it.
    dir: TempDir,
}

impl ControlPlane {
    /// Starts them; about four seconds. None where the binaries are missing, which is noted: `what` is left out.
    pub(crate) async fn start(what: &str) -> Option<Self> {
        let assets = assets(what)?.0;
        let dir = tempfile::tempdir().unwrap();
        let certificates = Certificates::make();
        certificates.write(dir.path());
        fs::write(dir.path().join("audit-policy.yaml"), AUDIT_POLICY).unwrap();
        let (etcd_port, peer_port, port) = (free_port(), free_port(), free_port());
        let etcd = Process::start(
            &assets.join("etcd"),
            &[
                format!("--listen-peer-urls=http://127.0.0.1:{peer_port}"),
                format!("--listen-client-urls=http://127.0.0.1:{etcd_port}"),
                format!("--advertise-client-urls=http://127.0.0.1:{etcd_port}"),
                format!("--data-dir={}", dir.path().join("etcd").display()),
                // Nothing here outlives its story.
                "--unsafe-no-fsync=true".to_owned(),
                "--logger=zap".to_owned(),
                "--log-level=warn".to_owned(),
            ],
            &dir.path().join("etcd.log"),
        );
        let mut plane = Self {
            assets,
            certificates,
            port,
            etcd_port,
            version: String::new(),
            api_server: None,
            _etcd: etcd,
            dir,
        };
        plane.write_kubeconfig("admin", &["system:masters"]);
        plane.restart().await;
        let version = plane.client().await.apiserver_version().await.unwrap();
        plane.version = version.git_version;
        Some(plane)
    }

    /// The administrator's kubeconfig, mode 0600.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig_path("admin")
    }

    /// A kubeconfig for another user, by client certificate.
    pub(crate) fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> PathBuf {
        self.write_kubeconfig(user, groups)
    }

    /// A client as administrator.
    pub(crate) async fn client(&self) -> Client {
        client(&self.kubeconfig()).await
    }

    /// `https://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// What vouches for it, PEM.
    pub(crate) fn authority(&self) -> &str {
        &self.certificates.server_authority
    }

    /// Such as `v1.37.2`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// A folder for the story's own use.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Kills the API server, as a power cut would. etcd goes on.
    pub(crate) fn kill(&mut self) {
        self.api_server = None;
    }

    /// Starts the API server again on the same port and data.
    pub(crate) async fn restart(&mut self) {
        let dir = self.dir.path();
        let file = |name: &str| dir.join(name).display().to_string();
        let (etcd, port) = (self.etcd_port, self.port);
        self.api_server = Some(Process::start(
            &self.assets.join("kube-apiserver"),
            &[
                format!("--etcd-servers=http://127.0.0.1:{etcd}"),
                format!("--cert-dir={}", dir.display()),
                format!("--tls-cert-file={}", file("apiserver.crt")),
                format!("--tls-private-key-file={}", file("apiserver.key")),
                format!("--client-ca-file={}", file("client-ca.crt")),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--secure-port={port}"),
                "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
                "--authorization-mode=RBAC".to_owned(),
                // There is no controller manager that would make the service accounts it asks for.
                "--disable-admission-plugins=ServiceAccount".to_owned(),
                "--allow-privileged=true".to_owned(),
                format!("--service-account-issuer=https://127.0.0.1:{port}/"),
                format!("--service-account-key-file={}", file("service-accounts.pub")),
                format!(
                    "--service-account-signing-key-file={}",
                    file("service-accounts.key")
                ),
                format!("--audit-policy-file={}", file("audit-policy.yaml")),
                format!("--audit-log-path={}", file("audit.log")),
                "--audit-log-mode=blocking-strict".to_owned(),
            ],
            &dir.join("kube-apiserver.log"),
        ));
        let client = self.client().await;
        eventually("the API server is ready", async || {
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            match client.request_text(request).await {
                Ok(_) => Ok(()),
                Err(error) => Err(format!(
                    "{error}\n{}",
                    last_words(&dir.join("kube-apiserver.log"))
                )),
            }
        })
        .await;
    }

    /// The requests that it has answered so far: audit events at level Metadata, one a request.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.path("audit.log")).unwrap_or_default();
        // The last line may be half written.
        log.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    fn kubeconfig_path(&self, user: &str) -> PathBuf {
        self.path(&format!("{}.kubeconfig", user.replace([':', '/'], "_")))
    }

    fn write_kubeconfig(&self, user: &str, groups: &[&str]) -> PathBuf {
        let (certificate, key) = self.certificates.client(user, groups);
        let path = self.kubeconfig_path(user);
        let access = Access {
            server: self.url(),
            authority: self.authority().to_owned(),
            certificate,
            key: provost::secret::Secret::new(key),
        };
        kubeconfig::write(&path, &access).unwrap();
        path
    }
}

/// Everything, once it has been answered; watches when they begin, too.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{ level: Metadata }]
";

/// Applies Provost's definitions and waits until they are served.
pub(crate) async fn install_crds(client: &Client) {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds::all() {
        let parameters = PatchParams::apply("test").force();
        definitions
            .patch(&crd.name_any(), &parameters, &Patch::Apply(&crd))
            .await
            .unwrap();
    }
    for crd in crds::all() {
        let name = crd.name_any();
        await_condition(definitions.clone(), &name, conditions::is_crd_established())
            .await
            .unwrap();
    }
    // Established comes a moment before the handler does.
    eventually("every kind is served", async || {
        for crd in crds::all() {
            let (group, plural) = (&crd.spec.group, &crd.spec.names.plural);
            let version = &crd.spec.versions[0].name;
            let path = format!("/apis/{group}/{version}/{plural}?limit=1");
            let request = http::Request::get(path).body(Vec::new()).unwrap();
            client
                .request_text(request)
                .await
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    })
    .await;
}

/// A client, as kubectl would make it from a kubeconfig.
/// Chooses the implementation of TLS's algorithms, once for this process.
pub(crate) fn install_provider() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .expect("the first to choose");
    });
}

pub(crate) async fn client(kubeconfig: &Path) -> Client {
    install_provider();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    Client::try_from(config).unwrap()
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[tokio::test]
async fn a_control_plane_starts_is_killed_and_comes_back_with_what_it_knew() {
    let Some(mut plane) = ControlPlane::start("stories on a real API server").await else {
        return;
    };
    let client = plane.client().await;
    install_crds(&client).await;
    plane.kill();
    plane.restart().await;
    let definitions: Api<CustomResourceDefinition> = Api::all(client);
    let names = definitions.list(&kube::api::ListParams::default()).await.unwrap();
    assert_eq!(names.items.len(), crds::all().len());
    assert!(plane.audit().iter().any(|event| event["verb"] == "patch"));

    let nobody = plane.kubeconfig_for("nobody", &[]);
    let refused = Api::<CustomResourceDefinition>::all(self::client(&nobody).await)
        .get("devices.provost.dev")
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("User \"nobody\" cannot get"),
        "{refused}"
    );
    summary(&format!("Kubernetes API server: {}", plane.version()));
}
