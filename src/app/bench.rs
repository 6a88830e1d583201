//! What a measurement needs of the program itself: a data directory full of devices with a past, and a server that does nothing.
//!
//! Neither is for production: the devices of [`prepare`] have no key of their own, and exist nowhere.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::routing::any;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::data_dir::DataDir;
use super::{SharedEntropy, listen, push};
use crate::api::common::{EnrollmentMode, Platform};
use crate::clock::{Clock, Entropy};
use crate::ids::{CommandUuid, Digest, EnrollmentId, Namespace, PushTopic, SerialNumber};
use crate::listener::{ConnectionMetrics, Serving, raise_descriptor_limit};
use crate::mdm::command::{NewCommand, ReportStatus};
use crate::mdm::commands::{Command, MDM_PROFILE};
use crate::mdm::serve::serve_proxies;
use crate::pki::KeyFile;
use crate::pki::ca::{Pki, server_names};
use crate::pki::csr::CertificateRequest;
use crate::secret::Secret;
use crate::store::sqlite::SqliteStore;
use crate::store::{Authentication, Invitation, IssuedCertificate, PushAddress, Store};

/// Operations of the store under way at once.
const AT_ONCE: usize = 500;
/// Devices whose commands are queued in one transaction, at most.
const CHUNK: usize = 500;
/// Commands that are queued in one transaction, about.
const COMMANDS: usize = 2_000;
/// How long invitations and commands last.
const LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What a data directory is to be filled with.
#[derive(Debug)]
pub struct Preparation {
    /// The directory: it must not hold anything.
    pub data_dir: PathBuf,
    /// The fleet that the devices belong to.
    pub namespace: Namespace,
    /// How many devices.
    pub devices: u32,
    /// Commands that each of them has acknowledged.
    pub history: u32,
    /// Commands that wait for each of them.
    pub commands: u32,
    /// A certificate request, DER: its key is that of every device.
    pub request: Vec<u8>,
}

/// A device that was made.
#[derive(Debug)]
pub struct Prepared {
    /// Its UDID.
    pub udid: EnrollmentId,
    /// Its identity certificate, DER.
    pub certificate: Vec<u8>,
}

/// Fills a data directory. `progress` hears how many devices there are.
///
/// # Errors
/// When the directory holds something, or cannot be written.
pub async fn prepare(
    preparation: &Preparation,
    clock: &dyn Clock,
    entropy: &Arc<dyn Entropy>,
    progress: impl Fn(usize),
) -> anyhow::Result<Vec<Prepared>> {
    let path = &preparation.data_dir;
    let is_empty = match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    ensure!(
        is_empty,
        "--data-dir {}: there is something in it; give a directory that is empty, or a name that is free",
        path.display()
    );
    let data_dir = DataDir::open(path)?;
    let maker = Maker::new(preparation, &data_dir, clock, entropy)?;
    let mut made = Vec::new();
    for numbers in (0..preparation.devices).collect::<Vec<_>>().chunks(CHUNK) {
        let enrolling = stream::iter(numbers.iter().copied()).map(|number| maker.enrol(number));
        let enrolled: Vec<Prepared> = enrolling.buffered(AT_ONCE).try_collect().await?;
        maker.give_past(&enrolled).await?;
        maker.queue(&enrolled, preparation.commands).await?;
        made.extend(enrolled);
        progress(made.len());
    }
    Ok(made)
}

/// Makes devices.
struct Maker<'a> {
    preparation: &'a Preparation,
    entropy: &'a Arc<dyn Entropy>,
    now: Timestamp,
    later: Timestamp,
    pki: Pki,
    request: CertificateRequest,
    topic: PushTopic,
    store: SqliteStore,
}

impl<'a> Maker<'a> {
    fn new(
        preparation: &'a Preparation,
        data_dir: &DataDir,
        clock: &dyn Clock,
        entropy: &'a Arc<dyn Entropy>,
    ) -> anyhow::Result<Self> {
        let now = clock.now();
        let pki = Pki::open(data_dir.path(), &server_names("localhost"), now, entropy.as_ref())?;
        let sealer = KeyFile::open(
            &data_dir.keys().join("seal.key"),
            SharedEntropy(Arc::clone(entropy)),
        )?;
        Ok(Self {
            preparation,
            entropy,
            now,
            later: now.saturating_add(LIFE)?,
            topic: push::stand_in_topic(&pki.first_devices_pem)?,
            pki,
            request: CertificateRequest::read(&preparation.request)?,
            store: SqliteStore::open(&data_dir.store(), Arc::new(sealer))?,
        })
    }

