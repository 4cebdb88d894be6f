//! Traces of LoadGen 6.0.17 with a server that sleeps, and the figures in its own logs. `tests/loadgen/traces.py` makes
//! them.

use super::*;

/// A line per request: its start and its end in nanoseconds.
fn traced(scenario: Scenario, trace: &str) -> Cell {
    let rows = trace.lines().enumerate().map(|(number, line)| {
        let (start, end) = line.split_once(' ').unwrap();
        let (start_ns, end_ns): (u64, u64) = (start.parse().unwrap(), end.parse().unwrap());
        let number = u32::try_from(number).unwrap();
        Observation {
            run: 1,
            segment: 1,
            batch: number,
            sample: number,
            start_ns,
            latency_ns: end_ns - start_ns,
            is_ok: true,
            ..Observation::default()
        }
    });
    Cell::new(scenario, rows.collect())
}

/// LoadGen writes six significant digits.
#[track_caller]
fn assert_logged(rate: Option<f64>, logged: f64) {
    let rate = rate.unwrap();
    assert!((rate / logged - 1.0).abs() < 5e-6, "{rate} is not {logged}");
}

#[test]
fn single_stream_has_the_figures_of_loadgen() {
    let cell = traced(Scenario::SingleStream, include_str!("traces/single_stream.txt"));
    let found = figures(&cell, None).unwrap();
    let latency_ns = Latencies {
        min: 247_582,
        max: 3_069_609,
        mean: 504_631,
        p50: 494_834,
        p90: 665_391,
        p95: 688_044,
        p97: 700_197,
        p99: 717_850,
        p999: 3_069_609,
    };
    assert_eq!((found.sample_count, &found.latency_ns), (700, &latency_ns));
    assert_logged(found.issued_samples_per_s, 1959.1);
    let estimate = |discarded, latency_ns| Some(EarlyStoppingEstimate { discarded, latency_ns });
    let early_stopping = [
        EarlyStopping { share: 0.9, needed_queries: 64, estimate: estimate(50, 679_008) },
        EarlyStopping { share: 0.99, needed_queries: 662, estimate: estimate(0, 3_069_609) },
    ];
    assert_eq!(found.early_stopping, early_stopping);
    assert_eq!(found.target, None);
}

#[test]
fn offline_counts_from_the_start_of_the_run() {
    let cell = traced(Scenario::Offline, include_str!("traces/offline.txt"));
    let found = figures(&cell, None).unwrap();
    let latency_ns = Latencies {
        min: 4_601_867,
        max: 121_986_416,
        mean: 62_745_176,
        p50: 63_841_804,
        p90: 109_711_205,
        p95: 116_309_551,
        p97: 118_360_007,
        p99: 121_232_839,
        p999: 121_986_416,
    };
    assert_eq!((found.sample_count, &found.latency_ns), (200, &latency_ns));
    assert_logged(found.completed_samples_per_s, 1639.53);
    assert_eq!((found.issued_samples_per_s, found.early_stopping.len()), (None, 0));

    // The same requests in batches of 50 that start when the one before ends.
    let mut rows: Vec<Observation> = cell.observations().collect();
    for batch in 1..4 {
        let start_ns = rows[50 * batch - 1].end_ns();
        for row in &mut rows[50 * batch..50 * (batch + 1)] {
            (row.latency_ns, row.start_ns) = (row.end_ns() - start_ns, start_ns);
        }
    }
    assert_eq!(figures(&Cell::new(Scenario::Offline, rows), None), Some(found));
}

#[test]
fn server_is_judged_by_the_objective() {
    let cell = traced(Scenario::Server, include_str!("traces/server.txt"));
    let slo = Slo { request_latency_ms: Some(8.0), percentile: 95.0, ..Slo::default() };
    let found = figures(&cell, Some(slo)).unwrap();
    let latency_ns = Latencies {
        min: 522_223,
        max: 18_416_504,
        mean: 1_781_671,
        p50: 1_013_241,
        p90: 4_135_202,
        p95: 4_922_469,
        p97: 6_068_608,
        p99: 9_239_590,
        p999: 18_416_504,
    };
    assert_eq!((found.sample_count, &found.latency_ns), (600, &latency_ns));
    assert_logged(found.issued_samples_per_s, 695.786);
    assert_logged(found.completed_samples_per_s, 694.937);
    let kept = Target {
        slo,
        latency_ns: 8_000_000,
        percentile_latency_ns: 4_922_469,
        over_latency: 9,
        missing_queries: 0,
    };
    assert_eq!(found.target, Some(kept));
    let tight = figures(&cell, Some(Slo { percentile: 99.0, ..slo })).unwrap().target.unwrap();
    assert_eq!(tight.percentile_latency_ns, 9_239_590);
    assert!(tight.missing_queries > 1000, "{tight:?}");
}

#[test]
fn early_stopping_needs_as_many_requests_as_in_the_table_of_the_rules() {
    // LoadGen's own messages: "Need to process at least", "Would need to run at least ... more queries".
    for (over, share, requests) in
        [(1, 0.9, 64), (1, 0.99, 662), (0, 0.99, 459), (0, 0.95, 90), (0, 0.9, 44)]
    {
        assert_eq!(early_stopping::needed(over, share), requests, "{over} over, {share}");
    }
    let few: Vec<u64> = (0..63).collect();
    assert_eq!(EarlyStopping::of(&few, 0.9).estimate, None);
    assert_eq!(EarlyStopping::of(&[], 0.9).estimate, None);
    let enough: Vec<u64> = (0..64).collect();
    let estimate = EarlyStopping::of(&enough, 0.9).estimate;
    assert_eq!(estimate, Some(EarlyStoppingEstimate { discarded: 0, latency_ns: 63 }));
}

#[test]
fn runs_are_joined_and_failed_requests_have_no_latency() {
    let one = traced(Scenario::SingleStream, include_str!("traces/single_stream.txt"));
    let mut rows: Vec<Observation> = one.observations().collect();
    rows.extend(one.observations().map(|row| Observation { run: 2, ..row }));
    let (once, twice) = (figures(&one, None), figures(&Cell::new(one.scenario(), rows), None));
    let (once, twice) = (once.unwrap(), twice.unwrap());
    assert_eq!((twice.sample_count, twice.latency_ns.p97), (1400, once.latency_ns.p97));
    assert_eq!(twice.issued_samples_per_s, once.issued_samples_per_s);

    let failed = one.observations().map(|row| Observation { is_ok: false, ..row });
    assert_eq!(figures(&Cell::new(one.scenario(), failed.collect()), None), None);
}
