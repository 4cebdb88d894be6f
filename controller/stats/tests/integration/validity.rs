//! Validity: every reason that takes a cell's figures out of use, or marks them.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use stats::clock::Trouble;
use stats::drift::drift;
use stats::slo::{Slo, goodput};
use stats::validity::{Cause, Evidence, Status, Validity, validity};
use stats::{Cell, Observation, Scenario, summarize};

/// Which dialogue comes at a place: another order in each run.
fn sample(run: u32, place: u32, requests: u32) -> u32 {
    place * [1, 37, 61][run as usize % 3] % requests
}

/// Runs of single requests; `latency` in microseconds by run and place, `None` for a failed request.
fn cell(runs: u32, requests: u32, latency: impl Fn(u32, u32) -> Option<u64>) -> Cell {
    let mut rows = Vec::new();
    for run in 0..runs {
        for place in 0..requests {
            let found = latency(run, place);
            rows.push(Observation {
                run,
                batch: place,
                start_ns: u64::from(place) * 1_000_000_000,
                sample: sample(run, place, requests),
                latency_ns: found.unwrap_or(500) * 1000,
                input_tokens: Some(9),
                output_tokens: Some(3),
                is_ok: found.is_some(),
                ..Observation::default()
            });
        }
    }
    Cell::new(Scenario::SingleStream, rows)
}

fn steady() -> Cell {
    cell(3, 100, |run, place| Some(1000 + u64::from(sample(run, place, 100) * 37 % 100)))
}

fn judge(cell: &Cell, evidence: &Evidence) -> Validity {
    validity(&summarize(cell), evidence)
}

fn codes(cell: &Cell, evidence: &Evidence) -> (Status, Vec<String>) {
    let Validity { status, reasons } = judge(cell, evidence);
    (status, reasons.iter().map(|reason| code(&reason.cause)).collect())
}

fn code(cause: &Cause) -> String {
    let json = serde_json::to_value(cause).unwrap();
    assert_eq!(json["code"], cause.code());
    cause.code().to_owned()
}

#[test]
fn agents_that_send_late_or_have_no_time_left_are_the_bottleneck() {
    // A median of about a millisecond: the limit is 10 ms.
    let sent = |p99, cores| Evidence {
        send_delay_p99_ms: Some(p99),
        sending_cores: Some(cores),
        ..Evidence::default()
    };
    assert_eq!(codes(&steady(), &sent(9.9, 0.89)).0, Status::Valid);
    let (status, reasons) = codes(&steady(), &sent(10.1, 0.91));
    assert_eq!(
        (status, reasons),
        (Status::Degraded, vec!["late_sends".into(), "busy_agent".into()])
    );
    // Of 2 s, 5% are 100 ms.
    let slow = cell(3, 100, |run, place| Some(2_000_000 + u64::from(sample(run, place, 100))));
    assert_eq!(codes(&slow, &sent(60.0, 0.1)).1, Vec::<String>::new());
    assert_eq!(codes(&slow, &sent(101.0, 0.1)).1, ["late_sends"]);
    assert!(!judge(&slow, &sent(101.0, 0.1)).is_sound(), "latencies include the delay");
}

#[test]
fn a_steady_cell_is_valid_without_reasons() {
    let cell = steady();
    let evidence =
        Evidence { planned_samples: Some(300), drift: drift(&cell), ..Evidence::default() };
    assert_eq!(codes(&cell, &evidence), (Status::Valid, Vec::new()));
}

