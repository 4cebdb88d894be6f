//! BART and PEGASUS against PyTorch: tokens of every setting of generation, with and without
//! adapters, and teacher-forced logits of every dtype. `tools/make_families.py` made the cases, and says how.

use super::fixture::{Batches, checkpoint, decode_ids, open, spec};
use super::generated::{Fixture, Loader};
use super::logits::Distance;
use candle_core::{Device, safetensors};
use engine::files::{Adapter, Blob, Weights};
use generation::compute::Compute;
use generation::generation_config::GenerationConfig;
use kernels::Dispatch;
use model::engine::{Dtype, EngineSpec};
use seq2seq::candle::CandleT5;
use seq2seq::checkpoint::Checkpoint;
use seq2seq::config::Config;
use seq2seq::cpu::CpuModel;
use serde_json::Map;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

pub(super) const MODELS: [&str; 2] = ["bart", "pegasus"];
const ONE_BATCH: Batches = Batches { size: 16, left: 0 };

pub(super) fn committed(model: &str) -> Fixture<Seq2Seq> {
    Fixture::committed("families", model)
}

/// BART and PEGASUS.
#[derive(Debug)]
pub(super) struct Seq2Seq;

impl Loader for Seq2Seq {
    type Model = CpuModel;

    fn tensors(folder: &Path) -> ::checkpoint::Tensors {
        checkpoint(folder).tensors
    }

    fn load(folder: &Path, adapter: Option<Adapter>, dtype: Dtype) -> CpuModel {
        let mut checkpoint = checkpoint(folder);
        if let Some(files) = adapter {
            checkpoint = checkpoint.adapt(files, "base").unwrap();
        }
        CpuModel::load(&checkpoint, dtype, Dispatch::best(), 2).unwrap()
    }

    fn generation(text: &[u8], vocabulary: usize) -> GenerationConfig {
        GenerationConfig::parse(text, "generation_config.json", vocabulary).unwrap()
    }
}

#[test]
fn every_search_and_adapter_is_exact_at_every_batch_size() {
    for model in MODELS {
        committed(model).assert_all_exact();
    }
}

mod lm {
    use super::{Fixture, Seq2Seq};

    #[test]
    #[ignore = "needs FLEETMARK_TEST_LM, a folder with a checkpoint of BART and its cases"]
    fn searches_of_a_larger_bart_are_exact_at_every_batch_size() {
        Fixture::<Seq2Seq>::given("bart").assert_all_exact();
    }
}

/// The file names the decoder's input.
pub(super) fn distance(fixture: &Fixture<Seq2Seq>, compute: &mut dyn Compute) -> Distance {
    Distance::of(compute, &fixture.forced("decoder_ids", |_, decoder_ids| decoder_ids.to_vec()))
}

/// About twice what was measured with AVX-512, in standard deviations of the logits: the largest
/// distance, and the mean one. Rows as narrow as these, with random weights, have int8 at its
/// worst.
#[test]
fn logits_of_every_dtype_lie_within_their_tolerance() {
    for model in MODELS {
        let fixture = committed(model);
        for (dtype, largest, mean) in [
            (Dtype::F32, 5e-5, 4e-6),
            (Dtype::F16, 2.6e-2, 2e-3),
            (Dtype::Bf16, 0.7, 5e-2),
            (Dtype::Int8, 3.0, 0.2),
        ] {
            let found = distance(&fixture, &mut fixture.load(dtype));
            println!("{model} {dtype}: largest {:.1e}, mean {:.1e}", found.largest, found.mean);
            assert!(found.largest <= largest && found.mean <= mean, "{model} {dtype}: {found:?}");
        }
    }
}

/// Other dtypes have tokens of their own, but a row's do not depend on its neighbors either.
#[test]
fn tokens_of_every_dtype_do_not_depend_on_the_batch() {
    for model in MODELS {
        let fixture = committed(model);
        let cases = fixture.greedy_cases();
        for dtype in [Dtype::F16, Dtype::Bf16, Dtype::Int8] {
            let mut compute = fixture.load(dtype);
            let decode = |compute: &mut CpuModel, size: usize| -> Vec<Vec<u32>> {
                fixture.decode(compute, &cases, Batches { size, left: 0 })
            };
            let alone = decode(&mut compute, 1);
            for size in [4, 16] {
                assert_eq!(decode(&mut compute, size), alone, "{model} {dtype}, batch size {size}");
                let batches = Batches { size, left: 1 };
                let (found, accepted) = fixture.decode_drafted(&mut compute, &cases, batches, 7);
                assert_eq!(found, alone, "{model} {dtype}, batch size {size} with drafts");
                assert!(accepted > 0);
            }
        }
    }
}

