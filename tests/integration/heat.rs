//! A T4 that overheats under sustained load, and one that stays cool. One clock drives both: the scripted engine writes
//! its time to a file, 20 times as fast as real time, and the stand-in for NVIDIA's library follows it.

use scenarios::{Finished, library, processor, scripted};
use serde_json::{Value, json};

/// Throttling begins two minutes after the engine's first batch, and batches take a quarter longer from then on.
const ONSET_S: f64 = 120.0;
const SLOWER: f64 = 1.25;

const REST: &str = r#"
[factors]
scenarios = ["stress"]
[protocol]
runs = 1
warmup = 1
stress = { duration = "5m", window = "2s" }
[telemetry]
period_ms = 25
[[fleet.local]]
target = "machine"
usd_per_hour = 0.5
"#;

/// Five minutes of load on a T4; returns the verdicts.
fn load(is_hot: bool) -> (Finished, Value) {
    let _processor = processor();
    let workspace = scripted::workspace("", &scripted::matrix("heat", 50, REST));
    let clock = workspace.path("clock");
    let by = if is_hot { SLOWER } else { 1.0 };
    let engine = json!({
        "seed": 5, "prompt_ms": 40, "token_ms": 5, "output_tokens": 13, "spread": 0.05, "device": "cuda:0",
        "paced": true, "clock_factor": 20, "clock_file": clock, "slows": [{"at_s": ONSET_S, "by": by}],
    });
    workspace.write("script.json", engine.to_string());
    let point = |at_s: f64, is_hot: bool| {
        let (celsius, mhz, reasons) = if is_hot { (93, 1080, 0x20) } else { (70, 1590, 0) };
        json!({"at_s": at_s, "temperature_c": celsius, "sm_mhz": mhz, "power_w": 66, "reasons": reasons})
    };
    let series = [point(0.0, false), point(ONSET_S - 1e-6, false), point(ONSET_S, is_hot)];
    let gpu =
        workspace.write("gpu.json", json!({"clock_file": clock, "series": series}).to_string());
    let mut command = workspace.controller(&["run", "matrix.toml", "--output", "results.json"]);
    command.env("NVML_STANDIN_SCRIPT", gpu);
    command.env("FLEETMARK_NVML_LIBRARY", library("nvml_standin"));
    let finished = Finished::of(&mut command).expect(0);
    let results = workspace.results("results.json");
    let verdicts = results["results"][0]["cells"][0]["stress"][0]["verdicts"].clone();
    (finished, verdicts)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[test]
fn overheating_is_reported_with_onset_reason_share_and_cost() {
    let (finished, verdicts) = load(true);
    let found = &verdicts["gpu_throttling"];
    assert_eq!(found["finding"]["is"], "found", "{found:#}");
    // Within one window of 2 s and the script's half second between readings.
    let onset = number(&found["onset"]["at_s"]);
    let within = number(&found["onset"]["within_s"]);
    assert!((onset - ONSET_S).abs() <= within + 0.5, "{}", found["onset"]);
    assert_eq!(found["onset"]["celsius"], 93.0);
    let reasons: Vec<&String> = found["by_reason"].as_object().expect("reasons").keys().collect();
    assert_eq!(reasons, ["sw_thermal_slowdown"]);
    // 120 s at full speed, 180 s at four fifths of it.
    let hit = 180.0 / SLOWER / (120.0 + 180.0 / SLOWER);
    assert!((number(&found["shares"]["of_requests"]) - hit).abs() < 0.01, "{}", found["shares"]);
    assert!((number(&found["shares"]["of_time"]) - 0.6).abs() < 0.01);
    let lost = &found["lost_while_throttled"];
    let truth = 1.0 - 1.0 / SLOWER;
    assert!(number(&lost["ci_low"]) <= truth && truth <= number(&lost["ci_high"]), "{lost}");
    assert!(number(&lost["ci_high"]) - number(&lost["ci_low"]) < 0.05, "{lost}");
    let clock = number(&found["clock_of_maximum"]);
    assert!((clock - (0.4 + 0.6 * 1080.0 / 1590.0)).abs() < 0.01, "{clock}");
    assert_eq!(verdicts["throughput"]["finding"]["is"], "found");
    assert!(finished.out.contains("GPU throttling: 60"), "{}", finished.out);
}

#[test]
fn a_cool_gpu_is_not_throttled_and_does_not_drift() {
    let (finished, verdicts) = load(false);
    let found = &verdicts["gpu_throttling"];
    assert_eq!(
        (found["finding"]["is"].as_str(), &found["onset"]),
        (Some("not_found"), &Value::Null)
    );
    assert_eq!(found["shares"]["of_time"], 0.0);
    assert_eq!(verdicts["throughput"]["finding"]["is"], "not_found", "{}", verdicts["throughput"]);
    assert!(finished.out.contains("GPU throttling: none"), "{}", finished.out);
}
