//! Rows as the store keeps them: what statistics and reports read.

use chrono::{DateTime, Utc};
use model::engine::EngineFacts;
use model::host::AgentFacts;
use model::ids::{AgentId, CampaignId, HostId, SampleId};
use model::sample::{Sample, SampleKey};
use model::segment::SegmentFacts;
use serde::{Deserialize, Serialize};

/// Where a campaign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Under way, or its controller died.
    Running,
    /// Every sample is there.
    Complete,
    /// It ended, and samples are missing.
    Incomplete,
}

impl State {
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Running, "running"),
        (Self::Complete, "complete"),
        (Self::Incomplete, "incomplete"),
    ];

    /// Its word in the database.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("running", |(_, word)| word)
    }
}

/// One campaign: what was asked and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignRow {
    /// Its id.
    pub id: CampaignId,
    /// Its matrix's name.
    pub name: String,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Where it stands.
    pub state: State,
    /// Of the program that ran it.
    pub controller_version: String,
    /// As the user wrote it.
    pub matrix_text: String,
    /// As it was checked, overrides included.
    pub matrix: matrix::Matrix,
    /// What is to be measured.
    pub plan: matrix::plan::Plan,
    /// What the dialogues are.
    pub dataset: DatasetFacts,
    /// One for each target.
    pub prices: Vec<PriceRow>,
}

/// What the dialogues are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetFacts {
    /// As named in the matrix.
    pub source: String,
    /// Over the file.
    pub sha256: String,
    /// The commit of the hub that it is of.
    #[serde(default)]
    pub revision: Option<String>,
    /// How many dialogues it holds.
    pub dialogues: usize,
    /// How many were measured.
    pub samples: usize,
    /// Over the measured ids, in order: equal hashes mean equal samples.
    pub sample_ids_sha256: String,
    /// How many measured dialogues have a reference summary.
    pub references: usize,
}

/// What a target costs, as it was known when the campaign began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PriceRow {
    /// USD per hour and machine.
    pub usd_per_hour: f64,
    /// Such as `sagemaker-hosting`; null for a price of the matrix.
    pub service: Option<String>,
    /// Such as `us-east-1`; null for a price of the matrix.
    pub region: Option<String>,
    /// Such as `on-demand`; null for a price of the matrix.
    pub purchase: Option<String>,
    /// `matrix`, or where the price book has it from.
    pub source: String,
    /// The price's day, as `YYYY-MM-DD`; null for a price of the matrix.
    pub date: Option<String>,
    /// The price is of another region than the source says for sure.
    pub is_region_assumed: bool,
}

/// A dialogue of the campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialogueRow {
    /// Its id.
    pub sample_id: SampleId,
    /// Its text.
    pub dialogue: String,
    /// Its reference summary.
    pub summary: Option<String>,
    /// Whether it is measured or only warms up.
    pub is_measured: bool,
}

/// An agent that measured.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentRow {
    /// Its id.
    pub agent_id: AgentId,
    /// Its machine.
    pub host_id: HostId,
    /// Index of the target that it stood for.
    pub target: usize,
    /// Its machine's facts.
    pub facts: AgentFacts,
    /// What it found for each engine of its target; null where it couldn't do it.
    pub engines: Vec<Option<EngineFacts>>,
    /// How long it was held, measuring or not.
    pub held_ns: u64,
}

/// An unbroken stretch of a run on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRow {
    /// Index of its cell.
    pub cell: usize,
    /// Its round.
    pub run: u32,
    /// From 1 in its run.
    pub segment: u64,
    /// Index of its agent.
    pub agent: usize,
    /// Null if the segment broke off before its agent reported.
    pub facts: Option<SegmentFacts>,
    /// The agent claimed more time than passed between offer and end.
    pub is_time_impossible: bool,
}

/// A stored sample. What isn't read, such as the text where only figures are needed, is null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleRow {
    pub key: SampleKey,
    /// False for a late sample of a lost agent, which is kept but not counted.
    pub is_counted: bool,
    pub sample: Sample,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// When.
    pub at: DateTime<Utc>,
    /// Such as `agent_lost`.
    pub kind: String,
    /// For a person.
    pub detail: String,
}

/// A batch that is measured and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedBatch {
    /// Index of its cell.
    pub cell: usize,
    /// Its round, from 1.
    pub run: u32,
    /// Index in its run.
    pub batch: u32,
    /// How many samples it has.
    pub samples: u64,
}
