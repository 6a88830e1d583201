//! Log lines on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Why logging cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is none.
    #[error(
        "the log filter `{filter}` cannot be read; write one such as `info` or `provost::mdm=debug,warn`"
    )]
    ReadFilter {
        /// As it was written.
        filter: String,
        /// What is wrong with it.
        source: ParseError,
    },
    /// Logging was started before.
    #[error("logging cannot be started")]
    Start(#[from] TryInitError),
}

/// Parts of the client of the Kubernetes API that tell of each call that fails. So do those who call, who also know what for.
const TOLD_BY_OTHERS: &str = "kube_client::client::builder=off,kube_runtime::watcher=off";

/// Starts logging to standard error. `filter` is a list of `target=level` as `tracing` reads it, such as `info` or
/// `provost::mdm=debug,warn`.
///
/// # Errors
/// When the filter cannot be read, or logging was started before.
pub fn start(format: LogFormat, filter: &str) -> Result<(), Error> {
    let filter = read(filter)?;
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Human => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_target(false)
                    // Where nobody reads the log any more, nobody is left to tell.
                    .log_internal_errors(false),
            )
            .try_init()?,
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_writer(std::io::stderr)
                    .log_internal_errors(false),
            )
            .try_init()?,
    }
    Ok(())
}

/// Reads a filter. What it does not say about the client is said here.
fn read(filter: &str) -> Result<EnvFilter, Error> {
    let text = if filter.contains("kube_") {
        filter.to_owned()
    } else {
        format!("{filter},{TOLD_BY_OTHERS}")
    };
    EnvFilter::builder()
        .parse(text)
        .map_err(|source| Error::ReadFilter {
            filter: filter.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_named_instead_of_silencing_the_log() {
        let error = read("provost=loud").unwrap_err();
        assert!(error.to_string().contains("`provost=loud`"), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }

    #[test]
    fn failed_calls_are_told_once_unless_the_client_is_asked_for() {
        for (filter, expected) in [
            (
                "info",
                "kube_client::client::builder=off,kube_runtime::watcher=off,info",
            ),
            ("", "kube_client::client::builder=off,kube_runtime::watcher=off"),
            ("warn,kube_client=debug", "kube_client=debug,warn"),
        ] {
            assert_eq!(read(filter).unwrap().to_string(), expected);
        }
    }
}
