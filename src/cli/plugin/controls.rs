//! `kubectl provost controls`: how the controls of frameworks stand, over all devices of assignments.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use kube::ResourceExt as _;
use kube::api::ListParams;
use serde::Serialize;

use super::arguments::{ConnectionArgs, Output};
use super::output;
use super::page::{Style, Tone};
use super::session::Session;
use super::table::{self, Cell};
use super::words::some_of;
use crate::api::Assignment;
use crate::api::baseline::ControlRef;
use crate::api::common::{Verdict, VerdictCounts};
use crate::cli::print;
use crate::compliance::frameworks::{CAVEAT, framework, related};
use crate::compliance::{badness, count, present, roll_up, sum};

/// How many controls a table names as the origin of one.
const ORIGINS: usize = 4;

/// Options of `kubectl provost controls`.
#[derive(Debug, clap::Args)]
pub(super) struct ControlsArgs {
    /// The assignments; all of the fleet if none is named.
    assignments: Vec<String>,
    /// Only controls of this framework, such as `800-53r5` or `soc2`; may be repeated.
    #[arg(long, value_name = "FRAMEWORK")]
    framework: Vec<String>,
    /// Also controls of frameworks that no rule names, by what rules name of 800-53 and 800-171: a judgement to confirm with your auditor.
    #[arg(long)]
    crosswalk: bool,
}

/// How controls stand.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    caveat: &'static str,
    /// Controls that the statuses of the assignments leave out, for their number.
    left_out: i64,
    frameworks: Vec<FrameworkRow>,
    controls: Vec<ControlRow>,
}

/// A framework, with how many of its controls stand where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct FrameworkRow {
    framework: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    controls: VerdictCounts,
}

/// One control.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ControlRow {
    framework: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'static str>,
    /// The worst of its rules on the worst device.
    stands: Verdict,
    /// Devices by how it stands on them, once for each assignment; none where the control is related only.
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<VerdictCounts>,
    /// The controls that it is related to, where no rule names it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    via: BTreeSet<String>,
}

