//! The tables of controls, one file a framework.

mod cis_v8;
mod hipaa;
mod nist_800_124;
mod nist_800_171;
mod nist_800_53;
mod soc2;

use super::Framework;

pub(super) use nist_800_171::SOURCES as SOURCES_OF_800_171;

/// All frameworks, in the order of their ids.
pub(super) fn all() -> Vec<Framework> {
    vec![
        nist_800_124::framework(),
        nist_800_171::framework(),
        nist_800_53::framework(),
        cis_v8::framework(),
        hipaa::framework(),
        soc2::framework(),
    ]
}

/// What a table gives beside its controls.
#[derive(Clone, Copy)]
struct About {
    id: &'static str,
    title: &'static str,
    version: &'static str,
    source: &'static str,
    note: &'static str,
}

fn with(about: About, controls: Vec<(String, &'static str)>) -> Framework {
    Framework {
        id: about.id,
        title: about.title,
        version: about.version,
        source: about.source,
        note: about.note,
        titles: controls.iter().cloned().collect(),
        controls,
    }
}

fn listed(controls: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    controls
        .iter()
        .map(|(id, title)| ((*id).to_owned(), *title))
        .collect()
}
