//! What check-in messages do.

use std::sync::Arc;

use jiff::Timestamp;
use plist::{Dictionary, Value};

use super::{Failure, Gateway, NetworkUsers, Reply};
use crate::ids::{CommandUuid, Digest};
use crate::mdm::checkin::{Authenticate, CheckIn, Message, TokenRequest, TokenUpdate};
use crate::mdm::commands::{FIRST_CONTACT_DEADLINE, configured, first_contact};
use crate::mdm::plist::to_xml;
use crate::mdm::profile_pass::Proof;
use crate::mdm::sender::Sender;
use crate::secret::Secret;
use crate::store::{Authentication, Ending, Enrollment, EnrollmentState, Escrow, PushAddress};

impl Gateway {
    pub(super) async fn check_in(
        &self,
        fingerprint: Digest,
        proof: Proof,
        checkin: CheckIn,
        now: Timestamp,
        kind: &mut &'static str,
    ) -> Result<Reply, Failure> {
        let CheckIn { sender, message } = checkin;
        *kind = (&message).into();
        match message {
            Message::Authenticate(authenticate) => {
                self.authenticate(fingerprint, &sender, authenticate, now).await
            }
            Message::TokenUpdate(update) => self.token_update(fingerprint, &sender, update, now).await,
            Message::CheckOut => self.check_out(fingerprint, &sender, now).await,
            Message::DeclarativeManagement(step) => {
                self.declarative_management(fingerprint, proof, &sender, step, now, kind)
                    .await
            }
            Message::UserAuthenticate { answered } => {
                self.user_authenticate(fingerprint, &sender, answered, now).await
            }
            Message::SetBootstrapToken { token } => {
                let device = self.recognise(fingerprint, &sender, now).await?;
                self.set_bootstrap_token(&device, &sender, token).await
            }
            Message::GetBootstrapToken => {
                let device = self.recognise(fingerprint, &sender, now).await?;
                self.bootstrap_token(&device, &sender).await
            }
            Message::GetToken(request) => {
                let device = self.recognise(fingerprint, &sender, now).await?;
                self.token(device, &sender, &request, now).await
            }
            Message::Unknown(name) => {
                // Answered only to a device that is known.
                self.recognise(fingerprint, &sender, now).await?;
                Err(Failure::UnknownMessage { name })
            }
        }
    }

    /// The security boundary of the protocol: the store starts the enrolment only on a certificate that was issued for it.
    async fn authenticate(
        &self,
        certificate: Digest,
        sender: &Sender,
        authenticate: Authenticate,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        tracing::Span::current().record("device.id", sender.enrollment.as_str());
        if !sender.is_device() {
            return Err(Failure::UserChannel {
                message: "Authenticate",
            });
        }
        self.look_at_topic(&authenticate.topic);
        let Authenticate {
            topic,
            platform,
            mode,
            serial_number,
            model,
            os_version,
            build_version,
            declarative,
        } = authenticate;
        let authentication = Authentication {
            enrollment: sender.enrollment.clone(),
            certificate,
            topic,
            platform,
            mode,
            serial_number,
            model,
            os_version,
            build_version,
            declarative,
        };
        let enrollment = self
            .store
            .authenticate(authentication, now)
            .await?
            .map_err(Failure::Refused)?;
        self.seen.note(&enrollment.id, now);
        tracing::info!(namespace = %enrollment.namespace, platform = %enrollment.platform, "an enrolment begins");
        Ok(Reply::Nothing)
    }

    async fn token_update(
        &self,
        fingerprint: Digest,
        sender: &Sender,
        update: TokenUpdate,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        let device = self.recognise(fingerprint, sender, now).await?;
        self.look_at_topic(&update.topic);
        let TokenUpdate {
            topic,
            token,
            magic,
            unlock_token,
            awaiting_configuration,
        } = update;
        let push = PushAddress { topic, token, magic };
        if !sender.is_device() {
            return self
                .user_token_update(&device, sender, push, awaiting_configuration, now)
                .await;
        }
        // First the work, then the token that makes the device reachable: if we fall over in between, the device sends the token again
        // and the work collapses into what is pending.
        if device.token_updates == 0 {
            let commands = first_contact(
                &device.id,
                &device.target(),
                device.declarative,
                &*self.entropy,
                now,
            );
            let unknown = self.store.enqueue(commands, now).await?;
            if !unknown.is_empty() {
                return Err(Failure::NotAuthenticated);
            }
        }
        if let Some(token) = unlock_token.filter(|_| !sender.user_enrollment) {
            self.store
                .keep_escrow(&device.id, Escrow::UnlockToken, Some(token))
                .await?;
        }
        self.note_awaiting(&device, awaiting_configuration).await?;
        let updated = self
            .store
            .token_update(&device.id, push, now)
            .await?
            .ok_or(Failure::NotAuthenticated)?;
        if updated.token_updates == 1 {
            tracing::info!(namespace = %updated.namespace, "a device has enrolled");
        }
        Ok(Reply::Nothing)
    }

