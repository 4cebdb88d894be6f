//! `controller compare`: what it finds, in every form, what it refuses, and when it fails.

#![expect(clippy::unwrap_used, reason = "what sets a test up fails it where it can't")]

use super::campaigns::{Made, controller, of_matrix, said, write};
use tempfile::TempDir;

const BASE: &str = "base-20261101-080000-000";
const OTHER: &str = "other-20261102-080000-000";

/// Two campaigns in one store.
fn stored(baseline: &Made, candidate: &Made) -> TempDir {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join(".fleetmark"), baseline);
    write(&folder.path().join(".fleetmark"), candidate);
    folder
}

fn other() -> Made {
    Made { id: OTHER, ..Made::default() }
}

fn compared(baseline: &Made, candidate: &Made, more: &[&str]) -> String {
    let folder = stored(baseline, candidate);
    said(&controller(folder.path(), &[&["compare", BASE, OTHER], more].concat()))
}

#[test]
fn a_slower_candidate_is_named_in_the_table() {
    let slower = Made { factor: 1.1, price: of_matrix(0.3), ..other() };
    insta::assert_snapshot!(compared(&Made::default(), &slower, &[]));
}

#[test]
fn the_same_as_markdown() {
    let slower = Made { factor: 1.1, agent_version: "0.2.0", ..other() };
    let more = ["--format", "markdown", "--max-regression", "latency_p50=5%"];
    insta::assert_snapshot!(compared(&Made::default(), &slower, &more));
}

#[test]
fn the_same_as_json() {
    let slower = Made { factor: 1.1, ..other() };
    let more = ["--format", "json", "--max-regression", "cost=5%"];
    let told = compared(&Made::default(), &slower, &more);
    let (exit, json) = told.split_once('\n').unwrap();
    assert_eq!(exit, "exit 1");
    let json = rounded(serde_json::from_str(json).unwrap());
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
}

#[test]
fn a_failed_limit_fails_its_test_in_junit_and_is_annotated() {
    let slower = Made { factor: 1.1, ..other() };
    let form = |format, candidate: &Made, more: &[&str]| {
        let arguments =
            [&["--max-regression", "latency_p50=5%", "--format", format], more].concat();
        compared(&Made::default(), candidate, &arguments)
    };
    insta::assert_snapshot!("junit", form("junit", &slower, &[]));
    insta::assert_snapshot!("github", form("github", &slower, &[]));
    let unsteady = Made { factor: 1.04, run_spread: 0.1, ..other() };
    let open = form("junit", &unsteady, &[]);
    assert!(open.starts_with("exit 4") && open.contains("failure type=\"UNDECIDED\""), "{open}");
    let warned = form("github", &unsteady, &[]);
    assert!(warned.contains("::warning title=tiny.f32.b1.offline@here::latency_p50 undecided"));
    let allowed = form("junit", &unsteady, &["--allow-undecided"]);
    assert!(allowed.starts_with("exit 0") && allowed.contains("failures=\"0\""), "{allowed}");
}

/// Ten digits: logarithms differ in their last one between machines.
fn rounded(json: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match json {
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            format!("{number:.9e}").parse::<f64>().unwrap().into()
        }
        Value::Array(items) => items.into_iter().map(rounded).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key, rounded(value))).collect()
        }
        other => other,
    }
}

#[test]
fn a_campaign_against_itself_has_ratio_one_exactly() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join(".fleetmark"), &Made::default());
    let arguments =
        ["compare", BASE, "latest", "--format", "json", "--max-regression", "rougeL=0%"];
    let output = controller(folder.path(), &arguments);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let one = &json["comparisons"][0];
    for quantity in ["throughput", "request_latency", "latency_per_output_token", "ttft"] {
        let ratio = one["figures"][quantity]["ratio"]["value"].as_f64();
        assert_eq!(ratio.map(f64::to_bits), Some(1.0_f64.to_bits()), "{quantity}");
    }
    assert_eq!(one["cost"]["ratio"]["value"].as_f64().map(f64::to_bits), Some(1.0_f64.to_bits()));
    assert_eq!(one["quality"]["rougeL"]["value"].as_f64().map(f64::abs), Some(0.0));
    assert_eq!(json["notes"][0], "both sides are the same campaign");
    assert_eq!(json["outcome"], "passed", "{json:#}");
}

