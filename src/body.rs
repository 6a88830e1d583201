//! Reading the bodies of requests so that a flood of them takes a bounded amount of memory.
//!
//! Small bodies are read as they come. Large ones share a room: one that does not fit waits, unread, and what waits stays with the client.
//! Who may send a body at all, and what is in it, is decided by whoever reads it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bodies above this many bytes count as large.
pub const LARGE_BODY: usize = 64 * 1024;

/// As [`LARGE_BODY`], for bodies that do not say their length; most clients do.
const LARGE_BODY_UNSAID: usize = 16 * 1024;

/// What one permit stands for, in bytes.
const UNIT: usize = 1024;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More bytes than are allowed.
    #[error("the body has more than the {limit} bytes allowed")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// The client went away, or what it sent is no body.
    #[error("the body broke off")]
    BrokenOff,
}

/// Room for large bodies. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Room(Arc<Semaphore>);

/// A body, and the room that it takes as long as this is held.
#[derive(Debug)]
pub struct Held {
    /// The body.
    pub bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Room for `bytes` in all. It should hold several of the largest bodies that will be read.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT)))
    }

    /// Reads a body of at most `limit` bytes. It may wait for room without end: put a time limit around it.
    ///
    /// # Errors
    /// When it is larger or breaks off.
    pub async fn read(&self, headers: &HeaderMap, body: Body, limit: usize) -> Result<Held, Error> {
        let said = headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if said.is_some_and(|length| length > limit) {
            return Err(Error::TooLarge { limit });
        }
        // All that it may come to at once: a body that waited halfway would hold what another one waits for.
        let most = said.unwrap_or(limit);
        let free = said.map_or(LARGE_BODY_UNSAID, |_| LARGE_BODY);
        let mut bytes = BytesMut::new();
        let mut room = None;
        if said.is_some_and(|length| length > free) {
            room = Some(self.take(most).await?);
            bytes.reserve(most);
        }
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Error::BrokenOff)?;
            let length = bytes.len() + chunk.len();
            if length > limit {
                return Err(Error::TooLarge { limit });
            }
            if length > free && room.is_none() {
                room = Some(self.take(most).await?);
                // Growing step by step would take up to three times as much.
                bytes.reserve(most - bytes.len());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Held {
            bytes: bytes.freeze(),
            _room: room,
        })
    }

    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        // It is never closed.
        let room = Arc::clone(&self.0).acquire_many_owned(units).await;
        room.map_err(|_| Error::BrokenOff)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const LIMIT: usize = 200 * 1024;

    fn headers(length: usize) -> HeaderMap {
        [(CONTENT_LENGTH, length.into())].into_iter().collect()
    }

    #[tokio::test]
    async fn a_body_above_the_limit_is_refused_whether_it_says_so_or_not() {
        let room = Room::new(LIMIT);
        let refused = Err(Error::TooLarge { limit: LIMIT });
        let read = room.read(&headers(LIMIT + 1), Body::empty(), LIMIT).await;
        assert_eq!(read.map(|held| held.bytes), refused);
        let read = room
            .read(&HeaderMap::new(), Body::from(vec![1; LIMIT + 1]), LIMIT)
            .await;
        assert_eq!(read.map(|held| held.bytes), refused);
        let read = room
            .read(&headers(LIMIT), Body::from(vec![1; LIMIT]), LIMIT)
            .await;
        assert_eq!(read.unwrap().bytes.len(), LIMIT);
    }

    #[tokio::test]
    async fn large_bodies_wait_for_each_other_and_small_ones_for_nobody() {
        let room = Room::new(LIMIT);
        let unsaid = HeaderMap::new();
        let large = || room.read(&unsaid, Body::from(vec![1; 100_000]), LIMIT);
        let first = large().await.unwrap();
        assert!(large().now_or_never().is_none(), "there is no room for two");
        let said = headers(9);
        let small = room.read(&said, Body::from("small one"), LIMIT);
        assert_eq!(small.now_or_never().unwrap().unwrap().bytes, "small one");
        drop(first);
        assert_eq!(large().await.unwrap().bytes.len(), 100_000);
    }
}
