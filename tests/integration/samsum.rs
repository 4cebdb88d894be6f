//! SAMSum dialogues through the shape of flan-t5-small with random weights.

use scenarios::{Workspace, processor};
use std::path::PathBuf;

/// The folder with `samsum-test.jsonl` and `t5-tokenizer.json`.
#[expect(clippy::disallowed_methods, reason = "the data set is not part of the repository")]
fn data() -> PathBuf {
    std::env::var_os("FLEETMARK_TEST_SAMSUM").expect("FLEETMARK_TEST_SAMSUM names a folder").into()
}

#[test]
#[ignore = "needs SAMSum: FLEETMARK_TEST_SAMSUM=FOLDER cargo xtask ignored samsum:: --test integration"]
fn all_samsum_dialogues_on_two_targets_are_counted() {
    let _processor = processor();
    let data = data();
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
