//! Asking Apple for a push certificate: a key, a request for it, and the form in which Apple's portal takes it.
//!
//! Apple issues push certificates for requests that an MDM vendor vouches for. A vendor signs the request (SHA-256 with RSA over its DER) and puts
//! both into a property list with the vendor's chain up to Apple's root; the portal takes that list in base64. Without a vendor certificate of one's
//! own there is a plain request, which somebody who has one signs. Nothing here talks to Apple.
//!
//! Specification: Apple, "Setting up push notifications for your MDM customers".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize,
    SigningKey as _,
};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::certificate::{read_chain, to_pem};
use crate::secret::Secret;

/// A key and the request for a certificate for it.
#[derive(Debug)]
pub struct Request {
    /// The request, PEM: what a vendor signs.
    pub pem: String,
    der: Vec<u8>,
}

/// Why a request cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The key could not be made.
    #[error("a key could not be made")]
    MakeKey(#[source] rcgen::Error),
    /// The key that is kept for the request is unreadable.
    #[error("the key is no RSA key in unencrypted PEM")]
    ReadKey(#[source] rcgen::Error),
    /// The request could not be signed with its key.
    #[error("the request could not be made")]
    MakeRequest(#[source] rcgen::Error),
    /// The vendor's chain holds no readable certificate.
    #[error(
        "the vendor certificate is not PEM; convert a .cer file with `openssl x509 -inform DER -in FILE`"
    )]
    ReadVendor(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The vendor's key is unreadable, or of another kind.
    #[error(
        "the vendor's key is no RSA key in unencrypted PEM; take it out of a .p12 file with `openssl pkcs12 -nocerts -nodes -in FILE`"
    )]
    ReadVendorKey(#[source] rcgen::Error),
    /// The vendor's key and certificate do not belong together.
    #[error(
        "the vendor's key does not belong to the first certificate of the vendor's chain; the MDM vendor certificate comes first, then those above it"
    )]
    MatchVendor,
    /// The chain does not lead to a root.
    #[error(
        "the vendor's chain ends at \"{subject}\", which \"{issuer}\" has issued. Apple's portal wants all of it, in this order: the MDM vendor \
         certificate, Apple's WWDR intermediate, Apple's root. Append what is missing; both are at apple.com/certificateauthority"
    )]
    EndOfChain {
        /// The last certificate that fits.
        subject: String,
        /// Who is missing.
        issuer: String,
    },
    /// The property list could not be written, which would be a defect.
    #[error("the signed request could not be written")]
    Write(#[source] plist::Error),
}

/// A new key for a push certificate, PKCS #8 PEM: RSA of 2048 bits, which is what Apple issues them for.
///
/// # Errors
/// [`RequestError::MakeKey`] when the cryptographic library fails.
pub fn new_key() -> Result<Secret<String>, RequestError> {
    let key =
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(RequestError::MakeKey)?;
    Ok(Secret::new(key.serialize_pem()))
}

impl Request {
    /// A request for `key`. Apple puts a subject of its own into the certificate; `common_name` is for whoever looks at the request.
    ///
    /// # Errors
    /// When the key is unreadable or cannot sign.
    pub fn new(key: &Secret<String>, common_name: &str) -> Result<Self, RequestError> {
        let key = rsa(key.reveal()).map_err(RequestError::ReadKey)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        let request = params
            .serialize_request(&key)
            .map_err(RequestError::MakeRequest)?;
        Ok(Self {
            pem: request.pem().map_err(RequestError::MakeRequest)?,
            der: request.der().to_vec(),
        })
    }

    /// The request as Apple's portal takes it: signed by a vendor, as a property list in base64.
    ///
    /// # Errors
    /// When the vendor's key and certificates cannot be read, do not belong together, or do not lead to a root.
    pub fn signed_by_vendor(&self, chain_pem: &str, key: &Secret<String>) -> Result<String, RequestError> {
        let chain = read_chain(chain_pem).map_err(|source| RequestError::ReadVendor(Box::new(source)))?;
        let key = rsa(key.reveal()).map_err(RequestError::ReadVendorKey)?;
        check_chain(&chain, &key)?;
        let signature = key.sign(&self.der).map_err(RequestError::MakeRequest)?;
        let mut list = plist::Dictionary::new();
        let chain: String = chain
            .iter()
            .map(|certificate| to_pem("CERTIFICATE", certificate))
            .collect();
        for (name, text) in [
            ("PushCertRequestCSR", STANDARD.encode(&self.der)),
            ("PushCertCertificateChain", chain),
            ("PushCertSignature", STANDARD.encode(signature)),
        ] {
            list.insert(name.to_owned(), text.into());
        }
        let mut xml = Vec::new();
        plist::Value::Dictionary(list)
            .to_writer_xml(&mut xml)
            .map_err(RequestError::Write)?;
        Ok(STANDARD.encode(xml))
    }
}

