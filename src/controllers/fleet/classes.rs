//! Classes: devices that should hold the same, compiled once for all of them. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use crate::compliance::Checks;
use crate::ids::Namespace;
use crate::policy::{CompileInput, DeviceClass, Plan, compile};
use crate::store::Enrollment;

use super::policies::Policies;
use super::shared::Shared;

/// What makes two devices of one fleet the same to policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    class: DeviceClass,
    assignments: Arc<[Arc<str>]>,
}

/// What concerns devices of the same groups: one copy for all of them.
#[derive(Debug, Clone)]
pub struct Concern {
    /// The groups.
    pub groups: Arc<[Arc<str>]>,
    /// The assignments that are for them.
    pub assignments: Arc<[Arc<str>]>,
}

/// The classes of one fleet, and what their devices have in common.
#[derive(Default)]
pub struct Classes {
    plans: HashMap<Key, Arc<Plan>>,
    /// The plans before the last change of policy: one that comes out the same stays the same.
    before: HashMap<Key, Arc<Plan>>,
    /// By groups.
    concerns: HashMap<Arc<[Arc<str>]>, Concern>,
    groups: Shared<[Arc<str>]>,
    /// Expressions outlive the plans: a new policy has mostly the old ones.
    checks: Checks,
}

impl Classes {
    /// Has every plan compiled again: the policy has changed.
    pub fn renew(&mut self) {
        self.before = std::mem::take(&mut self.plans);
        self.concerns.clear();
    }

    /// How many plans are in use.
    #[must_use]
    pub fn count(&self) -> usize {
        self.plans.len()
    }

    /// What concerns the devices of some groups.
    pub fn concern(&mut self, policies: &Policies, groups: Arc<[Arc<str>]>) -> Concern {
        if let Some(known) = self.concerns.get(&groups) {
            return known.clone();
        }
        let groups = self.groups.one(groups);
        let concern = Concern {
            assignments: policies.assignments_of(&groups),
            groups: groups.clone(),
        };
        self.concerns.insert(groups, concern.clone());
        concern
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
        let key = Key {
            class: enrollment.class(),
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
