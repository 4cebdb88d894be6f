//! Models and cases that the tests share.

use agent::engines;
use engine::files::{Blob, Weights};
use generation::compute::Compute;
use generation::generate::{
    Decoded, NotFinite, RowQueue, RowRequest, SpecialTokens, StopRule, generate,
};
use generation::{Input, LanguageModel, Opened};
use model::engine::{AdapterMode, Dtype, EngineName, EngineSpec};
use model::generation::Settings;
use seq2seq::checkpoint::Checkpoint;
use seq2seq::config::Config;
use seq2seq::device::Device;
use serde::Deserialize;
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stopwatch::Stopwatch;

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

/// The checkpoint in a folder.
pub(crate) fn checkpoint(folder: &Path) -> Checkpoint {
    let config = Config::parse(&fs::read(folder.join("config.json")).unwrap()).unwrap();
    let weights = Blob::open(&folder.join("model.safetensors")).unwrap();
    Checkpoint::open(&config, Weights::Stored(vec![weights])).unwrap()
}

/// Rows that join in groups, each when the one before has `left` rows.
struct Groups {
    waiting: VecDeque<Vec<RowRequest>>,
    left: usize,
    active: usize,
    ended: Vec<Option<Decoded>>,
}

impl RowQueue for Groups {
    fn enter(&mut self) -> Vec<RowRequest> {
        if self.active > self.left {
            return Vec::new();
        }
        let group = self.waiting.pop_front().unwrap_or_default();
        self.active += group.len();
        group
    }

    fn ended(&mut self, number: usize, row: Result<Decoded, NotFinite>) {
        self.active -= 1;
        assert!(self.ended[number].replace(row.unwrap()).is_none(), "row {number} ended twice");
    }
}

/// How requests enter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batches {
    pub(crate) size: usize,
    /// The next batch joins once this many rows are left.
    pub(crate) left: usize,
}

/// Decodes requests whose rows end with `eos`.
pub(crate) fn run(
    model: &mut dyn Compute,
    requests: &[RowRequest],
    eos: &[u32],
    batches: Batches,
) -> Vec<Decoded> {
    let mut groups = Groups {
        waiting: requests.chunks(batches.size).map(<[_]>::to_vec).collect(),
        left: batches.left,
        active: 0,
        ended: vec![None; requests.len()],
    };
    let special_tokens = SpecialTokens { eos: eos.to_vec() };
    generate(model, &special_tokens, &mut groups, &Stopwatch::synthetic()).unwrap();
    groups.ended.into_iter().map(|row| row.expect("every row ends")).collect()
}

/// The ids that follow these prompts, decoded together.
pub(crate) fn greedy<'a>(
    model: &mut dyn Compute,
    prompts: impl IntoIterator<Item = &'a Vec<u32>>,
    most: usize,
) -> Vec<Vec<u32>> {
    let stop_rule = StopRule::EosOr(most);
    let requests: Vec<RowRequest> =
        prompts.into_iter().map(|ids| row_request(ids, stop_rule)).collect();
    let rows = run(model, &requests, &[1], Batches { size: usize::MAX, left: 0 });
    rows.into_iter().map(|row| row.ids).collect()
}

pub(crate) fn row_request(ids: &[u32], stop_rule: StopRule) -> RowRequest {
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
        engine: EngineName::default(),
    }
}

pub(crate) fn open(spec: &EngineSpec) -> Result<Opened, engines::Error> {
    engines::open(spec, &Device::cpu())
}

/// The engine of a model with an adapter, a path relative to the model's folder.
pub(crate) fn adapted(model: &str, adapter: &str) -> Result<LanguageModel, engines::Error> {
    Ok(open(&adapted_spec(model, adapter, AdapterMode::Merged))?.load(1)?)
}

pub(crate) fn adapted_spec(model: &str, adapter: &str, adapter_mode: AdapterMode) -> EngineSpec {
    let adapter = Some(folder(model).join(adapter).to_str().unwrap().to_owned());
    EngineSpec { adapter, adapter_mode, ..spec(folder(model).to_str().unwrap()) }
}

pub(crate) fn load(folder: &Path, threads: usize) -> LanguageModel {
    open(&spec(folder.to_str().unwrap())).unwrap().load(threads).unwrap()
}

/// The ids that the engine gives for these cases, in batches of `batch_size`.
pub(crate) fn decode(
    engine: &mut LanguageModel,
    cases: &[Case],
    batch_size: usize,
) -> Vec<Vec<u32>> {
    let prompts: Vec<Vec<u32>> = cases.iter().map(|case| case.input_ids.clone()).collect();
    prompts.chunks(batch_size).flat_map(|batch| decode_ids(engine, batch, MAX_NEW)).collect()
}

/// The ids that the engine gives for one batch of prompts.
pub(crate) fn decode_ids(
    engine: &mut LanguageModel,
    prompts: &[Vec<u32>],
    most: usize,
) -> Vec<Vec<u32>> {
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
