//! The evidence about each rule on each device, for people: what a Device's status has no room for.
//!
//! `GET /v1/namespaces/{ns}/devices/{name}/rules` and `…/rules/{rule}` over TLS. Who calls and whether they may is decided by the Kubernetes API,
//! as its own extensions do it: a bearer token is reviewed (TokenReview), a client certificate is judged by the API's client authority, and then
//! the verb `get` on `devices/evidence` is reviewed (SubjectAccessReview). Nothing is written, no credential is logged or kept, and devices
//! are never asked: the answer is what the store has.

mod access;
mod caller;
mod http;
mod listener;
mod publish;
mod record;
mod refusal;

use std::net::SocketAddr;
use std::sync::Arc;

use kube::Client;

use super::listen::{self, Tasks};
use super::settings::EvidenceSettings;
use crate::clock::Clock;
use crate::listener::{ConnectionMetrics, TlsConfig};
use crate::pki::ca::ClientTrust;
use crate::store::Store;

pub use publish::{AUTHORITY_KEY, CONFIG_MAP, NAMESPACE, URL_KEY};
pub use record::{DeviceRecord, RuleRecord};

/// What the evidence is told with.
pub(super) struct Ground {
    pub(super) client: Client,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    /// Where devices reach the server: part of what they should hold.
    pub(super) public_url: String,
    pub(super) tls: TlsConfig,
    /// What vouches for the server, PEM.
    pub(super) authority: String,
    /// The authority of the embedded API's client certificates, PEM. None: the cluster's is asked for.
    pub(super) clients: Option<String>,
    pub(super) connections: ConnectionMetrics,
}

/// Starts to listen, and publishes the address. Gives the URL.
///
/// # Errors
/// When the address cannot be listened on.
pub(super) fn start(settings: &EvidenceSettings, ground: Ground, tasks: &Tasks) -> anyhow::Result<String> {
    let listener = listen::bind(settings.listen)?;
    let address: SocketAddr = listener.local_addr()?;
    let url = match &settings.url {
        Some(url) => listen::public_url(url)?,
        None => format!("https://localhost:{}", address.port()),
    };
    let embedded = ground.clients.is_some();
    let clients = ground
        .clients
        .as_deref()
        .map(ClientTrust::in_bundle)
        .transpose()?;
    let desk = http::Desk::new(
        caller::Callers::new(ground.client.clone(), ground.clock.clone(), clients),
        access::Access::new(ground.client.clone(), ground.clock.clone()),
        record::Records {
            client: ground.client.clone(),
            store: ground.store,
            public_url: ground.public_url,
        },
        ground.clock,
    );
    let serving = listener::serve(
        http::router(Arc::new(desk)),
        listener,
        ground.tls,
        ground.connections,
        tasks.shutdown(),
    )?;
    tasks.serving("the evidence listener", serving.task);
    let notice = publish::Notice {
        namespace: settings.namespace.clone(),
        url: url.clone(),
        authority: ground.authority,
        embedded,
    };
    tasks.run(
        "publishing the evidence listener",
        notice.publish(ground.client, tasks.shutdown()),
    );
    Ok(url)
}
