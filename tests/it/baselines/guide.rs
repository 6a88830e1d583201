//! The guide's table of shipped baselines is true.

use std::fs;
use std::path::Path;

use provost::api::BaselineSpec;

use super::shipped;

/// A baseline's line in the guide.
fn line(name: &str, spec: &BaselineSpec) -> String {
    let mut platforms: Vec<String> = spec
        .platforms
        .iter()
        .map(|range| {
            let modes: Vec<String> = range.enrollment_modes.iter().map(ToString::to_string).collect();
            let since = range.minimum_version.as_deref().unwrap_or("any");
            format!("{} {since} ({})", range.name, modes.join(", "))
        })
        .collect();
    platforms.dedup();
    let count = |test: &dyn Fn(&provost::api::baseline::BaselineRule) -> bool| {
        spec.rules.iter().filter(|rule| test(rule)).count()
    };
    format!(
        "| `{name}` | {} | {} | {} | {} | {} |",
        platforms.join(", "),
        spec.rules.len(),
        count(&|rule| !rule.enforce.is_empty()),
        count(&|rule| rule.check.is_some()),
        count(&|rule| rule.unproven.is_some()),
    )
}

#[test]
fn the_table_of_shipped_baselines_is_true() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/shipped-baselines.md");
    let guide = fs::read_to_string(guide).unwrap();
    let lines: Vec<String> = shipped().iter().map(|(name, spec)| line(name, spec)).collect();
    let table: Vec<&str> = guide
        .lines()
        .filter(|line| {
            line.starts_with("| `") && shipped().keys().any(|name| line.contains(&format!("`{name}` |")))
        })
        .collect();
    assert_eq!(table, lines, "the table should be:\n{}\n", lines.join("\n"));
}
