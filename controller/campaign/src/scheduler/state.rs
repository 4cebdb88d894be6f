//! The scheduler's state.

use super::{Offer, Work};
use model::failure::Failure;
use model::ids::{AgentId, HostId};
use std::{collections::BTreeSet, time::Duration};

/// When to give up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// An agent that is silent for longer loses its shard.
    pub lease: Duration,
    /// How long the campaign waits without any usable agent before it ends.
    pub wait: Duration,
    /// This many consecutive lost processes, with no batch stored in between, set a shard aside.
    pub losses: u32,
    /// This many failed attempts set a shard aside.
    pub failures: u32,
}

impl Limits {
    /// A lease of 15 s with a heartbeat of 1 s survives a stalled disk or a short network outage. A shard that
    /// killed three agents is assumed to kill the next one, too.
    pub fn with_wait(wait: Duration) -> Self {
        Self { lease: Duration::from_secs(15), wait, losses: 3, failures: 3 }
    }
}

/// An agent that can be offered shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    pub host: HostId,
    pub target: usize,
    /// Per engine of the target: whether the agent supports it.
    pub engines: Vec<bool>,
    pub lease: Option<usize>,
    /// The attempt that was revoked, until the agent reports its end. The machine may still be busy with it, so nothing
    /// else is measured there.
    pub stalled_in: Option<u64>,
    /// It takes no more shards.
    pub is_leaving: bool,
    pub heard: Duration,
}

/// Why nothing is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Complete,
    SetAside,
    Stopped,
    BudgetSpent,
    /// No agent that could measure the rest came back in time.
    AgentsGone,
    /// Not all required agents joined in time.
    NeverStarted,
}

impl Ending {
    /// For the user; none if everything was measured.
    pub fn why_incomplete(self) -> Option<&'static str> {
        match self {
            Self::Complete => None,
            Self::SetAside => Some("some shards could not be measured"),
            Self::Stopped => Some("it was stopped"),
            Self::BudgetSpent => Some("it would have exceeded cost.max_usd"),
            Self::AgentsGone => Some("its agents are gone"),
            Self::NeverStarted => Some("not all agents joined in time"),
        }
    }
}

/// Something for the report and the log. A failed attempt is tried again, a shard that is set aside isn't.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    AgentLost {
        agent: AgentId,
        shard: usize,
        reason: &'static str,
    },
    /// Another process measures on the agent's machine, which may be of another campaign.
    AgentQueued {
        agent: AgentId,
    },
    AttemptFailed {
        shard: usize,
        failure: Failure,
    },
    ShardSetAside {
        shard: usize,
        failure: Failure,
    },
}

#[derive(Debug, Clone)]
pub(super) struct Shard {
    pub(super) work: Work,
    pub(super) status: Status,
    /// Processes lost since its last stored batch that have not reconnected.
    pub(super) lost_processes: BTreeSet<String>,
    /// Losses since its last stored batch.
    losses: u32,
    pub(super) failures: u32,
    /// Processes that failed it in a way that another agent may not.
    pub(super) excluded: BTreeSet<String>,
}

impl Shard {
    pub(super) fn new(work: Work, status: Status) -> Self {
        let (lost_processes, excluded) = (BTreeSet::new(), BTreeSet::new());
        Self { work, status, lost_processes, losses: 0, failures: 0, excluded }
    }

    /// A stored batch proves that the shard doesn't kill every agent.
    pub(super) fn record_progress(&mut self) {
        self.lost_processes.clear();
        self.losses = 0;
    }

    /// Counts a lost process. Returns the number of lost processes that have not reconnected, and of all losses.
    pub(super) fn count_loss(&mut self, process: &str) -> (u32, u32) {
        self.losses += 1;
        self.lost_processes.insert(process.to_owned());
        (u32::try_from(self.lost_processes.len()).unwrap_or(u32::MAX), self.losses)
    }

    /// Whether it is done or set aside.
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
    /// When it was offered or started, or its last batch stored.
    pub(super) progress_at: Duration,
    pub(super) has_progress: bool,
    /// Since when another process measures on the agent's machine.
    pub(super) queued_since: Option<Duration>,
    /// The user was told of that.
    pub(super) is_queue_noted: bool,
    pub(super) phase: Phase,
}

impl Lease {
    /// Whether the agent knows of the attempt.
    pub(super) fn is_offered(&self) -> bool {
        !matches!(self.phase, Phase::Deferred(_))
    }
}

/// How far an attempt is that starts together with others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its offer is not sent before the agents of the hosts before its own hold their machines.
    Deferred(Box<Offer>),
    /// Its agent may wait for another process that measures on its machine.
    Offered,
    /// Its agent holds its machine.
    Warming,
    /// It warmed up and waits for the others.
    Waiting,
    /// As any other attempt from its offer on.
    Started,
}

/// A machine. It measures one shard at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Host {
    pub(super) is_busy: bool,
    pub(super) agents: BTreeSet<AgentId>,
    pub(super) last_segment: Option<Segment>,
}

/// An unbroken part of a run on one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) agent: AgentId,
    pub(super) run: usize,
    pub(super) number: u64,
}
