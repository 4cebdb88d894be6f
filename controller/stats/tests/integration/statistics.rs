//! What must hold of the statistics of any cell.

use proptest::prelude::*;
use stats::limitation::{Limitation, Unit};
use stats::{Cell, CellStatistics, Estimate, Observation, Scenario, summarize};

/// Runs of requests with these latencies, in batches back to back; all rows start with their batch.
fn rows_of(latencies_ms: &[Vec<u32>], batch_size: usize) -> Vec<Observation> {
    let mut rows = Vec::new();
    for (run, latencies) in (0_u32..).zip(latencies_ms) {
        let (mut start_ns, mut sample) = (0, 0_u32);
        for (batch, members) in (0_u32..).zip(latencies.chunks(batch_size)) {
            let mut longest = 0;
            for &latency in members {
                let latency_ns = u64::from(latency) * 1_000_000;
                rows.push(Observation {
                    run,
                    batch,
                    start_ns,
                    sample,
                    latency_ns,
                    ttft_ns: Some(latency_ns / 4),
                    input_tokens: Some(100),
                    output_tokens: Some(4),
                    is_ok: true,
                    ..Observation::default()
                });
                longest = longest.max(latency_ns);
                sample += 1;
            }
            start_ns += longest;
        }
    }
    rows
}

fn offline(rows: Vec<Observation>) -> CellStatistics {
    summarize(&Cell::new(Scenario::Offline, rows))
}

fn close(estimate: &Estimate, expected: f64) {
    let found = estimate.value.expect("a value");
    assert!((found / expected - 1.0).abs() < 1e-12, "{found}, expected {expected}");
}

#[test]
fn the_figures_of_a_small_cell_are_those_of_a_pocket_calculator() {
    let statistics = offline(rows_of(&[vec![10, 20, 30, 40], vec![12, 22, 32, 42]], 2));
    close(&statistics.latency_ms.mean, 26.0);
    // 16² + 6² + 4² + 14² in the first run, and the same in the second.
    let std = (1008.0_f64 / 7.0).sqrt();
    assert!((statistics.latency_ms.std.unwrap() / std - 1.0).abs() < 1e-12);
    // Spans: 20 + 40 and 22 + 42 ms for 4 samples each.
    close(&statistics.throughput.per_host, 8.0 / 0.124);
    close(&statistics.output_token_throughput.per_host, 32.0 / 0.124);
    let std = (4.0 / 0.060 - 4.0 / 0.064) / 2.0_f64.sqrt();
    assert!((statistics.throughput.std.unwrap() / std - 1.0).abs() < 1e-12);
    close(&statistics.batch_ms.mean, 31.0);
    close(&statistics.ttft_ms.mean, 6.5);
    close(&statistics.tpot_ms.mean, 26.0 * 0.75 / 3.0);
    close(&statistics.latency_ms_per_output_token.mean, 6.5);
    assert_eq!((statistics.counted_samples, statistics.distinct_samples), (8, 4));
    // Two batches hold each of the four requests once: no percentile stands on that.
    let reason = statistics.latency_ms.p50.reason;
    let unit = Unit::Batches;
    let too_few = Limitation::TooFewForPercentile { percentile: 50.0, needed: 8, found: 2, unit };
    assert_eq!(reason, Some(too_few));
}

#[test]
fn one_run_has_no_interval_between_runs() {
    let statistics = offline(rows_of(&[(1..=100).collect()], 1));
    for estimate in [&statistics.latency_ms.mean, &statistics.throughput.per_host] {
        assert_eq!((estimate.interval(), estimate.reason), (None, Some(Limitation::OneRun)));
    }
    assert_eq!(statistics.throughput.std, None);
}

#[test]
fn repeats_of_a_dialogue_do_not_add_to_the_n_of_a_percentile() {
    let run: Vec<u32> = (1..=60).map(|place| place * 37 % 61).collect();
    let statistics = offline(rows_of(&vec![run; 5], 1));
    assert_eq!(statistics.latency_ms.p50.n, 60);
    assert_eq!(statistics.latency_ms.p95.value, None, "300 values, but 60 requests");
    assert!(statistics.latency_ms.p90.value.is_some());
}

