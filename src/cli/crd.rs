//! `provost crd`: the custom resource definitions.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::print;
use crate::api::crds;

/// Options of `provost crd`.
#[derive(Debug, clap::Args)]
pub(super) struct CrdArgs {
    /// Write one file a kind into this folder, instead of all to standard output.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &CrdArgs) -> anyhow::Result<ExitCode> {
    for crd in crds::all() {
        let text = crds::yaml(&crd)?;
        match &args.out {
            None => print::out(&format!("---\n{text}"))?,
            Some(folder) => {
                let path = folder.join(crds::file_name(&crd));
                fs::create_dir_all(folder)
                    .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
                fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
