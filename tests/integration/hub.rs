//! Models, adapters and datasets from a hub on loopback, and failures on the way.

use scenarios::generate::{TINY, output, tiny};
use scenarios::hub::{COMMIT, Fault, Hub};
use scenarios::{Finished, Workspace, generate, repository};

/// A hub with the built-in model as `org/tiny`.
fn hub() -> Hub {
    TINY.iter().fold(Hub::start(), |hub, file| hub.with("models/org/tiny", file, tiny(file)))
}

fn generated(
    workspace: &Workspace,
    hub: &Hub,
    model: &[&str],
    variables: &[(&str, &str)],
) -> Finished {
    let mut command = generate::command(workspace, model);
    Finished::of(hub.at(&mut command, workspace).envs(variables.iter().copied()))
}

fn count(hub: &Hub, what: &str) -> usize {
    hub.log().iter().filter(|line| line.contains(what)).count()
}

#[test]
fn a_model_of_the_hub_is_the_same_model() {
    let (workspace, hub) = (Workspace::default(), hub());
    let _ = generated(&workspace, &hub, &["builtin:tiny"], &[]).expect(0);
    let builtin = output(&workspace);
    let said = generated(&workspace, &hub, &["org/tiny"], &[]).expect(0);
    assert!(said.err.contains("fetched org/tiny/model.safetensors"), "{}", said.err);
    assert_eq!(output(&workspace), builtin);

    // In the layout of the hub's Python library.
    let snapshot = workspace.path("hf/hub/models--org--tiny/snapshots").join(COMMIT);
    let link = std::fs::read_link(snapshot.join("model.safetensors")).expect("it is a link");
    assert!(link.starts_with("../../blobs"), "{}", link.display());
    let reference = workspace.path("hf/hub/models--org--tiny/refs/main");
    assert_eq!(std::fs::read_to_string(reference).expect("it is there"), COMMIT);
}

#[test]
fn a_fetched_model_is_used_again_and_without_the_hub() {
    let (workspace, hub) = (Workspace::default(), hub());
    let _ = generated(&workspace, &hub, &["org/tiny"], &[]).expect(0);
    let (online, asked) = (output(&workspace), hub.log().len());
    let _ = generated(&workspace, &hub, &["org/tiny"], &[]).expect(0);
    assert_eq!(
        hub.log().len(),
        asked + 1,
        "only the commit of the branch is requested: {:?}",
        hub.log()
    );

    let pinned = format!("org/tiny@{COMMIT}");
    let _ = generated(&workspace, &hub, &[&pinned], &[]).expect(0);
    assert_eq!(hub.log().len(), asked + 1, "a cached commit needs no hub");

    let nobody = [("HF_HUB_OFFLINE", "1"), ("HF_ENDPOINT", "http://127.0.0.1:9")];
    let _ = generated(&workspace, &hub, &["org/tiny"], &nobody).expect(0);
    assert_eq!(output(&workspace), online);
    let said = generated(&workspace, &hub, &["org/other"], &nobody).expect(2);
    assert!(
        said.err.contains("org/other@main") && said.err.contains("HF_HUB_OFFLINE"),
        "{}",
        said.err
    );
}

#[test]
fn an_interrupted_download_resumes() {
    let file = "model.safetensors";
    let (workspace, hub) = (Workspace::default(), hub().failing(file, Fault::Cut(1_000_000)));
    let hub = hub.failing(file, Fault::Cut(500_000));
    let said = generated(&workspace, &hub, &["org/tiny"], &[]).expect(0);
    assert!(said.err.contains("cut off after"), "{}", said.err);
    let ranges: Vec<String> =
        hub.log().into_iter().filter(|line| line.contains("bytes=")).collect();
    assert!(ranges.len() >= 2, "{:?}", hub.log());
}

