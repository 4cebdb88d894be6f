//! matrix.toml: what is asked. Text goes in, a checked [`Matrix`] comes out, or every problem at once.
//!
//! Pure: files that the matrix names are not opened here, and paths are only made absolute. Holding a
//! [`Matrix`] is proof that its factors are not empty, its names are unique and its counts are in range.

#![forbid(unsafe_code)]

pub mod plan;
mod endpoint;
mod limits;
mod load;
mod notify;
mod reader;
mod sections;

pub use load::{Batching, Gaps, Loads, Queue, Server, Stress};
pub use notify::{Channel, Email, Hook, Notify, Occasion, Tls, Webhook};
pub use reader::Problem;
pub use sections::duration;

use model::endpoint::Endpoint;
use model::engine::{AdapterMode, Dtype, EngineSpec};
use model::generation::Generation;
use model::ids::TargetName;
use model::load::Scenario;
use model::words::Unknown;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// The matrix can't be run as it stands.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    /// Which file.
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

/// What is asked: factors and levels, and how to measure them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Matrix {
    /// Names the campaign.
    pub name: String,
    /// All choices by chance follow from it.
    pub seed: u64,
    /// Where the dialogues come from.
    pub dataset: Dataset,
    /// At least one.
    pub models: Vec<Model>,
    /// At least one, those of `[[fleet.local]]` included.
    pub targets: Vec<Target>,
    /// At least one.
    pub scenarios: Vec<Scenario>,
    /// Prompt and limits.
    pub generation: Generation,
    /// How to measure.
    pub protocol: Protocol,
    /// How requests come where a scenario has a load.
    #[serde(default)]
    pub loads: Box<Loads>,
    /// What requests must keep; none without `[slo]`.
    #[serde(default)]
    pub slo: Option<Slo>,
    /// Where prices come from.
    pub cost: Cost,
    /// How long to wait for agents that are missing.
    pub wait: Duration,
    /// Where results are put besides the data folder.
    #[serde(default)]
    pub artifacts: Option<Artifacts>,
    /// Whom to tell when it ends.
    #[serde(default)]
    pub notify: Notify,
    /// What is written when it ends.
    #[serde(default)]
    pub report: Report,
    /// What is observed beside the samples.
    #[serde(default)]
    pub telemetry: Telemetry,
}

/// What is observed beside the samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Telemetry {
    /// How often agents read their instruments.
    pub period: Duration,
    /// What a kilowatt-hour of the machines' electricity emits; null where the matrix doesn't say.
    pub grams_co2e_per_kwh: Option<f64>,
}

impl Default for Telemetry {
    fn default() -> Self {
        let period = Duration::from_millis(model::telemetry::DEFAULT_PERIOD_MS.into());
        Self { period, grams_co2e_per_kwh: None }
    }
}

/// Where results are put besides the data folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifacts {
    /// `s3://bucket/prefix`.
    pub s3: String,
    /// For how many days links in messages open for whoever has them; without it they open for who may read the bucket.
    pub link_days: Option<u32>,
}

/// What is written when a campaign ends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// Beside results.json, which is always written.
    pub formats: Vec<Format>,
    /// How many dialogues and summaries a report may show.
    pub sample_texts: usize,
}

/// A form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// results.json and every sample as Parquet.
    Json,
    /// A page that needs nothing else.
    Html,
    /// A few pages to send.
    Pdf,
    /// For pull requests.
    Markdown,
    /// For continuous integration.
    Junit,
    /// Annotations of GitHub's workflows, on standard output.
    Github,
    /// One line per cell.
    Csv,
}

impl Format {
    const ALL: [Self; 7] =
        [Self::Json, Self::Html, Self::Pdf, Self::Markdown, Self::Junit, Self::Github, Self::Csv];
    /// In the order of [`Format::ALL`].
    const WORDS: [&str; 7] = ["json", "html", "pdf", "markdown", "junit", "github", "csv"];
}

impl FromStr for Format {
    type Err = Unknown;

    fn from_str(word: &str) -> Result<Self, Unknown> {
        let found = Self::ALL.into_iter().zip(Self::WORDS).find(|(_, name)| *name == word);
        found.map(|(format, _)| format).ok_or_else(|| Unknown {
            what: "format",
            found: word.to_owned(),
            expected: &Self::WORDS,
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::WORDS[*self as usize])
    }
}

/// Where the dialogues come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// `builtin:dialogues`, an absolute path, or another scheme.
    pub source: String,
    /// Which files of a repository or prefix; null where only one can be meant.
    #[serde(default)]
    pub split: Option<String>,
    /// How many to measure; 0 for all.
    pub samples: usize,
    /// Column of the id.
    pub id_column: String,
    /// Column of the dialogue.
    pub dialogue_column: String,
    /// Column of the reference summary.
    pub summary_column: String,
}