#[test]
fn each_observation_has_its_status() {
    use Status::{Degraded, Invalid, Valid};
    let nothing = Evidence::default;
    let rows = [
        (Evidence { planned_samples: Some(301), ..nothing() }, Degraded, "incomplete"),
        (Evidence { throttled_share: Some(0.02), ..nothing() }, Degraded, "throttled"),
        (Evidence { heat_throttles: Some(3.0), ..nothing() }, Degraded, "cpu_throttled"),
        (Evidence { other_load_share: Some(0.06), ..nothing() }, Degraded, "other_load"),
        (Evidence { agents_lost: 1, ..nothing() }, Degraded, "agent_lost"),
        (
            Evidence {
                foreign_telemetry: Some(("libnvidia-ml.so.1".to_owned(), "ab12".to_owned())),
                ..nothing()
            },
            Degraded,
            "foreign_telemetry",
        ),
        (
            Evidence { clock_trouble: Some(Trouble::ZeroLatency { requests: 1 }), ..nothing() },
            Invalid,
            "clock",
        ),
        (Evidence { impossible_times: 1, ..nothing() }, Invalid, "impossible_time"),
        (
            Evidence { gpu_of_instance: Some("GPU-1".to_owned()), ..nothing() },
            Valid,
            "mig_instance",
        ),
    ];
    for (evidence, status, code) in rows {
        assert_eq!(codes(&steady(), &evidence), (status, vec![code.to_owned()]));
    }
}

#[test]
fn few_failures_degrade_and_many_invalidate() {
    let failing = |every: u32| cell(2, 100, move |_, place| (place % every > 0).then_some(1000));
    let none = Evidence::default();
    assert_eq!(codes(&failing(50), &none), (Status::Degraded, vec!["failed_requests".to_owned()]));
    assert_eq!(codes(&failing(10), &none), (Status::Invalid, vec!["failed_requests".to_owned()]));
    let cause = &judge(&failing(50), &none).reasons[0].cause;
    assert_eq!(*cause, Cause::FailedRequests { failed: 4, all: 200 });
    let all = cell(2, 10, |_, _| None);
    assert_eq!(codes(&all, &none).1, ["nothing_counted", "failed_requests"]);
}

#[test]
fn few_requests_and_unstable_runs_are_said() {
    let none = Evidence::default();
    assert_eq!(codes(&cell(3, 5, |_, _| Some(1000)), &none).1, ["too_few_samples"]);
    let unstable = cell(3, 100, |run, _| Some(1000 + 300 * u64::from(run)));
    assert_eq!(codes(&unstable, &none).1, ["unstable_runs"]);
}

#[test]
fn a_slow_start_inside_the_window_is_drift_and_long_dialogues_at_the_start_are_not() {
    let jitter = |run: u32, place: u32| u64::from((place * 31 + run * 17) % 23);
    let cold = cell(3, 100, |run, place| {
        Some(1000 + jitter(run, place) + if place < 20 { 200 } else { 0 })
    });
    let found = drift(&cold).unwrap();
    assert!(found.head_slower > 0.1 && found.standard_errors > 3.0, "{found:?}");
    let evidence = Evidence { drift: Some(found), ..Evidence::default() };
    let validity = judge(&cold, &evidence);
    assert_eq!(validity.status, Status::Degraded);
    assert!(
        matches!(validity.reasons[0].cause, Cause::Drift { head_slower } if head_slower > 0.1),
        "{validity:?}"
    );

    // The same dialogue costs the same in each run, wherever it stands.
    let long_first =
        cell(3, 100, |run, place| Some(3000 - 20 * u64::from(sample(run, place, 100))));
    let evidence = Evidence { drift: drift(&long_first), ..Evidence::default() };
    assert_eq!(judge(&long_first, &evidence).status, Status::Valid, "{evidence:?}");
}

#[test]
fn good_requests_are_those_within_the_limit() {
    let cell = cell(2, 100, |_, place| (place > 0).then_some(if place < 80 { 1000 } else { 9000 }));
    let slo = Slo { request_latency_ms: Some(5.0), percentile: 95.0, ..Slo::default() };
    let found = goodput(&cell, slo);
    assert_eq!((found.good_samples, found.good_share), (158, Some(0.79)));
    let seconds = 2.0 * (0.0005 + 79.0 * 0.001 + 20.0 * 0.009);
    assert!((found.goodput.per_host.value.unwrap() / (158.0 / seconds) - 1.0).abs() < 1e-12);
}
