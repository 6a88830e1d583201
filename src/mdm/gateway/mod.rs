//! The gateway: what happens when a device speaks. It serves devices from the store alone and keeps nothing that matters in memory.
//!
//! Every message is attributed before it is acted upon: the client certificate is ours, valid, and pinned to the very enrolment that the
//! message speaks of. A fault of ours never ends an enrolment: see [`Failure`] and the table in [`crate::mdm::http`].
//!
//! HTTP is not spoken here.

mod checkin;
mod declarations;
mod failure;
mod reports;
pub mod setup;
pub mod token_service;
mod users;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use plist::Dictionary;

use declarations::served;
pub use failure::Failure;
use token_service::TokenService;

use super::checkin::CheckIn;
use super::commands::CommandReport;
use super::peer::{Peer, Peers};
use super::plist::read_dictionary;
use super::profile_pass::{ProfilePass, ProfilePasses, Proof};
use super::seen::SeenBatch;
use super::sender::Sender;
use super::signature::Claim;
use crate::clock::{Clock, Entropy};
use crate::ids::{Digest, PushTopic};
use crate::policy::{Manifest, ProfileDocument};
use crate::store::{Enrollment, EnrollmentState, Store};

/// Bodies above this many bytes are parsed aside, so that other devices need not wait for it.
pub(super) const PARSE_ASIDE: usize = 64 * 1024;

/// What a device gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing to say: well done.
    Nothing,
    /// An XML property list.
    PropertyList(Arc<str>),
    /// A JSON document.
    Json(Arc<str>),
}

/// A message and what came of it.
#[derive(Debug)]
pub struct Answer {
    /// What kind of message it was, out of a fixed set: for counting.
    pub kind: &'static str,
    /// What the device gets.
    pub result: Result<Reply, Failure>,
}

/// Serves devices.
pub struct Gateway {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    seen: Arc<SeenBatch>,
    network_users: NetworkUsers,
    token_services: HashMap<String, Arc<dyn TokenService>>,
    reachable: Option<Reachable>,
    passes: Option<ProfilePasses>,
}

/// What a network or mobile user of a Mac gets who asks to be managed (`UserAuthenticate`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NetworkUsers {
    /// 410: the Mac gives up that user's channel. Users of the Mac itself do not ask and have theirs all the same.
    #[default]
    Decline,
    /// A challenge of length zero, which the Mac answers without a password: who may sign in to the Mac is managed. Never in a User Enrollment.
    Accept,
}

/// Tells whether devices of a push topic can be woken.
type Reachable = Box<dyn Fn(&PushTopic) -> bool + Send + Sync>;

