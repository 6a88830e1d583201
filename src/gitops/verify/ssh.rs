//! SSH signatures (OpenSSH's `PROTOCOL.sshsig`) and the files that list who may sign: `allowed_signers` (`ssh-keygen(1)`) and plain lists of public
//! keys, one a line.
//!
//! Keys: Ed25519, ECDSA over the curves of NIST's, RSA of 2048 bits and more, and the first two on security keys. Hashes: SHA-256 and SHA-512.
//! Certificates are not supported: a line that names an authority is an error, not a key.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use jiff::Timestamp;
use jiff::civil::DateTime;

use super::elliptic::{self, Curve, Hash};
use super::refusal::Outcome;
use super::when::Span;

/// What a signature is for: one for a file is none for a commit.
const NAMESPACE: &[u8] = b"git";
const BEGIN: &str = "-----BEGIN SSH SIGNATURE-----";
const END: &str = "-----END SSH SIGNATURE-----";
/// The flag of a security key that somebody touched it.
const USER_PRESENT: u8 = 1;

/// Somebody who may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signer {
    /// Who, as the file says: the principals, or the comment of a key.
    name: String,
    key: Vec<u8>,
    span: Span,
    /// Whether the key may sign what git makes.
    for_git: bool,
}

/// Checks a signature over `payload`.
///
/// # Errors
/// When it cannot be read.
pub(super) fn verify(
    signers: &[Signer],
    payload: &[u8],
    armored: &str,
    at: Timestamp,
) -> Result<Outcome, String> {
    let bytes = unarmored(armored).ok_or("it is no SSH signature")?;
    let signature = Signature::parse(&bytes).ok_or("it is no SSH signature")?;
    let shown = shown(signature.key);
    let mut entries = signers
        .iter()
        .filter(|signer| signer.key == signature.key)
        .peekable();
    if entries.peek().is_none() {
        return Ok(Outcome::Unknown(shown));
    }
    let bad = |why: &str| {
        Ok(Outcome::Bad {
            key: shown.clone(),
            why: why.to_owned(),
        })
    };
    if signature.namespace != NAMESPACE {
        let namespace = String::from_utf8_lossy(signature.namespace);
        return bad(&format!(
            "it is for `{}`, not for `git`",
            namespace.escape_debug()
        ));
    }
    let hash = match signature.hash {
        b"sha256" => Hash::Sha256,
        b"sha512" => Hash::Sha512,
        other => {
            return bad(&format!(
                "the hash {} is not taken",
                String::from_utf8_lossy(other).escape_debug()
            ));
        }
    };
    let mut signed = b"SSHSIG".to_vec();
    for field in [
        signature.namespace,
        signature.reserved,
        signature.hash,
        &hash.digest(payload),
    ] {
        put(&mut signed, field);
    }
    if !holds(signature.key, &signed, signature.value).unwrap_or(false) {
        return bad("it is not one over this content");
    }
    let mut objection = "the list allows the key for other things than git".to_owned();
    for entry in entries.filter(|entry| entry.for_git) {
        match entry.span.objection(at) {
            None => return Ok(Outcome::Signed(format!("{} ({shown})", entry.name))),
            Some(why) => objection = why,
        }
    }
    bad(&objection)
}

/// Reads `allowed_signers`.
///
/// # Errors
/// The first line that is wrong: a list that is half understood trusts the wrong people.
pub(super) fn allowed_signers(text: &str) -> Result<Vec<Signer>, String> {
    entries(text, |line| {
        let (principals, rest) = field(line).ok_or("a line is who, options if any, and a key")?;
        let rest = rest.trim_start();
        let (mut span, mut for_git) = (Span::default(), true);
        let key = if is_key_type(rest.split(' ').next().unwrap_or_default()) {
            rest
        } else {
            let (options, key) = field(rest).ok_or("it has no key")?;
            for option in separated(options) {
                apply(option, &mut span, &mut for_git)?;
            }
            key.trim_start()
        };
        let (key, _) = public_key(key)?;
        let name = principals.trim_matches('"').to_owned();
        Ok(Signer {
            name,
            key,
            span,
            for_git,
        })
    })
}

