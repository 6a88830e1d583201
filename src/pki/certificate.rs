//! A certificate that somebody brings: what it is told apart by.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::ids::Digest;

/// Why a text is no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No PEM, or PEM of something else.
    #[error("there is no certificate in it; it has to be PEM (-----BEGIN CERTIFICATE-----)")]
    Pem,
    /// Nobody can tell which is meant.
    #[error("there is more than one certificate in it; give the one of the device alone")]
    Several,
    /// What is in the PEM is no X.509.
    #[error("what is in the PEM cannot be read as a certificate")]
    Der,
}

/// The SHA-256 of the one certificate in a text (PEM).
///
/// # Errors
/// When there is none, or more than one.
pub fn fingerprint_of_pem(pem: &str) -> Result<Digest, Error> {
    let mut found = CertificateDer::pem_slice_iter(pem.as_bytes());
    let certificate = found.next().ok_or(Error::Pem)?.map_err(|_| Error::Pem)?;
    if found.next().is_some() {
        return Err(Error::Several);
    }
    match X509Certificate::from_der(&certificate) {
        Ok(([], _)) => Ok(Digest::of(&certificate)),
        _ => Err(Error::Der),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_certificate_is_told_by_its_digest_and_all_else_is_refused() {
        let made = rcgen::generate_simple_self_signed(["device".to_owned()])
            .unwrap()
            .cert;
        let pem = made.pem();
        assert_eq!(fingerprint_of_pem(&pem), Ok(Digest::of(made.der())));
        assert_eq!(fingerprint_of_pem(&format!("{pem}\n{pem}")), Err(Error::Several));
        assert_eq!(fingerprint_of_pem("nonsense"), Err(Error::Pem));
        let empty = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";
        assert_eq!(fingerprint_of_pem(empty), Err(Error::Der));
    }
}
