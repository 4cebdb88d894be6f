//! The types of results.json. The committed JSON Schema is generated from them.
//!
//! A missing figure is null, never zero. Keys or neighboring fields have the unit; `mb` is 2^20 bytes.

mod generation;

pub use generation::{Decoding, Generation, Sampling};

use crate::capacity::CapacityOf;
use crate::offered_load::{Load, RateAt, ReplayedTrace};
use cost::campaign::Spending;
use cost::decision::Recommendation;
use cost::offered::OfferedRates;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::comparison::gate::Difference;
use stats::comparison::regression::{Outcome, Undecided};
use stats::comparison::separate::Separation;
use stats::comparison::{self, PairComparison};
pub use stats::http_timing::CellExchange;
use stats::loadgen::LoadGen;
use stats::phases::Phases;
use stats::precision::Look;
use stats::quality::{Agreement, Quality, QualityDifference};
use stats::slo::Goodput;
pub use stats::stream_timing::CellStream;
use stats::stress::Verdicts;
use stats::stress::judge::Delay;
use stats::telemetry::energy::CellEnergy;
use stats::telemetry::{CellTelemetry, NotMeasurable};
use stats::validity::{Status, Validity};
use stats::{CellStatistics, Estimate};
use std::collections::BTreeMap;

/// The version of this form. A reader of 1 reads every 1.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Results {
    pub schema_version: u32,
    pub campaign: Campaign,
    pub dataset: Dataset,
    pub environment: Environment,
    /// One entry for each model, target, dtype, number of beams, prompt lookup, scenario and load.
    pub results: Vec<Entry>,
    /// Pairs of entries that share samples.
    pub comparisons: Vec<Comparison>,
    /// The capacity of targets under the objective; empty without one or without `server`.
    #[serde(default)]
    pub capacities: Vec<CapacityOf>,
    /// What targets cost as the offered rate grows, and where one is cheaper than another.
    pub offered_rates: OfferedRates,
    /// What to choose, and why; null where nothing can be recommended.
    pub recommendation: Option<Recommendation>,
    /// The thresholds of `[gates]`; null without them.
    #[serde(default)]
    pub gates: Option<Gates>,
    /// As many dialogues with their summaries as the matrix allows; none unless it does.
    #[serde(default)]
    pub sample_texts: Vec<SampleText>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SampleText {
    pub sample_id: String,
    pub dialogue: String,
    /// Its reference summary; null where the dataset has none.
    pub reference: Option<String>,
    /// What the cells wrote, equal texts once.
    pub summaries: Vec<SummaryText>,
}

/// A summary, and who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SummaryText {
    /// The cells that wrote it.
    pub cells: Vec<String>,
    pub text: String,
}

/// One execution of a matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Campaign {
    pub id: String,
    pub name: String,
    /// `complete`, or `incomplete` where samples are missing.
    pub state: String,
    /// When it began, UTC.
    pub created_at: String,
    /// When it ended, UTC.
    pub finished_at: Option<String>,
    /// Of the program that ran it.
    pub controller_version: String,
    /// All choices by chance follow from it.
    pub seed: u64,
    pub planned_samples: u64,
    /// Samples that are there and count, failed ones included.
    pub counted_samples: u64,
    /// Samples that are not there.
    pub missing_samples: u64,
    /// Samples that came late from a lost agent; kept and not counted.
    pub late_samples: u64,
    /// What the campaign itself cost; what hosts cost that were held by a controller that was killed is missing.
    pub spending: Spending,
    /// What happened on the way.
    pub events: Vec<Event>,
    /// The matrix as the user wrote it.
    pub matrix: String,
    /// Every sample, in a file of its own.
    pub samples_file: Option<RowsFile>,
    /// Every window of telemetry, in a file of its own; null where there is none.
    pub telemetry_file: Option<RowsFile>,
}

/// Something that happened on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When, UTC.
    pub at: String,
    /// Such as `agent_lost`.
    pub kind: String,
    pub detail: String,
}

