//! `kubectl provost reconcile`: look now, and say how it went.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{anyhow, bail};
use futures::{StreamExt as _, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::arguments::{ConnectionArgs, Output};
use super::page::{Style, Tone};
use super::session::Session;
use super::words::{clean, some_of, status};
use super::{find, output};
use crate::api::{GitSource, names};
use crate::cli::print;
use crate::controllers::duration;

/// Who writes the annotation.
const FIELD_MANAGER: &str = "kubectl-provost";
/// How often the object is looked at while waiting.
const PAUSE: Duration = Duration::from_millis(500);
/// How many objects are waited for side by side.
const SIDE_BY_SIDE: usize = 8;
/// How many names an error lists.
const NAMES: usize = 10;

/// Options of `kubectl provost reconcile`.
#[derive(Debug, clap::Args)]
pub(super) struct ReconcileArgs {
    /// What to look at: `gitsource/NAME`, or just NAME; or `device/NAME`, which asks the device for evidence. Without it: the one
    /// git source of the namespace.
    #[arg(value_name = "TARGET", conflicts_with = "all")]
    target: Option<String>,
    /// Every git source of the namespace; with -A of all.
    #[arg(long)]
    all: bool,
    /// Whether to wait for the outcome.
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    wait: bool,
    /// How long to wait, such as 30s or 5m.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = patience)]
    timeout: Duration,
}

fn patience(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| "write a duration such as 30s or 5m".to_owned())
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    /// `gitsource.provost.dev/NAME`.
    name: String,
    namespace: String,
    /// `True`, `False` or `Unknown`; nothing where nobody waited, or nothing came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    message: String,
    /// Whether it is as it should be, for the exit code.
    #[serde(skip)]
    good: bool,
}

/// Of any kind that can be asked: what tells that it has acted on the request.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Acted {
    last_handled_reconcile_at: Option<String>,
    conditions: Vec<Condition>,
}

pub(super) async fn run(
    args: &ReconcileArgs,
    connection: &ConnectionArgs,
    output: Option<Output>,
) -> anyhow::Result<ExitCode> {
    let session = Session::open(connection).await?;
    // Any new value is a request.
    let request = session.now().to_string();
    let ask = Ask {
        session: &session,
        request: &request,
        wait: args.wait.then_some(args.timeout),
    };
    let outcomes = match args.target.as_deref().map(|target| target.split_once('/')) {
        Some(Some((kind, name))) if is_device(kind) => {
            let device = find::device(&session, name).await?;
            vec![ask.about(&device).await?]
        }
        Some(Some((kind, _))) if !is_source(kind) => {
            bail!("{kind} cannot be asked to reconcile; name gitsource/NAME or device/NAME")
        }
        _ => {
            let sources = sources(&session, args).await?;
            let asked = stream::iter(&sources).map(|source| ask.about(source));
            let outcomes: Vec<anyhow::Result<Outcome>> = asked.buffered(SIDE_BY_SIDE).collect().await;
            outcomes.into_iter().collect::<anyhow::Result<Vec<_>>>()?
        }
    };
    print::out(&tell(&outcomes, output, Style::of_stdout())?)?;
    let good = outcomes.iter().all(|outcome| outcome.good);
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn is_source(kind: &str) -> bool {
    matches!(
        kind.to_ascii_lowercase().as_str(),
        "gitsource" | "gitsources" | "gsrc" | "gitsource.provost.dev" | "gitsources.provost.dev"
    )
}

fn is_device(kind: &str) -> bool {
    matches!(
        kind.to_ascii_lowercase().as_str(),
        "device" | "devices" | "dev" | "device.provost.dev" | "devices.provost.dev"
    )
}

/// The sources that are meant.
async fn sources(session: &Session, args: &ReconcileArgs) -> anyhow::Result<Vec<GitSource>> {
    let mut sources: Vec<GitSource> = session.list(&ListParams::default(), Some).await?;
    let known: Vec<String> = sources.iter().map(ResourceExt::name_any).collect();
    let known = || some_of(known.iter().map(String::as_str), NAMES);
    if sources.is_empty() {
        bail!(
            "there is no git source {}; see: kubectl provost sources -A",
            session.place()
        );
    }
    let Some(target) = &args.target else {
        if args.all || sources.len() == 1 {
            return Ok(sources);
        }
        bail!("which git source: {}? name one, or give --all", known());
    };
    let name = target.split_once('/').map_or(target.as_str(), |(_, name)| name);
    sources.retain(|source| source.name_any() == name);
    match sources.len() {
        0 => bail!(
            "there is no git source {name} {}; there are: {}\na device is named device/{name}",
            session.place(),
            known()
        ),
        1 => Ok(sources),
        several => bail!("{several} namespaces have a git source {name}; choose one with -n, or give --all"),
    }
}

/// A request to look now.
struct Ask<'a> {
    session: &'a Session,
    request: &'a str,
    /// How long to wait. None: not at all.
    wait: Option<Duration>,
}

