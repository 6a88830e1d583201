//! Words on standard output and standard error. Whoever reads them may have had enough before the end, as `head` has: that is no failure, and
//! never the end of a server.

use std::io::{self, ErrorKind, Write as _};

use anyhow::Context as _;

/// Prints on standard output.
///
/// # Errors
/// When it cannot be written, such as to a full disk. A reader that has gone is no error.
pub(super) fn out(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}

/// Prints a line on standard error. Where nobody reads it, nobody is left to tell.
pub(super) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
