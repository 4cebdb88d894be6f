//! Recorded arrivals, from the file of a trace to the report and the decision.

use scenarios::{Workspace, repository, scripted};
use serde_json::Value;

/// A request takes 10 ms, so at most 100 a second can be served one by one.
const STEADY: &str = r#"{"prompt_ms": 4, "token_ms": 1, "output_tokens": 7}"#;

/// Twenty bursts, one per second: 10 requests, 5 ms apart.
fn times_ms() -> Vec<u32> {
    (0..200).map(|index| index / 10 * 1000 + index % 10 * 5).collect()
}

fn workspace(factors: &str, protocol: &str) -> Workspace {
    let rest = format!("[factors]\n{factors}\n[protocol]\nwarmup = 1\n{protocol}\n");
    let matrix = scripted::matrix("replay", 200, &rest) + scripted::HERE;
    let workspace = scripted::workspace(STEADY, &matrix);
    let rows: Vec<String> =
        times_ms().iter().map(|ms| format!("{:.3}", f64::from(*ms) / 1e3)).collect();
    workspace.write("trace.csv", format!("timestamp\n{}\n", rows.join("\n")));
    workspace
}

#[test]
fn requests_arrive_as_recorded_and_a_poisson_process_would_have_misled() {
    let workspace = workspace(
        "batch_sizes = [1]\nscenarios = [\"server\"]",
        "runs = 2\nserver = { arrivals = \"trace\", trace = { path = \"trace.csv\", factors = [1, 0.5] } }",
    );
    let finished = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let rows = workspace.samples("results.json");
    for (cell, factor) in [("server.x1@", 1), ("server.x0.5@", 2)] {
        for run in [1, 2] {
            let mut starts: Vec<i64> = rows
                .iter()
                .filter(|row| row.run == run && row.cell.contains(cell))
                .map(|row| row.start_ns)
                .collect();
            starts.sort_unstable();
            let first = starts[0];
            let expected = times_ms().into_iter().map(|ms| i64::from(ms) * factor * 1_000_000);
            assert!(starts.iter().map(|start| start - first).eq(expected), "{cell} {run}");
        }
    }
    let results = workspace.results("results.json");
    let entry = &results["results"][0];
    let trace = &entry["trace"];
    assert_eq!(
        (&trace["file"], &trace["factor"], &trace["scale"]),
        (&"trace.csv".into(), &1.0.into(), &"time".into())
    );
    let found = &trace["burstiness"];
    // Each window holds one burst of ten, so that longer intervals are as even as a clock.
    assert_eq!((&found["windows"], &found["busiest"]), (&20.into(), &10.into()));
    assert!(finished.out.contains("Recorded arrivals"), "{}", finished.out);
    assert!(finished.out.contains("of a Poisson process of the same rate"), "{}", finished.out);
}

#[test]
fn a_share_of_a_trace_is_repeated_for_as_long_as_a_sustained_load_takes() {
    let workspace = workspace(
        "batch_sizes = [1]\nscenarios = [\"stress\"]",
        "runs = 1\nstress = { duration = \"60s\", window = \"1s\", arrivals = \"trace\", trace = { path = \"trace.csv\", scale = \"rate\", factor = 0.5, duration = \"19s\" } }",
    );
    let finished = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let results = workspace.results("results.json");
    let entry = &results["results"][0];
    let verdicts = &entry["cells"][0]["stress"][0]["verdicts"];
    // Half of 190 or 191 requests in 19 s, three times, and the first 3 s of a fourth time.
    let counted = verdicts["counted"].as_f64().expect("a number");
    assert!((285.0..=315.0).contains(&counted), "{counted}");
    assert_eq!(entry["trace"]["period_s"], 19.0);
    let told = "latency drift not judged: the rate of the load changes";
    assert!(finished.out.contains(told), "{}", finished.out);
    assert!(finished.out.contains("50% of the recorded"), "{}", finished.out);
}

/// Dialogues of 60, 80, 100 and so on characters, in an order that isn't that of their lengths.
fn write_dialogues(workspace: &Workspace) {
    let row = |index: usize| {
        let length = 60 + 20 * (index * 7 % 40);
        let text = format!("A: {}", "x".repeat(length - 3));
        format!("{{\"id\": \"d{length}\", \"dialogue\": \"{text}\"}}")
    };
    workspace.write("dialogues.jsonl", (0..40).map(row).collect::<Vec<_>>().join("\n"));
}

/// 40 requests, 20 ms apart, whose prompts have these characters. Twelve of the dialogues are measured.
fn with_lengths(scenario: &str, protocol: &str, lengths: impl Iterator<Item = usize>) -> Workspace {
    let rest = format!(
        "[factors]\nbatch_sizes = [1]\nscenarios = [\"{scenario}\"]\n[protocol]\nwarmup = 1\nruns = 2\n{scenario} = {{ arrivals = \"trace\", trace = {{ path = \"trace.csv\" }}{protocol} }}\n"
    );
    let matrix = scripted::matrix("replay", 12, &rest) + scripted::HERE;
    let workspace =
        scripted::workspace(STEADY, &matrix.replace("builtin:dialogues", "dialogues.jsonl"));
    write_dialogues(&workspace);
    let row = |(at, length): (usize, usize)| format!("{}.{:03},{length}", at / 50, at % 50 * 20);
    let rows: Vec<String> = lengths.enumerate().map(row).collect();
    workspace.write("trace.csv", format!("timestamp,input_characters\n{}\n", rows.join("\n")));
    workspace
}

