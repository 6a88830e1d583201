//! The devices of the fleet: all that a Device says which policy goes by, and what of its status tells how it stands.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde::{Deserialize, Deserializer};

use crate::api::Device;
use crate::api::names::{ENROLLMENT_MODE_LABEL, PLATFORM_LABEL};
use crate::cli::plugin::session::Session;
use crate::policy::difference::{KnownDevice, Waivers};
use crate::policy::{Candidate, DeviceClass, Lacks, OsVersion};

/// The most that is read of a file of devices: a Device has at most 8 KiB, and JSON for people a little more.
const MAX_BYTES: u64 = 4 << 30;

/// A device of the fleet.
#[derive(Debug, Clone)]
pub(super) struct FleetDevice {
    pub(super) namespace: String,
    pub(super) class: DeviceClass,
    pub(super) candidate: Candidate,
    pub(super) known: KnownDevice,
}

/// The devices of one namespace.
#[derive(Debug, Clone, Default)]
pub(super) struct Fleet {
    /// Whose it is. None: there are none.
    pub(super) namespace: Option<String>,
    pub(super) devices: Vec<FleetDevice>,
    /// Devices that have not said what they are.
    pub(super) silent: usize,
}

/// What `kubectl get devices -o json` prints; of each device only what is needed is kept.
#[derive(Deserialize)]
struct List {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    items: Vec<Item>,
}

enum Item {
    Device(Box<FleetDevice>),
    Silent(String),
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let device = Device::deserialize(deserializer)?;
        Ok(FleetDevice::of(&device).map_or_else(
            || Self::Silent(device.namespace().unwrap_or_default()),
            |device| Self::Device(Box::new(device)),
        ))
    }
}

impl FleetDevice {
    /// None: it has not said what it is.
    fn of(device: &Device) -> Option<Self> {
        let status = device.status.as_ref()?;
        let (platform, mode) = (status.platform?, status.enrollment_mode?);
        let os_version = status.os_version.clone().unwrap_or_default();
        let mut labels: BTreeMap<String, String> = device.labels().clone();
        for (label, value) in [
            (PLATFORM_LABEL, platform.to_string()),
            (ENROLLMENT_MODE_LABEL, mode.to_string()),
        ] {
            labels.entry(label.to_owned()).or_insert(value);
        }
        let (model, serial) = (status.model.clone(), status.serial_number.clone());
        let failing = status.failing_rules.iter();
        let failing = failing.map(|rule| format!("{}/{}", rule.baseline, rule.rule).into());
        let waived = status.waived_rules.iter();
        let waived = waived.map(|rule| format!("{}/{}", rule.baseline, rule.rule).into());
        let is_whole = |count: i64, named: usize| usize::try_from(count).is_ok_and(|count| count == named);
        Some(Self {
            namespace: device.namespace().unwrap_or_default(),
            class: DeviceClass {
                platform,
                os_version: OsVersion::read(&os_version),
                mode,
                declarative: status.declarative_management,
                lacks: Lacks::default(),
            },
            candidate: Candidate::new(
                platform,
                &os_version,
                mode,
                model.as_deref(),
                serial.as_deref(),
                labels,
            ),
            known: KnownDevice {
                name: device.name_any().into(),
                os_version,
                model,
                serial_number: serial,
                mode: Some(mode),
                failing: failing.collect(),
                waived: waived.collect(),
                shortfalls_are_whole: is_whole(status.verdicts.fail, status.failing_rules.len())
                    && is_whole(status.verdicts.waived, status.waived_rules.len())
                    && status.revision.is_some(),
                has_unknown: status.verdicts.unknown > 0,
                waivers: Waivers::default(),
            },
        })
    }
}

impl Fleet {
    /// Reads a file; `-` is standard input.
    pub(super) fn read(file: &Path, namespace: Option<&str>) -> Result<Self> {
        let list: List = if file.as_os_str() == "-" {
            parse(std::io::stdin().lock())
        } else {
            File::open(file).map_err(anyhow::Error::from).and_then(parse)
        }
        .with_context(|| {
            format!(
                "the fleet {} cannot be read; write it with: kubectl get devices -o json",
                file.display()
            )
        })?;
        if !list.kind.ends_with("List") {
            bail!(
                "the fleet {} is no list of devices; write it with: kubectl get devices -o json",
                file.display()
            );
        }
        Self::of(list.items, namespace)
    }

    /// Asks the API for the devices of the session's namespace.
    pub(super) async fn ask(session: &Session) -> Result<Self> {
        let items = session
            .list(&ListParams::default(), |device: Device| {
                Some(FleetDevice::of(&device).map_or_else(
                    || Item::Silent(device.namespace().unwrap_or_default()),
                    |device| Item::Device(Box::new(device)),
                ))
            })
            .await?;
        Self::of(items, Some(&session.namespace))
    }

    fn of(items: Vec<Item>, wanted: Option<&str>) -> Result<Self> {
        let mut fleet = Self {
            namespace: wanted.map(str::to_owned),
            ..Self::default()
        };
        for item in items {
            let namespace = match &item {
                Item::Device(device) => &device.namespace,
                Item::Silent(namespace) => namespace,
            };
            match &fleet.namespace {
                Some(known) if known != namespace && wanted.is_some() => continue,
                Some(known) if known != namespace => bail!(
                    "the devices are of several namespaces, such as {known} and {namespace}; choose one with --namespace"
                ),
                Some(_) => {}
                None => fleet.namespace = Some(namespace.clone()),
            }
            match item {
                Item::Device(device) => fleet.devices.push(*device),
                Item::Silent(_) => fleet.silent += 1,
            }
        }
        fleet.devices.sort_by(|a, b| a.known.name.cmp(&b.known.name));
        Ok(fleet)
    }

    /// How many devices there are.
    pub(super) fn count(&self) -> usize {
        self.devices.len()
    }
}

fn parse(reader: impl Read) -> Result<List> {
    Ok(serde_json::from_reader(BufReader::new(reader.take(MAX_BYTES)))?)
}
