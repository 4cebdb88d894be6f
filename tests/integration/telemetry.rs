//! Telemetry beside the samples, with a stand-in for NVIDIA's library and the real agent: a hot T4, one that lacks half
//! its calls, one that fails, and no GPU at all.

use scenarios::{Finished, Workspace, library, processor, scripted};
use serde_json::Value;

fn matrix(more: &str) -> String {
    let rest = format!(
        r#"
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
    );
    scripted::matrix("observed", 24, &rest)
}

/// Runs a campaign on `device`, with a GPU that follows the script `gpu`.
fn measure(device: &str, gpu: Option<&str>, more: &str) -> (Workspace, Finished, Value) {
    measure_paced(false, device, gpu, more)
}

/// The same with an engine that takes real time if `paced`.
fn measure_paced(
    paced: bool,
    device: &str,
    gpu: Option<&str>,
    more: &str,
) -> (Workspace, Finished, Value) {
    let script = format!(
        r#"{{"prompt_ms": 50, "token_ms": 10, "output_tokens": 12, "device": "{device}", "paced": {paced}}}"#
    );
    let workspace = scripted::workspace(&script, &matrix(more));
    let mut command = workspace.controller(&scripted::RUN);
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
fn a_hot_t4_shows_in_every_figure() {
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
    for code in ["throttled", "foreign_telemetry", "synthetic_time"] {
        assert!(codes.contains(&code), "{code} of {codes:?}");
    }
    assert_eq!(cell["validity"]["status"], "DEGRADED");

    // Without an energy counter, power is integrated over time: 60 W busy and idle.
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
fn a_t4_that_overheats_repeatedly_and_leaks_shows_over_time() {
    let _processor = processor();
    // Hot for 0.4 s and cool for 0.4 s of real time, on a clock that runs 20 times as fast.
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
    assert_eq!(requests, 48, "every counted request belongs to a piece");
    assert_eq!(list("runs").len(), 2);

    let page = std::fs::read_to_string(workspace.path("report.html")).expect("a page");
    for words in ["GPU temperature, °C", "GPU clock, MHz", "GPU throttled"] {
        assert!(page.contains(words), "{words}");
    }
    let markdown = std::fs::read_to_string(workspace.path("report.md")).expect("a Markdown file");
    assert!(markdown.contains("GPU throttled"), "{markdown}");
}

#[test]
fn a_gpu_that_lacks_half_its_calls_reports_nulls_and_names_them() {
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
fn a_gpu_that_falls_off_the_bus_does_not_end_the_campaign() {
    // It fails before the first shard: the agent observes the idle machine for 3 s.
    let gpu =
        r#"{"dies_at_s": 1.0, "series": [{"at_s": 0, "utilization_pct": 40, "power_w": 50}]}"#;
    let (_workspace, _finished, results) = measure("cuda:0", Some(gpu), "");
    assert_eq!(results["campaign"]["state"], "complete");
    let telemetry = &cell(&results)["telemetry"];
    assert_eq!(telemetry["gpu"], Value::Null, "{telemetry:#}");
    assert!(telemetry["process_cpu_cores"].as_f64().is_some());
    let events = results["campaign"]["events"].as_array().expect("events");
    let is_reported =
        |event: &&Value| event["detail"].as_str().is_some_and(|it| it.contains("the GPU was lost"));
    assert_eq!(events.iter().filter(is_reported).count(), 1, "{events:#?}");
}

#[test]
fn a_cpu_has_no_gpu_figures_even_beside_a_gpu() {
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
fn without_a_gpu_everything_runs_and_missing_values_are_null() {
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

    // Metrics that can't be measured here are named, never shown as zero.
    let absent = results["environment"]["hosts"][0]["not_measurable"].as_array().expect("a list");
    let markdown = std::fs::read_to_string(workspace.path("report.md")).expect("a Markdown file");
    let mut is_reported = false;
    for absent in absent {
        let what = absent["what"].as_str().expect("a name");
        let is_gpu = what == "gpu" || what.starts_with("gpu_");
        let name = what.replace('_', " ");
        assert_eq!(markdown.contains(&format!(": {name}, ")), !is_gpu, "{what}: {markdown}");
        is_reported |= !is_gpu;
    }
    assert_eq!(finished.out.contains("Not measurable on"), is_reported, "{}", finished.out);
}

#[test]
fn the_doctor_lists_what_can_be_measured() {
    let workspace = Workspace::default();
    let gpu = r#"{"missing": ["energy"], "series": [{"at_s": 0, "power_w": 50}]}"#;
    let gpu = workspace.write("gpu.json", gpu);
    let doctor = |arguments: &[&str], code| {
        let mut command = workspace.agent(&[&["doctor", "--json"], arguments].concat());
        command.env("NVML_STANDIN_SCRIPT", &gpu);
        let finished = Finished::of(&mut command).expect(code);
        serde_json::from_str::<Value>(&finished.out).expect("it prints JSON")
    };
    let standin = library("nvml_standin");
    let seen = doctor(&["--nvml-library", standin.to_str().expect("the path is UTF-8")], 0);
    let statuses = |seen: &Value, what: &str| -> Vec<String> {
        let findings = seen["findings"].as_array().expect("findings").iter();
        let found = findings.filter(|finding| finding["what"] == what);
        found.map(|finding| finding["status"].as_str().expect("a status").to_owned()).collect()
    };
    assert_eq!(statuses(&seen, "nvml"), ["trouble"], "it is not the system's library");
    assert_eq!(statuses(&seen, "gpu"), ["ok"]);
    assert_eq!(statuses(&seen, "gpu_energy_joules"), ["not_measurable"]);
    let measurable = seen["measurable"].as_array().expect("a list");
    assert!(measurable.iter().any(|metric| metric == "gpu_power_watts"), "{measurable:?}");
    assert_eq!(statuses(&seen, "sampler").len(), 1);

    let seen = doctor(&["--nvml-library", "/none.so", "--controller", "http://127.0.0.1:1"], 1);
    assert_eq!(statuses(&seen, "gpu"), ["not_measurable"]);
    assert_eq!(statuses(&seen, "controller"), ["trouble"]);
    for finding in seen["findings"].as_array().expect("findings") {
        assert!(finding["status"] != "trouble" || finding["remedy"].is_string(), "{finding}");
    }
}
