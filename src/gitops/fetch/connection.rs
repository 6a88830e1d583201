//! One conversation with a git server: who it is, who we are, how much it may send and how long it may take.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use git2::cert::Cert;
use git2::{
    AutotagOption, CertificateCheckStatus, Cred, CredentialType, ErrorClass, ErrorCode, FetchOptions,
    Progress, RemoteCallbacks, RemoteRedirect,
};

use super::certificate::Authorities;
use super::error::{FetchError, FetchErrorKind};
use super::known_hosts::{self, HostKeyVerdict};
use super::process::{CONNECT_TIMEOUT, SILENCE_TIMEOUT};
use super::request::{Credentials, FetchRequest, Limits};
use super::url::{RepositoryUrl, Scheme};

/// A checked request, ready to be used for one or several transfers under one deadline.
pub(super) struct Connection<'r> {
    pub(super) url: RepositoryUrl,
    request: &'r FetchRequest,
    authorities: Option<Rc<Authorities>>,
    started: Instant,
    /// What a callback refused. libgit2 hands back only a code and a text; this keeps the reason.
    refusal: Rc<RefCell<Option<FetchError>>>,
}

impl<'r> Connection<'r> {
    /// Checks what the request says about the server.
    pub(super) fn new(request: &'r FetchRequest) -> Result<Self, FetchError> {
        let url = RepositoryUrl::parse(&request.url)?;
        check_credentials(&url, &request.credentials)?;
        let authorities = match (&request.ca_pem, url.scheme) {
            (Some(pem), Scheme::Https) => Some(Rc::new(Authorities::from_pem(pem).map_err(|error| {
                FetchError::caused(
                    FetchErrorKind::InvalidRequest,
                    "the source's ca.crt is not usable",
                    error,
                )
            })?)),
            _ => None,
        };
        Ok(Self {
            url,
            request,
            authorities,
            started: Instant::now(),
            refusal: Rc::default(),
        })
    }

    /// Has the time for all transfers passed, or is the result not wanted any more?
    pub(super) fn check_deadline(&self) -> Result<(), FetchError> {
        check_deadline(self.request, self.started)
    }

    /// The options of one transfer.
    pub(super) fn options(&self, depth: i32) -> FetchOptions<'r> {
        let mut callbacks = RemoteCallbacks::new();
        callbacks.credentials(self.credentials_callback());
        if self.url.scheme == Scheme::Ssh || self.authorities.is_some() {
            callbacks.certificate_check(self.certificate_callback());
        }
        let (request, started) = (self.request, self.started);
        let refusal = Rc::clone(&self.refusal);
        callbacks.transfer_progress(move |progress| {
            let verdict = check_progress(&progress, &request.limits);
            verdict
                .and_then(|()| check_deadline(request, started))
                .map_err(|error| *refusal.borrow_mut() = Some(error))
                .is_ok()
        });
        let refusal = Rc::clone(&self.refusal);
        callbacks.sideband_progress(move |_| {
            check_deadline(request, started)
                .map_err(|error| *refusal.borrow_mut() = Some(error))
                .is_ok()
        });

