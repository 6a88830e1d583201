//! A whole tree of mSCP's, timed: read, put together, made into Baselines and judged as a GitSource does it; then each is checked and compiled.
//!
//! The published tree is taken from `PROVOST_TEST_MSCP` or `~/.cache/provost/mscp`; without it, the small one of the tests. It has 478
//! rules and 51 baselines and is to take less than a second on two cores. Run as a test it does everything once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use provost::api::assignment::AssignmentMode;
use provost::api::common::{EnrollmentMode, ParameterValues};
use provost::api::git_source::SourceFormat;
use provost::api::{BaselineSpec, crds};
use provost::compliance::Checks;
use provost::controllers::git_source::revision;
use provost::gitops::fetch::{Limits, SourceFile};
use provost::gitops::folder;
use provost::gitops::mscp::{Tree, documents, report};
use provost::gitops::read::Document;
use provost::gitops::validate::SchemaSet;
use provost::policy::platform::supports_declarations;
use provost::policy::schema::Schema;
use provost::policy::{
    AssignmentInput, BaselineInput, CompileInput, DeviceClass, Lacks, OsVersion, Resolved, check_resolved,
    compile, side_by_side,
};

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
    let schemas = SchemaSet::new(&crds::all())?;
    time("all that a GitSource does", rounds, || {
        objects(&files, &schemas).map(drop)
    })?;
    time("the same, and check and compile every Baseline", rounds, || {
        let objects = objects(&files, &schemas)?;
        let checks = Checks::default();
        let compiled = side_by_side(&objects, |object| check_and_compile(object, &checks));
        compiled.into_iter().collect()
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

/// What a `GitSource` applies.
fn objects(files: &[SourceFile], schemas: &SchemaSet) -> Result<Vec<Document>> {
    let apple = Schema::embedded();
    let read = revision::read(files, SourceFormat::Mscp, "fleet", schemas, apple);
    let documents = read.map_err(|findings| anyhow::anyhow!("{} mistakes", findings.len()))?;
    Ok(documents.objects)
}

/// Checks a Baseline and compiles it for the devices that it begins with.
fn check_and_compile(object: &Document, checks: &Checks) -> Result<()> {
    let spec = object.value.get("spec").cloned().unwrap_or_default();
    let spec: BaselineSpec = serde_json::from_value(spec).context("a Baseline")?;
    let range = spec.platforms.first().context("a Baseline is for a platform")?;
    let os_version = OsVersion::read(range.minimum_version.as_deref().unwrap_or_default());
    let class = DeviceClass {
        platform: range.name,
        os_version,
        mode: EnrollmentMode::Supervised,
        declarative: supports_declarations(range.name, os_version),
        lacks: Lacks::default(),
    };
    let baseline = Resolved::alone(Arc::new(spec));
    let found = check_resolved(&baseline, Schema::embedded());
    anyhow::ensure!(found.errors.is_empty(), "{} is not good", object.name);
    let assignment = AssignmentInput {
        name: "all".into(),
        revision: None,
        mode: AssignmentMode::Enforce,
        precedence: 0,
        baselines: vec![BaselineInput {
            name: object.name.as_str().into(),
            baseline,
            parameters: ParameterValues::default(),
            excluded: Vec::new(),
            revision: None,
        }],
        profiles: Vec::new(),
    };
    let plan = compile(&CompileInput {
        namespace: "fleet",
        class,
        assignments: &[assignment],
        public_url: "https://mdm.example.com",
        checks,
    });
    anyhow::ensure!(!plan.demands.is_empty(), "{} demands nothing", object.name);
    anyhow::ensure!(plan.conflicts.is_empty(), "{} contradicts itself", object.name);
    Ok(())
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
