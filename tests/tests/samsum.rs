//! Real dialogues and a real shape: SAMSum through flan-t5-small's shape with random weights.

use scenarios::{Workspace, repository};

#[test]
fn thirty_two_samsum_dialogues_on_two_targets_are_all_counted() {
    let data = repository("../shared/data");
    if !data.is_dir() {
        eprintln!("skipped: {} is not there", data.display());
        return;
    }
    let data = data.canonicalize().expect("it is there");
    let workspace = Workspace::default();
    let matrix = format!(
        r#"
name = "samsum"
[dataset]
source = "{0}/samsum-test.jsonl"
samples = 32
[[model]]
name = "small"
id = "dummy:flan-t5-small"
tokenizer = "{0}/t5-tokenizer.json"
[factors]
batch_sizes = [1, 8]
[generation]
max_new_tokens = 4
[protocol]
runs = 2
warmup = 1
[[fleet.local]]
target = "one"
threads = 1
usd_per_hour = 0.06
[[fleet.local]]
target = "two"
threads = 2
usd_per_hour = 0.10
"#,
        data.display()
    );
    let path = workspace.write("samsum.toml", matrix);
    let path = path.to_str().expect("the path is UTF-8");
    let _ = workspace.run(&["run", path, "--output", "results.json"]).expect(0);
    let results = workspace.results("results.json");
    for entry in results["results"].as_array().unwrap() {
        let counted: u64 = entry["cells"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cell| cell["counted_samples"].as_u64().unwrap())
            .sum();
        assert_eq!(counted, 128, "32 dialogues x 2 batch sizes x 2 runs");
        assert_eq!(entry["engine"]["random_weights"], true);
        assert!(entry["cells"][0]["cut_inputs"].as_u64().unwrap() < 32);
    }
    assert_eq!(results["dataset"]["dialogues"], 819);
}