        let mut options = FetchOptions::new();
        options
            .remote_callbacks(callbacks)
            .depth(depth)
            .download_tags(AutotagOption::None)
            .update_fetchhead(false)
            // To another path of the same host only: the credentials are meant for the host that was named.
            .follow_redirects(RemoteRedirect::None);
        if let Credentials::Bearer(token) = &self.request.credentials {
            let header = zeroize::Zeroizing::new(format!("Authorization: Bearer {}", token.reveal()));
            options.custom_headers(&[header.as_str()]);
        }
        options
    }

    /// Turns a failed transfer into the reason a callback gave, or else into what libgit2's codes mean.
    pub(super) fn explain(&self, error: git2::Error) -> FetchError {
        if let Some(refusal) = self.refusal.borrow_mut().take() {
            return refusal;
        }
        if self.request.stop.is_cancelled() {
            return stopped();
        }
        let silent = self.started.elapsed() >= SILENCE_TIMEOUT;
        let (kind, message) = match (error.code(), error.class()) {
            (ErrorCode::Auth, _) => (FetchErrorKind::Authentication, "the server refused the credentials".to_owned()),
            (ErrorCode::Certificate, ErrorClass::Ssl) => (
                FetchErrorKind::Certificate,
                "the server's certificate is not trusted; if a private authority issued it, put that authority's \
                 certificate in the Secret as ca.crt"
                    .to_owned(),
            ),
            (ErrorCode::Timeout, _) => (FetchErrorKind::Timeout, "the server did not answer in time".to_owned()),
            (ErrorCode::Owner, _) => (
                FetchErrorKind::InvalidRequest,
                "the repository's folder belongs to another user of this computer; make its owner the user that runs \
                 Provost"
                    .to_owned(),
            ),
            _ if error.message().contains("timed out") => {
                (FetchErrorKind::Timeout, "the server did not answer in time".to_owned())
            }
            // Through TLS libgit2 reports a silent server as a failed system call.
            (_, ErrorClass::Os | ErrorClass::Ssl) if silent && self.url.scheme == Scheme::Https => {
                (FetchErrorKind::Timeout, "the server did not answer in time".to_owned())
            }
            (_, ErrorClass::Http) if error.message().contains("404") => (
                FetchErrorKind::NotFound,
                "the server knows no repository at this URL, or hides it from these credentials".to_owned(),
            ),
            (_, ErrorClass::Http) if error.message().contains("403") => {
                (FetchErrorKind::Authentication, "the credentials do not allow reading this repository".to_owned())
            }
            (_, ErrorClass::Repository | ErrorClass::Os)
                if error.code() == ErrorCode::NotFound || error.message().contains("No such file") =>
            {
                (FetchErrorKind::NotFound, "there is no git repository at this URL".to_owned())
            }
            // What the far side's git says on its error channel before it hangs up.
            (ErrorCode::Eof, ErrorClass::Ssh) => (
                FetchErrorKind::NotFound,
                "the server does not serve this repository to this key; it says".to_owned(),
            ),
            (_, ErrorClass::Ssh) if self.was_refused_by_key(&error) => (
                FetchErrorKind::Authentication,
                "the SSH identity could not be used; check its format and passphrase".to_owned(),
            ),
            _ => (FetchErrorKind::Transport, "the repository could not be fetched".to_owned()),
        };
        FetchError::caused(kind, message, error)
    }

    fn was_refused_by_key(&self, error: &git2::Error) -> bool {
        let text = error.message().to_ascii_lowercase();
        matches!(self.request.credentials, Credentials::Ssh { .. })
            && ["key", "passphrase", "authenticat"]
                .iter()
                .any(|word| text.contains(word))
    }

    /// libgit2 asks again for as long as it gets the same rejected answer, so there is one answer and then none.
    fn credentials_callback(
        &self,
    ) -> impl FnMut(&str, Option<&str>, CredentialType) -> Result<Cred, git2::Error> + 'r {
        let credentials = &self.request.credentials;
        let user = self.url.user.clone();
        let refusal = Rc::clone(&self.refusal);
        let mut answered = false;
        move |_, _, allowed| {
            if allowed.contains(CredentialType::USERNAME) {
                return Cred::username(&user);
            }
            let advice = match credentials {
                Credentials::None => {
                    "the server wants credentials; name a Secret that holds them in secretRef"
                }
                Credentials::Bearer(_) => "the server refused the bearer token",
                _ if answered => "the server refused the credentials",
                Credentials::Basic { username, password }
                    if allowed.contains(CredentialType::USER_PASS_PLAINTEXT) =>
                {
                    answered = true;
                    return Cred::userpass_plaintext(username, password.reveal());
                }
                Credentials::Ssh {
                    identity, passphrase, ..
                } if allowed.contains(CredentialType::SSH_MEMORY) => {
                    answered = true;
                    let passphrase = passphrase.as_ref().map(|passphrase| passphrase.reveal().as_str());
                    return Cred::ssh_key_from_memory(&user, None, identity.reveal(), passphrase);
                }
                _ => "the server does not accept the kind of credentials that the Secret holds",
            };
            *refusal.borrow_mut() = Some(FetchError::new(FetchErrorKind::Authentication, advice));
            Err(git2::Error::new(ErrorCode::Auth, ErrorClass::Callback, advice))
        }
    }

    fn certificate_callback(
        &self,
    ) -> impl FnMut(&Cert<'_>, &str) -> Result<CertificateCheckStatus, git2::Error> + 'r {
        let credentials = &self.request.credentials;
        let authorities = self.authorities.clone();
        let refusal = Rc::clone(&self.refusal);
        let port = self.url.port;
        move |certificate, host| {
            let verdict = match (&authorities, credentials) {
                (Some(authorities), _) => certificate
                    .as_x509()
                    .ok_or_else(|| {
                        FetchError::new(FetchErrorKind::Certificate, "the server showed no certificate")
                    })
                    .and_then(|shown| check_certificate(authorities, shown.data(), host, port)),
                (None, Credentials::Ssh { known_hosts, .. }) => certificate
                    .as_hostkey()
                    .and_then(git2::cert::CertHostkey::hostkey)
                    .ok_or_else(|| FetchError::new(FetchErrorKind::HostKey, "the server showed no host key"))
                    .and_then(|key| check_host_key(known_hosts, host, port, key)),
                (None, _) => Err(FetchError::new(FetchErrorKind::HostKey, "no host keys are known")),
            };
            match verdict {
                Ok(()) => Ok(CertificateCheckStatus::CertificateOk),
                Err(error) => {
                    let text = error.to_string();
                    *refusal.borrow_mut() = Some(error);
                    Err(git2::Error::new(
                        ErrorCode::Certificate,
                        ErrorClass::Callback,
                        text,
                    ))
                }
            }
        }
    }
}

