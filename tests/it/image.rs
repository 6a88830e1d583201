//! The container image, read back from its layout; nothing that made it takes part.
//!
//! `make test` builds it with the development profile and says in `$PROVOST_TEST_IMAGE` where it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::api::PostParams;
use provost::api::GitSource;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::control_plane::{client, left_out, summary};
use crate::world::server::provost;

/// How long the program may take to come to a git server. Far longer than it does, since the tests share the machine with others.
const DEADLINE: Duration = Duration::from_secs(90);

/// Everything in the image: mode, owner, path.
const CONTENT: &str = "\
drwxr-xr-x 0/0 etc/
-rw-r--r-- 0/0 etc/group
-rw-r--r-- 0/0 etc/nsswitch.conf
-rw-r--r-- 0/0 etc/passwd
drwxr-xr-x 0/0 etc/ssl/
drwxr-xr-x 0/0 etc/ssl/certs/
-rw-r--r-- 0/0 etc/ssl/certs/ca-certificates.crt
drwxr-xr-x 0/0 var/
drwxr-xr-x 0/0 var/lib/
drwxrwxrwt 65532/65532 tmp/
drwx------ 65532/65532 var/lib/provost/
drwxr-xr-x 0/0 usr/
drwxr-xr-x 0/0 usr/bin/
lrwxrwxrwx 0/0 usr/bin/kubectl-provost -> provost
-rwxr-xr-x 0/0 usr/bin/provost
drwxr-xr-x 0/0 usr/share/
drwxr-xr-x 0/0 usr/share/provost/
-rw-r--r-- 0/0 usr/share/provost/LICENSE
-rw-r--r-- 0/0 usr/share/provost/sbom.cdx.json
";

/// The one image of a layout.
struct Image {
    layout: PathBuf,
    manifest: Value,
    config: Value,
    /// Every blob that something refers to.
    referred: BTreeSet<String>,
}

impl Image {
    /// Reads it, or nothing and a line that says what is left out.
    fn open(what: &str) -> Option<Self> {
        let Some(layout) = std::env::var_os("PROVOST_TEST_IMAGE").map(PathBuf::from) else {
            left_out(
                what,
                "there is no image; `make test` builds one where its tools are",
            );
            return None;
        };
        let mut image = Self {
            layout,
            manifest: Value::Null,
            config: Value::Null,
            referred: BTreeSet::new(),
        };
        let index: Value =
            serde_json::from_slice(&fs::read(image.layout.join("index.json")).unwrap()).unwrap();
        let [descriptor] = index["manifests"].as_array().unwrap().as_slice() else {
            panic!("not one image: {index}")
        };
        let tag = &descriptor["annotations"]["org.opencontainers.image.ref.name"];
        assert_eq!(tag, env!("CARGO_PKG_VERSION"));
        image.manifest = serde_json::from_slice(&image.blob(descriptor)).unwrap();
        let config = image.manifest["config"].clone();
        image.config = serde_json::from_slice(&image.blob(&config)).unwrap();
        Some(image)
    }

    /// What a descriptor points at, of the size and digest that it says.
    fn blob(&mut self, descriptor: &Value) -> Vec<u8> {
        let content = fs::read(self.path(descriptor)).unwrap();
        assert_eq!(descriptor["size"], content.len());
        assert_eq!(descriptor["digest"], sha256(&content));
        let digest = descriptor["digest"].as_str().unwrap();
        self.referred
            .insert(digest.trim_start_matches("sha256:").to_owned());
        content
    }

    fn path(&self, descriptor: &Value) -> PathBuf {
        let digest = descriptor["digest"].as_str().unwrap();
        self.layout.join("blobs").join(digest.replace(':', "/"))
    }

    fn layers(&self) -> Vec<Value> {
        self.manifest["layers"].as_array().unwrap().clone()
    }

