//! The capacity of a target under the objective.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::search::{Resolution, Step};
use stats::slo::{Capacity, Slo};

/// The capacity of a target under the objective, from a sweep of request rates.
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
    /// The rates that were offered, per second of one agent.
    pub request_rates: Vec<f64>,
    /// The highest rate that keeps the objective, as all lower ones do.
    pub capacity: Capacity,
    /// How the rates were chosen; null if the matrix lists them.
    #[serde(default)]
    pub search: Option<CapacitySearch>,
}

/// A search for a capacity: its 95% interval and the runs that led to it. The interval holds at whatever run the search
/// ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacitySearch {
    /// The highest rate that is shown to keep the objective, per second; null if none is.
    pub low: Option<f64>,
    /// The lowest rate that is shown to miss it; null if none is.
    pub high: Option<f64>,
    pub resolution: Resolution,
    /// At `high`, of one instance; null without it.
    pub usd_per_1000_requests_low: Option<f64>,
    /// At `low`, of one instance; null without it.
    pub usd_per_1000_requests_high: Option<f64>,
    /// In the order in which they were measured.
    pub steps: Vec<Step>,
}
