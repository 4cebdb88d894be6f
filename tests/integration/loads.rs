//! Loads: requests that arrive over time, once each or repeatedly, on scripted engines.

use scenarios::{Workspace, scripted, signal};
use serde_json::{Value, json};

fn workspace(script: &str, factors: &str, protocol: &str, more: &str) -> Workspace {
    let rest = format!("[factors]\n{factors}\n[protocol]\nwarmup = 1\n{protocol}\n{more}\n");
    let matrix = scripted::matrix("loads", 200, &rest) + scripted::HERE;
    scripted::workspace(script, &matrix)
}

fn entries(results: &Value) -> Vec<Value> {
    results["results"].as_array().expect("there are results").clone()
}

/// A request takes 10 ms, so at most 100 a second can be served one by one.
const STEADY: &str = r#"{"prompt_ms": 4, "token_ms": 1, "output_tokens": 7}"#;

#[test]
fn a_sweep_finds_the_rate_that_meets_the_objective() {
    let workspace = workspace(
        STEADY,
        "batch_sizes = [1]\nscenarios = [\"server\"]",
        "runs = 3\nserver = { request_rates = [20, 50, 400], max_queue = 50 }",
        "[slo]\nrequest_latency_ms = 100\npercentile = 90",
    );
    let finished = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let results = workspace.results("results.json");
    let entries = entries(&results);
    assert_eq!(entries.len(), 3, "each rate has an entry of its own");
    let rates: Vec<f64> =
        entries.iter().filter_map(|entry| entry["load"]["request_rate"].as_f64()).collect();
    assert_eq!(rates, [20.0, 50.0, 400.0]);
    let cells: Vec<&Value> = entries.iter().map(|entry| &entry["cells"][0]).collect();
    for cell in &cells {
        // Requests rejected by a full queue count too.
        let (counted, failed) = (&cell["counted_samples"], &cell["failed_samples"]);
        assert_eq!(counted.as_u64().unwrap() + failed.as_u64().unwrap(), 600, "{cell}");
        assert_eq!(cell["not_sent"], *failed);
        assert_eq!(cell["schedule_delay_ms"]["max"], 0.0, "a synthetic clock is never late");
    }
    assert_eq!((&cells[0]["not_sent"], &cells[1]["not_sent"]), (&0.into(), &0.into()));
    assert!(cells[2]["not_sent"].as_u64() > Some(100), "{}", cells[2]["not_sent"]);
    let p50 = |cell: &Value| cell["estimates"]["latency_ms"]["p50"]["value"].as_f64().unwrap();
    // Time in the queue grows with the rate. Alone, a request takes 10 ms.
    assert!(p50(cells[0]) >= 10.0 && p50(cells[0]) < p50(cells[1]));
    let capacity = &results["capacities"][0];
    assert_eq!(capacity["capacity"]["capacity"], "met", "{capacity}");
    assert_eq!(capacity["capacity"]["request_rate"], 50.0);
    assert!(finished.out.contains("up to 50 requests/s"), "{}", finished.out);
}

const SEARCH: &str =
    "runs = 3\nserver = { search = { lowest = 10, highest = 200, resolution = 0.4 } }";
/// One request at a time, 10 ms each: at 75/s, p90 is about 40 ms.
const TIGHT: &str = "[slo]\nrequest_latency_ms = 40\npercentile = 90";

/// The bounds of the found capacity, and the requests of each step.
fn searched(results: &Value) -> (f64, f64, Vec<u64>) {
    let search = &results["capacities"][0]["search"];
    let steps = search["steps"].as_array().expect("a search has steps");
    let requests = steps.iter().map(|step| step["requests"].as_u64().expect("a count")).collect();
    let rate = |key: &str| search[key].as_f64().unwrap_or_else(|| panic!("no {key}: {search}"));
    (rate("low"), rate("high"), requests)
}

