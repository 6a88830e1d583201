//! How the fleet stands, as the Kubernetes API tells it, and as a table for people.

use std::collections::BTreeMap;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use crate::api::common::VerdictCounts;
use crate::api::{Assignment, DeviceGroup, GitSource};

/// Controls shown: the worst first.
const CONTROLS: usize = 12;

/// Columns of the table by assignment that a terminal of fewer characters than the number goes without, rather than break words.
const DISPENSABLE: [(usize, u16); 3] = [(GROUPS, 96), (MODE, 96), (DEVICES, 66)];
const GROUPS: usize = 1;
const MODE: usize = 2;
const DEVICES: usize = 3;

/// How the fleet stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Picture {
    /// The revision of git in force, and why not if it is not.
    pub(super) revision: Option<String>,
    pub(super) source: String,
    pub(super) groups: Vec<(String, i64)>,
    pub(super) assignments: Vec<Assignment>,
}

impl Picture {
    /// Looks.
    pub(super) async fn take(client: &Client, namespace: &str, source: &str) -> kube::Result<Self> {
        let sources: Api<GitSource> = Api::namespaced(client.clone(), namespace);
        let groups: Api<DeviceGroup> = Api::namespaced(client.clone(), namespace);
        let assignments: Api<Assignment> = Api::namespaced(client.clone(), namespace);
        let status = sources.get(source).await?.status.unwrap_or_default();
        let groups = groups.list(&ListParams::default()).await?;
        Ok(Self {
            revision: status.artifact.map(|artifact| artifact.revision),
            source: status
                .conditions
                .first()
                .map(|condition| condition.message.clone())
                .unwrap_or_default(),
            groups: groups
                .into_iter()
                .map(|group| (group.name_any(), group.status.unwrap_or_default().members))
                .collect(),
            assignments: assignments.list(&ListParams::default()).await?.items,
        })
    }

    /// Devices under the assignments that enforce, and those of them that are compliant and hold what they should.
    pub(super) fn enforced(&self) -> (i64, i64) {
        let enforced = self
            .assignments
            .iter()
            .filter(|assignment| assignment.spec.mode == crate::api::assignment::AssignmentMode::Enforce)
            .filter_map(|assignment| assignment.status.as_ref());
        enforced.fold((0, 0), |(total, good), status| {
            (
                total + status.devices.total,
                good + status.devices.compliant.min(status.devices.synced),
            )
        })
    }

    /// The revision that an assignment is in force at.
    pub(super) fn revision_of(&self, assignment: &str) -> Option<&str> {
        let found = self
            .assignments
            .iter()
            .find(|found| found.name_any() == assignment)?;
        found.status.as_ref()?.revision.as_deref()
    }

    /// The table by group and assignment, and the one by control.
    pub(super) fn tables(&self, colour: bool) -> String {
        format!("{}\n{}", self.by_assignment(colour), self.by_control(colour))
    }

    fn by_assignment(&self, colour: bool) -> Table {
        let mut table = table(&[
            "ASSIGNMENT",
            "GROUPS",
            "MODE",
            "DEVICES",
            "COMPLIANT",
            "FAILING",
            "UNKNOWN",
        ]);
        let members: BTreeMap<&str, i64> = self
            .groups
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
            .collect();
        for assignment in &self.assignments {
            let devices = assignment.status.clone().unwrap_or_default().devices;
            let groups = assignment.spec.groups.iter().map(|group| {
                format!(
                    "{} ({})",
                    group.name,
                    members.get(group.name.as_str()).copied().unwrap_or_default()
                )
            });
            table.add_row(vec![
                Cell::new(assignment.name_any()),
                Cell::new(groups.collect::<Vec<_>>().join(", ")),
                Cell::new(format!("{:?}", assignment.spec.mode)),
                number(devices.total, None),
                number(
                    devices.compliant,
                    (colour && devices.compliant > 0).then_some(Color::Green),
                ),
                number(
                    devices.failing,
                    (colour && devices.failing > 0).then_some(Color::Red),
                ),
                number(
                    devices.unknown,
                    (colour && devices.unknown > 0).then_some(Color::Yellow),
                ),
            ]);
        }
        if let Some(width) = table.width() {
            for (column, needed) in DISPENSABLE {
                if width < needed
                    && let Some(column) = table.column_mut(column)
                {
                    column.set_constraint(ColumnConstraint::Hidden);
                }
            }
        }
        table
    }

    fn by_control(&self, colour: bool) -> Table {
        let mut controls: BTreeMap<(String, String), VerdictCounts> = BTreeMap::new();
        for status in self
            .assignments
            .iter()
            .filter_map(|assignment| assignment.status.as_ref())
        {
            for control in &status.controls {
                let sum = controls
                    .entry((control.framework.clone(), control.id.clone()))
                    .or_default();
                sum.pass += control.verdicts.pass;
                sum.fail += control.verdicts.fail;
                sum.unknown += control.verdicts.unknown;
            }
        }
        let total = controls.len();
        let mut controls: Vec<_> = controls.into_iter().collect();
        controls.sort_by_key(|(_, counts)| std::cmp::Reverse((counts.fail, counts.unknown, counts.pass)));
        let shown = controls.len().min(CONTROLS);
        let title = format!("CONTROL ({shown} of {total})");
        let mut table = table(&[&title, "FRAMEWORK", "PASS", "FAIL", "UNKNOWN"]);
        for ((framework, id), counts) in controls.into_iter().take(CONTROLS) {
            table.add_row(vec![
                Cell::new(id),
                Cell::new(framework),
                number(counts.pass, (colour && counts.pass > 0).then_some(Color::Green)),
                number(counts.fail, (colour && counts.fail > 0).then_some(Color::Red)),
                number(
                    counts.unknown,
                    (colour && counts.unknown > 0).then_some(Color::Yellow),
                ),
            ]);
        }
        table
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header.to_vec());
    table
}

fn number(value: i64, colour: Option<Color>) -> Cell {
    let cell = Cell::new(value).set_alignment(CellAlignment::Right);
    match colour {
        Some(colour) => cell.fg(colour),
        None => cell,
    }
}
