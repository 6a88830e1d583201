//! Which SSH host keys are trusted: the `known_hosts` format of OpenSSH (`sshd(8)`, "SSH_KNOWN_HOSTS FILE FORMAT").
//!
//! libgit2 leaves this decision to its caller. Understood are comma lists, `*` and `?`, `!` negation, hashed names,
//! `[host]:port` and `@revoked`. A host on another port than 22 must be listed with its port. Host certificates
//! (`@cert-authority`) are not supported; a server that has one also has a plain key.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

/// What `known_hosts` says about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostKeyVerdict {
    /// Listed for this host.
    Trusted,
    /// Marked `@revoked` for this host.
    Revoked,
    /// The host is listed, with other keys of these types.
    Different(Vec<String>),
    /// The host is not listed.
    Unknown,
}

/// Looks up the key that `host` showed, in the wire format of RFC 4253 §6.6.
pub(super) fn check(known_hosts: &str, host: &str, port: u16, key: &[u8]) -> HostKeyVerdict {
    let name = if port == 22 {
        host.to_ascii_lowercase()
    } else {
        format!("[{}]:{port}", host.to_ascii_lowercase())
    };
    let mut trusted = false;
    let mut known_types = Vec::new();
    for line in known_hosts.lines() {
        let Some(entry) = Entry::parse(line) else { continue };
        if !entry.names(&name) {
            continue;
        }
        let same = STANDARD.decode(entry.key).is_ok_and(|known| known == key);
        match entry.marker {
            // A revocation counts wherever it stands in the file.
            Some("@revoked") if same => return HostKeyVerdict::Revoked,
            Some(_) => {}
            None if same => trusted = true,
            None => known_types.push(entry.key_type.to_owned()),
        }
    }
    match (trusted, known_types.is_empty()) {
        (true, _) => HostKeyVerdict::Trusted,
        (false, false) => HostKeyVerdict::Different(known_types),
        (false, true) => HostKeyVerdict::Unknown,
    }
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
pub(super) fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

/// The type that a key in wire format names, such as `ssh-ed25519`.
pub(super) fn key_type(key: &[u8]) -> &str {
    let name = key
        .split_first_chunk()
        .and_then(|(length, rest)| rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?));
    name.and_then(|name| std::str::from_utf8(name).ok())
        .filter(|name| name.len() <= 64 && name.chars().all(|c| c.is_ascii_graphic()))
        .unwrap_or("unknown")
}

struct Entry<'a> {
    marker: Option<&'a str>,
    hosts: &'a str,
    key_type: &'a str,
    key: &'a str,
}

impl<'a> Entry<'a> {
    /// `None` for blank lines, comments and lines that are not understood: such a line trusts nobody.
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let first = fields.next().filter(|field| !field.starts_with('#'))?;
        let (marker, hosts) = if first.starts_with('@') {
            (Some(first), fields.next()?)
        } else {
            (None, first)
        };
        Some(Self {
            marker,
            hosts,
            key_type: fields.next()?,
            key: fields.next()?,
        })
    }

    fn names(&self, host: &str) -> bool {
        let mut named = false;
        for pattern in self.hosts.split(',') {
            if let Some(pattern) = pattern.strip_prefix('!') {
                if wildcard(pattern, host) {
                    return false;
                }
            } else if pattern.starts_with('|') {
                named |= hashed(pattern, host);
            } else {
                named |= wildcard(pattern, host);
            }
        }
        named
    }
}

/// `|1|salt|HMAC-SHA-1(salt, name)`.
fn hashed(pattern: &str, host: &str) -> bool {
    let mut parts = pattern.strip_prefix("|1|").unwrap_or_default().split('|');
    let (Some(salt), Some(hash)) = (parts.next(), parts.next()) else {
        return false;
    };
    let (Ok(salt), Ok(hash)) = (STANDARD.decode(salt), STANDARD.decode(hash)) else {
        return false;
    };
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    hmac::verify(&key, host.as_bytes(), &hash).is_ok()
}

