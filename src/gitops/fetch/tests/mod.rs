//! Stories with real repositories, over every transport.

mod https;
mod in_place;
mod local;
mod origin;
mod ssh;

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::origin::Origin;
use super::{Credentials, FetchError, FetchRequest, Fetcher, Limits, Reference, Revision};

/// A request for everything on `main`.
fn request(url: &str, cache_dir: &Path) -> FetchRequest {
    FetchRequest {
        url: url.to_owned(),
        reference: Reference::Branch("main".into()),
        path: String::new(),
        credentials: Credentials::None,
        ca_pem: None,
        limits: Limits::default(),
        cache_dir: cache_dir.to_owned(),
        timeout: Duration::from_mins(1),
        stop: CancellationToken::new(),
    }
}

fn fetch(request: &FetchRequest) -> Result<Revision, FetchError> {
    Fetcher::new().fetch(request)
}

fn paths(revision: &Revision) -> Vec<&str> {
    revision.files.iter().map(|file| file.path.as_str()).collect()
}
