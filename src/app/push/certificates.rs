//! The push certificates of a server: from files that the options name and from its folder, read at the start and again while it runs.
//!
//! A certificate that cannot be read stops the start, and changes nothing later: what was there before goes on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::app::settings::{PushFiles, PushService, PushSettings};
use crate::push::{
    ApnsPusher, HeldCertificate, Http2Pusher, Http2Settings, PushCertificate, PushFolder, Pusher, Topics,
};
use crate::secret::Secret;
use crate::telemetry::Metrics;

/// How often the files are looked at.
const RELOAD: Duration = Duration::from_secs(30);

/// A topic, as a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTopic {
    topic: String,
}

/// All push certificates, and what pushes with them.
pub(super) struct Certificates {
    settings: PushSettings,
    folder: PushFolder,
    topics: Arc<Topics>,
    /// By topic: the certificate, to see whether it is another one, and what pushes with it.
    pushers: BTreeMap<String, (String, Arc<dyn Pusher>)>,
    held: watch::Sender<Vec<HeldCertificate>>,
    ends: Family<OfTopic, Gauge>,
}

impl Certificates {
    /// Reads them for the first time.
    pub(super) fn open(
        settings: PushSettings,
        folder: PushFolder,
        metrics: &Metrics,
    ) -> anyhow::Result<Self> {
        let ends = Family::<OfTopic, Gauge>::default();
        metrics.register(|registry| {
            registry.register(
                "provost_push_certificate_expiry_timestamp_seconds",
                "When a push certificate ends, in seconds since 1970",
                ends.clone(),
            );
        });
        let found = read(&settings, &folder)?;
        let other = match &settings.service {
            // Something that holds the certificates, such as an egress proxy.
            PushService::Custom { .. } if found.is_empty() => Some(pusher(&settings.service, None)?),
            _ => None,
        };
        let mut certificates = Self {
            settings,
            folder,
            topics: Arc::new(Topics::new(other)),
            pushers: BTreeMap::new(),
            held: watch::Sender::default(),
            ends,
        };
        certificates.take(&found)?;
        Ok(certificates)
    }

    /// What pushes with them.
    pub(super) fn topics(&self) -> Arc<Topics> {
        Arc::clone(&self.topics)
    }

    /// The certificates; that of new enrolments first.
    pub(super) fn held(&self) -> watch::Receiver<Vec<HeldCertificate>> {
        self.held.subscribe()
    }

    /// Looks at the files again and again until `shutdown`.
    pub(super) async fn follow(mut self, shutdown: CancellationToken) {
        let mut told = String::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(RELOAD) => {}
            }
            match self.reload() {
                Ok(_) => told.clear(),
                Err(error) => {
                    let reason = format!("{error:#}");
                    if reason != told {
                        tracing::warn!(
                            error = reason,
                            "push certificates cannot be read; those read before go on"
                        );
                        told = reason;
                    }
                }
            }
        }
    }

    /// Reads them again, and says whether something has changed.
    pub(super) fn reload(&mut self) -> anyhow::Result<bool> {
        let found = read(&self.settings, &self.folder)?;
        self.take(&found)
    }

    fn take(&mut self, found: &[PushCertificate]) -> anyhow::Result<bool> {
        let mut pushers = BTreeMap::new();
        let mut changed = found.len() != self.pushers.len();
        for certificate in found {
            let topic = certificate.topic().to_owned();
            let before = self.pushers.get(&topic);
            let known = before.filter(|(pem, _)| pem == certificate.chain_pem());
            let pusher = if let Some((_, pusher)) = known {
                Arc::clone(pusher)
            } else {
                changed = true;
                pusher(&self.settings.service, Some(certificate))?
            };
            pushers.insert(topic, (certificate.chain_pem().to_owned(), pusher));
        }
        if !changed {
            return Ok(false);
        }
        self.pushers = pushers;
        let pushers = self.pushers.iter();
        self.topics.replace(
            pushers
                .map(|(topic, (_, pusher))| (topic.clone(), Arc::clone(pusher)))
                .collect(),
        );
        self.ends.clear();
        let held: Vec<_> = found.iter().map(HeldCertificate::of).collect();
        let of_new = held.first().map(|first| &first.topic);
        let before = self.held.borrow().first().map(|first| first.topic.clone());
        if let Some(topic) = of_new.filter(|topic| before.as_ref() != Some(topic)) {
            tracing::info!(topic, "devices enrol with this push topic from now on");
        }
        for certificate in &held {
            let topic = certificate.topic.clone();
            tracing::info!(topic, ends = %certificate.not_after, "a push certificate is in use");
            self.ends
                .get_or_create(&OfTopic { topic })
                .set(certificate.not_after.as_second());
        }
        self.held.send_replace(held);
        Ok(true)
    }
}

