//! The quickstart with the real engine: its samples, the schema of its results, and its figures recomputed from samples.

use scenarios::{Row, Workspace, processor, repository};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// 18 dialogues are enough for p50 in batches of 2, and keep the test short.
fn quickstart(workspace: &Workspace) -> Value {
    let matrix = repository("examples/quickstart.toml");
    let matrix = matrix.to_str().expect("the path is UTF-8");
    let arguments =
        ["run", matrix, "--samples", "18", "--batch-sizes", "1", "2", "--output", "results.json"];
    let finished = workspace.run(&arguments).expect(0);
    assert!(finished.out.contains("USD per 1,000"), "{}", finished.out);
    workspace.results("results.json")
}

#[test]
fn results_match_the_schema_and_figures_follow_from_samples() {
    let _processor = processor();
    let workspace = Workspace::default();
    let results = quickstart(&workspace);
    let mut schemas = boon::Schemas::new();
    let schema = repository("docs/results.schema.json");
    let schema = boon::Compiler::new()
        .compile(schema.to_str().expect("the path is UTF-8"), &mut schemas)
        .expect("the committed schema is one");
    if let Err(error) = schemas.validate(&results, schema) {
        panic!("{error:#}");
    }

    let samples = workspace.samples("results.json");
    assert_eq!(
        samples.len(),
        2 * 2 * 2 * 3 * 18,
        "models x targets x batch sizes x runs x dialogues"
    );
    let keys: BTreeSet<_> =
        samples.iter().map(|row| (&row.cell, row.run, &row.sample_id)).collect();
    assert_eq!(keys.len(), samples.len(), "every sample is there once");
    let ids = |cell: &str| -> BTreeSet<&str> {
        samples
            .iter()
            .filter(|row| row.cell.contains(cell))
            .map(|row| row.sample_id.as_str())
            .collect()
    };
    assert_eq!(ids("@one-thread"), ids("@two-threads"), "all targets see the same dialogues");

    adapter_scores_higher(&results);
    let mut checked = 0;
    let ranked = results["recommendation"]["ranked"].as_array().map_or(&[][..], Vec::as_slice);
    for entry in results["results"].as_array().unwrap() {
        for cell in entry["cells"].as_array().unwrap() {
            let rows: Vec<&Row> =
                samples.iter().filter(|row| row.cell == text(&cell["cell"])).collect();
            figures_follow_from(&rows, entry, cell);
            checked += 1;
        }
        seed_form(entry, ranked);
    }
    assert_eq!(checked, 8);
    assert_eq!(results["campaign"]["state"], "complete");
    assert_eq!(results["campaign"]["counted_samples"], 432);
    assert_eq!(results["campaign"]["samples_file"]["rows"], 432);
}

/// The adapter was trained on the references; its base was not.
fn adapter_scores_higher(results: &Value) {
    let rouge_l = |model: &str| -> Vec<f64> {
        let entries = results["results"].as_array().expect("a list").iter();
        let cells = entries.filter(|entry| entry["model"] == model);
        let cells = cells.flat_map(|entry| entry["cells"].as_array().expect("a list"));
        cells
            .map(|cell| cell["quality"]["rougeL"]["value"].as_f64().expect("it has a quality"))
            .collect()
    };
    let (tuned, base) = (rouge_l("tuned"), rouge_l("tiny"));
    assert_eq!((tuned.len(), base.len()), (4, 4));
    for (tuned, base) in tuned.iter().zip(&base) {
        assert!(tuned - base >= 0.15, "tuned {tuned}, base {base}");
    }
}

