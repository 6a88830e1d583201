//! ssh against an unprivileged OpenSSH server. Where none is installed these say so and prove nothing.

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::super::FetchErrorKind;
use super::*;
use crate::secret::Secret;

const FILES: &[(&str, &str)] = &[("policy/a.yaml", "a: 1\n")];
const SSHD: &str = "/usr/sbin/sshd";

struct SshOrigin {
    origin: Origin,
    dir: TempDir,
    port: u16,
    server: Child,
    user: String,
}

impl SshOrigin {
    fn start(origin: Origin) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            let _ = writeln!(
                std::io::stderr(),
                "skipped: {SSHD} is not installed (package openssh-server)"
            );
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        for (name, kind, passphrase) in [
            ("host_ed25519", "ed25519", ""),
            ("host_ecdsa", "ecdsa", ""),
            ("client", "ed25519", ""),
            ("client_rsa", "rsa", ""),
            ("locked", "ed25519", "open sesame"),
            ("stranger", "ed25519", ""),
        ] {
            let done = Command::new("ssh-keygen")
                .args(["-q", "-t", kind, "-N", passphrase, "-C", "test", "-f"])
                .arg(dir.path().join(name))
                .status();
            assert!(done.unwrap().success());
        }
        let authorized: Vec<_> = ["client", "client_rsa", "locked"]
            .iter()
            .map(|name| public(dir.path(), name))
            .collect();
        fs::write(dir.path().join("authorized_keys"), authorized.concat()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let at = dir.path().display();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host_ed25519\nHostKey {at}/host_ecdsa\n\
             AuthorizedKeysFile {at}/authorized_keys\nPidFile {at}/pid\nUsePAM no\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
        );
        fs::write(dir.path().join("sshd_config"), config).unwrap();
        // Started as root, sshd wants this folder; started by anyone else it does without.
        let _ = fs::create_dir_all("/run/sshd");
        let server = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(dir.path().join("sshd_config"))
            .stderr(Stdio::from(fs::File::create(dir.path().join("log")).unwrap()))
            .spawn()
            .unwrap();
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap().trim().to_owned();
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "{}",
                fs::read_to_string(dir.path().join("log")).unwrap()
            );
            std::thread::yield_now();
        }
        Some(Self {
            origin,
            dir,
            port,
            server,
            user,
        })
    }

    fn key(&self, name: &str) -> Secret<String> {
        Secret::new(fs::read_to_string(self.path(name)).unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn known_hosts(&self, names: &[&str]) -> String {
        let line = |name: &&str| format!("[127.0.0.1]:{} {}", self.port, public(self.dir.path(), name));
        names.iter().map(line).collect::<Vec<_>>().concat()
    }

    fn request(&self, identity: &str, known_hosts: String, cache: &Path) -> FetchRequest {
        let path = self.origin.root().join("policy.git");
        let url = format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, path.display());
        let credentials = Credentials::Ssh {
            identity: self.key(identity),
            passphrase: None,
            known_hosts,
        };
        FetchRequest {
            credentials,
            ..request(&url, cache)
        }
    }
}

impl Drop for SshOrigin {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn public(dir: &Path, name: &str) -> String {
    fs::read_to_string(dir.join(format!("{name}.pub"))).unwrap()
}

#[test]
fn a_known_host_and_a_right_key_read_the_repository() {
    let Some(server) = SshOrigin::start(Origin::with(FILES)) else {
        return;
    };
    let cache = tempfile::tempdir().unwrap();
    let both = server.known_hosts(&["host_ed25519", "host_ecdsa"]);
    for identity in ["client", "client_rsa"] {
        let request = server.request(identity, both.clone(), &cache.path().join(identity));
        assert_eq!(
            fetch(&request)
                .map_err(|error| error.report())
                .unwrap()
                .files
                .len(),
            1,
            "{identity}"
        );
        server.origin.commit("main", &[("policy/a.yaml", identity)]);
        assert_eq!(fetch(&request).unwrap().files[0].content, identity.as_bytes());
    }
    let mut request = server.request("locked", both, cache.path());
    let Credentials::Ssh { passphrase, .. } = &mut request.credentials else {
        unreachable!()
    };
    *passphrase = Some(Secret::new("open sesame".into()));
    assert_eq!(
        fetch(&request)
            .map_err(|error| error.report())
            .unwrap()
            .files
            .len(),
        1
    );
    assert!(git2::Repository::open_bare(cache.path()).unwrap().is_shallow());
}

#[test]
fn a_host_that_is_not_known_is_never_talked_to() {
    let Some(server) = SshOrigin::start(Origin::with(FILES)) else {
        return;
    };
    let cache = tempfile::tempdir().unwrap();
    let both = server.known_hosts(&["host_ed25519", "host_ecdsa"]);
    let other_host = format!("example.com {}", public(server.dir.path(), "host_ed25519"));
    let other_key = server.known_hosts(&["stranger"]);
    let revoked = format!(
        "{both}@revoked * {}@revoked * {}",
        public(server.dir.path(), "host_ed25519"),
        public(server.dir.path(), "host_ecdsa")
    );
    for (known_hosts, words) in [
        (other_host, "does not list this host"),
        (other_key, "holds other keys"),
        (revoked, "revokes"),
    ] {
        let error = fetch(&server.request("client", known_hosts, cache.path())).unwrap_err();
        assert_eq!(error.kind, FetchErrorKind::HostKey, "{}", error.report());
        assert!(
            error.report().contains(words) && error.report().contains("SHA256:"),
            "{}",
            error.report()
        );
    }
    let error = fetch(&server.request("client", " \n".into(), cache.path())).unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::InvalidRequest);
}

#[test]
fn a_wrong_key_is_offered_once() {
    let Some(server) = SshOrigin::start(Origin::with(FILES)) else {
        return;
    };
    let cache = tempfile::tempdir().unwrap();
    let both = server.known_hosts(&["host_ed25519", "host_ecdsa"]);
    let mut broken = server.request("client", both.clone(), cache.path());
    broken.credentials = Credentials::Ssh {
        identity: Secret::new(
            "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n".into(),
        ),
        passphrase: None,
        known_hosts: both.clone(),
    };
    for request in [
        server.request("stranger", both.clone(), cache.path()),
        server.request("locked", both.clone(), cache.path()),
        broken,
    ] {
        let error = fetch(&request).unwrap_err();
        assert_eq!(error.kind, FetchErrorKind::Authentication, "{}", error.report());
    }
    let mut request = server.request("client", both, cache.path());
    request.credentials = Credentials::None;
    assert_eq!(fetch(&request).unwrap_err().kind, FetchErrorKind::InvalidRequest);
}

#[test]
fn a_missing_repository_is_told() {
    let Some(server) = SshOrigin::start(Origin::with(FILES)) else {
        return;
    };
    let cache = tempfile::tempdir().unwrap();
    let both = server.known_hosts(&["host_ed25519", "host_ecdsa"]);
    let mut request = server.request("client", both, cache.path());
    request.url = request.url.replace("policy.git", "nothing.git");
    let error = fetch(&request).unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::NotFound, "{}", error.report());
}
