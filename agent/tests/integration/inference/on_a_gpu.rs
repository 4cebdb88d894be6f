//! T5 on a GPU gives PyTorch's tokens, whatever shares the batch and however steps are launched.
//!
//! Needs a driver: that of a GPU, or the software GPU of `tests/cuda_standin` on the loader's path.

use super::fixture::{Batches, Case, MODELS, cases, checkpoint, folder, row_request, run, spec};
use agent::model_source;
use generation::compute::Compute;
use generation::generate::StopRule;
use kernels::Dispatch;
use model::engine::Dtype;
use seq2seq::checkpoint::Checkpoint;
use seq2seq::config::Config;
use seq2seq::cpu::CpuModel;
use seq2seq::device::Device;
use seq2seq::gpu::{GpuModel, Launches};

fn load(model: &str, dtype: Dtype, launches: Launches) -> GpuModel {
    load_checkpoint(&checkpoint(&folder(model)), dtype, launches)
}

fn load_checkpoint(checkpoint: &Checkpoint, dtype: Dtype, launches: Launches) -> GpuModel {
    let device = Device::open("cuda:0").unwrap();
    GpuModel::load(checkpoint, device.gpu().expect("a GPU"), dtype, launches).unwrap()
}

/// The checkpoint with an adapter of the model's folder merged into it.
fn merged(model: &str, adapter: Option<&str>) -> Checkpoint {
    let base = checkpoint(&folder(model));
    let Some(adapter) = adapter else { return base };
    let path = folder(model).join("adapters").join(adapter);
    let files = model_source::find_adapter(path.to_str().unwrap()).unwrap();
    base.adapt(files, model).unwrap()
}

/// Tokens per row.
const MOST: usize = 20;
/// The same for many rows of a larger model.
const FEW: usize = 8;

/// The ids that follow the prompts of these cases.
fn decode(model: &mut GpuModel, cases: &[Case], batches: Batches) -> Vec<Vec<u32>> {
    let stop_rule = StopRule::EosOr(MOST);
    let requests: Vec<_> =
        cases.iter().map(|case| row_request(&case.input_ids, stop_rule)).collect();
    run(model, &requests, &[1], batches).into_iter().map(|row| row.ids).collect()
}

/// Short prompts, so that an interpreter takes seconds.
fn short_cases(model: &str) -> Vec<Case> {
    let mut cases = cases(model, None);
    cases.retain(|case| case.input_ids.len() <= 20);
    cases.iter_mut().for_each(|case| case.output_ids.truncate(MOST));
    cases
}

/// Both models, alone and with each of their adapters.
const VARIANTS: [(&str, Option<&str>); 7] = [
    ("gated-untied", None),
    ("gated-untied", Some("qv-r8")),
    ("gated-untied", Some("rslora-all")),
    ("gated-untied", Some("patterns-head")),
    ("relu-tied", None),
    ("relu-tied", Some("qv-r8")),
    ("relu-tied", Some("rslora-all")),
];

/// In f32: without graphs in batches of 1, 4 and 16, and with rows that join. `agent generate` with
/// graphs at the same batch sizes is tested in `tests/integration/gpu.rs`.
#[test]
#[ignore = "needs a CUDA driver"]
fn every_adapter_gives_the_tokens_of_pytorch_without_graphs_and_with_rows_that_join() {
    for (model, adapter) in VARIANTS {
        let checkpoint = merged(model, adapter);
        let mut cases = cases(model, adapter);
        cases.sort_by_key(|case| case.input_ids.len());
        cases.truncate(16);
        assert_eq!(cases.len(), 16, "{model} {adapter:?}");
        cases.iter_mut().for_each(|case| case.output_ids.truncate(MOST));
        for (launches, batches, rows) in [
            (Launches::Eager, Batches { size: 1, left: 0 }, 2),
            (Launches::Eager, Batches { size: 4, left: 0 }, 4),
            (Launches::Eager, Batches { size: 16, left: 0 }, 16),
            (Launches::Graph, Batches { size: 6, left: 4 }, 16),
        ] {
            let mut on_gpu = load_checkpoint(&checkpoint, Dtype::F32, launches);
            let cases = &cases[..rows];
            for (case, ids) in cases.iter().zip(decode(&mut on_gpu, cases, batches)) {
                let id = case.id.as_str();
                assert_eq!(
                    ids, case.output_ids,
                    "{model} {adapter:?} {id}, {launches:?}, {batches:?}"
                );
            }
        }
    }
}

