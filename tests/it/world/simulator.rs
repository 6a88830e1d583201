//! `provost simulate`, as a process that takes orders and tells what happens.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin};

use super::eventually::eventually;
use super::server::command;

/// A running fleet.
pub(crate) struct Simulator {
    orders: ChildStdin,
    events: Arc<Mutex<Vec<Value>>>,
    /// Where the devices' push service listens.
    pub(crate) apns_url: String,
    /// The certificate to trust there.
    pub(crate) apns_ca: String,
    /// Ends when dropped.
    _child: Child,
}

impl Simulator {
    /// Starts it. Devices come later; `ca` may, too.
    pub(crate) async fn start(ca: &Path, seed: u64, classic_percent: u8, more: &[&str]) -> Self {
        let mut command = command();
        command.args(["simulate", "--control", "stdin", "--seed", &seed.to_string()]);
        command
            .args(["--classic-percent", &classic_percent.to_string(), "--ca"])
            .arg(ca)
            .args(more);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = events.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                heard.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self {
            orders: child.stdin.take().unwrap(),
            events,
            apns_url: ready["apnsUrl"].as_str().unwrap().to_owned(),
            apns_ca: ready["apnsCa"].as_str().unwrap().to_owned(),
            _child: child,
        }
    }

    /// Gives an order.
    pub(crate) async fn order(&mut self, order: &Value) {
        self.orders
            .write_all(format!("{order}\n").as_bytes())
            .await
            .unwrap();
        self.orders.flush().await.unwrap();
    }

    /// Everything of a sort that has happened.
    pub(crate) fn events(&self, sort: &str) -> Vec<Value> {
        let events = self.events.lock().unwrap();
        events
            .iter()
            .filter(|event| event["event"] == sort)
            .cloned()
            .collect()
    }

    /// The newest value of one of the fleet's numbers; 0 before the first.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.events("progress")
            .last()
            .and_then(|progress| progress[name].as_u64())
            .unwrap_or_default()
    }

    /// Waits until `count` events of a sort have happened.
    pub(crate) async fn happened(&self, sort: &str, count: usize) -> Vec<Value> {
        eventually(&format!("{count} × {sort}"), async || {
            let events = self.events(sort);
            if events.len() >= count {
                Ok(events)
            } else {
                Err(format!("{:#?}", self.tail()))
            }
        })
        .await
    }

    /// Waits until one of the fleet's numbers is at least so large.
    pub(crate) async fn reaches(&self, name: &str, least: u64) {
        eventually(&format!("{least} {name}"), async || {
            if self.number(name) >= least {
                Ok(())
            } else {
                Err(format!("{:#?}", self.tail()))
            }
        })
        .await;
    }

    /// The newest events.
    fn tail(&self) -> Vec<Value> {
        let events = self.events.lock().unwrap();
        events.iter().rev().take(5).rev().cloned().collect()
    }
}
