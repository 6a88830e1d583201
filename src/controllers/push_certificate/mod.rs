//! The PushCertificate controller: one object for each push certificate that the server holds, in the server's own namespace, so that people see
//! in `kubectl` and are told by Events that one is about to end.
//!
//! Nothing is written while only time passes: a status and an Event for each of 60, 30 and 7 days before the end, and for the end. The
//! certificates themselves never come here.

mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, ObjectReference};
use kube::api::{DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Api, Resource as _, ResourceExt as _};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::error::{backoff, is_already_exists, is_not_found};
use super::status::apply;
use crate::api::{PushCertificate, PushCertificateSpec, names};
use crate::push::HeldCertificate;
use crate::telemetry::Chain;

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_hours(1);

/// What the controller works on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the objects are.
    pub namespace: String,
    /// Whether to make the namespace: nobody else does in an embedded API.
    pub make_namespace: bool,
    /// The push certificates, as they change.
    pub held: watch::Receiver<Vec<HeldCertificate>>,
}

/// Runs until `shutdown`.
pub async fn run(context: Context, mut settings: Settings, shutdown: CancellationToken) {
    let mut failures = 0;
    loop {
        let held = settings.held.borrow_and_update().clone();
        let pause = match reconcile(&context, &settings, &held).await {
            Ok(()) => {
                failures = 0;
                LOOK
            }
            Err(error) => {
                failures += 1;
                tracing::warn!(error = %Chain(&error), "the state of push certificates could not be written and will be later");
                backoff(failures, u8::MAX)
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            // The sender is gone only when the server stops.
            Ok(()) = settings.held.changed() => {}
        }
    }
}

/// Brings the objects to what is held now.
async fn reconcile(context: &Context, settings: &Settings, held: &[HeldCertificate]) -> kube::Result<()> {
    let objects: Api<PushCertificate> = Api::namespaced(context.client.clone(), &settings.namespace);
    let listed = objects.list(&ListParams::default()).await?;
    let mut known: BTreeMap<_, _> = listed
        .items
        .into_iter()
        .map(|object| (object.name_any(), object))
        .collect();
    for certificate in held {
        let name = certificate.topic.to_ascii_lowercase();
        let object = match known.remove(&name) {
            Some(object) => object,
            None => make(context, settings, &objects, &name, certificate).await?,
        };
        let now = context.clock.now();
        let (status, news) = status::build(&object, certificate, now);
        // The news first: should we fall over in between it is told twice, not never.
        if let Some(news) = news {
            context.events.tell(&reference(&object), &news).await?;
            let topic = certificate.topic.as_str();
            if news.is_good {
                tracing::info!(topic, "{}", news.note);
            } else {
                tracing::warn!(topic, "{}", news.note);
            }
        }
        apply(&objects, &object, &status, &context.metrics).await?;
    }
    for name in known.into_keys() {
        match objects.delete(&name, &DeleteParams::default()).await {
            Err(error) if !is_not_found(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

async fn make(
    context: &Context,
    settings: &Settings,
    objects: &Api<PushCertificate>,
    name: &str,
    certificate: &HeldCertificate,
) -> kube::Result<PushCertificate> {
    let parameters = PostParams {
        field_manager: Some(names::FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    if settings.make_namespace {
        let space = Namespace {
            metadata: ObjectMeta {
                name: Some(settings.namespace.clone()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let spaces: Api<Namespace> = Api::all(context.client.clone());
        match spaces.create(&parameters, &space).await {
            Err(error) if !is_already_exists(&error) => return Err(error),
            _ => {}
        }
    }
    let spec = PushCertificateSpec {
        topic: certificate.topic.clone(),
    };
    objects
        .create(&parameters, &PushCertificate::new(name, spec))
        .await
}

fn reference(object: &PushCertificate) -> ObjectReference {
    object.object_ref(&())
}