/// Reads public keys, one a line, as in `authorized_keys`. `entry` names those without a comment.
///
/// # Errors
/// The first line that is wrong.
pub(super) fn public_keys(text: &str, entry: &str) -> Result<Vec<Signer>, String> {
    entries(text, |line| {
        let (key, comment) = public_key(line)?;
        let name = if comment.is_empty() { entry } else { comment }.to_owned();
        Ok(Signer {
            name,
            key,
            span: Span::default(),
            for_git: true,
        })
    })
}

fn entries(text: &str, read: impl Fn(&str) -> Result<Signer, String>) -> Result<Vec<Signer>, String> {
    let lines = text.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| read(line).map_err(|why| format!("line {}: {why}", number + 1)))
        .collect()
}

/// One option of a line of `allowed_signers`.
fn apply(option: &str, span: &mut Span, for_git: &mut bool) -> Result<(), String> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    let value = value.trim_matches('"');
    match name.to_ascii_lowercase().as_str() {
        "namespaces" => {
            let named = |wanted: &str| value.split(',').any(|namespace| namespace.trim() == wanted);
            *for_git = (named("git") || named("*")) && !named("!git");
        }
        "valid-after" => {
            span.from = Some(time(value).ok_or_else(|| format!("valid-after: `{value}` is no time"))?);
        }
        "valid-before" => {
            span.until = Some(time(value).ok_or_else(|| format!("valid-before: `{value}` is no time"))?);
        }
        "cert-authority" => return Err("certificates are not supported; list the key itself".to_owned()),
        other => return Err(format!("`{other}` is no option of allowed_signers")),
    }
    Ok(())
}

/// `YYYYMMDD[Z]` or `YYYYMMDDHHMM[SS][Z]`, always in UTC: where this program runs says nothing about whoever wrote the list.
fn time(text: &str) -> Option<Timestamp> {
    let digits = text.strip_suffix('Z').unwrap_or(text);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = match digits.len() {
        8 => format!("{digits}000000"),
        12 => format!("{digits}00"),
        14 => digits.to_owned(),
        _ => return None,
    };
    let civil = DateTime::strptime("%Y%m%d%H%M%S", whole).ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

/// The first field of a line, which may hold blanks within quotes, and the rest.
fn field(line: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let end = line.find(|c: char| {
        quoted ^= c == '"';
        c.is_ascii_whitespace() && !quoted
    })?;
    line.split_at_checked(end).filter(|(field, _)| !field.is_empty())
}

/// Options, at the commas outside of quotes.
fn separated(options: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    options.split(move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
}

fn is_key_type(text: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"]
        .iter()
        .any(|begin| text.starts_with(begin))
}

/// `TYPE BASE64 [COMMENT]`: the key in wire format, and the comment.
fn public_key(text: &str) -> Result<(Vec<u8>, &str), String> {
    let mut fields = text.splitn(3, |c: char| c.is_ascii_whitespace());
    let (Some(kind), Some(encoded)) = (fields.next(), fields.next()) else {
        return Err("a key is its type and its base64, as in a `.pub` file".to_owned());
    };
    let key = STANDARD
        .decode(encoded)
        .map_err(|_| "the base64 of the key is wrong")?;
    let parsed =
        Key::parse(&key).ok_or_else(|| format!("{} is no key that is supported", kind.escape_debug()))?;
    if parsed.kind != kind.as_bytes() {
        return Err("the key is not of the type that the line says".to_owned());
    }
    Ok((key, fields.next().unwrap_or_default().trim()))
}

/// A key as people know it, such as `ssh-ed25519 SHA256:…`.
fn shown(key: &[u8]) -> String {
    let kind = Wire(key)
        .string()
        .map(String::from_utf8_lossy)
        .unwrap_or_default();
    let digest = STANDARD_NO_PAD.encode(Hash::Sha256.digest(key));
    format!(
        "{} SHA256:{digest}",
        kind.chars().take(64).collect::<String>().escape_debug()
    )
}

fn unarmored(text: &str) -> Option<Vec<u8>> {
    let body = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let encoded: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(encoded).ok()
}

/// The fields of an SSH signature.
struct Signature<'a> {
    key: &'a [u8],
    namespace: &'a [u8],
    reserved: &'a [u8],
    hash: &'a [u8],
    value: &'a [u8],
}

impl<'a> Signature<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut wire = Wire(bytes.strip_prefix(b"SSHSIG")?);
        wire.number().filter(|version| *version == 1)?;
        let signature = Self {
            key: wire.string()?,
            namespace: wire.string()?,
            reserved: wire.string()?,
            hash: wire.string()?,
            value: wire.string()?,
        };
        wire.is_empty().then_some(signature)
    }
}

