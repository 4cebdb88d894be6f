//! Two agents of one target share a run's shards, and say the same of the target as one does.

use scenarios::{Row, Running, Workspace, program};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

const SCRIPT: &str = r#"{"seed": 3, "prompt_ms": 5, "token_ms": 2, "per_row_ms": 1, "spread": 0.1, "output_tokens": 12}"#;

fn matrix(agents: u32) -> String {
    format!(
        r#"
name = "sharing"
[dataset]
source = "builtin:dialogues"
samples = 120
[[model]]
name = "script"
id = "scripted:script.json"
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
    )
}

/// Starts agents on made-up machines as the controller says.
fn join(running: &mut Running, count: usize) -> Vec<Child> {
    let line = running.until("agent join");
    let words: Vec<&str> = line.split_whitespace().collect();
    let after = |flag: &str| {
        words.iter().skip_while(|word| **word != flag).nth(1).expect("the line has it").to_string()
    };
    let (url, token) = (after("--controller"), after("--token-file"));
    let agent = |index: usize| {
        Command::new(program("agent"))
            .args(["join", "--controller", &url, "--target", "machine", "--threads", "1"])
            .args(["--token-file", &token, "--simulate-host", &format!("m{index}")])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("agent starts")
    };
    (0..count).map(agent).collect()
}

fn measure(agents: u32) -> (Value, Vec<Row>) {
    let workspace = Workspace::default();
    workspace.write("script.json", SCRIPT);
    let path = workspace.write("matrix.toml", matrix(agents));
    let data_dir = workspace.path("data");
    let mut running = workspace.start(&[
        "run",
        path.to_str().expect("the path is UTF-8"),
        "--output",
        "results.json",
        "--data-dir",
        data_dir.to_str().expect("the path is UTF-8"),
    ]);
    let children = join(&mut running, agents as usize);
    let _ = running.finish().expect(0);
    for mut child in children {
        assert!(
            child.wait().expect("it ends").success(),
            "an agent that was sent home ends with 0"
        );
    }
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
