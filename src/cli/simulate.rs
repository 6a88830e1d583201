//! `provost simulate`: a fleet of simulated devices.

use std::process::ExitCode;

use crate::simulator::{SimulateArgs, run as simulate};

/// Runs the fleet until it is told to stop.
pub(super) async fn run(args: SimulateArgs) -> anyhow::Result<ExitCode> {
    simulate(args).await?;
    Ok(ExitCode::SUCCESS)
}