/// `*` and `?`, without regard to case; the time is bounded by the product of the lengths.
fn wildcard(pattern: &str, host: &str) -> bool {
    let (pattern, host) = (pattern.as_bytes(), host.as_bytes());
    let (mut p, mut h) = (0, 0);
    let mut star = None;
    while let Some(&byte) = host.get(h) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, h));
                p += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted.eq_ignore_ascii_case(&byte) => {
                p += 1;
                h += 1;
            }
            _ => {
                let Some((star_p, star_h)) = star else {
                    return false;
                };
                star = Some((star_p, star_h + 1));
                p = star_p + 1;
                h = star_h + 1;
            }
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str, body: u8) -> (Vec<u8>, String) {
        let mut wire = u32::try_from(kind.len()).unwrap().to_be_bytes().to_vec();
        wire.extend_from_slice(kind.as_bytes());
        wire.extend_from_slice(&[body; 32]);
        let text = STANDARD.encode(&wire);
        (wire, format!("{kind} {text}"))
    }

    #[test]
    fn a_listed_key_is_trusted_and_another_is_not() {
        let (good, good_text) = key("ssh-ed25519", 1);
        let (other, _) = key("ssh-ed25519", 2);
        let file = format!("# comment\n\ngit.example.com,10.0.0.1 {good_text} note\n");
        assert_eq!(
            check(&file, "GIT.example.com", 22, &good),
            HostKeyVerdict::Trusted
        );
        assert_eq!(check(&file, "10.0.0.1", 22, &good), HostKeyVerdict::Trusted);
        assert_eq!(
            check(&file, "git.example.com", 22, &other),
            HostKeyVerdict::Different(vec!["ssh-ed25519".into()])
        );
        assert_eq!(check(&file, "example.com", 22, &good), HostKeyVerdict::Unknown);
        assert_eq!(
            check(&file, "git.example.com", 2222, &good),
            HostKeyVerdict::Unknown
        );
        assert_eq!(check("", "git.example.com", 22, &good), HostKeyVerdict::Unknown);
    }

    #[test]
    fn one_of_several_key_types_is_enough() {
        let (ecdsa, ecdsa_text) = key("ecdsa-sha2-nistp256", 1);
        let (_, rsa_text) = key("ssh-rsa", 2);
        let file = format!("[h]:2222 {rsa_text}\n[h]:2222 {ecdsa_text}\n");
        assert_eq!(check(&file, "h", 2222, &ecdsa), HostKeyVerdict::Trusted);
        assert_eq!(key_type(&ecdsa), "ecdsa-sha2-nistp256");
        assert_eq!(key_type(&[0, 0, 0, 200, b'x']), "unknown");
        assert_eq!(key_type(&[]), "unknown");
    }

    #[test]
    fn a_revoked_key_is_refused_wherever_the_revocation_stands() {
        let (wire, text) = key("ssh-ed25519", 1);
        let file = format!("h {text}\n@revoked * {text}\n");
        assert_eq!(check(&file, "h", 22, &wire), HostKeyVerdict::Revoked);
        let authority = format!("@cert-authority h {text}\n");
        assert_eq!(check(&authority, "h", 22, &wire), HostKeyVerdict::Unknown);
    }

    #[test]
    fn hashed_names_and_patterns_match() {
        let (wire, text) = key("ssh-ed25519", 1);
        let salt = [7; 20];
        let name = "[git.example.com]:2222";
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt),
            name.as_bytes(),
        );
        let file = format!(
            "|1|{}|{} {text}",
            STANDARD.encode(salt),
            STANDARD.encode(tag.as_ref())
        );
        assert_eq!(
            check(&file, "git.example.com", 2222, &wire),
            HostKeyVerdict::Trusted
        );
        assert_eq!(
            check(&file, "git.example.com", 22, &wire),
            HostKeyVerdict::Unknown
        );

        let file = format!("*.example.com,!bad.example.com {text}");
        assert_eq!(
            check(&file, "git.example.com", 22, &wire),
            HostKeyVerdict::Trusted
        );
        assert_eq!(
            check(&file, "bad.example.com", 22, &wire),
            HostKeyVerdict::Unknown
        );
        assert!(wildcard("g?t*", "git") && wildcard("**", "") && !wildcard("g?t", "gt"));
    }

    #[test]
    fn the_fingerprint_is_written_as_people_know_it() {
        assert_eq!(
            fingerprint(b""),
            "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
        );
    }
}
