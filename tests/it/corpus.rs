//! The fuzz targets, over the inputs that are kept for them: what once broke something, and a few of each kind to start from.

use std::path::Path;

#[path = "../../fuzz/drivers.rs"]
mod drivers;

#[test]
fn no_input_that_is_kept_breaks_its_target() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in drivers::TARGETS {
        let files: Vec<_> = std::fs::read_dir(corpus.join(name)).unwrap().collect();
        assert!(!files.is_empty(), "nothing is kept for {name}");
        for file in files {
            let path = file.unwrap().path();
            println!("{}", path.display());
            target(&std::fs::read(path).unwrap());
        }
    }
}

#[test]
fn every_target_is_built_run_and_has_small_seeds() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |folder: &str| {
        let entries = std::fs::read_dir(fuzz.join(folder)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        names.sort();
        names
    };
    let run: Vec<_> = drivers::TARGETS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(names("fuzz_targets"), run);
    assert_eq!(names("corpus"), run);
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in &run {
        assert!(
            manifest.contains(&format!("\nname = \"{name}\"\n")),
            "{name} is not built"
        );
        for seed in std::fs::read_dir(fuzz.join("corpus").join(name)).unwrap() {
            let seed = seed.unwrap();
            assert!(
                seed.metadata().unwrap().len() <= 8 * 1024,
                "{} is large",
                seed.path().display()
            );
        }
    }
}
