//! `controller decide` on the example results.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn decide(traffic: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_controller"))
        .arg("decide")
        .arg(repository("docs/example/results.json"))
        .arg("--traffic")
        .arg(traffic)
        .args(["--simulations", "5"])
        .args(arguments)
        .output()
        .expect("the binary is built")
}

fn decision(traffic: &str) -> Value {
    let output = decide(&repository(traffic), &["--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it is JSON")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is a number"))
}

#[test]
fn the_examples_are_decided() {
    let office = decision("examples/traffic-office.toml");
    let choices = office["choices"].as_array().unwrap();
    // Models of significantly lower quality may be set aside: each candidate has three policies.
    let candidates = office["candidates"].as_array().unwrap();
    assert_eq!(choices.len(), 3 * candidates.len());
    let best = &choices[0];
    assert_eq!(best["attained"], "met");
    assert_eq!(best["hours"].as_array().unwrap().len(), 168);
    let of_candidate = |choice: &Value| {
        let index = usize::try_from(choice["candidate"].as_u64().unwrap()).unwrap();
        candidates[index].clone()
    };
    for choice in choices {
        assert_eq!(choice["meets_at_peak"], true, "the load is low: {choice}");
        if choice["policy"] == "tracking" {
            // The highest share that holds, not the lowest.
            assert!(number(&choice["target_share"]) > 0.5, "{choice}");
        }
        // The cost is that of the mean number of instances.
        let usd_per_hour = number(&of_candidate(choice)["usd_per_hour"]);
        let expected = number(&choice["mean_instances"]["value"]) * usd_per_hour * 730.5;
        let cost = &choice["usd_per_month"];
        assert!((number(&cost["value"]) / expected - 1.0).abs() < 1e-9, "{choice}");
        assert!(number(&cost["low"]) <= number(&cost["value"]) + 1e-9);
        assert!(number(&cost["value"]) <= number(&cost["high"]) + 1e-9);
        if choice["policy"] == "fixed" {
            let instances = number(&choice["instances"]);
            assert!((number(&choice["mean_instances"]["value"]) - instances).abs() < 1e-9);
        }
    }
    let costs: Vec<f64> = (choices.iter())
        .filter(|choice| choice["attained"] == "met")
        .map(|choice| number(&choice["usd_per_month"]["value"]))
        .collect();
    assert!(costs.is_sorted(), "{costs:?}");
    let caveats = office["caveats"].to_string();
    for expected in ["other_machine", "one_host", "few_runs", "not_calibrated"] {
        assert!(caveats.contains(expected), "{expected}: {caveats}");
    }

    let steady = decision("examples/traffic-steady.toml");
    assert_eq!(steady["left_out"][0], "scheduled", "a constant rate has no hours");
    let trace = decision("examples/traffic-trace.toml");
    let facts = &trace["traffic"]["trace"];
    assert_eq!((&facts["format"], &facts["requests"]), (&"csv".into(), &1465.into()));
    let by_minute = &facts["dispersion"][1];
    assert!(number(&by_minute["index"]) > 5.0, "the trace is bursty: {by_minute}");
    assert_eq!(decision("examples/traffic-trace.toml"), trace, "the seed decides");
}

#[test]
fn pages_and_policies_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (pages, policies) = (at("pages"), at("policies"));
    let output = decide(
        &repository("examples/traffic-office.toml"),
        &[
            "--formats",
            "html,pdf,markdown",
            "--output-dir",
            pages.to_str().unwrap(),
            "--policies",
            policies.to_str().unwrap(),
            "--name",
            "Call summaries",
        ],
    );
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(shown.starts_with("Predicted: "), "{shown}");
    assert!(shown.contains("What to measure next"), "{shown}");
    let html = std::fs::read_to_string(pages.join("decision.html")).unwrap();
    for part in ["Predicted instances and cost by hour", "What separates the first two", "<svg"] {
        assert!(html.contains(part), "{part}");
    }
    assert!(std::fs::read(pages.join("decision.pdf")).unwrap().starts_with(b"%PDF"));
    let markdown = std::fs::read_to_string(pages.join("decision.md")).unwrap();
    assert!(markdown.contains("## Predicted fleets"), "{markdown}");
    let text = std::fs::read_to_string(policies.join("sagemaker-scalable-target.json")).unwrap();
    let target: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(target["ResourceId"], "endpoint/call-summaries/variant/AllTraffic");
    assert!(policies.join("scaling.tf.json").exists());
}

