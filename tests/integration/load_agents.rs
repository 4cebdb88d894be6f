//! Several agents load one endpoint, and one cell comes out.

use scenarios::bad_endpoint::{BadEndpoint, Reply};
use scenarios::serving::Serving;
use scenarios::{Finished, JoinCommand, Row, Running, Workspace, scripted};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Requests per second of all agents together: 50 of each of four.
const RATE: f64 = 200.0;
const DIALOGUES: usize = 600;

/// The target's agents share the load on one server.
fn matrix(url: &str, agents: u32, factors: &str) -> String {
    format!(
        r#"
name = "together"
seed = 3
[dataset]
source = "dialogues.jsonl"
samples = {DIALOGUES}
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
    let row = |at: usize| format!("{{\"id\": \"{at}\", \"dialogue\": \"Ann: Hi, number {at}\"}}\n");
    workspace.write("dialogues.jsonl", (0..DIALOGUES).map(row).collect::<String>());
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

/// A server whose answers take no time, and which rejects nothing however late it is.
fn fast_server(workspace: &Workspace) -> Serving {
    let script = workspace.write("script.json", r#"{"prompt_ms": 0, "token_ms": 0}"#);
    let model = format!("scripted:{}", script.display());
    Serving::start(workspace, &model, &["--batch-size", "8", "--queue", "2000"])
}

/// The scheduled starts of a run's requests, in order, on the clock of each agent.
fn starts(rows: &[Row], run: i32) -> Vec<Vec<i64>> {
    let mut by_host: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.cell.contains("server") && row.run == run) {
        by_host.entry(&row.host).or_default().push(row.start_ns);
    }
    by_host.values_mut().for_each(|times| times.sort_unstable());
    by_host.into_values().collect()
}

/// The times of one agent on the clock of `whole`, which has one place where all of them fit.
fn placed(times: &[i64], whole: &BTreeSet<i64>) -> Vec<i64> {
    let from = |at: i64| times.iter().map(move |time| time - times[0] + at);
    let fits = |at: &i64| from(*at).all(|time| whole.contains(&time));
    let places: Vec<i64> = whole.iter().copied().filter(fits).collect();
    let [place] = places[..] else { panic!("{} places", places.len()) };
    from(place).collect()
}

#[test]
fn four_agents_at_one_server_give_one_cell_with_the_arrivals_of_one_agent() {
    let workspace = Workspace::default();
    let serving = fast_server(&workspace);
    let factors = |scenarios: &str, runs: u32| {
        format!(
            "
[factors]
scenarios = [{scenarios}]
batch_sizes = [8]
[protocol]
runs = {runs}
warmup = 1
server = {{ request_rates = [{RATE}], max_in_flight = 2000 }}
"
        )
    };
    let four = matrix(&serving.url(), 4, &factors(r#""offline", "server""#, 2));
    let Measured { results, rows, out } = measure(&workspace, 4, &four);
    let entries = results["results"].as_array().expect("entries");
    assert_eq!(entries.len(), 2);
    let all = 2 * DIALOGUES;
    for entry in entries {
        let cells = entry["cells"].as_array().expect("cells");
        let [cell] = cells.as_slice() else { panic!("one cell: {cells:?}") };
        assert_eq!((&cell["load_agents"], &cell["counted_samples"]), (&json!(4), &json!(all)));
        let estimates = &cell["estimates"];
        // What is behind the endpoint is one host, with one price.
        assert_eq!((&estimates["hosts"], &cell["cost"]["usd_per_hour"]), (&json!(1), &json!(0.36)));
        // Percentiles are those of all samples.
        let name = cell["cell"].as_str().expect("a name");
        let its: Vec<&Row> = rows.iter().filter(|row| row.cell == name).collect();
        assert_eq!(its.len(), all, "{name}");
        let mut latencies: Vec<f64> = its.iter().map(|row| row.latency_ns as f64 / 1e6).collect();
        latencies.sort_by(f64::total_cmp);
        let p50 = estimates["latency_ms"]["p50"]["value"].as_f64().expect("a median");
        let (low, high) = (latencies[DIALOGUES - 2], latencies[DIALOGUES + 1]);
        assert!(low <= p50 && p50 <= high, "{p50}");
        for run in estimates["runs"].as_array().expect("runs") {
            assert_eq!((&run["hosts"], &run["counted_samples"]), (&json!(4), &json!(DIALOGUES)));
        }
    }
    // Each agent sent its quarter of each run of both cells.
    let quarters = 2 * DIALOGUES as u64 / 4;
    assert!(counts(&rows).values().all(|count| *count == quarters), "{:?}", counts(&rows));
    assert_eq!(counts(&rows).len(), 8);
    assert!(out.contains("4 agents generated the load together"), "{out}");

    // The same load from one agent.
    let one = matrix(&serving.url(), 1, &factors(r#""server""#, 1));
    let alone = measure(&workspace, 1, &one).rows;
    let [whole] = &starts(&alone, 1)[..] else { panic!("one agent") };
    let whole: BTreeSet<i64> = whole.iter().copied().collect();
    let parts = starts(&rows, 1);
    assert_eq!((whole.len(), parts.len()), (DIALOGUES, 4));
    let mut superposed: Vec<i64> = parts.iter().flat_map(|part| placed(part, &whole)).collect();
    superposed.sort_unstable();
    assert_eq!(superposed, Vec::from_iter(whole), "every arrival is one agent's");
    let gaps: Vec<f64> = superposed.windows(2).map(|two| (two[1] - two[0]) as f64 / 1e9).collect();
    let n = gaps.len() as f64;
    let mean = gaps.iter().sum::<f64>() / n;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / (n - 1.0);
    // 95% intervals of exponential gaps: the standard error of the mean is 1 / sqrt(n), of the variance sqrt(8 / n).
    assert!((mean * RATE - 1.0).abs() < 1.96 / n.sqrt(), "{mean}");
    assert!((variance * RATE * RATE - 1.0).abs() < 1.96 * (8.0 / n).sqrt(), "{variance}");
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

/// Two agents search together: half of the users are each agent's, and no more requests are in flight than there are
/// users.
#[test]
fn agents_share_the_users_of_a_search_over_the_requests_in_flight() {
    let workspace = Workspace::default();
    let in_flight = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let seen = Arc::clone(&in_flight);
    let server = BadEndpoint::start(move |_| {
        let [now, most] = &*seen;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        now.fetch_sub(1, Ordering::SeqCst);
        Reply::new("200 OK", r#"[{"generated_text": "so", "input_tokens": 1, "output_tokens": 1}]"#)
    });
    let factors = r#"
[factors]
scenarios = ["server"]
[protocol]
warmup = 1
server = { search = { vary = "concurrency", lowest = 2, highest = 8, max_runs = 1 } }
[slo]
request_latency_ms = 60000
"#;
    let Measured { results, rows, out } = measure(&workspace, 2, &matrix(&server.url, 2, factors));
    let search = &results["capacities"][0]["search"];
    let steps = search["steps"].as_array().expect("steps");
    let loads: Vec<f64> = steps.iter().filter_map(|step| step["load"].as_f64()).collect();
    assert_eq!(loads[..3], [2.0, 4.0, 8.0], "{steps:?}");
    assert!(steps.iter().all(|step| step["good"] == json!(DIALOGUES)), "{steps:?}");
    assert!(in_flight[1].load(Ordering::SeqCst) <= 8, "{in_flight:?}");
    for cell in results["results"].as_array().expect("entries").iter().map(|one| &one["cells"][0]) {
        assert_eq!(
            (&cell["load_agents"], &cell["counted_samples"]),
            (&json!(2), &json!(DIALOGUES))
        );
    }
    let half = DIALOGUES as u64 / 2;
    let by_cell = |row: &Row| (row.cell.clone(), row.host.clone());
    let mut counts: BTreeMap<_, u64> = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(by_cell(row)).or_default() += 1);
    assert!(counts.values().all(|count| *count == half), "{counts:?}");
    assert_eq!(counts.len(), 2 * loads.len());
    assert!(out.contains("8 in flight · batch 1: 2 agents generated the load together"), "{out}");
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