#[test]
fn a_search_measures_only_the_rates_that_it_needs_until_the_capacity_is_known() {
    let factors = "batch_sizes = [1]\nscenarios = [\"server\"]";
    let workspace = workspace(STEADY, factors, SEARCH, TIGHT);
    let finished = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let results = workspace.results("results.json");
    let (low, high, requests) = searched(&results);
    assert!((50.0..76.0).contains(&low) && high <= 110.0, "{low} to {high}");
    assert_eq!(results["capacities"][0]["search"]["resolution"]["resolution"], "resolved");
    assert!(high / low < 1.41, "{low} to {high}");
    let entries = entries(&results);
    assert!(entries.len() < 25, "{} of 36 candidates were measured", entries.len());
    let mut measured = 0;
    for entry in &entries {
        let rate = entry["load"]["request_rate"].as_f64().unwrap();
        let cell = &entry["cells"][0];
        measured +=
            cell["counted_samples"].as_u64().unwrap() + cell["failed_samples"].as_u64().unwrap();
        assert_eq!(cell["missing_samples"], 0, "what a search doesn't need isn't missing");
        let kept = match rate {
            _ if rate <= low => "kept",
            _ if rate >= high => "missed",
            _ => "undecided",
        };
        assert_eq!(cell["goodput"]["kept"], kept, "{rate} of {low} to {high}");
        let reasons = cell["validity"]["reasons"].to_string();
        assert!(
            !reasons.contains("agent_lost"),
            "a run that was cut short lost no agent: {reasons}"
        );
    }
    // Each step is a run, and no sample is lost or counted twice.
    assert_eq!(measured, requests.iter().sum::<u64>());
    assert!(
        finished.out.contains(&format!("{low} to {high} requests/s (95% CI)")),
        "{}",
        finished.out
    );
    assert!(finished.err.contains("within the limits"), "each step is shown: {}", finished.err);
}

/// Four are decoded together, so four users never wait and the fifth takes 20 ms for one request of four.
#[test]
fn a_search_over_the_requests_in_flight_finds_the_last_number_that_keeps_the_objective() {
    let factors = "batch_sizes = [4]\nscenarios = [\"server\"]";
    let search = "server = { search = { vary = \"concurrency\", lowest = 1, highest = 32 } }";
    let tight = "[slo]\nrequest_latency_ms = 15\npercentile = 90";
    let workspace = workspace(STEADY, factors, search, tight);
    let planned = workspace.run(&["plan", "matrix.toml"]).expect(0).out;
    assert!(planned.contains("number of requests in flight that keeps"), "{planned}");
    let finished = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let results = workspace.results("results.json");
    let (low, high, requests) = searched(&results);
    assert_eq!(format!("{low} to {high}"), "4 to 5", "{}", finished.err);
    let of = &results["capacities"][0];
    assert_eq!((&of["search"]["vary"], &of["request_rates"]), (&"concurrency".into(), &json!([])));
    assert_eq!(of["search"]["resolution"]["resolution"], "resolved");
    assert_eq!(of["capacity"], json!({"capacity": "met_in_flight", "concurrency": 4}));
    assert_eq!(of["search"]["usd_per_1000_requests_low"], Value::Null);
    let mut measured = 0;
    for entry in entries(&results) {
        let users = entry["load"]["concurrency"].as_f64().expect("a closed loop");
        assert_eq!(entry["load"]["request_rate"], Value::Null);
        let cell = &entry["cells"][0];
        let counted = cell["counted_samples"].as_u64().expect("a count");
        measured += counted + cell["failed_samples"].as_u64().expect("a count");
        let kept = if users <= low { "kept" } else { "missed" };
        assert_eq!(cell["goodput"]["kept"], kept, "{users} in flight");
        assert_eq!(cell["missing_samples"], 0, "{users} in flight");
        if users.to_bits() == low.to_bits() {
            // Four in 10 ms.
            let rate = cell["estimates"]["throughput"]["per_host"]["value"].as_f64().expect("one");
            assert!((rate - 400.0).abs() < 20.0, "{rate}");
        }
    }
    assert_eq!(measured, requests.iter().sum::<u64>());
    let found = "up to a capacity of 4 requests in flight (95% CI)";
    assert!(finished.out.contains(found), "{}", finished.out);
    assert!(
        finished.err.contains("4 requests in flight, run 1: 100.0% of 200"),
        "{}",
        finished.err
    );
}

