//! Beams, penalties and conditions: token for token as PyTorch, whatever shares the batch.
//! `tools/make_searches.py` wrote the cases.

use super::fixture::{Batches, checkpoint, folder, run, spec};
use agent::engines;
use generation::compute::Compute;
use generation::generate::{Decoded, RowRequest, StopRule};
use generation::generation_config::GenerationConfig;
use kernels::Dispatch;
use model::engine::Dtype;
use model::generation::{Decoding, EarlyStopping, Generation, Sampling, Settings, Stop};
use model::sample::Finish;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seq2seq::candle::CandleT5;
use seq2seq::cpu::CpuModel;
use seq2seq::device::Device;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use stopwatch::Stopwatch;

/// What PyTorch generated.
#[derive(Debug, Clone, Deserialize)]
struct Search {
    model: String,
    eos: Vec<u32>,
    generation: Value,
    input_ids: Vec<u32>,
    output_ids: Vec<u32>,
    score: Option<f32>,
}

impl Search {
    /// As if a model's file asked for it.
    fn decoding(&self) -> Decoding {
        let mut file = self.generation.clone();
        file["eos_token_id"] = self.eos.clone().into();
        if file.get("decoder_start_token_id").is_none() {
            file["decoder_start_token_id"] = 0.into();
        }
        if file.get("max_length").is_none() && file.get("max_new_tokens").is_none() {
            file["max_new_tokens"] = 40.into();
        }
        let text = file.to_string();
        let file = GenerationConfig::parse(text.as_bytes(), "generation_config.json", 320).unwrap();
        file.decoding(&Settings::default()).unwrap()
    }

    fn request(&self) -> RowRequest {
        let decoding = self.decoding();
        let limit = usize::try_from(decoding.max_new_tokens).unwrap();
        RowRequest {
            ids: self.input_ids.clone(),
            stop_rule: StopRule::EosOr(limit),
            decoding: Arc::new(decoding),
        }
    }
}

/// By model and ending tokens, which all rows of a batch share.
fn searches() -> BTreeMap<(String, Vec<u32>), Vec<Search>> {
    let text = fs::read_to_string(folder("searches.jsonl")).unwrap();
    let mut searches: BTreeMap<_, Vec<Search>> = BTreeMap::new();
    for line in text.lines() {
        let search: Search = serde_json::from_str(line).unwrap();
        let key = (search.model.clone(), search.eos.clone());
        searches.entry(key).or_default().push(search);
    }
    searches
}

fn cpu(model: &str, dtype: Dtype) -> CpuModel {
    CpuModel::load(&checkpoint(&folder(model)), dtype, Dispatch::best(), 2).unwrap()
}

fn decode(
    model: &mut dyn Compute,
    searches: &[Search],
    batch_size: usize,
    left: usize,
) -> Vec<Decoded> {
    let requests: Vec<RowRequest> = searches.iter().map(Search::request).collect();
    run(model, &requests, &searches[0].eos, Batches { size: batch_size, left })
}

fn assert_exact(found: &[Decoded], searches: &[Search], how: &str) {
    for (search, row) in searches.iter().zip(found) {
        let Search { model, generation, input_ids, .. } = search;
        assert_eq!(row.ids, search.output_ids, "{model}, {generation}, {input_ids:?}, {how}");
        let ends = row.ids.last().is_some_and(|id| search.eos.contains(id));
        assert_eq!(row.finish == Finish::Eos, ends);
        match (row.score, search.score) {
            (Some(score), Some(expected)) => assert!(
                (score - expected).abs() < 1e-4 * expected.abs().max(1.0),
                "{model}, {generation}, {input_ids:?}: {score} instead of {expected}"
            ),
            scores => assert_eq!(scores, (None, None)),
        }
    }
}

#[test]
fn every_search_is_exact_at_every_batch_size_with_any_other() {
    for ((model, eos), mut searches) in searches() {
        assert!(searches.len() >= 8, "{model} {eos:?} has {} cases", searches.len());
        let mut compute = cpu(&model, Dtype::F32);
        for seed in 0..3 {
            for (batch_size, left) in [(1, 0), (4, 0), (16, 0), (3, 2), (8, 5)] {
                let found = decode(&mut compute, &searches, batch_size, left);
                assert_exact(&found, &searches, &format!("{batch_size} rows, {left} left"));
            }
            searches.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        }
    }
}

