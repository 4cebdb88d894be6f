//! Rows as the store keeps them: what statistics and reports read.

use chrono::{DateTime, Utc};
use model::ids::{AgentId, CampaignId, HostId, SampleId};
use model::sample::{Sample, SampleKey};
use model::shard_digest::{Hash, SALT_BYTES};
use model::{engine::EngineFacts, host::AgentFacts, segment::SegmentFacts, words};
use serde::{Deserialize, Serialize};

words!(
    /// Where a campaign stands.
    State, "state", {
        /// Under way, or its controller died.
        Running = "running",
        /// Every sample is there.
        Complete = "complete",
        /// It ended, and samples are missing.
        Incomplete = "incomplete",
    }
);

/// One campaign: what was asked and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignRow {
    pub id: CampaignId,
    pub name: String,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    pub state: State,
    pub controller_version: String,
    /// As the user wrote it.
    pub matrix_text: String,
    /// As it was checked, overrides included.
    pub matrix: matrix::Matrix,
    pub plan: matrix::plan::Plan,
    pub dataset: DatasetFacts,
    /// One for each target.
    pub prices: Vec<PriceRow>,
}

impl CampaignRow {
    /// USD per hour of an agent of a target. Agents that load an endpoint share the price of what is behind it.
    pub fn agent_usd_per_hour(&self, target: usize) -> Option<f64> {
        let (price, of) = (self.prices.get(target)?, self.matrix.targets.get(target)?);
        let machines = f64::from(self.matrix.machines(of));
        Some(price.usd_per_hour * machines / f64::from(of.agents.max(1)))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetFacts {
    /// As named in the matrix.
    pub source: String,
    /// Over the file.
    pub sha256: String,
    /// The commit of the hub that it is of.
    #[serde(default)]
    pub revision: Option<String>,
    pub dialogues: usize,
    /// How many were measured.
    pub samples: usize,
    /// Over the measured ids, in order: equal hashes mean equal samples.
    pub sample_ids_sha256: String,
    /// How many measured dialogues have a reference summary.
    pub references: usize,
    /// `None`: stored by a version that didn't record it.
    #[serde(default)]
    pub set_aside: Option<RowsSetAside>,
    /// Remarks on the format, the ids and the references.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Rows of a dataset that can't be measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsSetAside {
    pub count: usize,
    /// All rows of the dataset, with these.
    pub rows: usize,
    /// The first few.
    pub first: Vec<RowSetAside>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowSetAside {
    pub file: String,
    /// Such as `line 7`.
    pub position: String,
    /// `None` if it has none.
    pub id: Option<String>,
    pub reason: String,
}

/// What a target costs, as it was known when the campaign began. Null fields: the price is of the matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PriceRow {
    /// USD per hour and machine.
    pub usd_per_hour: f64,
    pub service: Option<String>,
    pub region: Option<String>,
    pub purchase: Option<String>,
    /// `matrix`, or where the price book has it from.
    pub source: String,
    /// `YYYY-MM-DD`.
    pub date: Option<String>,
    /// The price is of another region than the source says for sure.
    pub is_region_assumed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialogueRow {
    pub sample_id: SampleId,
    pub dialogue: String,
    pub summary: Option<String>,
    /// Whether it is measured or only warms up.
    pub is_measured: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentRow {
    pub agent_id: AgentId,
    pub host_id: HostId,
    /// Index of the target that it stood for.
    pub target: usize,
    pub facts: AgentFacts,
    /// What it found for each engine of its target; null where it couldn't do it.
    pub engines: Vec<Option<EngineFacts>>,
    /// How long it was held, measuring or not.
    pub held_ns: u64,
}

/// An unbroken stretch of a run on one host. `cell` and `agent` are indices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRow {
    pub cell: usize,
    pub run: u32,
    /// From 1 in its run.
    pub segment: u64,
    pub agent: usize,
    /// Null if the segment broke off before its agent reported.
    pub facts: Option<SegmentFacts>,
    /// The agent claimed more time than passed between offer and end.
    pub is_time_impossible: bool,
}

/// An agent's signature over the samples of an attempt, see [`model::shard_digest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureRow {
    pub attempt: u64,
    /// Index of the agent.
    pub agent: usize,
    /// With which it connected; DER.
    pub certificate: Vec<u8>,
    /// Of the hashes of texts; null where texts are not to be guessed.
    pub salt: Option<[u8; SALT_BYTES]>,
    pub digest: Hash,
    /// By the key of the certificate: ECDSA in DER, or Ed25519.
    pub signature: Vec<u8>,
}

/// A stored sample. What isn't read, such as the text where only figures are needed, is null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleRow {
    pub key: SampleKey,
    /// False for a late sample of a lost agent, which is kept but not counted.
    pub is_counted: bool,
    pub sample: Sample,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRow {
    pub at: DateTime<Utc>,
    /// Such as `agent_lost`.
    pub kind: String,
    pub detail: String,
}

/// How many samples of a cell are counted, and how long they took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellSpan {
    pub cell: usize,
    pub samples: u64,
    /// Summed over the attempts: from the first start to the last end on the agent's clock.
    pub span_ns: u64,
}

/// A batch that is measured and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedBatch {
    pub cell: usize,
    /// Its round, from 1.
    pub run: u32,
    /// Index in its run.
    pub batch: u32,
    pub samples: u64,
}
