//! The windows of all runs -> the figures that every cell has.
//!
//! Latencies come from merged histograms, whose quantiles are within half a percent. The number of independent requests
//! follows from the windows: the long-run variance of their means against that of single requests.

use super::judge::merged;
use super::slope::LongRun;
use super::window::{Window, Windows};
use crate::distribution::{Distribution, Support, widened};
use crate::interval::{ALPHA, between_runs, standard_deviation};
use crate::quantile::quantile_ms;
use crate::quantile::{P50, P90, P95, P99, P999, Percentile, enclosing_ranks};
use crate::throughput::{Rate, RunRow, per_second};
use crate::{Cell, CellStatistics, Estimate, Limitation, Scenario, summarize};
use crate::{limitation::Unit, serial::Serial};
use model::histogram::Histogram;

type Of = fn(&Window) -> &Histogram;

/// Estimates a cell from its windows; `dialogues` is the number of distinct dialogues, which repeat.
pub fn estimates(runs: &[(u32, &Windows)], dialogues: u64) -> CellStatistics {
    let nothing = summarize(&Cell::new(Scenario::Stress, Vec::new()));
    let rows: Vec<RunRow> = runs.iter().map(|(run, windows)| row(*run, windows)).collect();
    let counted_samples = rows.iter().map(|row| row.counted_samples).sum();
    let requests = |row: &RunRow| Some(row.counted_samples as f64);
    let tokens = |row: &RunRow| row.output_tokens.map(|tokens| tokens as f64);
    let throughput = rate(&rows, "samples/sec", requests);
    CellStatistics {
        counted_samples,
        failed_samples: rows.iter().map(|row| row.failed_samples).sum(),
        distinct_samples: dialogues.min(counted_samples),
        hosts: u64::from(counted_samples > 0),
        latency_ms: distribution(runs, |window| &window.load.latency, dialogues),
        ttft_ms: distribution(runs, |window| &window.load.ttft, dialogues),
        // Windows follow each other without a pause.
        wall_samples_per_s: throughput.per_host.value,
        throughput,
        output_token_throughput: rate(&rows, "tokens/sec", tokens),
        runs: rows,
        ..nothing
    }
}

fn row(run: u32, windows: &Windows) -> RunRow {
    let all = windows.as_slice();
    let latency = merged(all.iter().map(|window| &window.load.latency));
    let seconds = windows.seconds();
    let count = |count: fn(&Window) -> u64| all.iter().map(count).sum::<u64>();
    RunRow {
        run,
        hosts: u64::from(!all.is_empty()),
        counted_samples: latency.count(),
        failed_samples: count(|window| window.load.failed + window.load.not_sent),
        host_seconds: seconds,
        throughput: per_second(latency.count() as f64, seconds),
        latency_mean_ms: latency.mean().map(|ns| ns / 1e6),
        output_tokens: Some(count(|window| window.load.output_tokens)),
    }
}

/// Missing where a run has no count: a sum without it would be too small.
fn rate(rows: &[RunRow], unit: &str, count: impl Fn(&RunRow) -> Option<f64>) -> Rate {
    let Some(counts) = rows.iter().map(count).collect::<Option<Vec<f64>>>() else {
        let missing = || Estimate::missing(0, Limitation::UncountedTokens);
        return Rate { unit: unit.to_owned(), per_host: missing(), std: None, fleet: missing() };
    };
    let by_run: Vec<f64> = (counts.iter().zip(rows))
        .filter_map(|(count, row)| per_second(*count, row.host_seconds))
        .collect();
    let seconds: f64 = rows.iter().map(|row| row.host_seconds).sum();
    let all: f64 = counts.iter().sum();
    let per_host = per_second(all, seconds).map_or_else(
        || Estimate::missing(0, Limitation::NoTimeMeasured),
        |value| between_runs(value, &by_run, ALPHA),
    );
    let std = standard_deviation(&by_run);
    // One agent carries the load of a run.
    Rate { unit: unit.to_owned(), fleet: per_host.clone(), per_host, std }
}

fn distribution(runs: &[(u32, &Windows)], of: Of, dialogues: u64) -> Distribution {
    let by_run: Vec<Histogram> = (runs.iter())
        .map(|(_, windows)| merged(windows.as_slice().iter().map(of)))
        .filter(|of_run| of_run.count() > 0)
        .collect();
    let merged = merged(&by_run);
    let ms = |ns: f64| ns / 1e6;
    let run_means: Vec<f64> = by_run.iter().filter_map(Histogram::mean).map(ms).collect();
    let units = dialogues.min(merged.count());
    let effective = effective(runs, of, &merged, units);
    let percentile = |percentile| estimate(percentile, &merged, &by_run, (units, effective));
    let means: Vec<Vec<f64>> = runs.iter().map(|(_, windows)| means(windows, of)).collect();
    Distribution {
        mean: merged.mean().map_or_else(
            || Estimate::missing(0, Limitation::NothingMeasured),
            |mean| between_runs(ms(mean), &run_means, ALPHA),
        ),
        std: merged.standard_deviation().map(ms),
        min: merged.min().map(|ns| ms(ns as f64)),
        max: merged.max().map(|ns| ms(ns as f64)),
        p50: percentile(P50),
        p90: percentile(P90),
        p95: percentile(P95),
        p99: percentile(P99),
        p999: percentile(P999),
        lag1_autocorrelation: Serial::of(&means).lag1,
        effective_n: effective,
    }
}

