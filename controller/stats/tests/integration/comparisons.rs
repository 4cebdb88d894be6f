//! What must hold of a comparison of two cells.

use proptest::prelude::*;
use stats::comparison::{
    Batches, Finding, Pair, PairComparison, Quantity, Rounds, Scope, compare, contrast,
};
use stats::{Cell, Limitation, Observation, Scenario};

/// Single requests with these latencies in microseconds, by run.
fn cell(latencies: &[Vec<u32>]) -> Cell {
    let mut rows = Vec::new();
    for (run, latencies) in (0_u32..).zip(latencies) {
        let mut start_ns = 0;
        for (sample, &latency) in (0_u32..).zip(latencies) {
            let latency_ns = u64::from(latency) * 1000;
            rows.push(Observation {
                run,
                batch: sample,
                start_ns,
                sample,
                latency_ns,
                ttft_ns: Some(latency_ns / 4),
                input_tokens: Some(9),
                output_tokens: Some(3 + sample % 5),
                is_ok: true,
                ..Observation::default()
            });
            start_ns += latency_ns;
        }
    }
    Cell::new(Scenario::Offline, rows)
}

fn pair<'a>(baseline: &'a Cell, candidate: &'a Cell, rounds: Rounds) -> Pair<'a> {
    Pair { baseline, candidate, rounds, batches: Batches::Equal }
}

fn only(pair: Pair<'_>) -> PairComparison {
    compare(&[pair], None).remove(0)
}

#[test]
fn a_slowdown_of_every_request_is_found_and_named() {
    let runs: Vec<Vec<u32>> =
        (0..3).map(|run| (0..150).map(|i| 1000 + i * 37 % 900 + run * 3).collect()).collect();
    let slower: Vec<Vec<u32>> =
        runs.iter().map(|run| run.iter().map(|latency| latency * 103 / 100).collect()).collect();
    let (baseline, candidate) = (cell(&runs), cell(&slower));
    let found = only(pair(&baseline, &candidate, Rounds::Paired));
    assert_eq!(found.request_latency.verdict.finding, Finding::More);
    assert!(found.request_latency.corrected_ci_low.unwrap() > 1.029, "{found:#?}");
    assert_eq!(found.throughput.verdict.finding, Finding::Less);
    assert_eq!(found.request_latency.shared_samples, 150);
    assert_eq!(found.request_latency.scope, Scope::TheseMachines);
    assert_eq!(found.output_tokens.ratio.value, Some(1.0));
}

#[test]
fn what_a_round_does_to_both_sides_is_taken_out() {
    let at = |run: u32, latency: u32| vec![latency * (100 + 20 * run) / 100; 40];
    let baseline = cell(&[at(0, 10_000), at(1, 10_000), at(2, 10_000)]);
    let candidate = cell(&[at(0, 10_300), at(1, 10_310), at(2, 10_290)]);
    let paired = only(pair(&baseline, &candidate, Rounds::Paired)).request_latency;
    let apart = only(pair(&baseline, &candidate, Rounds::Apart)).request_latency;
    assert_eq!(paired.verdict.finding, Finding::More);
    assert_eq!(apart.verdict.finding, Finding::NotDistinguishable);
}

#[test]
fn requests_of_different_batch_sizes_are_not_paired_but_rates_are_compared() {
    let (a, b) = (cell(&vec![vec![100; 20]; 3]), cell(&vec![vec![200; 20]; 3]));
    let pair = Pair { batches: Batches::Different, ..pair(&a, &b, Rounds::Paired) };
    let found = only(pair);
    assert_eq!(found.request_latency.ratio.value, None);
    assert_eq!(found.request_latency.ratio.reason, Some(Limitation::BatchSizesDiffer));
    assert!((found.throughput.ratio.value.unwrap() - 0.5).abs() < 1e-12);
}

#[test]
fn one_run_gives_a_ratio_without_an_interval() {
    let (a, b) = (cell(&[vec![100; 20]]), cell(&[vec![200; 20]]));
    let found = only(pair(&a, &b, Rounds::Paired)).request_latency;
    assert!((found.ratio.value.unwrap() - 2.0).abs() < 1e-12);
    assert_eq!(found.ratio.interval(), None);
    assert_eq!(found.verdict.finding, Finding::NotDistinguishable);
    assert_eq!(found.ratio.reason, Some(Limitation::OneRun));
}

#[test]
fn runs_apart_have_satterthwaites_degrees() {
    // Variances 1 and 4 over 3 and 5 runs, on the log scale.
    const EXP: [u32; 5] = [1_000_000, 2_718_282, 7_389_056, 20_085_537, 54_598_150];
    let run = |x: usize| vec![EXP[x]; 4];
    let baseline = cell(&[run(0), run(1), run(2)]);
    let candidate = cell(&[run(0), run(0), run(2), run(4), run(4)]);
    let found = contrast(&pair(&baseline, &candidate, Rounds::Apart), Quantity::RequestLatency);
    let (error, degrees) = found.error.unwrap();
    let (b, c) = (1.0 / 3.0, 4.0 / 5.0);
    assert!((error - f64::sqrt(b + c)).abs() < 1e-6);
    let expected = (b + c) * (b + c) / (b * b / 2.0 + c * c / 4.0);
    assert!((degrees - expected).abs() < 1e-4, "{degrees}, expected {expected}");
}

fn latencies() -> impl Strategy<Value = Vec<Vec<u32>>> {
    prop::collection::vec(prop::collection::vec(1_u32..1_000_000, 1..60), 1..5)
}

proptest! {
    #[test]
    fn a_cell_against_itself_has_ratio_one_exactly(runs in latencies(), apart in any::<bool>()) {
        let cell = cell(&runs);
        let rounds = if apart { Rounds::Apart } else { Rounds::Paired };
        let found = only(pair(&cell, &cell, rounds));
        for comparison in [found.throughput, found.request_latency, found.latency_per_output_token, found.ttft] {
            if let Some(ratio) = comparison.ratio.value {
                prop_assert_eq!(ratio.to_bits(), 1.0_f64.to_bits());
            }
            prop_assert_eq!(comparison.verdict.finding, Finding::NotDistinguishable);
        }
    }

    #[test]
    fn swapping_the_sides_inverts_the_ratio(a in latencies(), b in latencies()) {
        let (a, b) = (cell(&a), cell(&b));
        let there = only(pair(&a, &b, Rounds::Paired)).request_latency.ratio;
        let back = only(pair(&b, &a, Rounds::Paired)).request_latency.ratio;
        prop_assert!((there.value.unwrap() * back.value.unwrap() - 1.0).abs() < 1e-9);
        if let (Some((low, high)), Some((back_low, back_high))) = (there.interval(), back.interval()) {
            prop_assert!(low <= high && back_low <= back_high);
            prop_assert!(low <= 0.0 || (low * back_high - 1.0).abs() < 1e-6 || !back_high.is_finite());
        }
    }
}
