//! What follows from a step.

use super::{event::CampaignEvent, offer::ShardOffer, scheduler::Ending};
use model::ids::AgentId;
use records::Write;

/// An agent joined that can't run the plan, before anything was measured.
#[derive(Debug, thiserror::Error)]
#[error("the agents can't run this matrix:\n  {}", objections.join("\n  "))]
pub struct IncompatibleAgent {
    pub(super) objections: Vec<String>,
}

/// What follows from one or more steps, in the order in which it must happen: commit the rows, send the messages,
/// show the events.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be committed in one transaction.
    pub rows: Vec<Write>,
    /// To be sent in this order, once the rows are committed.
    pub messages: Vec<(AgentId, AgentMessage)>,
    pub events: Vec<CampaignEvent>,
    /// To be answered with [`super::Input::Throughputs`] once the rows are committed.
    pub precision_checks: Vec<PrecisionCheck>,
    /// To be answered with [`super::Input::RunShares`] once the rows are committed.
    pub run_checks: Vec<RunCheck>,
    /// Set when nothing is left to do.
    pub ending: Option<Ending>,
}

impl Effects {
    pub fn append(&mut self, mut next: Self) {
        self.rows.append(&mut next.rows);
        self.messages.append(&mut next.messages);
        self.events.append(&mut next.events);
        self.precision_checks.append(&mut next.precision_checks);
        self.run_checks.append(&mut next.run_checks);
        self.ending = self.ending.or(next.ending);
    }

    pub(super) fn message(&mut self, text: impl Into<String>) {
        self.events.push(CampaignEvent::Message(text.into()));
    }

    pub(super) fn send(&mut self, agent: &AgentId, message: AgentMessage) {
        self.messages.push((agent.clone(), message));
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum AgentMessage {
    /// Leases a shard.
    Offer(Box<ShardOffer>),
    /// All agents that measure a run together have warmed up.
    Start { shard: usize, attempt: u64 },
    /// Everything of the attempt up to `sequence` is stored.
    Acknowledge { shard: usize, attempt: u64, sequence: u64 },
    /// Revokes a lease.
    Cancel { shard: usize, attempt: u64, reason: &'static str },
    /// Ends the agent's stream with an error.
    Refuse(Refusal),
    /// The campaign is over: the agent may exit.
    Drain { reason: &'static str },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The agent may join again, under a new connection id.
    #[error("the lease expired during a silence of this agent; join again")]
    LeaseExpired,
    #[error("received a batch of an attempt that was not leased to this agent")]
    NotLeased,
    #[error("received a batch that does not match the plan")]
    Unplanned,
    #[error("received a load window with more requests than its time and load can carry")]
    Implausible,
}

/// A search needs the shares of this run to decide which run is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunCheck {
    pub cell: usize,
    pub round: u32,
}

/// Adaptive precision needs the throughputs of these runs to decide whether the cell gets another run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrecisionCheck {
    pub cell: usize,
    /// The rounds that are over, from the first one on.
    pub rounds: Vec<u32>,
}