/// A public key (RFC 4253 §6.6, RFC 5656, RFC 8709, OpenSSH's `PROTOCOL.u2f`).
struct Key<'a> {
    kind: &'a [u8],
    material: Material<'a>,
    /// Of a security key.
    application: Option<&'a [u8]>,
}

enum Material<'a> {
    Ed25519(&'a [u8]),
    Ecdsa(Curve, &'a [u8]),
    Rsa { exponent: &'a [u8], modulus: &'a [u8] },
}

impl<'a> Key<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut wire = Wire(bytes);
        let kind = wire.string()?;
        let on_security_key = kind.starts_with(b"sk-");
        let material = match kind {
            b"ssh-ed25519" | b"sk-ssh-ed25519@openssh.com" => {
                Material::Ed25519(wire.string().filter(|key| key.len() == 32)?)
            }
            b"ecdsa-sha2-nistp256" | b"sk-ecdsa-sha2-nistp256@openssh.com" => {
                point(&mut wire, b"nistp256", Curve::P256)?
            }
            b"ecdsa-sha2-nistp384" => point(&mut wire, b"nistp384", Curve::P384)?,
            b"ecdsa-sha2-nistp521" => point(&mut wire, b"nistp521", Curve::P521)?,
            b"ssh-rsa" => Material::Rsa {
                exponent: wire.string()?,
                modulus: wire.string()?,
            },
            _ => return None,
        };
        let application = if on_security_key {
            Some(wire.string()?)
        } else {
            None
        };
        wire.is_empty().then_some(Self {
            kind,
            material,
            application,
        })
    }
}

fn point<'a>(wire: &mut Wire<'a>, name: &[u8], curve: Curve) -> Option<Material<'a>> {
    wire.string().filter(|known| *known == name)?;
    Some(Material::Ecdsa(curve, wire.string()?))
}

/// Whether the value of a signature is one over `signed`. None: it is not of a form that this key makes.
fn holds(key: &[u8], signed: &[u8], value: &[u8]) -> Option<bool> {
    let key = Key::parse(key)?;
    let mut wire = Wire(value);
    let (format, value) = (wire.string()?, wire.string()?);
    let mut message = signed.to_vec();
    if let Some(application) = key.application {
        let (flags, counter) = (wire.byte()?, wire.number()?);
        if flags & USER_PRESENT == 0 {
            return None;
        }
        message = Hash::Sha256.digest(application);
        message.push(flags);
        message.extend(counter.to_be_bytes());
        message.extend(Hash::Sha256.digest(signed));
    }
    if !wire.is_empty() {
        return None;
    }
    match key.material {
        Material::Rsa { exponent, modulus } => {
            let hash = match format {
                b"rsa-sha2-256" => Hash::Sha256,
                b"rsa-sha2-512" => Hash::Sha512,
                _ => return None,
            };
            Some(elliptic::rsa(modulus, exponent, hash, &message, value))
        }
        _ if format != key.kind => None,
        Material::Ed25519(point) => Some(elliptic::ed25519(point, &message, value)),
        Material::Ecdsa(curve, point) => {
            let mut numbers = Wire(value);
            let (r, s) = (numbers.string()?, numbers.string()?);
            let hash = match curve {
                Curve::P256 => Hash::Sha256,
                Curve::P384 => Hash::Sha384,
                Curve::P521 => Hash::Sha512,
            };
            numbers
                .is_empty()
                .then(|| elliptic::ecdsa(curve, hash, point, &message, r, s))
        }
    }
}

fn put(out: &mut Vec<u8>, field: &[u8]) {
    // Every field comes from bytes of less than a megabyte.
    out.extend(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(field);
}

/// Bytes in the form of RFC 4251 §5.
struct Wire<'a>(&'a [u8]);

impl<'a> Wire<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }

    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests;