pub(super) async fn run(
    args: &ControlsArgs,
    connection: &ConnectionArgs,
    output: Option<Output>,
) -> anyhow::Result<ExitCode> {
    let session = Session::open(connection).await?;
    let assignments: Vec<Assignment> = session.list(&ListParams::default(), Some).await?;
    for name in &args.assignments {
        if !assignments
            .iter()
            .any(|assignment| assignment.name_any() == *name)
        {
            anyhow::bail!("there is no assignment {name}");
        }
    }
    let report = report(&assignments, args);
    if output == Some(Output::Name) {
        let names = report
            .controls
            .iter()
            .map(|row| format!("{} {}\n", row.framework, row.id));
        print::out(&names.collect::<String>())?;
    } else if let Some(text) = output::document(&report, output)? {
        print::out(&text)?;
    } else if report.controls.is_empty() {
        print::note("no rule of these assignments names a control");
    } else {
        print::out(&render(&report, output == Some(Output::Wide), Style::of_stdout()))?;
        print::note(CAVEAT);
    }
    if report.left_out > 0 {
        print::note(&format!(
            "note: the statuses leave out {} controls that stand better",
            report.left_out
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// How the controls stand on the devices of these assignments.
pub(super) fn report(assignments: &[Assignment], args: &ControlsArgs) -> Report {
    let wanted = |assignment: &&Assignment| {
        args.assignments.is_empty() || args.assignments.contains(&assignment.name_any())
    };
    let statuses = assignments
        .iter()
        .filter(wanted)
        .filter_map(|found| found.status.as_ref());
    let mut named: BTreeMap<ControlRef, VerdictCounts> = BTreeMap::new();
    let mut left_out = 0;
    for status in statuses {
        left_out += status.controls_total - i64::try_from(status.controls.len()).unwrap_or(i64::MAX);
        for control in &status.controls {
            let key = ControlRef {
                framework: control.framework.clone(),
                id: control.id.clone(),
            };
            let known = named.entry(key).or_default();
            *known = sum(*known, control.devices);
        }
    }
    let mut rows: Vec<ControlRow> = named
        .iter()
        .map(|(control, devices)| ControlRow {
            stands: roll_up(present(*devices)),
            devices: Some(*devices),
            ..row(&control.framework, &control.id)
        })
        .collect();
    if args.crosswalk {
        let by_crosswalk = related_to(&rows, &named);
        rows.extend(by_crosswalk);
    }
    rows.retain(|row| args.framework.is_empty() || args.framework.contains(&row.framework));
    rows.sort_by(|a, b| {
        let key = |row: &ControlRow| {
            (
                Reverse(badness(row.stands)),
                Reverse(row.devices.map(|devices| devices.fail)),
            )
        };
        a.framework.cmp(&b.framework).then_with(|| key(a).cmp(&key(b)))
    });
    let mut frameworks: BTreeMap<&str, VerdictCounts> = BTreeMap::new();
    for row in &rows {
        let known = frameworks.entry(&row.framework).or_default();
        *known = sum(*known, count([row.stands]));
    }
    let frameworks = frameworks.into_iter().map(|(id, controls)| FrameworkRow {
        framework: id.to_owned(),
        title: framework(id).map(|known| known.title),
        version: framework(id).map(|known| known.version),
        controls,
    });
    Report {
        caveat: CAVEAT,
        left_out,
        frameworks: frameworks.collect(),
        controls: rows,
    }
}

fn row(framework_id: &str, id: &str) -> ControlRow {
    ControlRow {
        framework: framework_id.to_owned(),
        id: id.to_owned(),
        title: framework(framework_id).and_then(|known| known.title_of(id)),
        stands: Verdict::NotApplicable,
        devices: None,
        via: BTreeSet::new(),
    }
}

/// What the crosswalk makes of controls that rules name: others, each as the worst that it has to do with. What rules name themselves stays as they say.
fn related_to(rows: &[ControlRow], named: &BTreeMap<ControlRef, VerdictCounts>) -> Vec<ControlRow> {
    let mut found: BTreeMap<ControlRef, ControlRow> = BTreeMap::new();
    for known in rows {
        let control = ControlRef {
            framework: known.framework.clone(),
            id: known.id.clone(),
        };
        for (framework, ids) in related(&control) {
            for id in ids {
                let key = ControlRef {
                    framework: framework.to_owned(),
                    id: id.to_owned(),
                };
                if !named.contains_key(&key) {
                    let entry = found.entry(key).or_insert_with(|| row(framework, id));
                    entry.stands = roll_up([entry.stands, known.stands]);
                    entry.via.insert(format!("{} {}", known.framework, known.id));
                }
            }
        }
    }
    found.into_values().collect()
}

pub(super) fn render(report: &Report, wide: bool, style: Style) -> String {
    let mut header = vec![
        "FRAMEWORK",
        "CONTROL",
        "STANDS",
        "PASS",
        "FAIL",
        "WAIVED",
        "UNKNOWN",
        "VIA",
    ];
    if wide {
        header.push("TITLE");
    }
    let rows: Vec<Vec<Cell>> = report.controls.iter().map(|row| cells(row, wide)).collect();
    table::render(&header, &rows, style)
}

fn cells(row: &ControlRow, wide: bool) -> Vec<Cell> {
    let tone = match row.stands {
        Verdict::Pass => Tone::Good,
        Verdict::Fail => Tone::Bad,
        Verdict::NotApplicable => Tone::Quiet,
        Verdict::Unknown | Verdict::Waived => Tone::Unsure,
    };
    let count = |of: fn(VerdictCounts) -> i64| {
        Cell::new(
            row.devices
                .map(|devices| of(devices).to_string())
                .unwrap_or_default(),
        )
    };
    let mut cells = vec![
        Cell::new(&row.framework),
        Cell::new(&row.id),
        Cell::toned(row.stands.to_string(), tone),
        count(|devices| devices.pass),
        count(|devices| devices.fail),
        count(|devices| devices.waived),
        count(|devices| devices.unknown),
        Cell::new(some_of(row.via.iter().map(String::as_str), ORIGINS)),
    ];
    if wide {
        cells.push(Cell::new(row.title.unwrap_or_default()));
    }
    cells
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::{Value, json};

    use super::*;

    fn assignment(name: &str, controls: &Value, total: i64) -> Assignment {
        let object = json!({ "apiVersion": "provost.dev/v1alpha1", "kind": "Assignment", "metadata": { "name": name, "namespace": "fleet" },
            "spec": { "groups": [{ "name": "g" }], "baselines": [{ "name": "b" }] },
            "status": { "controls": controls, "controlsTotal": total } });
        serde_json::from_value(object).unwrap()
    }

    fn fleet() -> [Assignment; 2] {
        let macs = json!([
            { "framework": "800-53r5", "id": "AC-11", "devices": { "pass": 3, "fail": 1 } },
            { "framework": "800-53r5", "id": "SC-28", "devices": { "pass": 4 } },
            { "framework": "soc2", "id": "CC6.1", "devices": { "pass": 4 } },
            { "framework": "ours", "id": "1", "devices": { "notApplicable": 4 } },
        ]);
        let phones = json!([
            { "framework": "800-53r5", "id": "SC-28", "devices": { "unknown": 2 } },
        ]);
        [assignment("macs", &macs, 6), assignment("phones", &phones, 1)]
    }

    fn args(assignments: &[&str], framework: &[&str], crosswalk: bool) -> ControlsArgs {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ControlsArgs {
            assignments: owned(assignments),
            framework: owned(framework),
            crosswalk,
        }
    }

    const PLAIN: Style = Style {
        colour: false,
        width: 100,
    };

    #[test]
    fn a_control_stands_as_its_worst_assignment_does() {
        let told = report(&fleet(), &args(&[], &[], false));
        assert_snapshot!(render(&told, true, PLAIN), @r"
        FRAMEWORK   CONTROL   STANDS          PASS   FAIL   WAIVED   UNKNOWN   VIA   TITLE
        800-53r5    AC-11     Fail            3      1      0        0         -     Access Control
        800-53r5    SC-28     Unknown         4      0      0        2         -     System and Communications Protection
        ours        1         NotApplicable   0      0      0        0         -     -
        soc2        CC6.1     Pass            4      0      0        0         -     Logical access
        ");
        assert_eq!(told.left_out, 2);
        assert_eq!(
            told.frameworks[0].controls,
            VerdictCounts {
                fail: 1,
                unknown: 1,
                ..VerdictCounts::default()
            }
        );
        let phones = report(&fleet(), &args(&["phones"], &[], false));
        assert_eq!(phones.controls.len(), 1);
    }

    #[test]
    fn the_crosswalk_adds_what_no_rule_names_and_says_by_what() {
        let told = report(&fleet(), &args(&[], &["hipaa", "soc2"], true));
        assert_snapshot!(render(&told, false, PLAIN), @r"
        FRAMEWORK   CONTROL                STANDS    PASS   FAIL   WAIVED   UNKNOWN   VIA
        hipaa       164.312(a)(2)(iii)     Fail      -      -      -        -         800-53r5 AC-11
        hipaa       164.308(a)(7)(ii)(A)   Unknown   -      -      -        -         800-53r5 SC-28
        hipaa       164.312(a)(2)(iv)      Unknown   -      -      -        -         800-53r5 SC-28
        soc2        A1.2                   Unknown   -      -      -        -         800-53r5 SC-28
        soc2        CC6.7                  Unknown   -      -      -        -         800-53r5 SC-28
        soc2        CC6.1                  Pass      4      0      0        0         -
        ");
    }
}
