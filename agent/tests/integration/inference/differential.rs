//! The models of candle-transformers, through the same engine: where they are right, their tokens are
//! those of PyTorch and ours.

use super::causal::Causal;
use super::fixture::{MODELS, adapted_spec, cases, decode, decode_ids, folder, load, open, spec};
use super::generated::Fixture;
use agent::engines;
use generation::LanguageModel;
use model::engine::{AdapterMode, Dtype, EngineFacts, EngineName, EngineSpec};
use model::generation::{Generation, Settings, Stop};
use ops::error_chain::one_line;
use std::path::Path;

/// From the tenth token on, the decoder of candle's T5 puts distances into the encoder's buckets.
const EXACT_TOKENS: usize = 9;

fn on_candle(folder: &Path) -> EngineSpec {
    EngineSpec { engine: EngineName::Candle, ..spec(folder.to_str().unwrap()) }
}

fn load_on_candle(folder: &Path) -> LanguageModel {
    open(&on_candle(folder)).unwrap().load(candle::own_threads()).unwrap()
}

#[test]
fn the_first_nine_tokens_of_t5_are_those_of_candle_and_later_ones_differ() {
    for model in MODELS {
        let cases = cases(model, None);
        let ours = decode(&mut load(&folder(model), 2), &cases, 1);
        let theirs = decode(&mut load_on_candle(&folder(model)), &cases, 1);
        for ((case, ours), theirs) in cases.iter().zip(&ours).zip(&theirs) {
            let start = |ids: &[u32]| ids[..ids.len().min(EXACT_TOKENS)].to_vec();
            assert_eq!(start(ours), start(theirs), "{}", case.id);
        }
        // So that the note of the engine can be removed once candle is right.
        assert_ne!(ours, theirs, "{model}");
    }
}

#[test]
fn adapters_are_merged_into_the_weights_that_candle_gets() {
    let (model, adapter) = (MODELS[0], "adapters/rslora-all");
    let merged = adapted_spec(model, adapter, AdapterMode::Merged);
    let cases = cases(model, Some("rslora-all"));
    assert!(!cases.is_empty());
    let spec = EngineSpec { engine: EngineName::Candle, ..merged };
    let theirs = decode(&mut open(&spec).unwrap().load(1).unwrap(), &cases, 1);
    for (case, ids) in cases.iter().zip(theirs) {
        let most = case.output_ids.len().min(EXACT_TOKENS);
        assert_eq!(ids[..most], case.output_ids[..most], "{}", case.id);
    }
}

fn assert_exact(fixture: &Fixture<Causal>) {
    let cases = fixture.greedy_cases();
    assert!(!cases.is_empty());
    let prompts: Vec<Vec<u32>> = cases.iter().map(|case| case.input_ids.clone()).collect();
    let mut model = load_on_candle(&fixture.folder);
    for (case, prompt) in cases.iter().zip(prompts) {
        let most = case.output_ids.len();
        let ids = decode_ids(&mut model, &[prompt], most).remove(0);
        assert_eq!(ids, case.output_ids, "{}, {}", fixture.folder.display(), case.id);
    }
}

#[test]
fn tokens_of_qwen_and_llama_are_those_of_candle() {
    for model in super::causal::MODELS {
        assert_exact(&Fixture::committed("causal", model));
    }
}

mod lm {
    use super::super::causal::MODELS;
    use super::{Fixture, assert_exact};

    #[test]
    #[ignore = "needs FLEETMARK_TEST_LM, a folder with checkpoints of Qwen and Llama and their cases"]
    fn tokens_of_larger_models_are_those_of_candle() {
        for model in MODELS {
            assert_exact(&Fixture::given(model));
        }
    }
}

fn asked(settings: Settings) -> Generation {
    Generation { prompt: None, max_input_tokens: 512, stop: Stop::Eos, settings }
}

