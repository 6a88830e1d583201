//! Documents that many devices hold: kept in memory once, however many devices have them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest, Sha256};

/// After so many new documents those that nobody holds any more are forgotten.
const SWEEP_EVERY: usize = 256;

/// Parsed documents, by the hash of their bytes.
#[derive(Debug)]
pub(super) struct Shelf<T>(Mutex<Books<T>>);

#[derive(Debug)]
struct Books<T> {
    by_hash: HashMap<[u8; 32], Weak<T>>,
    added: usize,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Mutex::new(Books {
            by_hash: HashMap::new(),
            added: 0,
        }))
    }
}

impl<T> Shelf<T> {
    /// The document in `bytes`: the one on the shelf, or a newly parsed one.
    pub(super) fn take<E>(
        &self,
        bytes: &[u8],
        parse: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let hash: [u8; 32] = Sha256::digest(bytes).into();
        if let Some(found) = self.books().by_hash.get(&hash).and_then(Weak::upgrade) {
            return Ok(found);
        }
        let parsed = Arc::new(parse(bytes)?);
        let mut books = self.books();
        books.by_hash.insert(hash, Arc::downgrade(&parsed));
        books.added += 1;
        if books.added.is_multiple_of(SWEEP_EVERY) {
            books.by_hash.retain(|_, document| document.strong_count() > 0);
        }
        Ok(parsed)
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_documents_are_one_and_unused_ones_go() {
        let shelf = Shelf::<Vec<u8>>::default();
        let take = |bytes: &[u8]| shelf.take(bytes, |bytes| Ok::<_, ()>(bytes.to_vec())).unwrap();
        let first = take(b"a");
        assert!(Arc::ptr_eq(&first, &take(b"a")));
        for n in 0..SWEEP_EVERY {
            take(&n.to_be_bytes());
        }
        assert!(
            shelf.books().by_hash.len() <= 3,
            "the held one and what came with or after the sweep"
        );
        assert!(shelf.take(b"b", |_| Err::<Vec<u8>, _>("no")).is_err());
    }
}
