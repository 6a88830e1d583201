//! Progress on standard error: a bar on a terminal, a line now and then elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::print;

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The progress of one step.
pub(super) struct Progress {
    bar: ProgressBar,
    title: String,
    said: Option<Instant>,
}

impl Progress {
    /// Begins a step of `total` parts.
    pub(super) fn new(title: &str, total: u64) -> Self {
        let bar = ProgressBar::new(total);
        let style = ProgressStyle::with_template("{msg:32} [{bar:40}] {pos}/{len} {elapsed}");
        bar.set_style(
            style
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> "),
        );
        bar.set_message(title.to_owned());
        Self {
            bar,
            title: title.to_owned(),
            said: None,
        }
    }

    /// So many parts are done.
    pub(super) fn set(&mut self, done: u64) {
        self.bar.set_position(done);
        if self.bar.is_hidden() && self.said.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            self.said = Some(Instant::now());
            let total = self.bar.length().unwrap_or_default();
            print::note(&format!("{}: {done} of {total}", self.title));
        }
    }

    /// Ends the step.
    pub(super) fn finish(self, note: &str) {
        let seconds = self.bar.elapsed().as_secs_f64();
        self.bar.finish_and_clear();
        print::note(&format!("{}: {note} ({seconds:.1} s)", self.title));
    }
}
