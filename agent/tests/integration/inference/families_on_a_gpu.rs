//! BART and PEGASUS on a GPU give PyTorch's tokens for every search and adapter, and in other dtypes
//! logits near those of PyTorch and of the CPU.
//!
//! Needs a driver: that of a GPU, or the software GPU of `tests/cuda_standin` on the loader's path.

use super::families::{MODELS, Seq2Seq, assert_positions_are_limited, committed, distance};
use super::fixture::{Batches, checkpoint};
use super::generated::{ADAPTERS, Case, Fixture};
use super::logits::Distance;
use generation::compute::Compute;
use model::engine::Dtype;
use seq2seq::device::Device;
use seq2seq::gpu::{GpuModel, Launches};
use serde_json::Map;

fn load(
    fixture: &Fixture<Seq2Seq>,
    adapter: Option<&str>,
    dtype: Dtype,
    launches: Launches,
) -> GpuModel {
    let mut checkpoint = checkpoint(&fixture.folder);
    if let Some(adapter) = adapter {
        checkpoint = checkpoint.adapt(fixture.adapter_files(adapter), "base").unwrap();
    }
    let device = Device::open("cuda:0").unwrap();
    GpuModel::load(&checkpoint, device.gpu().expect("a GPU"), dtype, launches).unwrap()
}

/// The shortest prompts of each setting, so that an interpreter takes seconds.
fn short_cases(fixture: &Fixture<Seq2Seq>, adapter: Option<&str>, of_each: usize) -> Vec<Case> {
    let mut cases = fixture.cases(adapter);
    cases.sort_by_key(|case| case.input_ids.len());
    let mut found: Vec<Case> = Vec::new();
    for case in cases {
        let same = found.iter().filter(|other| other.generation == case.generation).count();
        if same < of_each {
            found.push(case);
        }
    }
    found
}

/// Greedy, beams, penalties, and n-grams side by side, with and without graphs, in batches and with
/// rows that join.
pub(super) fn assert_exact(fixture: &Fixture<Seq2Seq>, of_each: usize) {
    let model = fixture.folder.display();
    let adapters = ADAPTERS.map(Some).into_iter();
    for adapter in std::iter::once(None).chain(adapters) {
        let cases = short_cases(fixture, adapter, of_each);
        for launches in [Launches::Graph, Launches::Eager] {
            let mut compute = load(fixture, adapter, Dtype::F32, launches);
            for (size, left) in [(1, 0), (4, 0), (16, 0), (5, 3)] {
                let batches = Batches { size, left };
                let found = fixture.decode(&mut compute, &cases, batches);
                for (case, ids) in cases.iter().zip(found) {
                    let how = format!("{launches:?}, {batches:?}");
                    assert_eq!(ids, case.output_ids, "{model} {}: {how}", case.id);
                }
            }
        }
    }
}

#[test]
#[ignore = "needs a CUDA driver"]
fn searches_and_adapters_give_the_tokens_of_pytorch() {
    for model in MODELS {
        assert_exact(&committed(model), 2);
    }
}

/// Logits of some steps of all greedy prompts side by side, `[steps, prompts, vocabulary]`.
fn logits(fixture: &Fixture<Seq2Seq>, compute: &mut dyn Compute) -> Vec<f32> {
    let cases = fixture.greedy_cases();
    let prompts: Vec<&[u32]> = cases.iter().map(|case| case.input_ids.as_slice()).collect();
    let start = fixture.generation(&Map::new()).start_id;
    let fed = [start, 5, 90, 31, 31, 77, 12, 140];
    compute.encode(&prompts, fed.len()).unwrap();
    let steps = fed.iter().map(|id| compute.step_logits(&vec![*id; cases.len()]).unwrap());
    steps.collect::<Vec<_>>().concat()
}

/// In standard deviations of what is expected.
fn apart(found: &[f32], expected: &[f32]) -> Distance {
    assert_eq!(found.len(), expected.len());
    let count = expected.len() as f32;
    let mean = expected.iter().sum::<f32>() / count;
    let variance = expected.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / count;
    let (mut largest, mut sum) = (0.0_f32, 0.0);
    for (found, expected) in found.iter().zip(expected) {
        let apart = (found - expected).abs() / variance.sqrt();
        largest = largest.max(apart);
        sum += apart;
    }
    Distance { largest, mean: sum / count }
}

/// About twice what was found on the software GPU, in standard deviations of the logits: the largest
/// distance, and the mean one. From PyTorch's in f32, and from the CPU's in the same dtype. Where
/// weights are int8, the CPU rounds activations too. Rows as narrow as these, with random weights,
/// have int8 at its worst.
#[test]
#[ignore = "needs a CUDA driver"]
fn logits_of_every_dtype_lie_within_their_tolerance() {
    for model in MODELS {
        let fixture = committed(model);
        for (dtype, of_pytorch, of_cpu) in [
            (Dtype::F32, [7e-5, 4e-6], [7e-5, 4e-6]),
            (Dtype::F16, [8e-2, 4e-3], [6e-2, 5e-3]),
            (Dtype::Bf16, [0.4, 4e-2], [0.4, 4e-2]),
            (Dtype::Int8, [3.0, 0.13], [1.8, 0.13]),
        ] {
            let mut compute = load(&fixture, None, dtype, Launches::Graph);
            let on_cpu = logits(&fixture, &mut fixture.load(dtype));
            let near = apart(&logits(&fixture, &mut compute), &on_cpu);
            let found = distance(&fixture, &mut compute);
            for (whose, Distance { largest, mean }, most) in
                [("PyTorch's", found, of_pytorch), ("the CPU's", near, of_cpu)]
            {
                let told = format!("{model} {dtype}: {largest:.1e} and {mean:.1e} from {whose}");
                println!("{told}");
                assert!(largest <= most[0] && mean <= most[1], "{told}");
            }
        }
    }
}

#[test]
#[ignore = "needs a CUDA driver"]
fn tokens_of_every_dtype_do_not_depend_on_the_batch() {
    for model in MODELS {
        let fixture = committed(model);
        let cases = short_cases(&fixture, None, 1);
        for dtype in [Dtype::F16, Dtype::Bf16, Dtype::Int8] {
            let mut compute = load(&fixture, None, dtype, Launches::Graph);
            let mut decode =
                |size, left| fixture.decode(&mut compute, &cases, Batches { size, left });
            let alone = decode(1, 0);
            assert_eq!(decode(16, 0), alone, "{model} {dtype}");
            assert_eq!(decode(2, 1), alone, "{model} {dtype}, with rows that join");
        }
    }
}

#[test]
#[ignore = "needs a CUDA driver"]
fn a_step_has_as_many_launches_as_one_of_t5() {
    for model in MODELS {
        let mut compute = load(&committed(model), None, Dtype::F16, Launches::Graph);
        compute.encode(&[&[5, 1]], 2).unwrap();
        compute.step(&[0], &mut Vec::new()).unwrap();
        assert_eq!(compute.nodes(1), Some(2 * 8 + 3), "{model}");
    }
}

#[test]
#[ignore = "needs a CUDA driver"]
fn more_tokens_than_there_are_positions_are_refused() {
    for model in MODELS {
        let mut compute = load(&committed(model), None, Dtype::F32, Launches::Eager);
        assert_positions_are_limited(model, &mut compute);
    }
}
