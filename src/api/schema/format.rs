//! The `format` of a schema. Formats that Kubernetes does not check are not checked here either.
//!
//! Credit card, social security and ISBN numbers are the formats Kubernetes knows and Provost does not check.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use jiff::civil::Date;

use super::node::{JsonType, TypeSet};

/// A format that is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    BsonObjectId,
    Byte,
    Cidr,
    Date,
    DateTime,
    Double,
    Duration,
    Email,
    Float,
    HexColor,
    Hostname,
    Int32,
    Int64,
    Ipv4,
    Ipv6,
    LongName,
    Mac,
    Password,
    ShortName,
    Uri,
    Uuid(Option<u8>),
}

impl Format {
    /// The format called `name`, where it applies to these types and is checked. Dashes do not count in string formats.
    pub(super) fn supported(name: &str, types: &TypeSet) -> Option<Self> {
        match types.single() {
            Some(JsonType::Integer) => match name {
                "int32" => Some(Self::Int32),
                "int64" => Some(Self::Int64),
                _ => None,
            },
            Some(JsonType::Number) => match name {
                "double" => Some(Self::Double),
                "float" => Some(Self::Float),
                _ => None,
            },
            Some(JsonType::String) | None => Self::of_string(&name.replace('-', "")),
            Some(JsonType::Array | JsonType::Boolean | JsonType::Object) => None,
        }
    }

    fn of_string(name: &str) -> Option<Self> {
        let format = match name {
            "bsonobjectid" => Self::BsonObjectId,
            "byte" => Self::Byte,
            "cidr" => Self::Cidr,
            "date" => Self::Date,
            "datetime" => Self::DateTime,
            "duration" => Self::Duration,
            "email" => Self::Email,
            "hexcolor" => Self::HexColor,
            "hostname" => Self::Hostname,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "k8slongname" => Self::LongName,
            "mac" => Self::Mac,
            "password" => Self::Password,
            "k8sshortname" => Self::ShortName,
            "uri" => Self::Uri,
            "uuid" => Self::Uuid(None),
            "uuid3" => Self::Uuid(Some(b'3')),
            "uuid4" => Self::Uuid(Some(b'4')),
            "uuid5" => Self::Uuid(Some(b'5')),
            _ => return None,
        };
        Some(format)
    }

    /// Whether the format is one of strings.
    pub(super) fn is_textual(self) -> bool {
        !matches!(self, Self::Double | Self::Float | Self::Int32 | Self::Int64)
    }

    /// Whether `text` has this format.
    pub(super) fn matches(self, text: &str) -> bool {
        match self {
            Self::BsonObjectId => text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
            Self::Byte => STANDARD.decode(text).is_ok() || URL_SAFE.decode(text).is_ok(),
            Self::Cidr => is_cidr(text),
            Self::Date => is_date(text),
            Self::DateTime => is_date_time(text),
            Self::Double | Self::Float | Self::Int32 | Self::Int64 | Self::Password => true,
            Self::Duration => is_duration(text),
            Self::Email => is_email(text),
            Self::HexColor => {
                let digits = text.strip_prefix('#').unwrap_or(text);
                matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
            }
            Self::Hostname => is_hostname(text),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::LongName => text.len() <= 253 && text.split('.').all(is_label),
            Self::Mac => is_mac(text),
            Self::ShortName => text.len() <= 63 && is_label(text),
            Self::Uri => {
                text.starts_with('/') || text.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some())
            }
            Self::Uuid(version) => is_uuid(text, version),
        }
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else {
        return false;
    };
    let longest = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    prefix.bytes().all(|byte| byte.is_ascii_digit()) && prefix.parse::<u8>().is_ok_and(|bits| bits <= longest)
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<Date>().is_ok()
}

fn is_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['t', 'T']) else {
        return false;
    };
    is_date(date) && is_time(time)
}

/// `HH:MM:SS`, a fraction, and `Z` or an offset.
fn is_time(text: &str) -> bool {
    let Some((clock, rest)) = text.split_at_checked(8) else {
        return false;
    };
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let Some((_, rest)) = fraction.split_at_checked(digits).filter(|_| digits > 0) else {
                return false;
            };
            rest
        }
        None => rest,
    };
    let offset = rest.eq_ignore_ascii_case("z")
        || rest
            .strip_prefix(['+', '-'])
            .is_some_and(|offset| is_clock(offset, &[99, 99]));
    offset && is_clock(clock, &[23, 59, 59])
}

/// Two-digit numbers between colons, none above its limit.
fn is_clock(text: &str, limits: &[u8]) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == limits.len()
        && parts.iter().zip(limits).all(|(part, limit)| {
            part.len() == 2
                && part.bytes().all(|byte| byte.is_ascii_digit())
                && part.parse::<u8>().is_ok_and(|number| number <= *limit)
        })
}

/// A duration as Go parses it (`1h30m`), or one number and a word (`22 ns`, `3 days`).
fn is_duration(text: &str) -> bool {
    is_go_duration(text) || is_worded_duration(text)
}

fn is_go_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    let mut parts = 0;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let Some((digits, after)) = rest.split_at_checked(number) else {
            return false;
        };
        if !digits.bytes().any(|byte| byte.is_ascii_digit()) || digits.matches('.').count() > 1 {
            return false;
        }
        let units = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"];
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let Some((unit, after)) = after.split_at_checked(end) else {
            return false;
        };
        if !units.contains(&unit) {
            return false;
        }
        rest = after;
        parts += 1;
    }
    parts > 0
}

fn is_worded_duration(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let Some((number, unit)) = text.split_at_checked(digits) else {
        return false;
    };
    let unit = unit.trim().to_lowercase();
    let short = ["ns", "us", "µs", "ms", "s", "m", "h", "d", "w"];
    let long = ["nano", "micro", "milli", "sec", "min", "hour", "day", "week"];
    !number.is_empty() && (short.contains(&unit.as_str()) || long.iter().any(|word| unit.starts_with(word)))
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let printable =
        |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control());
    printable(local)
        && printable(domain)
        && !local.contains(['@', '<', '>', ',', '(', ')'])
        && !domain.contains(['<', '>', ',', '(', ')'])
        && !domain.split('.').any(str::is_empty)
}

fn is_hostname(text: &str) -> bool {
    text.len() <= 255
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_mac(text: &str) -> bool {
    let groups = |separator: char, size: usize, counts: &[usize]| {
        let parts: Vec<&str> = text.split(separator).collect();
        counts.contains(&parts.len())
            && parts
                .iter()
                .all(|part| part.len() == size && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    groups(':', 2, &[6, 8, 20]) || groups('-', 2, &[6, 8, 20]) || groups('.', 4, &[3, 4, 10])
}

fn is_uuid(text: &str, version: Option<u8>) -> bool {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    let dashes_in_place = text
        .bytes()
        .scan(0_usize, |digits, byte| {
            if byte == b'-' {
                Some(matches!(*digits, 8 | 12 | 16 | 20))
            } else {
                *digits += 1;
                Some(true)
            }
        })
        .all(|placed| placed)
        && !text.contains("--");
    let variant = match version {
        Some(b'4' | b'5') => digits
            .get(16)
            .is_some_and(|digit| matches!(digit.to_ascii_lowercase(), b'8' | b'9' | b'a' | b'b')),
        _ => true,
    };
    digits.len() == 32
        && digits.iter().all(u8::is_ascii_hexdigit)
        && dashes_in_place
        && version.is_none_or(|version| digits.get(12) == Some(&version))
        && variant
}
