//! Bearer tokens of service accounts: JWTs as Kubernetes issues them, signed with a key of this API's own.
//!
//! A token is bound to the uid of its service account, perhaps to a Secret, to audiences and to a time. It is never kept:
//! whether it holds is asked of the key and of the stored objects each time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::KeyPair;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::user::{User, service_account, service_account_groups};
use crate::api::schema::FieldError;
use crate::files;
use crate::kubeapi::api::Core;
use crate::kubeapi::error::{ApiError, Subject};
use crate::kubeapi::object;
use crate::secret::Secret;

/// Who issues tokens, and the audience of those that are meant for this API.
pub(super) const ISSUER: &str = "https://kubernetes.default.svc";
/// Seconds a token lasts where nobody says otherwise.
const LIFETIME: i64 = 3600;
/// Shortest and longest time a token may last, as Kubernetes'.
const LIFETIMES: std::ops::RangeInclusive<i64> = 600..=1 << 32;
/// Seconds by which clocks may differ.
const LEEWAY: i64 = 60;
/// Longest token that is looked at, in bytes. One of this API's has about a thousand.
const MAX_TOKEN: usize = 16 * 1024;
/// Most audiences in one token or review.
const MAX_AUDIENCES: usize = 64;

/// The key that signs tokens.
pub(in crate::kubeapi) struct Signer {
    encoding: EncodingKey,
    decoding: DecodingKey,
    /// Names the key in a token's header.
    id: String,
}

/// The key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// It could not be read or written.
    #[error("could not use the key {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It could not be made, or what is in the file is none.
    #[error("{} holds no usable key; remove it and start again, and have new tokens made", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Signer {
    /// Reads the key `sa.key` in `folder`; makes it, mode 0600, where there is none.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds something else.
    pub(in crate::kubeapi) fn open(folder: &Path) -> Result<Self, SignerError> {
        let path = folder.join("sa.key");
        let file = |source| SignerError::File {
            path: path.clone(),
            source,
        };
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| SignerError::Key {
            path: path.clone(),
            source,
        };
        let pem = if path.exists() {
            Secret::new(std::fs::read_to_string(&path).map_err(file)?)
        } else {
            let key = KeyPair::generate().map_err(|error| failed(error.into()))?;
            let pem = Secret::new(key.serialize_pem());
            files::replace(&path, pem.reveal().as_bytes(), files::PRIVATE).map_err(file)?;
            pem
        };
        let key = KeyPair::from_pem(pem.reveal()).map_err(|error| failed(error.into()))?;
        let encoding =
            EncodingKey::from_ec_pem(pem.reveal().as_bytes()).map_err(|error| failed(error.into()))?;
        let decoding = DecodingKey::from_ec_pem(key.public_key_pem().as_bytes())
            .map_err(|error| failed(error.into()))?;
        Ok(Self {
            encoding,
            decoding,
            id: URL_SAFE_NO_PAD.encode(Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(
                &key,
            ))),
        })
    }

    fn sign(&self, claims: &Claims) -> Result<Secret<String>, jsonwebtoken::errors::Error> {
        let header = Header {
            alg: Algorithm::ES256,
            kid: Some(self.id.clone()),
            ..Header::default()
        };
        jsonwebtoken::encode(&header, claims, &self.encoding).map(Secret::new)
    }

    /// The claims of a token that this key has signed, of whatever time and audience.
    fn open_token(&self, token: &str) -> Option<Claims> {
        let mut validation = Validation::new(Algorithm::ES256);
        // Times are compared with the clock that was given, audiences with those that are asked for.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        validation.set_issuer(&[ISSUER]);
        let opened = jsonwebtoken::decode(token, &self.decoding, &validation).ok()?;
        Some(opened.claims)
    }
}

/// What a token says.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Claims {
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    iss: String,
    jti: String,
    #[serde(rename = "kubernetes.io")]
    bound: Bound,
    nbf: i64,
    sub: String,
}

/// What a token is bound to.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Bound {
    namespace: String,
    serviceaccount: Reference,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<Reference>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Reference {
    name: String,
    uid: String,
}

