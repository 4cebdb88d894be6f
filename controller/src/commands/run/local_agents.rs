//! Agents on this machine: started by the controller, and restarted when they exit.

use super::sent_variables::EndpointAccess;
use anyhow::{Context, bail};
use fleet::identity::Token;
use matrix::Matrix;
use model::text::plain;
use ops::atomic_file;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::{collections::HashMap, fmt, net::SocketAddr, sync::Arc, time::Duration};
use tokio::process::{Child, ChildStdin, Command};
use tokio::{sync::mpsc, task::JoinHandle};

/// An agent that exits this often before it joins is not restarted. A later crash is blamed on the shard, which is
/// eventually set aside.
const MAX_EXITS: u32 = 6;
/// Before the first restart; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// Length of an agent's last log line in messages, in characters.
const LAST_LINE: usize = 500;

/// An agent that exited before the end of the campaign.
#[derive(Debug)]
pub(super) struct AgentExit {
    target: String,
    status: ExitStatus,
    last_line: String,
    log: PathBuf,
    /// Whether it won't be restarted.
    pub(super) is_final: bool,
}

/// The signal of the kernel's out-of-memory killer.
const SIGKILL: i32 = 9;

impl fmt::Display for AgentExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, status, last_line, log, is_final } = self;
        let next = if *is_final { "will not be restarted" } else { "will be restarted" };
        write!(f, "the local agent of {target} exited with {status} and {next}")?;
        if status.signal() == Some(SIGKILL) {
            f.write_str(
                ": unless someone killed it, the model or the batch size doesn't fit into memory",
            )?;
        } else if !status.success() {
            write!(f, ": {last_line}")?;
        }
        if *is_final { write!(f, " (full log: {})", log.display()) } else { Ok(()) }
    }
}

/// All local agents. Dropping it kills them.
#[derive(Debug)]
pub(super) struct LocalAgents {
    /// Agents that exited too early.
    pub(super) exits: mpsc::Receiver<AgentExit>,
    supervisors: Vec<JoinHandle<()>>,
    /// By target: exits since its agent last joined.
    counts: HashMap<usize, Arc<AtomicU32>>,
    is_over: Arc<AtomicBool>,
}

impl Drop for LocalAgents {
    fn drop(&mut self) {
        // This kills the child, and an agent also exits when its standard input closes.
        self.supervisors.iter().for_each(JoinHandle::abort);
    }
}

impl LocalAgents {
    /// An agent of the target joined, so it is able to start.
    pub(super) fn joined(&self, target: usize) {
        if let Some(count) = self.counts.get(&target) {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// The campaign is over: agents that exit from now on were drained.
    pub(super) fn stop_restarting(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Waits a few seconds for drained agents to exit.
    pub(super) async fn wait(mut self) {
        let gone = async {
            for supervisor in &mut self.supervisors {
                // A supervisor that was aborted or panicked has no agent, either.
                drop(supervisor.await);
            }
        };
        drop(tokio::time::timeout(Duration::from_secs(5), gone).await);
    }
}

#[derive(Debug, Clone)]
struct AgentCommand {
    program: PathBuf,
    controller: String,
    target: String,
    threads: u32,
    /// What it may send to endpoints.
    access: Vec<String>,
    token: Token,
    log: PathBuf,
}

/// Starts the agents of `[[fleet.local]]`.
pub(super) async fn start_all(
    matrix: &Matrix,
    access: EndpointAccess<'_>,
    address: SocketAddr,
    token: &Token,
    folder: &Path,
) -> anyhow::Result<LocalAgents> {
    let (exited, exits) = mpsc::channel(matrix.targets.len().max(1));
    let is_over = Arc::new(AtomicBool::new(false));
    let mut counts = HashMap::new();
    let mut supervisors = Vec::new();
    for (index, target) in matrix.targets.iter().enumerate() {
        let Some(local) = target.local else { continue };
        let command = AgentCommand {
            program: agent_program()?,
            controller: format!("http://{address}"),
            target: target.name.to_string(),
            threads: local.threads,
            access: access.arguments(matrix, &target.name),
            token: token.clone(),
            log: folder.join(format!("agent-{}.log", supervisors.len() + 1)),
        };
        let started = command.start().await?;
        let count = Arc::new(AtomicU32::new(0));
        counts.insert(index, Arc::clone(&count));
        let supervisor = supervise(command, started, count, Arc::clone(&is_over), exited.clone());
        supervisors.push(tokio::spawn(supervisor));
    }
    Ok(LocalAgents { exits, supervisors, counts, is_over })
}

/// The `agent` binary in the folder of this one.
pub(crate) fn agent_program() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("can't determine the path of this program")?;
    let program = this.with_file_name("agent");
    if !program.is_file() {
        bail!(
            "no `agent` program next to `{}`: build both with cargo build --release",
            this.display()
        );
    }
    Ok(program)
}

/// A started agent. It exits when its pipe closes.
struct Started {
    child: Child,
    _pipe: ChildStdin,
}

impl AgentCommand {
    async fn start(&self) -> anyhow::Result<Started> {
        let log = atomic_file::append(&self.log);
        let log = log.with_context(|| format!("can't write to `{}`", self.log.display()))?;
        let mut child = Command::new(&self.program)
            .args(["join", "--controller", &self.controller, "--target", &self.target])
            .args(["--threads", &self.threads.to_string(), "--token-file", "-"])
            .args(&self.access)
            // Engine candle has threads of its own.
            .env("CANDLE_NUM_THREADS", self.threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C is for the controller, which revokes leases and drains agents.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("can't start `{}`", self.program.display()))?;
        let mut pipe = child.stdin.take().context("the agent has no standard input")?;
        self.token.hand_over(&mut pipe).await.context("failed to pass the token to the agent")?;
        Ok(Started { child, _pipe: pipe })
    }
}

/// Restarts an agent whenever it exits, until the campaign is over.
async fn supervise(
    command: AgentCommand,
    mut started: Started,
    exits: Arc<AtomicU32>,
    is_over: Arc<AtomicBool>,
    exited: mpsc::Sender<AgentExit>,
) {
    loop {
        let Ok(status) = started.child.wait().await else { return };
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let exits = exits.fetch_add(1, Ordering::Relaxed);
        // The next agent appends to the same log.
        let log = std::fs::read_to_string(&command.log).unwrap_or_default();
        let last_line = plain(last_line(&log), LAST_LINE);
        // Exit code 2 means that a restart can't help.
        let next = if status.code() == Some(2) || exits + 1 >= MAX_EXITS {
            None
        } else {
            tokio::time::sleep(PAUSE * (1 << exits)).await;
            command.start().await.ok()
        };
        let exit = AgentExit {
            target: command.target.clone(),
            status,
            last_line,
            log: command.log.clone(),
            is_final: next.is_none(),
        };
        // The receiver is gone only when the campaign is over.
        drop(exited.send(exit).await);
        let Some(next) = next else { return };
        started = next;
    }
}

/// The last line of a log that isn't part of a backtrace.
fn last_line(log: &str) -> &str {
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
    fn the_last_line_precedes_the_backtrace() {
        let line = "memory allocation of 9 bytes failed";
        let trace = "stack backtrace:\n   0: std::alloc\n             at /rustc/x.rs:1:1\nnote: Some details";
        assert_eq!(last_line(&format!("joined\n{line}\n{trace}\n")), line);
        assert_eq!(last_line(&format!("joined\n{line}\n")), line);
        assert_eq!(last_line(""), "");
    }
}