/// Recomputes figures from the Parquet rows by their definitions, without the product's code.
fn figures_follow_from(rows: &[&Row], entry: &Value, cell: &Value) {
    let estimates = &cell["estimates"];
    let mut latencies: Vec<f64> = rows.iter().map(|row| row.latency_ns as f64 / 1e6).collect();
    latencies.sort_by(f64::total_cmp);
    let n = latencies.len() as f64;
    let mean = latencies.iter().sum::<f64>() / n;
    let squares: f64 = latencies.iter().map(|latency| (latency - mean).powi(2)).sum();
    same(&estimates["latency_ms"]["mean"]["value"], mean);
    same(&estimates["latency_ms"]["std"], (squares / (n - 1.0)).sqrt());
    same(&estimates["latency_ms"]["min"], latencies[0]);
    same(&estimates["latency_ms"]["p50"]["value"], quantile(&latencies, 0.5));
    assert_eq!(estimates["latency_ms"]["p95"]["value"], Value::Null, "18 requests carry no p95");

    let seconds = host_seconds(rows);
    let throughput = n / seconds;
    same(&estimates["throughput"]["per_host"]["value"], throughput);
    let usd_per_hour = cell["cost"]["usd_per_hour"].as_f64().expect("it is priced");
    same(
        &cell["cost"]["usd_per_1000_requests"]["value"],
        usd_per_hour * seconds / 3600.0 / n * 1000.0,
    );
    let by_run: Vec<f64> = [1, 2, 3]
        .map(|run| rows.iter().filter(|row| row.run == run).copied().collect::<Vec<_>>())
        .iter()
        .map(|rows| rows.len() as f64 / host_seconds(rows))
        .collect();
    let mean_of_runs = by_run.iter().sum::<f64>() / 3.0;
    let squares: f64 = by_run.iter().map(|rate| (rate - mean_of_runs).powi(2)).sum();
    let std = (squares / 2.0).sqrt();
    if entry["cells"][0]["cell"] == cell["cell"] {
        same(&entry["metrics"]["throughput"]["std"], std);
        same(&entry["metrics"]["throughput"]["mean"], throughput);
        same(&entry["metrics"]["latency_ms"]["mean"], mean);
    }
}

/// The sum of the batches' spans.
fn host_seconds(rows: &[&Row]) -> f64 {
    let mut spans: BTreeMap<_, (i64, i64)> = BTreeMap::new();
    for row in rows {
        let end = row.start_ns + row.latency_ns;
        let span =
            spans.entry((row.run, &row.host, row.segment, row.batch)).or_insert((i64::MAX, 0));
        *span = (span.0.min(row.start_ns), span.1.max(end));
    }
    spans.values().map(|(start, end)| (end - start) as f64 / 1e9).sum()
}

/// Hyndman and Fan's type 7.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let at = p * (sorted.len() - 1) as f64;
    let place = (0..sorted.len()).rfind(|&index| index as f64 <= at).expect("p is at least 0");
    let (low, high) = (sorted[place], sorted[(place + 1).min(sorted.len() - 1)]);
    low + (at - place as f64) * (high - low)
}

fn same(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap_or_else(|| panic!("expected {expected}, found {found}"));
    assert!(
        (found - expected).abs() <= 1e-9 * expected.abs(),
        "expected {expected}, found {found}"
    );
}

fn text(value: &Value) -> &str {
    value.as_str().expect("it is a text")
}

/// Keys of the original results that existing readers rely on.
fn seed_form(entry: &Value, ranked: &[Value]) {
    for key in
        ["timestamp", "model_id", "peft_weights", "device", "gpu_name", "num_samples", "num_runs"]
    {
        assert!(entry.get(key).is_some(), "{key}");
    }
    for key in ["mean", "std", "min", "max", "p50", "p90", "p95", "p99"] {
        assert!(entry["metrics"]["latency_ms"].get(key).is_some(), "{key}");
    }
    assert_eq!(entry["metrics"]["throughput"]["unit"], "samples/sec");
    assert!(entry["metrics"]["memory"]["model_size_mb"].as_f64().is_some_and(|value| value > 0.0));
    assert_eq!(
        entry["metrics"]["memory"]["gpu_memory_mb"],
        Value::Null,
        "null on a CPU, never zero"
    );
    for batch in ["batch_1", "batch_2"] {
        assert!(
            entry["batch_performance"][batch]["latency_ms"]
                .as_f64()
                .is_some_and(|value| value > 0.0)
        );
        assert!(
            entry["batch_performance"][batch]["throughput"]
                .as_f64()
                .is_some_and(|value| value > 0.0)
        );
    }
    // The cost of a cell that is ranked or VALID; under other load on the machine there may be none.
    let is_valid =
        |cell: &Value| cell["validity"]["status"] == "VALID" || ranked.contains(&cell["cell"]);
    let cells = entry["cells"].as_array().expect("there are cells");
    let cost = entry["cost"]["usd_per_1000_requests"]["value"].as_f64();
    assert_eq!(cost.is_some_and(|value| value > 0.0), cells.iter().any(is_valid));
}
