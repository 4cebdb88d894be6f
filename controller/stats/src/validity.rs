//! Whether a cell's figures may be used: VALID, DEGRADED or INVALID, and why.

use super::{cell::CellStatistics, clock::Trouble, drift::Drift, interval::mean, quantile::P50};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Above this share of failed requests a cell is INVALID; any failed request makes it DEGRADED.
pub const MAX_FAILED: f64 = 0.05;
/// Above this deviation of throughput over runs, as a share of the mean, runs are unstable.
pub const MAX_RUN_DEVIATION: f64 = 0.10;
/// A drift is one when the first fifth of the window differs by more than this ...
pub const MAX_DRIFT: f64 = 0.05;
/// ... and by more than so many standard errors.
pub const DRIFT_ERRORS: f64 = 3.0;
/// Above this share of the measured time a throttled device slows what is measured.
pub const MAX_THROTTLED: f64 = 0.01;
/// Above this share of the host's processor time other processes disturb.
pub const MAX_OTHER_LOAD: f64 = 0.05;
/// Above this share of the host's processor time the hypervisor takes away what is measured.
pub const MAX_STEAL: f64 = 0.01;
/// 99% of the requests to an endpoint are sent at most this long after their scheduled time, in ms ...
pub const MAX_SEND_DELAY_MS: f64 = 10.0;
/// ... or at most this share of the median latency. Otherwise the agents are the bottleneck.
pub const MAX_SEND_DELAY: f64 = 0.05;
/// Above this number of cores, the one thread of an agent that sends requests and reads responses has no reserve.
pub const MAX_SENDING_CORES: f64 = 0.9;

model::words!(
    /// Whether figures may be used.
    #[derive(JsonSchema)]
    Status, "status", {
        Valid = "VALID",
        /// They may, with the reasons beside them.
        Degraded = "DEGRADED",
        Invalid = "INVALID",
    }
);

/// The status of a cell and every reason for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Validity {
    /// The worst status among the reasons.
    pub status: Status,
    /// A VALID cell may have reasons, too: they qualify its figures.
    pub reasons: Vec<Reason>,
}

impl Validity {
    /// Adds a reason; the status is never improved by one.
    pub fn add(&mut self, status: Status, cause: Cause) {
        self.status = self.status.max(status);
        self.reasons.push(Reason { status, cause });
    }

    /// Whether claims may rest on the figures as on those of a VALID cell: nothing that degrades the cell may have
    /// changed them.
    pub fn is_sound(&self) -> bool {
        self.status != Status::Invalid
            && !self
                .reasons
                .iter()
                .any(|reason| reason.status != Status::Valid && reason.cause.may_change_figures())
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// The status that this reason alone would give the cell.
    pub status: Status,
    #[serde(flatten)]
    pub cause: Cause,
}

/// What a status comes from. Shares are between 0 and 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Cause {
    NothingCounted,
    /// No request was made: the campaign ended before.
    NotReached,
    /// Too few independent requests for a median.
    TooFewSamples {
        found: u64,
        needed: u64,
    },
    FailedRequests {
        failed: u64,
        all: u64,
    },
    Incomplete {
        measured: u64,
        planned: u64,
    },
    /// A run of a sustained load was interrupted.
    IncompleteRun {
        run: u32,
        windows: u64,
        planned_windows: u64,
    },
    UnstableRuns {
        /// Standard deviation over the mean.
        deviation: f64,
    },
    Drift {
        /// How much slower the first fifth of the measured window is than the rest.
        head_slower: f64,
    },
    Throttled {
        share_of_time: f64,
    },
    /// A processor slowed down because of heat.
    CpuThrottled {
        times: f64,
    },
    /// Other processes used the processor.
    OtherLoad {
        share_of_cpu: f64,
    },
    /// The hypervisor took processor time.
    Steal {
        share_of_cpu: f64,
    },
    /// The control group's CPU limit withheld processor time.
    CpuLimit {
        share_of_cpu: f64,
    },
    /// The GPU driver reported errors.
    GpuError {
        xids: Vec<u64>,
    },
    Clock(Trouble),
    AgentLost {
        times: u64,
    },
    /// Requests to an endpoint were sent late: the agents are the bottleneck.
    LateSends {
        /// Schedule delay.
        p99_ms: f64,
    },
    /// An agent had no processor time left for sending requests to an endpoint.
    BusyAgent {
        /// Mean number of cores that its process used.
        cores: f64,
    },
    /// Shards that claim more time than passed between their offer and their end.
    ImpossibleTime {
        shards: u64,
    },
    /// Telemetry was read through a library that isn't the system's own.
    ForeignTelemetry {
        path: String,
        sha256: String,
    },
    /// A part of a GPU was measured, whose power, energy, temperature, clocks and throttling are those of the whole GPU.
    MigInstance {
        /// UUID.
        gpu: String,
    },
    /// The objective can't be kept at any load: it was missed although nothing waited.
    SloNeverKept(MissedObjective),
    /// Latencies come from a script instead of a clock.
    SyntheticTime,
    /// The GPU is an interpreter, for tests of everything but speed.
    SoftwareGpu,
}

