//! A whole tree of mSCP's, timed: read, put together, made into Baselines and checked, as a GitSource does it.
//!
//! The published tree is taken from `PROVOST_TEST_MSCP` or `~/.cache/provost/mscp`; without it, the small one of the tests. It has 478
//! rules and 51 baselines and is to take less than a second on two cores. Run as a test it does everything once.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use provost::api::BaselineSpec;
use provost::gitops::fetch::{Limits, SourceFile};
use provost::gitops::folder;
use provost::gitops::mscp::{Tree, documents, report};
use provost::policy::check_baseline;
use provost::policy::schema::Schema;

/// How often each thing is timed.
const ROUNDS: usize = 9;

fn main() -> Result<()> {
    let timed = std::env::args().any(|argument| argument == "--bench");
    let rounds = if timed { ROUNDS } else { 1 };
    let folder = folder();
    let files = folder::read(&folder, &Limits::default())?;
    println!("{} files of {}", files.len(), folder.display());
    time("read the tree", rounds, || read(&files).map(drop))?;
    time("read, put together and make Baselines", rounds, || {
        imported(&files).map(drop)
    })?;
    time("the same, and check every Baseline", rounds, || {
        for spec in imported(&files)? {
            anyhow::ensure!(
                check_baseline(&spec, Schema::embedded()).errors.is_empty(),
                "{} is not good",
                spec.title
            );
        }
        Ok(())
    })?;
    time("report", rounds, || {
        let tree = read(&files)?;
        anyhow::ensure!(
            report(&tree, Schema::embedded()).errors.is_empty(),
            "the tree has mistakes"
        );
        Ok(())
    })
}

fn folder() -> PathBuf {
    let named = std::env::var_os("PROVOST_TEST_MSCP").map(PathBuf::from);
    let usual = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/provost/mscp"));
    let published = named.or(usual).map(|folder| folder.join("mscp"));
    published
        .filter(|folder| folder.is_dir())
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mscp/two"))
}

fn read(files: &[SourceFile]) -> Result<Tree> {
    Tree::read(files).map_err(|finding| anyhow::anyhow!("{finding}"))
}

fn imported(files: &[SourceFile]) -> Result<Vec<BaselineSpec>> {
    let tree = read(files)?;
    let (documents, _) =
        documents(&tree, Schema::embedded()).map_err(|notes| anyhow::anyhow!("{} mistakes", notes.len()))?;
    documents
        .into_iter()
        .map(|document| {
            let spec = document.value.get("spec").cloned().unwrap_or_default();
            serde_json::from_value(spec).context("a Baseline")
        })
        .collect()
}

fn time(title: &str, rounds: usize, mut work: impl FnMut() -> Result<()>) -> Result<()> {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..rounds {
        let started = Instant::now();
        work()?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    println!(
        "{title}: {median:?} (best {:?}, {rounds} rounds)",
        times.first().copied().unwrap_or_default()
    );
    Ok(())
}