    /// A Mac enrols.
    async fn enrol(&self, number: u32) -> anyhow::Result<Prepared> {
        let udid = EnrollmentId::parse(&format!("BE7C0000-0000-4000-8000-{number:012X}"))?;
        let serial_number = SerialNumber::parse(&format!("BENCH{number:07}"))?;
        let namespace = &self.preparation.namespace;
        let issued =
            self.pki
                .devices
                .issue_identity(&self.request, udid.as_str(), self.now, self.entropy.as_ref())?;
        let challenge = Digest::of(self.entropy.uuid().as_bytes());
        let invitation = Invitation {
            challenge,
            namespace: namespace.clone(),
            labels: [("provost.dev/bench".to_owned(), "true".to_owned())].into(),
            serial_number: None,
            udid: None,
            expires_at: self.later,
        };
        let certificate = IssuedCertificate {
            fingerprint: issued.fingerprint,
            key: self.request.key_digest,
            enrollment: Some(udid.clone()),
            not_after: issued.not_after,
            namespace: namespace.clone(),
            labels: invitation.labels.clone(),
            serial_number: None,
        };
        self.store.invite(invitation).await?;
        self.store.issue(challenge, certificate, self.now).await??;
        let authentication = Authentication {
            enrollment: udid.clone(),
            certificate: issued.fingerprint,
            topic: self.topic.clone(),
            platform: Platform::MacOS,
            mode: EnrollmentMode::Supervised,
            serial_number: Some(serial_number),
            model: Some("Mac16,10".to_owned()),
            os_version: "26.1".to_owned(),
            build_version: Some("25B78".to_owned()),
            declarative: true,
        };
        self.store.authenticate(authentication, self.now).await??;
        let push = PushAddress {
            topic: self.topic.clone(),
            token: Secret::new(Digest::of(udid.as_str().as_bytes()).0.to_vec()),
            magic: Secret::new(udid.as_str().to_owned()),
        };
        let enrolled = self.store.token_update(&udid, push, self.now).await?;
        enrolled.context("an enrolment is gone as soon as it was made")?;
        Ok(Prepared {
            udid,
            certificate: issued.certificate.to_vec(),
        })
    }

    /// Queues the commands of their past, and acknowledges them.
    async fn give_past(&self, devices: &[Prepared]) -> anyhow::Result<()> {
        let queued = self.queue(devices, self.preparation.history).await?;
        let acknowledging = stream::iter(&queued).map(|(device, command)| {
            self.store
                .report(device, command, &ReportStatus::Acknowledged, self.now)
        });
        acknowledging
            .buffer_unordered(AT_ONCE)
            .try_for_each(async |_| Ok(()))
            .await?;
        Ok(())
    }

    /// Queues `count` commands for each of `devices`. Gives whose they are, and their UUIDs.
    async fn queue(
        &self,
        devices: &[Prepared],
        count: u32,
    ) -> anyhow::Result<Vec<(EnrollmentId, CommandUuid)>> {
        let one = Command::RemoveProfile {
            identifier: format!("{MDM_PROFILE}.bench").into(),
        };
        let mut queued = Vec::new();
        let commands = devices.iter().flat_map(|device| {
            (0..count).map(|_| NewCommand {
                intent: None,
                ..one.queued(
                    &device.udid,
                    CommandUuid::from(self.entropy.uuid()),
                    None,
                    self.later,
                )
            })
        });
        let commands: Vec<NewCommand> = commands.collect();
        for chunk in commands.chunks(COMMANDS) {
            let refused = self.store.enqueue(chunk.to_vec(), self.now).await?;
            ensure!(refused.is_empty(), "commands are refused: {refused:?}");
            queued.extend(chunk.iter().map(|one| (one.enrollment.clone(), one.uuid.clone())));
        }
        Ok(queued)
    }
}

/// Serves nothing, as devices behind a proxy are served: the same listener, and a handler that answers at once with an empty body.
///
/// # Errors
/// When the address is taken.
pub fn serve_nothing(address: SocketAddr, shutdown: CancellationToken) -> anyhow::Result<Serving> {
    raise_descriptor_limit();
    let router = Router::new().fallback(any(async || ()));
    let socket = listen::bind(address)?;
    Ok(serve_proxies(
        router,
        socket,
        ConnectionMetrics::default(),
        shutdown,
    )?)
}
