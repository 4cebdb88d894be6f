//! What is observed beside the samples, with a stand-in for NVIDIA's library and the real agent: a T4 that is hot, one
//! that lacks half its calls, one that dies, and none at all.

use scenarios::{Finished, Workspace, library, program};
use serde_json::Value;
use std::process::Command;

/// A script on a GPU, or on the CPU.
fn matrix(model: &str, more: &str) -> String {
    format!(
        r#"
name = "observed"
[dataset]
source = "builtin:dialogues"
samples = 24
[[model]]
name = "script"
id = "{model}"
[factors]
batch_sizes = [2]
[protocol]
runs = 2
warmup = 1
[[fleet.local]]
target = "machine"
threads = 1
usd_per_hour = 0.36
[telemetry]
period_ms = 50
{more}
"#
    )
}

/// Runs a campaign whose agent infers on `device`, with a GPU that does what `gpu` says.
fn measure(device: &str, gpu: Option<&str>, more: &str) -> (Workspace, Finished, Value) {
    measure_paced(false, device, gpu, more)
}

/// The same with an engine that takes the time that it plays, where it is `paced`.
fn measure_paced(
    paced: bool,
    device: &str,
    gpu: Option<&str>,
    more: &str,
) -> (Workspace, Finished, Value) {
    let workspace = Workspace::default();
    let script = format!(
        r#"{{"prompt_ms": 50, "token_ms": 10, "output_tokens": 12, "device": "{device}", "paced": {paced}}}"#
    );
    workspace.write("script.json", script);
    let path = workspace.write("matrix.toml", matrix("scripted:script.json", more));
    let path = path.to_str().expect("the path is UTF-8").to_owned();
    let mut command =
        workspace.controller(&["run", &path, "--output", "results.json", "--data-dir", "data"]);
    if let Some(gpu) = gpu {
        let gpu = workspace.write("gpu.json", gpu);
        command.env("NVML_STANDIN_SCRIPT", gpu);
        command.env("FLEETMARK_NVML_LIBRARY", library("nvml_standin"));
    }
    let finished = Finished::of(&mut command).expect(0);
    let results = workspace.results("results.json");
    (workspace, finished, results)
}

fn cell(results: &Value) -> &Value {
    &results["results"][0]["cells"][0]
}

fn codes(cell: &Value) -> Vec<&str> {
    let reasons = cell["validity"]["reasons"].as_array().expect("reasons");
    reasons.iter().map(|reason| reason["code"].as_str().expect("a code")).collect()
}

fn about(value: &Value, expected: f64) -> bool {
    value.as_f64().is_some_and(|found| (found - expected).abs() <= 1e-6 * expected.abs().max(1e-3))
}

#[test]
fn a_hot_t4_is_seen_in_every_figure() {
    let gpu = r#"{"missing": ["energy"], "xids": [{"at_s": 0.0, "xid": 48}], "series": [{"at_s": 0, "utilization_pct": 97, "temperature_c": 93,
        "power_w": 60, "sm_mhz": 585, "memory_used_mb": 1500, "reasons": 32}]}"#;
    let (_workspace, finished, results) = measure("cuda:0", Some(gpu), "grams_co2e_per_kwh = 400");
    let cell = cell(&results);
    let telemetry = &cell["telemetry"];
    assert!(about(&telemetry["gpu"]["utilization_pct"], 97.0), "{telemetry:#}");
    assert!(about(&telemetry["gpu"]["throttled_share"], 1.0));
    assert!(about(&telemetry["gpu"]["throttled_by_reason"]["sw_thermal_slowdown"], 1.0));
    assert!(about(&telemetry["readings"]["gpu_temperature_celsius"]["max"], 93.0));
    assert!(about(&telemetry["readings"]["gpu_sm_mhz"]["mean"], 585.0));
    let codes = codes(cell);
    for code in ["throttled", "foreign_telemetry", "played"] {
        assert!(codes.contains(&code), "{code} of {codes:?}");
    }
    assert_eq!(cell["validity"]["status"], "DEGRADED");

    // No counter, so power over time: 60 W at work and at rest.
    let energy = &cell["energy"];
    let host_seconds: f64 = cell["estimates"]["runs"]
        .as_array()
        .expect("runs")
        .iter()
        .map(|run| run["host_seconds"].as_f64().expect("a time"))
        .sum();
    assert_eq!(energy["sources"], serde_json::json!(["gpu_power"]));
    assert!(
        about(&energy["gross_joules_per_request"]["value"], 60.0 * host_seconds / 48.0),
        "{energy:#}"
    );
    assert!(about(&energy["idle_watts"], 60.0));
    assert!(about(&energy["joules_per_request"]["value"], 0.0));
    assert!(about(&energy["grams_co2e_per_1000_requests"]["value"], 0.0));

    let metrics = &results["results"][0]["metrics"]["memory"];
    assert!(about(&metrics["gpu_utilization_pct"], 97.0), "{metrics:#}");
    let host = &results["environment"]["hosts"][0];
    assert_eq!(host["gpus"][0]["name"], "Tesla T4");
    assert_eq!(host["gpus"][0]["compute_capability"], "7.5");
    assert_eq!(host["nvml_library"]["is_foreign"], true);
    assert_eq!(host["nvml_library"]["sha256"].as_str().map(str::len), Some(64));
    assert!(finished.out.contains("throttled"), "{}", finished.out);
}

