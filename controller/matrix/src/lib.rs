//! matrix.toml -> a checked [`Matrix`], or every problem at once.
//!
//! Pure: the files that a matrix names are not opened; their paths are only made absolute. A
//! [`Matrix`] has at least one level per factor, unique names, and counts within their limits.

#![forbid(unsafe_code)]

/// The JSON Schema of matrix.toml, for editors. It has the keys and the limits of each value; [`Matrix::check`] also
/// checks how they combine.
pub const SCHEMA: &str = include_str!("matrix.schema.json");

mod assignments;
mod duration;
mod endpoint;
mod endpoint_api;
mod engines;
mod gates;
pub mod lengths;
mod limits;
mod load;
mod notify;
pub mod plan;
mod reader;
mod replay;
mod sections;
mod settings;
mod trace;

pub use duration::duration;
pub use endpoint::EndpointVariable;
pub use endpoint_api::Api;
pub use gates::{GatedMetric, Gates, Limit, Override, Required, Thresholds};
pub use limits::{BATCH_SIZES, RUNS};
pub use load::{Arrivals, Batching, Loads, Queue, Search, Server, Stress, Varied};
pub use notify::{Channel, Email, Hook, Notify, Occasion, Tls, Webhook};
pub use reader::Problem;
pub use trace::{LengthUnit, LengthUse, RecordedLengths, Scale, Trace};

use model::endpoint::Endpoint;
use model::engine::{AdapterMode, Dtype, EngineName, EngineSpec};
use model::generation::{Generation, Settings};
use model::ids::TargetName;
use model::load::Scenario;
use model::words;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub struct Error {
    pub file: String,
    /// At least one, in the order of the file.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(f, "{}: {count} {noun}", self.file)?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// The experiment: factors, levels, targets and protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    pub name: String,
    /// Seed of all random choices.
    pub seed: u64,
    pub dataset: Dataset,
    /// At least one.
    pub models: Vec<Model>,
    /// At least one, including those of `[[fleet.local]]`.
    pub targets: Vec<Target>,
    /// At least one.
    pub scenarios: Vec<Scenario>,
    /// The levels of the factor; empty if beams are no factor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub num_beams: Vec<u32>,
    /// The levels of the factor; empty if prompt lookup is no factor.
    #[serde(default)]
    pub prompt_lookup_num_tokens: Vec<u32>,
    pub generation: Generation,
    pub protocol: Protocol,
    /// Parameters of the scenarios with a load.
    #[serde(default)]
    pub loads: Box<Loads>,
    #[serde(default)]
    pub slo: Option<Slo>,
    #[serde(default)]
    pub decision: Decision,
    #[serde(default)]
    pub gates: Option<Gates>,
    pub cost: Cost,
    /// How long to wait for missing agents.
    pub wait: Duration,
    /// How long an agent may hold a shard without a stored batch. None: derived from the plan.
    #[serde(default)]
    pub progress_timeout: Option<Duration>,
    /// Upload of the results, in addition to the data folder.
    #[serde(default)]
    pub artifacts: Option<Artifacts>,
    #[serde(default)]
    pub notify: Notify,
    #[serde(default)]
    pub report: Report,
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Texts of which the id of a cell contains one; empty for all cells.
    #[serde(default)]
    pub only: Vec<String>,
}

/// How the cells of a campaign are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Cells whose mean ROUGE-L is below the best one's by significantly more than this aren't ranked by cost; above 0, below 1.
    pub quality_margin: f64,
}

