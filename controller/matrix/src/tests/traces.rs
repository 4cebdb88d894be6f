//! Recorded arrivals: their keys, and the loads that follow from them.

use super::*;
use crate::Scale;
use model::load::Scenario;
use model::recorded_arrivals::RecordedArrivals;

/// 5 requests per second.
fn recorded() -> RecordedArrivals {
    RecordedArrivals::new((0..50).map(|at| at * 200_000_000).collect(), 10_000_000_000).unwrap()
}

#[test]
fn a_load_follows_a_trace_at_multiples_of_its_rate() {
    let lines = "server = { arrivals = \"trace\", trace = { path = \"t.csv\", factors = [1, 2.5], from = \"8h\", duration = \"1h\" } }
stress = { duration = \"5m\", arrivals = \"trace\", trace = { path = \"/t.csv\", factor = 0.1, scale = \"rate\" } }";
    let mut matrix = with_protocol("\"server\", \"stress\"", lines).unwrap();
    let named: Vec<_> = matrix.loads.traces().map(|(of, trace)| (of, trace.path.clone())).collect();
    assert_eq!(
        named,
        [(Scenario::Server, "/m/t.csv".to_owned()), (Scenario::Stress, "/t.csv".to_owned())]
    );
    let server = matrix.loads.server.clone().unwrap().trace.unwrap();
    assert_eq!((server.scale, server.from.as_secs()), (Scale::Time, 8 * 3600));
    assert_eq!(server.duration.map(|duration| duration.as_secs()), Some(3600));
    for scenario in [Scenario::Server, Scenario::Stress] {
        matrix.loads.record(scenario, &recorded(), None, matrix.seed).unwrap();
    }
    let plan = Plan::make(&matrix, 4).unwrap();
    let ids: Vec<&str> = plan.cells.iter().map(|cell| cell.id.as_str()).collect();
    let expected =
        ["server.x1", "server.x2.5", "stress"].map(|of| format!("tiny.f32.b1.{of}@here"));
    assert_eq!(ids, expected);
    let rates: Vec<_> =
        plan.cells.iter().map(|cell| cell.load.unwrap().request_rate.unwrap()).collect();
    assert_eq!(rates, [5.0, 12.5, 0.5]);
    let of = |index: usize| {
        let cell = &plan.cells[index];
        matrix.loads.recorded(cell.scenario, &cell.load.unwrap(), plan.seed).unwrap()
    };
    assert_eq!(of(0), recorded());
    assert_eq!((of(1).time_ns(1), of(1).period_ns()), (80_000_000, 4_000_000_000));
    assert_eq!((of(2).times_ns().len(), of(2).period_ns()), (5, 10_000_000_000));
    // What the busiest second of the trace holds, and of all requests at most those.
    let most = |index: usize| {
        let cell = &plan.cells[index];
        matrix.loads.most_arrivals(cell.scenario, &cell.load.unwrap(), 1_000_000_000)
    };
    assert_eq!((0..3).map(most).collect::<Vec<_>>(), [6.0, 13.0, 6.0]);
    // A campaign is resumed from what it stored.
    let json = serde_json::to_string(&matrix).unwrap();
    assert_eq!(serde_json::from_str::<Matrix>(&json).unwrap(), matrix);
}

#[test]
fn recorded_lengths_decide_which_dialogue_each_request_sends() {
    let lines = "server = { arrivals = \"trace\", trace = { path = \"t.csv\", characters_per_token = 2 } }
stress = { duration = \"20s\", arrivals = \"trace\", trace = { path = \"t.csv\", factor = 0.5, scale = \"rate\" } }";
    let mut matrix = with_protocol("\"server\", \"stress\"", lines).unwrap();
    let unit = crate::LengthUnit::Tokens;
    let tokens = crate::RecordedLengths { unit, values: (1..=50).collect() };
    for scenario in [Scenario::Server, Scenario::Stress] {
        matrix.loads.record(scenario, &recorded(), Some(&tokens), matrix.seed).unwrap();
    }
    assert_eq!(matrix.loads.wanted_lengths(3, matrix.seed), Some(vec![2, 4, 6]));
    let plan = Plan::make(&matrix, 4).unwrap();
    // Of the four dialogues, each one is sent once in a run of the server.
    let dialogues = [8, 3, 5, 1];
    let matched = |cell: usize, round: u32| {
        crate::lengths::matched(&plan, &matrix.loads, cell, round, || dialogues.to_vec()).unwrap()
    };
    let server = matched(0, 1);
    assert_eq!((server.wanted, server.dialogues), (vec![2, 4, 6, 8], vec![3, 1, 2, 0]));
    // A sustained load has the requests of the kept half, at four characters per token.
    let stress = matched(1, 1);
    assert_eq!((stress.wanted.len(), stress.dialogues.len()), (25, 25));
    assert!(stress.wanted.iter().all(|length| length % 4 == 0) && stress.wanted.is_sorted());
    let longest = stress.wanted.iter().zip(&stress.dialogues).filter(|(wanted, _)| **wanted >= 8);
    assert!(longest.clone().count() > 20 && longest.clone().all(|(_, dialogue)| *dialogue == 0));
}

#[test]
fn other_traces_are_refused() {
    for (server, problem) in [
        ("arrivals = \"trace\"", "server.trace: is missing, for example: trace = { path"),
        ("arrivals = \"trace\", trace = { }", "trace.path: is missing"),
        (
            "request_rates = [1], trace = { path = \"t\" }",
            "server.trace: has no effect without arrivals = \"trace\"",
        ),
        (
            "request_rates = [1], arrivals = \"trace\", trace = { path = \"t\" }",
            "request_rates: has no effect with arrivals = \"trace\", whose rate is the recorded one: set trace.factors",
        ),
        (
            "arrivals = \"trace\", trace = { path = \"t\" }, rate_profile = [{ at = \"0s\", factor = 2 }]",
            "rate_profile: has no effect with arrivals = \"trace\"",
        ),
        (
            "arrivals = \"trace\", trace = { path = \"t\", scale = \"rate\", factors = [0.5, 2] }",
            "trace.factors: expected a number from 0.001 to 1, found 2: a trace can be thinned; for a higher rate",
        ),
        (
            "arrivals = \"trace\", trace = { path = \"t\", lengths = \"ignore\", characters_per_token = 3 }",
            "trace.characters_per_token: has no effect with lengths = \"ignore\"",
        ),
        (
            "arrivals = \"trace\", trace = { path = \"t\", lengths = \"nearest\", characters_per_token = 1000 }",
            "trace.characters_per_token: expected a number from 0.1 to 100",
        ),
        (
            "arrivals = \"trace\", trace = { path = \"t\", factors = [2000] }",
            "trace.factors: expected a number from 0.001 to 1000, found 2000",
        ),
        (
            "arrivals = \"trace\", trace = { path = \"t\", from = \"noon\", duration = \"0s\", speed = 2 }",
            "trace.from: expected a time such as \"0s\" or \"8h\", found `noon`",
        ),
    ] {
        let error = with_protocol("\"server\"", &format!("server = {{ {server} }}")).unwrap_err();
        assert!(error.to_string().contains(problem), "{problem} is missing in {error}");
    }
    let stress = "duration = \"1m\", concurrency = 2, arrivals = \"trace\", trace = { path = \"t\", factors = [2] }";
    let error = with_protocol("\"stress\"", &format!("stress = {{ {stress} }}")).unwrap_err();
    for problem in [
        "stress.concurrency: has no effect with arrivals = \"trace\", an open loop",
        "stress.trace.factors: unknown key",
    ] {
        assert!(error.to_string().contains(problem), "{problem} is missing in {error}");
    }
}
