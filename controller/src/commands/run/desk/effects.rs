//! What follows from what was said: rows for the store, letters to agents, lines for a person, in the order in which
//! they may happen.

use super::Step;
use crate::scheduler::Ending;
use fleet::{Outbox, Room};
use model::ids::AgentId;
use model::telemetry::Window;
use proto::wire;
use std::time::Duration;
use store::Write;
use tonic::Status;

/// A campaign that can't be run with the agents that came.
#[derive(Debug, thiserror::Error)]
#[error("the matrix can't be run as it stands:\n  {}", objections.join("\n  "))]
pub struct Unfit {
    pub(super) objections: Vec<String>,
}

/// What follows from what was said.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be written together.
    pub writes: Vec<Write>,
    /// What happened to shards, in this order; before their letters are posted.
    pub steps: Vec<Step>,
    /// To be posted once everything is written, in this order.
    pub letters: Vec<(Outbox, Letter)>,
    /// For a person.
    pub lines: Vec<Line>,
    /// Cells to look at once everything is written: [`Desk::look`] takes what is stored of them.
    pub looks: Vec<usize>,
    /// Nothing is left to do.
    pub ending: Option<Ending>,
    /// What of it waits for the disk; to be held until everything is written.
    pub rooms: Vec<Room>,
}

/// Something to tell one agent.
#[derive(Debug)]
pub enum Letter {
    /// A shard.
    Offer(wire::ShardOffer),
    /// Everything of an attempt up to a message is stored.
    Acknowledge {
        /// Which shard.
        shard: usize,
        /// Which attempt.
        attempt: u64,
        /// Which message.
        sequence: u64,
    },
    /// A shard is taken back.
    Cancel {
        /// Which shard.
        shard: usize,
        /// Which attempt.
        attempt: u64,
        /// Why.
        reason: &'static str,
    },
    /// Its stream ends with this.
    Refuse(Status),
}

impl Letter {
    /// Sends it.
    pub fn post(self, outbox: &Outbox) {
        match self {
            Self::Offer(offer) => outbox.offer(offer),
            Self::Acknowledge { shard, attempt, sequence } => {
                outbox.acknowledge(shard, attempt, sequence);
            }
            Self::Cancel { shard, attempt, reason } => outbox.cancel(shard, attempt, reason),
            Self::Refuse(status) => outbox.refuse(status),
        }
    }
}

/// Something to show.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// It stays.
    Said(String),
    /// It stands until something happens.
    Waiting(String),
    /// An agent is here.
    Joined {
        /// Who.
        agent: AgentId,
        /// The machine's name.
        host: String,
        /// Index of its target.
        target: usize,
    },
    /// An agent is here no longer.
    Left(AgentId),
    /// An agent was given a shard.
    Offered {
        /// Who.
        agent: AgentId,
        /// Index of the shard's cell.
        cell: usize,
    },
    /// An agent's shard is over.
    Idle(AgentId),
    /// A batch is measured.
    Batch {
        /// By whom.
        agent: AgentId,
        /// Index of its cell.
        cell: usize,
        /// How many samples, or one window of a sustained load.
        samples: u64,
        /// Of each request.
        latencies: Vec<Duration>,
        /// From its first start to its last end.
        span: Duration,
    },
    /// An agent observed its machine.
    Observed {
        /// Who.
        agent: AgentId,
        /// What it read last, and over which time.
        window: Box<Window>,
    },
    /// Samples turned out not to be needed.
    Skipped {
        /// Index of their cell.
        cell: usize,
        /// How many.
        samples: u64,
    },
}
