//! `Mdm-Signature`: a device that signs each message, in a header, as its profile's `SignMessage` asks. It is who it is then without TLS
//! showing a certificate: TLS may end elsewhere.
//!
//! The header is the base64 of a signed message (CMS) over the exact bytes of the body; a copy of the body within it is not looked at. There is no
//! nonce in it: who has seen a message can send it again, and every message has to be harmless when it comes again. Whoever signs is judged as
//! one who shows a certificate over TLS is; nothing is parsed of a body before its signature holds.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName};
use jiff::Timestamp;

use super::peer::{Error, Peer, Peers};
use crate::ids::Digest;
use crate::pki::cms::{Content, HashPolicy, claimed_chain, verify};

/// The header.
pub const MDM_SIGNATURE: HeaderName = HeaderName::from_static("mdm-signature");

/// A message's signature, whose signer is one of ours, and which has yet to hold over the body.
#[derive(Debug)]
pub struct Claim {
    message: Vec<u8>,
    peer: Arc<Peer>,
    hashes: HashPolicy,
}

impl Claim {
    /// Reads the signature of a request before its body, so that nobody unknown gets a body read. None: the request is not signed.
    ///
    /// `connection` is who TLS says is there. Where that is somebody, the signer has to be the same.
    ///
    /// # Errors
    /// When the header is no signature, or its signer none of ours, or another than TLS shows.
    pub fn read(
        headers: &HeaderMap,
        connection: &Arc<Peer>,
        peers: &Peers,
        now: Timestamp,
    ) -> Result<Option<Self>, Error> {
        let mut values = headers.get_all(MDM_SIGNATURE).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Error::SignatureForm);
        }
        // Long values may be folded or spaced; what is left is strict base64.
        let mut text = value.as_bytes().to_vec();
        text.retain(|byte| !byte.is_ascii_whitespace());
        let message = STANDARD.decode(text).map_err(|_| Error::SignatureForm)?;
        let chain = claimed_chain(&message).map_err(Error::Signature)?;
        let signer = chain.first().ok_or(Error::SignatureForm)?;
        let fingerprint = Digest::of(signer);
        let peer = if connection.is_absent() {
            peers.known(fingerprint, now, || Ok(chain))
        } else if connection.fingerprint(now)? == fingerprint {
            Arc::clone(connection)
        } else {
            return Err(Error::AnotherSigner);
        };
        peer.fingerprint(now)?;
        Ok(Some(Self {
            message,
            peer,
            hashes: peers.hashes(),
        }))
    }

    /// Who claims to have signed.
    #[must_use]
    pub const fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Whether the signature is over these bytes.
    ///
    /// # Errors
    /// When it is not.
    pub fn prove(&self, body: &[u8]) -> Result<(), Error> {
        verify(&self.message, Content::Detached(body), self.hashes)
            .map(drop)
            .map_err(Error::Signature)
    }
}
