//! Agents that the controller starts on its own machine, and starts again when they die.

use crate::fleet::identity::Token;
use crate::matrix::Matrix;
use anyhow::{Context, bail};
use std::collections::HashMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// An agent that dies so often before it has joined is not started again. One that dies later dies of what it measures,
/// and that is set aside in the end.
const DEATHS: u32 = 6;
/// The pause before the second start; it doubles.
const PAUSE: Duration = Duration::from_millis(200);

/// An agent that won't be started again.
#[derive(Debug)]
pub(super) struct GaveUp {
    /// The target that it stood for.
    pub(super) target: String,
    /// How it ended last.
    pub(super) status: ExitStatus,
    /// What it said.
    pub(super) log: PathBuf,
}

/// All local agents. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Locals {
    /// Agents that won't be started again.
    pub(super) gave_up: mpsc::Receiver<GaveUp>,
    keepers: Vec<JoinHandle<()>>,
    /// By target: deaths since an agent of it joined.
    deaths: HashMap<usize, Arc<AtomicU32>>,
    /// Whoever ends from now on was sent home.
    is_over: Arc<AtomicBool>,
}

impl Drop for Locals {
    fn drop(&mut self) {
        // A keeper's child dies with it, and its agent also leaves when its standard input closes.
        self.keepers.iter().for_each(JoinHandle::abort);
    }
}

impl Locals {
    /// An agent of the target joined: it can be started.
    pub(super) fn joined(&self, target: usize) {
        if let Some(deaths) = self.deaths.get(&target) {
            deaths.store(0, Ordering::Relaxed);
        }
    }

    /// The campaign is over: nobody is started again.
    pub(super) fn send_home(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Waits until agents that were sent home are gone, for a while.
    pub(super) async fn leave(mut self) {
        let gone = async {
            for keeper in &mut self.keepers {
                // A keeper that was aborted or panicked has no agent either.
                drop(keeper.await);
            }
        };
        drop(tokio::time::timeout(Duration::from_secs(5), gone).await);
    }
}

/// How to start one agent.
#[derive(Debug, Clone)]
struct Recipe {
    program: PathBuf,
    controller: String,
    target: String,
    threads: u32,
    token: Token,
    log: PathBuf,
}

/// Starts the agents of `[[fleet.local]]`.
pub(super) async fn start_all(
    matrix: &Matrix,
    address: SocketAddr,
    token: &Token,
    folder: &Path,
) -> anyhow::Result<Locals> {
    let (given_up, gave_up) = mpsc::channel(matrix.targets.len().max(1));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut deaths = HashMap::new();
    let mut keepers = Vec::new();
    for (index, target) in matrix.targets.iter().enumerate() {
        let Some(local) = target.local else { continue };
        let recipe = Recipe {
            program: agent_program()?,
            controller: format!("http://{address}"),
            target: target.name.to_string(),
            threads: local.threads,
            token: token.clone(),
            log: folder.join(format!("agent-{}.log", keepers.len() + 1)),
        };
        let started = recipe.start().await?;
        let its = Arc::new(AtomicU32::new(0));
        deaths.insert(index, Arc::clone(&its));
        let keeper = keep(recipe, started, its, Arc::clone(&is_over), given_up.clone());
        keepers.push(tokio::spawn(keeper));
    }
    Ok(Locals { gave_up, keepers, deaths, is_over })
}

/// The `agent` binary beside this one.
pub(in crate::commands) fn agent_program() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("can't find this program's own folder")?;
    let program = this.with_file_name("agent");
    if !program.is_file() {
        bail!("no agent program beside {}: build both with cargo build --release", this.display());
    }
    Ok(program)
}

/// A started agent, and the pipe that holds it: an agent whose pipe closes leaves.
struct Started {
    child: Child,
    _pipe: ChildStdin,
}

impl Recipe {
    async fn start(&self) -> anyhow::Result<Started> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("can't write {}", self.log.display()))?;
        let mut child = Command::new(&self.program)
            .args(["join", "--controller", &self.controller, "--target", &self.target])
            .args(["--threads", &self.threads.to_string(), "--token-file", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C is the controller's: it takes shards back in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("can't start {}", self.program.display()))?;
        let mut pipe = child.stdin.take().context("the agent has no standard input")?;
        self.token.hand_over(&mut pipe).await.context("the agent didn't take its token")?;
        Ok(Started { child, _pipe: pipe })
    }
}

/// Starts an agent again whenever it ends, until the campaign is over.
async fn keep(
    recipe: Recipe,
    mut started: Started,
    deaths: Arc<AtomicU32>,
    is_over: Arc<AtomicBool>,
    given_up: mpsc::Sender<GaveUp>,
) {
    loop {
        let Ok(status) = started.child.wait().await else { return };
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let deaths = deaths.fetch_add(1, Ordering::Relaxed);
        // Exit code 2 is an agent's own word that starting it again can't help.
        let again = if status.code() == Some(2) || deaths + 1 >= DEATHS {
            None
        } else {
            tokio::time::sleep(PAUSE * (1 << deaths)).await;
            recipe.start().await.ok()
        };
        let Some(next) = again else {
            let Recipe { target, log, .. } = recipe;
            drop(given_up.send(GaveUp { target, status, log }).await);
            return;
        };
        started = next;
    }
}
