//! The quality of f16, bf16 and int8: ROUGE-L over all built-in dialogues, and agreement of tokens with f32.

use scenarios::{Finished, Workspace, processor, repository};
use serde_json::Value;
use std::collections::BTreeMap;

/// ROUGE-L points that a dtype may lose against f32.
const MOST_LOST: f64 = 0.5;
/// Sequences that diverge stay apart, and the longest summaries weigh most: below this something is broken.
const LEAST_AGREED: f64 = 0.5;

const MATRIX: &str = r#"
name = "dtypes"
[dataset]
source = "builtin:dialogues"
columns = { summary = "SUMMARY" }
[[model]]
name = "model"
id = "builtin:tiny"
ADAPTER
[factors]
dtypes = ["f32", "f16", "bf16", "int8"]
batch_sizes = [16]
[protocol]
runs = 1
warmup = 0
[[fleet.local]]
target = "here"
threads = 2
usd_per_hour = 0.10
"#;

/// ROUGE-L in points, 0 to 100, by dtype.
fn rouge_l(summary: &str, adapter: &str) -> BTreeMap<String, f64> {
    let workspace = Workspace::default();
    let matrix = MATRIX.replace("SUMMARY", summary).replace("ADAPTER", adapter);
    let path = workspace.write("dtypes.toml", matrix);
    let path = path.to_str().expect("the path is UTF-8");
    let _ = workspace.run(&["run", path, "--output", "results.json"]).expect(0);
    let results = workspace.results("results.json");
    let entries = results["results"].as_array().expect("a list").iter();
    entries
        .map(|entry| {
            let cell = &entry["cells"][0];
            assert_eq!(cell["counted_samples"], 256);
            let points = 100.0 * cell["quality"]["rougeL"]["value"].as_f64().expect("a number");
            (entry["dtype"].as_str().expect("a text").to_owned(), points)
        })
        .collect()
}

/// The output ids of `agent generate` for all built-in dialogues.
fn tokens(dtype: &str, adapter: &[&str]) -> Vec<Vec<u64>> {
    let workspace = Workspace::default();
    let input = repository("controller/dataset/src/builtin/dialogues.jsonl");
    let mut command = workspace.agent(&["generate", "--model", "builtin:tiny", "--dtype", dtype]);
    command.args(["--batch-size", "16", "--threads", "2", "--output", "out.jsonl"]).args(adapter);
    let _ = Finished::of(command.arg("--input").arg(input)).expect(0);
    let text = std::fs::read_to_string(workspace.path("out.jsonl")).expect("agent wrote it");
    text.lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            line["output_ids"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|id| id.as_u64().expect("a number"))
                .collect()
        })
        .collect()
}

/// The share of summaries that are equal, and of tokens before the first difference.
fn agreement(ours: &[Vec<u64>], theirs: &[Vec<u64>]) -> (f64, f64) {
    let (mut equal, mut agreed, mut all) = (0, 0, 0);
    for (a, b) in ours.iter().zip(theirs) {
        equal += usize::from(a == b);
        agreed += a.iter().zip(b).take_while(|(a, b)| a == b).count();
        all += a.len().max(b.len());
    }
    (equal as f64 / ours.len() as f64, agreed as f64 / all as f64)
}

#[test]
fn half_precision_and_int8_lose_at_most_half_a_point_of_rouge_l() {
    let _processor = processor();
    let adapter = "builtin:tiny-minutes";
    for (model, summary, key, arguments) in [
        ("builtin:tiny", "summary", String::new(), vec![]),
        (adapter, "minutes", format!("adapter = \"{adapter}\""), vec!["--adapter", adapter]),
    ] {
        let quality = rouge_l(summary, &key);
        let exact = tokens("f32", &arguments);
        println!("| {model} | f32 | {:.2} | | |", quality["f32"]);
        for dtype in ["f16", "bf16", "int8"] {
            let (equal, agreed) = agreement(&tokens(dtype, &arguments), &exact);
            let (points, lost) = (quality[dtype], quality["f32"] - quality[dtype]);
            let (equal_percent, agreed_percent) = (100.0 * equal, 100.0 * agreed);
            println!(
                "| {model} | {dtype} | {points:.2} | {equal_percent:.1} % | {agreed_percent:.1} % |"
            );
            assert!(lost <= MOST_LOST, "{model} in {dtype} loses {lost} points");
            assert!(agreed >= LEAST_AGREED, "{model} in {dtype}: {agreed} of the tokens agree");
        }
    }
}