    /// The environment that a container gets.
    fn environment(&self) -> BTreeMap<String, String> {
        let lines = self.config["config"]["Env"].as_array().unwrap();
        let pairs = lines.iter().map(|line| line.as_str().unwrap().split_once('='));
        pairs
            .map(Option::unwrap)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// Unpacks the layers, one over the other.
    async fn unpack(&self) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for layer in self.layers() {
            let mut tar = Command::new("tar");
            tar.args(["-xpzf".as_ref(), self.path(&layer).as_os_str(), "-C".as_ref()]);
            output(tar.arg(root.path())).await;
        }
        fs::set_permissions(root.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        root
    }
}

fn sha256(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

/// The output of a command that succeeds.
async fn output(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaint}");
    output.stdout
}

/// A command of the image in a folder that is all it sees: as the image's user where this process may become that, otherwise
/// in a user namespace. Nothing, and a line that says so, where neither is allowed.
async fn inside(root: &Path, image: &Image, what: &str) -> Option<Command> {
    let privileged = fs::metadata("/proc/self").unwrap().uid() == 0;
    let (program, options): (_, &[&str]) = if privileged {
        ("chroot", &["--userspec=65532:65532", "--groups="])
    } else {
        ("unshare", &["--user", "--map-root-user", "chroot"])
    };
    let mut probe = Command::new(program);
    probe.args(options).args(["/", "/bin/true"]);
    let may = probe.output().await.is_ok_and(|output| output.status.success());
    if !may {
        left_out(what, &format!("{program} is not allowed or not installed here"));
        return None;
    }
    let mut command = Command::new(program);
    command.args(options).arg(root).arg("/usr/bin/provost");
    command.env_clear().envs(image.environment());
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command.kill_on_drop(true);
    Some(command)
}

#[tokio::test]
async fn the_image_is_one_program_and_what_it_needs() {
    let Some(mut image) = Image::open("the content of the container image") else {
        return;
    };
    let mut listed = Vec::new();
    let mut diff_ids = Vec::new();
    for layer in image.layers() {
        image.blob(&layer);
        let path = image.path(&layer);
        let tar = output(Command::new("gzip").arg("-dc").arg(&path).stdin(Stdio::null())).await;
        diff_ids.push(Value::from(sha256(&tar)));
        let mut list = Command::new("tar");
        let lines = output(list.args(["-tvzf".as_ref(), path.as_os_str(), "--numeric-owner".as_ref()])).await;
        for line in String::from_utf8(lines).unwrap().lines() {
            let mut words = line.split_whitespace();
            let mut word = || words.next().unwrap();
            let (mode, owner, _size, _date, _time) = (word(), word(), word(), word(), word());
            let path: Vec<&str> = words.collect();
            listed.push(format!("{mode} {owner} {}", path.join(" ")));
        }
    }
    assert_eq!(listed, CONTENT.lines().collect::<Vec<_>>());
    assert_eq!(image.config["rootfs"]["diff_ids"], Value::from(diff_ids));

    let blobs = fs::read_dir(image.layout.join("blobs/sha256")).unwrap();
    let blobs: BTreeSet<String> = blobs
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(blobs, image.referred, "nothing lies there that nothing refers to");
}

#[tokio::test]
async fn the_image_says_what_it_is_and_runs_as_nobody() {
    let Some(image) = Image::open("the settings of the container image") else {
        return;
    };
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    assert_eq!(image.config["os"], "linux");
    assert_eq!(image.config["architecture"], architecture);
    let settings = &image.config["config"];
    assert_eq!(settings["User"], "65532:65532");
    assert_eq!(settings["Entrypoint"], json!(["/usr/bin/provost"]));
    assert_eq!(settings["WorkingDir"], "/var/lib/provost");
    assert_eq!(settings.get("Cmd"), None);
    let labels = settings["Labels"].as_object().unwrap();
    let label = |name: &str| {
        labels[&format!("org.opencontainers.image.{name}")]
            .as_str()
            .unwrap()
    };
    assert_eq!(label("title"), env!("CARGO_PKG_NAME"));
    assert_eq!(label("version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(label("licenses"), env!("CARGO_PKG_LICENSE"));
    assert_eq!(label("created"), image.config["created"]);
    let (commit, _) = label("revision").split_at(40);
    assert!(commit.chars().all(|digit| digit.is_ascii_hexdigit()), "{commit}");
    assert_eq!(image.manifest["annotations"], settings["Labels"]);
    // Only known where someone says it when building.
    if std::env::var_os("IMAGE_SOURCE").is_none() {
        assert!(!labels.contains_key("org.opencontainers.image.source"));
    }
}

#[tokio::test]
async fn the_sbom_names_what_is_in_the_program() {
    let Some(image) = Image::open("the SBOM of the container image") else {
        return;
    };
    let root = image.unpack().await;
    let text = fs::read_to_string(root.path().join("usr/share/provost/sbom.cdx.json")).unwrap();
    let beside = image.layout.with_extension("sbom.cdx.json");
    assert_eq!(fs::read_to_string(beside).unwrap(), text);
    let sbom: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(sbom["bomFormat"], "CycloneDX");
    assert_eq!(sbom["metadata"]["component"]["name"], "provost");
    assert_eq!(
        sbom["metadata"]["component"]["version"],
        env!("CARGO_PKG_VERSION")
    );

    let components = sbom["components"].as_array().unwrap();
    let version = |name: &str| {
        components
            .iter()
            .find(|component| component["name"] == name)
            .map(|found| &found["version"])
    };
    for name in ["git2", "rustls", "openssl-src", "libgit2-sys", "libz-sys", "kube"] {
        assert_eq!(version(name).unwrap(), locked(name), "{name}");
    }
    for name in ["glibc", "ca-certificates"] {
        assert!(
            version(name).is_some(),
            "{name} comes from the system and is in the image"
        );
    }
    for name in ["proptest", "insta"] {
        assert_eq!(version(name), None, "{name} is for tests");
    }
    assert!(
        !text.contains(env!("CARGO_MANIFEST_DIR")),
        "it tells where it was built"
    );
}

/// The version of a crate in `Cargo.lock`.
fn locked(name: &str) -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let (_, after) = lock
        .split_once(&format!("name = \"{name}\"\nversion = \""))
        .unwrap();
    after.split('"').next().unwrap()
}

#[tokio::test]
async fn the_program_is_static_and_runs_with_nothing_around_it() {
    const WHAT: &str = "running the program of the container image";
    let Some(image) = Image::open(WHAT) else { return };
    let root = image.unpack().await;
    let program = root.path().join("usr/bin/provost");
    let elf = output(
        Command::new("readelf")
            .args(["-W", "-h", "-l", "-d"])
            .arg(&program),
    )
    .await;
    let elf = String::from_utf8(elf).unwrap();
    assert!(elf.contains(" DYN (") && elf.contains(" PIE"), "{elf}");
    assert!(!elf.contains("INTERP") && !elf.contains("(NEEDED)"), "{elf}");

    let Some(mut version) = inside(root.path(), &image, WHAT).await else {
        return;
    };
    let said = output(version.arg("--version")).await;
    assert_eq!(
        String::from_utf8(said).unwrap(),
        provost(&["--version"]).await.stdout
    );
    let Some(mut definitions) = inside(root.path(), &image, WHAT).await else {
        return;
    };
    let said = output(definitions.arg("crd")).await;
    assert_eq!(String::from_utf8(said).unwrap(), provost(&["crd"]).await.stdout);
    summary(&format!(
        "Container image: linux/{}, {} MB, read back and run",
        image.config["architecture"].as_str().unwrap(),
        image
            .layers()
            .iter()
            .filter_map(|layer| layer["size"].as_u64())
            .sum::<u64>()
            / 1_000_000
    ));
}

#[tokio::test]
async fn the_program_finds_a_git_server_by_name_and_trusts_the_listed_authorities() {
    const WHAT: &str = "fetching from git in the container image";
    let Some(image) = Image::open(WHAT) else { return };
    let root = image.unpack().await;
    // A container gets both from its runtime or a volume.
    let (acceptor, authority) = git_server("git.provost.test");
    fs::write(root.path().join("ca.pem"), authority).unwrap();
    fs::write(root.path().join("etc/hosts"), "127.0.0.1 git.provost.test\n").unwrap();
    let Some(mut up) = inside(root.path(), &image, WHAT).await else {
        return;
    };
    up.env("SSL_CERT_FILE", "/ca.pem");
    up.args(["up", "--data-dir", "/var/lib/provost"]);
    for listen in ["--mdm-listen", "--api-listen", "--admin-listen"] {
        up.args([listen, "127.0.0.1:0"]);
    }
    let log = root.path().join("log");
    up.stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log).unwrap());
    let mut server = up.spawn().unwrap();
    let mut ready = String::new();
    let mut stdout = BufReader::new(server.stdout.take().unwrap());
    stdout.read_line(&mut ready).await.unwrap();
    let kubeconfig = ready
        .split_whitespace()
        .find_map(|field| field.strip_prefix("kubeconfig=/"));
    let kubeconfig = kubeconfig.unwrap_or_else(|| panic!("{}", fs::read_to_string(&log).unwrap()));
    let client = client(&root.path().join(kubeconfig)).await;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://git.provost.test:{}/fleet.git",
        listener.local_addr().unwrap().port()
    );
    let source = GitSource::new(
        "policy",
        serde_json::from_value(json!({ "url": url, "path": "fleet", "interval": "1h" })).unwrap(),
    );
    let sources: Api<GitSource> = Api::namespaced(client, "default");
    sources.create(&PostParams::default(), &source).await.unwrap();
    let Ok(accepted) = timeout(DEADLINE, listener.accept()).await else {
        panic!("nobody came:\n{}", fs::read_to_string(&log).unwrap())
    };
    let (stream, _) = accepted.unwrap();
    let stream = acceptor.accept(stream).await.unwrap();
    let mut request = String::new();
    BufReader::new(stream).read_line(&mut request).await.unwrap();
    assert_eq!(
        request,
        "GET /fleet.git/info/refs?service=git-upload-pack HTTP/1.1\r\n"
    );
}

/// A TLS server of that name, and the authority that vouches for it.
fn git_server(name: &str) -> (TlsAcceptor, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    // Unlike that of the server, or OpenSSL takes the server's certificate for one that vouches for itself.
    params
        .distinguished_name
        .push(DnType::CommonName, "Fleet Authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), authority)
}