/// The implementation that other devices use.
#[test]
fn candle_searches_like_the_kernels() {
    for ((model, _), searches) in searches() {
        let device = candle_core::Device::Cpu;
        let mut compute = CandleT5::load(&checkpoint(&folder(&model)), device, Dtype::F32).unwrap();
        let found = decode(&mut compute, &searches, 7, 0);
        assert_exact(&found, &searches, "candle");
    }
}

/// A batch of plain and other rows gives each what it gets alone, in every dtype.
#[test]
fn neighbors_change_nothing_in_any_dtype() {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    for dtype in [Dtype::F16, Dtype::Bf16, Dtype::Int8] {
        for ((model, eos), mut searches) in searches() {
            searches.shuffle(&mut random);
            for search in searches.iter_mut().step_by(4) {
                search.generation = Value::Object(serde_json::Map::new());
            }
            let mut compute = cpu(&model, dtype);
            let alone = decode(&mut compute, &searches, 1, 0);
            for _ in 0..3 {
                let (size, left) = (random.random_range(2..17), random.random_range(0..4));
                let found = decode(&mut compute, &searches, size, left);
                assert_eq!(found, alone, "{model} {eos:?} {dtype}, {size} rows, {left} left");
            }
        }
    }
}

/// The searches as requests that sample, each with a seed of its own.
fn sampled(searches: &[Search]) -> Vec<RowRequest> {
    let sampling = |seed| Sampling { temperature: 1.5, top_k: 40, top_p: 0.95, seed };
    let request = |(seed, search): (u64, &Search)| RowRequest {
        ids: search.input_ids.clone(),
        stop_rule: StopRule::EosOr(40),
        decoding: Arc::new(Decoding { sampling: Some(sampling(seed)), ..Decoding::default() }),
    };
    (0..).zip(searches).map(request).collect()
}

#[test]
fn sampled_tokens_depend_on_the_seed_and_the_prompt_alone() {
    for ((model, eos), searches) in searches() {
        let mut requests = sampled(&searches);
        let mut compute = cpu(&model, Dtype::F32);
        let mut decode = |requests: &[RowRequest], size, left| {
            run(&mut compute, requests, &eos, Batches { size, left })
        };
        let alone = decode(&requests, 1, 0);
        for (size, left) in [(4, 0), (16, 0), (3, 2), (8, 5)] {
            assert_eq!(decode(&requests, size, left), alone, "{size} rows, {left} left");
        }
        // Beside greedy rows and beams, in another order.
        requests.reverse();
        requests.extend(searches.iter().map(Search::request));
        let mut mixed = decode(&requests, 7, 3);
        mixed.truncate(alone.len());
        mixed.reverse();
        assert_eq!(mixed, alone);
        assert!(alone.iter().all(|row| row.first_token_ns.is_some() && row.score.is_none()));

        let greedy: Vec<RowRequest> = sampled(&searches)
            .into_iter()
            .map(|request| RowRequest { decoding: Arc::default(), ..request })
            .collect();
        assert_ne!(decode(&greedy, 16, 0), alone);
        let device = candle_core::Device::Cpu;
        let mut candle = CandleT5::load(&checkpoint(&folder(&model)), device, Dtype::F32).unwrap();
        let batches = Batches { size: 7, left: 0 };
        let of_candle = run(&mut candle, &sampled(&searches), &eos, batches);
        assert_eq!(of_candle, alone);
    }
}

/// In how many cases rounding of the weights changes the summary.
#[test]
fn most_beam_searches_survive_rounding() {
    let mut shares = Vec::new();
    for dtype in [Dtype::F16, Dtype::Bf16, Dtype::Int8] {
        let (mut equal, mut all) = (0, 0);
        for ((model, _), mut searches) in searches() {
            searches.retain(|search| search.score.is_some());
            let mut compute = cpu(&model, dtype);
            let found = decode(&mut compute, &searches, 8, 0);
            let pairs = searches.iter().zip(&found);
            equal += pairs.filter(|(search, row)| search.output_ids == row.ids).count();
            all += searches.len();
        }
        shares.push(equal as f64 / all as f64);
    }
    let least = [0.85, 0.4, 0.3];
    assert!(shares.iter().zip(least).all(|(share, least)| *share >= least), "{shares:?}");
}

