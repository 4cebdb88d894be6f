//! Why a cell is DEGRADED or INVALID.

use super::counted;
use plot::number::{percent, shown};
use stats::clock::Trouble;
use stats::validity::{Cause, Validity};

/// All reasons of a cell in one line; empty without any.
pub(crate) fn causes(validity: &Validity) -> String {
    let texts: Vec<String> = validity.reasons.iter().map(|reason| cause(&reason.cause)).collect();
    texts.join("; ")
}

pub(crate) fn cause(cause: &Cause) -> String {
    match cause {
        Cause::NotReached => "not reached".to_owned(),
        Cause::NothingCounted => "no request returned a summary".to_owned(),
        Cause::TooFewSamples { found, needed } => {
            format!("{}; a median needs {needed}", counted(*found, "independent request"))
        }
        Cause::FailedRequests { failed, all } => {
            let share = percent(*failed as f64 / (*all).max(1) as f64);
            format!("{failed} of {all} requests failed ({share}%)")
        }
        Cause::Incomplete { measured, planned } => {
            format!("{measured} of {planned} planned requests were measured")
        }
        Cause::IncompleteRun { run, windows, planned_windows } => {
            format!("run {run}: {windows} of {planned_windows} windows were measured")
        }
        Cause::UnstableRuns { deviation } => {
            format!("throughput varies by {}% between runs", percent(*deviation))
        }
        Cause::Drift { head_slower } => {
            let word = if *head_slower > 0.0 { "slower" } else { "faster" };
            let share = percent(head_slower.abs());
            format!("the first fifth of the measured window is {share}% {word} than the rest")
        }
        Cause::Throttled { share_of_time } => {
            format!("the device was throttled for {}% of the time", percent(*share_of_time))
        }
        Cause::CpuThrottled { times } => {
            let times = times_of(*times);
            format!("a CPU was throttled {times} because of heat")
        }
        Cause::OtherLoad { share_of_cpu } => {
            format!("other processes used {}% of the CPU", percent(*share_of_cpu))
        }
        Cause::Steal { share_of_cpu } => format!(
            "the hypervisor took {}% of the CPU (noisy neighbor or exhausted CPU credits)",
            percent(*share_of_cpu)
        ),
        Cause::CpuLimit { share_of_cpu } => {
            format!("the cgroup CPU limit withheld {}% of the CPU", percent(*share_of_cpu))
        }
        Cause::GpuError { xids } => {
            let xids: Vec<String> = xids.iter().map(u64::to_string).collect();
            format!("the GPU driver reported error XID {}", xids.join(", "))
        }
        Cause::Clock(Trouble::ZeroLatency { requests }) => {
            format!("the clock can't be trusted: {} took no time", counted(*requests, "request"))
        }
        Cause::Clock(Trouble::OverlappingBatches { batches }) => format!(
            "the clock can't be trusted: {batches} of the batches started before the previous one ended"
        ),
        Cause::AgentLost { times } => format!("an agent was lost {}", times_of(*times as f64)),
        Cause::LateSends { p99_ms } => format!(
            "the agents are the bottleneck: 1% of the requests were sent over {} ms after their scheduled time",
            shown(*p99_ms)
        ),
        Cause::BusyAgent { cores } => format!(
            "an agent is the bottleneck: its process used {} cores, and one thread sends all requests",
            shown(*cores)
        ),
        Cause::ImpossibleTime { shards } => {
            format!("{} reported more time than elapsed", counted(*shards, "shard"))
        }
        Cause::ForeignTelemetry { path, sha256 } => {
            format!(
                "GPU telemetry was read through {path} (SHA-256 {sha256}), not the system's NVML"
            )
        }
        Cause::MigInstance { gpu } => format!(
            "an instance of MIG: power, energy, temperature, clocks and throttling are those of the whole {gpu} with all of its instances"
        ),
        Cause::SloNeverKept(missed) => format!(
            "misses the objective at any load: without queueing, p{} latency is {:.0} to {:.0} ms, the limit {} ms",
            missed.percentile, missed.ci_low_ms, missed.ci_high_ms, missed.limit_ms
        ),
        Cause::SyntheticTime => "latencies come from a script, not from a clock".to_owned(),
        Cause::SoftwareGpu => {
            "measured on a software GPU, whose speed is not that of a GPU".to_owned()
        }
    }
}

fn times_of(times: f64) -> String {
    match times {
        1.0 => "once".to_owned(),
        times => format!("{times} times"),
    }
}