impl Default for Decision {
    fn default() -> Self {
        Self { quality_margin: 0.02 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Telemetry {
    /// Interval between two readings of the instruments.
    pub period: Duration,
    /// Carbon intensity of the electricity of all machines.
    pub grams_co2e_per_kwh: Option<f64>,
}

impl Default for Telemetry {
    fn default() -> Self {
        let period = Duration::from_millis(model::telemetry::DEFAULT_PERIOD_MS.into());
        Self { period, grams_co2e_per_kwh: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifacts {
    /// `s3://bucket/prefix`.
    pub s3: String,
    /// Validity of presigned links in messages, in days; null for links that require read access to
    /// the bucket.
    pub link_days: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// In addition to results.json, which is always written.
    pub formats: Vec<Format>,
    /// Maximum number of dialogues with their summaries in a report.
    pub sample_texts: usize,
}

words!(
    Format, "format", {
        /// results.json, and all samples as Parquet.
        Json = "json",
        /// One self-contained page.
        Html = "html",
        Pdf = "pdf",
        Markdown = "markdown",
        Junit = "junit",
        /// Annotations of GitHub workflows, on standard output.
        Github = "github",
        /// One line per cell.
        Csv = "csv",
        /// Logs in the form of MLPerf's LoadGen, in a folder for each cell.
        Mlperf = "mlperf",
    }
);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// `builtin:dialogues`, an absolute path, `hf://...` or `s3://...`.
    pub source: String,
    /// Selects files of a repository or prefix; null if there is only one candidate.
    #[serde(default)]
    pub split: Option<String>,
    /// Number of dialogues to measure; 0 for all.
    pub samples: usize,
    pub id_column: String,
    pub dialogue_column: String,
    pub summary_column: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Unique in the matrix; part of the cell ids.
    pub name: String,
    /// A hub id, path, `builtin:`, `scripted:` or endpoint.
    pub id: String,
    /// Commit or branch of a hub id.
    pub revision: Option<String>,
    pub tokenizer: Option<String>,
    /// A PEFT LoRA adapter.
    pub adapter: Option<String>,
    #[serde(default)]
    pub adapter_mode: AdapterMode,
    /// Name of the model to compare with.
    pub baseline: Option<String>,
    /// Names of its targets; empty for all.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Set if the id is an endpoint.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
    /// Of a model that agents load.
    #[serde(default)]
    pub engine: EngineName,
    /// Replaces that of `[generation]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Precede those of `[generation]`, one by one.
    #[serde(default, skip_serializing_if = "is_silent")]
    pub generation: Settings,
}

fn is_silent(settings: &Settings) -> bool {
    *settings == Settings::default()
}

impl Model {
    pub fn is_measured_on(&self, target: &TargetName) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|name| name == target.as_str())
    }

    pub fn engine(&self, dtype: Dtype) -> EngineSpec {
        EngineSpec {
            model: self.id.clone(),
            revision: self.revision.clone(),
            adapter: self.adapter.clone(),
            adapter_mode: self.adapter_mode,
            tokenizer: self.tokenizer.clone(),
            dtype,
            endpoint: self.endpoint.clone(),
            engine: self.engine,
        }
    }

    pub fn is_scripted(&self) -> bool {
        self.id.starts_with("scripted:")
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Such as `ml.g4dn.xlarge`.
    pub name: TargetName,
    /// Number of agents that must join before the start.
    pub agents: u32,
    pub dtypes: Vec<Dtype>,
    pub batch_sizes: Vec<u32>,
    pub usd_per_hour: Option<f64>,
    /// Set if the controller starts the agent itself.
    pub local: Option<Local>,
}

/// An agent that the controller starts on its own machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    pub threads: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// Runs of each cell; with `precision`, the minimum.
    pub runs: u32,
    /// Warm-up batches before each segment; they are not counted.
    pub warmup: u32,
    pub order: Order,
    /// Relative differences below this share count as equal; null to require equality.
    pub equal_within: Option<f64>,
    /// Adds runs adaptively; null for exactly `runs`.
    #[serde(default)]
    pub precision: Option<Precision>,
}

impl Protocol {
    /// The runs of every cell. Adaptive precision needs two for the first interval.
    pub fn least_runs(&self) -> u32 {
        if self.precision.is_some() { self.runs.max(2) } else { self.runs }
    }

    pub fn most_runs(&self) -> u32 {
        self.precision.map_or(self.runs, |precision| precision.max_runs)
    }
}

/// Adaptive precision: runs are added until the throughput of a cell is precise enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Precision {
    /// Largest half-width of the 95% CI, as a share of the mean, in (0, 1).
    pub half_width: f64,
    /// At least `runs`, and at least 2.
    pub max_runs: u32,
}

words!(
    Order, "order", {
        /// Shuffled within each round, by seed.
        Interleaved = "interleaved",
        /// As in the matrix, in every round.
        Written = "written",
    }
);

/// The service-level objective: a percentage of requests within all limits. At least one limit is set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slo {
    /// Above zero, as the other limits.
    #[serde(default)]
    pub request_latency_ms: Option<f64>,
    #[serde(default)]
    pub ttft_ms: Option<f64>,
    #[serde(default)]
    pub tpot_ms: Option<f64>,
    /// One of [`Slo::PERCENTILES`].
    pub percentile: f64,
    /// Largest share of requests that may fail, above 0 and below 1.
    #[serde(default)]
    pub error_rate: Option<f64>,
}

impl Slo {
    /// The reported percentiles.
    pub const PERCENTILES: [f64; 5] = [50.0, 90.0, 95.0, 99.0, 99.9];
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Path of a price book; required if a target has no price of its own.
    pub price_book: Option<String>,
    /// Such as `sagemaker-hosting`.
    pub service: Option<String>,
    /// Such as `us-east-1`.
    pub region: Option<String>,
    pub purchase: String,
    /// The campaign stops before it costs more.
    #[serde(default)]
    pub max_usd: Option<f64>,
}

/// Options of the command line, which override the matrix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    pub runs: Option<u32>,
    pub samples: Option<usize>,
    /// For all targets.
    pub batch_sizes: Option<Vec<u32>>,
    /// For all targets.
    pub dtypes: Option<Vec<Dtype>>,
    /// Assignments such as `protocol.warmup=2`, made before the matrix is checked.
    pub set: Vec<String>,
    /// Keep only the cells whose id contains one of these texts; empty keeps all.
    pub only: Vec<String>,
}

