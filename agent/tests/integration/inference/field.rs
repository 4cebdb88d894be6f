//! Checkpoints, archives and adapters as they were reported from the field.

use super::fixture::{Case, MAX_NEW, adapted_spec, cases, decode_ids, folder, open, spec};
use engine::Engine;
use model::engine::AdapterMode;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder with `checkpoints/` and `adapters/`.
#[expect(clippy::disallowed_methods, reason = "the inputs are not part of the repository")]
fn field() -> PathBuf {
    std::env::var_os("FLEETMARK_TEST_CASES").expect("FLEETMARK_TEST_CASES names a folder").into()
}

#[derive(Deserialize)]
struct Expected {
    input_ids: Vec<u32>,
    output_ids: Vec<u32>,
}

fn expected(checkpoint: &Path) -> Vec<Expected> {
    let text = fs::read_to_string(checkpoint.join("expected.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
#[ignore = "needs ../shared/cases: FLEETMARK_TEST_CASES=FOLDER cargo xtask ignored field:: --test integration"]
fn contradictory_checkpoints_give_the_tokens_of_pytorch() {
    for name in
        ["shared-and-other-encoder", "flan-2022-config", "cfg-flan-xl-wrong", "tied-only-head"]
    {
        let place = field().join("checkpoints").join(name);
        let rows = expected(&place);
        assert!(rows.len() >= 10, "{name} has {} rows", rows.len());
        let mut engine = super::fixture::load(&place, 1);
        let prompts: Vec<Vec<u32>> = rows.iter().map(|row| row.input_ids.clone()).collect();
        for (row, ids) in rows.iter().zip(decode_ids(&mut engine, &prompts, MAX_NEW)) {
            assert_eq!(ids, row.output_ids, "{name}, {:?}", row.input_ids);
        }
    }
}

#[test]
#[ignore = "needs ../shared/cases: FLEETMARK_TEST_CASES=FOLDER cargo xtask ignored field:: --test integration"]
fn settings_of_generation_are_honored() {
    for (name, setting) in
        [("g-min", "min_new_tokens = 39"), ("g-norep", "no_repeat_ngram_size = 2")]
    {
        let place = field().join("checkpoints").join(name);
        let decoding = open(&spec(place.to_str().unwrap())).unwrap().facts().decoding.unwrap();
        assert!(decoding.to_string().contains(setting), "{name}: {decoding}");
    }
}

#[test]
#[ignore = "needs ../shared/cases: FLEETMARK_TEST_CASES=FOLDER cargo xtask ignored field:: --test integration"]
fn pointers_are_named_and_shards_are_read() {
    let checkpoints = field().join("checkpoints");
    let weights = open(&spec(checkpoints.join("lfs-weights").to_str().unwrap())).unwrap_err();
    assert!(weights.to_string().contains("model.safetensors is a Git LFS pointer"), "{weights}");
    let adapter = checkpoints.join("lfs-adapter");
    let adapter = adapted_spec("gated-untied", adapter.to_str().unwrap(), AdapterMode::Merged);
    let adapter = open(&adapter).unwrap_err().to_string();
    assert!(adapter.contains("adapter_model.safetensors is a Git LFS pointer"), "{adapter}");
    let mut sharded = super::fixture::load(&checkpoints.join("sharded-odd"), 1);
    let cases: Vec<Case> = cases("gated-untied", None);
    let prompts: Vec<Vec<u32>> = cases.iter().map(|case| case.input_ids.clone()).collect();
    for (case, ids) in cases.iter().zip(decode_ids(&mut sharded, &prompts, MAX_NEW)) {
        assert_eq!(ids, case.output_ids);
    }
}

#[test]
#[ignore = "needs ../shared/cases: FLEETMARK_TEST_CASES=FOLDER cargo xtask ignored field:: --test integration"]
fn rare_adapters_are_taken() {
    for (base, adapter) in [
        ("gated-untied", "adapters/adapter-deep"),
        ("gated-untied", "archives/adapter-deep.tar.gz"),
        ("relu-tied", "adapters/lora-head-tied"),
        ("relu-tied", "adapters/lora-lookahead"),
    ] {
        let path = field().join(adapter);
        let prompts: Vec<Vec<u32>> =
            cases(base, None).into_iter().map(|case| case.input_ids).collect();
        let [merged, unmerged] = [AdapterMode::Merged, AdapterMode::Unmerged].map(|mode| {
            let spec = adapted_spec(base, path.to_str().unwrap(), mode);
            let mut engine = open(&spec).unwrap().load(1).unwrap();
            assert!(engine.facts().adapter_sha256.is_some());
            decode_ids(&mut engine, &prompts, MAX_NEW)
        });
        assert_eq!(merged, unmerged, "{adapter}");
        let mut bare = super::fixture::load(&folder(base), 1);
        assert_ne!(merged, decode_ids(&mut bare, &prompts, MAX_NEW), "{adapter}");
    }
}
