//! What libgit2 holds once for the whole process, set before its first use.

use std::ffi::c_int;
use std::sync::OnceLock;
use std::time::Duration;

use git2::ConfigLevel;

/// How long a server may take to accept a connection.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server may stay silent. Shorter in unit tests, which wait for it.
pub(super) const SILENCE_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 8 } else { 30 });

/// Sets the time-outs, and keeps the git configuration of the computer and its user out: a rewritten URL, a proxy or
/// a credential helper there would decide what a fleet gets.
pub(in crate::gitops) fn initialise() -> Result<(), git2::Error> {
    static DONE: OnceLock<Result<(), (git2::ErrorCode, git2::ErrorClass, String)>> = OnceLock::new();
    DONE.get_or_init(|| {
        set_options().map_err(|error| (error.code(), error.class(), error.message().to_owned()))
    })
    .clone()
    .map_err(|(code, class, message)| git2::Error::new(code, class, message))
}

#[expect(
    unsafe_code,
    reason = "libgit2 keeps these in unguarded globals; the OnceLock lets one thread set them, and every use of \
              libgit2 in this program comes after it"
)]
fn set_options() -> Result<(), git2::Error> {
    // SAFETY: called once, through `initialise`, which each user of libgit2 waits for first.
    unsafe {
        git2::opts::set_server_connect_timeout_in_milliseconds(milliseconds(CONNECT_TIMEOUT))?;
        git2::opts::set_server_timeout_in_milliseconds(milliseconds(SILENCE_TIMEOUT))?;
        for level in [
            ConfigLevel::System,
            ConfigLevel::Global,
            ConfigLevel::XDG,
            ConfigLevel::ProgramData,
        ] {
            git2::opts::set_search_path(level, "")?;
        }
    }
    Ok(())
}

fn milliseconds(time: Duration) -> c_int {
    c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX)
}