/// Why a token does not hold.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    /// It is meant for others.
    #[error("token audiences {found} is invalid for the target audiences {wanted}")]
    Audience { found: String, wanted: String },
    /// Its service account, or the Secret it is bound to, is not what it was.
    #[error("{0}")]
    Bound(String),
    /// It could not be looked up.
    #[error(transparent)]
    Failed(#[from] ApiError),
    /// It is none of this API's.
    #[error("invalid bearer token")]
    Invalid,
    /// Its time has passed or has not come.
    #[error("service account token {0}")]
    Time(&'static str),
}

/// The user of a token that is meant for one of `audiences`, and those of them that it is meant for.
///
/// # Errors
/// Why it does not hold.
pub(super) async fn verify(
    core: &Core,
    token: &str,
    audiences: &[String],
) -> Result<(User, Vec<String>), Rejection> {
    let signer = core.signer.get().filter(|_| token.len() <= MAX_TOKEN);
    let claims = signer
        .and_then(|signer| signer.open_token(token))
        .ok_or(Rejection::Invalid)?;
    let shared: Vec<String> = audiences
        .iter()
        .filter(|audience| claims.aud.contains(audience))
        .cloned()
        .collect();
    if shared.is_empty() {
        return Err(Rejection::Audience {
            found: super::rules::quoted(&claims.aud),
            wanted: super::rules::quoted(audiences),
        });
    }
    let now = core.now().as_second();
    if now - LEEWAY > claims.exp {
        return Err(Rejection::Time("has expired"));
    }
    if now + LEEWAY < claims.nbf {
        return Err(Rejection::Time("is not valid yet"));
    }
    let Bound {
        namespace,
        serviceaccount,
        secret,
    } = claims.bound;
    let Some(uid) = uid_of(core, "serviceaccounts", &namespace, &serviceaccount.name).await? else {
        let name = &serviceaccount.name;
        return Err(Rejection::Bound(format!("serviceaccounts {name:?} not found")));
    };
    if uid != serviceaccount.uid {
        let claimed = &serviceaccount.uid;
        let why = format!("service account UID ({uid}) does not match claim ({claimed})");
        return Err(Rejection::Bound(why));
    }
    if let Some(secret) = secret {
        match uid_of(core, "secrets", &namespace, &secret.name).await? {
            Some(uid) if uid == secret.uid => {}
            Some(uid) => {
                let claimed = &secret.uid;
                let why =
                    format!("secret UID ({uid}) does not match service account secret ref claim ({claimed})");
                return Err(Rejection::Bound(why));
            }
            None => {
                return Err(Rejection::Bound(
                    "service account token has been invalidated".to_owned(),
                ));
            }
        }
    }
    let user = User::authenticated(
        service_account(&namespace, &serviceaccount.name),
        service_account_groups(&namespace),
        format!("JTI={}", claims.jti),
    );
    Ok((User { uid, ..user }, shared))
}

/// The uid of an object of the core group that is there.
async fn uid_of(core: &Core, plural: &str, namespace: &str, name: &str) -> Result<Option<String>, ApiError> {
    let served = core.registry.served();
    let resource = served.find("", "v1", plural).ok_or(ApiError::NoSuchResource)?;
    let found = core.load(resource, namespace, name).await?;
    Ok(found.map(|(object, _)| object::text(&object, "uid").to_owned()))
}

/// Answers a `TokenRequest` for a service account.
///
/// # Errors
/// 404 when the service account or the bound object is not there, 409 when a uid differs, 422 for a time that is not
/// allowed.
pub(super) async fn request(
    core: &Arc<Core>,
    namespace: &str,
    name: &str,
    mut request: Value,
) -> Result<Value, ApiError> {
    check_identity(namespace, name, &request)?;
    let Some(uid) = uid_of(core, "serviceaccounts", namespace, name).await? else {
        return Err(ApiError::NotFound(subject("", "serviceaccounts", name)));
    };
    let claimed = object::text(&request, "uid");
    if !claimed.is_empty() && claimed != uid {
        let why = format!(
            "the UID in the token request ({claimed}) does not match the UID of the service account ({uid})"
        );
        return Err(ApiError::Conflict {
            subject: subject(GROUP, KIND, name),
            why,
        });
    }
    let mut audiences = object::strings(object::at(&request, "spec.audiences"));
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    if audiences.len() > MAX_AUDIENCES {
        return Err(ApiError::BadRequest(format!(
            "a token has at most {MAX_AUDIENCES} audiences"
        )));
    }
    let lifetime = lifetime(&request)?;
    let bound = object::at(&request, "spec.boundObjectRef").filter(|reference| !reference.is_null());
    let secret = match bound {
        Some(reference) => Some(bound_secret(core, namespace, reference).await?),
        None => None,
    };
    let now = core.now().as_second();
    let claims = Claims {
        aud: audiences.clone(),
        exp: now.saturating_add(lifetime),
        iat: now,
        iss: ISSUER.to_owned(),
        jti: core.entropy.uuid().to_string(),
        bound: Bound {
            namespace: namespace.to_owned(),
            serviceaccount: Reference {
                name: name.to_owned(),
                uid: uid.clone(),
            },
            secret,
        },
        nbf: now,
        sub: service_account(namespace, name),
    };
    let signer = core.signer.get().ok_or_else(|| {
        ApiError::Internal("tokens are made only where the API is served on an address".to_owned())
    })?;
    let token = signer
        .sign(&claims)
        .map_err(|error| ApiError::Internal(format!("failed to generate token: {error}")))?;
    let expires = jiff::Timestamp::from_second(claims.exp).unwrap_or(jiff::Timestamp::MAX);
    object::put(&mut request, "apiVersion", json!("authentication.k8s.io/v1"));
    object::put(&mut request, "kind", json!(KIND));
    for (field, value) in [
        ("name", json!(name)),
        ("namespace", json!(namespace)),
        ("uid", json!(uid)),
        ("creationTimestamp", core.time()),
    ] {
        object::set(&mut request, field, Some(value));
    }
    let reference = bound_value(&request);
    let spec = json!({ "audiences": audiences, "expirationSeconds": lifetime, "boundObjectRef": reference });
    object::put(&mut request, "spec", spec);
    let status = json!({ "token": token.reveal(), "expirationTimestamp": object::time(expires) });
    object::put(&mut request, "status", status);
    Ok(request)
}

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";

fn bound_value(request: &Value) -> Value {
    object::at(request, "spec.boundObjectRef")
        .cloned()
        .unwrap_or(Value::Null)
}

fn subject(group: &str, kind: &str, name: &str) -> Subject {
    Subject {
        group: group.to_owned(),
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn check_identity(namespace: &str, name: &str, request: &Value) -> Result<(), ApiError> {
    let kind = request.get("kind").and_then(Value::as_str);
    if !request.is_object() || kind.is_some_and(|kind| kind != KIND) {
        return Err(ApiError::BadRequest(format!("the body is not a {KIND}")));
    }
    for (field, expected) in [("name", name), ("namespace", namespace)] {
        let found = object::text(request, field);
        if !found.is_empty() && found != expected {
            let detail = format!("must match the service account {field} if specified");
            return Err(ApiError::Invalid {
                subject: subject(GROUP, KIND, name),
                errors: vec![FieldError::invalid(
                    format!("metadata.{field}"),
                    &json!(found),
                    &detail,
                )],
            });
        }
    }
    Ok(())
}

fn lifetime(request: &Value) -> Result<i64, ApiError> {
    let asked = object::at(request, "spec.expirationSeconds").filter(|seconds| !seconds.is_null());
    let lifetime = match asked {
        None => LIFETIME,
        Some(seconds) => seconds.as_i64().ok_or_else(|| {
            ApiError::BadRequest("spec.expirationSeconds must be a whole number of seconds".to_owned())
        })?,
    };
    if LIFETIMES.contains(&lifetime) {
        return Ok(lifetime);
    }
    let detail = if lifetime < *LIFETIMES.start() {
        "may not specify a duration less than 10 minutes"
    } else {
        "may not specify a duration larger than 2^32 seconds"
    };
    Err(ApiError::Invalid {
        subject: subject(GROUP, KIND, ""),
        errors: vec![FieldError::invalid(
            "spec.expirationSeconds",
            &json!(lifetime),
            detail,
        )],
    })
}

async fn bound_secret(core: &Core, namespace: &str, reference: &Value) -> Result<Reference, ApiError> {
    let text = |field: &str| {
        reference
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or("")
            .to_owned()
    };
    let (api_version, kind, name, claimed) = (text("apiVersion"), text("kind"), text("name"), text("uid"));
    if kind != "Secret" || api_version.contains('/') {
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        return Err(ApiError::BadRequest(format!(
            "cannot bind token to object of type {group}/{version}, Kind={kind}"
        )));
    }
    let Some(uid) = uid_of(core, "secrets", namespace, &name).await? else {
        return Err(ApiError::NotFound(subject("", "secrets", &name)));
    };
    if !claimed.is_empty() && claimed != uid {
        let why = format!(
            "the UID in the bound object reference ({claimed}) does not match the UID in record. The object might \
             have been deleted and then recreated"
        );
        return Err(ApiError::Conflict {
            subject: subject("", "Secret", &name),
            why,
        });
    }
    Ok(Reference { name, uid })
}
