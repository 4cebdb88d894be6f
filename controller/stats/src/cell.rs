//! Everything that is estimated of one cell.

use super::distribution::{Distribution, of_batches, of_requests};
use super::layout::distinct;
use super::throughput::{self, Rate, RunRow};
use super::tokens::{Lengths, lengths};
use super::variance::{self, VarianceShares};
use super::within::{OtherDialogues, other_dialogues};
use crate::{Cell, Observation, Scenario};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The statistics of one cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellStatistics {
    #[schemars(with = "String")]
    pub scenario: Scenario,
    /// Requests with a summary.
    pub counted_samples: u64,
    pub failed_samples: u64,
    /// Distinct dialogues among the counted.
    pub distinct_samples: u64,
    /// Behind an endpoint is one, whatever number of agents loads it.
    pub hosts: u64,
    pub runs: Vec<RunRow>,
    /// `request_latency` of the requests with a summary.
    pub latency_ms: Distribution,
    /// Batch spans, the failed requests' time included.
    pub batch_ms: Distribution,
    pub ttft_ms: Distribution,
    /// Time per further output token.
    pub tpot_ms: Distribution,
    /// `request_latency` per output token.
    pub latency_ms_per_output_token: Distribution,
    /// With an endpoint: from the start of sending to the last byte, minus the server's own timing.
    /// Null without an endpoint, or if the server doesn't report it.
    #[serde(default)]
    pub network_ms: Option<Distribution>,
    /// Requests with a summary per second inside batches; costs use this.
    pub throughput: Rate,
    /// Requests with a summary per second of a host from the first start to the last end of its segments: with the
    /// pauses between batches, in which the agent reports results. Null where no time was measured.
    pub wall_samples_per_s: Option<f64>,
    pub output_token_throughput: Rate,
    pub input_tokens: Lengths,
    pub output_tokens: Lengths,
    /// What holds beyond the chosen dialogues.
    pub other_dialogues: OtherDialogues,
    /// Where the spread of latencies comes from.
    pub variance: VarianceShares,
}

pub fn summarize(cell: &Cell) -> CellStatistics {
    let runs = throughput::rows(cell);
    let counted = cell.observations().filter(Observation::is_ok);
    let latency_ms = of_requests(cell, |row| Some(row.latency_ms()));
    let throughput = throughput::of_samples(cell);
    CellStatistics {
        scenario: cell.scenario(),
        counted_samples: runs.iter().map(|run| run.counted_samples).sum(),
        failed_samples: runs.iter().map(|run| run.failed_samples).sum(),
        distinct_samples: distinct(counted.map(|row| row.sample)).len() as u64,
        hosts: cell.distinct_hosts(),
        runs,
        other_dialogues: other_dialogues(cell, &latency_ms.mean, &throughput.per_host),
        variance: variance::shares(cell),
        latency_ms,
        batch_ms: of_batches(cell),
        ttft_ms: of_requests(cell, Observation::ttft_ms),
        tpot_ms: of_requests(cell, Observation::tpot_ms),
        latency_ms_per_output_token: of_requests(cell, Observation::latency_ms_per_output_token),
        network_ms: (cell.observations())
            .any(|row| row.is_ok() && row.network_ns.is_some())
            .then(|| of_requests(cell, Observation::network_ms)),
        wall_samples_per_s: throughput::by_wall_clock(cell),
        throughput,
        output_token_throughput: throughput::of_output_tokens(cell),
        input_tokens: lengths(cell, |row| row.input_tokens),
        output_tokens: lengths(cell, |row| row.output_tokens),
    }
}
