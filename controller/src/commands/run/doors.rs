//! Where agents come in: as `--listen` asks, and for the agents of this machine a loopback door of its own where
//! the first one speaks TLS.

use super::way_back::WayBack;
use crate::cli;
use crate::commands::agents;
use crate::metrics::Metrics;
use anyhow::{Context, bail};
use fleet::identity::{Guard, tls::Tls};
use fleet::{self, Door, Event};
use ops::metrics::Address;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// How often it is looked what other commands changed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Doors that are open and not served yet.
pub(super) struct Doors {
    open: Vec<Door>,
    /// Where agents of other machines dial in.
    pub(super) address: SocketAddr,
    /// Where agents of this machine do.
    pub(super) local: SocketAddr,
    pub(super) tls: Option<Arc<Tls>>,
}

/// Doors that are served until this is dropped.
pub(super) struct Served {
    _stop: watch::Sender<()>,
    tasks: JoinSet<()>,
}

/// Checks that the certificates can be used, before anything is begun.
pub(super) fn check(options: &cli::Run) -> anyhow::Result<()> {
    certificates(options).map(drop)
}

/// Reads the certificates and opens the doors.
pub(super) async fn open(options: &cli::Run, way_back: &WayBack) -> anyhow::Result<Doors> {
    let tls = certificates(options)?;
    let listener = way_back.listen(options.listen).await?;
    let address = listener.local_addr().context("the listener has no address")?;
    let mut doors = Doors { open: Vec::new(), address, local: address, tls: tls.clone() };
    if tls.is_some() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("no port of loopback is free")?;
        doors.local = listener.local_addr().context("the listener has no address")?;
        doors.open.push(Door { listener, tls: None });
    }
    doors.open.push(Door { listener, tls });
    Ok(doors)
}

/// The certificates of `--certs`; off loopback those of the data folder. Null on loopback.
fn certificates(options: &cli::Run) -> anyhow::Result<Option<Arc<Tls>>> {
    let is_loopback = options.listen.ip().is_loopback();
    let folder = match &options.certs {
        Some(folder) => folder.clone(),
        None if is_loopback => return Ok(None),
        None => certs_folder(&options.data_dir),
    };
    if options.certs.is_none() && !folder.exists() {
        bail!(
            "--listen {}: off loopback agents must use TLS, and {} holds no certificates: make them with \
             controller certs init --host NAME-OF-THIS-MACHINE, or listen on 127.0.0.1 and use an SSH tunnel (ssh -R)",
            options.listen,
            folder.display()
        );
    }
    Ok(Some(Arc::new(Tls::read(&folder)?)))
}

/// Where certificates lie when nobody says otherwise.
pub(crate) fn certs_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("certs")
}

impl Doors {
    /// What agents of other machines are given as `--controller`.
    pub(super) fn url(&self) -> String {
        let Some(tls) = &self.tls else { return format!("http://{}", self.address) };
        match tls.host() {
            Some(host) if host.contains(':') => format!("https://[{host}]:{}", self.address.port()),
            Some(host) => format!("https://{host}:{}", self.address.port()),
            // Its certificate is for this machine only.
            None => format!("https://127.0.0.1:{}", self.address.port()),
        }
    }

    /// Serves all doors.
    pub(super) fn serve(
        self,
        options: &fleet::Options,
        events: &mpsc::Sender<Event>,
        store: &Store,
    ) -> Served {
        let (stop, stopped) = watch::channel(());
        let mut tasks = JoinSet::new();
        for door in self.open {
            let (mut stopped, options, events) = (stopped.clone(), options.clone(), events.clone());
            tasks.spawn(async move {
                let stopped = async move {
                    // Dropping the sender stops the server.
                    while stopped.changed().await.is_ok() {}
                };
                if let Err(error) = fleet::serve(door, options, events, stopped).await {
                    tracing::error!(%error, "a door can't be served any more");
                }
            });
        }
        tasks.spawn(keep_up(self.tls, Arc::clone(&options.guard), store.clone()));
        Served { _stop: stop, tasks }
    }
}

impl Served {
    /// Serves metrics, too.
    pub(super) async fn metrics(
        &mut self,
        Address(address): Address,
        metrics: Metrics,
    ) -> anyhow::Result<()> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("can't serve metrics on {address}: choose another port with --metrics")
        })?;
        tracing::info!(address = %listener.local_addr().unwrap_or(address), "metrics are served");
        self.tasks.spawn(async move {
            if let Err(error) = metrics.serve(listener).await {
                tracing::error!(%error, "metrics can't be served any more");
            }
        });
        Ok(())
    }

    /// Closes the doors; whoever still holds a stream is cut off.
    pub(super) async fn close(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Takes up what other commands changed meanwhile: renewed certificates, new tokens, and what was revoked.
async fn keep_up(tls: Option<Arc<Tls>>, guard: Arc<Guard>, store: Store) {
    let mut tick = tokio::time::interval(LOOK_AGAIN);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut known) = (String::new(), Vec::new());
    loop {
        tick.tick().await;
        match store.credentials().await {
            Ok(rows) if rows == known => {}
            Ok(rows) => match agents::roster(rows.clone()) {
                Ok(roster) => {
                    guard.update(roster);
                    known = rows;
                }
                Err(error) => {
                    tell(&mut told, &error.into(), "tokens can't be read; the known ones hold");
                }
            },
            Err(error) => {
                tell(&mut told, &error.into(), "tokens can't be read; the known ones hold");
            }
        }
        match tls.as_deref().map(Tls::read_again) {
            None | Some(Ok(false)) => {}
            Some(Ok(true)) => tracing::info!("new connections see the new certificates"),
            Some(Err(error)) => tell(&mut told, &error.into(), "the old certificates are kept"),
        }
    }
}

/// Tells an error once, until another one comes.
fn tell(told: &mut String, error: &anyhow::Error, what: &str) {
    let error = format!("{error:#}");
    if *told != error {
        tracing::warn!(error, "{what}");
        *told = error;
    }
}
