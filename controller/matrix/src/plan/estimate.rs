//! A rough estimate of a campaign's duration before any measurement: minutes or days. The progress
//! bar uses measured times instead.

use super::{Cell, Load, Plan, Sustained};
use crate::{Matrix, Target};
use std::time::Duration;

/// Assumed sustained rate of one CPU thread on T5, in GFLOP/s.
const GFLOPS_PER_THREAD: f64 = 15.0;
/// Assumed sustained rate of a GPU that decodes small batches, in GFLOP/s.
const GFLOPS_PER_GPU: f64 = 400.0;
/// Assumed tokens per dialogue.
const INPUT_TOKENS: f64 = 200.0;
const OUTPUT_TOKENS: f64 = 30.0;
/// AWS instance families with GPUs.
const GPU_FAMILIES: [&str; 8] = ["g4dn.", "g5.", "g6.", "g6e.", "p3.", "p4d.", "p5.", "g4ad."];

/// Seconds of work for one agent of each target, over the whole plan.
pub fn seconds_per_target(plan: &Plan, matrix: &Matrix) -> Vec<f64> {
    let mut seconds = vec![0.0; matrix.targets.len()];
    // Without the runs that adaptive precision may add.
    for run in plan.runs.iter().filter(|run| run.number <= matrix.protocol.least_runs()) {
        let cell = &plan.cells[run.cell];
        let target = &matrix.targets[cell.target];
        let warmup = f64::from(matrix.protocol.warmup * cell.batch_size);
        let agents = f64::from(target.agents);
        let seconds_per_sample = seconds_per_sample(matrix, cell);
        let busy = plan.samples as f64 / agents * seconds_per_sample;
        let measuring = match cell.load {
            None => busy,
            // At a low rate the arrivals take longer than the work.
            Some(Load { sustained: None, request_rate, .. }) => {
                busy.max(plan.samples as f64 / agents / request_rate.unwrap_or(f64::INFINITY))
            }
            Some(Load { sustained: Some(Sustained { window_ns, windows }), .. }) => {
                window_ns as f64 / 1e9 * f64::from(windows)
            }
        };
        seconds[cell.target] += measuring + warmup * seconds_per_sample;
    }
    seconds
}

/// An attempt is only given up when it takes this many times longer than estimated: the estimate may be off by ten.
const TIMEOUT_FACTOR: f64 = 20.0;
/// No attempt without progress is given up earlier, unless the matrix sets a timeout.
const LEAST_TIMEOUT: Duration = Duration::from_mins(10);

/// How long an attempt may take without a stored batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressDeadline {
    /// From the offer to the first batch, loading and warm-up included.
    pub first: Duration,
    /// From one batch to the next.
    pub next: Duration,
}

impl ProgressDeadline {
    pub fn of(matrix: &Matrix, cell: &Cell) -> Self {
        // Time that passes even on an infinitely fast machine: a window, or twenty mean gaps between arrivals.
        let pause = match cell.load {
            None => 0.0,
            Some(Load { sustained: Some(Sustained { window_ns, .. }), .. }) => {
                window_ns as f64 / 1e9
            }
            Some(Load { request_rate, .. }) => 20.0 / request_rate.unwrap_or(f64::INFINITY),
        };
        let batch = f64::from(cell.batch_size) * seconds_per_sample(matrix, cell);
        let after = |batches: u32| {
            let estimated = seconds(TIMEOUT_FACTOR * batch * f64::from(batches)).max(LEAST_TIMEOUT);
            matrix.progress_timeout.unwrap_or(estimated).saturating_add(seconds(pause))
        };
        Self { first: after(matrix.protocol.warmup + 1), next: after(1) }
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// Local agents share this machine and run in turn; other targets run in parallel.
pub fn campaign_seconds(plan: &Plan, matrix: &Matrix) -> f64 {
    let seconds = seconds_per_target(plan, matrix);
    let pairs = || matrix.targets.iter().zip(&seconds);
    let here: f64 = pairs().filter(|(target, _)| target.local.is_some()).map(|(_, s)| s).sum();
    let elsewhere = pairs().filter(|(target, _)| target.local.is_none()).map(|(_, s)| *s);
    elsewhere.fold(here, f64::max)
}

fn seconds_per_sample(matrix: &Matrix, cell: &Cell) -> f64 {
    gflop_per_sample(&matrix.models[cell.model].id) / gflops(&matrix.targets[cell.target])
}

fn gflops(target: &Target) -> f64 {
    if let Some(local) = target.local {
        return GFLOPS_PER_THREAD * f64::from(local.threads);
    }
    let name = target.name.as_str();
    if GPU_FAMILIES.iter().any(|family| name.trim_start_matches("ml.").starts_with(family)) {
        return GFLOPS_PER_GPU;
    }
    GFLOPS_PER_THREAD * physical_cores(name)
}

/// AWS sizes: `xlarge` has 4 vCPUs, which are 2 cores; `4xlarge` four times as many.
fn physical_cores(instance_type: &str) -> f64 {
    let size = instance_type.rsplit('.').next().unwrap_or_default();
    match size.strip_suffix("xlarge") {
        Some("") => 2.0,
        Some(times) => times.parse::<f64>().map_or(2.0, |times| 2.0 * times),
        None => 1.0,
    }
}

/// Two operations per weight and token, encoder and decoder about half of the weights each.
fn gflop_per_sample(model: &str) -> f64 {
    let mega_parameters = [("tiny", 3.0), ("small", 77.0), ("base", 248.0), ("large", 783.0)]
        .iter()
        .find(|(name, _)| model.contains(name))
        .map_or(248.0, |(_, size)| *size);
    mega_parameters * (INPUT_TOKENS + OUTPUT_TOKENS) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_scale_with_the_instance_size() {
        assert!((physical_cores("ml.m5.xlarge") - 2.0).abs() < f64::EPSILON);
        assert!((physical_cores("ml.m5.4xlarge") - 8.0).abs() < f64::EPSILON);
        assert!((physical_cores("ml.t3.medium") - 1.0).abs() < f64::EPSILON);
    }
}
