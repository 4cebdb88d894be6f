//! Adapters that stay separate from the weights: the tokens of merged ones, exchanged without loading the
//! base again.

use super::fixture::{Case, MODELS, adapted_spec, cases, decode, folder, open, spec};
use agent::model_source;
use candle_core::Device;
use engine::Engine;
use engine::files::{Blob, Weights};
use generation::LanguageModel;
use generation::compute::Compute;
use kernels::Dispatch;
use model::engine::{AdapterMode, Dtype, EngineSpec};
use seq2seq::candle::CandleT5;
use seq2seq::checkpoint::Checkpoint;
use seq2seq::config::Config;
use seq2seq::cpu::CpuModel;
use std::fs;

/// Every adapter of the cases, by the model that it is for.
const ADAPTERS: [(&str, &str); 5] = [
    ("gated-untied", "qv-r8"),
    ("gated-untied", "rslora-all"),
    ("gated-untied", "patterns-head"),
    ("relu-tied", "qv-r8"),
    ("relu-tied", "rslora-all"),
];

fn unmerged(model: &str, adapter: &str) -> EngineSpec {
    adapted_spec(model, &format!("adapters/{adapter}"), AdapterMode::Unmerged)
}

fn assert_exact(engine: &mut LanguageModel, model: &str, adapter: Option<&str>) {
    let cases: Vec<Case> = cases(model, adapter);
    assert!(cases.len() >= 15, "{model} {adapter:?} has {} cases", cases.len());
    for batch_size in [1, 3, 8, 16] {
        for (case, ids) in cases.iter().zip(decode(engine, &cases, batch_size)) {
            assert_eq!(ids, case.output_ids, "{} at batch size {batch_size}", case.id);
        }
    }
}

/// The cases are those whose best two logits are more than 2e-4 apart at every token.
#[test]
fn every_adapter_gives_the_tokens_of_a_merged_one() {
    for (model, adapter) in ADAPTERS {
        let mut engine = open(&unmerged(model, adapter)).unwrap().load(2).unwrap();
        assert_exact(&mut engine, model, Some(adapter));
    }
}

#[test]
fn adapters_are_exchanged_and_taken_away_beside_one_base() {
    for model in MODELS {
        let base = spec(folder(model).to_str().unwrap());
        let mut engine = open(&base).unwrap().load(1).unwrap();
        let base_bytes = engine.facts().model_size_bytes;
        for (_, adapter) in ADAPTERS.iter().filter(|(of, _)| *of == model) {
            assert!(engine.switch(&unmerged(model, adapter)).unwrap());
            assert_exact(&mut engine, model, Some(adapter));
            assert!(engine.adapter_bytes() > 0);
            assert_eq!(engine.facts().model_size_bytes, base_bytes + engine.adapter_bytes());
            assert!(engine.facts().adapter_sha256.is_some());
        }
        assert!(engine.switch(&base).unwrap());
        assert_exact(&mut engine, model, None);
        assert_eq!((engine.adapter_bytes(), &engine.facts().adapter_sha256), (0, &None));
    }
}

#[test]
fn what_needs_other_weights_is_not_a_switch() {
    let base = spec(folder("gated-untied").to_str().unwrap());
    let mut engine = open(&base).unwrap().load(1).unwrap();
    let merged = adapted_spec("gated-untied", "adapters/qv-r8", AdapterMode::Merged);
    let other = unmerged("relu-tied", "qv-r8");
    let narrower = EngineSpec { dtype: Dtype::Bf16, ..unmerged("gated-untied", "qv-r8") };
    for spec in [merged, other, narrower] {
        assert!(!engine.switch(&spec).unwrap(), "{spec:?}");
    }
    // One that doesn't fit leaves the base as it was.
    let mut misfit = unmerged("relu-tied", "qv-r8");
    misfit.model.clone_from(&base.model);
    assert!(engine.switch(&misfit).is_err());
    assert_exact(&mut engine, "gated-untied", None);
}

#[test]
fn every_dtype_takes_an_adapter_beside_its_weights() {
    for dtype in [Dtype::F16, Dtype::Bf16, Dtype::Int8] {
        for (model, adapter) in ADAPTERS {
            let cases = &cases(model, Some(adapter))[..8];
            let spec = EngineSpec { dtype, ..unmerged(model, adapter) };
            let mut unmerged = open(&spec).unwrap().load(1).unwrap();
            let mut base = open(&spec.base()).unwrap().load(1).unwrap();
            assert_ne!(decode(&mut unmerged, cases, 4), decode(&mut base, cases, 4));
            let sizes = [&unmerged, &base].map(|engine| engine.facts().model_size_bytes);
            assert_eq!(sizes[0] - sizes[1], unmerged.adapter_bytes());
        }
    }
}

/// Both implementations, with logits as near to each other as without an adapter.
#[test]
fn candle_takes_an_adapter_as_the_cpu_does() {
    for (model, adapter) in ADAPTERS {
        let config = Config::parse(&fs::read(folder(model).join("config.json")).unwrap()).unwrap();
        let weights = Blob::open(&folder(model).join("model.safetensors")).unwrap();
        let checkpoint = Checkpoint::open(&config, Weights::Stored(vec![weights])).unwrap();
        let path = folder(model).join("adapters").join(adapter);
        let files = model_source::find_adapter(path.to_str().unwrap()).unwrap();
        let adapter = checkpoint.tensors.fit(files, model).unwrap();
        let mut cpu = CpuModel::load(&checkpoint, Dtype::F32, Dispatch::best(), 1).unwrap();
        let mut candle = CandleT5::load(&checkpoint, Device::Cpu, Dtype::F32).unwrap();
        let prompts: [&[u32]; 2] = [&[7, 9, 200, 1], &[5, 1]];
        let logits = |compute: &mut dyn Compute, adapter| {
            compute.adapt(adapter).unwrap();
            compute.encode(&prompts, 2).unwrap();
            [[0, 0], [17, 3]].map(|tokens| compute.step_logits(&tokens).unwrap()).concat()
        };
        let bare = logits(&mut cpu, None);
        let (ours, theirs) =
            (logits(&mut cpu, Some(&adapter)), logits(&mut candle, Some(&adapter)));
        let apart =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart(&ours, &theirs) < 1e-4, "{model}: {}", apart(&ours, &theirs));
        assert!(apart(&ours, &bare) > 0.1, "{model}: the adapter changes the logits");
        assert_eq!(logits(&mut cpu, None), bare);
        // Factors of fused layers are filled up with zeros.
        assert!(candle.adapter_bytes() >= 4 * parameters(&path));
    }
}

/// Values in an adapter's file.
fn parameters(adapter: &std::path::Path) -> u64 {
    let file = adapter.join("adapter_model.safetensors");
    let tensors = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    tensors.values().map(|tensor| tensor.elem_count() as u64).sum()
}
