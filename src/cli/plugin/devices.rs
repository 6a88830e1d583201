//! `kubectl provost devices`: the fleet, worst first.

use std::cmp::Reverse;
use std::process::ExitCode;

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::ListParams;

use super::arguments::{ConnectionArgs, Output};
use super::output;
use super::page::{Style, Tone};
use super::session::Session;
use super::table::{self, Cell};
use super::words::{self, short_revision};
use crate::api::Device;
use crate::api::common::VerdictCounts;
use crate::cli::print;
use crate::kubeapi::table::human_duration;
use crate::policy::platform::OsVersion;

/// Options of `kubectl provost devices`.
#[derive(Debug, clap::Args)]
pub(super) struct DevicesArgs {
    /// Only devices with these labels, as kubectl takes them: `team=design,provost.dev/platform in (macOS)`.
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Only devices on which a rule fails.
    #[arg(long)]
    failing: bool,
    /// What comes first.
    #[arg(long, value_enum, default_value = "worst")]
    sort: Sort,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    /// Most failing rules, then not synced, then most unknown.
    Worst,
    /// By name.
    Name,
    /// By platform and version, oldest first.
    Os,
    /// Changed last.
    Changed,
}

/// What is shown and sorted of a device: all that is kept of it.
#[derive(Debug, Clone)]
struct Row {
    namespace: String,
    name: String,
    platform: String,
    os: String,
    serial: String,
    model: String,
    enrolled: String,
    synced: String,
    compliant: String,
    verdicts: VerdictCounts,
    changed: Option<Timestamp>,
    revision: String,
}

pub(super) async fn run(
    args: DevicesArgs,
    connection: &ConnectionArgs,
    output: Option<Output>,
) -> anyhow::Result<ExitCode> {
    let session = Session::open(connection).await?;
    let mut parameters = ListParams::default();
    if let Some(selector) = &args.selector {
        parameters = parameters.labels(selector);
    }
    let wanted = |device: &Device| !args.failing || failing(device) > 0;
    if matches!(output, Some(Output::Json | Output::Yaml | Output::Name)) {
        let mut devices = session
            .list(&parameters, |device: Device| wanted(&device).then_some(device))
            .await?;
        devices.sort_by_cached_key(|device| key(args.sort, &Row::of(device)));
        print::out(&output::objects(devices, false, output)?.unwrap_or_default())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = session
        .list(&parameters, |device: Device| {
            wanted(&device).then(|| Row::of(&device))
        })
        .await?;
    if rows.is_empty() {
        let which = if args.failing {
            "device with a failing rule"
        } else {
            "device"
        };
        print::note(&session.nothing(which));
        return Ok(ExitCode::SUCCESS);
    }
    rows.sort_by_cached_key(|row| key(args.sort, row));
    let look = Look {
        namespaces: session.everywhere,
        wide: output == Some(Output::Wide),
        style: Style::of_stdout(),
        now: session.now(),
    };
    print::out(&render(&rows, look))?;
    Ok(ExitCode::SUCCESS)
}

/// How many rules fail on a device.
fn failing(device: &Device) -> i64 {
    device.status.as_ref().map_or(0, |status| status.verdicts.fail)
}

impl Row {
    fn of(device: &Device) -> Self {
        let status = device.status.clone().unwrap_or_default();
        let condition = |type_| words::status(&status.conditions, type_).to_owned();
        Self {
            namespace: device.namespace().unwrap_or_default(),
            name: device.name_any(),
            platform: status
                .platform
                .map(|platform| platform.to_string())
                .unwrap_or_default(),
            os: status.os_version.unwrap_or_default(),
            serial: status.serial_number.unwrap_or_default(),
            model: status.model.unwrap_or_default(),
            enrolled: condition("Enrolled"),
            synced: condition("Synced"),
            compliant: condition("Compliant"),
            verdicts: status.verdicts,
            changed: status.history.first().map(|record| record.time.0),
            revision: status.revision.unwrap_or_default(),
        }
    }

    fn cells(&self, look: Look) -> Vec<Cell> {
        let failing = if self.verdicts.fail > 0 {
            Tone::Bad
        } else {
            Tone::Plain
        };
        let changed = self
            .changed
            .map(|time| human_duration(time, look.now))
            .unwrap_or_default();
        let mut cells = Vec::new();
        if look.namespaces {
            cells.push(Cell::new(&self.namespace));
        }
        cells.extend([
            Cell::new(&self.name),
            Cell::new(&self.platform),
            Cell::new(&self.os),
            Cell::new(&self.serial),
            Cell::status(&self.synced),
            Cell::status(&self.compliant),
            Cell::toned(self.verdicts.fail.to_string(), failing),
            Cell::new(changed),
        ]);
        if look.wide {
            cells.extend([
                Cell::new(self.verdicts.pass.to_string()),
                Cell::new(self.verdicts.unknown.to_string()),
                Cell::status(&self.enrolled),
                Cell::new(&self.model),
                Cell::new(short_revision(&self.revision)),
            ]);
        }
        cells
    }
}

/// A key that puts what comes first first. Names, which are unique in a fleet, decide between equals.
fn key(sort: Sort, row: &Row) -> impl Ord + use<> {
    let not = |status: &str| Reverse(status != "True");
    let (numbers, text) = match sort {
        Sort::Worst => (
            (
                Reverse(row.verdicts.fail),
                not(&row.synced),
                Reverse(row.verdicts.unknown),
            ),
            String::new(),
        ),
        Sort::Name => ((Reverse(0), Reverse(true), Reverse(0)), String::new()),
        Sort::Os => {
            let OsVersion(numbers) = OsVersion::read(&row.os);
            let [major, minor, patch, _] = numbers.map(i64::from);
            let oldest = -(major.saturating_mul(1 << 40) + minor.saturating_mul(1 << 20) + patch);
            ((Reverse(0), Reverse(true), Reverse(oldest)), row.platform.clone())
        }
        Sort::Changed => {
            let changed = row.changed.map_or(i64::MIN, Timestamp::as_second);
            ((Reverse(changed), Reverse(true), Reverse(0)), String::new())
        }
    };
    (text, numbers, row.namespace.clone(), row.name.clone())
}

/// How the table looks.
#[derive(Debug, Clone, Copy)]
struct Look {
    namespaces: bool,
    wide: bool,
    style: Style,
    now: Timestamp,
}

fn render(rows: &[Row], look: Look) -> String {
    let mut header = Vec::new();
    if look.namespaces {
        header.push("NAMESPACE");
    }
    header.extend([
        "NAME",
        "PLATFORM",
        "OS",
        "SERIAL",
        "SYNCED",
        "COMPLIANT",
        "FAILING",
        "LAST CHANGE",
    ]);
    if look.wide {
        header.extend(["PASS", "UNKNOWN", "ENROLLED", "MODEL", "REVISION"]);
    }
    let cells: Vec<Vec<Cell>> = rows.iter().map(|row| row.cells(look)).collect();
    table::render(&header, &cells, look.style)
}

#[cfg(test)]
pub(super) fn rendered(devices: &[Device], wide: bool, style: Style, now: Timestamp) -> String {
    let mut rows: Vec<Row> = devices.iter().map(Row::of).collect();
    rows.sort_by_cached_key(|row| key(Sort::Worst, row));
    let look = Look {
        namespaces: wide,
        wide,
        style,
        now,
    };
    render(&rows, look)
}
