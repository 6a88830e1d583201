//! What each fuzz target does with its bytes: the parser that meets them first, and what must hold of the result. The package's own tests
//! run the same functions over the corpus.

use jiff::Timestamp;
use provost::compliance::Facts;
use provost::mdm::checkin::CheckIn;
use provost::mdm::commands::CommandReport;
use provost::mdm::ddm::{Endpoint, StatusReport};
use provost::mdm::plist::{read, read_dictionary, to_json, to_xml};
use provost::pki::csr::CertificateRequest;

/// Every target by its name.
pub(super) const TARGETS: [(&str, fn(&[u8])); 6] = [
    ("certificate_request", certificate_request),
    ("check_in", check_in),
    ("command_report", command_report),
    ("endpoint", endpoint),
    ("plist", plist),
    ("status_report", status_report),
];

/// A body of any kind.
pub(super) fn plist(bytes: &[u8]) {
    if let Ok(value) = read(bytes) {
        let _ = to_json(&value);
        assert!(!to_xml(&value).is_empty(), "what was read cannot be written");
    }
}

/// A check-in message.
pub(super) fn check_in(bytes: &[u8]) {
    if let Ok(message) = read_dictionary(bytes) {
        let _ = CheckIn::read(&message);
    }
}

/// A message of the command channel.
pub(super) fn command_report(bytes: &[u8]) {
    if let Ok(message) = read_dictionary(bytes) {
        let _ = CommandReport::read(&message);
    }
}

/// The `Endpoint` of a DeclarativeManagement message.
pub(super) fn endpoint(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(Endpoint::Declaration { identifier, .. }) = Endpoint::parse(text) {
        assert!(
            text.ends_with(identifier),
            "an identifier that the device did not send"
        );
        assert!(
            identifier
                .split('/')
                .all(|segment| !matches!(segment, "" | "." | ".."))
        );
    }
}

/// A status report.
pub(super) fn status_report(bytes: &[u8]) {
    let Ok(report) = StatusReport::read(Some(bytes)) else {
        return;
    };
    let mut facts = Facts::default();
    let _ = facts.status_report(&report.value, Timestamp::UNIX_EPOCH);
}

/// A certificate request.
pub(super) fn certificate_request(bytes: &[u8]) {
    let _ = CertificateRequest::read(bytes);
}