/// A Parquet file that belongs to these results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowsFile {
    /// Its name, beside this file.
    pub name: String,
    /// Of its bytes.
    pub sha256: String,
    pub rows: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Dataset {
    /// As named in the matrix.
    pub source: String,
    /// Of the file; of several, over the list of theirs, as `sha256sum` prints it.
    pub sha256: String,
    /// The commit of the hub that it is of; null elsewhere.
    #[serde(default)]
    pub revision: Option<String>,
    pub dialogues: u64,
    /// How many were measured in each run.
    pub samples: u64,
    /// Over the measured ids, in order.
    pub sample_ids_sha256: String,
    /// How many measured dialogues have a reference summary.
    pub references: u64,
    /// Rows that were not measured; null in results of versions that didn't record it.
    #[serde(default)]
    pub set_aside: Option<RowsSetAside>,
    /// Remarks on the format, the ids and the references.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Rows of a dataset that were not measured, because their dialogue is missing or has another type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RowsSetAside {
    pub count: u64,
    /// Of all rows, 0 to 1.
    pub share: f64,
    /// The first few.
    pub first: Vec<RowSetAside>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowSetAside {
    pub file: String,
    /// Where it is in the file, such as `line 7`.
    pub position: String,
    /// Null if it has none.
    pub id: Option<String>,
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    pub hosts: Vec<Host>,
    /// Prompt and limits of all models that the matrix doesn't ask otherwise.
    pub generation: Generation,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    /// Identifies machine and boot.
    pub id: String,
    pub name: String,
    /// The targets it was measured for.
    pub targets: Vec<String>,
    pub instance_type: Option<String>,
    /// Null if the system doesn't name it.
    pub cpu_model: Option<String>,
    /// As the system counts them.
    pub logical_cpus: u32,
    /// Of those that kernels use or could use, the ones it has.
    pub cpu_features: Vec<String>,
    pub memory_mb: f64,
    pub gpu_name: Option<String>,
    pub kernel: String,
    pub operating_system: String,
    /// Of the programs that measured.
    pub agent_versions: Vec<String>,
    /// Processor cores, without their second threads.
    pub physical_cores: Option<u32>,
    /// The fastest clock that the processor can take.
    pub cpu_max_mhz: Option<f64>,
    /// What chooses its clocks, such as `performance`.
    pub governor: Option<String>,
    /// Whether it may go beyond its base clock: `on` or `off`.
    pub turbo: Option<String>,
    /// Such as `kvm`.
    pub virtualization: Option<String>,
    /// Such as `docker`.
    pub container: Option<String>,
    /// `mains` or `battery`.
    pub power_supply: Option<String>,
    /// The control group's limit; null: none was found.
    pub cpu_limit_cores: Option<f64>,
    /// The control group's limit; null: none was found.
    pub memory_limit_mb: Option<f64>,
    /// Its GPUs, used or not, each followed by its instances of MIG.
    pub gpus: Vec<Gpu>,
    /// The library that read them.
    pub nvml_library: Option<NvmlLibrary>,
    /// What can't be measured there.
    pub not_measurable: Vec<NotMeasurable>,
}

/// A GPU. Null is "not known".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gpu {
    pub uuid: String,
    /// Such as `Tesla T4`.
    pub name: String,
    /// Such as `cuda:0`.
    pub device: Option<String>,
    pub driver: Option<String>,
    /// The newest CUDA that the driver runs.
    pub cuda_driver: Option<String>,
    /// Such as `7.5`.
    pub compute_capability: Option<String>,
    pub memory_mb: Option<f64>,
    /// In force when the agent started.
    pub power_limit_watts: Option<f64>,
    /// The fastest clock of its multiprocessors.
    pub sm_max_mhz: Option<f64>,
    /// The fastest clock of its memory.
    pub memory_max_mhz: Option<f64>,
    /// Whether memory errors are corrected.
    pub is_ecc_enabled: Option<bool>,
    /// Whether it is divided into instances.
    pub is_mig_enabled: Option<bool>,
    /// Whether the driver stays loaded without users.
    pub is_persistent: Option<bool>,
    /// The GPU that this instance of MIG is a part of; null of a whole GPU. All but `uuid`, `name`, `device` and
    /// `memory_mb` are facts of that GPU.
    #[serde(default)]
    pub parent_uuid: Option<String>,
}

/// The library that read the GPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NvmlLibrary {
    pub path: String,
    pub sha256: String,
    /// The user named it, so it isn't the system's own; its cells are DEGRADED.
    pub is_foreign: bool,
}

