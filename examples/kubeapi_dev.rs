#![allow(clippy::all, clippy::pedantic, missing_docs)]
use std::sync::Arc;
use provost::kubeapi::{KubeApi, Options, serve, kubeconfig, storage::{AeadSeal, Limits}};
use provost::clock::{SystemClock, SystemEntropy};
#[tokio::main]
async fn main() {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    std::fs::create_dir_all(&dir).unwrap();
    tracing_subscriber::fmt().with_env_filter("provost=debug").with_writer(std::io::stderr).init();
    let seal = AeadSeal::from_file(&dir.join("seal.key"), SystemEntropy).unwrap();
    let api = KubeApi::open(Options { path: dir.join("kubernetes.db"), seal: Arc::new(seal), clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy), limits: Limits::default() }).await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let s = serve::serve(&api, ([127,0,0,1],0).into(), &dir.join("tls"), stop.clone()).await.unwrap();
    kubeconfig::write(&dir.join("kubeconfig"), &s.access).unwrap();
    println!("{}", s.address);
    tokio::signal::ctrl_c().await.unwrap();
    stop.cancel(); api.stop();
    s.server.await.unwrap().unwrap();
}