    /// A user's channel begins or goes on. It has a queue and a push address of its own, and is nobody's Device.
    async fn user_token_update(
        &self,
        device: &Enrollment,
        sender: &Sender,
        push: PushAddress,
        awaiting_configuration: Option<bool>,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        if device.state == EnrollmentState::Removing {
            return Ok(Reply::Nothing);
        }
        let user = self
            .store
            .token_update(&sender.id, push, now)
            .await?
            .ok_or(Failure::NoUserChannel)?;
        self.seen.note(&user.id, now);
        if user.token_updates == 1 {
            tracing::info!(namespace = %user.namespace, "a user's channel begins");
        }
        self.call_user(device, &user, now).await?;
        self.note_awaiting(&user, awaiting_configuration).await?;
        if awaiting_configuration.unwrap_or(user.awaiting_configuration) {
            // Nothing is planned for users that would have to be there first.
            let deadline = now
                .saturating_add(FIRST_CONTACT_DEADLINE)
                .unwrap_or(Timestamp::MAX);
            let uuid = CommandUuid::from(self.entropy.uuid());
            let command = configured(&user.id).queued(&user.id, uuid, None, deadline);
            self.store.enqueue(vec![command], now).await?;
        }
        Ok(Reply::Nothing)
    }

    /// Keeps what a message says about Setup Assistant, where it says something and that is news.
    async fn note_awaiting(&self, enrollment: &Enrollment, said: Option<bool>) -> Result<(), Failure> {
        if let Some(said) = said.filter(|said| *said != enrollment.awaiting_configuration) {
            self.store.await_configuration(&enrollment.id, said).await?;
        }
        Ok(())
    }

    async fn check_out(
        &self,
        fingerprint: Digest,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        // Checking out twice is checking out once, so ended enrolments are welcome.
        let device = self.attribute(fingerprint, sender, now).await?;
        if self.store.end(&sender.id, Ending::CheckOut, now).await? {
            let who = if sender.is_device() { "a device" } else { "a user" };
            tracing::info!(namespace = %device.namespace, "{who} has checked out");
        }
        Ok(Reply::Nothing)
    }

    /// Network and mobile users of a Mac.
    async fn user_authenticate(
        &self,
        fingerprint: Digest,
        sender: &Sender,
        answered: bool,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        self.recognise(fingerprint, sender, now).await?;
        if sender.is_device() {
            return Err(Failure::DeviceChannel {
                message: "UserAuthenticate",
            });
        }
        match self.network_users {
            NetworkUsers::Accept if !sender.user_enrollment && answered => Ok(Reply::Nothing),
            NetworkUsers::Accept if !sender.user_enrollment => {
                Ok(property_list("DigestChallenge", String::new()))
            }
            _ => Err(Failure::UserDeclined),
        }
    }

    async fn set_bootstrap_token(
        &self,
        device: &Enrollment,
        sender: &Sender,
        token: Option<Secret<Vec<u8>>>,
    ) -> Result<Reply, Failure> {
        let message = "SetBootstrapToken";
        if !sender.is_device() {
            return Err(Failure::UserChannel { message });
        }
        if sender.user_enrollment {
            // Saying yes would make the Mac believe that the token is in safe keeping.
            return Err(Failure::NotOffered { message });
        }
        let kept = token.is_some();
        self.store
            .keep_escrow(&device.id, Escrow::BootstrapToken, token)
            .await?;
        tracing::info!(kept, "a bootstrap token was handed over or taken back");
        Ok(Reply::Nothing)
    }

    /// A token goes to the device that its certificate is pinned to, and nowhere else. That there is none is no error.
    async fn bootstrap_token(&self, device: &Enrollment, sender: &Sender) -> Result<Reply, Failure> {
        if !sender.is_device() {
            return Err(Failure::UserChannel {
                message: "GetBootstrapToken",
            });
        }
        let token = self.store.escrow(&device.id, Escrow::BootstrapToken).await?;
        Ok(token.map_or(Reply::Nothing, |token| {
            property_list("BootstrapToken", Value::Data(token.reveal().clone()))
        }))
    }

    /// A token of another service, where there is one for it.
    async fn token(
        &self,
        device: Arc<Enrollment>,
        sender: &Sender,
        request: &TokenRequest,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        let not_offered = Failure::NotOffered { message: "GetToken" };
        let Some(service) = self.token_services.get(&request.service) else {
            return Err(not_offered);
        };
        let enrollment = if sender.is_device() {
            device
        } else {
            Arc::new(self.user(sender, now).await?.ok_or(Failure::NotAuthenticated)?)
        };
        let token = service.issue(&enrollment, request, now).await?;
        let token = token.ok_or(not_offered)?;
        Ok(property_list("TokenData", Value::Data(token.reveal().clone())))
    }
}

/// A property list of one entry.
fn property_list(key: &str, value: impl Into<Value>) -> Reply {
    let entries = Dictionary::from_iter([(key.to_owned(), value.into())]);
    Reply::PropertyList(to_xml(&Value::Dictionary(entries)))
}