#[test]
fn rows_that_join_a_running_batch_are_what_they_are_alone() {
    for model in MODELS {
        let fixture = committed(model);
        let cases = fixture.greedy_cases();
        let start = fixture.generation(&Map::new()).start_id;
        let mut compute = fixture.load(Dtype::F32);
        let (first, second) = (&cases[9].input_ids, &cases[4].input_ids);
        compute.encode(&[second], 4).unwrap();
        let alone = compute.step_logits(&[start]).unwrap();
        compute.encode(&[first], 8).unwrap();
        compute.step_logits(&[start]).unwrap();
        compute.add(&[second], 4).unwrap();
        let both = compute.step_logits(&[5, start]).unwrap();
        assert_eq!(both[alone.len()..], alone);
    }
}

/// A committed model takes 96 tokens of a prompt and of a summary, and refuses more.
pub(super) fn assert_positions_are_limited(model: &str, compute: &mut impl Compute) {
    let error = compute.encode(&[&[5; 97]], 8).unwrap_err();
    let expected =
        format!("97 tokens: this {model} has 96 positions for a prompt and as many for a summary");
    assert_eq!(error.detail, expected);
    assert!(compute.encode(&[&[5; 4]], 97).is_err());
    assert!(compute.encode(&[&[5; 96]], 96).is_ok());
}

#[test]
fn more_tokens_than_there_are_positions_are_refused() {
    for model in MODELS {
        assert_positions_are_limited(model, &mut committed(model).load(Dtype::F32));
    }
}

#[test]
fn candle_refuses_them_by_name() {
    let checkpoint = checkpoint(&committed("bart").folder);
    let error = CandleT5::load(&checkpoint, Device::Cpu, Dtype::F32).unwrap_err().to_string();
    assert_eq!(error, "models of the family bart are supported on the CPU only: use device cpu");
}

type Tensors = Vec<(String, candle_core::Tensor)>;

/// The checkpoint of a model after `change` of its tensors, as the engine decodes from it.
fn changed(model: &str, change: &dyn Fn(&mut Tensors)) -> Result<CpuModel, String> {
    let fixture = committed(model);
    let tensors =
        safetensors::load(fixture.folder.join("model.safetensors"), &Device::Cpu).unwrap();
    let mut tensors: Vec<_> = tensors.into_iter().collect();
    change(&mut tensors);
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("model.safetensors");
    safetensors::save(&tensors.into_iter().collect(), &path).unwrap();
    let config = Config::parse(&fs::read(fixture.folder.join("config.json")).unwrap()).unwrap();
    let weights = Weights::Stored(vec![Blob::open(&path).unwrap()]);
    let checkpoint = Checkpoint::open(&config, weights).map_err(|error| error.to_string())?;
    CpuModel::load(&checkpoint, Dtype::F32, Dispatch::best(), 1).map_err(|error| error.to_string())
}

#[test]
fn checkpoints_are_read_as_they_are_found() {
    let fixture = committed("bart");
    let cases = fixture.greedy_cases();
    let assert_exact = |mut compute: CpuModel| {
        for (case, ids) in cases.iter().zip(fixture.decode(&mut compute, &cases, ONE_BATCH)) {
            assert_eq!(ids, case.output_ids, "{}", case.id);
        }
    };
    let strip = |tensors: &mut Tensors| {
        for (name, _) in tensors {
            *name = name.trim_start_matches("model.").to_owned();
        }
    };
    assert_exact(changed("bart", &strip).unwrap());
    // Tied copies, and a buffer of old files.
    let copies = |tensors: &mut Tensors| {
        let shared = tensors.iter().find(|(name, _)| name == "model.shared.weight").unwrap();
        let shared = shared.1.clone();
        for name in ["model.encoder.embed_tokens", "model.decoder.embed_tokens", "lm_head"] {
            tensors.push((format!("{name}.weight"), shared.clone()));
        }
        tensors.push(("model.encoder.version".to_owned(), shared));
    };
    assert_exact(changed("bart", &copies).unwrap());
    let only_head = |tensors: &mut Tensors| {
        let shared = tensors.iter_mut().find(|(name, _)| name == "model.shared.weight").unwrap();
        shared.0 = "lm_head.weight".to_owned();
    };
    assert_exact(changed("bart", &only_head).unwrap());
    let unknown = |tensors: &mut Tensors| {
        let extra = tensors[0].1.clone();
        tensors.push(("classification_head.dense.weight".to_owned(), extra));
    };
    let error = changed("bart", &unknown).unwrap_err();
    assert!(error.contains("unexpected tensor classification_head.dense.weight"), "{error}");
}

