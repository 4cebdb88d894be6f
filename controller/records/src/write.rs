//! Rows that are written: a new campaign, and what happens while it runs.

use crate::{DatasetFacts, DialogueRow, LoadWindowRow, PriceRow, SampleRow, WindowRow};
use chrono::{DateTime, Utc};
use matrix::Matrix;
use matrix::plan::Plan;
use model::engine::EngineFacts;
use model::host::AgentFacts;
use model::ids::{AgentId, CampaignId, HostId};
use model::segment::SegmentFacts;
use std::time::Duration;

/// A campaign that begins.
#[derive(Debug)]
pub struct NewCampaign<'a> {
    /// Its id.
    pub id: &'a CampaignId,
    /// When it begins.
    pub created_at: DateTime<Utc>,
    /// Of this program.
    pub controller_version: &'a str,
    /// As the user wrote it.
    pub matrix_text: &'a str,
    /// As it was checked.
    pub matrix: &'a Matrix,
    /// What is to be measured.
    pub plan: &'a Plan,
    /// What the dialogues are.
    pub dataset: &'a DatasetFacts,
    /// One for each target.
    pub prices: &'a [PriceRow],
    /// The measured ones in the order of the plan, then those that only warm up.
    pub dialogues: &'a [DialogueRow],
}

/// An agent that joined.
#[derive(Debug, Clone)]
pub struct AgentWrite {
    /// Its index in the campaign.
    pub ordinal: usize,
    /// Its id.
    pub agent: AgentId,
    /// Its machine.
    pub host: HostId,
    /// Index of its target.
    pub target: usize,
    /// When.
    pub joined_at: DateTime<Utc>,
    /// Its machine's facts.
    pub facts: AgentFacts,
    /// What it found for each engine; null where it can't do it.
    pub engines: Vec<Option<EngineFacts>>,
}

/// A row that is written while a campaign runs.
#[derive(Debug, Clone)]
pub enum Write {
    /// An agent joined.
    Agent(Box<AgentWrite>),
    /// A segment begins.
    Segment {
        /// Cell, run and number in the run.
        key: (usize, u32, u64),
        /// Index of its agent.
        agent: usize,
        /// When.
        started_at: DateTime<Utc>,
    },
    /// An agent's report on a segment.
    SegmentFacts {
        /// Cell, run and number in the run.
        key: (usize, u32, u64),
        facts: SegmentFacts,
        is_time_impossible: bool,
    },
    /// An agent was held so long so far, measuring or not.
    Held {
        /// Index of the agent.
        agent: usize,
        /// How long.
        held: Duration,
    },
    /// A measured request.
    Sample(SampleRow),
    /// What was observed beside the samples.
    Window(Box<WindowRow>),
    /// A window of a sustained load.
    LoadWindow(Box<LoadWindowRow>),
    /// Something happened.
    Event {
        /// When.
        at: DateTime<Utc>,
        /// Such as `agent_lost`.
        kind: &'static str,
        /// For a person.
        detail: String,
    },
}