#[test]
fn rows_of_a_batch_are_one_unit_offline_and_as_many_elsewhere() {
    let rows = || rows_of(&vec![(1..=96).rev().collect(); 3], 8);
    assert_eq!(offline(rows()).latency_ms.p50.n, 12);
    assert_eq!(summarize(&Cell::new(Scenario::Server, rows())).latency_ms.p50.n, 96);
}

#[test]
fn a_steady_climb_leaves_few_independent_requests() {
    let statistics = offline(rows_of(&vec![(1..=200).collect(); 3], 1));
    assert!(statistics.latency_ms.lag1_autocorrelation.unwrap() > 0.9);
    assert!(statistics.latency_ms.effective_n < 10);
    let p95 = &statistics.latency_ms.p95;
    assert!(p95.value.is_some() && p95.interval().is_none() && p95.reason.is_some());
}

#[test]
fn more_analyses_make_wider_intervals() {
    let rows = rows_of(&[vec![10; 9], vec![11; 9], vec![12; 9]], 1);
    let once = summarize(&Cell::new(Scenario::Offline, rows.clone()));
    let often = summarize(&Cell::new(Scenario::Offline, rows).with_analyses(8));
    assert!(often.throughput.per_host.ci_low < once.throughput.per_host.ci_low);
    assert_eq!(often.throughput.per_host.value, once.throughput.per_host.value);
}

#[test]
#[ignore = "for /usr/bin/time -v: a million samples within 10 s and 1 GB"]
fn a_million_samples_are_summarised() {
    let run: Vec<u32> =
        (0..250_000_u32).map(|place| 1000 + place.wrapping_mul(2_654_435_761) % 9973).collect();
    let statistics = offline(rows_of(&vec![run; 4], 4));
    assert_eq!(statistics.counted_samples, 1_000_000);
    assert!(statistics.latency_ms.p999.interval().is_some());
}

#[test]
fn an_empty_cell_is_null_and_not_zero() {
    let statistics = offline(Vec::new());
    assert_eq!(statistics.throughput.per_host.value, None);
    assert_eq!(statistics.latency_ms.mean.value, None);
    assert_eq!((statistics.latency_ms.min, statistics.output_tokens.mean), (None, None));
}

fn estimates(statistics: &CellStatistics) -> Vec<&Estimate> {
    let CellStatistics { latency_ms, batch_ms, ttft_ms, tpot_ms, throughput, .. } = statistics;
    let of = [latency_ms, batch_ms, ttft_ms, tpot_ms].into_iter();
    of.flat_map(|d| [&d.mean, &d.p50, &d.p90, &d.p95, &d.p99, &d.p999])
        .chain([&throughput.per_host, &throughput.fleet])
        .collect()
}

fn latencies() -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(prop::collection::vec(1_u32..5000, 1..300), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn an_interval_holds_its_value(runs in latencies(), batch_size in 1_usize..9) {
        let statistics = offline(rows_of(&runs, batch_size));
        for estimate in estimates(&statistics) {
            let Some(value) = estimate.value else {
                prop_assert!(estimate.reason.is_some());
                continue;
            };
            prop_assert!(value.is_finite());
            match estimate.interval() {
                Some((low, high)) => prop_assert!(low <= value && value <= high, "{estimate:?}"),
                None => prop_assert!(estimate.reason.is_some()),
            }
        }
        let d = &statistics.latency_ms;
        let percentiles = [&d.p50, &d.p90, &d.p95, &d.p99].map(|p| p.value).into_iter().flatten();
        prop_assert!(percentiles.is_sorted());
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(runs in latencies(), seed in any::<u64>()) {
        let rows = rows_of(&runs, 3);
        let mut shuffled = rows.clone();
        let mut state = seed;
        for i in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            shuffled.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
        }
        prop_assert_eq!(offline(rows), offline(shuffled));
    }
}
