//! A certificate in a header: as a byte sequence of structured fields (RFC 9440, RFC 8941), or as PEM with percent escapes, which nginx calls
//! `$ssl_client_escaped_cert`. The first character tells them apart.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The longest header that is read.
const LIMIT: usize = 16 * 1024;

/// Why a header holds no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is too long.
    #[error("the header of the proxy has more than {LIMIT} bytes")]
    TooLong,
    /// It is in neither form.
    #[error("the header of the proxy is neither `:base64:` (RFC 9440) nor PEM with percent escapes")]
    Form,
}

/// Reads the certificate of a header. Whether it is one is found out by who judges it.
pub(super) fn read(value: &[u8]) -> Result<CertificateDer<'static>, CertificateError> {
    if value.len() > LIMIT {
        return Err(CertificateError::TooLong);
    }
    let value = value.trim_ascii();
    let certificate = match value {
        [b':', digits @ .., b':'] => STANDARD.decode(digits).ok().map(CertificateDer::from),
        [b'-', ..] => unescape(value).and_then(|pem| CertificateDer::from_pem_slice(&pem).ok()),
        _ => None,
    };
    certificate.ok_or(CertificateError::Form)
}

/// Percent escapes, and nothing else: a plus is a plus.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            let mut byte = [0];
            hex::decode_to_slice(digits, &mut byte).ok()?;
            bytes.extend(byte);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_nothing_else() {
        let der = [0x30, 0x03, 0x02, 0x01, 0xFB];
        let digits = STANDARD.encode(der);
        let binary = format!(":{digits}:");
        assert_eq!(read(binary.as_bytes()).unwrap().as_ref(), der);
        let pem = format!("-----BEGIN%20CERTIFICATE-----%0A{digits}%0A-----END%20CERTIFICATE-----%0A");
        assert_eq!(read(pem.as_bytes()).unwrap().as_ref(), der);
        let half = "-----BEGIN%20CERTIFICATE-----%0A%4";
        let long = format!(":{}:", "A".repeat(LIMIT));
        for wrong in [
            "",
            ":",
            "::x",
            &digits,
            ":no base64:",
            half,
            "-",
            "-%zz",
            "Subject=\"CN=x\"",
        ] {
            assert_eq!(read(wrong.as_bytes()), Err(CertificateError::Form), "{wrong}");
        }
        assert_eq!(read(long.as_bytes()), Err(CertificateError::TooLong));
    }
}
