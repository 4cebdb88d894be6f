//! Teacher-forced logits against PyTorch's, for every dtype: `tools/make_logits.py` made them, and
//! says how.

use super::fixture::{checkpoint, greedy};
use candle_core::{Device, safetensors};
use generation::compute::Compute;
use kernels::Dispatch;
use model::engine::Dtype;
use seq2seq::candle::CandleT5;
use seq2seq::cpu::CpuModel;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// Both forms of the feed-forward layer, a head of its own, and heads that are the embedding.
const MODELS: [&str; 3] = ["gated-untied", "relu-tied", "gated-tied"];
/// Greedy tokens were cut to so many.
const MAX_NEW: usize = 32;

#[derive(Debug, Deserialize)]
struct Case {
    id: String,
    input_ids: Vec<u32>,
    decoder_ids: Vec<u32>,
    greedy_ids: Vec<u32>,
    eos: bool,
}

fn folder(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/logits").join(model)
}

fn cases(model: &str) -> Vec<Case> {
    let text = fs::read_to_string(folder(model).join("cases.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn on_cpu(model: &str, dtype: Dtype) -> CpuModel {
    CpuModel::load(&checkpoint(&folder(model)), dtype, Dispatch::best(), 1).unwrap()
}

/// A prompt, the decoder's input, and PyTorch's logits for it, `[decoder_ids, vocabulary]`.
pub(super) struct Forced {
    pub(super) prompt: Vec<u32>,
    pub(super) decoder_ids: Vec<u32>,
    pub(super) logits: Vec<Vec<f32>>,
}

/// Logits of cases whose tokens are fed side by side, `[cases][decoder_ids][vocabulary]`; all have
/// equally many tokens.
pub(super) fn forced_logits(compute: &mut dyn Compute, cases: &[Forced]) -> Vec<Vec<Vec<f32>>> {
    let prompts: Vec<&[u32]> = cases.iter().map(|case| case.prompt.as_slice()).collect();
    let steps = cases[0].decoder_ids.len();
    compute.encode(&prompts, steps).unwrap();
    let mut found = vec![Vec::new(); cases.len()];
    for step in 0..steps {
        let tokens: Vec<u32> = cases.iter().map(|case| case.decoder_ids[step]).collect();
        let logits = compute.step_logits(&tokens).unwrap();
        let rows = logits.chunks_exact(logits.len() / cases.len());
        found.iter_mut().zip(rows).for_each(|(found, row)| found.push(row.to_vec()));
    }
    found
}

/// The largest and the mean distance from PyTorch's logits, in units of their standard deviation.
#[derive(Debug)]
pub(super) struct Distance {
    pub(super) largest: f32,
    pub(super) mean: f32,
}

impl Distance {
    /// Of cases as for [`forced_logits`].
    pub(super) fn of(compute: &mut dyn Compute, cases: &[Forced]) -> Self {
        Self::between(&forced_logits(compute, cases), cases)
    }

    /// Of what [`forced_logits`] found.
    pub(super) fn between(found: &[Vec<Vec<f32>>], cases: &[Forced]) -> Self {
        let values: Vec<f32> =
            cases.iter().flat_map(|case| &case.logits).flatten().copied().collect();
        let (count, deviation) = (values.len() as f32, deviation(&values));
        let apart = found.iter().flatten().flatten().zip(&values).map(|(x, y)| (x - y).abs());
        let (largest, sum) =
            apart.fold((0.0_f32, 0.0), |(largest, sum), apart| (largest.max(apart), sum + apart));
        Self { largest: largest / deviation, mean: sum / deviation / count }
    }
}

/// The standard deviation.
pub(super) fn deviation(values: &[f32]) -> f32 {
    let count = values.len() as f32;
    let mean = values.iter().sum::<f32>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count).sqrt()
}

fn distance(compute: &mut dyn Compute, model: &str) -> Distance {
    let cases = cases(model);
    let reference =
        safetensors::load(folder(model).join("logits.safetensors"), &Device::Cpu).unwrap();
    let forced: Vec<Forced> = cases
        .into_iter()
        .map(|Case { id, input_ids, decoder_ids, .. }| Forced {
            prompt: input_ids,
            decoder_ids,
            logits: reference[&id].to_vec2().unwrap(),
        })
        .collect();
    Distance::of(compute, &forced)
}

#[expect(clippy::print_stdout, reason = "the distances are what a reader of the tolerances wants")]
fn assert_within(compute: &mut dyn Compute, model: &str, (largest, mean): (f32, f32)) {
    let found = distance(compute, model);
    let kernel = compute.kernel();
    println!("{model}, {kernel}: largest {:.1e}, mean {:.1e}", found.largest, found.mean);
    assert!(found.largest <= largest, "{model}, {kernel}: largest {}", found.largest);
    assert!(found.mean <= mean, "{model}, {kernel}: mean {}", found.mean);
}

/// The tolerances, in standard deviations of the logits: the largest distance, and the mean one;
/// about twice what was measured with AVX-512. A half has 11 bits, a brain half 8, and int8 a step
/// of 1/127 of a row's largest value; rows as narrow as these, with random weights, have int8 at
/// its worst.
#[test]
fn logits_of_every_dtype_lie_within_their_tolerance() {
    for model in MODELS {
        for (dtype, tolerance) in [
            (Dtype::F32, (4e-5, 4e-6)),
            (Dtype::F16, (2e-2, 2e-3)),
            (Dtype::Bf16, (1.0, 8e-2)),
            (Dtype::Int8, (3.4, 0.3)),
        ] {
            assert_within(&mut on_cpu(model, dtype), model, tolerance);
        }
        // The tensors of other devices, as far as candle has products for the dtype on a CPU.
        for (dtype, tolerance) in [(Dtype::F32, (4e-5, 4e-6)), (Dtype::F16, (8e-2, 8e-3))] {
            let mut on_candle =
                CandleT5::load(&checkpoint(&folder(model)), Device::Cpu, dtype).unwrap();
            assert_within(&mut on_candle, model, tolerance);
        }
    }
}

#[test]
fn greedy_tokens_are_exact_where_tied_heads_end_too() {
    for model in MODELS {
        let cases = cases(model);
        assert!(cases.iter().filter(|case| case.eos).count() >= 3, "{model}");
        let mut engine = on_cpu(model, Dtype::F32);
        let prompts = cases.iter().map(|case| &case.input_ids);
        for (case, ids) in cases.iter().zip(greedy(&mut engine, prompts, MAX_NEW)) {
            assert_eq!(ids, case.greedy_ids, "{model} {}", case.id);
        }
    }
}
