//! `provost enrollments import FILE`.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use serde::Serialize;

use crate::app::moving::{IMPORT_LIMIT, Outcome};
use crate::cli::door::Door;
use crate::cli::place::Place;
use crate::cli::print;
use crate::cli::progress::Progress;
use crate::enrollment::transfer::{Intake, LINE_LIMIT, Mistake, Mistakes, Numbered, Record};
use crate::ids::{EnrollmentId, Namespace};

/// Records in one transaction: few enough that devices need not wait for long.
const BATCH: usize = 500;
/// Bytes of one transaction's lines, about; one line more has to fit.
const BATCH_BYTES: usize = IMPORT_LIMIT - 2 * LINE_LIMIT;
/// Mistakes that are shown.
const SHOWN: usize = 50;
/// How it ends when lines were skipped.
const SKIPPED: u8 = 3;

#[derive(Debug, clap::Args)]
pub(super) struct ImportArgs {
    /// The file, or `-` for standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    place: Place,
    /// The fleet of enrolments whose line names none. The namespace has to exist.
    #[arg(short, long, value_name = "NS", default_value = "default")]
    namespace: String,
    /// Take over what can be, in spite of lines that cannot.
    #[arg(long)]
    skip_bad_lines: bool,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// How to print the summary: for people, or as one JSON object.
    #[arg(short, long, value_enum, default_value = "human")]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Human,
    Json,
}

/// What came of an import, or would.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    imported: u64,
    updated: u64,
    unchanged: u64,
    /// Who has been in contact with this server, or has ended here.
    left: u64,
    bad_lines: u64,
    seconds: f64,
}

impl Summary {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Imported => self.imported += 1,
            Outcome::Updated => self.updated += 1,
            Outcome::Unchanged => self.unchanged += 1,
            Outcome::Left => self.left += 1,
            Outcome::Refused(_) => {}
        }
    }

    fn for_people(&self, dry_run: bool) -> String {
        let would = if dry_run { "would be " } else { "" };
        let mut text = format!(
            "{would}imported {}, {would}updated {}, unchanged {}",
            self.imported, self.updated, self.unchanged
        );
        if self.left > 0 {
            text.push_str(", left as they are ");
            text.push_str(&self.left.to_string());
            text.push_str(" (in contact with this server since, or ended here)");
        }
        if self.bad_lines > 0 {
            text.push_str(", bad lines ");
            text.push_str(&self.bad_lines.to_string());
        }
        text + "\n"
    }
}

pub(super) async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let fleet = Namespace::parse(&args.namespace).context("--namespace")?;
    let begin = Instant::now();
    let intake = read(&args.file)?;
    let devices = intake.devices();
    let (records, mistakes) = intake.finish();
    let mut import = Import {
        door: Door::open(&args.place.data_dir).await?,
        fleet,
        devices,
        mistakes,
        summary: Summary::default(),
    };
    let records = import.look(records).await?;
    let bad = import.mistakes.count;
    if bad > 0 && !args.skip_bad_lines {
        import.tell_mistakes(&args.file);
        let lines = if bad == 1 { "line is" } else { "lines are" };
        let advice = "mend them, or take the others over with --skip-bad-lines";
        anyhow::bail!("{bad} {lines} bad and nothing was changed; {advice}");
    }
    if !args.dry_run {
        import.carry_out(records).await?;
    }
    import.tell_mistakes(&args.file);
    let mut summary = import.summary;
    summary.bad_lines = import.mistakes.count;
    summary.seconds = begin.elapsed().as_secs_f64();
    let text = match args.output {
        Output::Human => summary.for_people(args.dry_run),
        Output::Json => serde_json::to_string(&summary)? + "\n",
    };
    print::out(&text)?;
    Ok(if summary.bad_lines == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(SKIPPED)
    })
}

