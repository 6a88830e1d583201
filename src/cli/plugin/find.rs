//! Which device a person means: by its name, the beginning of it, or its serial number.

use anyhow::bail;
use kube::api::ListParams;
use kube::{Resource as _, ResourceExt as _};

use super::session::Session;
use super::words::some_of;
use crate::api::Device;
use crate::suggest::nearest;

/// How many candidates an error names.
const CANDIDATES: usize = 10;

/// The device that a person means.
///
/// # Errors
/// When there is none, or more than one: with the candidates.
pub(super) async fn device(session: &Session, wanted: &str) -> anyhow::Result<Device> {
    let wanted = wanted.rsplit_once('/').map_or(wanted, |(_, name)| name).trim();
    if wanted.is_empty() {
        bail!("name a device: its name, the beginning of it, or its serial number");
    }
    // Names are the UDID in lower case; serial numbers are in capitals.
    let lower = wanted.to_ascii_lowercase();
    if !session.everywhere
        && let Some(device) = exact(session, &lower).await?
    {
        return Ok(device);
    }
    let by_serial = by_serial(session, wanted).await?;
    if let [device] = by_serial.as_slice() {
        return Ok(device.clone());
    }
    let mut names = names(session).await?;
    let matching = if by_serial.is_empty() {
        // A whole name beats those that only begin with it.
        let whole = names.iter().any(|known| known.name == lower);
        let fits = |known: &&Known| known.name == lower || (!whole && known.name.starts_with(&lower));
        names.iter().filter(fits).cloned().collect()
    } else {
        by_serial.iter().map(Known::of).collect::<Vec<_>>()
    };
    match matching.as_slice() {
        [known] => match exact_in(session, &known.namespace, &known.name).await? {
            Some(device) => Ok(device),
            None => bail!("the device {} has just been removed", known.name),
        },
        [] => {
            names.sort_by(|a, b| a.name.cmp(&b.name));
            let near = nearest(&lower, names.iter().map(|known| known.name.as_str()));
            let advice = near.map_or_else(
                || "list them with: kubectl provost devices -A".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            bail!(
                "no device {} is called {wanted}, begins with it or has it as its serial number\n{advice}",
                session.place()
            )
        }
        several => {
            let shown: Vec<String> = several.iter().map(|known| known.shown(session)).collect();
            bail!(
                "{wanted} could be any of {} devices: {}\ngive more of the name{}",
                several.len(),
                some_of(shown.iter().map(String::as_str), CANDIDATES),
                if session.everywhere {
                    ", or the namespace with -n"
                } else {
                    ""
                }
            )
        }
    }
}

/// A device that could be meant.
#[derive(Debug, Clone)]
struct Known {
    namespace: String,
    name: String,
}

impl Known {
    fn of(device: &Device) -> Self {
        Self {
            namespace: device.namespace().unwrap_or_default(),
            name: device.name_any(),
        }
    }

    fn shown(&self, session: &Session) -> String {
        if session.everywhere {
            format!("{}/{}", self.namespace, self.name)
        } else {
            self.name.clone()
        }
    }
}

async fn exact(session: &Session, name: &str) -> anyhow::Result<Option<Device>> {
    exact_in(session, &session.namespace, name).await
}

async fn exact_in(session: &Session, namespace: &str, name: &str) -> anyhow::Result<Option<Device>> {
    // What is no name at all would be another path of the API.
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
    {
        return Ok(None);
    }
    match session.api_in::<Device>(namespace).get(name).await {
        Ok(device) => Ok(Some(device)),
        Err(kube::Error::Api(status)) if is_missing(&status, name) => Ok(None),
        Err(error) => Err(session.explain::<Device>(error, "get")),
    }
}

/// Whether it is this object that is missing, rather than its kind.
fn is_missing(status: &kube::core::Status, name: &str) -> bool {
    status.code == 404
        && status
            .details
            .as_ref()
            .is_some_and(|details| details.name == name)
}

async fn by_serial(session: &Session, wanted: &str) -> anyhow::Result<Vec<Device>> {
    if !wanted.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(Vec::new());
    }
    let serial = wanted.to_ascii_uppercase();
    let parameters = ListParams::default().fields(&format!("status.serialNumber={serial}"));
    session.list(&parameters, Some).await
}

/// Every name, without the objects.
async fn names(session: &Session) -> anyhow::Result<Vec<Known>> {
    let api = session.api::<Device>();
    let mut parameters = ListParams::default().limit(super::session::PAGE);
    let mut names = Vec::new();
    loop {
        let page = api
            .list_metadata(&parameters)
            .await
            .map_err(|error| session.explain::<Device>(error, "list"))?;
        names.extend(page.items.iter().map(|object| Known {
            namespace: object.meta().namespace.clone().unwrap_or_default(),
            name: object.name_any(),
        }));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters.continue_token = Some(token),
            None => return Ok(names),
        }
    }
}
