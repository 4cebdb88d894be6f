//! The load of an entry, as results.json has it.

use matrix::{Batching, LengthUnit, Scale};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::arrivals::Burstiness;
use stats::lengths::{LengthMatch, LengthQuantiles};

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Open loop: requests per second of one agent; null in closed loop.
    pub request_rate: Option<f64>,
    /// Whether their gaps were constant; else they are exponential, unless `gap_cv` is given. Null in closed loop.
    pub constant_gaps: Option<bool>,
    /// The coefficient of variation of gaps with a gamma distribution; null for other gaps.
    #[serde(default)]
    pub gap_cv: Option<f64>,
    /// Closed loop: requests that were under way at any time; null in open loop.
    pub concurrency: Option<u32>,
    /// How long the oldest request waited for others to be decoded with; null in closed loop and for endpoints.
    pub max_batch_delay_ms: Option<f64>,
    /// What came while so many waited was not sent; null in closed loop and for endpoints.
    pub max_queue: Option<u32>,
    /// Of an endpoint in open loop: what came while so many were in flight was not sent; null for others.
    #[serde(default)]
    pub max_in_flight: Option<u32>,
    /// Which requests were decoded together.
    #[serde(default)]
    pub batching: Batching,
    /// How long a sustained load was to last, in seconds; null where every dialogue comes once.
    pub planned_s: Option<f64>,
}

/// A recorded trace whose times the requests followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplayedTrace {
    /// The name of the file, without its folder.
    pub file: String,
    /// The rate as a multiple of the recorded one.
    pub factor: f64,
    /// What the factor changed: the speed of time, or the number of requests.
    pub scale: Scale,
    /// Of the replayed part, in requests per second.
    pub recorded_rate: f64,
    /// The length of the replayed part, in seconds as it was replayed; a longer load repeats it.
    pub period_s: f64,
    /// Of the requests of a run, at most those of one period; null for fewer than 20.
    pub burstiness: Option<Burstiness>,
    /// How well the lengths of prompts match the recorded ones; null if these are unknown or not used.
    #[serde(default)]
    pub lengths: Option<ReplayedLengths>,
}

/// Lengths of prompts as recorded, and those of the dialogues that were sent instead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplayedLengths {
    /// In which they were recorded.
    pub unit: LengthUnit,
    /// By which recorded tokens were converted; null if characters were recorded.
    pub characters_per_token: Option<f64>,
    /// In characters, of the requests of a run.
    pub characters: LengthMatch,
    /// As recorded; null if characters were recorded.
    pub requested_tokens: Option<LengthQuantiles>,
    /// Of the requests of the first run, as the model counted them; null for a sustained load and without counts.
    pub measured_tokens: Option<LengthQuantiles>,
    /// Of the same requests; null where `measured_tokens` is.
    pub measured_characters_per_token: Option<f64>,
}

/// The rate at a time of a load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RateAt {
    /// From the start of the load, in seconds.
    pub at_s: f64,
    /// Of `request_rate`.
    pub factor: f64,
}
