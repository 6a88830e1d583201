//! The finalizer of a GitSource, by which what it brought is removed before it goes.
//!
//! The watch may be behind the API: right after a source is made, or changed while its finalizer is written, it still shows the object without one.
//! So the list of finalizers is read again before it is written, and written only onto what was read.

use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::api::{GitSource, names};

/// How often a write that came too late is made again. Whoever comes between writes once or twice, not in a row.
const ATTEMPTS: u32 = 5;

/// Whether the object has it.
pub(super) fn is_on(source: &GitSource) -> bool {
    source
        .finalizers()
        .iter()
        .any(|finalizer| finalizer == names::SOURCE_FINALIZER)
}

/// Puts it on. An object that has it already, is being deleted or has gone meanwhile is left alone.
///
/// # Errors
/// Those of the API.
pub(super) async fn put_on(api: &Api<GitSource>, source: &GitSource) -> kube::Result<()> {
    change(api, source, |current| {
        let fits = !is_on(current) && current.metadata.deletion_timestamp.is_none();
        fits.then(|| {
            let own = names::SOURCE_FINALIZER.to_owned();
            current.finalizers().iter().cloned().chain([own]).collect()
        })
    })
    .await
}

/// Takes it off, so that the object can go. One that has gone already is no error.
///
/// # Errors
/// Those of the API.
pub(super) async fn take_off(api: &Api<GitSource>, source: &GitSource) -> kube::Result<()> {
    change(api, source, |current| {
        is_on(current).then(|| {
            let others = current.finalizers().iter().cloned();
            others
                .filter(|finalizer| finalizer != names::SOURCE_FINALIZER)
                .collect()
        })
    })
    .await
}

/// Writes what `wanted` makes of the finalizers of the object as it is now. None: nothing is to be written.
async fn change(
    api: &Api<GitSource>,
    source: &GitSource,
    wanted: impl Fn(&GitSource) -> Option<Vec<String>>,
) -> kube::Result<()> {
    let name = source.name_any();
    let mut attempts = 1;
    loop {
        let current = api.get_opt(&name).await?;
        let Some(current) = current.filter(|current| current.uid() == source.uid()) else {
            return Ok(());
        };
        let Some(finalizers) = wanted(&current) else {
            return Ok(());
        };
        let patch = json!({
            "metadata": { "resourceVersion": current.resource_version(), "finalizers": finalizers },
        });
        match api
            .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
        {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(refusal)) if refusal.code == 404 => return Ok(()),
            // Somebody wrote in between.
            Err(kube::Error::Api(refusal)) if refusal.code == 409 && attempts < ATTEMPTS => attempts += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use jiff::Timestamp;
    use kube::Client;
    use kube::api::{DeleteParams, PostParams};

    use super::*;
    use crate::controllers::ground::Ground;

    async fn made(ground: &Ground) -> (Api<GitSource>, GitSource) {
        let sources: Api<GitSource> = Api::namespaced(ground.client.clone(), "fleet");
        let object = json!({ "apiVersion": names::API_VERSION, "kind": "GitSource", "metadata": { "name": "policy" },
                             "spec": { "url": "https://git.example.com/policy.git" } });
        let object = serde_json::from_value(object).unwrap();
        let source = sources.create(&PostParams::default(), &object).await.unwrap();
        (sources, source)
    }

    async fn finalizers(sources: &Api<GitSource>) -> Vec<String> {
        sources.get("policy").await.unwrap().finalizers().to_vec()
    }

    #[tokio::test]
    async fn a_watch_that_is_behind_changes_nothing_twice_and_nothing_of_others() {
        let ground = Ground::new(Timestamp::UNIX_EPOCH).await;
        let (sources, behind) = made(&ground).await;
        put_on(&sources, &behind).await.unwrap();
        let other = json!({ "metadata": { "finalizers": [names::SOURCE_FINALIZER, "example.com/other"] } });
        sources
            .patch("policy", &PatchParams::default(), &Patch::Merge(&other))
            .await
            .unwrap();
        put_on(&sources, &behind).await.unwrap();
        assert_eq!(
            finalizers(&sources).await,
            [names::SOURCE_FINALIZER, "example.com/other"]
        );
        sources.delete("policy", &DeleteParams::default()).await.unwrap();
        take_off(&sources, &behind).await.unwrap();
        put_on(&sources, &behind).await.unwrap();
        assert_eq!(
            finalizers(&sources).await,
            ["example.com/other"],
            "it does not come back"
        );
        let none = json!({ "metadata": { "finalizers": null } });
        sources
            .patch("policy", &PatchParams::default(), &Patch::Merge(&none))
            .await
            .unwrap();
        take_off(&sources, &behind).await.unwrap();
        put_on(&sources, &behind).await.unwrap();
        assert!(sources.get_opt("policy").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn somebody_who_writes_in_between_is_no_trouble_unless_it_never_ends() {
        let ground = Ground::new(Timestamp::UNIX_EPOCH).await;
        let (sources, source) = made(&ground).await;
        // Before each of so many writes somebody else is quicker.
        let quicker = Arc::new(AtomicU32::new(1));
        let (inner, rest) = (ground.client.clone(), Arc::clone(&quicker));
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (client, rest) = (inner.clone(), Arc::clone(&rest));
            async move {
                let left = rest.load(Ordering::SeqCst);
                if request.method() == http::Method::PATCH && left > 0 {
                    rest.store(left - 1, Ordering::SeqCst);
                    let sources: Api<GitSource> = Api::namespaced(client.clone(), "fleet");
                    let note =
                        json!({ "metadata": { "annotations": { "example.com/note": left.to_string() } } });
                    sources
                        .patch("policy", &PatchParams::default(), &Patch::Merge(&note))
                        .await
                        .unwrap();
                }
                client.send(request).await
            }
        });
        let busy: Api<GitSource> = Api::namespaced(Client::new(service, "fleet"), "fleet");
        put_on(&busy, &source).await.unwrap();
        assert_eq!(finalizers(&sources).await, [names::SOURCE_FINALIZER]);
        quicker.store(ATTEMPTS, Ordering::SeqCst);
        let error = take_off(&busy, &source).await.unwrap_err();
        assert!(matches!(error, kube::Error::Api(refusal) if refusal.code == 409));
    }
}