impl Cause {
    pub fn code(&self) -> &'static str {
        match self {
            Self::NothingCounted => "nothing_counted",
            Self::NotReached => "not_reached",
            Self::TooFewSamples { .. } => "too_few_samples",
            Self::FailedRequests { .. } => "failed_requests",
            Self::Incomplete { .. } => "incomplete",
            Self::IncompleteRun { .. } => "incomplete_run",
            Self::UnstableRuns { .. } => "unstable_runs",
            Self::Drift { .. } => "drift",
            Self::Throttled { .. } => "throttled",
            Self::CpuThrottled { .. } => "cpu_throttled",
            Self::OtherLoad { .. } => "other_load",
            Self::Steal { .. } => "steal",
            Self::CpuLimit { .. } => "cpu_limit",
            Self::GpuError { .. } => "gpu_error",
            Self::Clock(_) => "clock",
            Self::AgentLost { .. } => "agent_lost",
            Self::LateSends { .. } => "late_sends",
            Self::BusyAgent { .. } => "busy_agent",
            Self::ImpossibleTime { .. } => "impossible_time",
            Self::ForeignTelemetry { .. } => "foreign_telemetry",
            Self::MigInstance { .. } => "mig_instance",
            Self::SloNeverKept(_) => "slo_never_kept",
            Self::SyntheticTime => "synthetic_time",
            Self::SoftwareGpu => "software_gpu",
        }
    }
}

impl Cause {
    /// Whether latency, throughput or cost may differ from those of an undisturbed cell. A lost agent's shard was
    /// measured again, another telemetry library reads the same latencies, a missed objective is a result, and what
    /// varies between runs or rests on few samples has the wider interval for it.
    pub fn may_change_figures(&self) -> bool {
        match self {
            Self::AgentLost { .. }
            | Self::ForeignTelemetry { .. }
            | Self::MigInstance { .. }
            | Self::SloNeverKept(_)
            | Self::TooFewSamples { .. }
            | Self::UnstableRuns { .. } => false,
            Self::NothingCounted
            | Self::NotReached
            | Self::FailedRequests { .. }
            | Self::Incomplete { .. }
            | Self::IncompleteRun { .. }
            | Self::Drift { .. }
            | Self::Throttled { .. }
            | Self::CpuThrottled { .. }
            | Self::OtherLoad { .. }
            | Self::Steal { .. }
            | Self::CpuLimit { .. }
            | Self::GpuError { .. }
            | Self::LateSends { .. }
            | Self::BusyAgent { .. }
            | Self::Clock(_)
            | Self::ImpossibleTime { .. }
            | Self::SyntheticTime
            | Self::SoftwareGpu => true,
        }
    }
}

/// By how much an objective was missed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MissedObjective {
    /// 95 for p95.
    pub percentile: f64,
    pub ci_low_ms: f64,
    pub ci_high_ms: f64,
    pub limit_ms: f64,
}

/// Evidence on a cell apart from its samples. `None` is "not observed" and never a reason. Shares are of the measured
/// time, or of the host's processor time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    pub planned_samples: Option<u64>,
    pub drift: Option<Drift>,
    pub throttled_share: Option<f64>,
    pub heat_throttles: Option<f64>,
    pub other_load_share: Option<f64>,
    pub steal_share: Option<f64>,
    pub withheld_share: Option<f64>,
    pub gpu_errors: Vec<u64>,
    pub clock_trouble: Option<Trouble>,
    pub agents_lost: u64,
    /// With an endpoint: the 99th percentile of the schedule delay.
    pub send_delay_p99_ms: Option<f64>,
    /// With an endpoint: cores that the process of the busiest agent used on average.
    pub sending_cores: Option<f64>,
    pub impossible_times: u64,
    /// Path and SHA-256 of a telemetry library that isn't the system's own.
    pub foreign_telemetry: Option<(String, String)>,
    /// UUID of the GPU whose instance of MIG was measured.
    pub gpu_of_instance: Option<String>,
    /// The objective as it was missed although nothing waited: it can't be kept at any load.
    pub slo_never_kept: Option<MissedObjective>,
}

