//! What check-in messages do.

use jiff::Timestamp;

use super::{Failure, Gateway, Reply};
use crate::ids::Digest;
use crate::mdm::checkin::{Authenticate, CheckIn, Message, TokenUpdate};
use crate::mdm::commands::first_contact;
use crate::mdm::peer::Peer;
use crate::mdm::sender::Sender;
use crate::store::{Authentication, Ending, PushAddress};

impl Gateway {
    pub(super) async fn check_in(
        &self,
        peer: &Peer,
        fingerprint: Digest,
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
                self.declarative_management(peer, fingerprint, &sender, step, now, kind)
                    .await
            }
            // The rest changes nothing, but is answered only to a device that is known.
            Message::UserAuthenticate => {
                self.recognise(fingerprint, &sender, now).await?;
                Err(Failure::UserDeclined)
            }
            Message::SetBootstrapToken { delete } => {
                self.recognise(fingerprint, &sender, now).await?;
                if delete {
                    // There is none, as asked.
                    Ok(Reply::Nothing)
                } else {
                    // Saying yes would make the Mac believe that the token is in safe keeping.
                    Err(Failure::NotOffered {
                        message: "SetBootstrapToken",
                    })
                }
            }
            Message::GetBootstrapToken => {
                self.recognise(fingerprint, &sender, now).await?;
                // None is stored, which is no error.
                Ok(Reply::Nothing)
            }
            Message::GetToken => {
                self.recognise(fingerprint, &sender, now).await?;
                Err(Failure::NotOffered { message: "GetToken" })
            }
            Message::Unknown(name) => {
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
        let enrollment = self.recognise(fingerprint, sender, now).await?;
        if !sender.is_device() {
            // The address of a user's channel. It is not kept, and least of all in place of the device's.
            return Ok(Reply::Nothing);
        }
        if enrollment.token_updates == 0 {
            // First the work, then the token that makes the device reachable: if we fall over in between, the device sends the token again
            // and the work collapses into what is pending.
            let commands = first_contact(&enrollment.id, enrollment.declarative, &*self.entropy, now);
            let unknown = self.store.enqueue(commands, now).await?;
            if !unknown.is_empty() {
                return Err(Failure::NotAuthenticated);
            }
        }
        let TokenUpdate { topic, token, magic } = update;
        let push = PushAddress { topic, token, magic };
        let updated = self
            .store
            .token_update(&enrollment.id, push, now)
            .await?
            .ok_or(Failure::NotAuthenticated)?;
        if updated.token_updates == 1 {
            tracing::info!(namespace = %updated.namespace, "a device has enrolled");
        }
        Ok(Reply::Nothing)
    }

    async fn check_out(
        &self,
        fingerprint: Digest,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        // Checking out twice is checking out once, so ended enrolments are welcome.
        let enrollment = self.attribute(fingerprint, sender, now).await?;
        if sender.is_device() && self.store.end(&enrollment.id, Ending::CheckOut, now).await? {
            tracing::info!(namespace = %enrollment.namespace, "a device has checked out");
        }
        Ok(Reply::Nothing)
    }
}
