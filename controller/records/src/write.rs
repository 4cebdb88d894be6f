//! Rows that are written: a new campaign, and what happens while it runs.

use crate::{
    DatasetFacts, DialogueRow, LoadWindowRow, PriceRow, SampleRow, SignatureRow, WindowRow,
};
use chrono::{DateTime, Utc};
use matrix::{Matrix, plan::Plan};
use model::ids::{AgentId, CampaignId, HostId};
use model::{engine::EngineFacts, host::AgentFacts, segment::SegmentFacts};
use std::time::Duration;

#[derive(Debug)]
pub struct NewCampaign<'a> {
    pub id: &'a CampaignId,
    pub created_at: DateTime<Utc>,
    pub controller_version: &'a str,
    pub matrix_text: &'a str,
    pub matrix: &'a Matrix,
    pub plan: &'a Plan,
    pub dataset: &'a DatasetFacts,
    pub prices: &'a [PriceRow],
    /// The measured ones in the order of the plan, then those that only warm up.
    pub dialogues: &'a [DialogueRow],
}

#[derive(Debug, Clone)]
pub struct AgentWrite {
    /// Its index in the campaign.
    pub ordinal: usize,
    pub agent: AgentId,
    pub host: HostId,
    pub target: usize,
    pub joined_at: DateTime<Utc>,
    pub facts: AgentFacts,
    /// What it found for each engine; null where it can't do it.
    pub engines: Vec<Option<EngineFacts>>,
}

/// A row that is written while a campaign runs.
#[derive(Debug, Clone)]
pub enum Write {
    /// An agent joined.
    Agent(Box<AgentWrite>),
    /// A segment begins. Its key: cell, run and number in the run.
    Segment { key: (usize, u32, u64), agent: usize, started_at: DateTime<Utc> },
    /// An agent's report on a segment.
    SegmentFacts { key: (usize, u32, u64), facts: SegmentFacts },
    /// The agent of a segment claims more measured time than passed since its offer.
    ImpossibleTime { key: (usize, u32, u64) },
    /// An agent was held so long so far, measuring or not.
    Held { agent: usize, held: Duration },
    /// A measured request.
    Sample(SampleRow),
    /// What was observed beside the samples.
    Window(Box<WindowRow>),
    /// A window of a sustained load.
    LoadWindow(Box<LoadWindowRow>),
    /// An agent signed the samples of an attempt.
    Signature(Box<SignatureRow>),
    /// Something happened: its kind, such as `agent_lost`, and a text for a person.
    Event { at: DateTime<Utc>, kind: &'static str, detail: String },
}
