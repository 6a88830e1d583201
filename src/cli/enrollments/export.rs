//! `provost enrollments export [FILE]`.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::app::moving::ExportOrder;
use crate::cli::door::Door;
use crate::cli::place::Place;
use crate::cli::print;
use crate::files::{Draft, PRIVATE};

#[derive(Debug, clap::Args)]
pub(super) struct ExportArgs {
    /// The file to write (mode 0600), or `-` for standard output.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// Export push tokens, push magics, unlock tokens and bootstrap tokens too, IN CLEAR. Whoever reads them can wake the devices, clear their
    /// passcodes and authorise what needs an administrator. Write to a file rather than to standard output, and remove it once it is imported.
    #[arg(long)]
    with_tokens: bool,
}

pub(super) async fn run(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let data_dir = &args.place.data_dir;
    let mut door = Door::open_existing(data_dir).await?;
    let mut output = Output::open(&args.file)?;
    let mut order = ExportOrder {
        after: None,
        with_tokens: args.with_tokens,
    };
    let mut lines = 0;
    loop {
        let page = door.export(&order).await?;
        lines += page.lines.reveal().lines().count();
        output
            .write(page.lines.reveal())
            .with_context(|| format!("{} cannot be written", args.file.display()))?;
        let Some(next) = page.next else { break };
        order.after = Some(next);
    }
    output
        .finish()
        .with_context(|| format!("{} cannot be written", args.file.display()))?;
    let tokens = if args.with_tokens {
        "with their tokens: keep them safe"
    } else {
        "without tokens"
    };
    print::note(&format!("exported {lines} enrolments, {tokens}"));
    Ok(ExitCode::SUCCESS)
}

/// Where an export goes. A file appears whole or not at all.
enum Output {
    Standard,
    /// What is there already and is no file, such as a pipe.
    Other(File),
    File(Draft),
}

impl Output {
    fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Standard);
        }
        let is_other = path.metadata().is_ok_and(|found| !found.is_file());
        let opened = if is_other {
            OpenOptions::new().write(true).open(path).map(Self::Other)
        } else {
            Draft::begin(path, PRIVATE).map(Self::File)
        };
        opened.with_context(|| format!("{} cannot be written", path.display()))
    }

    fn write(&mut self, text: &str) -> anyhow::Result<()> {
        match self {
            Self::Standard => print::out(text)?,
            Self::Other(file) => file.write_all(text.as_bytes())?,
            Self::File(draft) => draft.write_all(text.as_bytes())?,
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        if let Self::File(draft) = self {
            draft.finish()?;
        }
        Ok(())
    }
}