/// The keys and values of the prompt are stored once, those of the tokens once per beam.
#[test]
fn beams_share_what_was_computed_from_the_prompt() {
    let bytes = |num_beams| {
        let mut compute = cpu("gated-untied", Dtype::F32);
        let prompt: Vec<u32> = (2..258).collect();
        let decoding = Decoding {
            num_beams,
            no_repeat_ngram_size: 1,
            early_stopping: EarlyStopping::Never,
            ..Decoding::default()
        };
        let request = RowRequest {
            ids: prompt,
            stop_rule: StopRule::Exactly(32),
            decoding: Arc::new(decoding),
        };
        let _ = run(&mut compute, &[request], &[1], Batches { size: 1, left: 0 });
        compute.cache_bytes()
    };
    let (one, four) = (bytes(1), bytes(4));
    // 256 positions of the prompt and 32 of the tokens, of the same size.
    let own = one / 9;
    assert!((one + 3 * own).abs_diff(four) < own / 2, "{one} bytes, {four} with four beams");
}

#[test]
fn a_model_that_asks_for_beams_gets_them_and_the_facts_say_so() {
    let place = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(folder("gated-untied").join(file), place.path().join(file)).unwrap();
    }
    let search = searches().into_values().flatten().find(|search| search.score.is_some()).unwrap();
    let mut file = search.generation.clone();
    file["eos_token_id"] = search.eos.clone().into();
    file["decoder_start_token_id"] = 0.into();
    fs::write(place.path().join("generation_config.json"), file.to_string()).unwrap();
    let spec = spec(place.path().to_str().unwrap());
    let settings = Settings { max_new_tokens: Some(40), ..Settings::default() };
    let opened = engines::open(&spec, &Device::cpu()).unwrap();
    let asked = Generation {
        prompt: None,
        max_input_tokens: 512,
        stop: Stop::Eos,
        settings: settings.clone(),
    };
    let facts = opened.asked_for(&asked).unwrap();
    assert_eq!(facts.prompt.as_deref(), Some("Summarize: {dialogue}"));
    let decoding = facts.decoding.unwrap();
    assert_eq!((decoding.num_beams, decoding.max_new_tokens), (4, 40));
    let mut engine = opened.load(1).unwrap();
    let ids = |engine: &mut generation::LanguageModel, settings: &Settings| {
        let input = generation::Input {
            prompt: engine.prompt_of_ids(search.input_ids.clone(), 512).unwrap(),
            stop_rule: StopRule::EosOr(40),
            decoding: engine.decoding(settings).unwrap(),
        };
        let row = engine.decode(&[input], &Stopwatch::synthetic()).unwrap().remove(0).unwrap();
        (row.output_ids, row.first_token_ns)
    };
    assert_eq!(ids(&mut engine, &settings), (search.output_ids.clone(), None));
    let greedy = Settings {
        num_beams: Some(1),
        no_repeat_ngram_size: Some(0),
        min_length: Some(0),
        ..settings
    };
    let (other, first_token_ns) = ids(&mut engine, &greedy);
    assert_ne!(other, search.output_ids);
    assert!(first_token_ns.is_some());
    let outside = Settings { forced_bos_token_id: Some(384), ..greedy };
    let error = engine.decoding(&outside).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "forced_bos_token_id = 384: outside the vocabulary of 384");

    fs::write(
        place.path().join("generation_config.json"),
        r#"{"decoder_start_token_id": 0, "eos_token_id": 1, "num_beam_groups": 2, "num_beams": 4}"#,
    )
    .unwrap();
    let error = engines::open(&spec, &Device::cpu()).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.to_string().ends_with("generation_config.json"), "{error}");
    assert!(cause.starts_with("num_beam_groups = 2 is not supported"), "{cause}");
}
