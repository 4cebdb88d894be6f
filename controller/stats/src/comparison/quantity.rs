//! What is compared, and which way is better.

use crate::Observation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A measured quantity of two cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Requests per host-second.
    Throughput,
    RequestLatency,
    /// Time of a request per output token.
    LatencyPerOutputToken,
    /// Time to the first token.
    Ttft,
    OutputTokens,
    /// US dollars per request.
    Cost,
}

impl Quantity {
    /// What a request contributes; `None` where it has none, or where the quantity is not one of requests.
    pub fn of(self, row: &Observation) -> Option<f64> {
        let value = match self {
            Self::RequestLatency => Some(row.latency_ms()),
            Self::LatencyPerOutputToken => row.latency_ms_per_output_token(),
            Self::Ttft => row.ttft_ms(),
            Self::OutputTokens => row.output_tokens.map(f64::from),
            Self::Throughput | Self::Cost => None,
        };
        // Ratios are taken as logarithms.
        value.filter(|&value| row.is_ok() && value > 0.0)
    }

    /// Whether it is counted by run and not by request.
    pub fn is_of_runs(self) -> bool {
        matches!(self, Self::Throughput | Self::Cost)
    }
}