#[test]
fn each_request_sends_a_dialogue_of_the_recorded_length() {
    // 140 to 360, each of which the dataset has, but two are 9 characters off.
    let length = |at: usize| 140 + 20 * (at * 5 % 12) + if at < 2 { 9 } else { 0 };
    let workspace = with_lengths("server", "", (0..40).map(length));
    let finished = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let rows = workspace.samples("results.json");
    for run in [1, 2] {
        let mut of_run: Vec<_> = rows.iter().filter(|row| row.run == run).collect();
        of_run.sort_unstable_by_key(|row| row.start_ns);
        let sent: Vec<usize> =
            of_run.iter().map(|row| row.sample_id[1..].parse().expect("a length")).collect();
        let nearest = |at: usize| 140 + 20 * (at * 5 % 12);
        assert!(sent.iter().copied().eq((0..12).map(nearest)), "{sent:?}");
    }
    let lengths = &workspace.results("results.json")["results"][0]["trace"]["lengths"];
    assert_eq!(lengths["unit"], "characters");
    let of = &lengths["characters"];
    assert_eq!((&of["requests"], &of["dialogues"]), (&12.into(), &12.into()));
    assert_eq!((&of["near_share"], &of["mean_difference"]), (&1.0.into(), &1.5.into()));
    for text in
        ["requested ┆ characters", "12 requests sent 12 dialogues, each at most once. 100% of them"]
    {
        assert!(finished.out.contains(text), "{text}: {}", finished.out);
    }
}

#[test]
fn a_sustained_load_picks_dialogues_by_length_again_and_again() {
    let lengths = (0..40).map(|at| if at % 4 == 0 { 840 } else { 60 + at });
    let workspace = with_lengths("stress", ", duration = \"20s\", window = \"1s\"", lengths);
    let _ = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    let results = workspace.results("results.json");
    let lengths = &results["results"][0]["trace"]["lengths"]["characters"];
    assert_eq!((&lengths["requests"], &lengths["used"]["max"]), (&40.into(), &840.into()));
    // Ten requests have 840 characters, and the others have two or three lengths that are near.
    assert!((10..=20).contains(&lengths["most_uses"].as_u64().expect("a number")), "{lengths}");
    assert!(lengths["near_share"].as_f64() > Some(0.5), "{lengths}");
}

#[test]
fn agents_that_share_an_endpoint_send_no_dialogues_by_length() {
    let workspace = with_lengths("server", "", 100..140);
    let matrix = std::fs::read_to_string(workspace.path("matrix.toml")).expect("it was written");
    let endpoint = "id = \"https://h/v1\"\n[model.endpoint]\ninput_tokens = \"/0/i\"\noutput_tokens = \"/0/o\"";
    let matrix = matrix
        .replace("id = \"scripted:script.json\"", endpoint)
        .replace(scripted::HERE, "\n[[target]]\nname = \"behind\"\nagents = 2\nusd_per_hour = 1\n");
    workspace.write("matrix.toml", matrix);
    let shared = workspace.run(&["plan", "matrix.toml"]).expect(2).err;
    assert!(shared.contains("set lengths = \"ignore\", or agents = 1"), "{shared}");
}

#[test]
fn a_broken_trace_is_an_error_with_its_line() {
    let workspace = workspace(
        "batch_sizes = [1]\nscenarios = [\"server\"]",
        "runs = 1\nserver = { arrivals = \"trace\", trace = { path = \"trace.csv\", from = \"5m\" } }",
    );
    let outside = workspace.run(&["plan", "matrix.toml"]).expect(2).err;
    assert!(outside.contains("within the trace, which lasts 19 s"), "{outside}");
    workspace.write("trace.csv", "timestamp\n1\n2\nsoon\n");
    let broken = workspace.run(&["plan", "matrix.toml"]).expect(2).err;
    assert!(broken.contains("can't use protocol.server.trace"), "{broken}");
    assert!(broken.contains("trace.csv: line 4: expected a time"), "{broken}");
    std::fs::remove_file(workspace.path("trace.csv")).expect("it was written");
    let missing = workspace.run(&["plan", "matrix.toml"]).expect(2).err;
    assert!(missing.contains("expected the path of a trace"), "{missing}");
}

#[test]
fn the_decision_predicts_the_recorded_arrivals_and_a_poisson_process_beside_them() {
    let workspace = Workspace::default();
    let example = repository("examples/replay.toml");
    let example = example.to_str().expect("paths are UTF-8");
    let fast = "protocol.server.trace.factors=[80]";
    let arguments = ["run", example, "--runs", "1", "--samples", "60", "--set", fast];
    let _ = workspace.run(&[&arguments[..], &["--output", "results.json"]].concat()).expect(0);
    workspace.write(
        "traffic.toml",
        "[traffic]\nrate = 1\n[objective]\nlatency_ms = 60000\npercentile = 50\n",
    );
    let arguments = ["decide", "results.json", "--traffic", "traffic.toml", "--simulations", "5"];
    let decided = workspace.run(&[&arguments[..], &["--json"]].concat()).expect(0);
    let decision: Value = serde_json::from_str(&decided.out).expect("it is JSON");
    let cells = decision["calibration"].as_array().expect("a list");
    let [cell] = cells.as_slice() else { panic!("{cells:?}") };
    for of in ["predicted_ms", "as_poisson_ms"] {
        assert!(cell[of]["value"].as_f64() > Some(0.0), "{cell}");
    }
    assert_ne!(cell["predicted_ms"], cell["as_poisson_ms"]);
}
