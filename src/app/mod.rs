//! The composition root: settings → components → tasks → shutdown.

pub mod admin_http;
pub mod bench;
mod cluster;
mod control;
pub mod data_dir;
mod embedded;
mod enqueue;
pub mod evidence;
mod install;
mod listen;
pub mod moving;
mod plane;
mod push;
pub mod push_topics;
pub mod queued;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use settings::{
    ClusterSettings, EnqueueSettings, EvidenceSettings, Kubernetes, ProxySettings, PushFiles, PushService,
    PushSettings, Settings,
};

use crate::api::crds;
use crate::clock::{Clock, Entropy};
use crate::controllers::fleet;
use crate::enrollment::http::{WaysIn, device_router};
use crate::enrollment::{
    CurrentAddress, IdentityIssuer, IdentityMetrics, Invite, Limiter, MdmAddress, ProfileIssuer, Rate,
    ScepServer,
};
use crate::gitops::validate::SchemaSet;
use crate::kubeapi::KubeApi;
use crate::listener::{ConnectionMetrics, TlsConfig, raise_descriptor_limit};
use crate::mdm::enqueue::Waker;
use crate::mdm::gateway::{Gateway, NetworkUsers, setup};
use crate::mdm::metrics::GatewayMetrics;
use crate::mdm::peer::Peers;
use crate::mdm::profile_pass::ProfilePasses;
use crate::mdm::seen::SeenBatch;
use crate::mdm::{self, http as device_http, proxy, serve as device_serve};
use crate::pki::ca::{Pki, server_names};
use crate::pki::cms::HashPolicy;
use crate::pki::{KeyFile, Sealer};
use crate::push::HeldCertificate;
use crate::store::Store;
use crate::store::sqlite::SqliteStore;
use crate::telemetry::cluster::ClusterMetrics;
use crate::telemetry::{Chain, Metrics};
use admin_http::{InviteOrder, Orders, Readiness};
use control::Controllers;
use data_dir::{DataDir, admin_socket};
use listen::Tasks;
use moving::Desk;
use plane::{Ground, Plane};

/// How often times of contact are written.
const SEEN_INTERVAL: Duration = Duration::from_secs(5);
/// How often the stores are tidied.
const TIDY_INTERVAL: Duration = Duration::from_hours(1);

/// A running server: the device endpoint and the controllers, with a Kubernetes API in the same process or that of a cluster.
pub struct Server {
    data_dir: DataDir,
    mdm_url: String,
    api_url: String,
    admin_url: String,
    client: Client,
    orders: Orders,
    metrics: Metrics,
    wakes_devices: bool,
    readiness: Readiness,
    /// In this process.
    api: Option<KubeApi>,
    tasks: Tasks,
}

/// The counters of a server, and those of its listeners among them.
fn counters() -> (Metrics, ConnectionMetrics) {
    let (metrics, connections) = (Metrics::new(), ConnectionMetrics::default());
    metrics.register(|registry| connections.register(registry.sub_registry_with_prefix("provost")));
    (metrics, connections)
}