#[test]
fn what_candle_is_known_to_do_wrong_is_noted() {
    let found = |spec: &EngineSpec| -> EngineFacts { open(spec).unwrap().facts() };
    let facts = found(&on_candle(&folder(MODELS[0])));
    assert_eq!(facts.kernel, "candle-transformers 0.11.1 t5, f32");
    let note = "from output token 10 on, its logits are not those of the model, so its summaries can differ";
    assert!(facts.notes.iter().any(|it| it.ends_with(note)), "{:?}", facts.notes);
    let facts = found(&on_candle(&Fixture::<Causal>::committed("causal", "qwen2").folder));
    assert_eq!(facts.kernel, "candle-transformers 0.11.1 qwen2, f32");
    assert!(!facts.notes.iter().any(|it| it.contains("candle")), "{:?}", facts.notes);
    assert!(!facts.continuous_batching);
}

#[test]
fn what_candle_cannot_do_is_refused_by_name() {
    let t5 = on_candle(&folder(MODELS[0]));
    let gguf = |name: &str| format!("{}/gguf/tests/{name}.gguf", env!("CARGO_MANIFEST_DIR"));
    for (spec, words) in [
        (EngineSpec { dtype: Dtype::Int8, ..t5.clone() }, "set dtype f32 or gguf instead of int8"),
        (
            EngineSpec { model: "dummy:bart-base".to_owned(), ..t5.clone() },
            "engine candle has no model_type `bart`: expected t5, qwen2, qwen3, llama",
        ),
        (
            EngineSpec {
                dtype: Dtype::Gguf,
                ..on_candle(&Fixture::<Causal>::committed("causal", "qwen2").folder)
            },
            "dtype `gguf` is not supported for",
        ),
        (
            EngineSpec {
                model: gguf("smollm"),
                dtype: Dtype::Gguf,
                adapter: Some("a".to_owned()),
                ..t5.clone()
            },
            "engine candle can't merge an adapter into the blocks of a GGUF file",
        ),
        (
            // It has Llama 3's scaling of rotary angles.
            EngineSpec { model: gguf("llama"), dtype: Dtype::Gguf, ..t5.clone() },
            "engine candle ignores rope_scaling of",
        ),
        (
            EngineSpec {
                engine: EngineName::Candle,
                ..adapted_spec(MODELS[0], "adapters/qv-r8", AdapterMode::Unmerged)
            },
            "engine candle has no unmerged adapters",
        ),
    ] {
        let error: engines::Error = open(&spec).unwrap_err();
        assert!(one_line(&error).contains(words), "{}", one_line(&error));
    }
    let opened = open(&t5).unwrap();
    for (settings, words) in [
        (Settings { num_beams: Some(4), ..Settings::default() }, "num_beams = 4"),
        (
            Settings { repetition_penalty: Some(1.1), ..Settings::default() },
            "repetition_penalty = 1.1",
        ),
        (Settings { do_sample: Some(true), ..Settings::default() }, "sampled"),
        (
            Settings { prompt_lookup_num_tokens: Some(2), ..Settings::default() },
            "prompt_lookup_num_tokens = 2",
        ),
    ] {
        let error = one_line(&opened.asked_for(&asked(settings)).unwrap_err());
        assert!(error.contains(words), "{error}");
        assert!(error.contains("candle-transformers 0.11.1 t5, f32"), "{error}");
    }
    let mut model = opened.load(1).unwrap();
    let decoding = model.decoding(&Settings::default()).unwrap();
    let prompt = model.prompt_of_ids(vec![5, 1], 512).unwrap();
    let stop_rule = generation::generate::StopRule::EosOr(4);
    let input = generation::Input { prompt, stop_rule, decoding };
    let failure = model.decode(&[input.clone(), input], &stopwatch::Stopwatch::synthetic());
    let detail = failure.unwrap_err().detail;
    assert!(
        detail.starts_with("engine candle computes one request at a time, found 2"),
        "{detail}"
    );
}