/// One model on one target, with one dtype, number of beams, prompt lookup, scenario and load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    pub timestamp: String,
    /// Where the model comes from.
    pub model_id: String,
    /// Where the adapter comes from.
    pub peft_weights: Option<String>,
    /// `merged` into the weights or `unmerged` beside them; null without an adapter.
    #[serde(default)]
    pub adapter_mode: Option<String>,
    /// `cpu`, `cuda:0`; null of an endpoint.
    pub device: Option<String>,
    pub gpu_name: Option<String>,
    pub num_samples: u64,
    pub num_runs: u32,
    /// Of the smallest batch size.
    pub metrics: Metrics,
    /// By batch size, as `batch_8`.
    pub batch_performance: BTreeMap<String, BatchPerformance>,
    pub model: String,
    /// The model that the matrix compares it with.
    pub baseline: Option<String>,
    pub target: String,
    pub measured_on: String,
    pub priced_as: String,
    pub dtype: String,
    /// The level of the factor; null where beams are no factor.
    #[serde(default)]
    pub num_beams: Option<u32>,
    /// The level of the factor; null where prompt lookup is no factor.
    #[serde(default)]
    pub prompt_lookup_num_tokens: Option<u32>,
    pub scenario: String,
    /// At which load; null where one batch follows the other.
    #[serde(default)]
    pub load: Option<Load>,
    /// How the rate of an open loop changed, in order of time: linearly between points, and at once between two at the
    /// same time. Empty where it stayed the same.
    #[serde(default)]
    pub rate_profile: Vec<RateAt>,
    /// Null where the arrivals were not recorded.
    #[serde(default)]
    pub trace: Option<ReplayedTrace>,
    pub engine: Option<Engine>,
    pub cells: Vec<Cell>,
    /// Of the cell that the recommendation ranks first, else of the cheapest VALID one; null where there is none.
    pub cost: Option<Cost>,
}

/// The thresholds of the matrix, held against every cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gates {
    /// Whether every gate passed; an undecided one fails unless `allow_undecided`.
    pub passed: bool,
    /// Whether the matrix lets undecided gates pass.
    pub allow_undecided: bool,
    /// Each gate of each cell, in the order of the plan.
    pub judged: Vec<Gate>,
}

impl Results {
    /// False without gates.
    pub fn has_failed_gate(&self) -> bool {
        self.gates.as_ref().is_some_and(|gates| !gates.passed)
    }
}

impl Gates {
    /// The gates because of which the campaign fails, failed ones before undecided ones.
    pub fn failing(&self) -> Vec<&Gate> {
        let undecided = if self.allow_undecided { Undecided::Passes } else { Undecided::Fails };
        let fails = |gate: &&Gate| gate.outcome.fails(undecided);
        let mut failing: Vec<&Gate> = self.judged.iter().filter(fails).collect();
        failing.sort_by_key(|gate| gate.outcome != Outcome::Failed);
        failing
    }
}

/// A threshold held against a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    pub cell: String,
    /// The key in `[gates]`, such as `max_latency_ms.p95`.
    pub gate: String,
    /// `valid` or `usable`, of the gate `require`; null for limits.
    pub required: Option<String>,
    /// In the unit of the key; null for `require`.
    pub limit: Option<f64>,
    /// The figure that is held against the limit; null for `require`.
    pub estimate: Option<Estimate>,
    /// The validity of the cell: every limit fails for an INVALID one.
    pub status: Status,
    /// By the whole 95% interval of the estimate.
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Engine {
    /// `native`, `candle`, `http` for an endpoint, or `scripted`. Null in results of versions without candle.
    #[serde(default)]
    pub name: Option<String>,
    pub kernel: String,
    /// Over all weight and configuration files; null for endpoints, whose files aren't visible.
    pub model_sha256: Option<String>,
    /// Where the model was asked, if it wasn't in the agent: what was measured is not the agent's machine.
    #[serde(default)]
    pub endpoint: Option<String>,
    pub adapter_sha256: Option<String>,
    pub tokenizer_sha256: Option<String>,
    /// The commit, for hub ids.
    pub revision: Option<String>,
    /// How many weights; null of an endpoint.
    pub parameters: Option<u64>,
    /// The model has no quality.
    pub random_weights: bool,
    /// Times come from a script, not from a clock.
    pub synthetic_time: bool,
    /// What it decoded with. Null of an endpoint, of a script, and of versions that were always greedy.
    #[serde(default)]
    pub decoding: Option<Decoding>,
    /// With its placeholder for the dialogue. Null in results of versions where it was the same for all models:
    /// `environment.generation` has it.
    #[serde(default)]
    pub prompt: Option<String>,
    /// The system message before the prompt, which the model's chat template writes. Null if none was asked for: some
    /// templates then write one of their own.
    #[serde(default)]
    pub system: Option<String>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

impl Engine {
    /// Scripts have no tokens to choose, and earlier versions no other way to choose them.
    pub(crate) const GREEDY: &str = "greedy";

    /// The name, also of results of versions that didn't record it.
    pub fn implementation(&self) -> &str {
        let of_earlier = || match (&self.endpoint, self.synthetic_time) {
            (Some(_), _) => "http",
            (None, true) => "scripted",
            (None, false) => "native",
        };
        self.name.as_deref().unwrap_or_else(of_earlier)
    }

    /// How tokens were chosen, on one line.
    pub fn decoding_summary(&self) -> &str {
        match (&self.decoding, &self.endpoint) {
            (Some(decoding), _) => &decoding.summary,
            (None, Some(_)) => "as the endpoint decodes",
            (None, None) => Self::GREEDY,
        }
    }
}

/// The seed form's figures, of the smallest batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metrics {
    /// Request latency in milliseconds.
    pub latency_ms: Latency,
    /// Samples per second of one host.
    pub throughput: Throughput,
    /// Of the process and the device.
    pub memory: Memory,
}