#[test]
fn files_are_compared_like_campaigns_and_another_samples_file_is_refused() {
    let folder = stored(&Made::default(), &Made { factor: 1.1, ..other() });
    for (id, file) in [(BASE, "base.json"), (OTHER, "other.json")] {
        let output = controller(folder.path(), &["report", id, "--output", file]);
        assert!(output.status.success(), "{}", said(&output));
    }
    let of_files = controller(folder.path(), &["compare", "base.json", "other.json"]);
    let of_store = controller(folder.path(), &["compare", BASE, OTHER]);
    assert_eq!(said(&of_files), said(&of_store));

    let path = |name: &str| folder.path().join(name);
    let text = std::fs::read_to_string(path("base.json")).unwrap();
    std::fs::write(path("base.json"), format!("\u{feff}{text}")).unwrap();
    let marked = controller(folder.path(), &["compare", "base.json", "other.json"]);
    assert_eq!(said(&marked), said(&of_store), "a byte order mark");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    for file in ["base.json", "base.samples.parquet"] {
        let before = std::fs::read(path(file)).unwrap();
        std::fs::write(path(file), pointer).unwrap();
        let pointed = said(&controller(folder.path(), &["compare", "base.json", "other.json"]));
        let named = format!("exit 2\nerror: {file} is a Git LFS pointer");
        assert!(pointed.starts_with(&named) && pointed.contains("git lfs pull"), "{pointed}");
        std::fs::write(path(file), before).unwrap();
    }
    for (stated, other) in [("rows", 301), ("counted_samples", 299), ("late_samples", 1)] {
        let mut results: serde_json::Value = serde_json::from_str(&text).unwrap();
        let campaign = &mut results["campaign"];
        match stated {
            "rows" => campaign["samples_file"]["rows"] = other.into(),
            count => campaign[count] = other.into(),
        }
        std::fs::write(path("counts.json"), results.to_string()).unwrap();
        let refused = said(&controller(folder.path(), &["compare", "counts.json", "other.json"]));
        assert!(refused.starts_with("exit 2\n") && refused.contains("rows of them"), "{refused}");
    }
    let mut results: serde_json::Value = serde_json::from_str(&text).unwrap();
    results["campaign"]["samples_file"]["rows"] = 301.into();
    results["campaign"]["late_samples"] = 1.into();
    std::fs::write(path("counts.json"), results.to_string()).unwrap();
    let refused = said(&controller(folder.path(), &["compare", "counts.json", "other.json"]));
    assert!(refused.contains("it has 300 rows, but its results state 301"), "{refused}");

    std::fs::copy(path("other.samples.parquet"), path("base.samples.parquet")).unwrap();
    let swapped = said(&controller(folder.path(), &["compare", "base.json", "other.json"]));
    assert!(
        swapped.starts_with("exit 2\n")
            && swapped.contains("is not the samples file of base.json: its sha256"),
        "{swapped}"
    );
    std::fs::remove_file(path("base.samples.parquet")).unwrap();
    let missing = said(&controller(folder.path(), &["compare", "base.json", "other.json"]));
    assert!(
        missing.starts_with("exit 2\n") && missing.contains("can't read base.samples.parquet"),
        "{missing}"
    );
}

#[test]
fn every_refusal_names_both_sides() {
    let refusals = [
        ("sample ids", Made { ids_sha256: 'e', ..other() }),
        ("data hash", Made { data_sha256: 'e', ..other() }),
        ("prompt", Made { prompt: "TL;DR {dialogue}", ..other() }),
        ("tokenizer", Made { tokenizer_sha256: Some("ffff"), ..other() }),
        ("tokenizer known on one side", Made { tokenizer_sha256: None, ..other() }),
        ("generation limits", Made { max_new_tokens: 32, ..other() }),
        ("settings of generation", Made { num_beams: 4, ..other() }),
        ("weights", Made { model_sha256: "ffff", ..other() }),
        ("several at once", Made { model_sha256: "ffff", prompt: "TL;DR {dialogue}", ..other() }),
        ("no cell in common", Made { batch_size: 4, ..other() }),
    ];
    let told: Vec<String> = refusals
        .into_iter()
        .map(|(what, candidate)| format!("{what}: {}", compared(&Made::default(), &candidate, &[])))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn another_schema_version_is_refused() {
    let folder = stored(&Made::default(), &other());
    for (id, file) in [(BASE, "base.json"), (OTHER, "other.json")] {
        controller(folder.path(), &["report", id, "--output", file]);
    }
    let path = folder.path().join("other.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"schema_version\": 1", "\"schema_version\": 2", 1))
        .unwrap();
    insta::assert_snapshot!(said(&controller(
        folder.path(),
        &["compare", "base.json", "other.json"]
    )));
}