fn rsa(pem: &str) -> Result<KeyPair, rcgen::Error> {
    KeyPair::from_pem_and_sign_algo(pem, &PKCS_RSA_SHA256)
}

/// The key is that of the first certificate, each is issued by the next, and the last by itself.
fn check_chain(chain: &[CertificateDer<'_>], key: &KeyPair) -> Result<(), RequestError> {
    let parsed = chain
        .iter()
        .map(|der| X509Certificate::from_der(der).map(|(_, certificate)| certificate))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| RequestError::ReadVendor(Box::new(source)))?;
    let leaf = parsed
        .first()
        .ok_or_else(|| RequestError::ReadVendor(Box::new(rustls::pki_types::pem::Error::NoItemsFound)))?;
    if leaf.tbs_certificate.subject_pki.raw != key.subject_public_key_info() {
        return Err(RequestError::MatchVendor);
    }
    let issuers = parsed.iter().skip(1).map(Some).chain([None]);
    for (certificate, above) in parsed.iter().zip(issuers) {
        // The last is its own issuer.
        let above = above.unwrap_or(certificate);
        if certificate.issuer().as_raw() != above.subject().as_raw() {
            return Err(RequestError::EndOfChain {
                subject: certificate.subject().to_string(),
                issuer: certificate.issuer().to_string(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertifiedIssuer, IsCa};

    use super::*;

    fn named(name: &str, authority: bool) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        if authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    }

    /// A vendor: its key, and its chain without and with the root.
    fn vendor() -> (Secret<String>, String, String) {
        let root = CertifiedIssuer::self_signed(named("Root", true), KeyPair::generate().unwrap()).unwrap();
        let key = new_key().unwrap();
        let pair = rsa(key.reveal()).unwrap();
        let leaf = named("MDM Vendor: Kites", false)
            .signed_by(&pair, &root)
            .unwrap()
            .pem();
        (key, leaf.clone(), leaf + &root.pem())
    }

    #[test]
    fn a_vendor_signs_what_apples_portal_takes() {
        let (vendor_key, _, chain) = vendor();
        let key = new_key().unwrap();
        let request = Request::new(&key, "Kites").unwrap();
        let signed = request.signed_by_vendor(&chain, &vendor_key).unwrap();
        let xml = STANDARD.decode(signed).unwrap();
        let list = plist::Value::from_reader_xml(&*xml)
            .unwrap()
            .into_dictionary()
            .unwrap();
        let keys: Vec<_> = list.keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "PushCertRequestCSR",
                "PushCertCertificateChain",
                "PushCertSignature"
            ]
        );
        let text = |key: &str| list.get(key).unwrap().as_string().unwrap().to_owned();
        assert_eq!(STANDARD.decode(text("PushCertRequestCSR")).unwrap(), request.der);
        let told = text("PushCertCertificateChain");
        assert_eq!(told.replace('\r', ""), chain.replace('\r', ""));
        assert!(told.lines().all(|line| line.len() <= 64));
        // Anybody can check the signature with the vendor's certificate alone.
        let signature = STANDARD.decode(text("PushCertSignature")).unwrap();
        let public = rsa(vendor_key.reveal()).unwrap().subject_public_key_info();
        let parsed = x509_parser::x509::SubjectPublicKeyInfo::from_der(&public)
            .unwrap()
            .1;
        aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256,
            parsed.subject_public_key.data.as_ref(),
        )
        .verify(&request.der, &signature)
        .unwrap();
    }

    #[test]
    fn what_the_portal_would_refuse_is_refused_with_advice() {
        let (vendor_key, leaf, chain) = vendor();
        let request = Request::new(&new_key().unwrap(), "Kites").unwrap();
        let refused =
            |chain: &str, key: &Secret<String>| request.signed_by_vendor(chain, key).unwrap_err().to_string();
        let short = refused(&leaf, &vendor_key);
        assert!(short.contains("CN=Root") && short.contains("WWDR"), "{short}");
        let other = new_key().unwrap();
        assert!(refused(&chain, &other).contains("does not belong"));
        assert!(refused("nothing", &vendor_key).contains("openssl x509"));
        let curve = Secret::new(KeyPair::generate().unwrap().serialize_pem());
        assert!(refused(&chain, &curve).contains("no RSA key"));
        assert!(Request::new(&curve, "Kites").is_err());
    }
}
