//! What the scheduler remembers.

use super::Work;
use model::failure::Failure;
use model::ids::{AgentId, HostId};
use std::collections::BTreeSet;
use std::time::Duration;

/// When to give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// An agent that is silent for longer has lost its shard.
    pub lease: Duration,
    /// How long nobody may be there before the campaign ends.
    pub wait: Duration,
    /// So many processes that are lost one after the other, before a batch of it is stored, set a shard aside.
    pub losses: u32,
    /// So many failed attempts set a shard aside.
    pub failures: u32,
}

impl Limits {
    /// Leases of 15 s under heartbeats of 1 s ride out a stalled disk or a garbage-collecting switch; a shard
    /// that three agents died of is poison.
    pub fn with_wait(wait: Duration) -> Self {
        Self { lease: Duration::from_secs(15), wait, losses: 3, failures: 3 }
    }
}

/// An agent that can be offered shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Its machine.
    pub host: HostId,
    /// What it stands for.
    pub target: usize,
    /// Which engines of the target it can do.
    pub engines: Vec<bool>,
    /// The shard that it holds.
    pub lease: Option<usize>,
    /// It takes no more shards.
    pub is_leaving: bool,
    /// When it spoke last.
    pub heard: Duration,
}

/// Why nothing is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every shard is done.
    Complete,
    /// Some shards were set aside.
    SetAside,
    /// Stopped from outside.
    Stopped,
    /// It would have cost more than it may.
    BudgetSpent,
    /// Nobody who could go on came back in time.
    AgentsGone,
    /// Not all agents came in time.
    NeverStarted,
}

/// What the report and the log should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// An agent was lost in the middle of a shard.
    AgentLost {
        /// Who.
        agent: AgentId,
        /// Which shard.
        shard: usize,
        /// Why.
        reason: &'static str,
    },
    /// An attempt failed and is tried again.
    AttemptFailed {
        /// Which shard.
        shard: usize,
        /// Why.
        failure: Failure,
    },
    /// A shard won't be measured.
    ShardSetAside {
        /// Which shard.
        shard: usize,
        /// Why.
        failure: Failure,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Shard {
    pub(super) work: Work,
    pub(super) status: Status,
    /// Processes that were lost in it, and haven't come back, since its last stored batch.
    pub(super) casualties: BTreeSet<String>,
    /// Losses since its last stored batch.
    losses: u32,
    pub(super) failures: u32,
    /// Processes that can't do it.
    pub(super) excluded: BTreeSet<String>,
}

impl Shard {
    pub(super) fn new(work: Work, status: Status) -> Self {
        let (casualties, excluded) = (BTreeSet::new(), BTreeSet::new());
        Self { work, status, casualties, losses: 0, failures: 0, excluded }
    }

    /// A shard that gets on isn't poison.
    pub(super) fn goes_on(&mut self) {
        self.casualties.clear();
        self.losses = 0;
    }

    /// Counts a lost process; returns how many are dead, and how many losses there were in all.
    pub(super) fn count_loss(&mut self, process: &str) -> (u32, u32) {
        self.losses += 1;
        self.casualties.insert(process.to_owned());
        (u32::try_from(self.casualties.len()).unwrap_or(u32::MAX), self.losses)
    }

    /// Whether nothing of it is left to do that was begun.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.status, Status::Done | Status::SetAside)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    /// Its run may not be needed.
    Held,
    Waiting,
    Leased(Lease),
    /// Its run was not needed.
    Skipped,
    Done,
    SetAside,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) agent: AgentId,
    pub(super) host: HostId,
    pub(super) attempt: u64,
}

/// A machine: one measuring shard at a time, and what it measured last.
#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    pub(super) is_busy: bool,
    /// Those that are here.
    pub(super) agents: BTreeSet<AgentId>,
    pub(super) last: Option<Stretch>,
}

/// An unbroken stretch of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) agent: AgentId,
    pub(super) run: usize,
    pub(super) segment: u64,
}