#[test]
#[ignore = "needs a CUDA driver"]
fn rows_that_join_a_running_batch_change_nothing() {
    let [gated, plain] = MODELS;
    let (early, late) = (Batches { size: 1, left: 3 }, Batches { size: 3, left: 2 });
    for (model, launches, batches) in [
        (gated, Launches::Graph, early),
        (gated, Launches::Eager, late),
        (plain, Launches::Graph, late),
    ] {
        let mut on_gpu = load(model, Dtype::F32, launches);
        let cases = short_cases(model);
        let found = decode(&mut on_gpu, &cases, batches);
        for (case, ids) in cases.iter().zip(found) {
            let id = case.id.as_str();
            assert_eq!(ids, case.output_ids, "{model} {id}, {launches:?}, {batches:?}");
        }
    }
}

#[test]
#[ignore = "needs a CUDA driver"]
fn rows_of_other_dtypes_do_not_depend_on_their_neighbors() {
    for dtype in [Dtype::F16, Dtype::Bf16, Dtype::Int8] {
        let mut on_gpu = load("gated-untied", dtype, Launches::Graph);
        let cases = &short_cases("gated-untied")[..4];
        let alone = decode(&mut on_gpu, cases, Batches { size: 1, left: 0 });
        assert_eq!(decode(&mut on_gpu, cases, Batches { size: 4, left: 0 }), alone, "{dtype}");
    }
}

#[test]
#[ignore = "needs a CUDA driver"]
fn a_step_has_eight_nodes_for_each_block_and_three_more() {
    let mut on_gpu = load("gated-untied", Dtype::F16, Launches::Graph);
    on_gpu.encode(&[&[5, 1]], 2).unwrap();
    assert_eq!(on_gpu.nodes(1), None);
    on_gpu.step(&[0], &mut Vec::new()).unwrap();
    // Twelve blocks, as in flan-t5-base, have 99.
    assert_eq!(on_gpu.nodes(1), Some(3 * 8 + 3));
}

#[test]
#[ignore = "needs a CUDA driver"]
fn logits_are_those_of_the_cpu() {
    for model in MODELS {
        let checkpoint = checkpoint(&folder(model));
        let mut on_cpu = CpuModel::load(&checkpoint, Dtype::F32, Dispatch::best(), 1).unwrap();
        let mut on_gpu = load(model, Dtype::F32, Launches::Graph);
        let prompts: [&[u32]; 2] = [&[5, 9, 31, 1], &[77, 1]];
        let logits = |compute: &mut dyn Compute| {
            compute.encode(&prompts, 3).unwrap();
            let first = compute.step_logits(&[0, 0]).unwrap();
            [first, compute.step_logits(&[40, 12]).unwrap()].concat()
        };
        let (cpu, gpu) = (logits(&mut on_cpu), logits(&mut on_gpu));
        let furthest = cpu.iter().zip(&gpu).map(|(cpu, gpu)| (cpu - gpu).abs()).fold(0.0, f32::max);
        assert!(furthest < 2e-4, "{model}: {furthest}");
    }
}

/// The weights of `builtin:tiny`.
fn tiny() -> Checkpoint {
    let model = model_source::find(&spec("builtin:tiny")).unwrap();
    let config = Config::parse(model.config.text().unwrap().as_bytes()).unwrap();
    Checkpoint::open(&config, model.weights).unwrap()
}