impl Gateway {
    /// A gateway to `store`. Somebody has to [`SeenBatch::run`] the batch.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        seen: Arc<SeenBatch>,
    ) -> Self {
        Self {
            store,
            clock,
            entropy,
            seen,
            network_users: NetworkUsers::default(),
            token_services: HashMap::new(),
            reachable: None,
            passes: None,
        }
    }

    /// Gives devices that only sign a pass for each of their profiles; without this they get none.
    #[must_use]
    pub fn with_profile_passes(mut self, passes: ProfilePasses) -> Self {
        self.passes = Some(passes);
        self
    }

    /// Decides about network users; without this they are declined.
    #[must_use]
    pub const fn with_network_users(mut self, users: NetworkUsers) -> Self {
        self.network_users = users;
        self
    }

    /// Offers the tokens of a service, by Apple's `TokenServiceType`. Without this no tokens are issued.
    #[must_use]
    pub fn with_token_service(
        mut self,
        service_type: impl Into<String>,
        service: Arc<dyn TokenService>,
    ) -> Self {
        self.token_services.insert(service_type.into(), service);
        self
    }

    /// Raises the alarm over devices whose topic is not `reachable`: no push certificate of ours will ever wake them. Asked whenever a device
    /// tells its topic; without this nobody looks.
    #[must_use]
    pub fn with_topics(mut self, reachable: impl Fn(&PushTopic) -> bool + Send + Sync + 'static) -> Self {
        self.reachable = Some(Box::new(reachable));
        self
    }

    /// Who a client is, by its connection or as what it claims to have signed, if it is anybody at all. Asked before its body is read: nobody
    /// gets memory out of us. A claim has still to be proven.
    ///
    /// # Errors
    /// [`Failure::Peer`] when it is nobody.
    pub fn admit(
        &self,
        connection: &Arc<Peer>,
        headers: &HeaderMap,
        peers: &Peers,
    ) -> Result<(Arc<Peer>, Option<Claim>), Failure> {
        let now = self.clock.now();
        let claim = Claim::read(headers, connection, peers, now)?;
        let peer = claim.as_ref().map_or(connection, Claim::peer);
        peer.fingerprint(now)?;
        Ok((Arc::clone(peer), claim))
    }

    /// Handles a message. It is a check-in message when `declared_check_in` says so (its Content-Type), or when it looks like one.
    pub async fn message(&self, peer: &Peer, proof: Proof, body: Bytes, declared_check_in: bool) -> Answer {
        let mut kind = "Malformed";
        let result = self
            .handle_message(peer, proof, body, declared_check_in, &mut kind)
            .await;
        Answer { kind, result }
    }

    async fn handle_message(
        &self,
        peer: &Peer,
        proof: Proof,
        body: Bytes,
        declared_check_in: bool,
        kind: &mut &'static str,
    ) -> Result<Reply, Failure> {
        let now = self.clock.now();
        // Before the body is so much as parsed: strangers get no work out of us.
        let fingerprint = peer.fingerprint(now)?;
        let message = parse(body).await?;
        if declared_check_in || (message.contains_key("MessageType") && !message.contains_key("Status")) {
            let checkin = CheckIn::read(&message)?;
            self.check_in(fingerprint, proof, checkin, now, kind).await
        } else {
            let report = CommandReport::read(&message)?;
            self.report(fingerprint, report, now, kind).await
        }
    }

    /// A profile that a manifest names which the client was told of, should hold or was to hold before. Who shows no certificate needs a pass
    /// for it.
    ///
    /// # Errors
    /// [`Failure::NotFound`] whenever this client may not have it, whatever the reason; [`Failure::Store`] when the store fails.
    pub async fn profile(
        &self,
        peer: &Peer,
        pass: Option<&ProfilePass>,
        digest: Digest,
    ) -> Result<Arc<str>, Failure> {
        let now = self.clock.now();
        let enrollment = match pass {
            Some(pass) if peer.is_absent() => Arc::new(self.admitted(pass, digest).await?),
            _ => self.shown(peer, now).await?,
        };
        tracing::Span::current().record("device.id", enrollment.id.as_str());
        self.seen.note(&enrollment.id, now);
        for id in served(&enrollment) {
            let Some(manifest) = self.store.manifest(id).await? else {
                continue;
            };
            if let Some(profile) = profile_of(&manifest, digest) {
                return Ok(profile.body.clone());
            }
        }
        Err(Failure::NotFound)
    }

    /// The active enrolment whose certificate the client shows.
    async fn shown(&self, peer: &Peer, now: Timestamp) -> Result<Arc<Enrollment>, Failure> {
        let fingerprint = peer.fingerprint(now).map_err(|_| Failure::NotFound)?;
        let enrollment = self.store.enrollment_by_certificate(fingerprint, now).await?;
        let enrollment = enrollment.filter(|enrollment| is_active(enrollment));
        let enrollment = enrollment.ok_or(Failure::NotFound)?;
        self.renewed(enrollment, fingerprint, now).await
    }

    /// The active enrolment that a pass is for. A forged one is refused before anything is looked up.
    async fn admitted(&self, pass: &ProfilePass, profile: Digest) -> Result<Enrollment, Failure> {
        let made = |passes: &ProfilePasses| passes.made(pass, profile);
        if !self.passes.as_ref().is_some_and(made) {
            return Err(Failure::NotFound);
        }
        let enrollment = self.store.enrollment(&pass.enrollment).await?;
        enrollment
            .filter(|enrollment| is_active(enrollment) && pass.is_of(enrollment))
            .ok_or(Failure::NotFound)
    }

    /// The active enrolment of a message: the one that the certificate is pinned to, which must be the one that the message speaks of.
    async fn recognise(
        &self,
        fingerprint: Digest,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<Arc<Enrollment>, Failure> {
        let enrollment = self.attribute(fingerprint, sender, now).await?;
        if enrollment.state == EnrollmentState::Ended {
            return Err(Failure::Ended);
        }
        self.seen.note(&enrollment.id, now);
        Ok(enrollment)
    }

    /// As [`Self::recognise`], ended enrolments included.
    async fn attribute(
        &self,
        fingerprint: Digest,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<Arc<Enrollment>, Failure> {
        tracing::Span::current().record("device.id", sender.enrollment.as_str());
        let enrollment = self
            .store
            .enrollment_by_certificate(fingerprint, now)
            .await?
            .ok_or(Failure::Stranger)?;
        if enrollment.id == sender.enrollment {
            self.renewed(enrollment, fingerprint, now).await
        } else {
            tracing::warn!(pinned = %enrollment.id, "a device speaks in the name of another");
            Err(Failure::AnotherDevice)
        }
    }

    /// The user's channel of a message from a user. None: it has not begun, or has ended.
    async fn user(&self, sender: &Sender, now: Timestamp) -> Result<Option<Enrollment>, Failure> {
        let user = self
            .store
            .enrollment(&sender.id)
            .await?
            .filter(|user| user.state != EnrollmentState::Ended);
        if let Some(user) = &user {
            self.seen.note(&user.id, now);
        }
        Ok(user)
    }

    /// Raises the alarm over a topic that nobody can push to.
    fn look_at_topic(&self, topic: &PushTopic) {
        if let Some(reachable) = &self.reachable
            && !reachable(topic)
        {
            tracing::error!(%topic, "a device cannot be woken: there is no push certificate for its topic");
        }
    }

    /// The enrolment, with the certificate that is used as its pin where that is a renewed one.
    async fn renewed(
        &self,
        enrollment: Arc<Enrollment>,
        fingerprint: Digest,
        now: Timestamp,
    ) -> Result<Arc<Enrollment>, Failure> {
        if enrollment.certificate == fingerprint {
            return Ok(enrollment);
        }
        // None: it is the pin before, for as long as that is accepted.
        let adopted = self.store.adopt(fingerprint, now).await?;
        Ok(adopted.map_or(enrollment, Arc::new))
    }

    /// What the device should hold. None: nothing, or nothing yet.
    async fn manifest_of(&self, enrollment: &Enrollment) -> Result<Option<Arc<Manifest>>, Failure> {
        match enrollment.manifest {
            None => Ok(None),
            Some(id) => match self.store.manifest(id).await? {
                Some(manifest) => Ok(Some(manifest)),
                None => Err(Failure::ManifestMissing),
            },
        }
    }
}

async fn parse(body: Bytes) -> Result<Dictionary, Failure> {
    if body.len() <= PARSE_ASIDE {
        return Ok(read_dictionary(&body)?);
    }
    match tokio::task::spawn_blocking(move || read_dictionary(&body)).await {
        Ok(parsed) => Ok(parsed?),
        Err(_) => Err(Failure::Stopping),
    }
}

fn is_active(enrollment: &Enrollment) -> bool {
    enrollment.state != EnrollmentState::Ended
}

fn profile_of(manifest: &Manifest, digest: Digest) -> Option<&ProfileDocument> {
    manifest.profiles.iter().find(|profile| profile.digest == digest)
}
