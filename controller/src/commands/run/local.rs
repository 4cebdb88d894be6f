//! Agents that the controller starts on its own machine, and starts again when they die.

use anyhow::{Context, bail};
use fleet::identity::Token;
use matrix::Matrix;
use model::text::plain;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
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
/// Of an agent's last words so many characters are told.
const LAST_WORDS: usize = 500;

/// An agent that ended before the campaign did.
#[derive(Debug)]
pub(super) struct Death {
    /// The target that it stood for.
    target: String,
    /// How it ended.
    status: ExitStatus,
    /// What it said last, and where all of it is.
    said: (String, PathBuf),
    /// Whether it won't be started again.
    pub(super) is_last: bool,
}

/// What the kernel sends to whoever takes the last memory, and what it can't be asked about.
const SIGKILL: i32 = 9;

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, status, said: (words, log), is_last } = self;
        let again = if *is_last { "won't be started again" } else { "is started again" };
        write!(f, "the local agent of {target} ended with {status} and {again}")?;
        if status.signal() == Some(SIGKILL) {
            f.write_str(": where nobody killed it, this machine has too little memory for the model or the batch size")?;
        } else if !status.success() {
            write!(f, ": {words}")?;
        }
        if *is_last { write!(f, " (all of it: {})", log.display()) } else { Ok(()) }
    }
}

/// All local agents. Dropping it ends them.
#[derive(Debug)]
pub(super) struct Locals {
    /// Agents that ended too early.
    pub(super) deaths: mpsc::Receiver<Death>,
    keepers: Vec<JoinHandle<()>>,
    /// By target: deaths since an agent of it joined.
    counts: HashMap<usize, Arc<AtomicU32>>,
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
        if let Some(count) = self.counts.get(&target) {
            count.store(0, Ordering::Relaxed);
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
    let (died, deaths) = mpsc::channel(matrix.targets.len().max(1));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut counts = HashMap::new();
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
        counts.insert(index, Arc::clone(&its));
        let keeper = keep(recipe, started, its, Arc::clone(&is_over), died.clone());
        keepers.push(tokio::spawn(keeper));
    }
    Ok(Locals { deaths, keepers, counts, is_over })
}

/// The `agent` binary beside this one.
pub(crate) fn agent_program() -> anyhow::Result<PathBuf> {
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
    died: mpsc::Sender<Death>,
) {
    loop {
        let Ok(status) = started.child.wait().await else { return };
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let deaths = deaths.fetch_add(1, Ordering::Relaxed);
        // Before the next one writes there, too.
        let log = std::fs::read_to_string(&recipe.log).unwrap_or_default();
        let words = plain(last_words(&log), LAST_WORDS);
        let (target, said) = (recipe.target.clone(), (words, recipe.log.clone()));
        // Exit code 2 is an agent's own word that starting it again can't help.
        let again = if status.code() == Some(2) || deaths + 1 >= DEATHS {
            None
        } else {
            tokio::time::sleep(PAUSE * (1 << deaths)).await;
            recipe.start().await.ok()
        };
        let is_last = again.is_none();
        // Nobody listens any more only when the campaign is over.
        drop(died.send(Death { target, status, said, is_last }).await);
        let Some(next) = again else { return };
        started = next;
    }
}

/// The last line of a log that is no part of a stack's trace, which Rust writes after its last words where it is asked to.
fn last_words(log: &str) -> &str {
    let is_trace = |line: &&str| {
        line.is_empty()
            || line.starts_with(' ')
            || line.starts_with("stack backtrace:")
            || line.starts_with("note: ")
    };
    log.lines().rev().find(|line| !is_trace(line)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_stand_before_the_trace() {
        let words = "memory allocation of 9 bytes failed";
        let trace = "stack backtrace:\n   0: std::alloc\n             at /rustc/x.rs:1:1\nnote: Some details";
        assert_eq!(last_words(&format!("joined\n{words}\n{trace}\n")), words);
        assert_eq!(last_words(&format!("joined\n{words}\n")), words);
        assert_eq!(last_words(""), "");
    }
}
