//! Acknowledgements: each is answered by the next command.

use std::time::Instant;

use super::LoadError;
use super::measure::{Measured, Tally};
use super::run::{ProxyLoad, Turns, Worker};

/// The key before the UUID of a command.
const UUID: &[u8] = b"<key>CommandUUID</key>";
/// What is acknowledged where nothing is offered.
const ANY_UUID: &str = "00000000-0000-4000-8000-000000000000";

/// Has each device poll once, and then acknowledge one command after the other until there are none. One unit is an acknowledgement that is
/// answered by the next command. It ends early when all devices have been through.
///
/// # Errors
/// When the address cannot be used.
pub async fn acknowledge(load: &ProxyLoad) -> Result<Measured, LoadError> {
    let turns = Turns::once(load.fleet.clone());
    load.run("acknowledgements answered by a command", turns, work_off)
        .await
}

async fn work_off(mut worker: Worker) -> Tally {
    while let Some(device) = worker.next() {
        if !worker.report(&device, None).await {
            continue;
        }
        let mut offered = uuid(worker.body()).map(str::to_owned);
        while let Some(command) = offered
            && worker.goes_on()
        {
            let started = Instant::now();
            if !worker.report(&device, Some(&command)).await {
                break;
            }
            let time = started.elapsed();
            offered = uuid(worker.body()).map(str::to_owned);
            if offered.is_some() {
                worker.tally.done(time);
            }
        }
    }
    worker.tally
}

/// Sends the same requests without looking at the answers: how fast this very generator is on a server that does nothing.
///
/// # Errors
/// When the address cannot be used.
pub async fn same_requests(load: &ProxyLoad) -> Result<Measured, LoadError> {
    let turns = Turns::round(load.fleet.clone());
    load.run(
        "the same requests, answered by nothing",
        turns,
        async |mut worker| {
            while let Some(device) = worker.next() {
                let started = Instant::now();
                if worker.report(&device, Some(ANY_UUID)).await {
                    worker.tally.done(started.elapsed());
                }
            }
            worker.tally
        },
    )
    .await
}

/// The UUID of a command.
fn uuid(command: &[u8]) -> Option<&str> {
    let at = command.windows(UUID.len()).position(|window| window == UUID)?;
    let rest = command.get(at + UUID.len()..)?.trim_ascii_start();
    let rest = std::str::from_utf8(rest.get(..rest.len().min(256))?).ok()?;
    rest.strip_prefix("<string>")?.split('<').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uuid_of_a_command_is_found() {
        let command = b"<dict><key>Command</key><dict/><key>CommandUUID</key>\n\t<string>A-1</string></dict>";
        assert_eq!(uuid(command), Some("A-1"));
        assert_eq!(uuid(b""), None);
    }
}
