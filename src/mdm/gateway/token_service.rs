//! Tokens of other services that devices ask for (`GetToken`): the port to who issues them.
//!
//! Apple's services are `com.apple.maid` (Managed Apple Account sign-in; needs the key of a server token of Apple Business) and
//! `com.apple.watch.pairing`. The gateway offers what it has been given a service for, and declines the rest without consequences for the enrolment.

use async_trait::async_trait;
use jiff::Timestamp;

use crate::mdm::checkin::TokenRequest;
use crate::secret::Secret;
use crate::store::Enrollment;

/// Why a service that is there could not issue a token. The device may ask again.
#[derive(Debug, thiserror::Error)]
#[error("the token service failed")]
pub struct TokenServiceError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Issues the tokens of one service.
#[async_trait]
pub trait TokenService: Send + Sync + 'static {
    /// A token for an enrolment, device's or user's. None: it is not to have one.
    async fn issue(
        &self,
        enrollment: &Enrollment,
        request: &TokenRequest,
        now: Timestamp,
    ) -> Result<Option<Secret<Vec<u8>>>, TokenServiceError>;
}
