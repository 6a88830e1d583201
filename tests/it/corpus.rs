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
