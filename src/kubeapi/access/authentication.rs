//! Who makes a request: a client certificate, a bearer token, or nobody.
//!
//! A credential that does not hold is refused; none at all makes the user `system:anonymous`, as the Kubernetes API
//! server does by default.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::tokens;
use super::user::User;
use crate::bearer;
use crate::kubeapi::api::Core;
use crate::kubeapi::error::ApiError;
use crate::pki::ca::Subject;

/// The user of a request that came over TLS. `certificate` is the client's, DER, whose signature the handshake has
/// verified. The credential is taken out of `headers`, so that nothing behind this point can write it anywhere.
///
/// # Errors
/// 401 for a credential that does not hold.
pub(super) async fn authenticate(
    core: &Core,
    certificate: Option<&[u8]>,
    headers: &mut HeaderMap,
) -> Result<User, ApiError> {
    let authorization = headers.remove(AUTHORIZATION);
    if let Some(der) = certificate {
        return of_certificate(der, core.now()).ok_or(ApiError::Unauthorized);
    }
    let Some(token) = authorization.as_ref().and_then(bearer::token) else {
        return Ok(User::anonymous());
    };
    match tokens::verify(core, token, &[tokens::ISSUER.to_owned()]).await {
        Ok((user, _)) => Ok(user),
        Err(tokens::Rejection::Failed(error)) => Err(error),
        Err(rejection) => {
            tracing::debug!(reason = %rejection, "refused a bearer token");
            Err(ApiError::Unauthorized)
        }
    }
}

/// The handshake saw the certificate when the connection began; that it holds is asked of
/// every request.
fn of_certificate(der: &[u8], now: jiff::Timestamp) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let now = now.as_second();
    if now < validity.not_before.timestamp() || now > validity.not_after.timestamp() {
        return None;
    }
    let subject = Subject::of(&certificate)?;
    let credential = format!("X509SHA256={}", hex::encode(Sha256::digest(der)));
    Some(User::authenticated(subject.name, subject.groups, credential))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_its_user_while_it_is_valid() {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "bob");
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "ops");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let at = |time: &str| of_certificate(certificate.der(), time.parse().unwrap());
        let user = at("2020-06-01T00:00:00Z").unwrap();
        assert_eq!(user.name, "bob");
        assert_eq!(user.groups, ["ops", "system:authenticated"]);
        assert_eq!(at("2019-06-01T00:00:00Z"), None);
        assert_eq!(at("2021-06-01T00:00:00Z"), None);
        assert_eq!(
            of_certificate(b"no certificate", jiff::Timestamp::UNIX_EPOCH),
            None
        );
    }
}