fn check_credentials(url: &RepositoryUrl, credentials: &Credentials) -> Result<(), FetchError> {
    let advice = match (url.scheme, credentials) {
        (Scheme::Ssh, Credentials::Ssh { known_hosts, .. }) if known_hosts.trim().is_empty() => {
            "the Secret's known_hosts is empty; fill it with `ssh-keyscan HOST` and compare the fingerprints"
        }
        (Scheme::Ssh, Credentials::Ssh { .. }) | (Scheme::File, _) => return Ok(()),
        (Scheme::Ssh, _) => "an ssh URL needs a Secret with the keys `identity` and `known_hosts`",
        (Scheme::Https, Credentials::Ssh { .. }) => {
            "an https URL needs a Secret with `username` and `password`, or `bearerToken`, not an SSH identity"
        }
        (Scheme::Https, Credentials::Bearer(token))
            if token.reveal().is_empty() || !token.reveal().bytes().all(|b| b.is_ascii_graphic()) =>
        {
            "the bearer token is empty or holds blanks or line ends"
        }
        (Scheme::Https, _) => return Ok(()),
    };
    Err(FetchError::new(FetchErrorKind::InvalidRequest, advice))
}

fn check_certificate(
    authorities: &Authorities,
    shown: &[u8],
    host: &str,
    port: u16,
) -> Result<(), FetchError> {
    authorities
        .verify(shown, host, port, CONNECT_TIMEOUT)
        .map_err(|error| {
            FetchError::caused(
                FetchErrorKind::Certificate,
                format!("{host} is not trusted under the source's ca.crt"),
                error,
            )
        })
}

fn check_host_key(known_hosts: &str, host: &str, port: u16, key: &[u8]) -> Result<(), FetchError> {
    let shown = format!(
        "{} key {}",
        known_hosts::key_type(key),
        known_hosts::fingerprint(key)
    );
    let message = match known_hosts::check(known_hosts, host, port, key) {
        HostKeyVerdict::Trusted => return Ok(()),
        HostKeyVerdict::Revoked => {
            format!("{host} port {port} showed the {shown}, which known_hosts revokes")
        }
        HostKeyVerdict::Different(types) => format!(
            "{host} port {port} showed the {shown}, but known_hosts holds other keys for it ({}): either that type \
             is missing there, or somebody is in between",
            types.join(", ")
        ),
        HostKeyVerdict::Unknown => format!(
            "{host} port {port} showed the {shown}, but known_hosts does not list this host and port; if the \
             fingerprint is right, add the line that `ssh-keyscan -p {port} {host}` prints"
        ),
    };
    Err(FetchError::new(FetchErrorKind::HostKey, message))
}

fn check_progress(progress: &Progress<'_>, limits: &Limits) -> Result<(), FetchError> {
    let received = u64::try_from(progress.received_bytes()).unwrap_or(u64::MAX);
    let objects = u64::try_from(progress.total_objects()).unwrap_or(u64::MAX);
    if received > limits.repository_bytes {
        return Err(FetchError::new(
            FetchErrorKind::Limit,
            format!("the repository sends more than {} bytes", limits.repository_bytes),
        ));
    }
    if objects > limits.objects {
        return Err(FetchError::new(
            FetchErrorKind::Limit,
            format!(
                "the repository sends {objects} objects, more than the {} allowed",
                limits.objects
            ),
        ));
    }
    Ok(())
}

fn check_deadline(request: &FetchRequest, started: Instant) -> Result<(), FetchError> {
    if request.stop.is_cancelled() {
        return Err(stopped());
    }
    if started.elapsed() < request.timeout {
        return Ok(());
    }
    let message = format!("the transfer took longer than {} s", request.timeout.as_secs());
    Err(FetchError::new(FetchErrorKind::Timeout, message))
}

fn stopped() -> FetchError {
    FetchError::new(FetchErrorKind::Stopped, "the fetch was told to stop")
}