/// One model, with or without an adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name in tables.
    pub name: String,
    /// Where it comes from.
    pub id: String,
    /// Commit or branch of a hub id.
    pub revision: Option<String>,
    /// Where another tokenizer is wanted.
    pub tokenizer: Option<String>,
    /// A PEFT LoRA adapter.
    pub adapter: Option<String>,
    /// Whether it is added to the base's weights or stays beside them.
    #[serde(default)]
    pub adapter_mode: AdapterMode,
    /// The model that this one is compared with.
    pub baseline: Option<String>,
    /// Where it is measured; on all targets where it is empty.
    #[serde(default)]
    pub targets: Vec<String>,
    /// How it is asked, where it is an endpoint.
    #[serde(default)]
    pub endpoint: Option<Endpoint>,
}

impl Model {
    /// Whether a target measures it.
    pub fn is_measured_on(&self, target: &TargetName) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|name| name == target.as_str())
    }

    /// What an agent is to load.
    pub fn engine(&self, dtype: Dtype) -> EngineSpec {
        EngineSpec {
            model: self.id.clone(),
            revision: self.revision.clone(),
            adapter: self.adapter.clone(),
            adapter_mode: self.adapter_mode,
            tokenizer: self.tokenizer.clone(),
            dtype,
            endpoint: self.endpoint.clone(),
        }
    }

    /// Whether it only plays a script.
    pub fn is_scripted(&self) -> bool {
        self.id.starts_with("scripted:")
    }
}

/// What is compared and priced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Such as `ml.g4dn.xlarge`.
    pub name: TargetName,
    /// How many agents must be there before the start.
    pub agents: u32,
    /// How weights are stored.
    pub dtypes: Vec<Dtype>,
    /// How many samples are decoded together.
    pub batch_sizes: Vec<u32>,
    /// Set where the matrix brings the price itself.
    pub usd_per_hour: Option<f64>,
    /// Set where the controller starts the agent itself.
    pub local: Option<Local>,
}

/// An agent that the controller starts on its own machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// Inference threads.
    pub threads: u32,
}

/// How to measure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// Repeats of every cell.
    pub runs: u32,
    /// Batches before each segment that are never counted.
    pub warmup: u32,
    /// How cells follow each other.
    pub order: Order,
    /// Differences below this share count as equal; without it only what the data can't tell apart.
    pub equal_within: Option<f64>,
    /// When further runs are added; without it there are `runs`.
    #[serde(default)]
    pub precision: Option<Precision>,
}

impl Protocol {
    /// The runs that every cell has: an interval needs two.
    pub fn least_runs(&self) -> u32 {
        if self.precision.is_some() { self.runs.max(2) } else { self.runs }
    }

    /// The most runs that a cell may have.
    pub fn most_runs(&self) -> u32 {
        self.precision.map_or(self.runs, |precision| precision.max_runs)
    }
}

/// Further runs are added until throughput is known well enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Precision {
    /// Half the 95 % interval, as a share of the mean, that is narrow enough; above zero.
    pub half_width: f64,
    /// At least `runs`, and at least 2.
    pub max_runs: u32,
}

/// How cells follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Shuffled within each round, by seed.
    Interleaved,
    /// As written, in every round.
    Written,
}

/// What requests must keep: a percentile of request latency within a limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slo {
    /// The limit, above zero.
    pub request_latency_ms: f64,
    /// One of [`Slo::PERCENTILES`].
    pub percentile: f64,
}

impl Slo {
    /// The percentiles that are reported, and so can be held to a limit.
    pub const PERCENTILES: [f64; 5] = [50.0, 90.0, 95.0, 99.0, 99.9];
}

/// Where prices come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// A price book; needed where a target brings no price.
    pub price_book: Option<String>,
    /// Such as `sagemaker-hosting`.
    pub service: Option<String>,
    /// Such as `us-east-1`.
    pub region: Option<String>,
    /// Such as `on-demand`.
    pub purchase: String,
    /// The campaign stops before it costs more, in US dollars.
    #[serde(default)]
    pub max_usd: Option<f64>,
}

/// What the command line says instead of the matrix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--runs`
    pub runs: Option<u32>,
    /// `--samples`
    pub samples: Option<usize>,
    /// `--batch-sizes`, for every target.
    pub batch_sizes: Option<Vec<u32>>,
}

impl Matrix {
    /// Whether a target stands for what answers behind endpoints, and not for its agents' machines.
    pub fn asks_endpoints(&self, target: &TargetName) -> bool {
        let here = |model: &&Model| model.is_measured_on(target);
        self.models.iter().filter(here).any(|model| model.endpoint.is_some())
    }

    /// Checks the text of a matrix. `file` names it in errors; `folder` is what relative paths start from.
    ///
    /// # Errors
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