fn read(path: &Path) -> anyhow::Result<Intake> {
    let intake = if path == Path::new("-") {
        Intake::read(io::stdin().lock())
    } else {
        File::open(path).and_then(|file| Intake::read(BufReader::new(file)))
    };
    intake.with_context(|| format!("{} cannot be read", path.display()))
}

struct Import {
    door: Door,
    fleet: Namespace,
    /// Those in the file: their users can come though they are not here yet.
    devices: HashSet<EnrollmentId>,
    mistakes: Mistakes,
    /// As it would be until it is.
    summary: Summary,
}

impl Import {
    /// Asks what would become of each record. Gives those that can be taken.
    async fn look(&mut self, records: Vec<Numbered>) -> anyhow::Result<Vec<Numbered>> {
        let mut progress = Progress::new("looking", count(records.len()));
        let (mut good, mut done) = (Vec::with_capacity(records.len()), 0);
        for batch in batches(records) {
            let asked: Vec<Record> = batch.iter().map(|numbered| numbered.record.clone()).collect();
            let outcomes = self.door.import(asked, &self.fleet, true).await?;
            done += count(batch.len());
            for (numbered, outcome) in batch.into_iter().zip(outcomes) {
                let id = &numbered.record.id;
                let comes_with_device = id.is_user() && self.devices.contains(&id.device());
                match outcome {
                    Outcome::Refused(_) if comes_with_device => {
                        self.summary.add(&Outcome::Imported);
                        good.push(numbered);
                    }
                    Outcome::Refused(reason) => self.mistakes.add(numbered.line, Mistake::of_line(reason)),
                    outcome => {
                        self.summary.add(&outcome);
                        good.push(numbered);
                    }
                }
            }
            progress.set(done);
        }
        progress.finish(&format!("{} good", good.len()));
        Ok(good)
    }

    async fn carry_out(&mut self, records: Vec<Numbered>) -> anyhow::Result<()> {
        self.summary = Summary::default();
        let total = count(records.len());
        let (mut progress, mut done) = (Progress::new("importing", total), 0);
        for batch in batches(records) {
            let lines: Vec<u64> = batch.iter().map(|numbered| numbered.line).collect();
            let asked = batch.into_iter().map(|numbered| numbered.record).collect();
            let outcomes = self.door.import(asked, &self.fleet, false).await;
            let outcomes = outcomes.with_context(|| {
                format!(
                    "after {done} of {total}; those are in. Import the file again once that is mended: what is in is passed over"
                )
            })?;
            for (line, outcome) in lines.into_iter().zip(outcomes) {
                self.summary.add(&outcome);
                if let Outcome::Refused(reason) = outcome {
                    // It has changed since it was looked at, or came with a device that was refused.
                    self.mistakes.add(line, Mistake::of_line(reason));
                }
                done += 1;
            }
            progress.set(done);
        }
        progress.finish(&format!("{done} done"));
        Ok(())
    }

    fn tell_mistakes(&mut self, file: &Path) {
        let name = if file == Path::new("-") {
            "standard input".to_owned()
        } else {
            file.display().to_string()
        };
        self.mistakes.kept.sort_by_key(|(line, _)| *line);
        for (line, mistake) in self.mistakes.kept.iter().take(SHOWN) {
            print::note(&format!("{name}:{line}: {mistake}"));
        }
        let more = self.mistakes.count.saturating_sub(count(SHOWN));
        if more > 0 {
            print::note(&format!("{name}: and {more} more"));
        }
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Records by the batch, neither too many nor too large.
fn batches(records: Vec<Numbered>) -> impl Iterator<Item = Vec<Numbered>> {
    let mut records = records.into_iter().peekable();
    std::iter::from_fn(move || {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH
            && bytes < BATCH_BYTES
            && let Some(numbered) = records.next()
        {
            bytes += numbered.record.line().reveal().len();
            batch.push(numbered);
        }
        (!batch.is_empty()).then_some(batch)
    })
}
