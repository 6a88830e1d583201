//! Pointing devices at their manifests, and the orders that bring them there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Planner;
use crate::compliance::Facts;
use crate::controllers::fleet::orders::{self, Issue};
use crate::ids::{Digest, EnrollmentId};
use crate::policy::{Manifest, Plan};
use crate::store::StoreError;

/// Commands queued in one transaction.
const ORDERS: usize = 1_024;

impl Planner {
    /// Finds the plan of every device whose place may have changed, points devices at their manifests and gives the orders.
    pub(super) async fn place(&mut self) -> Result<(), StoreError> {
        let compiles = &self.context.metrics.policy_compiles;
        let moves = self
            .world
            .place(&self.settings.public_url, self.context.clock.now(), || {
                compiles.inc();
            });
        let classes: usize = self
            .world
            .fleets
            .values()
            .map(|fleet| fleet.classes.count())
            .sum();
        self.context
            .metrics
            .classes
            .set(i64::try_from(classes).unwrap_or(i64::MAX));
        if moves.is_empty() {
            return Ok(());
        }
        let outcome = self.carry_out(&moves).await;
        if outcome.is_err() {
            // What was done already will be found done; what was not is still to do.
            self.world.replace.extend(moves.into_iter().map(|(id, _)| id));
        }
        outcome
    }

    async fn carry_out(&mut self, moves: &[(EnrollmentId, Arc<Plan>)]) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        let pointers: Vec<(EnrollmentId, Digest)> = moves
            .iter()
            .filter(|(id, plan)| {
                self.world
                    .devices
                    .get(id)
                    .is_some_and(|device| device.enrollment.manifest != Some(plan.manifest.id))
            })
            .map(|(id, plan)| (id.clone(), plan.manifest.id))
            .collect();
        let wanted: HashSet<Digest> = pointers.iter().map(|(_, manifest)| *manifest).collect();
        let manifests: HashMap<Digest, &Manifest> = moves
            .iter()
            .map(|(_, plan)| (plan.manifest.id, &plan.manifest))
            .collect();
        for manifest in manifests
            .into_values()
            .filter(|manifest| wanted.contains(&manifest.id))
        {
            self.context
                .store
                .keep_manifest(Arc::new(manifest.clone()))
                .await?;
        }
        let written = self.context.store.point(&pointers, now).await?;
        if written > 0 {
            self.context
                .metrics
                .pointer_writes
                .inc_by(u64::try_from(written).unwrap_or_default());
            self.context.metrics.pointer_transactions.inc();
            tracing::info!(devices = written, "devices were pointed at another manifest");
        }
        for (id, manifest) in pointers {
            if let Some(device) = self.world.devices.get_mut(&id) {
                device.enrollment.previous_manifest = device.enrollment.manifest;
                device.enrollment.manifest = Some(manifest);
                device.enrollment.manifest_at = Some(now);
                self.world.judge.insert(id);
            }
        }
        let ids: Vec<EnrollmentId> = moves.iter().map(|(id, _)| id.clone()).collect();
        self.order(&ids, false).await?;
        for id in &ids {
            if let Some(device) = self.world.devices.get_mut(id) {
                device.ordered = true;
            }
        }
        Ok(())
    }

    /// Queues what brings devices to their manifests. `again`: also what they already claim to hold.
    pub(super) async fn order(&self, ids: &[EnrollmentId], again: bool) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        let issue = Issue {
            now,
            entropy: self.context.entropy.as_ref(),
        };
        let mut commands = Vec::new();
        for id in ids {
            let Some(device) = self.world.devices.get(id) else {
                continue;
            };
            let Some(plan) = device.plan.as_ref().filter(|_| device.active()) else {
                continue;
            };
            // Only devices without declarative management are told profile by profile.
            let facts = if device.enrollment.declarative {
                Facts::default()
            } else {
                self.context.store.facts(id).await?
            };
            commands.extend(orders::to_hold(
                &device.enrollment,
                &plan.manifest,
                &facts,
                again,
                &issue,
            ));
            if commands.len() >= ORDERS {
                // A fleet that moves as a whole is told part by part: the memory that it takes does not grow with it, and others get to the store.
                self.context
                    .store
                    .enqueue(std::mem::take(&mut commands), now)
                    .await?;
            }
        }
        if !commands.is_empty() {
            self.context.store.enqueue(commands, now).await?;
        }
        Ok(())
    }
}