impl Ask<'_> {
    async fn about<K>(&self, object: &K) -> anyhow::Result<Outcome>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Serialize,
    {
        let (name, namespace) = (object.name_any(), object.namespace().unwrap_or_default());
        let api = self.session.api_in::<K>(&namespace);
        let patch = json!({ "metadata": { "annotations": { names::RECONCILE_ANNOTATION: self.request } } });
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        api.patch(&name, &parameters, &Patch::Merge(&patch))
            .await
            .map_err(|error| self.session.explain::<K>(error, "patch"))?;
        let mut outcome = Outcome {
            name: output::name(object),
            namespace,
            ready: None,
            reason: None,
            message: "asked to reconcile".to_owned(),
            good: true,
        };
        let Some(wait) = self.wait else {
            return Ok(outcome);
        };
        let deadline = Instant::now() + wait;
        loop {
            let now = api
                .get(&name)
                .await
                .map_err(|error| self.session.explain::<K>(error, "get"))?;
            let acted = acted(&now)?;
            if acted.last_handled_reconcile_at.as_deref() == Some(self.request) {
                let ready = acted
                    .conditions
                    .iter()
                    .find(|condition| condition.type_ == "Ready");
                outcome.ready = Some(status(&acted.conditions, "Ready").to_owned());
                outcome.reason = ready.map(|ready| ready.reason.clone());
                outcome.message = ready.map(|ready| ready.message.clone()).unwrap_or_default();
                outcome.good = outcome.ready.as_deref() == Some("True");
                return Ok(outcome);
            }
            if Instant::now() >= deadline {
                outcome.message = format!(
                    "no answer within {} s: is a Provost server running, and does it hold the lease? (kubectl get leases -A)",
                    wait.as_secs()
                );
                outcome.good = false;
                return Ok(outcome);
            }
            sleep(PAUSE).await;
        }
    }
}

/// The part of a status that tells.
fn acted<K: Serialize>(object: &K) -> anyhow::Result<Acted> {
    let mut object = serde_json::to_value(object)?;
    match object.get_mut("status").map(serde_json::Value::take) {
        None | Some(serde_json::Value::Null) => Ok(Acted::default()),
        Some(status) => {
            serde_json::from_value(status).map_err(|error| anyhow!("the status cannot be read: {error}"))
        }
    }
}

fn tell(outcomes: &[Outcome], format: Option<Output>, style: Style) -> anyhow::Result<String> {
    if format == Some(Output::Name) {
        return Ok(outcomes
            .iter()
            .fold(String::new(), |text, outcome| text + &outcome.name + "\n"));
    }
    if let Some(text) = output::document(&outcomes, format)? {
        return Ok(text);
    }
    let lines = outcomes.iter().map(|outcome| {
        let (word, tone) = match outcome.ready.as_deref() {
            Some("True") => ("Ready: ", Tone::Good),
            Some("False") => ("not Ready: ", Tone::Bad),
            Some(_) => ("not Ready yet: ", Tone::Unsure),
            None if outcome.good => ("", Tone::Plain),
            None => ("", Tone::Bad),
        };
        let reason = outcome
            .reason
            .as_deref()
            .filter(|_| !outcome.good)
            .unwrap_or_default();
        let reason = if reason.is_empty() {
            String::new()
        } else {
            format!("{reason}: ")
        };
        let text = clean(&format!("{word}{reason}{}", outcome.message));
        format!(
            "{} in {}: {}\n",
            outcome.name,
            outcome.namespace,
            style.paint(tone, &text)
        )
    });
    Ok(lines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_told_in_a_line() {
        let plain = Style {
            colour: false,
            width: 100,
        };
        let mut outcome = Outcome {
            name: "gitsource.provost.dev/policy".to_owned(),
            namespace: "fleet".to_owned(),
            ready: Some("False".to_owned()),
            reason: Some("InvalidRevision".to_owned()),
            message: "fleet/a.yaml:3:5: no such field\n".to_owned(),
            good: false,
        };
        let line = tell(std::slice::from_ref(&outcome), None, plain).unwrap();
        assert_eq!(
            line,
            "gitsource.provost.dev/policy in fleet: not Ready: InvalidRevision: fleet/a.yaml:3:5: no such field \n"
        );
        outcome.ready = Some("True".to_owned());
        outcome.good = true;
        let line = tell(&[outcome], Some(Output::Json), plain).unwrap();
        assert!(line.contains("\"ready\": \"True\""), "{line}");
    }
}
