//! Two agents of one target share a run's shards, and give the same figures as one agent.

use scenarios::{Finished, JoinCommand, Row, Running, scripted};
use serde_json::Value;
use std::collections::BTreeSet;

const SCRIPT: &str = r#"{"seed": 3, "prompt_ms": 5, "token_ms": 2, "per_row_ms": 1, "spread": 0.1, "output_tokens": 12}"#;

fn matrix(agents: u32) -> String {
    let rest = format!(
        r#"
[factors]
batch_sizes = [4]
[protocol]
runs = 4
warmup = 1
[[target]]
name = "machine"
agents = {agents}
usd_per_hour = 0.36
"#
    );
    scripted::matrix("sharing", 120, &rest)
}

fn measure(agents: u32) -> (Value, Vec<Row>) {
    let workspace = scripted::workspace(SCRIPT, &matrix(agents));
    let mut running = workspace.start(&scripted::RUN);
    let JoinCommand { controller, token_file } = running.join_command();
    let join = |index: u32| {
        let host = format!("m{index}");
        let own = ["join", "--controller", &controller, "--target", "machine", "--threads", "1"];
        let more = ["--token-file", &token_file, "--simulate-host", &host];
        workspace.start_agent(&[&own[..], &more].concat())
    };
    let agents: Vec<Running> = (0..agents).map(join).collect();
    let _ = running.finish().expect(0);
    let _: Vec<Finished> = agents.into_iter().map(|agent| agent.finish().expect(0)).collect();
    (workspace.results("results.json"), workspace.samples("results.json"))
}

#[test]
fn two_agents_give_the_throughput_per_host_and_the_cost_of_one() {
    let ((one, alone), (two, shared)) = (measure(1), measure(2));
    let hosts = |rows: &[Row]| rows.iter().map(|row| row.host.clone()).collect::<BTreeSet<_>>();
    assert_eq!((hosts(&alone).len(), hosts(&shared).len()), (1, 2));
    let ids = |rows: &[Row]| {
        rows.iter().map(|row| (row.run, row.batch, row.sample_id.clone())).collect::<BTreeSet<_>>()
    };
    assert_eq!(ids(&alone), ids(&shared), "the same batches, whatever the number of agents");
    let cell = |results: &Value| results["results"][0]["cells"][0].clone();
    let estimate = |results: &Value, what: &str| {
        let cell = cell(results);
        let estimate = match what {
            "cost" => &cell["cost"]["usd_per_1000_requests"],
            _ => &cell["estimates"]["throughput"]["per_host"],
        };
        ["value", "ci_low", "ci_high"].map(|key| estimate[key].as_f64().expect("it is measured"))
    };
    for what in ["throughput", "cost"] {
        let [_, low, high] = estimate(&one, what);
        let [value, ..] = estimate(&two, what);
        assert!(low <= value && value <= high, "{what} of two: {value}, of one: {low} to {high}");
    }
    assert_eq!(cell(&two)["counted_samples"], 480);
}
