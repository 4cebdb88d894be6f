//! What a campaign reacts to.

use super::{RunCheck, Stage};
use chrono::{DateTime, Utc};
use model::engine::EngineFacts;
use model::ids::{AgentId, HostId, SampleId};
use model::segment::SegmentFacts;
use model::shard_digest::{Hash, SALT_BYTES};
use model::telemetry::{Absence, Window};
use model::{failure::Failure, host::AgentFacts, load::LoadWindow, sample::Sample};
use stats::search::RunShares;
use std::sync::Arc;
use std::time::Duration;

/// The time of a step.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Monotonic time since the controller started. Leases and budgets depend on it.
    pub elapsed: Duration,
    /// Wall-clock time. It only stamps rows, and may jump.
    pub at: DateTime<Utc>,
}

#[derive(Debug)]
pub enum Input {
    /// An agent reported something.
    Report { agent: AgentId, report: AgentReport },
    /// Time passed.
    Tick,
    /// A user asked to stop.
    Stop,
    /// The answer to a [`super::PrecisionCheck`]: the throughput of each complete run of the cell, in order.
    Throughputs { cell: usize, throughputs: Vec<f64> },
    /// The answer to a [`RunCheck`]: what the stored samples of the run come to.
    RunShares { check: RunCheck, shares: RunShares },
}

/// A message of an agent, already validated on its own: the campaign checks it against the plan.
#[derive(Debug)]
pub enum AgentReport {
    /// It inspected its engines and can start.
    Joined(Box<JoinedAgent>),
    /// It is still downloading what it needs.
    Preparing,
    /// A heartbeat, or a shard was accepted.
    Alive,
    /// How far its attempt is. Repeated with every heartbeat.
    Reached { shard: usize, attempt: u64, stage: Stage },
    /// It measured something.
    Batch(BatchReport),
    /// Windows in chronological order, metrics that can no longer be measured, and the number of windows dropped.
    Telemetry { windows: Vec<Window>, absences: Vec<Absence>, dropped: u64 },
    /// An attempt is complete. Its signature was verified.
    Finished {
        shard: usize,
        attempt: u64,
        segment: SegmentFacts,
        signature: Option<Box<ShardSignature>>,
    },
    /// An attempt was refused or broke off.
    Failed { shard: usize, attempt: u64, failure: Failure },
    /// It takes no more shards.
    Leaving,
    /// Its stream ended.
    Gone,
}

/// An agent that is ready to measure.
#[derive(Debug)]
pub struct JoinedAgent {
    pub host: HostId,
    /// Index of its target.
    pub target: usize,
    pub facts: AgentFacts,
    /// Per engine of its target: what it loaded, or why it can't run it.
    pub engines: Vec<Result<EngineFacts, String>>,
}

/// An agent's signature over the samples that it sent of an attempt, see [`model::shard_digest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardSignature {
    /// How many batches or windows it covers.
    pub batches: usize,
    /// Of the agent's connection; DER.
    pub certificate: Arc<[u8]>,
    pub salt: [u8; SALT_BYTES],
    pub digest: Hash,
    pub signature: Vec<u8>,
}

/// One measured batch, or one window of a sustained load.
#[derive(Debug)]
pub struct BatchReport {
    pub shard: usize,
    pub attempt: u64,
    /// Position in the attempt, to be acknowledged.
    pub sequence: u64,
    /// Index of the batch in its run.
    pub batch: u32,
    pub samples: Vec<(SampleId, Sample)>,
    /// Set for a sustained load, in place of samples.
    pub window: Option<Box<LoadWindow>>,
}
