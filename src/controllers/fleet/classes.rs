//! Classes: devices that should hold the same, compiled once for all of them. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use crate::compliance::Checks;
use crate::ids::Namespace;
use crate::policy::{CompileInput, DeviceClass, OsVersion, Plan, compile};

use super::device::Device;
use super::policies::Policies;

/// What makes two devices of one fleet the same to policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    class: DeviceClass,
    assignments: Arc<[Arc<str>]>,
}

/// The plans in use for one fleet.
#[derive(Default)]
pub struct Classes {
    plans: HashMap<Key, Arc<Plan>>,
    /// Expressions outlive the plans: a new policy has mostly the old ones.
    checks: Checks,
}

impl Classes {
    /// Forgets every plan: the policy has changed.
    pub fn clear(&mut self) {
        self.plans.clear();
    }

    /// How many plans are in use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.plans.len()
    }

    /// The plan of a device's class, compiled at the first device that asks. `compiled` is called for each compilation.
    pub fn plan(
        &mut self,
        namespace: &Namespace,
        policies: &Policies,
        public_url: &str,
        device: &Device,
        compiled: impl FnOnce(),
    ) -> Arc<Plan> {
        let enrollment = &device.enrollment;
        let class = DeviceClass {
            platform: enrollment.platform,
            os_version: OsVersion::read(&enrollment.os_version),
            mode: enrollment.mode,
            declarative: enrollment.declarative,
        };
        let key = Key {
            class,
            assignments: device.assignments.clone(),
        };
        if let Some(plan) = self.plans.get(&key) {
            return plan.clone();
        }
        compiled();
        let mut plan = compile(&CompileInput {
            namespace: namespace.as_str(),
            class: key.class,
            assignments: &policies.inputs(&key.assignments),
            public_url,
            checks: &self.checks,
        });
        plan.revision = policies.newest_revision(&key.assignments);
        let plan = Arc::new(plan);
        self.plans.insert(key, plan.clone());
        plan
    }
}