pub fn validity(statistics: &CellStatistics, evidence: &Evidence) -> Validity {
    use Status::{Degraded, Invalid};
    let mut validity = Validity { status: Status::Valid, reasons: Vec::new() };
    let (counted, failed) = (statistics.counted_samples, statistics.failed_samples);
    let all = counted + failed;
    let independent = statistics.latency_ms.p50.n;
    if all == 0 {
        validity.add(Invalid, Cause::NotReached);
        return validity;
    }
    if counted == 0 {
        validity.add(Invalid, Cause::NothingCounted);
    } else if independent < P50.floor {
        validity.add(Degraded, Cause::TooFewSamples { found: independent, needed: P50.floor });
    }
    if failed > 0 {
        let is_invalid = failed as f64 / all as f64 > MAX_FAILED;
        let status = if is_invalid { Invalid } else { Degraded };
        validity.add(status, Cause::FailedRequests { failed, all });
    }
    if let Some(planned) = evidence.planned_samples.filter(|&planned| all < planned) {
        validity.add(Degraded, Cause::Incomplete { measured: all, planned });
    }
    if let Some(deviation) = run_deviation(statistics).filter(|&it| it > MAX_RUN_DEVIATION) {
        validity.add(Degraded, Cause::UnstableRuns { deviation });
    }
    if let Some(Drift { head_slower, .. }) = evidence.drift.filter(is_drift) {
        validity.add(Degraded, Cause::Drift { head_slower });
    }
    let latency_ms = statistics.latency_ms.p50.value.unwrap_or_default();
    let most_ms = MAX_SEND_DELAY_MS.max(MAX_SEND_DELAY * latency_ms);
    if let Some(p99_ms) = evidence.send_delay_p99_ms.filter(|delay| *delay > most_ms) {
        validity.add(Degraded, Cause::LateSends { p99_ms });
    }
    if let Some(cores) = evidence.sending_cores.filter(|cores| *cores > MAX_SENDING_CORES) {
        validity.add(Degraded, Cause::BusyAgent { cores });
    }
    for cause in disturbances(evidence) {
        validity.add(Degraded, cause);
    }
    if let Some(trouble) = evidence.clock_trouble {
        validity.add(Invalid, Cause::Clock(trouble));
    }
    if evidence.agents_lost > 0 {
        validity.add(Degraded, Cause::AgentLost { times: evidence.agents_lost });
    }
    if evidence.impossible_times > 0 {
        validity.add(Invalid, Cause::ImpossibleTime { shards: evidence.impossible_times });
    }
    if let Some((path, sha256)) = evidence.foreign_telemetry.clone() {
        validity.add(Degraded, Cause::ForeignTelemetry { path, sha256 });
    }
    if let Some(gpu) = evidence.gpu_of_instance.clone() {
        // Latencies are the instance's own.
        validity.add(Status::Valid, Cause::MigInstance { gpu });
    }
    if let Some(missed) = evidence.slo_never_kept {
        // True figures of a target that is too slow: they may be used.
        validity.add(Status::Valid, Cause::SloNeverKept(missed));
    }
    validity
}

fn disturbances(evidence: &Evidence) -> impl Iterator<Item = Cause> {
    let above = |share: Option<f64>, limit: f64| share.filter(|&share| share > limit);
    let xids = evidence.gpu_errors.clone();
    [
        above(evidence.throttled_share, MAX_THROTTLED)
            .map(|share_of_time| Cause::Throttled { share_of_time }),
        above(evidence.heat_throttles, 0.0).map(|times| Cause::CpuThrottled { times }),
        above(evidence.other_load_share, MAX_OTHER_LOAD)
            .map(|share_of_cpu| Cause::OtherLoad { share_of_cpu }),
        above(evidence.steal_share, MAX_STEAL).map(|share_of_cpu| Cause::Steal { share_of_cpu }),
        above(evidence.withheld_share, MAX_THROTTLED)
            .map(|share_of_cpu| Cause::CpuLimit { share_of_cpu }),
        (!xids.is_empty()).then_some(Cause::GpuError { xids }),
    ]
    .into_iter()
    .flatten()
}

fn is_drift(drift: &Drift) -> bool {
    drift.head_slower.abs() > MAX_DRIFT && drift.standard_errors.abs() > DRIFT_ERRORS
}

/// The standard deviation of throughput over runs, as a share of their mean; `None` for one run.
pub fn run_deviation(statistics: &CellStatistics) -> Option<f64> {
    let by_run: Vec<f64> = statistics.runs.iter().filter_map(|run| run.throughput).collect();
    Some(statistics.throughput.std? / mean(&by_run)?)
}