impl Matrix {
    /// What a model is asked for where the factors set `own`.
    pub fn asked(&self, model: &Model, own: &Settings) -> Generation {
        let all = &self.generation;
        let mut settings = own.or(&model.generation).or(&all.settings);
        if settings.samples() {
            settings.seed.get_or_insert(self.seed);
        }
        let prompt = model.prompt.clone().or_else(|| all.prompt.clone());
        Generation { prompt, settings, ..all.clone() }
    }

    /// Whether a target is the price of an endpoint instead of the agents' machines.
    pub fn asks_endpoints(&self, target: &TargetName) -> bool {
        let here = |model: &&Model| model.is_measured_on(target);
        self.models.iter().filter(here).any(|model| model.endpoint.is_some())
    }

    /// Machines of a target that are paid for while it is measured. Behind an endpoint is one, whatever number of agents
    /// loads it.
    pub fn machines(&self, target: &Target) -> u32 {
        if self.asks_endpoints(&target.name) { 1 } else { target.agents }
    }

    /// The search among the loads of `server`, if the matrix has one.
    pub fn search(&self) -> Option<&Search> {
        self.loads.server.as_ref()?.search.as_ref()
    }

    /// No cell has more runs.
    pub fn most_runs(&self) -> u32 {
        let of_candidates = self.search().map_or(0, |search| search.max_runs);
        self.protocol.most_runs().max(of_candidates)
    }

    /// Parses and checks the text of a matrix. `file` is its name in errors; relative paths start
    /// at `folder`.
    /// [`Error`], with every problem at once.
    pub fn check(
        text: &str,
        file: &str,
        folder: &Path,
        overrides: &Overrides,
    ) -> Result<Self, Error> {
        sections::check(text, folder, overrides)
            .map_err(|problems| Error { file: file.to_owned(), problems })
    }
}

#[cfg(test)]
mod tests;
