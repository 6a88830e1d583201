//! Waiting, in one place: every story waits by looking again, with a deadline, and shows what it saw last when it gives up.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything may take. Far longer than it does, since the tests share the machine with others.
const DEADLINE: Duration = Duration::from_secs(90);
/// How much longer for each device of many.
const EACH: Duration = Duration::from_millis(90);
/// How long to wait before looking again.
const PAUSE: Duration = Duration::from_millis(100);
/// How long nothing must happen before a story believes that nothing does.
const QUIET: Duration = Duration::from_secs(3);

/// Looks until `look` gives a value, and panics with the last state that it gave instead when time is up.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Result<T, String>) -> T {
    eventually_within(DEADLINE, what, look).await
}

/// The same for `count` devices, which take longer the more they are.
pub(crate) async fn eventually_all<T>(
    count: usize,
    what: &str,
    look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let each = EACH * u32::try_from(count).unwrap();
    eventually_within(DEADLINE + each, what, look).await
}

async fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        let began = Instant::now();
        match look().await {
            Ok(value) => return value,
            Err(state) => assert!(
                Instant::now() < deadline,
                "gave up waiting until {what}; last seen:\n{state}"
            ),
        }
        // Looking at thousands of devices is work for the server too: half of its time at most.
        sleep(PAUSE.max(began.elapsed())).await;
    }
}

/// Looks for a while and expects the same value each time.
pub(crate) async fn still<T: PartialEq + std::fmt::Debug>(what: &str, look: impl AsyncFnMut() -> T) -> T {
    still_for(QUIET, what, look).await
}

/// The same for as long as is said.
pub(crate) async fn still_for<T: PartialEq + std::fmt::Debug>(
    quiet: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> T,
) -> T {
    let first = look().await;
    let end = Instant::now() + quiet;
    while Instant::now() < end {
        sleep(PAUSE).await;
        let again = look().await;
        assert_eq!(first, again, "{what}");
    }
    first
}
