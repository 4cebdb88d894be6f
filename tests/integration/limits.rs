//! Limits that end a campaign: precision reached, runs or budget spent; and gates that fail it.

use scenarios::{Workspace, scripted};
use serde_json::Value;

const SCRIPT: &str = r#"{"seed": 3, "prompt_ms": 5, "token_ms": 2, "per_row_ms": 1, "spread": 0.1, "output_tokens": 12}"#;

fn matrix(usd_per_hour: f64, more: &str) -> String {
    let rest = format!(
        r#"
[factors]
batch_sizes = [1, 4]
[[fleet.local]]
target = "here"
usd_per_hour = {usd_per_hour}
{more}
"#
    );
    scripted::matrix("limits", 24, &rest)
}

fn workspace(usd_per_hour: f64, more: &str) -> Workspace {
    scripted::workspace(SCRIPT, &matrix(usd_per_hour, more))
}

fn cells(results: &Value) -> Vec<Value> {
    results["results"][0]["cells"].as_array().expect("there are cells").clone()
}

#[test]
fn a_cell_ends_once_its_interval_is_narrow_enough() {
    let precision =
        "[protocol]\nruns = 2\nwarmup = 1\nprecision = { half_width = 0.5, max_runs = 6 }\n";
    let workspace = workspace(0.1, precision);
    let finished = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    assert!(finished.err.contains("2 cells x 2 to 6 runs"), "{}", finished.err);
    let results = workspace.results("results.json");
    assert_eq!(results["campaign"]["state"], "complete");
    assert_eq!(results["campaign"]["missing_samples"], 0);
    let samples = workspace.samples("results.json");
    assert_eq!(results["campaign"]["planned_samples"], samples.len());
    for cell in cells(&results) {
        assert_eq!(cell["precision"]["look"], "narrow_enough", "{}", cell["precision"]);
        assert!(cell["precision"]["half_width"].as_f64().is_some_and(|half| half <= 0.5));
        let runs = cell["estimates"]["runs"].as_array().map_or(0, Vec::len);
        assert!((2..6).contains(&runs), "{runs}");
    }
    assert!(finished.out.contains("precision target reached"), "{}", finished.out);
}

#[test]
fn all_runs_are_spent_if_precision_is_out_of_reach() {
    let precision =
        "[protocol]\nruns = 2\nwarmup = 1\nprecision = { half_width = 0.0000001, max_runs = 4 }\n";
    let workspace = workspace(0.1, precision);
    let _ = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    // A script gives single requests the same times in every run, but batches differ in their composition.
    let cells = cells(&workspace.results("results.json"));
    let batches = cells.iter().find(|cell| cell["batch_size"] == 4).expect("it was measured");
    assert_eq!(batches["precision"]["look"], "runs_spent");
    assert_eq!(batches["counted_samples"], 4 * 24);
}

#[test]
fn a_campaign_stops_at_its_budget_and_resumes_with_a_larger_one() {
    // 1,000 USD a second: the first check of the budget ends it.
    let workspace =
        workspace(3_600_000.0, "[cost]\nmax_usd = 1\n[protocol]\nruns = 2\nwarmup = 1\n");
    let stopped = workspace.run(&["run", "matrix.toml", "--output", "results.json"]).expect(3);
    let warning = "warning: cost.max_usd is 1 USD, below the estimated cost of ";
    assert!(stopped.err.contains(warning), "{}", stopped.err);
    assert!(stopped.err.contains("it would have exceeded cost.max_usd"), "{}", stopped.err);
    let spending = workspace.results("results.json")["campaign"]["spending"].clone();
    assert_eq!(spending["max_usd"], 1.0);
    let more = ["run", "--resume", "latest", "--max-usd", "1e9", "--output", "results.json"];
    let _ = workspace.run(&more).expect(0);
    let results = workspace.results("results.json");
    assert_eq!(results["campaign"]["state"], "complete");
    assert!(results["campaign"]["spending"]["usd"].as_f64().is_some_and(|usd| usd > 0.0));
}

#[test]
fn a_plan_that_cannot_do_what_it_says_is_warned_of_even_quietly() {
    let workspace = workspace(0.1, "[protocol]\nruns = 1\nwarmup = 0\n");
    let small = std::fs::read_to_string(workspace.path("matrix.toml")).expect("it is there");
    workspace.write("matrix.toml", small.replace("samples = 24", "samples = 3"));
    let warning = "warning: a run has 3 dialogues, so batches of 4 are never full";
    let planned = workspace.run(&["plan", "matrix.toml"]).expect(0);
    assert!(planned.out.contains(warning), "{}", planned.out);
    for how in ["--quiet", "--json"] {
        let run = workspace.run(&["run", "matrix.toml", how]).expect(0);
        assert!(run.err.contains(warning), "{how}: {}", run.err);
    }
}

#[test]
fn a_campaign_fails_by_a_gate_and_keeps_its_results() {
    let gates = |limit: f64| {
        format!(
            "[gates]\nmin_samples_per_s = {limit}\nmax_usd_per_1000_requests = 100\n\
             [report]\nformats = [\"junit\"]\n[protocol]\nwarmup = 1\n"
        )
    };
    let kept = workspace(0.1, &gates(0.001));
    let passed = kept.run(&["run", "matrix.toml", "--output", "results.json"]).expect(0);
    assert!(passed.out.contains("4 gates passed."), "{}", passed.out);
    let missed = workspace(0.1, &gates(1e6));
    let failed = missed.run(&["run", "matrix.toml", "--output", "results.json"]).expect(1);
    assert!(failed.err.contains("failed: a gate of the matrix failed"), "{}", failed.err);
    assert!(failed.out.contains("2 of 4 gates failed."), "{}", failed.out);
    let results = missed.results("results.json");
    assert_eq!(results["campaign"]["state"], "complete");
    assert_eq!(results["gates"]["passed"], false);
    let outcomes: Vec<&Value> = (results["gates"]["judged"].as_array())
        .expect("there are gates")
        .iter()
        .map(|gate| &gate["outcome"])
        .collect();
    assert_eq!(outcomes, ["passed", "failed", "passed", "failed"]);
    let junit = std::fs::read_to_string(missed.path("junit.xml")).expect("it was written");
    assert!(junit.contains("failures=\"2\"") && junit.contains("type=\"GATE\""), "{junit}");
    // A report renders what was found and doesn't fail by it; a restart of the campaign does.
    let _ = missed.run(&["report", "latest"]).expect(0);
    let _ = missed.run(&["run", "matrix.toml", "--continue"]).expect(1);
}