impl Server {
    /// Opens the data directory and starts everything. Returns when devices are served and, with the embedded API, kubectl is; see
    /// [`Server::ready`].
    ///
    /// # Errors
    /// When the data directory is in use or of a newer version, an address is taken, a certificate cannot be used, or nothing tells where the cluster
    /// is.
    pub async fn start(
        settings: Settings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> anyhow::Result<Self> {
        let data_dir = DataDir::open(&settings.data_dir)?;
        let descriptors = raise_descriptor_limit();
        tracing::debug!(descriptors, "files may be open");
        let (metrics, connections) = counters();
        let readiness = Readiness::default();
        let tasks = Tasks::default();
        let on_cluster = matches!(settings.kubernetes, Kubernetes::Cluster(_));
        let gauges = on_cluster.then(|| ClusterMetrics::registered(&metrics));
        let health = admin_http::health_router(readiness.clone(), gauges.clone(), metrics.clone());
        let admin = tasks
            .admin(settings.admin_listen, health, connections.clone())
            .context("--admin-listen")?;

        let sealer = sealer(&data_dir, entropy.clone())?;
        let store = store(&data_dir, sealer.clone())?;
        let ground = Ground {
            data_dir: &data_dir,
            sealer: sealer.clone(),
            clock: &clock,
            entropy: &entropy,
            gauges,
            connections: connections.clone(),
            tasks: &tasks,
        };
        let plane = Plane::open(&settings.kubernetes, ground).await?;
        let (client, api_url) = (plane.client(), plane.url());

        let devices = Devices {
            settings: &settings,
            data_dir: &data_dir,
            store: store.clone(),
            sealer,
            clock: &clock,
            entropy: &entropy,
            metrics: &metrics,
            connections: connections.clone(),
        };
        let served = devices.serve(&tasks)?;
        let (public_url, wakes_devices) = (served.public_url, served.wakes_devices);
        let desk = mdm::enqueue::Desk {
            store: store.clone(),
            waker: served.waker,
            clock: clock.clone(),
            entropy: entropy.clone(),
        };
        enqueue::start(settings.enqueue.as_ref(), desk, &connections, &tasks)?;
        if let Some(evidence) = &settings.evidence {
            let ground = evidence::Ground {
                client: client.clone(),
                store: store.clone(),
                clock: clock.clone(),
                public_url: public_url.clone(),
                tls: served.tls,
                authority: served.authority,
                clients: plane.client_authority(),
                connections,
            };
            evidence::start(evidence, ground, &tasks).context("--evidence-listen")?;
        }
        let orders = Orders {
            store: store.clone(),
            client: client.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            public_url: public_url.clone(),
        };
        tasks.unix(&admin_socket(data_dir.path()), orders_of_the_owner(&orders))?;

        let controllers = Controllers {
            store: store.clone(),
            clock: clock.clone(),
            entropy,
            metrics: metrics.clone(),
            planner: fleet::Settings {
                public_url: public_url.clone(),
                evidence_interval: settings.evidence_interval,
            },
            schemas: Arc::new(SchemaSet::new(&crds::all())?),
            push_certificates: plane.tells_of(served.push_certificates),
            fetcher: Arc::default(),
            clones: data_dir.git(),
        };
        tasks.run("tidying", tidy(store, clock, tasks.shutdown()));
        let api = plane.govern(controllers, &readiness, &tasks);
        Ok(Self {
            mdm_url: public_url,
            api_url,
            admin_url: format!("http://{admin}"),
            data_dir,
            client,
            orders,
            metrics,
            wakes_devices,
            readiness,
            api,
            tasks,
        })
    }

    /// Waits until the server is ready: at once with the embedded API; on a cluster when the API has been reached and has the definitions.
    pub async fn ready(&self) {
        self.readiness.wait().await;
    }

    /// The one line that a server prints when it is ready.
    #[must_use]
    pub fn ready_line(&self) -> String {
        let kubeconfig = self
            .kubeconfig()
            .map(|path| format!("kubeconfig={} ", path.display()))
            .unwrap_or_default();
        format!(
            "ready mdm={} api={} admin={} {kubeconfig}ca={}",
            self.mdm_url,
            self.api_url,
            self.admin_url,
            self.data_dir.ca().display()
        )
    }

    /// A client of the Kubernetes API, as administrator.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Whether devices are woken, rather than come by themselves alone.
    #[must_use]
    pub const fn wakes_devices(&self) -> bool {
        self.wakes_devices
    }

    /// The control plane's counters.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The kubeconfig of the embedded API's administrator. None: the API is that of a cluster.
    #[must_use]
    pub fn kubeconfig(&self) -> Option<PathBuf> {
        self.api.as_ref().map(|_| self.data_dir.kubeconfig())
    }

    /// The data directory.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Makes invitations, as `provost enroll invite` does.
    ///
    /// # Errors
    /// What is wrong with the order, for people.
    pub async fn invite(&self, order: InviteOrder) -> anyhow::Result<Vec<Invite>> {
        admin_http::make(&self.orders, order)
            .await
            .map_err(|refusal| anyhow::anyhow!(refusal.error))
    }

    /// Waits until a part of the server ends by itself, and says why.
    pub async fn ended(&self) -> anyhow::Error {
        self.tasks.ended().await
    }

    /// Stops everything: requests under way are finished, times of contact are written.
    pub async fn stop(self) {
        self.readiness.set(false);
        self.tasks.stop().await;
        if let Some(api) = self.api {
            api.stop();
        }
    }
}

/// A running device endpoint.
struct DeviceEndpoint {
    wakes_devices: bool,
    push_certificates: watch::Receiver<Vec<HeldCertificate>>,
    /// The address that devices use.
    public_url: String,
    tls: TlsConfig,
    /// What vouches for it, PEM.
    authority: String,
    /// What wakes devices.
    waker: Arc<dyn Waker>,
}

/// What serves devices is made of.
struct Devices<'a> {
    settings: &'a Settings,
    data_dir: &'a DataDir,
    store: Arc<SqliteStore>,
    sealer: Arc<dyn Sealer>,
    clock: &'a Arc<dyn Clock>,
    entropy: &'a Arc<dyn Entropy>,
    metrics: &'a Metrics,
    connections: ConnectionMetrics,
}