fn means(windows: &Windows, of: Of) -> Vec<f64> {
    windows.as_slice().iter().filter_map(|window| of(window).mean()).collect()
}

/// How many of the distinct dialogues are independent: windows whose means vary more than chance lets them hold
/// requests that resemble each other.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
fn effective(runs: &[(u32, &Windows)], of: Of, merged: &Histogram, units: u64) -> u64 {
    let Some(deviation) = merged.standard_deviation().filter(|deviation| *deviation > 0.0) else {
        return units;
    };
    let (mut weighted, mut windows) = (0.0, 0.0);
    for (_, run) in runs {
        let means = means(run, of);
        if means.len() > 2 {
            weighted += LongRun::of(&means).variance * means.len() as f64;
            windows += means.len() as f64;
        }
    }
    if windows == 0.0 {
        return units;
    }
    let per_window = merged.count() as f64 / windows;
    let alike = weighted / windows * per_window / (deviation * deviation);
    (units as f64 / alike.max(1.0)).max(1.0) as u64
}

fn estimate(
    percentile: Percentile,
    merged: &Histogram,
    by_run: &[Histogram],
    (units, effective): (u64, u64),
) -> Estimate {
    let probability = percentile.probability;
    let quantile = |of: &Histogram| quantile_ms(of, probability);
    let (low, high) = enclosing_ranks(effective, probability, ALPHA);
    let at = |rank: u64| quantile_ms(merged, rank as f64 / effective as f64);
    let ends = (low.and_then(|rank| at(rank - 1)), high.and_then(at));
    let of_runs: Vec<f64> = by_run.iter().filter_map(quantile).collect();
    let support = Support { units, effective, unit: Unit::DistinctRequests, alpha: ALPHA };
    widened(percentile, support, quantile(merged), ends, &of_runs)
}

#[cfg(test)]
mod tests {
    use super::super::window::Observed;
    use super::*;
    use model::load::LoadWindow;

    fn windows(latency_ns: impl Fn(u64) -> u64) -> Windows {
        let mut windows = Windows::default();
        for index in 0..100_u64 {
            let (start_ns, end_ns) = (index * 1_000_000_000, (index + 1) * 1_000_000_000);
            let mut load =
                LoadWindow { start_ns, end_ns, output_tokens: 100, ..LoadWindow::default() };
            (0..10).for_each(|request| load.latency.add(latency_ns(index * 10 + request)));
            windows.push(load, Observed::default());
        }
        windows
    }

    #[test]
    fn figures_are_those_of_the_requests() {
        // 1 to 1000 ms, in an order without any.
        let windows = windows(|request| (request * 677 % 1000 + 1) * 1_000_000);
        let found = estimates(&[(1, &windows)], 1000);
        assert_eq!((found.counted_samples, found.distinct_samples), (1000, 1000));
        assert!((found.latency_ms.mean.value.unwrap() - 500.5).abs() < 1e-6);
        let p95 = &found.latency_ms.p95;
        assert!((p95.value.unwrap() / 950.0 - 1.0).abs() < 0.006, "{p95:?}");
        let (low, high) = p95.interval().unwrap();
        assert!(low < 950.0 && 950.0 < high && high - low < 60.0, "{p95:?}");
        assert_eq!(found.throughput.per_host.value, Some(10.0));
        assert_eq!(found.output_token_throughput.per_host.value, Some(100.0));
        assert_eq!(found.latency_ms.p999.value, None);
    }

    #[test]
    fn requests_that_resemble_their_neighbors_are_worth_less() {
        let alike = windows(|request| (request / 100 + 1) * 100_000_000);
        let found = estimates(&[(1, &alike)], 1000);
        assert!(found.latency_ms.effective_n < 100, "{}", found.latency_ms.effective_n);
    }

    #[test]
    fn repeats_of_few_dialogues_carry_no_tail() {
        let windows = windows(|request| (request % 20 + 1) * 1_000_000);
        let found = estimates(&[(1, &windows)], 20);
        assert!(found.latency_ms.p50.value.is_some());
        assert_eq!(found.latency_ms.p95.value, None);
    }
}
