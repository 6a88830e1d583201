//! The simulated fleet: a child process that takes orders on its standard input and tells happenings on its standard output.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::watch;

/// The fleet in numbers, as far as the demo looks at them.
#[derive(Debug, Clone, Default)]
pub(super) struct Numbers {
    pub(super) enrolled: u64,
    pub(super) unenrolled: u64,
    pub(super) refused: u64,
    /// Devices that left their desired state.
    pub(super) drifted: u64,
    /// Those of them that came back.
    pub(super) corrected: u64,
    /// Memory at its highest, from the final summary.
    pub(super) peak_rss_bytes: u64,
    /// Set when the process has said its last word.
    pub(super) ended: bool,
}

/// The child process.
pub(super) struct Fleet {
    child: Child,
    orders: ChildStdin,
    numbers: watch::Receiver<Numbers>,
    errors: Arc<Mutex<Vec<String>>>,
    /// Where devices' push service listens.
    pub(super) apns_url: String,
    /// The certificate to trust there, PEM.
    pub(super) apns_ca: String,
}

impl Fleet {
    /// Starts the process and waits until its push service listens.
    pub(super) async fn start(ca: &Path, seed: u64) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("the program cannot find itself")?;
        let mut child = Command::new(program)
            .args([
                "simulate",
                "--control",
                "stdin",
                "--seed",
                &seed.to_string(),
                "--ca",
            ])
            .arg(ca)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the simulator cannot be started")?;
        let orders = child.stdin.take().context("the simulator takes no orders")?;
        let output = child.stdout.take().context("the simulator tells nothing")?;
        let mut lines = BufReader::new(output).lines();
        let Some(first) = lines.next_line().await? else {
            bail!("the simulator ended at once")
        };
        let ready: Value = serde_json::from_str(&first)?;
        let text = |key: &str| ready.get(key).and_then(Value::as_str).map(str::to_owned);
        let (Some(apns_url), Some(apns_ca)) = (text("apnsUrl"), text("apnsCa")) else {
            bail!("the simulator did not say where its push service listens: {first}");
        };
        let (sender, numbers) = watch::channel(Numbers::default());
        let errors = Arc::new(Mutex::new(Vec::new()));
        let heard = errors.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(event) = serde_json::from_str::<Value>(&line) {
                    sender.send_modify(|numbers| take(numbers, &event, &heard));
                }
            }
            sender.send_modify(|numbers| numbers.ended = true);
        });
        Ok(Self {
            child,
            orders,
            numbers,
            errors,
            apns_url,
            apns_ca,
        })
    }

    /// Gives an order.
    pub(super) async fn order(&mut self, order: &Value) -> anyhow::Result<()> {
        let line = format!("{order}\n");
        self.orders
            .write_all(line.as_bytes())
            .await
            .context("the simulator has ended")?;
        Ok(self.orders.flush().await?)
    }

    /// The numbers now.
    pub(super) fn numbers(&self) -> Numbers {
        self.numbers.borrow().clone()
    }

    /// What went wrong in the process so far.
    pub(super) fn errors(&self) -> Vec<String> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends the process and gives its last numbers.
    pub(super) async fn stop(mut self) -> anyhow::Result<Numbers> {
        self.order(&serde_json::json!({ "stop": {} })).await?;
        self.numbers.wait_for(|numbers| numbers.ended).await?;
        self.child.wait().await?;
        Ok(self.numbers())
    }
}

fn take(numbers: &mut Numbers, event: &Value, errors: &Mutex<Vec<String>>) {
    let number = |key: &str| event.get(key).and_then(Value::as_u64);
    let set = |field: &mut u64, key: &str| *field = number(key).unwrap_or(*field);
    match event.get("event").and_then(Value::as_str) {
        Some("progress" | "summary") => {
            set(&mut numbers.enrolled, "enrolled");
            set(&mut numbers.unenrolled, "unenrolled");
            set(&mut numbers.refused, "refused");
            set(&mut numbers.drifted, "drifted");
            set(&mut numbers.corrected, "corrected");
            set(&mut numbers.peak_rss_bytes, "peakRssBytes");
        }
        Some("error" | "refused") => {
            let text = event
                .get("message")
                .or_else(|| event.get("reason"))
                .and_then(Value::as_str);
            errors
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(text.unwrap_or("unknown").to_owned());
        }
        _ => {}
    }
}
