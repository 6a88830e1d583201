//! The URLs a source may have: `file`, `https` and `ssh`, and never a password inside one.

use super::error::{FetchError, FetchErrorKind};

/// The longest URL accepted.
const MAXIMUM_URL: usize = 2_048;
/// Git's own name for the account on most SSH servers.
const DEFAULT_SSH_USER: &str = "git";

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    File,
    Https,
    Ssh,
}

/// A checked URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RepositoryUrl {
    pub(super) scheme: Scheme,
    /// As it was written.
    pub(super) text: String,
    /// Without brackets; empty for `file`.
    pub(super) host: String,
    pub(super) port: u16,
    /// The account on an SSH server.
    pub(super) user: String,
}

impl RepositoryUrl {
    /// Checks `text`.
    ///
    /// # Errors
    /// `InvalidRequest`, without repeating the URL where it may hold a password.
    pub(super) fn parse(text: &str) -> Result<Self, FetchError> {
        if text.len() > MAXIMUM_URL || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return refuse(format!(
                "the URL holds blanks or is longer than {MAXIMUM_URL} bytes"
            ));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return refuse(
                "the URL needs a scheme: write file:///path, https://host/path or ssh://git@host/path",
            );
        };
        let (scheme, default_port) = match scheme {
            "file" => (Scheme::File, 0),
            "https" => (Scheme::Https, 443),
            "ssh" => (Scheme::Ssh, 22),
            "http" | "git" => {
                return refuse(format!(
                    "{scheme}:// can be read and changed by anyone on the way; use https:// or ssh://"
                ));
            }
            _ => return refuse("the URL's scheme is not supported; use file://, https:// or ssh://"),
        };
        if rest.contains(['?', '#', '\\']) {
            return refuse("the URL may hold no '?', '#' or '\\'");
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if path.len() < 2 {
            return refuse("the URL names no repository: a path must follow the host");
        }
        if scheme == Scheme::File {
            if !authority.is_empty() {
                return refuse("a file URL has three slashes and an absolute path: file:///path");
            }
            return Ok(Self {
                scheme,
                text: text.into(),
                host: String::new(),
                port: 0,
                user: String::new(),
            });
        }
        let user = match authority.rsplit_once('@') {
            Some((user, _)) if scheme == Scheme::Ssh && is_account(user) => user,
            Some(_) => {
                return refuse("the URL may hold no user or password; put them in the Secret of secretRef");
            }
            None => DEFAULT_SSH_USER,
        };
        let address = authority
            .rsplit_once('@')
            .map_or(authority, |(_, address)| address);
        let (host, port) = split_port(address, default_port)?;
        Ok(Self {
            scheme,
            text: text.into(),
            host,
            port,
            user: user.into(),
        })
    }
}

fn is_account(user: &str) -> bool {
    !user.is_empty()
        && user
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn split_port(address: &str, default_port: u16) -> Result<(String, u16), FetchError> {
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, rest.strip_prefix(':').or(Some("?"))),
        None => address
            .split_once(':')
            .map_or((address, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => default_port,
        Some(port) => match port.parse() {
            Ok(port) if port != 0 => port,
            _ => return refuse("the URL's port is not a number between 1 and 65535"),
        },
    };
    let wrong = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'));
    if host.is_empty() || host.starts_with('-') || host.contains(wrong) {
        return refuse("the URL's host is not a host name or address");
    }
    Ok((host.to_ascii_lowercase(), port))
}

fn refuse<T>(message: impl Into<String>) -> Result<T, FetchError> {
    Err(FetchError::new(FetchErrorKind::InvalidRequest, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_schemes_are_taken_apart() {
        let https = RepositoryUrl::parse("https://Git.Example.com:8443/fleet/policy.git").unwrap();
        assert_eq!(
            (https.scheme, https.host.as_str(), https.port),
            (Scheme::Https, "git.example.com", 8443)
        );
        let ssh = RepositoryUrl::parse("ssh://deploy@[2001:db8::1]/policy").unwrap();
        assert_eq!(
            (ssh.user.as_str(), ssh.host.as_str(), ssh.port),
            ("deploy", "2001:db8::1", 22)
        );
        assert_eq!(RepositoryUrl::parse("ssh://h/p").unwrap().user, "git");
        assert_eq!(
            RepositoryUrl::parse("file:///srv/policy").unwrap().scheme,
            Scheme::File
        );
    }

    #[test]
    fn what_is_unsafe_or_unclear_is_refused_without_repeating_a_password() {
        for url in [
            "https://me:hunter2@host/p",
            "https://hunter2@host/p",
            "ssh://git:hunter2@host/p",
            "ssh://a@b:hunter2@host/p",
            "http://host/hunter2",
            "git@host:hunter2",
            "https://host",
            "https:///p",
            "file://host/p",
            "https://host:0/p",
            "https://[::1]x/p",
            "ssh://-oProxyCommand=x/p",
            "https://host/p?token=hunter2",
            "https://host/a b",
            "ftp://host/p",
        ] {
            let error = RepositoryUrl::parse(url).unwrap_err();
            assert_eq!(error.kind, FetchErrorKind::InvalidRequest, "{url}");
            assert!(!error.report().contains("hunter2"), "{url}: {error}");
        }
    }
}
