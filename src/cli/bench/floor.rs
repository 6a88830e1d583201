//! A server that does nothing, as a process of its own: what generator, HTTP and kernel cost by themselves.

use std::process::Stdio;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::simulator::load::{Measured, ProxyLoad, same_requests};

/// The server; it ends with this.
pub(super) struct Floor {
    _process: Child,
    load: ProxyLoad,
}

impl Floor {
    /// Starts it, for half of a load before and half of it after.
    pub(super) async fn start(load: &ProxyLoad) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the program does not find itself")?;
        let mut process = Command::new(program)
            .args(["bench", "nothing"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the server that does nothing cannot be started")?;
        let mut line = String::new();
        let output = process.stdout.take().context("the server has no output")?;
        BufReader::new(output).read_line(&mut line).await?;
        let url = line.trim_end().strip_prefix("ready ");
        let url = url.context("the server that does nothing does not start")?;
        let mut load = ProxyLoad {
            url: url.to_owned(),
            ..load.clone()
        };
        load.load.time /= 2;
        Ok(Self {
            _process: process,
            load,
        })
    }

    pub(super) async fn measure(&self) -> anyhow::Result<Measured> {
        Ok(same_requests(&self.load).await?)
    }
}

/// What `rate` a second is of the best of `floors`.
pub(super) fn ratio(rate: f64, floors: &[Measured]) -> Option<f64> {
    let rates = floors.iter().map(|floor| floor.requests_per_second);
    rates.max_by(f64::total_cmp).map(|best| rate / best)
}
