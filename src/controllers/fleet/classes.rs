//! Classes: devices that should hold the same, compiled once for all of them. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use crate::compliance::Checks;
use crate::ids::Namespace;
use crate::policy::{CompileInput, DeviceClass, OsVersion, Plan, compile};
use crate::store::Enrollment;

use super::policies::Policies;
use super::shared::Shared;

/// What makes two devices of one fleet the same to policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    class: DeviceClass,
    assignments: Arc<[Arc<str>]>,
}

/// The classes of one fleet, and what their devices have in common.
#[derive(Default)]
pub struct Classes {
    plans: HashMap<Key, Arc<Plan>>,
    /// The plans before the last change of policy: one that comes out the same stays the same.
    before: HashMap<Key, Arc<Plan>>,
    /// The assignments that concern devices of the same groups.
    assignments: HashMap<Arc<[Arc<str>]>, Arc<[Arc<str>]>>,
    groups: Shared<[Arc<str>]>,
    /// Expressions outlive the plans: a new policy has mostly the old ones.
    checks: Checks,
}

impl Classes {
    /// Has every plan compiled again: the policy has changed.
    pub fn renew(&mut self) {
        self.before = std::mem::take(&mut self.plans);
        self.assignments.clear();
    }

    /// How many plans are in use.
    #[must_use]
    pub fn count(&self) -> usize {
        self.plans.len()
    }

    /// The one copy of a list of groups, and the assignments that concern them.
    pub fn concerned(
        &mut self,
        policies: &Policies,
        groups: Arc<[Arc<str>]>,
    ) -> (Arc<[Arc<str>]>, Arc<[Arc<str>]>) {
        let groups = self.groups.one(groups);
        let assignments = self
            .assignments
            .entry(groups.clone())
            .or_insert_with_key(|groups| policies.assignments_of(groups));
        (groups, assignments.clone())
    }

    /// The plan of a device's class, compiled at the first device that asks. `compiled` is called for each compilation.
    pub fn plan(
        &mut self,
        policies: &Policies,
        public_url: &str,
        enrollment: &Enrollment,
        assignments: &Arc<[Arc<str>]>,
        compiled: impl FnOnce(),
    ) -> Arc<Plan> {
        let class = DeviceClass {
            platform: enrollment.platform,
            os_version: OsVersion::read(&enrollment.os_version),
            mode: enrollment.mode,
            declarative: enrollment.declarative,
        };
        let key = Key {
            class,
            assignments: assignments.clone(),
        };
        if let Some(plan) = self.plans.get(&key) {
            return plan.clone();
        }
        compiled();
        let plan = compile_class(&enrollment.namespace, policies, public_url, &key, &self.checks);
        let plan = match self.before.remove(&key) {
            Some(known) if *known == plan => known,
            _ => Arc::new(plan),
        };
        self.plans.insert(key, plan.clone());
        plan
    }
}

fn compile_class(
    namespace: &Namespace,
    policies: &Policies,
    public_url: &str,
    key: &Key,
    checks: &Checks,
) -> Plan {
    let plan = compile(&CompileInput {
        namespace: namespace.as_str(),
        class: key.class,
        assignments: &policies.inputs(&key.assignments),
        public_url,
        checks,
    });
    Plan {
        revision: policies.newest_revision(&key.assignments),
        ..plan
    }
}