#[test]
fn every_target_gets_the_same_requests_at_the_same_times() {
    let workspace = workspace(
        STEADY,
        "batch_sizes = [4]\nscenarios = [\"server\"]",
        "runs = 2\nserver = { request_rates = [50], max_batch_delay_ms = 30 }",
        "[[fleet.local]]\ntarget = \"there\"\nusd_per_hour = 0.2",
    );
    let _ = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let gaps = |target: &str| -> Vec<(i32, String, i64)> {
        let rows = workspace.samples("results.json");
        let mut its: Vec<_> = rows.iter().filter(|row| row.cell.ends_with(target)).collect();
        its.sort_by_key(|row| (row.run, row.batch));
        let pairs = its.windows(2).filter(|pair| pair[0].run == pair[1].run);
        pairs
            .map(|pair| {
                (pair[0].run, pair[0].sample_id.clone(), pair[1].start_ns - pair[0].start_ns)
            })
            .collect()
    };
    let here = gaps("@here");
    assert_eq!(here.len(), 2 * 199);
    assert_eq!(here, gaps("@there"));
    let mean = here.iter().map(|gap| gap.2 as f64).sum::<f64>() / here.len() as f64;
    // 398 exponential gaps of 20 ms: four standard errors.
    assert!((mean / 20e6 - 1.0).abs() < 4.0 / 398.0_f64.sqrt(), "{mean}");
}

#[test]
fn bursts_and_changes_of_the_rate_reach_the_agent_and_the_report() {
    let workspace = workspace(
        STEADY,
        "batch_sizes = [1]\nscenarios = [\"server\", \"stress\"]",
        r#"runs = 2
server = { request_rates = [50], arrivals = "gamma", gap_cv = 3, rate_profile = [
    { at = "0s", factor = 0.5 }, { at = "1m", factor = 2 } ] }
stress = { duration = "60s", window = "1s", request_rate = 20, arrivals = "constant", rate_profile = [
    { at = "30s", factor = 1 }, { at = "30s", factor = 3 } ] }"#,
        "",
    );
    let finished = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let results = workspace.results("results.json");
    let entries = entries(&results);
    let [server, stress] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((&server["load"]["gap_cv"], &stress["load"]["gap_cv"]), (&3.0.into(), &Value::Null));
    assert_eq!(server["rate_profile"][1], serde_json::json!({ "at_s": 60.0, "factor": 2.0 }));
    let mut starts: Vec<i64> = workspace
        .samples("results.json")
        .iter()
        .filter(|row| row.run == 1)
        .map(|row| row.start_ns)
        .collect();
    starts.sort_unstable();
    let gaps: Vec<f64> = starts.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    // Of 199 gaps with a coefficient of variation of 3; a Poisson process would have 1 ± 0.1.
    assert!(variance.sqrt() / mean > 1.8, "{}", variance.sqrt() / mean);

    // 20/s for half a minute, 60/s for another one, each request on time.
    let verdicts = &stress["cells"][0]["stress"][0]["verdicts"];
    assert_eq!(
        verdicts["counted"].as_f64().map(|count| (count / 2400.0 * 100.0).round()),
        Some(100.0)
    );
    let at = |second: usize| verdicts["series"][second]["throughput"].as_f64().expect("a figure");
    assert!((at(10) - 20.0).abs() < 2.0 && (at(50) - 60.0).abs() < 2.0, "{} {}", at(10), at(50));
    let told = "latency drift not judged: the rate of the load changes";
    assert!(finished.out.contains(told), "{}", finished.out);
    assert!(finished.out.contains("gamma, CV 3; rate × 0.5 to 2"), "{}", finished.out);
}

