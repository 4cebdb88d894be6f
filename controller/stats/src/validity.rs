//! Whether a cell's figures may be used: VALID, DEGRADED or INVALID, and why.

use super::cell::CellStatistics;
use super::comparison::verdict::percent;
use super::drift::Drift;
use super::interval::mean;
use super::quantile::P50;
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

/// Whether figures may be used.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// They may.
    Valid,
    /// They may, with the reasons beside them.
    Degraded,
    /// They may not.
    Invalid,
}

/// The status of a cell and every reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Validity {
    /// The worst of the reasons' statuses.
    pub status: Status,
    /// Why; those of a VALID cell say what its figures mean.
    pub reasons: Vec<Reason>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// What it makes of the cell.
    pub status: Status,
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub text: String,
}

/// What is known of a cell beside its samples. `None` is "not observed", which is no reason.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// How many samples the plan has for all runs.
    pub planned_samples: Option<u64>,
    /// The drift inside the measured window.
    pub drift: Option<Drift>,
    /// The share of the measured time in which the device was throttled.
    pub throttled_share: Option<f64>,
    /// How often a processor slowed down for heat while it measured.
    pub heat_throttles: Option<f64>,
    /// The share of the host's processor time that other processes took.
    pub other_load_share: Option<f64>,
    /// The share of the host's processor time that its hypervisor kept.
    pub steal_share: Option<f64>,
    /// The share of the host's processor time that the control group's limit held back.
    pub withheld_share: Option<f64>,
    /// Error numbers that the GPU's driver reported.
    pub gpu_errors: Vec<u64>,
    /// What was wrong with a clock.
    pub clock_trouble: Option<String>,
    /// How often an agent was lost while it measured this cell.
    pub agents_lost: u64,
    /// Shards that claim more time than passed between their offer and their end.
    pub impossible_times: u64,
    /// A telemetry library that isn't the system's own, by its hash.
    pub foreign_telemetry: Option<String>,
    /// How the objective was missed where nothing waited: it can't be kept at any load.
    pub slo_never_kept: Option<String>,
}

/// Judges a cell.
pub fn validity(statistics: &CellStatistics, evidence: &Evidence) -> Validity {
    use Status::{Degraded, Invalid};
    let mut reasons = Vec::new();
    let mut add = |status, code: &str, text: String| {
        reasons.push(Reason { status, code: code.to_owned(), text });
    };
    let (counted, failed) = (statistics.counted_samples, statistics.failed_samples);
    let all = counted + failed;
    if counted == 0 {
        add(Invalid, "nothing_counted", "no request brought a summary".to_owned());
    } else if statistics.latency_ms.p50.n < P50.floor {
        let units = statistics.latency_ms.p50.n;
        add(
            Degraded,
            "too_few_samples",
            format!("{units} independent requests, a median needs {}", P50.floor),
        );
    }
    if failed > 0 {
        let share = failed as f64 / all as f64;
        let status = if share > MAX_FAILED { Invalid } else { Degraded };
        add(
            status,
            "failed_requests",
            format!("{failed} of {all} requests failed ({} %)", percent(share)),
        );
    }
    if let Some(planned) = evidence.planned_samples.filter(|&planned| all < planned) {
        add(Degraded, "incomplete", format!("{all} of {planned} planned requests were measured"));
    }
    if let Some(deviation) =
        run_deviation(statistics).filter(|&deviation| deviation > MAX_RUN_DEVIATION)
    {
        let text = format!("throughput deviates by {} % between runs", percent(deviation));
        add(Degraded, "unstable_runs", text);
    }
    if let Some(drift) = evidence.drift.filter(is_drift) {
        let word = if drift.head_slower > 0.0 { "slower" } else { "faster" };
        let text = format!(
            "the first fifth of the measured window is {} % {word} than the rest",
            percent(drift.head_slower.abs())
        );
        add(Degraded, "drift", text);
    }
    disturbances(evidence, &mut add);
    if let Some(trouble) = &evidence.clock_trouble {
        add(Invalid, "clock", format!("the clock cannot be trusted: {trouble}"));
    }
    if evidence.agents_lost > 0 {
        add(Degraded, "agent_lost", format!("an agent was lost {} times", evidence.agents_lost));
    }
    if evidence.impossible_times > 0 {
        let text = format!("{} shards claim more time than passed", evidence.impossible_times);
        add(Invalid, "impossible_time", text);
    }
    if let Some(hash) = &evidence.foreign_telemetry {
        add(
            Degraded,
            "foreign_telemetry",
            format!("telemetry came from a library that is not the system's ({hash})"),
        );
    }
    if let Some(missed) = &evidence.slo_never_kept {
        // True figures of a target that is too slow: they may be used.
        add(
            Status::Valid,
            "slo_never_kept",
            format!("cannot keep the objective at any load: {missed}"),
        );
    }
    let status = reasons.iter().map(|reason| reason.status).max().unwrap_or(Status::Valid);
    Validity { status, reasons }
}

/// What slowed the machines down, or took their processors away.
fn disturbances(evidence: &Evidence, add: &mut impl FnMut(Status, &str, String)) {
    use Status::Degraded;
    if let Some(share) = evidence.throttled_share.filter(|&share| share > MAX_THROTTLED) {
        add(
            Degraded,
            "throttled",
            format!("the device was throttled for {} % of the time", percent(share)),
        );
    }
    if let Some(times) = evidence.heat_throttles.filter(|&times| times > 0.0) {
        let text = format!("a processor slowed down for heat {times} times");
        add(Degraded, "cpu_throttled", text);
    }
    if let Some(share) = evidence.other_load_share.filter(|&share| share > MAX_OTHER_LOAD) {
        add(
            Degraded,
            "other_load",
            format!("other processes took {} % of the processor", percent(share)),
        );
    }
    if let Some(share) = evidence.steal_share.filter(|&share| share > MAX_STEAL) {
        let text = format!(
            "the hypervisor kept {} % of the processor: a neighbour, or spent CPU credits",
            percent(share)
        );
        add(Degraded, "steal", text);
    }
    if let Some(share) = evidence.withheld_share.filter(|&share| share > MAX_THROTTLED) {
        let text = format!(
            "the control group's CPU limit held back {} % of the processor",
            percent(share)
        );
        add(Degraded, "cpu_limit", text);
    }
    if !evidence.gpu_errors.is_empty() {
        let numbers: Vec<String> = evidence.gpu_errors.iter().map(u64::to_string).collect();
        let text = format!("the GPU's driver reported error XID {}", numbers.join(", "));
        add(Degraded, "gpu_error", text);
    }
}

fn is_drift(drift: &Drift) -> bool {
    drift.head_slower.abs() > MAX_DRIFT && drift.standard_errors.abs() > DRIFT_ERRORS
}

/// The deviation of throughput over runs, as a share of their mean.
fn run_deviation(statistics: &CellStatistics) -> Option<f64> {
    let by_run: Vec<f64> = statistics.runs.iter().filter_map(|run| run.throughput).collect();
    Some(statistics.throughput.std? / mean(&by_run)?)
}