/// How far the best logit lies above the next one at each token of these rows.
fn gaps(model: &mut CpuModel, cases: &[Case], rows: &[Vec<u32>]) -> Vec<Vec<f32>> {
    let of_row = |(case, ids): (&Case, &Vec<u32>)| {
        model.encode(&[&case.input_ids], ids.len()).unwrap();
        let inputs = std::iter::once(&0).chain(ids).take(ids.len());
        let gap = |input: &u32| {
            let mut logits = model.step_logits(&[*input]).unwrap();
            logits.sort_by(|a, b| b.total_cmp(a));
            logits[0] - logits[1]
        };
        inputs.map(gap).collect()
    };
    cases.iter().zip(rows).map(of_row).collect()
}

/// Sums in another order and other roundings move logits a little, so a row may go another way
/// where the best two lie this close; the logits' standard deviation is about 2. Weights alone are
/// int8 on a GPU, while the CPU rounds activations too.
const CLOSE: [(Dtype, f32); 3] = [(Dtype::F32, 1e-3), (Dtype::F16, 0.03), (Dtype::Int8, 0.6)];

#[test]
#[ignore = "needs a CUDA driver"]
fn tokens_of_the_tiny_model_are_the_cpus_except_where_two_logits_are_close() {
    let checkpoint = tiny();
    let device = Device::open("cuda:0").unwrap();
    let gpu = device.gpu().expect("a GPU");
    let cases: Vec<Case> = (0..16u32)
        .map(|row| Case {
            id: row.to_string(),
            adapter: None,
            input_ids: (0..4 + row % 5)
                .map(|at| 3 + (row * 37 + at * 101) % 200)
                .chain([1])
                .collect(),
            output_ids: Vec::new(),
            eos: false,
        })
        .collect();
    let stop_rule = StopRule::EosOr(FEW);
    let requests: Vec<_> =
        cases.iter().map(|case| row_request(&case.input_ids, stop_rule)).collect();
    let all = Batches { size: 16, left: 0 };
    for (dtype, close) in CLOSE {
        let mut on_cpu = CpuModel::load(&checkpoint, dtype, Dispatch::best(), 1).unwrap();
        let expected: Vec<Vec<u32>> =
            run(&mut on_cpu, &requests, &[1], all).into_iter().map(|row| row.ids).collect();
        let gaps = gaps(&mut on_cpu, &cases, &expected);
        let tokens = gaps.iter().flatten().count();
        let uncertain = gaps.iter().flatten().filter(|gap| **gap < close).count();
        // Otherwise the bound would excuse everything.
        assert!(uncertain * 4 < tokens, "{dtype}: {uncertain} of {tokens} tokens are uncertain");
        for (launches, batches, rows) in [
            (Launches::Graph, all, 16),
            (Launches::Eager, all, 6),
            (Launches::Graph, Batches { size: 3, left: 1 }, 6),
        ] {
            let mut on_gpu = GpuModel::load(&checkpoint, gpu, dtype, launches).unwrap();
            let found: Vec<Vec<u32>> = run(&mut on_gpu, &requests[..rows], &[1], batches)
                .into_iter()
                .map(|row| row.ids)
                .collect();
            let mut others = 0;
            for (row, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let same = found.iter().zip(expected).take_while(|(a, b)| a == b).count();
                if found == expected {
                    continue;
                }
                others += 1;
                let gap = gaps[row][same];
                assert!(
                    gap < close,
                    "{dtype}, {launches:?}, {batches:?}: row {row} leaves the CPU's at token {same}, where the best logits are {gap} apart"
                );
            }
            println!(
                "{dtype}, {launches:?}, {batches:?}: {others} of {} rows differ; the best two logits \
                 of {uncertain} of {tokens} tokens are closer than {close}",
                found.len()
            );
        }
    }
}
