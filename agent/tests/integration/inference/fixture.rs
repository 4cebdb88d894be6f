//! Models and cases that the tests share.

use agent::model_source::Sources;
use model::engine::{AdapterMode, Dtype, EngineSpec};
use model::generation::Settings;
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stopwatch::Stopwatch;
use t5::compute::Compute;
use t5::generate::{Decoded, NotFinite, RowQueue, RowRequest, SpecialTokens, StopRule, generate};
use t5::{Input, Opened, T5};

/// Both forms of feed-forward layer and head.
pub(crate) const MODELS: [&str; 2] = ["gated-untied", "relu-tied"];

/// How many tokens the cases were cut to.
pub(crate) const MAX_NEW: usize = 48;

/// What PyTorch generated.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Case {
    pub(crate) id: String,
    pub(crate) adapter: Option<String>,
    pub(crate) input_ids: Vec<u32>,
    pub(crate) output_ids: Vec<u32>,
    pub(crate) eos: bool,
}

pub(crate) fn folder(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity").join(model)
}

/// Rows that enter all at once.
pub(crate) struct FixedBatch {
    orders: Vec<RowRequest>,
    ids: Vec<Vec<u32>>,
}

impl RowQueue for FixedBatch {
    fn enter(&mut self) -> Vec<RowRequest> {
        std::mem::take(&mut self.orders)
    }

    fn ended(&mut self, number: usize, row: Result<Decoded, NotFinite>) {
        self.ids[number] = row.unwrap().ids;
    }
}

/// The ids that follow these prompts, decoded together.
pub(crate) fn greedy<'a>(
    model: &mut dyn Compute,
    prompts: impl IntoIterator<Item = &'a Vec<u32>>,
    most: usize,
) -> Vec<Vec<u32>> {
    let stop_rule = StopRule::EosOr(most);
    let orders: Vec<RowRequest> =
        prompts.into_iter().map(|ids| row_request(ids, stop_rule)).collect();
    let mut batch = FixedBatch { ids: vec![Vec::new(); orders.len()], orders };
    let special_tokens = SpecialTokens { start: 0, eos: vec![1] };
    generate(model, &special_tokens, &mut batch, &Stopwatch::synthetic()).unwrap();
    batch.ids
}

fn row_request(ids: &[u32], stop_rule: StopRule) -> RowRequest {
    RowRequest { ids: ids.to_vec(), stop_rule, decoding: Arc::default() }
}

/// All cases of a model with this adapter.
pub(crate) fn cases(model: &str, adapter: Option<&str>) -> Vec<Case> {
    let text = fs::read_to_string(folder(model).join("cases.jsonl")).unwrap();
    let all = text.lines().map(|line| serde_json::from_str::<Case>(line).unwrap());
    all.filter(|case| case.adapter.as_deref() == adapter).collect()
}

pub(crate) fn spec(model: &str) -> EngineSpec {
    EngineSpec {
        model: model.to_owned(),
        revision: None,
        adapter: None,
        adapter_mode: AdapterMode::default(),
        tokenizer: None,
        dtype: Dtype::F32,
        endpoint: None,
    }
}

#[expect(clippy::result_large_err, reason = "a test looks at it once")]
pub(crate) fn open(spec: &EngineSpec) -> Result<Opened, t5::Error> {
    t5::open(spec, &Sources)
}

/// The engine of a model with an adapter, a path relative to the model's folder.
#[expect(clippy::result_large_err, reason = "a test looks at it once")]
pub(crate) fn adapted(model: &str, adapter: &str) -> Result<T5, t5::Error> {
    open(&adapted_spec(model, adapter, AdapterMode::Merged))?.load(1)
}

pub(crate) fn adapted_spec(model: &str, adapter: &str, adapter_mode: AdapterMode) -> EngineSpec {
    let adapter = Some(folder(model).join(adapter).to_str().unwrap().to_owned());
    EngineSpec { adapter, adapter_mode, ..spec(folder(model).to_str().unwrap()) }
}

pub(crate) fn load(folder: &Path, threads: usize) -> T5 {
    open(&spec(folder.to_str().unwrap())).unwrap().load(threads).unwrap()
}

/// The ids that the engine gives for these cases, in batches of `batch_size`.
pub(crate) fn decode(engine: &mut T5, cases: &[Case], batch_size: usize) -> Vec<Vec<u32>> {
    let prompts: Vec<Vec<u32>> = cases.iter().map(|case| case.input_ids.clone()).collect();
    prompts.chunks(batch_size).flat_map(|batch| decode_ids(engine, batch, MAX_NEW)).collect()
}

/// The ids that the engine gives for one batch of prompts.
pub(crate) fn decode_ids(engine: &mut T5, prompts: &[Vec<u32>], most: usize) -> Vec<Vec<u32>> {
    let batch: Vec<Input> = prompts
        .iter()
        .map(|ids| Input {
            prompt: engine.prompt_of_ids(ids.clone(), 512).unwrap(),
            stop_rule: StopRule::EosOr(most),
            decoding: engine.decoding(&Settings::default()).unwrap(),
        })
        .collect();
    let rows = engine.decode(&batch, &Stopwatch::synthetic()).unwrap();
    rows.into_iter().map(|row| row.unwrap().output_ids).collect()
}
