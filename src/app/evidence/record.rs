//! What is told: each rule demanded of a device, with the verdict by what the store has now.
//!
//! The plan of the device is compiled from the policies as they are, as the controllers do it, so that any replica can tell; nothing is kept.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use jiff::Timestamp;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::refusal::Refusal;
use crate::api::common::{Severity, Verdict};
use crate::api::{Assignment, Baseline, Device, Profile};
use crate::compliance::{Demand, Evidence, Facts, Transition, judge_evidence, observed_values};
use crate::controllers::fleet::classes::Classes;
use crate::controllers::fleet::policies::Policies;
use crate::ids::EnrollmentId;
use crate::store::{Store, StoreError};

/// How many transitions of the device are looked through.
const TRANSITIONS: usize = 1000;
/// How many transitions of one rule are told.
const TOLD: usize = 20;

/// A device's rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceRecord {
    /// The fleet.
    pub namespace: String,
    /// The Device object.
    pub device: String,
    /// Each rule of each assignment.
    pub rules: Vec<RuleRecord>,
}

/// One rule of one assignment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleRecord {
    /// `baseline/rule`.
    pub rule: String,
    /// The assignment that demands it.
    pub assignment: String,
    /// How bad it is when it fails.
    pub severity: Severity,
    /// What the facts say now.
    pub verdict: Verdict,
    /// What was recorded last, of all assignments; the controllers bring it up to `verdict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Verdict>,
    /// What the evidence says, for people.
    pub evidence: String,
    /// Where it comes from, such as `SecurityInfo`.
    pub source: String,
    /// When that source last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
    /// What would prove the rule.
    pub expected: Value,
    /// What the device reported of that.
    pub facts: BTreeMap<String, Value>,
    /// The git revision in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The last changes of the rule, newest first.
    #[serde(default)]
    pub transitions: Vec<Transition>,
}

/// Where records come from.
pub(super) struct Records {
    pub(super) client: Client,
    pub(super) store: Arc<dyn Store>,
    pub(super) public_url: String,
}

impl Records {
    /// The rules of a device; those of `wanted` only, which is `baseline/rule` or a rule's id, if it is given.
    ///
    /// # Errors
    /// When there is no such device or rule, or the API or the store does not answer.
    pub(super) async fn tell(
        &self,
        namespace: &str,
        name: &str,
        wanted: Option<&str>,
    ) -> Result<DeviceRecord, Refusal> {
        let missing = || Refusal::NotFound(format!("devices.provost.dev {name:?} not found"));
        let devices: Api<Device> = Api::namespaced(self.client.clone(), namespace);
        let device = devices
            .get_opt(name)
            .await
            .map_err(Refusal::api)?
            .ok_or_else(missing)?;
        let status = device.status.unwrap_or_default();
        let id = status
            .enrollment_id
            .as_deref()
            .and_then(|id| EnrollmentId::parse(id).ok());
        let id = id.ok_or_else(missing)?;
        let enrollment = self
            .store
            .enrollment(&id)
            .await
            .map_err(store)?
            .ok_or_else(missing)?;
        // What somebody may see is decided by namespace and name: the enrolment has to be theirs, whatever the status says.
        if enrollment.namespace.as_str() != namespace || id.device_name() != name {
            return Err(missing());
        }
        let policies = self.policies(namespace).await?;
        let assignments: Arc<[Arc<str>]> = status
            .assignments
            .iter()
            .map(|name| name.as_str().into())
            .collect();
        let plan = Classes::default().plan(&policies, &self.public_url, &enrollment, &assignments, || {});
        let facts = self.store.facts(&id).await.map_err(store)?;
        let verdicts = self.store.verdicts(&id).await.map_err(store)?;
        let transitions = self.store.transitions(&id, TRANSITIONS).await.map_err(store)?;
        let is_wanted = |demand: &&Demand| {
            wanted.is_none_or(|wanted| **demand.key() == *wanted || *demand.rule == *wanted)
        };
        let rules: Vec<RuleRecord> = plan
            .demands
            .iter()
            .filter(is_wanted)
            .map(|demand| {
                let recorded = verdicts.get(demand.key()).copied();
                record(demand, recorded, &facts, &transitions)
            })
            .collect();
        if let Some(wanted) = wanted.filter(|_| rules.is_empty()) {
            return Err(Refusal::NotFound(format!(
                "no rule {wanted:?} is demanded of devices.provost.dev {name:?}"
            )));
        }
        Ok(DeviceRecord {
            namespace: namespace.to_owned(),
            device: name.to_owned(),
            rules,
        })
    }

    async fn policies(&self, namespace: &str) -> Result<Policies, Refusal> {
        Ok(Policies {
            baselines: self.all::<Baseline>(namespace).await?,
            profiles: self.all::<Profile>(namespace).await?,
            groups: BTreeMap::new(),
            assignments: self.all::<Assignment>(namespace).await?,
            waivers: BTreeMap::new(),
        })
    }

    async fn all<K>(&self, namespace: &str) -> Result<BTreeMap<Arc<str>, Arc<K>>, Refusal>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let all = api.list(&ListParams::default()).await.map_err(Refusal::api)?;
        Ok(all
            .into_iter()
            .map(|object| (object.name_any().into(), Arc::new(object)))
            .collect())
    }
}

fn store(source: StoreError) -> Refusal {
    Refusal::Unavailable {
        what: "the store",
        source: Box::new(source),
    }
}

fn record(
    demand: &Demand,
    recorded: Option<Verdict>,
    facts: &Facts,
    transitions: &[Transition],
) -> RuleRecord {
    let judgement = judge_evidence(&demand.evidence, facts);
    let is_waived =
        recorded == Some(Verdict::Waived) && matches!(judgement.verdict, Verdict::Fail | Verdict::Unknown);
    let report = facts
        .reports
        .iter()
        .find(|(source, _)| source.to_string() == judgement.source);
    let of_this_rule = transitions
        .iter()
        .filter(|transition| transition.rule.as_ref() == Some(demand.key()));
    RuleRecord {
        rule: demand.key().to_string(),
        assignment: demand.assignment.to_string(),
        severity: demand.severity,
        verdict: if is_waived {
            Verdict::Waived
        } else {
            judgement.verdict
        },
        recorded,
        evidence: judgement.reason,
        source: judgement.source.to_owned(),
        observed_at: report.map(|(_, report)| report.observed_at),
        expected: expected(&demand.evidence),
        facts: observed_values(&demand.evidence, facts),
        revision: demand.revision.as_deref().map(str::to_owned),
        transitions: of_this_rule.take(TOLD).cloned().collect(),
    }
}

fn expected(evidence: &Evidence) -> Value {
    match evidence {
        Evidence::NotApplicable { reason } => json!({ "notApplicable": reason }),
        Evidence::Cel { program, parameters } => json!({ "cel": program.source(), "params": parameters }),
        Evidence::InstalledDeclaration {
            identifier,
            server_token,
        } => json!({ "declaration": identifier, "serverToken": server_token }),
        Evidence::InstalledProfile {
            identifier,
            uuid,
            via_declaration,
        } => match via_declaration {
            Some((declaration, token)) => json!({
                "profile": identifier, "payloadUUID": uuid, "declaration": declaration, "serverToken": token,
            }),
            None => json!({ "profile": identifier, "payloadUUID": uuid }),
        },
        Evidence::Conflict { setting, with } => json!({ "conflict": setting, "with": with }),
        Evidence::None { reason } => json!({ "none": reason }),
    }
}