#[test]
fn what_may_differ_is_flagged() {
    let flagged = Made { agent_version: "0.2.0", target: "there", ..other() };
    let told = compared(&Made::default(), &flagged, &[]);
    assert!(told.starts_with("exit 0\n"), "{told}");
    assert!(told.contains("differs in agent version: 0.1.0 vs. 0.2.0"), "{told}");
    assert!(told.contains("measured_on is unknown on both sides"), "{told}");
    assert!(!told.contains("governor"), "neither machine tells: {told}");
    assert!(!told.contains("driver"), "no GPU infers: {told}");
    assert!(told.contains("tiny.f32.b1.offline@there vs. tiny.f32.b1.offline@here"), "{told}");
}

#[test]
fn limits_pass_fail_or_stay_open() {
    let limits = |candidate: &Made, more: &[&str]| {
        let arguments = [&["--max-regression"], more].concat();
        compared(&Made::default(), candidate, &arguments)
    };
    let slower = Made { factor: 1.1, ..other() };
    let failed = limits(&slower, &["latency_p50=5%,throughput=20%"]);
    assert!(
        failed.starts_with("exit 1\n") && failed.contains("FAILED") && failed.contains("passed"),
        "{failed}"
    );
    let improved = limits(&Made { factor: 0.9, ..other() }, &["latency_mean=-5%", "cost=-5%"]);
    assert!(improved.starts_with("exit 0\n") && improved.contains("limits: passed"), "{improved}");
    let unsteady = Made { factor: 1.02, run_spread: 0.1, ..other() };
    let open = limits(&unsteady, &["latency_p90=3%"]);
    assert!(open.starts_with("exit 4\n") && open.contains("undecided: about"), "{open}");
    let allowed = limits(&unsteady, &["latency_p90=3%", "--allow-undecided"]);
    assert!(allowed.starts_with("exit 0\n") && allowed.contains("limits: undecided"), "{allowed}");
    let strict = limits(&unsteady, &["latency_p90=3%", "--strict"]);
    assert!(strict.starts_with("exit 1\n"), "{strict}");
}

#[test]
fn a_limit_on_what_is_null_is_refused() {
    let tail = compared(&Made::default(), &other(), &["--max-regression", "latency_p99=5%"]);
    assert!(tail.starts_with("exit 2\n"), "{tail}");
    assert!(tail.contains("latency_p99 is null in tiny.f32.b1.offline@here"), "{tail}");
    let silent = Made { text: None, ..other() };
    let rouge = compared(&Made::default(), &silent, &["--max-regression", "rougeL=1%"]);
    assert!(rouge.starts_with("exit 2\n") && rouge.contains("rougeL is null"), "{rouge}");
    let unknown = compared(&Made::default(), &other(), &["--max-regression", "latency_p97=5%"]);
    assert!(unknown.starts_with("exit 2\n") && unknown.contains("unknown metric"), "{unknown}");
}

#[test]
fn worse_summaries_fail_a_limit_on_quality() {
    let worse = Made { text: Some("Somebody talks about something else."), ..other() };
    let told = compared(&Made::default(), &worse, &["--max-regression", "rougeL=1%"]);
    assert!(told.starts_with("exit 1\n") && told.contains("rougeL"), "{told}");
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let folder = stored(&Made::default(), &other());
    let campaign = said(&controller(folder.path(), &["compare", "nothing", "latest"]));
    assert!(campaign.starts_with("exit 2\n") && campaign.contains(BASE), "{campaign}");
    let file = said(&controller(folder.path(), &["compare", "nothing.json", "latest"]));
    assert!(file.contains("no file nothing.json"), "{file}");
}

#[test]
fn history_lists_campaigns_and_draws_a_metric() {
    let folder = stored(&Made::default(), &Made { factor: 1.1, ..other() });
    insta::assert_snapshot!("history", said(&controller(folder.path(), &["history"])));
    let drawn = controller(folder.path(), &["history", "--metric", "latency_p50"]);
    insta::assert_snapshot!("history_of_a_metric", said(&drawn));
}

