//! The contract, and what is this adapter's own.

use std::path::PathBuf;

use super::*;
use crate::clock::SystemEntropy;
use crate::pki::KeyFile;
use crate::store::contract::store_contract;

struct Opened {
    // Dropped before its folder.
    store: SqliteStore,
    folder: tempfile::TempDir,
}

fn open() -> Opened {
    let folder = tempfile::tempdir().unwrap();
    Opened {
        store: open_in(folder.path()),
        folder,
    }
}

fn open_in(folder: &Path) -> SqliteStore {
    let keys = KeyFile::open(&folder.join("store.key"), SystemEntropy).unwrap();
    SqliteStore::open(&folder.join("store.db"), Arc::new(keys)).unwrap()
}

store_contract!(open);