/// transformers ignores a bias of the logits that a file lacks, and takes zeros.
#[test]
fn a_missing_bias_of_the_logits_is_zero() {
    let without =
        changed("bart", &|tensors| tensors.retain(|(name, _)| name != "final_logits_bias"));
    let zeros = changed("bart", &|tensors| {
        let bias = tensors.iter_mut().find(|(name, _)| name == "final_logits_bias").unwrap();
        bias.1 = bias.1.zeros_like().unwrap();
    });
    let fixture = committed("bart");
    let cases = fixture.greedy_cases();
    let [without, zeros] = [without, zeros].map(|compute| {
        let mut compute = compute.unwrap();
        fixture.decode(&mut compute, &cases, ONE_BATCH)
    });
    assert_eq!(without, zeros);
    assert_ne!(zeros, fixture.decode(&mut fixture.load(Dtype::F32), &cases, ONE_BATCH));
}

/// As transformers saves them.
#[test]
fn positions_of_pegasus_are_read_where_the_file_has_them() {
    let fixture = committed("pegasus");
    let cases = fixture.greedy_cases();
    let with_table = |factor: f64| {
        let mut compute = changed("pegasus", &|tensors| {
            let table = seq2seq::position::sinusoids(96, 32);
            let table = candle_core::Tensor::from_vec(table, (96, 32), &Device::Cpu).unwrap();
            for stack in ["encoder", "decoder"] {
                let name = format!("model.{stack}.embed_positions.weight");
                tensors.push((name, (&table * factor).unwrap()));
            }
        })
        .unwrap();
        fixture.decode(&mut compute, &cases, ONE_BATCH)
    };
    let expected: Vec<Vec<u32>> = cases.iter().map(|case| case.output_ids.clone()).collect();
    assert_eq!(with_table(1.0), expected);
    assert_ne!(with_table(-1.0), expected);
}

/// A tied head and a norm after each sum make random weights repeat one token easily.
#[test]
fn summaries_of_a_dummy_vary() {
    let spec = EngineSpec { dtype: Dtype::Int8, ..spec("dummy:bart-base") };
    let mut engine = open(&spec).unwrap().load(2).unwrap();
    let prompt = |seed: u32| -> Vec<u32> {
        let words = (1..60_u32).map(|place| 5 + (place * 7919 + seed * 104_729) % 50_000);
        [0].into_iter().chain(words).chain([2]).collect()
    };
    let outputs = decode_ids(&mut engine, &[prompt(1), prompt(2), prompt(3)], 16);
    for output in &outputs {
        let distinct: BTreeSet<&u32> = output.iter().collect();
        assert!(distinct.len() >= 4, "{output:?}");
    }
    assert!(outputs[0] != outputs[1] && outputs[1] != outputs[2]);
}

/// The whole engine: found by its folder, recognized by its config.
#[test]
fn the_engine_opens_them_and_cuts_prompts_to_their_positions() {
    for model in MODELS {
        let spec = spec(committed(model).folder.to_str().unwrap());
        let engine = open(&spec).unwrap().load(1).unwrap();
        let prompt = engine.prompt_of_ids(vec![5; 200], 512).unwrap();
        assert_eq!((prompt.ids.len(), prompt.cut), (96, 104));
        let end = if model == "bart" { 2 } else { 1 };
        assert_eq!(prompt.ids.last(), Some(&end));
        assert_eq!(engine.prompt_of_ids(vec![5; 200], 64).unwrap().ids.len(), 64);
    }
}
