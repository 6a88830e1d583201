//! The file that lets kubectl in.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::files;
use crate::secret::Secret;

/// What a client needs to connect.
#[derive(Debug, Clone)]
pub struct Access {
    /// `https://127.0.0.1:PORT`
    pub server: String,
    /// The authority's certificate, PEM.
    pub authority: String,
    /// The client's certificate, PEM.
    pub certificate: String,
    /// The client's key, PEM.
    pub key: Secret<String>,
}

/// The kubeconfig could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// YAML could not be made of it.
    #[error("could not put the kubeconfig into words")]
    Encode(#[source] serde_yaml::Error),
    /// The file could not be written.
    #[error("could not write the kubeconfig {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The name of the cluster, the context and the user.
const NAME: &str = "provost";

/// Writes a kubeconfig with everything in it, mode 0600, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, access: &Access) -> Result<(), WriteError> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": NAME,
        "clusters": [{ "name": NAME, "cluster": {
            "server": access.server,
            "certificate-authority-data": STANDARD.encode(&access.authority),
        } }],
        "contexts": [{ "name": NAME, "context": { "cluster": NAME, "user": NAME, "namespace": "default" } }],
        "users": [{ "name": NAME, "user": {
            "client-certificate-data": STANDARD.encode(&access.certificate),
            "client-key-data": STANDARD.encode(access.key.reveal()),
        } }],
    });
    let text = serde_yaml::to_string(&config).map_err(WriteError::Encode)?;
    files::replace(path, text.as_bytes(), files::PRIVATE).map_err(|source| WriteError::Write {
        path: path.to_owned(),
        source,
    })
}
