//! The listeners for agents: the one of `--listen`, and if it uses TLS, another one on loopback for local agents.

use super::reconnect::Reconnect;
use crate::{cli, commands::agents, metrics::Metrics};
use anyhow::{Context, bail};
use fleet::identity::{Guard, tls::Tls};
use fleet::{self, ConnectionLimits, Event, Listener, Socket};
use ops::{descriptors, metrics::Address};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::{sync::Arc, time::Duration};
use store::Store;
use tokio::sync::{mpsc, watch};
use tokio::{net::TcpListener, task::JoinSet, time::MissedTickBehavior};

/// How often certificates and credentials are reloaded.
const RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// Listeners that are bound, and not served yet.
pub(super) struct Listeners {
    open: Vec<Listener>,
    /// For agents of other machines.
    pub(super) address: SocketAddr,
    /// For agents of this machine.
    pub(super) local: SocketAddr,
    pub(super) tls: Option<Arc<Tls>>,
}

/// Listeners that are served until this is dropped.
pub(super) struct Served {
    _stop: watch::Sender<()>,
    tasks: JoinSet<()>,
}

/// Checks the certificates, before anything is created.
pub(super) fn check(options: &cli::Run) -> anyhow::Result<()> {
    certificates(options).map(drop)
}

/// Reads the certificates and binds the listeners.
pub(super) async fn open(options: &cli::Run, reconnect: &Reconnect) -> anyhow::Result<Listeners> {
    let tls = certificates(options)?;
    let listener = reconnect.listen(options.listen).await?;
    let address = listener.local_addr().context("the listener has no address")?;
    let limits = ConnectionLimits::new(descriptors::share(usize::MAX, 1));
    let mut listeners = Listeners { open: Vec::new(), address, local: address, tls: tls.clone() };
    if tls.is_some() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.context("no free loopback port")?;
        listeners.local = listener.local_addr().context("the listener has no address")?;
        let limits = limits.clone();
        listeners.open.push(Listener { socket: Socket::Tcp(listener), tls: None, limits });
    }
    listeners.open.push(Listener { socket: Socket::Tcp(listener), tls, limits });
    Ok(listeners)
}

/// The certificates of `--certs`, or those of the data folder. None on loopback without `--certs`.
fn certificates(options: &cli::Run) -> anyhow::Result<Option<Arc<Tls>>> {
    let is_loopback = options.listen.ip().is_loopback();
    let folder = match &options.certs {
        Some(folder) => folder.clone(),
        None if is_loopback => return Ok(None),
        None => certs_folder(&options.data_dir),
    };
    if options.certs.is_none() && !folder.exists() {
        bail!(
            "--listen `{}`: a non-loopback address requires TLS, and `{}` has no certificates: create them with \
             controller certs init --host NAME-OF-THIS-MACHINE, or listen on 127.0.0.1 and use an SSH tunnel (ssh -R)",
            options.listen,
            folder.display()
        );
    }
    Ok(Some(Arc::new(Tls::read(&folder)?)))
}

pub(crate) fn certs_folder(data_dir: &Path) -> PathBuf {
    data_dir.join("certs")
}

impl Listeners {
    /// The `--controller` URL for agents of other machines.
    pub(super) fn url(&self) -> String {
        let Some(tls) = &self.tls else { return format!("http://{}", self.address) };
        match tls.host() {
            Some(host) if host.contains(':') => format!("https://[{host}]:{}", self.address.port()),
            Some(host) => format!("https://{host}:{}", self.address.port()),
            // The certificate is valid for this machine only.
            None => format!("https://127.0.0.1:{}", self.address.port()),
        }
    }

    pub(super) fn serve(
        self,
        options: &fleet::Options,
        events: &mpsc::Sender<Event>,
        store: &Store,
    ) -> Served {
        let (stop, stopped) = watch::channel(());
        let mut tasks = JoinSet::new();
        for listener in self.open {
            let (mut stopped, options, events) = (stopped.clone(), options.clone(), events.clone());
            tasks.spawn(async move {
                let stopped = async move {
                    // Dropping the sender stops the server.
                    while stopped.changed().await.is_ok() {}
                };
                if let Err(error) = fleet::serve(listener, options, events, stopped).await {
                    tracing::error!(%error, "a listener for agents failed");
                }
            });
        }
        tasks.spawn(reload(self.tls, Arc::clone(&options.guard), store.clone()));
        Served { _stop: stop, tasks }
    }
}

impl Served {
    pub(super) async fn metrics(
        &mut self,
        Address(address): Address,
        metrics: Metrics,
    ) -> anyhow::Result<()> {
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("can't serve metrics on `{address}`: choose another port with --metrics")
        })?;
        tracing::info!(address = %listener.local_addr().unwrap_or(address), "serving metrics");
        self.tasks.spawn(metrics.serve(listener));
        Ok(())
    }

    /// Closes the listeners and all remaining streams.
    pub(super) async fn close(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Reloads what other commands change: renewed certificates, new tokens and revocations.
async fn reload(tls: Option<Arc<Tls>>, guard: Arc<Guard>, store: Store) {
    let mut tick = tokio::time::interval(RELOAD_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut logged, mut known) = (String::new(), Vec::new());
    loop {
        tick.tick().await;
        let changed = store.credentials().await.and_then(|rows| {
            let is_new = rows != known;
            is_new.then(|| Ok((agents::roster(rows.clone())?, rows))).transpose()
        });
        match changed {
            Ok(None) => {}
            Ok(Some((roster, rows))) => {
                guard.update(roster);
                known = rows;
            }
            Err(error) => log_once(
                &mut logged,
                &error.into(),
                "can't read credentials; keeping the known ones",
            ),
        }
        match tls.as_deref().map(Tls::read_again) {
            None | Some(Ok(false)) => {}
            Some(Ok(true)) => tracing::info!("reloaded the certificates"),
            Some(Err(error)) => log_once(
                &mut logged,
                &error.into(),
                "can't reload the certificates; keeping the old ones",
            ),
        }
    }
}

/// Logs an error, unless it is the one that was logged last.
fn log_once(logged: &mut String, error: &anyhow::Error, what: &str) {
    let error = format!("{error:#}");
    if *logged != error {
        tracing::warn!(error, "{what}");
        *logged = error;
    }
}