#[test]
fn a_day_of_load_gives_verdicts_and_keeps_no_samples() {
    // A batch takes 200 ms of synthetic time: half a million requests would be as many rows.
    let workspace = workspace(
        r#"{"seed": 3, "prompt_ms": 100, "token_ms": 10, "output_tokens": 11, "spread": 0.05}"#,
        "batch_sizes = [4]\nscenarios = [\"stress\"]",
        "runs = 1\nstress = { duration = \"1d\", concurrency = 4 }",
        "",
    );
    let finished = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let results = workspace.results("results.json");
    assert_eq!(workspace.samples("results.json"), []);
    let cell = &entries(&results)[0]["cells"][0];
    let verdicts = &cell["stress"][0]["verdicts"];
    assert_eq!((&verdicts["windows"], &verdicts["planned_windows"]), (&1440.into(), &1440.into()));
    assert!((verdicts["measured_s"].as_f64().unwrap() / 86_400.0 - 1.0).abs() < 1e-4);
    for of in ["latency", "throughput"] {
        assert_eq!(verdicts[of]["finding"]["is"], "not_found", "{}", verdicts[of]);
    }
    assert!(verdicts["series"].as_array().unwrap().len() <= 300);
    // 200 ms, stretched by up to 5 % either way.
    let mean = cell["estimates"]["latency_ms"]["mean"]["value"].as_f64().unwrap();
    assert!((198.0..202.0).contains(&mean), "{mean}");
    let throughput = cell["estimates"]["throughput"]["per_host"]["value"].as_f64().unwrap();
    assert!((throughput * mean / 4000.0 - 1.0).abs() < 1e-3, "four at a time: {throughput}");
    assert!(finished.out.contains("no latency drift"), "{}", finished.out);
}

/// Five windows of a second each in real time, so that the load can be interrupted.
fn five_windows() -> Workspace {
    workspace(
        r#"{"prompt_ms": 10, "token_ms": 1, "output_tokens": 1, "paced": true}"#,
        "batch_sizes = [1]\nscenarios = [\"stress\"]",
        "runs = 1\nstress = { duration = \"5s\", window = \"1s\" }",
        "",
    )
}

/// The number of windows behind the verdicts of results.json, which must be consistent.
fn judged(workspace: &Workspace) -> u64 {
    let cell = &entries(&workspace.results("results.json"))[0]["cells"][0];
    let verdicts = &cell["stress"][0]["verdicts"];
    let windows = verdicts["windows"].as_u64().expect("a number");
    assert_eq!(verdicts["planned_windows"], 5);
    // A window ends with the first batch that ends after its time, at most 11 ms later on the synthetic clock.
    let measured_s = verdicts["measured_s"].as_f64().expect("a number");
    assert!(
        (measured_s - windows as f64).abs() < 0.02 * windows as f64,
        "{measured_s} s, {windows}"
    );
    assert_eq!(verdicts["counted"], cell["counted_samples"]);
    windows
}

#[test]
fn a_stopped_load_keeps_its_windows_and_resumes() {
    let workspace = five_windows();
    let mut running = workspace.start(&["run", "matrix.toml", "--output", "results.json"]);
    running.until("steps");
    running.signal("INT");
    let stopped = running.finish().expect(3);
    let windows = judged(&workspace);
    assert!((1..5).contains(&windows), "{windows}");
    let partial = format!("incomplete: {windows} of 5 windows");
    assert!(stopped.out.contains(&partial), "{}", stopped.out);
    let _ = workspace.run(&["run", "--resume", "latest", "--output", "results.json"]).expect(0);
    assert_eq!(judged(&workspace), 5);
    let cell = &entries(&workspace.results("results.json"))[0]["cells"][0];
    assert_eq!(cell["warmup"]["segments"], 2);
}

#[test]
fn a_controller_killed_under_load_leaves_windows_to_judge_and_resumes() {
    let workspace = five_windows();
    let mut running = workspace.start(&["run", "matrix.toml", "--output", "results.json"]);
    running.until("steps");
    running.signal("KILL");
    assert_eq!(running.finish().code, None, "it was killed");
    let report = workspace.run(&["report", "latest", "--output", "results.json"]).expect(0);
    let windows = judged(&workspace);
    assert!((1..5).contains(&windows), "{windows}");
    assert!(report.out.contains(&format!("incomplete: {windows} of 5 windows")), "{}", report.out);
    let _ = workspace.run(&["run", "--resume", "latest", "--output", "results.json"]).expect(0);
    assert_eq!(judged(&workspace), 5);
}