/// Plain figures; the cells hold them with intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    pub mean: Option<f64>,
    /// Over samples, ddof 1.
    pub std: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// Hyndman-Fan type 7; null below its floor.
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
}

/// Samples per second of one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Throughput {
    /// Counted samples over measured host-seconds.
    pub mean: Option<f64>,
    /// Over runs, ddof 1; null for one run.
    pub std: Option<f64>,
    /// `samples/sec`
    pub unit: String,
}

/// Of the process and the device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// The weights in this dtype, an adapter included.
    pub model_size_mb: Option<f64>,
    pub gpu_memory_mb: Option<f64>,
    pub gpu_utilization_pct: Option<f64>,
}

/// One batch size, as the seed form has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BatchPerformance {
    /// Mean time of one batch.
    pub latency_ms: Option<f64>,
    /// Samples per second of one host.
    pub throughput: Option<f64>,
}

/// One cell: an entry at one batch size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cell {
    pub cell: String,
    pub batch_size: u32,
    /// Agents that loaded the endpoint together in each run, each with its part of the rate or of the concurrent requests.
    /// Null if one did, and where the model was in the agent.
    #[serde(default)]
    pub load_agents: Option<u32>,
    /// Samples that are there and returned a summary.
    pub counted_samples: u64,
    pub failed_samples: u64,
    /// The same by what failed, such as `timed_out`.
    #[serde(default)]
    pub failed_by: BTreeMap<String, u64>,
    /// Samples that are not there.
    pub missing_samples: u64,
    /// Samples that came late; kept and not counted.
    pub late_samples: u64,
    /// Dialogues that the limit cut.
    pub cut_inputs: u64,
    /// Output tokens beyond the tokenizer, which decode to nothing.
    pub unknown_tokens: u64,
    /// Null where no tokens were drafted, and for a sustained load.
    #[serde(default)]
    pub drafts: Option<CellDrafts>,
    /// Null for an endpoint, in open loop, for a sustained load, and where requests have no time of
    /// their first token, as with beams.
    #[serde(default)]
    pub phases: Option<Phases>,
    pub estimates: CellStatistics,
    /// How `request_latency` is spread, in milliseconds: at 0, 1, 2 ... 100 % of the counted requests, by type 7. Empty
    /// where nothing was counted. It describes these samples; `estimates` generalize.
    #[serde(default)]
    pub latency_ms_by_percent: Vec<f64>,
    /// What MLPerf's LoadGen would report of its requests; null for a sustained load and where nothing was counted.
    #[serde(default)]
    pub loadgen: Option<LoadGen>,
    /// Of the summaries; null for random weights and without references.
    pub quality: Option<Quality>,
    /// What ended its repeats; null where the matrix fixes their number.
    pub precision: Option<Look>,
    /// How it fares under the objective; null without one.
    pub goodput: Option<Goodput>,
    /// From the intended start to the queue; null in closed loop.
    #[serde(default)]
    pub schedule_delay_ms: Option<Delay>,
    /// Arrivals that found a full queue; they are among the failed samples. Null in closed loop.
    #[serde(default)]
    pub not_sent: Option<u64>,
    /// The verdicts on each run of a sustained load.
    #[serde(default)]
    pub stress: Vec<Stress>,
    /// Where the time of requests to an endpoint goes; null where the model was in the agent.
    #[serde(default)]
    pub http: Option<CellExchange>,
    /// How the text of streamed responses arrived; null unless an endpoint streamed.
    #[serde(default)]
    pub stream: Option<CellStream>,
    /// Of the processes that measured; null for endpoints, whose machine isn't observed.
    pub memory: CellMemory,
    /// What was observed while it was measured; null where nothing was.
    pub telemetry: Option<CellTelemetry>,
    pub energy: CellEnergy,
    pub warmup: Warmup,
    pub validity: Validity,
    /// What it costs at full use.
    pub cost: Cost,
}