#[test]
fn fleets_of_two_targets_are_ranked_beside_those_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let traffic = folder.path().join("traffic.toml");
    let policies = folder.path().join("policies");
    let text = |base: &str| {
        format!(
            "[traffic]\nrate = 60\nhours = [1,1,1,1,1,1,1,1,9,9,9,9,9,9,9,9,9,1,1,1,1,1,1,1]\n[objective]\nlatency_ms = 400\n[fleet]\nplatform = \"kubernetes\"\nbase_targets = [\"{base}\"]\n"
        )
    };
    std::fs::write(&traffic, text("one-thread")).unwrap();
    let output = decide(&traffic, &["--json", "--policies", policies.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let facts = |index: &Value| {
        found["candidates"][usize::try_from(index.as_u64().unwrap()).unwrap()].clone()
    };
    let choices = found["choices"].as_array().unwrap();
    let two: Vec<&Value> = choices.iter().filter(|choice| choice["base"].is_object()).collect();
    assert!(!two.is_empty() && two.len() < choices.len());
    for choice in two {
        let (base, scaled) = (facts(&choice["base"]["candidate"]), facts(&choice["candidate"]));
        assert_eq!(
            (&base["target"], &scaled["target"]),
            (&"one-thread".into(), &"two-threads".into())
        );
        assert_eq!(base["model"], scaled["model"]);
        // The cost is that of both types.
        let instances = number(&choice["base"]["instances"]);
        let mean = number(&choice["mean_instances"]["value"]) - instances;
        let expected = 730.5
            * (instances * number(&base["usd_per_hour"]) + mean * number(&scaled["usd_per_hour"]));
        let cost = number(&choice["usd_per_month"]["value"]);
        assert!((cost / expected - 1.0).abs() < 1e-9, "{cost} {expected}");
        let share = number(&choice["base"]["answered_share"]["value"]);
        assert!((0.05..=1.0).contains(&share), "{share}");
        let of_hours: f64 =
            (choice["hours"].as_array().unwrap().iter()).map(|hour| number(&hour["usd"])).sum();
        assert!((of_hours * 730.5 / 24.0 / cost - 1.0).abs() < 1e-9);
    }
    // The policy of any option can be written. The files of a folder are one Terraform module, so names must differ.
    let small =
        text("one-thread").replace("kubernetes", "sagemaker").replace("rate = 60", "rate = 1");
    std::fs::write(&traffic, small).unwrap();
    let found: Value = serde_json::from_slice(&decide(&traffic, &["--json"]).stdout).unwrap();
    let choices = found["choices"].as_array().unwrap();
    let rank = choices.iter().position(|choice| choice["base"].is_object()).unwrap() + 1;
    let of_option = |rank: &str| {
        decide(&traffic, &["--policies", policies.to_str().unwrap(), "--option", rank])
    };
    let written = of_option(&rank.to_string());
    assert_ne!(written.status.code(), Some(2), "{}", String::from_utf8_lossy(&written.stderr));
    for part in ["base", "peak"] {
        let text = std::fs::read_to_string(policies.join(format!("{part}-scaling.tf.json")));
        let terraform: Value = serde_json::from_str(&text.unwrap()).unwrap();
        let targets = terraform["resource"]["aws_appautoscaling_target"].as_object().unwrap();
        assert_eq!(targets.keys().collect::<Vec<_>>(), [part]);
    }
    let beyond = of_option("99");
    assert_eq!(beyond.status.code(), Some(2));
    let error = String::from_utf8_lossy(&beyond.stderr).into_owned();
    assert!(error.contains("invalid --option `99`: expected 1 to"), "{error}");
    std::fs::write(&traffic, text("gpu")).unwrap();
    let unknown = decide(&traffic, &[]);
    assert_eq!(unknown.status.code(), Some(2));
    let error = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(error.contains("no cell of `gpu` can be simulated, expected one-thread"), "{error}");
}

#[test]
fn a_serverless_endpoint_and_a_fleet_at_zero_are_ranked() {
    let folder = tempfile::tempdir().unwrap();
    let traffic = folder.path().join("traffic.toml");
    let policies = folder.path().join("policies");
    let text = |target: &str| {
        format!(
            "[traffic]\nrate = 0.02\nhours = [0,0,0,0,0,0,0,0,1,1,1,1,1,1,1,1,1,0,0,0,0,0,0,0]\n[objective]\nlatency_ms = 2000\nmax_error_share = 0.01\n[fleet]\nmin_instances = 0\nserverless = {{ target = \"{target}\", memory_mb = 2048, usd_per_gb_second = 1e-6, max_concurrency = 5, idle_minutes = 10, cold_start_s = 1, data_usd_per_gb = 0.1, data_kb_per_request = 1024 }}\n"
        )
    };
    std::fs::write(&traffic, text("one-thread")).unwrap();
    let output = decide(&traffic, &["--json", "--policies", policies.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let choices = found["choices"].as_array().unwrap();
    let best = &choices[0];
    assert_eq!((&best["policy"], &best["attained"]), (&"serverless".into(), &"met".into()));
    let candidate = usize::try_from(best["candidate"].as_u64().unwrap()).unwrap();
    assert_eq!(found["candidates"][candidate]["max_batch_size"], 1);
    // Processing, and a MiB of data for each of 0.02 requests per second.
    let month_s = 730.5 * 3600.0;
    let requests: f64 = (best["hours"].as_array().unwrap().iter())
        .map(|hour| number(&hour["requests_per_s"]))
        .sum::<f64>()
        / 24.0;
    let expected =
        month_s * (number(&best["mean_instances"]["value"]) * 2.0 * 1e-6 + requests / 1024.0 * 0.1);
    let cost = number(&best["usd_per_month"]["value"]);
    assert!((cost / expected - 1.0).abs() < 1e-9, "{cost} {expected}");
    assert!(number(&best["cold_start_share"]["value"]) > 0.0);
    assert_eq!(found["caveats"][0]["caveat"], "serverless_stand_in");
    assert_eq!(found["measure_next"][0]["measure"], "on_serverless");
    assert!(policies.join("endpoint.tf.json").exists());
    // At zero, requests fail until the first instance is ready; a fixed fleet of the same target has none of that.
    let zero = choices.iter().find(|choice| choice["policy"] == "tracking").unwrap();
    let fixed = choices.iter().find(|choice| choice["policy"] == "fixed").unwrap();
    assert!(number(&zero["mean_instances"]["value"]) < 0.6, "{zero}");
    assert!(number(&zero["error_share"]["value"]) > number(&fixed["error_share"]["value"]));
    let shown = String::from_utf8_lossy(&decide(&traffic, &[]).stdout).into_owned();
    for part in [
        "a serverless endpoint with 2048 MiB, if it is as fast as one-thread",
        "Assumed, not measured",
    ] {
        assert!(shown.contains(part), "{shown}");
    }
    std::fs::write(&traffic, text("gpu")).unwrap();
    let unknown = decide(&traffic, &[]);
    assert_eq!(unknown.status.code(), Some(2));
    let error = String::from_utf8_lossy(&unknown.stderr).into_owned();
    let part = "fleet.serverless.target: no cell of `gpu` with batch size 1 can be simulated, expected one-thread, two-threads";
    assert!(error.contains(part), "{error}");
}

#[test]
fn an_objective_that_no_fleet_meets_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let traffic = folder.path().join("traffic.toml");
    let text = "[traffic]\nrate = 1\n[objective]\nlatency_ms = 0.01\n[fleet]\nmax_instances = 2\n";
    std::fs::write(&traffic, text).unwrap();
    let output = decide(&traffic, &[]);
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.starts_with("Predicted: no simulated fleet meets the objective"), "{shown}");
}

#[test]
fn broken_traffic_is_named_by_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let traffic = folder.path().join("traffic.toml");
    let objective = "[objective]\nlatency_ms = 500\n";
    let error = |text: &str| {
        std::fs::write(&traffic, text).unwrap();
        let output = decide(&traffic, &[]);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    std::fs::write(folder.path().join("back.csv"), "timestamp\n4\n9\n8\n").unwrap();
    let found = error(&format!("[traffic]\ntrace = \"back.csv\"\n{objective}"));
    assert!(found.contains("back.csv: line 4: goes back in time by 1.000000 s"), "{found}");
    let found = error(&format!("[traffic]\nrate = 0\n{objective}"));
    assert!(found.contains("line 2: traffic.rate: expected a number from"), "{found}");
    let found = error(&format!("[traffic]\ntrace = \"absent.csv\"\n{objective}"));
    assert!(found.contains("absent.csv, the trace of"), "{found}");
}