impl Devices<'_> {
    /// Starts the device endpoint and the waking of devices.
    fn serve(self, tasks: &Tasks) -> anyhow::Result<DeviceEndpoint> {
        let listener = listen::bind(self.settings.mdm_listen).context("--mdm-listen")?;
        let address = listener.local_addr()?;
        let public_url = match &self.settings.public_url {
            Some(url) => listen::public_url(url).context("--public-url")?,
            None => format!("https://localhost:{}", address.port()),
        };
        let mut names = server_names(&listen::host(&public_url));
        let evidence = self.settings.evidence.as_ref();
        if let Some(url) = evidence.and_then(|evidence| evidence.url.as_deref()) {
            // The evidence is told with the same certificate.
            names.extend(server_names(&listen::host(url)));
            names.sort();
            names.dedup();
        }
        let pki = Pki::open(
            self.data_dir.path(),
            &names,
            self.clock.now(),
            self.entropy.as_ref(),
        )?;
        let push = push::Push::new(&self.settings.push, self.data_dir.push(), self.metrics)?;
        let topics = push.enrolling(push::stand_in_topic(&pki.first_devices_pem)?);
        let tls = device_serve::tls_config(&pki.server)?;
        let authority = pki.servers.certificate_pem().to_owned();
        let peers = Arc::new(self.peers(&pki)?);

        let store: Arc<dyn Store> = self.store.clone();
        let seen = Arc::new(SeenBatch::default());
        let gateway_metrics = GatewayMetrics::default();
        let passes = ProfilePasses::new(self.sealer.clone(), &public_url);
        let gateway = self.gateway(&seen, &push, &gateway_metrics);
        let gateway = Arc::new(gateway.with_profile_passes(passes));
        let mdm: CurrentAddress = {
            let public_url = public_url.clone();
            Arc::new(move || MdmAddress::new(&public_url, topics()))
        };
        let limiter = Arc::new(Limiter::new(Rate::default()));
        let counts = IdentityMetrics::default();
        let ways_in = self.ways_in(&store, &pki, &public_url, &mdm, &limiter, &counts);
        let issuer = IdentityIssuer::new(
            store.clone(),
            self.clock.clone(),
            self.entropy.clone(),
            pki.devices,
            mdm,
            pki.servers.certificate_pem().to_owned(),
        );
        let issuer = Arc::new(issuer.with_metrics(counts.clone()));
        let limits = device_http::Limits::default();
        self.metrics.register(|registry| {
            let registry = registry.sub_registry_with_prefix("provost");
            gateway_metrics.register(registry);
            counts.register(registry);
        });
        let identities = crate::enrollment::http::router(issuer, limiter, self.clock.clone());
        let router = device_http::router(gateway, peers.clone(), limits)
            .merge(identities)
            .merge(device_router(ways_in));
        let router = device_http::guarded(router, limits, gateway_metrics, self.entropy.clone());
        if let Some(settings) = &self.settings.proxies {
            self.serve_proxies(settings, router.clone(), &peers, tasks)
                .context("--mdm-proxy-listen")?;
        }
        let serving = device_serve::serve(
            router,
            listener,
            tls.clone(),
            peers,
            self.clock.clone(),
            self.connections,
            tasks.shutdown(),
        )?;
        tasks.serving("the device endpoint", serving.task);
        tasks.run(
            "times of contact",
            seen.clone().run(store.clone(), SEEN_INTERVAL, tasks.shutdown()),
        );
        tasks.run(
            "ending Setup Assistant",
            setup::run(store.clone(), self.clock.clone(), tasks.shutdown()),
        );
        let (wakes_devices, push_certificates) = (push.wakes_devices(), push.held());
        let waker = push.start(tasks, &store, self.clock, &seen, self.metrics);
        Ok(DeviceEndpoint {
            wakes_devices,
            push_certificates,
            public_url,
            tls,
            authority,
            waker,
        })
    }
}

