//! Campaigns that are killed, stopped and resumed never report a wrong total.

use scenarios::{Row, Workspace, counted, repository, signal};
use serde_json::Value;
use std::collections::BTreeSet;

/// Models, batch sizes, targets, runs and dialogues.
const SAMPLES: usize = 2 * 2 * 2 * 3 * 16;

fn arguments(samples: &'static str) -> Vec<String> {
    let matrix = repository("examples/quickstart.toml");
    let matrix = matrix.to_str().expect("the path is UTF-8");
    ["run", matrix, "--samples", samples, "--output", "results.json"].map(str::to_owned).to_vec()
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn a_killed_agent_is_restarted_and_nothing_is_lost() {
    let workspace = Workspace::default();
    let mut running = workspace.start(&words(&arguments("16")));
    running.until("samples · ");
    let agents = running.children();
    assert_eq!(agents.len(), 2, "two local agents run");
    // At least one of them is in the middle of a shard.
    for pid in agents {
        signal(pid, "KILL");
    }
    let finished = running.finish().expect(0);
    let samples = workspace.samples("results.json");
    assert_eq!(counted(&samples).len(), SAMPLES, "{}", finished.err);
    let results = workspace.results("results.json");
    assert_eq!(results["campaign"]["missing_samples"], 0);
    assert!(finished.err.contains("was lost"), "the kill hit a shard: {}", finished.err);
    lost_agents_exclude_no_cell(&results);
}

/// The lost shards were measured again, so their cells are DEGRADED and still ranked.
fn lost_agents_exclude_no_cell(results: &Value) {
    let entries = results["results"].as_array().expect("there are results");
    let cells: Vec<&Value> =
        entries.iter().flat_map(|entry| entry["cells"].as_array().expect("cells")).collect();
    let codes = |cell: &Value| -> Vec<String> {
        let reasons = cell["validity"]["reasons"].as_array().expect("reasons");
        reasons.iter().map(|reason| reason["code"].as_str().expect("a code").to_owned()).collect()
    };
    let is_lost = |cell: &&&Value| codes(cell).iter().any(|code| code == "agent_lost");
    assert!(cells.iter().any(|cell| is_lost(&cell)), "the report tells of the lost agents");
    for one in results["recommendation"]["set_aside"].as_array().expect("a list") {
        let cell = cells.iter().find(|cell| cell["cell"] == one["name"]).expect("it is there");
        let others = codes(cell).into_iter().filter(|code| code != "agent_lost").count();
        assert!(one["because"] != "degraded" || others > 0, "only an agent was lost: {one}");
    }
}

#[test]
fn a_stopped_campaign_reports_missing_samples_and_resumes() {
    let workspace = Workspace::default();
    let mut running = workspace.start(&words(&arguments("16")));
    running.until("samples · ");
    running.signal("INT");
    let stopped = running.finish().expect(3);
    assert!(stopped.err.contains("controller run --resume"), "{}", stopped.err);
    let first = workspace.samples("results.json");
    let results = workspace.results("results.json");
    let missing = results["campaign"]["missing_samples"].as_u64().expect("a number");
    assert_eq!(missing + counted(&first).len() as u64, SAMPLES as u64);
    assert!(missing > 0);

    let _ = workspace.run(&["run", "--resume", "latest", "--output", "results.json"]).expect(0);
    let whole = workspace.samples("results.json");
    assert_eq!(counted(&whole).len(), SAMPLES);
    let kept = |rows: &[Row]| {
        rows.iter()
            .map(|row| (row.cell.clone(), row.run, row.sample_id.clone(), row.latency_ns))
            .collect::<BTreeSet<_>>()
    };
    assert!(kept(&first).is_subset(&kept(&whole)), "a stored sample is not measured again");
}

#[test]
fn a_killed_controller_keeps_stored_samples_and_leaves_no_agent_running() {
    let workspace = Workspace::default();
    let mut running = workspace.start(&words(&arguments("16")));
    running.until("samples · ");
    let agents = running.children();
    running.signal("KILL");
    let killed = running.finish();
    assert_eq!(killed.code, None, "it was killed");
    let _ = workspace.run(&["run", "--resume", "latest", "--output", "results.json"]).expect(0);
    assert_eq!(counted(&workspace.samples("results.json")).len(), SAMPLES);
    for pid in agents {
        let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(
            status.is_empty() || status.contains(") Z "),
            "agent {pid} outlived its controller"
        );
    }
}
