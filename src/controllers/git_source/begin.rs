//! A controller that is told to stop before it has begun. Nobody reads its first list any more then, and it would wait for the end of that list for
//! ever. Nothing is under way yet that would have to be finished.

use futures::FutureExt as _;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;
use tokio_util::sync::CancellationToken;

use crate::api::GitSource;

/// Ends when `shutdown` comes before the first list is complete. If it comes later, this never ends: the controller does.
pub(super) async fn stopped_before(known: &Store<DeserializeGuard<GitSource>>, shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    if known.wait_until_ready().now_or_never().is_some() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use kube::runtime::{reflector, watcher};

    use super::*;

    #[tokio::test]
    async fn only_a_controller_that_has_not_begun_is_broken_off() {
        let (known, mut writer) = reflector::store();
        let shutdown = CancellationToken::new();
        assert!(stopped_before(&known, &shutdown).now_or_never().is_none());
        shutdown.cancel();
        assert!(stopped_before(&known, &shutdown).now_or_never().is_some());
        writer.apply_watcher_event(&watcher::Event::Init);
        assert!(stopped_before(&known, &shutdown).now_or_never().is_some());
        writer.apply_watcher_event(&watcher::Event::InitDone);
        assert!(stopped_before(&known, &shutdown).now_or_never().is_none());
    }
}
