//! T5 on a GPU gives PyTorch's tokens, whatever shares the batch and however steps are launched.
//!
//! Needs a driver: that of a GPU, or the software GPU of `tests/cuda_standin` on the loader's path.

use super::fixture::{Batches, Case, MODELS, cases, checkpoint, folder, row_request, run};
use generation::compute::Compute;
use generation::generate::StopRule;
use kernels::Dispatch;
use model::engine::Dtype;
use seq2seq::cpu::CpuModel;
use seq2seq::device::Device;
use seq2seq::gpu::{GpuT5, Launches};

fn load(model: &str, dtype: Dtype, launches: Launches) -> GpuT5 {
    let device = Device::open("cuda:0").unwrap();
    let gpu = device.gpu().expect("a GPU");
    GpuT5::load(&checkpoint(&folder(model)), gpu, dtype, launches).unwrap()
}

/// Tokens per row.
const MOST: usize = 20;

/// The ids that follow the prompts of these cases.
fn decode(model: &mut GpuT5, cases: &[Case], batches: Batches) -> Vec<Vec<u32>> {
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
fn rows_of_other_dtypes_do_not_depend_on_their_neighbours() {
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