#[test]
fn a_t4_that_heats_up_again_and_again_and_leaks_is_seen_over_time() {
    // 3 minutes of the machine in which it is hot for 0.4 s and cool for 0.4 s, on a clock that runs 20 times faster.
    let point = |place: u32| {
        let (celsius, mhz, reasons) = if place % 2 == 1 { (93, 585, 32) } else { (70, 1590, 0) };
        format!(
            r#"{{"at_s": {}, "temperature_c": {celsius}, "sm_mhz": {mhz}, "power_w": 65, "reasons": {reasons},
                "memory_used_mb": {}}}"#,
            8 * place,
            1000 + 10 * place
        )
    };
    let points: Vec<String> = (0..450).map(point).collect();
    let gpu = format!(r#"{{"clock_factor": 20, "series": [{}]}}"#, points.join(", "));
    let more = "[report]\nformats = [\"markdown\", \"html\"]";
    let (workspace, _finished, results) = measure_paced(true, "cuda:0", Some(&gpu), more);
    let cell = cell(&results);
    let telemetry = &cell["telemetry"];
    let share = telemetry["gpu"]["throttled_share"].as_f64().expect("a share");
    assert!(share > 0.0 && share < 1.0, "{share}");
    for metric in ["gpu_temperature_celsius", "gpu_memory_used_bytes", "gpu_sm_mhz"] {
        let reading = &telemetry["readings"][metric];
        let (min, max) = (reading["min"].as_f64(), reading["max"].as_f64());
        assert!(min.zip(max).is_some_and(|(min, max)| min < max), "{metric}: {reading}");
    }
    assert!(codes(cell).contains(&"throttled"));

    let timeline = &telemetry["timelines"][0];
    let list = |name: &str| timeline[name].as_array().expect("a list").clone();
    let shares: Vec<f64> = list("gpu_throttled_share").iter().filter_map(Value::as_f64).collect();
    assert!(shares.iter().any(|share| *share > 0.0) && shares.iter().any(|share| *share < 1.0));
    let is_reason = |reason: &Value| reason == "sw_thermal_slowdown";
    assert!(list("gpu_throttle_reasons").iter().any(is_reason), "{timeline:#}");
    let requests: u64 = list("requests").iter().filter_map(Value::as_u64).sum();
    assert_eq!(requests, 48, "every counted request stands in a piece");
    assert_eq!(list("runs").len(), 2);

    let page = std::fs::read_to_string(workspace.path("report.html")).expect("a page");
    for words in ["GPU temperature, °C", "GPU clock, MHz", "the GPU's clocks were held down"] {
        assert!(page.contains(words), "{words}");
    }
    let told = std::fs::read_to_string(workspace.path("report.md")).expect("a Markdown file");
    assert!(told.contains("GPU throttled"), "{told}");
}

#[test]
fn a_gpu_that_lacks_half_its_calls_has_nulls_and_says_which() {
    let gpu = r#"{"missing": ["energy", "power", "limit", "throttle", "violations", "ecc", "processes", "events", "pcie", "clocks"],
        "series": [{"at_s": 0, "utilization_pct": 40}]}"#;
    let (_workspace, _finished, results) = measure("cuda:0", Some(gpu), "");
    let telemetry = &cell(&results)["telemetry"];
    assert!(about(&telemetry["gpu"]["utilization_pct"], 40.0));
    assert_eq!(telemetry["gpu"]["throttled_share"], Value::Null);
    assert_eq!(telemetry["readings"]["gpu_power_watts"], Value::Null);
    let missing: Vec<&str> = telemetry["not_measurable"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|absence| absence["what"].as_str().expect("a name"))
        .collect();
    for what in ["gpu_power_watts", "gpu_throttle_reasons", "gpu_energy_joules", "gpu_xid"] {
        assert!(missing.contains(&what), "{what} of {missing:?}");
    }
    let energy = &cell(&results)["energy"]["joules_per_request"];
    assert_eq!(energy["value"], Value::Null);
    assert_eq!(energy["reason"]["code"], "no_energy_readings");
}

#[test]
fn a_gpu_that_falls_off_the_bus_ends_no_campaign() {
    // Dead before the first shard: the agent watches the idle machine for 3 s before.
    let gpu =
        r#"{"dies_at_s": 1.0, "series": [{"at_s": 0, "utilization_pct": 40, "power_w": 50}]}"#;
    let (_workspace, _finished, results) = measure("cuda:0", Some(gpu), "");
    assert_eq!(results["campaign"]["state"], "complete");
    let telemetry = &cell(&results)["telemetry"];
    assert_eq!(telemetry["gpu"], Value::Null, "{telemetry:#}");
    assert!(telemetry["process_cpu_cores"].as_f64().is_some());
    let events = results["campaign"]["events"].as_array().expect("events");
    let is_told =
        |event: &&Value| event["detail"].as_str().is_some_and(|it| it.contains("the GPU is gone"));
    assert_eq!(events.iter().filter(is_told).count(), 1, "{events:#?}");
}

