//! Token for token as PyTorch, whatever shares the batch.

use super::fixture::{Case, MAX_NEW, MODELS, adapted, cases, decode, folder, load, open, spec};
use generation::generate::StopRule;
use generation::{Input, LanguageModel};
use model::engine::{Dtype, EngineSpec};
use model::generation::Settings;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use stopwatch::Stopwatch;

/// File order, and two others.
fn orders(cases: &[Case]) -> Vec<Vec<Case>> {
    let shuffled = [1, 2].map(|seed| {
        let mut cases = cases.to_vec();
        cases.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        cases
    });
    [vec![cases.to_vec()], shuffled.to_vec()].concat()
}

fn assert_exact(engine: &mut LanguageModel, cases: &[Case], batch_size: usize) {
    for (case, ids) in cases.iter().zip(decode(engine, cases, batch_size)) {
        assert_eq!(ids, case.output_ids, "{} at batch size {batch_size}", case.id);
        assert_eq!(ids.last() == Some(&1), case.eos, "{}", case.id);
    }
}

#[test]
fn every_case_is_exact_at_every_batch_size_in_any_order() {
    for model in MODELS {
        let mut engine = load(&folder(model), 1);
        let cases = cases(model, None);
        assert!(cases.len() >= 20, "{model} has {} cases", cases.len());
        for cases in orders(&cases) {
            for batch_size in [1, 3, 4, 8, 16] {
                assert_exact(&mut engine, &cases, batch_size);
            }
        }
    }
}

#[test]
fn every_adapter_is_exact_merged_from_folders_and_archives() {
    for (model, name, path) in [
        ("gated-untied", "qv-r8", "adapters/qv-r8"),
        ("gated-untied", "qv-r8", "adapters/qv-r8.model.tar.gz"),
        ("gated-untied", "rslora-all", "adapters/rslora-all"),
        ("gated-untied", "patterns-head", "adapters/patterns-head"),
        ("relu-tied", "qv-r8", "adapters/qv-r8"),
        ("relu-tied", "qv-r8", "adapters/qv-r8.model.tar.gz"),
        ("relu-tied", "rslora-all", "adapters/rslora-all"),
    ] {
        let mut engine = adapted(model, path).unwrap();
        let cases = cases(model, Some(name));
        assert!(cases.len() >= 15, "{model} {name} has {} cases", cases.len());
        for cases in orders(&cases) {
            for batch_size in [1, 3, 8, 16] {
                assert_exact(&mut engine, &cases, batch_size);
            }
        }
    }
}

/// Other dtypes have tokens of their own, but a row's do not depend on its neighbors either.
#[test]
fn tokens_of_every_dtype_do_not_depend_on_the_batch() {
    for model in MODELS {
        for dtype in [Dtype::F16, Dtype::Bf16, Dtype::Int8] {
            let spec = EngineSpec { dtype, ..spec(folder(model).to_str().unwrap()) };
            let mut engine = open(&spec).unwrap().load(2).unwrap();
            let cases = cases(model, None);
            let alone = decode(&mut engine, &cases, 1);
            let alone: HashMap<&str, Vec<u32>> =
                cases.iter().map(|case| case.id.as_str()).zip(alone).collect();
            for cases in orders(&cases) {
                for batch_size in [3, 8, 16] {
                    let found = decode(&mut engine, &cases, batch_size);
                    for (case, ids) in cases.iter().zip(found) {
                        let id = case.id.as_str();
                        assert_eq!(ids, alone[id], "{model} {dtype} {id}, batch size {batch_size}");
                    }
                }
            }
        }
    }
}

/// In every dtype, as the kernels of each round in their own way.
#[test]
fn drafts_from_the_dialogue_change_no_token() {
    for model in MODELS {
        for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Int8] {
            let spec = EngineSpec { dtype, ..spec(folder(model).to_str().unwrap()) };
            let mut engine = open(&spec).unwrap().load(2).unwrap();
            let cases = cases(model, None);
            let alone = decode(&mut engine, &cases, 1);
            let settings =
                |tokens| Settings { prompt_lookup_num_tokens: Some(tokens), ..Settings::default() };
            for (batch_size, tokens) in [(1, 1), (1, 16), (4, 8), (16, 8)] {
                let decoding = engine.decoding(&settings(tokens)).unwrap();
                let (mut found, mut accepted) = (Vec::new(), 0);
                for batch in cases.chunks(batch_size) {
                    let batch: Vec<Input> = batch
                        .iter()
                        .map(|case| Input {
                            prompt: engine.prompt_of_ids(case.input_ids.clone(), 512).unwrap(),
                            stop_rule: StopRule::EosOr(MAX_NEW),
                            decoding: Arc::clone(&decoding),
                        })
                        .collect();
                    for row in engine.decode(&batch, &Stopwatch::synthetic()).unwrap() {
                        let row = row.unwrap();
                        accepted += row.drafts.unwrap().accepted;
                        found.push(row.output_ids);
                    }
                }
                assert_eq!(found, alone, "{model} {dtype}, {batch_size} rows, drafts of {tokens}");
                assert!(accepted > 0, "{model} {dtype}");
            }
            let beams = Settings { num_beams: Some(2), ..settings(3) };
            let error = engine.decoding(&beams).unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.starts_with("prompt_lookup_num_tokens with num_beams = 2"), "{cause}");
        }
    }
}

#[test]
fn two_threads_give_the_same_tokens() {
    for model in MODELS {
        assert_exact(&mut load(&folder(model), 2), &cases(model, None), 8);
    }
}

#[test]
fn a_config_as_transformers_5_saves_it_changes_nothing() {
    for model in MODELS {
        let copy = tempfile::tempdir().unwrap();
        let config = fs::read_to_string(folder(model).join("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
        config["scale_decoder_outputs"] = config["tie_word_embeddings"].clone();
        config["tie_word_embeddings"] = true.into();
        config["eos_token_id"] = serde_json::json!([1]);
        fs::write(copy.path().join("config.json"), config.to_string()).unwrap();
        let weights = "model.safetensors";
        fs::copy(folder(model).join(weights), copy.path().join(weights)).unwrap();
        assert_exact(&mut load(copy.path(), 2), &cases(model, None), 4);
    }
}
