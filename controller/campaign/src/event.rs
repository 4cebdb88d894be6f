//! What happened, for everything that watches a campaign.

use super::scheduler::Ending;
use cost::campaign::Spending;
use model::ids::AgentId;
use model::telemetry::Window;
use std::collections::BTreeMap;
use std::time::Duration;

/// Something that happened in a campaign, and is on disk. Cells, targets and shards are indices into the plan.
#[derive(Debug, Clone, PartialEq)]
pub enum CampaignEvent {
    /// The campaign starts, or resumes.
    Started {
        /// Per cell: steps stored by an earlier controller.
        stored_steps: Vec<u64>,
        /// Per round: runs that are not over.
        runs_left: BTreeMap<u32, usize>,
    },
    /// A line for the user that stays on the screen.
    Message(String),
    /// What the campaign is doing or waiting for. Replaces the previous status.
    Status(String),
    AgentJoined {
        agent: AgentId,
        host: String,
        target: usize,
    },
    AgentLeft {
        agent: AgentId,
    },
    /// The agent violated the protocol and is disconnected, or one of its batches was dropped.
    AgentMisbehaved {
        agent: AgentId,
        what: String,
    },
    Telemetry {
        agent: AgentId,
        /// The latest window of the report.
        window: Box<Window>,
    },
    ShardOffered {
        agent: AgentId,
        shard: usize,
        attempt: u64,
        cell: usize,
        round: u32,
        segment: u64,
        /// Number of batches left in the shard.
        batches: usize,
    },
    AttemptFinished {
        agent: AgentId,
        shard: usize,
        attempt: u64,
    },
    AttemptFailed {
        agent: AgentId,
        shard: usize,
        attempt: u64,
        reason: String,
    },
    /// The agent that held the shard was lost.
    ShardLost {
        shard: usize,
        reason: &'static str,
    },
    /// The shard will not be measured.
    ShardSetAside {
        shard: usize,
        reason: String,
    },
    /// The shard is done or set aside.
    ShardEnded {
        shard: usize,
    },
    /// Every shard of the run is done or set aside.
    RunEnded {
        round: u32,
    },
    /// Adaptive precision doesn't need the remaining runs of a cell.
    RunsSkipped {
        cell: usize,
        rounds: Vec<u32>,
        /// Steps that will not be measured.
        steps: u64,
    },
    BatchStored {
        agent: AgentId,
        cell: usize,
        /// Progress: samples, or 1 for a window of a sustained load.
        steps: u64,
        /// Samples stored; 0 for a window.
        samples: u64,
        /// Of each request.
        latencies: Vec<Duration>,
        /// From the first start to the last end.
        span: Duration,
        /// False if the batch arrived after its lease was lost: stored, but not counted.
        is_counted: bool,
    },
    /// Published at every tick.
    Spending(Spending),
    /// Nothing more is measured.
    Ended {
        ending: Ending,
        spending: Spending,
    },
}

/// Shows events somewhere. Observers decide nothing.
pub trait Observer {
    /// `now` is monotonic time since the controller started.
    fn observe(&mut self, event: &CampaignEvent, now: Duration);
}
