//! What is said about a service in trouble, by a scheduler that pushes over real TLS.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::MakeWriter;

use super::contract::{Pager, service};
use super::*;
use crate::clock::SystemClock;
use crate::simulator::apns::{FakeApns, Fault};

const TOPIC: &str = "com.apple.mgmt.External.t";

/// What was logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self, level: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter(|line| line.contains(level));
        lines.map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Everybody has something to do. Counts what came of pushes.
#[derive(Default)]
struct Everybody(AtomicUsize);

impl PushObserver for Everybody {
    fn pending<'a>(&'a self, _device: &'a str) -> BoxFuture<'a, Pending> {
        Box::pin(async { Pending::Work })
    }

    fn unregistered<'a>(
        &'a self,
        _device: &'a str,
        _token: &'a [u8],
        _since: Option<jiff::Timestamp>,
    ) -> BoxFuture<'a, bool> {
        Box::pin(async { true })
    }

    fn refused<'a>(&'a self, _device: &'a str, _token: &'a [u8], _reason: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }

    fn pushed(&self, _category: &'static str) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A scheduler at work, and what it says on this thread.
fn scheduler(url: &str, ca_pem: &str, stop: &CancellationToken) -> (PushScheduler, Arc<Everybody>) {
    let settings = Http2Settings {
        url,
        ca_pem,
        certificate: None,
    };
    let pusher = Arc::new(Http2Pusher::new(&settings).unwrap());
    let fast = ScheduleSettings {
        retry_first: Duration::from_millis(5),
        retry_cap: Duration::from_millis(20),
        ..ScheduleSettings::default()
    };
    let scheduler = PushScheduler::new(fast, Arc::new(SystemClock));
    let everybody = Arc::new(Everybody::default());
    tokio::spawn(scheduler.clone().run(pusher, everybody.clone(), stop.clone()));
    (scheduler, everybody)
}

fn wake_up(number: u8) -> WakeUp {
    WakeUp {
        device: format!("device-{number}").into(),
        target: PushTarget {
            token: vec![number],
            push_magic: number.to_string(),
            topic: TOPIC.into(),
        },
        last_seen: None,
    }
}

/// All of `devices` are woken.
async fn all_woken(apns: &FakeApns, scheduler: &PushScheduler, devices: std::ops::Range<u8>) {
    let (tell, mut told) = mpsc::unbounded_channel();
    for number in devices.clone() {
        apns.attach(vec![number], TOPIC.into(), Arc::new(Pager(tell.clone())));
    }
    scheduler.wake(devices.clone().map(wake_up));
    let mut missing: std::collections::BTreeSet<_> = devices.map(|number| number.to_string()).collect();
    while !missing.is_empty() {
        missing.remove(&told.recv().await.unwrap());
    }
}

#[tokio::test]
async fn an_outage_is_one_warning_however_many_devices_wait() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let apns = service("127.0.0.1:0", &["127.0.0.1"], false).await;
    let stop = CancellationToken::new();
    let (scheduler, _) = scheduler(&apns.url(), apns.ca_pem(), &stop);
    apns.fail(Some(Fault {
        status: 503,
        reason: "ServiceUnavailable".to_owned(),
        retry_after: None,
        count: 30,
    }));
    all_woken(&apns, &scheduler, 0..50).await;
    while log.lines("takes pushes again").is_empty() {
        tokio::task::yield_now().await;
    }
    let warnings = log.lines("WARN");
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(
        warnings[0].contains("HTTP 503") && warnings[0].contains(TOPIC),
        "{warnings:?}"
    );
    assert_eq!(log.lines("INFO").len(), 1, "{:#?}", log.lines("INFO"));

    // Goodbyes are no outage.
    apns.say_goodbye_after(Some(3));
    all_woken(&apns, &scheduler, 100..150).await;
    assert_eq!(log.lines("WARN").len(), 1, "{:#?}", log.lines("WARN"));
    assert!(apns.connections() > 1);
    stop.cancel();
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_is_told_with_everything_that_led_to_it() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let apns = service("127.0.0.1:0", &["127.0.0.1"], false).await;
    let (url, ca_pem) = (apns.url(), apns.ca_pem().to_owned());
    drop(apns);
    let stop = CancellationToken::new();
    let (scheduler, everybody) = scheduler(&url, &ca_pem, &stop);
    scheduler.wake((0..20).map(wake_up));
    // All that were on their way, and then some that found out that it is still so.
    while everybody.0.load(Ordering::Relaxed) < 25 {
        tokio::task::yield_now().await;
    }
    let warnings = log.lines("WARN");
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    for link in [
        "could not talk to the push service",
        "could not connect",
        "refused",
    ] {
        assert!(warnings[0].contains(link), "{link}: {warnings:?}");
    }
    stop.cancel();
}