impl Devices<'_> {
    /// What answers devices.
    fn gateway(&self, seen: &Arc<SeenBatch>, push: &push::Push, metrics: &GatewayMetrics) -> Gateway {
        let (reachable, unreachable) = (push.reachable(), metrics.unreachable_topics.clone());
        Gateway::new(
            self.store.clone(),
            self.clock.clone(),
            self.entropy.clone(),
            seen.clone(),
        )
        .with_network_users(if self.settings.accept_network_users {
            NetworkUsers::Accept
        } else {
            NetworkUsers::Decline
        })
        .with_topics(move |topic| {
            let held = reachable(topic);
            unreachable.inc_by(u64::from(!held));
            held
        })
    }

    /// What devices are judged by.
    fn peers(&self, pki: &Pki) -> anyhow::Result<Peers> {
        let former = &self.settings.former_device_authorities;
        pki.trust.add_bundle(former).context("--device-ca")?;
        let hashes = if self.settings.sha1_signatures {
            HashPolicy::AllowSha1
        } else {
            HashPolicy::Strong
        };
        Ok(Peers::new(Arc::clone(&pki.trust), hashes))
    }

    /// How a device without an identity comes in.
    fn ways_in(
        &self,
        store: &Arc<dyn Store>,
        pki: &Pki,
        public_url: &str,
        mdm: &CurrentAddress,
        limiter: &Arc<Limiter>,
        counts: &IdentityMetrics,
    ) -> WaysIn {
        let scep = ScepServer::new(
            store.clone(),
            self.clock.clone(),
            self.entropy.clone(),
            Arc::clone(&pki.scep),
            Arc::clone(&pki.trust),
            self.settings.scep,
        );
        WaysIn {
            scep: Arc::new(scep.with_metrics(counts.clone())),
            profiles: Arc::new(ProfileIssuer::new(
                store.clone(),
                self.clock.clone(),
                mdm.clone(),
                public_url,
                pki.servers.certificate().to_vec(),
                Arc::clone(&pki.profiles),
            )),
            limiter: limiter.clone(),
            clock: self.clock.clone(),
        }
    }

    /// Starts the endpoint for proxies, with what answers devices.
    fn serve_proxies(
        &self,
        settings: &ProxySettings,
        router: Router,
        peers: &Arc<Peers>,
        tasks: &Tasks,
    ) -> anyhow::Result<()> {
        let socket = listen::bind(settings.listen)?;
        let proxies = settings.proxies.clone();
        let router = proxy::behind(router, proxies, peers.clone(), self.clock.clone());
        let serving =
            device_serve::serve_proxies(router, socket, self.connections.clone(), tasks.shutdown())?;
        tracing::info!(address = %serving.address, "proxies are served");
        tasks.serving("the endpoint for proxies", serving.task);
        Ok(())
    }
}

/// Removes what need not be kept any longer.
async fn tidy(store: Arc<SqliteStore>, clock: Arc<dyn Clock>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(TIDY_INTERVAL) => {}
        }
        if let Err(error) = store.retain(clock.now()).await {
            tracing::warn!(error = %Chain(&error), "old records could not be removed and will be at the next turn");
        }
        if let Err(error) = store.collect_manifests().await {
            tracing::warn!(error = %Chain(&error), "unused manifests could not be removed and will be at the next turn");
        }
    }
}

/// What commands on the same computer may ask for.
fn orders_of_the_owner(orders: &Orders) -> Router {
    let desk = Desk {
        store: orders.store.clone(),
        clock: orders.clock.clone(),
        client: Some(orders.client.clone()),
    };
    admin_http::orders_router(orders.clone())
        .merge(moving::router(desk.clone()))
        .merge(queued::router(desk.clone()))
        .merge(push_topics::router(desk))
}

/// What seals secrets in a data directory.
fn sealer(data_dir: &DataDir, entropy: Arc<dyn Entropy>) -> anyhow::Result<Arc<dyn Sealer>> {
    let key = KeyFile::open(&data_dir.keys().join("seal.key"), SharedEntropy(entropy))?;
    Ok(Arc::new(key))
}

/// The store of the device plane.
fn store(data_dir: &DataDir, sealer: Arc<dyn Sealer>) -> anyhow::Result<Arc<SqliteStore>> {
    Ok(Arc::new(SqliteStore::open(&data_dir.store(), sealer)?))
}

/// Shares one source of randomness with a component that wants its own.
struct SharedEntropy(Arc<dyn Entropy>);

impl Entropy for SharedEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}