/// Tokens that were looked up in the prompt and checked by the model. They are counts of these samples: no interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellDrafts {
    pub drafted_tokens: u64,
    /// Those that the model would have generated itself: so many steps of rows were saved.
    pub accepted_tokens: u64,
    /// Accepted tokens as a share of drafted ones; null if none were found to draft.
    pub acceptance_rate: Option<f64>,
}

/// The verdicts on one run of a sustained load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stress {
    pub verdicts: Verdicts,
}

/// Memory and loading of a cell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellMemory {
    /// The weights in this dtype, an adapter included.
    pub model_size_mb: Option<f64>,
    /// The part of it that is an unmerged adapter's; null without an unmerged adapter.
    #[serde(default)]
    pub adapter_mb: Option<f64>,
    /// The highest resident memory of an agent since it began to load the engine.
    pub peak_rss_mb: Option<f64>,
    pub rss_after_load_mb: Option<f64>,
    /// The largest share of memory that was seen while measuring, where pages in common count in part.
    pub peak_pss_mb: Option<f64>,
    /// GPU memory in use after loading less that before; null on CPU.
    pub gpu_memory_mb: Option<f64>,
    /// The most GPU memory that was seen in use while measuring, less that before loading; null on CPU.
    pub peak_gpu_memory_mb: Option<f64>,
    /// Of keys and values, at most.
    pub kv_cache_mb: Option<f64>,
    /// The longest loading in this cell; null where the engine was there.
    pub load_ms: Option<f64>,
    /// The part of it that was an unmerged adapter's.
    #[serde(default)]
    pub adapter_load_ms: Option<f64>,
}

/// Warm-up of a cell: never counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Warmup {
    /// Unbroken stretches, each with its own warm-up.
    pub segments: u64,
    /// Batches in all of them.
    pub batches: u64,
    /// Time in all of them.
    pub total_ms: f64,
}

/// A pair of cells that share samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    pub kind: ComparisonKind,
    pub baseline: String,
    pub candidate: String,
    /// What else differs and doesn't forbid the comparison.
    pub flags: Vec<Difference>,
    /// Ratios of candidate over baseline, and verdicts that survive the number of comparisons.
    pub figures: PairComparison,
    /// Cost of the candidate over the baseline's, at full use.
    pub cost: comparison::Comparison,
    /// The candidate's quality less the baseline's; null where one of them has none.
    pub quality: Option<QualityDifference>,
    /// How far both write the same summaries, token by token; null between models, and without texts.
    pub agreement: Option<Agreement>,
    pub memory: PairMemory,
    /// What would separate the two; null if their latency differs significantly.
    pub separation: Option<Separation>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairMemory {
    pub baseline: CellMemory,
    pub candidate: CellMemory,
}

/// What two cells differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComparisonKind {
    Target,
    /// A model and its baseline.
    Model,
    Dtype,
    /// One number of beams and another.
    NumBeams,
    /// One length of drafts and another.
    PromptLookup,
    Campaign,
}

/// What requests cost at the throughput of the cell: on a machine that never idles, or that receives the offered rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// The batch size that it holds for.
    pub batch_size: u32,
    pub usd_per_hour: f64,
    /// With the interval of the throughput.
    pub usd_per_1000_requests: Estimate,
    /// Requests that keep the objective's limit, with the interval of their rate; null without one.
    pub usd_per_1000_good_requests: Option<Estimate>,
    /// With the interval of the token rate.
    pub usd_per_million_output_tokens: Estimate,
    /// Where the price comes from.
    pub price: Price,
}

/// Where a price comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// Such as `sagemaker-hosting`; null for a price of the matrix.
    pub service: Option<String>,
    /// Such as `us-east-1`; null for a price of the matrix.
    pub region: Option<String>,
    /// Such as `on-demand`; null for a price of the matrix.
    pub purchase: Option<String>,
    /// `matrix`, or the source of the price.
    pub source: String,
    /// When it was read; null for a price of the matrix.
    pub date: Option<String>,
    /// Whether the source leaves the region open.
    pub region_assumed: bool,
    /// How many days lay between its day and this report; null for a price of the matrix.
    pub age_days: Option<i64>,
    /// Whether that is more than 180.
    pub stale: bool,
}
