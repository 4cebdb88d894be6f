//! What happened, for everything that watches a campaign.

use super::scheduler::Ending;
use cost::campaign::Spending;
use model::{ids::AgentId, telemetry::Window};
use std::{collections::BTreeMap, time::Duration};

/// Something that happened in a campaign, and is on disk. Cells, targets and shards are indices into the plan.
#[derive(Debug, Clone, PartialEq)]
pub enum CampaignEvent {
    /// The campaign starts, or resumes: steps stored earlier by cell, and runs that are not over by round.
    Started { stored_steps: Vec<u64>, runs_left: BTreeMap<u32, usize> },
    /// A line for the user that stays on the screen.
    Message(String),
    /// What the campaign is doing or waiting for. Replaces the previous status.
    Status(String),
    /// The agent is ready to measure.
    AgentJoined { agent: AgentId, host: String, target: usize },
    /// The agent's stream ended, or its process opened a new one.
    AgentLeft { agent: AgentId },
    /// The agent violated the protocol and is disconnected, or one of its batches was dropped.
    AgentMisbehaved { agent: AgentId, what: String },
    /// The latest window of a report.
    Telemetry { agent: AgentId, window: Box<Window> },
    /// A shard is leased with its remaining `batches`.
    ShardOffered {
        agent: AgentId,
        shard: usize,
        attempt: u64,
        cell: usize,
        round: u32,
        segment: u64,
        batches: usize,
    },
    /// The agent reported the attempt as complete.
    AttemptFinished { agent: AgentId, shard: usize, attempt: u64 },
    /// The attempt was refused or broke off.
    AttemptFailed { agent: AgentId, shard: usize, attempt: u64, reason: String },
    /// The agent that held the shard was lost.
    ShardLost { shard: usize, reason: &'static str },
    /// The shard will not be measured.
    ShardSetAside { shard: usize, reason: String },
    /// The shard is done or set aside.
    ShardEnded { shard: usize },
    /// Every shard of the run is done or set aside.
    RunEnded { round: u32 },
    /// A search measures a run of a candidate, which has this many `steps` left.
    RunAdmitted { cell: usize, round: u32, steps: u64 },
    /// Remaining runs of a cell, or the rest of one, which have this many `steps`, are not needed: for the precision, by
    /// a search, or because the run is over-saturated.
    RunsSkipped { cell: usize, rounds: Vec<u32>, steps: u64 },
    /// A batch, or a window of a sustained load.
    BatchStored {
        agent: AgentId,
        cell: usize,
        /// Progress: samples, or 1 for a window of a sustained load.
        steps: u64,
        /// Samples stored; 0 for a window.
        samples: u64,
        latencies: Vec<Latency>,
        /// From the first start to the last end.
        span: Duration,
        /// False if the batch arrived after its lease was lost: stored, but not counted.
        is_counted: bool,
    },
    /// Published at every tick.
    Spending(Spending),
    /// Nothing more is measured.
    Ended { ending: Ending, spending: Spending },
}

/// Requests with the same latency. A window of a sustained load has no single requests: all have its median.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    pub duration: Duration,
    pub requests: u64,
}

/// Shows events somewhere. Observers decide nothing.
pub trait Observer {
    /// `now` is monotonic time since the controller started.
    fn observe(&mut self, event: &CampaignEvent, now: Duration);
}
