//! Logs in the form of MLPerf's LoadGen.

use super::super::mlperf::{self, Logs};
use super::*;
use std::collections::BTreeMap;

/// A cell for each of the scenarios that LoadGen has, of each model and target.
fn scenarios() -> World {
    let scenarios = r#"
[factors]
scenarios = ["offline", "single_stream", "server"]
batch_sizes = [4]
[protocol.server]
request_rates = [250]
[slo]
request_latency_ms = 3.5
percentile = 90
"#;
    let matrix = MATRIX.replace("[factors]\nbatch_sizes = [1, 4]\n", scenarios);
    World::of_matrix(&matrix, 100, "plain")
}

/// The values of a detail log by key.
fn detail(logs: &Logs) -> BTreeMap<String, serde_json::Value> {
    let message = |line: &str| {
        let json = line.strip_prefix(":::MLLOG ").expect("every line has the marker");
        let mut message: serde_json::Value = serde_json::from_str(json).unwrap();
        let key = message["key"].as_str().unwrap().to_owned();
        (key, message["value"].take())
    };
    logs.detail.lines().map(message).collect()
}

fn logs_of<'a>(logs: &'a [Logs], cell: &str) -> &'a Logs {
    logs.iter().find(|logs| logs.folder == cell).unwrap()
}

#[test]
fn logs_have_the_form_of_loadgen() {
    let logs = mlperf::render(&scenarios().results());
    assert_eq!(logs.len(), 12, "three scenarios of two models on two targets");
    for (name, cell) in [
        ("single_stream", "base.f32.b1.single_stream@one"),
        ("offline", "base.f32.b4.offline@one"),
        ("server", "base.f32.b4.server.r250@one"),
    ] {
        let logs = logs_of(&logs, cell);
        insta::assert_snapshot!(format!("mlperf_summary_{name}"), logs.summary);
        insta::assert_snapshot!(format!("mlperf_detail_{name}"), logs.detail);
    }
}

#[test]
fn a_server_without_an_objective_has_no_valid_result() {
    let mut world = scenarios();
    world.campaign.matrix.slo = None;
    let logs = mlperf::render(&world.results());
    let logs = logs_of(&logs, "base.f32.b4.server.r250@one");
    let detail = detail(logs);
    assert_eq!(detail["result_validity"], "INVALID");
    assert_eq!(detail["result_overlatency_query_count"], 300);
    assert!(
        logs.summary.contains("Result is : INVALID\n  Performance constraints satisfied : NO\n")
    );
    assert!(logs.summary.contains(" * Set slo.request_latency_ms"), "{}", logs.summary);
}

#[test]
fn failed_requests_are_errors_and_not_enough_queries() {
    let mut world = scenarios();
    let failed = |row: &&mut SampleRow| row.key.run == 2 && row.key.sample < 2;
    for row in world.samples.iter_mut().filter(failed) {
        row.sample.outcome = Outcome::Failed(model::failure::Kind::TimedOut);
    }
    let logs = mlperf::render(&world.results());
    let logs = logs_of(&logs, "base.f32.b1.single_stream@one");
    let detail = detail(logs);
    assert_eq!(detail["result_query_count"], 298);
    assert_eq!(detail["effective_min_query_count"], 300);
    assert_eq!(detail["result_min_queries_met"], false);
    assert_eq!(detail["result_validity"], "INVALID");
    assert_eq!(detail["error_runtime"], "2 failed requests: timed_out");
    assert_eq!(detail["num_errors"], 1);
    assert!(logs.summary.contains("  Min queries satisfied : NO\n"), "{}", logs.summary);
    assert!(logs.summary.contains("1 ERROR encountered."), "{}", logs.summary);
}

#[test]
fn a_campaign_without_a_sample_has_no_logs() {
    let mut world = scenarios();
    world.samples.clear();
    assert!(mlperf::render(&world.results()).is_empty());
}