/// All certificates, that of new enrolments first. Of two for the same topic the one that ends later.
fn read(settings: &PushSettings, folder: &PushFolder) -> anyhow::Result<Vec<PushCertificate>> {
    let named = settings.certificates.iter().map(read_files);
    let mut found: Vec<_> = named.collect::<Result<_, _>>()?;
    found.extend(folder.certificates()?);
    let mut kept: Vec<PushCertificate> = Vec::new();
    for certificate in found {
        match kept.iter_mut().find(|kept| kept.topic() == certificate.topic()) {
            Some(kept) if kept.not_after() < certificate.not_after() => *kept = certificate,
            Some(_) => {}
            None => kept.push(certificate),
        }
    }
    Ok(kept)
}

fn read_files(files: &PushFiles) -> anyhow::Result<PushCertificate> {
    let text = |option: &str, path: &Path| {
        fs::read_to_string(path).with_context(|| format!("{option} {}", path.display()))
    };
    let certificate = text("--apns-cert", &files.certificate)?;
    let key = Secret::new(text("--apns-key", &files.key)?);
    PushCertificate::from_pem(&certificate, &key).with_context(|| {
        let (certificate, key) = (files.certificate.display(), files.key.display());
        format!("--apns-cert {certificate} --apns-key {key}")
    })
}

fn pusher(service: &PushService, certificate: Option<&PushCertificate>) -> anyhow::Result<Arc<dyn Pusher>> {
    Ok(match (service, certificate) {
        (PushService::Apple, None) => Arc::new(Topics::new(None)),
        (PushService::Apple, Some(certificate)) => {
            Arc::new(ApnsPusher::new(certificate, a2::Endpoint::Production).context("the push certificate")?)
        }
        (PushService::Custom { url, ca_pem }, certificate) => {
            let settings = Http2Settings {
                url,
                ca_pem,
                certificate,
            };
            Arc::new(Http2Pusher::new(&settings).context("--apns-url")?)
        }
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::push::certificate::fixtures::{certificate, certificate_until};

    const TOPIC: &str = "com.apple.mgmt.External.first";
    const OTHER: &str = "com.apple.mgmt.External.second";

    fn write(folder: &Path, (certificate, key): (String, Secret<String>)) -> PushFiles {
        let files = PushFiles {
            certificate: folder.join("push.pem"),
            key: folder.join("push.key"),
        };
        fs::write(&files.certificate, certificate).unwrap();
        fs::write(&files.key, key.reveal()).unwrap();
        files
    }

    fn topics(certificates: &Certificates) -> Vec<String> {
        let held = certificates.held.borrow();
        held.iter().map(|held| held.topic.clone()).collect()
    }

    fn installed(folder: &PushFolder, (chain, key): (String, Secret<String>)) {
        folder
            .install(&PushCertificate::from_pem(&chain, &key).unwrap(), None)
            .unwrap();
    }

    #[test]
    fn a_renewed_certificate_is_taken_while_the_server_runs() {
        let place = tempfile::tempdir().unwrap();
        let (sooner, later): (Timestamp, Timestamp) = (
            "2027-01-01T00:00:00Z".parse().unwrap(),
            "2028-01-01T00:00:00Z".parse().unwrap(),
        );
        let settings = PushSettings {
            service: PushService::Apple,
            certificates: vec![write(place.path(), certificate_until(TOPIC, sooner))],
        };
        let folder = PushFolder::new(place.path().join("push"));
        let metrics = Metrics::new();
        let mut certificates = Certificates::open(settings, folder.clone(), &metrics).unwrap();
        assert_eq!(topics(&certificates), [TOPIC]);
        assert!(
            !certificates.reload().unwrap(),
            "nothing is done for the same file"
        );

        // By the folder, for the same topic: the later end decides.
        installed(&folder, certificate_until(TOPIC, later));
        assert!(certificates.reload().unwrap());
        assert_eq!(certificates.held.borrow()[0].not_after, later);
        let line = format!(
            r#"provost_push_certificate_expiry_timestamp_seconds{{topic="{TOPIC}"}} {}"#,
            later.as_second()
        );
        let page = metrics.encode().unwrap();
        assert!(page.contains(&line), "{page}");

        // Another topic beside it.
        installed(&folder, certificate(OTHER));
        assert!(certificates.reload().unwrap());
        assert_eq!(
            topics(&certificates),
            [TOPIC, OTHER],
            "the option's is for new enrolments"
        );
        assert!(certificates.topics.holds(TOPIC) && certificates.topics.holds(OTHER));
    }

    #[test]
    fn what_cannot_be_read_is_named_and_changes_nothing() {
        let place = tempfile::tempdir().unwrap();
        let settings = PushSettings {
            service: PushService::Apple,
            certificates: vec![write(place.path(), certificate(TOPIC))],
        };
        let folder = PushFolder::new(place.path().join("push"));
        let mut certificates = Certificates::open(settings, folder, &Metrics::new()).unwrap();
        fs::write(place.path().join("push.pem"), "half a fi").unwrap();
        let error = format!("{:#}", certificates.reload().unwrap_err());
        assert!(
            error.contains("--apns-cert") && error.contains("push.pem"),
            "{error}"
        );
        assert!(certificates.topics.holds(TOPIC));
        assert_eq!(topics(&certificates), [TOPIC]);
    }
}
