//! Engines: the factor, and what candle's can't do.

use super::{Model, Target};
use model::engine::{AdapterMode, Dtype, EngineName};
use model::generation::{Decoding, Settings};

/// The model with each engine. The first engine is that of the model as it is named; with another one, `NAME-ENGINE` is
/// compared with it.
pub(super) fn expanded(model: Model, engines: &[EngineName]) -> Vec<Model> {
    let Some((first, others)) = engines.split_first() else { return vec![model] };
    let named = Model { engine: *first, ..model };
    let with = |engine: &EngineName| Model {
        name: format!("{}-{engine}", named.name),
        engine: *engine,
        baseline: Some(named.name.clone()),
        ..named.clone()
    };
    let others: Vec<Model> = others.iter().map(with).collect();
    std::iter::once(named).chain(others).collect()
}

/// Problems of the levels that models of candle's engine are measured at.
pub(super) fn check_levels(models: &[Model], targets: &[Target]) -> Vec<String> {
    let mut problems = Vec::new();
    for model in models.iter().filter(|model| model.engine == EngineName::Candle) {
        let name = &model.name;
        for target in targets.iter().filter(|target| model.is_measured_on(&target.name)) {
            let here = &target.name;
            if let Some(size) = target.batch_sizes.iter().find(|size| **size != 1) {
                problems.push(format!("{name} runs on engine candle, which computes one request at a time: batch_sizes of {here} must be [1], found {size}; to measure others with engine native, declare another target for them, and set targets of each model"));
            }
            let computes = |dtype: &Dtype| EngineName::DTYPES_OF_CANDLE.contains(dtype);
            if let Some(dtype) = target.dtypes.iter().find(|dtype| !computes(dtype)) {
                problems.push(format!("{name} runs on engine candle, which computes in f32, or with the blocks of a GGUF file: dtypes of {here} must be \"f32\" or \"gguf\", found {dtype}; to measure others with engine native, declare another target for them, and set targets of each model"));
            }
            if model.adapter.is_some() && target.dtypes.contains(&Dtype::Gguf) {
                problems.push(format!("{name} runs on engine candle, which can't merge an adapter into the blocks of a GGUF file: remove dtype gguf of {here}, or use engine native"));
            }
        }
    }
    problems
}

/// Problems of a model and the settings it is asked for that candle's engine doesn't support. Agents find those that
/// are in the files of the model.
pub(super) fn check_model(model: &Model, asked: &Settings) -> Vec<String> {
    if model.engine != EngineName::Candle {
        return Vec::new();
    }
    let name = &model.name;
    let mut problems = Vec::new();
    let decoding = Decoding::of(asked, 0);
    if !decoding.is_plain() || decoding.prompt_lookup_num_tokens > 0 {
        problems.push(format!("{name} runs on engine candle, which takes the most likely token of each step, found {decoding}: remove these settings, or use engine native"));
    }
    if model.adapter.is_some() && model.adapter_mode == AdapterMode::Unmerged {
        problems.push(format!("{name} runs on engine candle, which has no unmerged adapters: set adapter_mode = \"merged\", or use engine native"));
    }
    problems
}