#[test]
fn a_busy_or_failing_hub_is_retried() {
    let hub = hub()
        .failing("revision/main", Fault::Status(429, Some(1)))
        .failing("config.json", Fault::Status(503, None))
        .failing("tokenizer.json", Fault::Status(500, None));
    let workspace = Workspace::default();
    let said = generated(&workspace, &hub, &["org/tiny"], &[]).expect(0);
    for words in ["429 Too Many Requests; trying again in 1.0 s", "503", "500"] {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    assert_eq!(count(&hub, "revision/main"), 2);
}

#[test]
fn a_retry_after_of_hours_is_an_error() {
    let hub = hub().failing("revision/main", Fault::Status(429, Some(7200)));
    let workspace = Workspace::default();
    let said = generated(&workspace, &hub, &["org/tiny"], &[]).expect(2);
    assert!(said.err.contains("asks to wait 7200 s"), "{}", said.err);
}

#[test]
fn a_wrong_hash_is_refused_and_both_are_reported() {
    let hub = hub().failing("model.safetensors", Fault::Wrong);
    let workspace = Workspace::default();
    let said = generated(&workspace, &hub, &["org/tiny"], &[]).expect(2);
    assert!(said.err.contains("org/tiny/model.safetensors is rejected"), "{}", said.err);
    let hashes: Vec<&str> =
        said.err.split([' ', ':', ',', '\n']).filter(|word| word.len() == 64).collect();
    assert!(hashes.len() == 2 && hashes[0] != hashes[1], "{}", said.err);
    // Nothing of it was kept: the next attempt gets the right one.
    let _ = generated(&workspace, &hub, &["org/tiny"], &[]).expect(0);
}

#[test]
fn a_modified_cached_file_is_fetched_again() {
    let (workspace, hub) = (Workspace::default(), hub());
    let _ = generated(&workspace, &hub, &["org/tiny"], &[]).expect(0);
    let file =
        workspace.path("hf/hub/models--org--tiny/snapshots").join(COMMIT).join("config.json");
    std::fs::write(&file, "{}").expect("it can be written");
    let said = generated(&workspace, &hub, &["org/tiny"], &[]).expect(0);
    assert!(said.err.contains("config.json in the cache has changed"), "{}", said.err);
}

#[test]
fn a_gated_model_names_the_variable_for_its_token() {
    let (workspace, hub) = (Workspace::default(), hub().gated("hf_secret"));
    let said = generated(&workspace, &hub, &["org/tiny"], &[]).expect(2);
    assert!(said.err.contains("401") && said.err.contains("HF_TOKEN"), "{}", said.err);
    let said = generated(&workspace, &hub, &["org/tiny"], &[("HF_TOKEN", "hf_other")]).expect(2);
    assert!(said.err.contains("HF_TOKEN may not read it"), "{}", said.err);
    assert!(!said.err.contains("hf_other"), "a token is never printed: {}", said.err);
    let _ = generated(&workspace, &hub, &["org/tiny"], &[("HF_TOKEN", "hf_secret")]).expect(0);
}

#[test]
fn an_unknown_name_is_reported() {
    let (workspace, hub) = (Workspace::default(), hub());
    let said = generated(&workspace, &hub, &["org/none"], &[]).expect(2);
    assert!(said.err.contains("has no model org/none"), "{}", said.err);
    let said = generated(&workspace, &hub, &["org/tiny@v9"], &[]).expect(2);
    assert!(said.err.contains("has no revision `v9`"), "{}", said.err);
}

#[test]
fn weights_that_can_run_code_are_not_fetched() {
    let hub = Hub::start().with("models/org/old", "config.json", "{}").with(
        "models/org/old",
        "pytorch_model.bin",
        vec![0; 2000],
    );
    let workspace = Workspace::default();
    let said = generated(&workspace, &hub, &["org/old"], &[]).expect(2);
    assert!(said.err.contains("pytorch_model.bin"), "{}", said.err);
    assert_eq!(count(&hub, "resolve"), 0);
}

#[test]
fn a_slow_hub_is_waited_for() {
    let hub = hub().failing("config.json", Fault::Slow);
    let _ = generated(&Workspace::default(), &hub, &["org/tiny"], &[]).expect(0);
}

#[test]
fn the_cache_is_kept_within_its_limit() {
    let hub = TINY.iter().fold(hub(), |hub, file| hub.with("models/org/copy", file, tiny(file)));
    let workspace = Workspace::default();
    let small = [("FLEETMARK_CACHE_GB", "0")];
    let _ = generated(&workspace, &hub, &["org/tiny"], &small).expect(0);
    let said = generated(&workspace, &hub, &["org/copy"], &small).expect(0);
    assert!(said.err.contains("removed") && said.err.contains("models--org--tiny"), "{}", said.err);
    let old = workspace.path("hf/hub/models--org--tiny/snapshots").join(COMMIT);
    assert!(!old.join("model.safetensors").exists());
}

#[test]
fn an_adapter_of_the_hub_is_the_same_adapter() {
    let place = repository("agent/tests/parity/gated-untied");
    let read = |file: &str| std::fs::read(place.join("adapters/qv-r8").join(file)).unwrap();
    // A checkpoint beside the adapter, which must not be fetched.
    let hub = ["adapter_config.json", "adapter_model.safetensors"].iter().fold(
        Hub::start().with("models/org/lora", "checkpoint-9/adapter_config.json", "{}"),
        |hub, file| hub.with("models/org/lora", file, read(file)),
    );
    let workspace = Workspace::default();
    let local = place.join("adapters/qv-r8");
    let mut written = Vec::new();
    for adapter in [local.to_str().expect("the path is UTF-8"), "org/lora", "hf://org/lora@main"] {
        let mut command = generate::with_adapter(&workspace, adapter);
        let said = Finished::of(hub.at(&mut command, &workspace)).expect(0);
        let is_noted = said.err.contains(&format!("resolved to commit {COMMIT}"));
        assert_eq!(is_noted, adapter.contains("org"), "{}", said.err);
        written.push(output(&workspace));
    }
    assert!(written[0] == written[1] && written[0] == written[2]);
    assert_eq!(count(&hub, "checkpoint"), 0);
}

const MATRIX: &str = r#"
name = "from-the-hub"
[dataset]
source = "builtin:dialogues"
samples = 4
[[model]]
name = "tiny"
id = "org/tiny"
[protocol]
runs = 1
warmup = 0
[[fleet.local]]
target = "here"
usd_per_hour = 0.1
"#;

#[test]
fn a_campaign_records_the_commit_of_a_branch() {
    let workspace = Workspace::default();
    let hub = hub().failing("model.safetensors", Fault::Cut(2_000_000));
    workspace.write("matrix.toml", MATRIX);
    let mut command = workspace.controller(&["run", "matrix.toml", "--output", "results.json"]);
    let _ = Finished::of(hub.at(&mut command, &workspace)).expect(0);
    let results = workspace.results("results.json");
    let engine = &results["results"][0]["engine"];
    assert_eq!(engine["revision"], COMMIT);
    assert_eq!(results["campaign"]["state"], "complete");
}

/// A matrix with dialogues from the hub and the built-in model.
fn with_dataset(source: &str, split: &str) -> String {
    MATRIX
        .replace("\"builtin:dialogues\"", &format!("\"{source}\"\n{split}"))
        .replace("org/tiny", "builtin:tiny")
}

const CSV: &str =
    "id,dialogue,summary\n1,\"A: one\nB: two\",short\n2,A: three,short\n3,A: four,\n4,A: five,x\n";

#[test]
fn a_dataset_of_the_hub_is_read_by_split_and_its_commit_recorded() {
    let lines = |range: std::ops::Range<u32>| {
        let line = |n| format!("{{\"id\": \"v{n}\", \"dialogue\": \"A: {n}\"}}\n");
        range.map(line).collect::<String>()
    };
    let hub = Hub::start()
        .with("datasets/org/chats", "README.md", "chats")
        .with("datasets/org/chats", "train.csv", "never read")
        .with("datasets/org/chats", "test.csv", CSV)
        .with("datasets/org/chats", "data/validation-00000-of-00002.jsonl", lines(0..3))
        .with("datasets/org/chats", "data/validation-00001-of-00002.jsonl", lines(3..5));
    let workspace = Workspace::default();
    let run = |dataset: &str, split: &str| {
        workspace.write("matrix.toml", with_dataset(dataset, split));
        let mut command = workspace.controller(&["run", "matrix.toml", "--output", "results.json"]);
        Finished::of(hub.at(&mut command, &workspace))
    };
    let _ = run("hf://org/chats", "split = \"test\"").expect(0);
    let dataset = workspace.results("results.json")["dataset"].clone();
    assert_eq!(dataset["revision"], COMMIT);
    assert_eq!((dataset["dialogues"].as_u64(), dataset["references"].as_u64()), (Some(4), Some(3)));
    let _ = run("hf://org/chats@main", "split = \"validation\"").expect(0);
    assert_eq!(workspace.results("results.json")["dataset"]["dialogues"], 5, "of both shards");
    let _ = run("hf://org/chats/test.csv", "").expect(0);

    let said = run("hf://org/chats", "").expect(2);
    assert!(said.err.contains("one of train, validation, test"), "{}", said.err);
    let said = run("hf://org/none", "split = \"test\"").expect(2);
    assert!(said.err.contains("has no dataset org/none"), "{}", said.err);
    let said = run("hf://org/chats", "split = \"holdout\"").expect(2);
    assert!(said.err.contains("no split \"holdout\""), "{}", said.err);
}

#[test]
fn an_agent_that_fetches_for_longer_than_fleet_wait_still_joins() {
    let weights = "model.safetensors";
    let hub = hub()
        .failing(weights, Fault::Status(503, None))
        .failing(weights, Fault::Status(503, Some(3)));
    let workspace = Workspace::default();
    let matrix = MATRIX.replace("[[fleet.local]]", "[fleet]\nwait = \"2s\"\n[[fleet.local]]");
    workspace.write("matrix.toml", matrix);
    let mut command = workspace.controller(&["run", "matrix.toml", "--output", "results.json"]);
    let _ = Finished::of(hub.at(&mut command, &workspace)).expect(0);
}
