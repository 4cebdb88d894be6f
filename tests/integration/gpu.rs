//! T5 on a GPU: the agent finds the software GPU where it finds NVIDIA's driver.

use scenarios::{Finished, Workspace, library, repository};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// Both forms of feed-forward layer and head.
const MODELS: [&str; 2] = ["gated-untied", "relu-tied"];

struct Case {
    ids: Value,
    expected: Value,
}

/// Tokens per row: enough for the model's far buckets of positions.
const MOST: usize = 24;

/// What PyTorch generated for short prompts, with this adapter.
fn cases(model: &str, adapter: Option<&str>) -> Vec<Case> {
    let file = repository("agent/tests/parity").join(model).join("cases.jsonl");
    let text = fs::read_to_string(file).expect("the cases are there");
    let all = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let is_short = |case: &Value| case["input_ids"].as_array().is_some_and(|ids| ids.len() <= 40);
    let ours = all.filter(|case| case["adapter"].as_str() == adapter && is_short(case));
    let beginning =
        |ids: &Value| ids.as_array().expect("a list").iter().take(MOST).cloned().collect();
    ours.map(|case| Case {
        ids: case["input_ids"].clone(),
        expected: beginning(&case["output_ids"]),
    })
    .collect()
}

/// An agent that finds the software GPU under the driver's name.
fn agent(workspace: &Workspace, arguments: &[&str]) -> Command {
    let driver = workspace.path("driver");
    fs::create_dir_all(&driver).expect("a folder can be created");
    let name = driver.join("libcuda.so.1");
    if !name.exists() {
        std::os::unix::fs::symlink(library("cuda_standin"), name).expect("a link can be created");
    }
    let mut command = workspace.agent(arguments);
    command.env("LD_LIBRARY_PATH", driver);
    command
}

/// The ids that `agent generate` gives for these cases.
fn generate(
    workspace: &Workspace,
    device: &str,
    model: &str,
    more: &[&str],
    cases: &[Case],
) -> Vec<Value> {
    let lines = cases.iter().enumerate().map(|(id, case)| {
        let line = json!({"id": id, "input_ids": case.ids});
        format!("{line}\n")
    });
    workspace.write("in.jsonl", lines.collect::<String>());
    let most = MOST.to_string();
    let own = ["generate", "--model", model, "--device", device, "--max-new-tokens", &most];
    let files = ["--input", "in.jsonl", "--output", "out.jsonl"];
    let mut command = agent(workspace, &[&own[..], &files[..], more].concat());
    let _ = Finished::of(&mut command).expect(0);
    let text = fs::read_to_string(workspace.path("out.jsonl")).expect("the agent wrote it");
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.map(|row| row["output_ids"].clone()).collect()
}

fn parity(model: &str) -> String {
    repository("agent/tests/parity").join(model).to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_gpu_gives_the_tokens_of_pytorch_at_every_batch_size() {
    for model in MODELS {
        let workspace = Workspace::default();
        let cases = cases(model, None);
        for (size, places) in [("1", 0..2), ("4", 2..6), ("16", 0..cases.len())] {
            let cases = &cases[places];
            let found =
                generate(&workspace, "cuda:0", &parity(model), &["--batch-size", size], cases);
            for (place, (case, found)) in cases.iter().zip(found).enumerate() {
                assert_eq!(found, case.expected, "{model}, batch size {size}, case {place}");
            }
        }
    }
}

#[test]
fn a_merged_adapter_gives_the_tokens_of_pytorch_on_a_gpu() {
    for (model, name) in [("gated-untied", "rslora-all"), ("gated-untied", "patterns-head")] {
        let workspace = Workspace::default();
        let cases = &cases(model, Some(name))[..4];
        let adapter = format!("{}/adapters/{name}", parity(model));
        let more = ["--batch-size", "4", "--adapter", &adapter];
        let found = generate(&workspace, "cuda:0", &parity(model), &more, cases);
        for (case, found) in cases.iter().zip(found) {
            assert_eq!(found, case.expected, "{model} {name}");
        }
    }
}

#[test]
fn beams_on_a_gpu_are_those_of_the_cpu() {
    let workspace = Workspace::default();
    let cases = &cases("gated-untied", None)[4..6];
    let more = ["--num-beams", "3", "--no-repeat-ngram-size", "2", "--batch-size", "2"];
    let model = parity("gated-untied");
    let on = |device| generate(&workspace, device, &model, &more, cases);
    assert_eq!(on("cuda:0"), on("cpu"));
}

/// Sums in another order differ in the last bits, so a row may go another way where its best two
/// logits are that close; none of these is.
#[test]
fn the_tiny_model_gives_the_tokens_of_the_cpu_in_every_dtype() {
    let workspace = Workspace::default();
    let ids = [[5, 9, 200, 17, 1], [31, 7, 7, 64, 1], [90, 3, 12, 2, 1]];
    let cases: Vec<Case> =
        ids.iter().map(|ids| Case { ids: json!(ids), expected: Value::Null }).collect();
    for dtype in ["f32", "f16", "bf16", "int8"] {
        let more = ["--dtype", dtype, "--batch-size", "3"];
        let on = |device| generate(&workspace, device, "builtin:tiny", &more, &cases);
        let (gpu, cpu) = (on("cuda:0"), on("cpu"));
        let same = gpu.iter().zip(&cpu).filter(|(gpu, cpu)| gpu == cpu).count();
        println!("{dtype}: {same} of {} rows are the CPU's", gpu.len());
        // Weights alone are int8 on a GPU; the CPU also rounds activations.
        if dtype != "int8" {
            assert_eq!(gpu, cpu, "{dtype}");
        }
    }
}

#[test]
fn what_is_missing_for_a_gpu_is_one_sentence() {
    let workspace = Workspace::default();
    workspace.write("in.jsonl", "{\"id\": 1, \"input_ids\": [1]}\n");
    let arguments = ["generate", "--model", "builtin:tiny", "--input", "in.jsonl"];
    let run = |device: &str, driver: bool| {
        let arguments = [&arguments[..], &["--output", "out.jsonl", "--device", device]].concat();
        let mut command =
            if driver { agent(&workspace, &arguments) } else { workspace.agent(&arguments) };
        Finished::of(&mut command).expect(2).err
    };
    let absent = run("cuda:0", false);
    let expected = "cannot use cuda:0: no NVIDIA driver: libcuda.so.1 was not found; install the \
                    driver, or use device cpu";
    assert!(absent.contains(expected), "{absent}");
    let unknown = run("cuda:9", true);
    assert!(
        unknown.contains("cannot use cuda:9: no GPU cuda:9: expected cuda:0 (GPU-"),
        "{unknown}"
    );
}
