//! `provost reference`: the command line's own documentation, as committed in `docs/cli.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};

use super::print;

/// Options of `provost reference`.
#[derive(Debug, clap::Args)]
pub(super) struct ReferenceArgs {
    /// Write it into this file, instead of to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &ReferenceArgs) -> anyhow::Result<ExitCode> {
    let text = markdown();
    match &args.out {
        None => print::out(&text)?,
        Some(path) => {
            fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The help of every command, as people see it on a narrow terminal.
fn markdown() -> String {
    let mut text = String::from(
        "# The command line\n\nMade by `make cli-reference` from what `--help` prints; do not edit.\n",
    );
    let mut root = super::Cli::command().term_width(100);
    root.build();
    describe(&mut root, &mut text);
    let mut plugin = super::plugin::PluginCli::command().term_width(100);
    plugin.build();
    describe(&mut plugin, &mut text);
    text
}

fn describe(command: &mut Command, text: &mut String) {
    let name = command
        .get_bin_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        "\n## `{name}`\n\n```text\n{}\n```\n",
        lines.join("\n").trim_end()
    );
    for child in command
        .get_subcommands_mut()
        .filter(|child| !child.is_hide_set() && child.get_name() != "help")
    {
        describe(child, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_reference_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
        let committed = fs::read_to_string(path).unwrap_or_default();
        assert_eq!(
            committed,
            markdown(),
            "docs/cli.md is stale: run `make cli-reference`"
        );
    }
}
