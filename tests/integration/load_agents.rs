//! Several agents load one endpoint, and one cell comes out.

use scenarios::serving::Serving;
use scenarios::{Finished, JoinCommand, Row, Running, Workspace, scripted};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Four agents: each puts its part of the load on the same server.
fn matrix(url: &str, agents: u32, factors: &str) -> String {
    format!(
        r#"
name = "together"
seed = 3
[dataset]
source = "builtin:dialogues"
samples = 80
[[model]]
name = "served"
id = "{url}"
[model.endpoint]
output_tokens = "/0/output_tokens"
input_tokens = "/0/input_tokens"
{factors}
[[target]]
name = "behind"
agents = {agents}
usd_per_hour = 0.36
[report]
formats = ["json", "markdown"]
"#
    )
}

struct Measured {
    results: Value,
    rows: Vec<Row>,
    out: String,
}

fn measure(workspace: &Workspace, agents: u32, matrix: &str) -> Measured {
    workspace.write("matrix.toml", matrix);
    let mut running = workspace.start(&scripted::RUN);
    let JoinCommand { controller, token_file } = running.join_command();
    let join = |index: u32| {
        let host = format!("m{index}");
        let own = ["join", "--controller", &controller, "--target", "behind", "--threads", "1"];
        let more = ["--token-file", &token_file, "--simulate-host", &host];
        workspace.start_agent(&[&own[..], &more].concat())
    };
    let agents: Vec<Running> = (0..agents).map(join).collect();
    let out = running.finish().expect(0).out;
    let _: Vec<Finished> = agents.into_iter().map(|agent| agent.finish().expect(0)).collect();
    let (results, rows) = (workspace.results("results.json"), workspace.samples("results.json"));
    Measured { results, rows, out }
}

/// Requests by run and host.
fn counts(rows: &[Row]) -> BTreeMap<(i32, String), u64> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry((row.run, row.host.clone())).or_default() += 1;
    }
    counts
}

#[test]
fn four_agents_at_one_server_give_one_cell() {
    let workspace = Workspace::default();
    // Everything is answered at once, so that no rate is too high.
    let script = workspace.write("script.json", r#"{"prompt_ms": 0, "token_ms": 0}"#);
    let model = format!("scripted:{}", script.display());
    let serving = Serving::start(&workspace, &model, &["--batch-size", "8"]);
    let factors = r#"
[factors]
scenarios = ["offline", "server"]
batch_sizes = [8]
[protocol]
runs = 2
warmup = 1
server = { request_rates = [40], max_in_flight = 80 }
"#;
    let Measured { results, rows, out } =
        measure(&workspace, 4, &matrix(&serving.url(), 4, factors));
    let entries = results["results"].as_array().expect("entries");
    assert_eq!(entries.len(), 2);
    for entry in entries {
        let cells = entry["cells"].as_array().expect("cells");
        let [cell] = cells.as_slice() else { panic!("one cell: {cells:?}") };
        assert_eq!((&cell["load_agents"], &cell["counted_samples"]), (&json!(4), &json!(160)));
        let estimates = &cell["estimates"];
        // What is behind the endpoint is one host, with one price.
        assert_eq!((&estimates["hosts"], &cell["cost"]["usd_per_hour"]), (&json!(1), &json!(0.36)));
        // Percentiles are those of all samples.
        let name = cell["cell"].as_str().expect("a name");
        let its: Vec<&Row> = rows.iter().filter(|row| row.cell == name).collect();
        assert_eq!(its.len(), 160, "{name}");
        let mut latencies: Vec<f64> = its.iter().map(|row| row.latency_ns as f64 / 1e6).collect();
        latencies.sort_by(f64::total_cmp);
        let p50 = estimates["latency_ms"]["p50"]["value"].as_f64().expect("a median");
        assert!(latencies[78] <= p50 && p50 <= latencies[81], "{p50}");
        for run in estimates["runs"].as_array().expect("runs") {
            assert_eq!((&run["hosts"], &run["counted_samples"]), (&json!(4), &json!(80)));
        }
    }
    // Each agent sent its quarter of each run.
    assert!(counts(&rows).values().all(|count| *count == 40), "{:?}", counts(&rows));
    assert_eq!(counts(&rows).len(), 8);
    assert!(out.contains("4 agents generated the load together"), "{out}");

    // 80 requests at 40 a second take about two seconds, whatever number of agents sends them.
    let server = entries.iter().find(|entry| entry["scenario"] == "server").expect("it is there");
    assert_eq!(server["load"]["request_rate"], json!(40.0));
    for run in server["cells"][0]["estimates"]["runs"].as_array().expect("runs") {
        let seconds = run["host_seconds"].as_f64().expect("it is measured");
        assert!(seconds > 1.0, "four times the rate: {seconds} s");
    }
    serving.signal("TERM");
    let _ = serving.finish().expect(0);
}

#[test]
fn a_sustained_load_of_two_agents_has_the_windows_of_one() {
    let workspace = Workspace::default();
    let script = r#"{"prompt_ms": 5, "token_ms": 1, "output_tokens": 4, "paced": true}"#;
    let model = format!("scripted:{}", workspace.write("script.json", script).display());
    let serving = Serving::start(&workspace, &model, &["--batch-size", "8"]);
    let factors = r#"
[factors]
scenarios = ["stress"]
[protocol]
runs = 1
warmup = 1
stress = { duration = "2s", window = "1s", concurrency = 4 }
"#;
    let Measured { results, out, .. } = measure(&workspace, 2, &matrix(&serving.url(), 2, factors));
    let cell = &results["results"][0]["cells"][0];
    assert_eq!((&cell["load_agents"], &cell["failed_samples"]), (&json!(2), &json!(0)));
    let verdicts = &cell["stress"][0]["verdicts"];
    assert_eq!((&verdicts["windows"], &verdicts["planned_windows"]), (&json!(2), &json!(2)));
    // Four requests at a time, of at least 9 ms each: both agents' requests are there, and no more.
    let counted = cell["counted_samples"].as_u64().expect("it is counted");
    assert!((4..=4 * 3000 / 9).contains(&counted), "{counted}");
    assert!(out.contains("2 agents generated the load together"), "{out}");
}

#[test]
fn concurrent_requests_that_agents_cannot_share_evenly_are_refused() {
    let workspace = Workspace::default();
    let matrix = matrix("http://127.0.0.1:1/x", 4, "[factors]\nbatch_sizes = [8, 6]\n");
    workspace.write("matrix.toml", matrix);
    let refused = Finished::of(&mut workspace.controller(&["plan", "matrix.toml"])).expect(2);
    let expected = "the 4 agents of behind share: batch_sizes must be multiples of 4, found 6";
    assert!(refused.err.contains(expected), "{}", refused.err);
}