#[test]
fn an_agent_killed_under_load_costs_one_window_of_time_and_no_data() {
    let workspace = five_windows();
    let mut running = workspace.start(&["run", "matrix.toml", "--output", "results.json"]);
    running.until("steps");
    for pid in running.children() {
        signal(pid, "KILL");
    }
    let finished = running.finish().expect(0);
    assert!(finished.err.contains("was lost"), "the kill hit the load: {}", finished.err);
    assert_eq!(judged(&workspace), 5);
    let cell = &entries(&workspace.results("results.json"))[0]["cells"][0];
    assert_eq!(cell["warmup"]["segments"], 2);
}

#[test]
fn a_load_without_its_scenario_and_a_scenario_without_its_load_are_refused() {
    let workspace =
        workspace(STEADY, "scenarios = [\"stress\"]", "server = { request_rates = [1, 0] }", "");
    let refused = workspace.run(&["plan", "matrix.toml"]).expect(2);
    for message in [
        "protocol.server: has no effect without \"server\" in factors.scenarios",
        "protocol.server.request_rates[1]: expected a number above zero",
        "protocol.stress: is missing, for example: stress = { duration = \"10m\", concurrency = 1 }",
    ] {
        assert!(refused.err.contains(message), "{message} is missing in:\n{}", refused.err);
    }
}

/// A matrix of builtin:tiny under a load; `batching` is how.
fn continuous(workspace: &Workspace, model: &str, batching: &str) {
    let matrix = format!(
        r#"
name = "continuous"
[dataset]
source = "builtin:dialogues"
samples = 40
[[model]]
name = "it"
id = "{model}"
[factors]
batch_sizes = [4]
scenarios = ["server", "stress"]
[generation]
max_new_tokens = 24
[protocol]
runs = 1
warmup = 1
server = {{ request_rates = [100], batching = "{batching}" }}
stress = {{ duration = "2s", window = "1s", concurrency = 6, batching = "{batching}" }}
[[fleet.local]]
target = "here"
threads = 1
usd_per_hour = 0.1
"#
    );
    workspace.write("matrix.toml", matrix);
}

#[test]
fn continuous_batching_gives_the_summaries_of_dynamic_batching() {
    let summaries = |batching: &str| {
        let workspace = Workspace::default();
        continuous(&workspace, "builtin:tiny", batching);
        let _ = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
        let results = workspace.results("results.json");
        let mut quality = Vec::new();
        for entry in entries(&results) {
            assert_eq!(entry["load"]["batching"], batching);
            let cell = &entry["cells"][0];
            assert_eq!(cell["failed_samples"], 0, "{cell}");
            // The load lasts for a fixed time; the number of requests depends on the machine.
            assert!(cell["counted_samples"].as_u64() > Some(0), "{cell}");
            if entry["scenario"] == "server" {
                quality.push(cell["quality"]["rougeL"]["value"].as_f64().expect("there is one"));
            }
        }
        let rows = workspace.samples("results.json");
        let mut lengths: Vec<_> =
            rows.into_iter().map(|row| (row.sample_id, row.output_tokens, row.outcome)).collect();
        lengths.sort();
        assert_eq!((lengths.len(), quality.len()), (40, 1));
        (lengths, quality)
    };
    assert_eq!(summaries("continuous"), summaries("dynamic"));
}

#[test]
fn an_engine_without_continuous_batching_is_refused_before_anything_is_measured() {
    let workspace = Workspace::default();
    workspace.write("script.json", STEADY);
    continuous(&workspace, "scripted:script.json", "continuous");
    let finished = workspace.run(&["run", "matrix.toml"]).expect(2);
    let reason = "doesn't support continuous batching: set batching = \"dynamic\"";
    assert!(finished.err.contains(reason), "{}", finished.err);
}