#[test]
fn an_old_campaign_is_priced_anew() {
    let folder = TempDir::new().unwrap();
    write(&folder.path().join(".fleetmark"), &Made::default());
    let book = "version = 1\n[[list]]\nprovider = 'aws'\nservice = 'ec2'\nregion = 'us-east-1'\noperating_system = 'linux'\n\
                purchase = 'on-demand'\ncurrency = 'USD'\nsource = 'a list'\ndate = 2025-01-26\nusd_per_hour = { here = 0.72 }\n";
    std::fs::write(folder.path().join("book.toml"), book).unwrap();
    let cost = |more: &[&str]| -> (f64, serde_json::Value) {
        let arguments = [&["report", "latest", "--output", "x.json"], more].concat();
        let output = controller(folder.path(), &arguments);
        assert!(output.status.success(), "{}", said(&output));
        let text = std::fs::read_to_string(folder.path().join("x.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let cost = &json["results"][0]["cells"][0]["cost"];
        (cost["usd_per_1000_requests"]["value"].as_f64().unwrap(), cost["price"].clone())
    };
    let (before, _) = cost(&[]);
    let (after, price) = cost(&["--prices", "book.toml"]);
    assert!((after / before - 2.0).abs() < 1e-12);
    assert_eq!((&price["source"], &price["stale"]), (&"a list".into(), &true.into()));
    let shown = said(&controller(folder.path(), &["report", "latest", "--prices", "book.toml"]));
    assert!(shown.contains("Prices are stale"), "{shown}");
    let (again, price) = cost(&[]);
    assert_eq!((again.to_bits(), &price["source"]), (before.to_bits(), &"matrix".into()));
}

/// Starts commands of CI systems, acts on a terminal and turns the direction of writing.
const HOSTILE: &str = "::error::owned\n ::error::owned\r\u{2028}::error::owned ##[error]owned\u{1b}[2J\u{9b}31m\u{7}\u{202e}\u{2066}\u{200b}\u{e0041}\n";

/// Puts a hostile text before every string of the value.
fn make_hostile(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::String(text) => *text = format!("{HOSTILE}{text}"),
        Value::Array(items) => items.iter_mut().for_each(make_hostile),
        Value::Object(fields) => fields.values_mut().for_each(make_hostile),
        _ => {}
    }
}

fn assert_inert(output: &std::process::Output, own: &str) {
    let told = said(output);
    assert!(told.contains("owned"), "{told}");
    for line in told.split('\n') {
        assert!(!line.contains(model::text::is_unprintable), "{line:?}");
        let is_own = !own.is_empty() && line.starts_with("::") && line.contains(own);
        assert!(is_own || !line.trim_start().starts_with("::"), "{line:?}");
        assert!(!line.contains("##["), "{line:?}");
    }
}

#[test]
fn a_foreign_results_json_acts_in_no_format_and_in_no_error() {
    let folder = stored(&Made::default(), &Made { factor: 1.1, ..other() });
    for (id, file) in [(BASE, "base.json"), (OTHER, "other.json")] {
        controller(folder.path(), &["report", id, "--output", file]);
    }
    let path = folder.path().join("other.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    let compare = |value: &serde_json::Value, more: &[&str]| {
        std::fs::write(&path, value.to_string()).unwrap();
        controller(folder.path(), &[&["compare", "base.json", "other.json"], more].concat())
    };

    // What is only shown: the comparison succeeds.
    let mut shown = whole.clone();
    for place in ["/campaign/id", "/campaign/created_at", "/environment/hosts/0/governor"] {
        if let Some(text) = shown.pointer_mut(place) {
            *text = format!("{HOSTILE}{text}").into();
        }
    }
    let price = &mut shown["results"][0]["cells"][0]["cost"]["price"];
    (price["source"], price["stale"], price["age_days"]) =
        (HOSTILE.into(), true.into(), 500.into());
    for format in ["table", "markdown", "junit", "github", "json"] {
        let output = compare(&shown, &["--format", format, "--max-regression", "latency_p50=5%"]);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert_inert(&output, if format == "github" { " title=" } else { "" });
    }

    // What must be equal or is a word of the schema: the refusal names it.
    let mut refused = whole.clone();
    refused["environment"]["generation"]["prompt"] = HOSTILE.into();
    assert_inert(&compare(&refused, &[]), "");
    let mut words = whole.clone();
    make_hostile(&mut words);
    assert_inert(&compare(&words, &[]), "");
    let mut file = whole;
    file["campaign"]["samples_file"]["name"] = HOSTILE.into();
    assert_inert(&compare(&file, &[]), "");
}
