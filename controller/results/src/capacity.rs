//! The capacity of a target under the objective.

use matrix::Varied;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::search::{Resolution, Step};
use stats::slo::{Capacity, Slo};

/// The capacity of a target under the objective, from a sweep of loads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityOf {
    pub model: String,
    pub target: String,
    pub dtype: String,
    /// The level of the factor; null where beams are no factor.
    #[serde(default)]
    pub num_beams: Option<u32>,
    /// The level of the factor; null where prompt lookup is no factor.
    #[serde(default)]
    pub prompt_lookup_num_tokens: Option<u32>,
    /// So many requests were decoded together at most.
    pub max_batch_size: u32,
    pub slo: Slo,
    /// The rates that were offered, per second of one agent; empty if a search varied the concurrency.
    pub request_rates: Vec<f64>,
    /// The highest load that keeps the objective, as all lower ones do.
    pub capacity: Capacity,
    /// How the loads were chosen; null if the matrix lists them.
    #[serde(default)]
    pub search: Option<CapacitySearch>,
}

/// A search for a capacity: its 95% interval and the runs that led to it. The interval holds at whatever run the search
/// ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacitySearch {
    /// Whether loads are requests per second or in flight.
    #[serde(default)]
    pub vary: Varied,
    /// The highest load that is shown to keep the objective; null if none is.
    pub low: Option<f64>,
    /// The lowest load that is shown to miss it; null if none is.
    pub high: Option<f64>,
    pub resolution: Resolution,
    /// At `high`, of one instance; null without it and in closed loop, where cells have the cost of their throughput.
    pub usd_per_1000_requests_low: Option<f64>,
    /// The same at `low`.
    pub usd_per_1000_requests_high: Option<f64>,
    /// In the order in which they were measured.
    pub steps: Vec<Step>,
}
