//! Devices of a load: who they are, and what their requests look like.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::LoadError;

/// A device that is enrolled already: one line of the file that `provost bench prepare` writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recruit {
    /// Its UDID.
    pub udid: String,
    /// Its identity certificate, DER in base64.
    pub certificate: String,
}

impl Recruit {
    /// A device with this certificate, DER.
    #[must_use]
    pub fn new(udid: &str, certificate: &[u8]) -> Self {
        Self {
            udid: udid.to_owned(),
            certificate: STANDARD.encode(certificate),
        }
    }
}

/// Reads the devices of a file, one JSON object a line, at most `limit`.
///
/// # Errors
/// When it cannot be read, a line is none, or there is none.
pub fn read_fleet(path: &Path, limit: Option<usize>) -> Result<Vec<Recruit>, LoadError> {
    read_lines(path, limit, "device of a load")
}

/// Reads one JSON object a line.
pub(super) fn read_lines<T: serde::de::DeserializeOwned>(
    path: &Path,
    limit: Option<usize>,
    what: &'static str,
) -> Result<Vec<T>, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|source| LoadError::ReadFile {
        path: path.to_owned(),
        source,
    })?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    let read = lines.take(limit.unwrap_or(usize::MAX)).map(|(number, line)| {
        serde_json::from_str(line).map_err(|source| LoadError::ReadLine {
            path: path.to_owned(),
            line: number + 1,
            what,
            source,
        })
    });
    let read: Vec<T> = read.collect::<Result<_, _>>()?;
    if read.is_empty() {
        return Err(LoadError::Nobody {
            path: path.to_owned(),
            what,
        });
    }
    Ok(read)
}

/// What property lists begin with.
const BEGINNING: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
     \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\"><dict>";
/// What they end with.
const ENDING: &str = "</dict></plist>";

/// Writes the requests of one device after the other, into the same memory.
pub(super) struct Caller {
    authority: Arc<str>,
    /// The header that holds the certificate.
    header: Arc<str>,
    body: Vec<u8>,
    request: Vec<u8>,
}

impl Caller {
    pub(super) const fn new(authority: Arc<str>, header: Arc<str>) -> Self {
        Self {
            authority,
            header,
            body: Vec::new(),
            request: Vec::new(),
        }
    }

    /// A report: Idle, or the acknowledgement of a command.
    pub(super) fn report(&mut self, device: &Recruit, acknowledged: Option<&str>) -> &[u8] {
        match acknowledged {
            None => self.property_list(device, &[("Status", "Idle")]),
            Some(uuid) => self.property_list(device, &[("CommandUUID", uuid), ("Status", "Acknowledged")]),
        }
        self.put("/mdm", "application/x-apple-aspen-mdm", device)
    }

    /// A step of declarative management.
    pub(super) fn declarative(&mut self, device: &Recruit, endpoint: &str) -> &[u8] {
        let entries = [("MessageType", "DeclarativeManagement"), ("Endpoint", endpoint)];
        self.property_list(device, &entries);
        self.put("/mdm/checkin", "application/x-apple-aspen-mdm-checkin", device)
    }

    fn property_list(&mut self, device: &Recruit, entries: &[(&str, &str)]) {
        self.body.clear();
        self.body.extend_from_slice(BEGINNING.as_bytes());
        for (key, value) in entries.iter().copied().chain([("UDID", device.udid.as_str())]) {
            for part in ["<key>", key, "</key><string>", value, "</string>"] {
                self.body.extend_from_slice(part.as_bytes());
            }
        }
        self.body.extend_from_slice(ENDING.as_bytes());
    }

    fn put(&mut self, path: &str, content_type: &str, device: &Recruit) -> &[u8] {
        self.request.clear();
        // Writing to memory does not fail.
        let _ = write!(
            self.request,
            "PUT {path} HTTP/1.1\r\nHost: {}\r\n{}: :{}:\r\nUser-Agent: MDM/1.0 (simulated)\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\n\r\n",
            self.authority,
            self.header,
            device.certificate,
            self.body.len(),
        );
        self.request.extend_from_slice(&self.body);
        &self.request
    }
}