#[test]
fn a_cpu_has_no_gpu_figures_whatever_lies_beside_it() {
    let gpu = r#"{"series": [{"at_s": 0, "utilization_pct": 40, "memory_used_mb": 500}]}"#;
    let (_workspace, _finished, results) = measure("cpu", Some(gpu), "");
    let entry = &results["results"][0];
    assert_eq!(entry["gpu_name"], Value::Null);
    assert_eq!(entry["metrics"]["memory"]["gpu_memory_mb"], Value::Null);
    assert_eq!(entry["metrics"]["memory"]["gpu_utilization_pct"], Value::Null);
    let cell = cell(&results);
    assert_eq!(cell["telemetry"]["gpu"], Value::Null);
    assert_eq!(cell["memory"]["peak_gpu_memory_mb"], Value::Null);
    assert_eq!(results["environment"]["hosts"][0]["gpus"][0]["name"], "Tesla T4");
}

#[test]
fn without_any_of_it_everything_runs_and_nothing_is_zero() {
    let more = "[report]\nformats = [\"markdown\"]";
    let (workspace, finished, results) = measure("cpu", None, more);
    let cell = cell(&results);
    assert_eq!(cell["energy"]["joules_per_request"]["value"], Value::Null);
    assert_eq!(cell["energy"]["watts"], Value::Null);
    let reason = &cell["energy"]["joules_per_request"]["reason"];
    assert_eq!(reason["code"], "no_energy_readings");
    for (name, reading) in cell["telemetry"]["readings"].as_object().expect("readings") {
        assert!(!name.starts_with("gpu_"), "{name}");
        assert!(reading.is_null() || reading["mean"].is_number(), "{name}");
    }
    let file = &results["campaign"]["telemetry_file"];
    assert_eq!(file["name"], "results.telemetry.parquet");
    assert!(file["rows"].as_u64().is_some_and(|rows| rows >= 2), "{file}");
    assert!(workspace.path("results.telemetry.parquet").is_file());

    // What this machine can't tell is said in words, and nowhere shown as zero.
    let absent = results["environment"]["hosts"][0]["not_measurable"].as_array().expect("a list");
    let told = std::fs::read_to_string(workspace.path("report.md")).expect("a Markdown file");
    let mut is_told = false;
    for absent in absent {
        let what = absent["what"].as_str().expect("a name");
        let is_gpu = what == "gpu" || what.starts_with("gpu_");
        let name = what.replace('_', " ");
        assert_eq!(told.contains(&format!(": {name}, ")), !is_gpu, "{what}: {told}");
        is_told |= !is_gpu;
    }
    assert_eq!(finished.out.contains("Not measurable on"), is_told, "{}", finished.out);
}

#[test]
fn the_doctor_tells_what_is_there_and_what_is_not() {
    let workspace = Workspace::default();
    let gpu = r#"{"missing": ["energy"], "series": [{"at_s": 0, "power_w": 50}]}"#;
    let gpu = workspace.write("gpu.json", gpu);
    let doctor = |arguments: &[&str]| {
        let mut command = Command::new(program("agent"));
        command.args(["doctor", "--json"]).args(arguments).env("NVML_STANDIN_SCRIPT", &gpu);
        let finished = Finished::of(&mut command).expect(0);
        serde_json::from_str::<Value>(&finished.out).expect("it prints JSON")
    };
    let standin = library("nvml_standin");
    let seen = doctor(&["--nvml-library", standin.to_str().expect("the path is UTF-8")]);
    let statuses = |seen: &Value, what: &str| -> Vec<String> {
        let findings = seen["findings"].as_array().expect("findings").iter();
        let found = findings.filter(|finding| finding["what"] == what);
        found.map(|finding| finding["status"].as_str().expect("a status").to_owned()).collect()
    };
    assert_eq!(statuses(&seen, "nvml"), ["trouble"], "it isn't the system's own");
    assert_eq!(statuses(&seen, "gpu"), ["ok"]);
    assert_eq!(statuses(&seen, "gpu_energy_joules"), ["not_measurable"]);
    let measurable = seen["measurable"].as_array().expect("a list");
    assert!(measurable.iter().any(|metric| metric == "gpu_power_watts"), "{measurable:?}");
    assert_eq!(statuses(&seen, "sampler").len(), 1);

    let seen = doctor(&["--nvml-library", "/none.so", "--controller", "http://127.0.0.1:1"]);
    assert_eq!(statuses(&seen, "gpu"), ["not_measurable"]);
    assert_eq!(statuses(&seen, "controller"), ["trouble"]);
    for finding in seen["findings"].as_array().expect("findings") {
        assert!(finding["status"] != "trouble" || finding["remedy"].is_string(), "{finding}");
    }
}
