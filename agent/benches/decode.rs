//! flan-t5-small's shape with random weights on two threads: prompts encoded, and single decoder
//! steps.
//!
//! `cargo bench -p agent --bench decode`. Items are tokens.

use agent::model_source;
use divan::Bencher;
use divan::counter::ItemsCount;
use generation::compute::Compute;
use kernels::Dispatch;
use model::engine::{AdapterMode, Dtype, EngineName, EngineSpec};
use seq2seq::checkpoint::Checkpoint;
use seq2seq::config::Config;
use seq2seq::cpu::CpuModel;

const THREADS: usize = 2;
/// Of SAMSum's dialogues, on average.
const PROMPT: u32 = 205;
/// As many as are run for one figure.
const STEPS: u32 = 64;

fn main() {
    divan::main();
}

/// Dtypes and batch sizes.
fn cases() -> Vec<(Dtype, usize)> {
    let dtypes = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Int8];
    dtypes.into_iter().flat_map(|dtype| [1, 4, 8, 16].map(|rows| (dtype, rows))).collect()
}

fn load(dtype: Dtype) -> CpuModel {
    let spec = EngineSpec {
        model: "dummy:flan-t5-small".to_owned(),
        revision: None,
        adapter: None,
        adapter_mode: AdapterMode::default(),
        tokenizer: None,
        dtype,
        endpoint: None,
        engine: EngineName::default(),
    };
    let model = model_source::find(&spec).expect("the program brings it");
    let config = Config::parse(&model.config.read().expect("held in memory")).expect("its own");
    let checkpoint = Checkpoint::open(&config, model.weights).expect("seeded weights always fit");
    CpuModel::load(&checkpoint, dtype, Dispatch::best(), THREADS).expect("made from a seed")
}

/// Prompts of one length.
fn prompts(rows: usize) -> Vec<Vec<u32>> {
    let token =
        |row: usize, place: u32| 2 + (place * 31 + u32::from(row.is_multiple_of(2))) % 30_000;
    (0..rows).map(|row| (0..PROMPT).map(|place| token(row, place)).collect()).collect()
}

fn begin(model: &mut CpuModel, prompts: &[Vec<u32>]) {
    let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
    model.encode(&prompts, STEPS as usize + 1).expect("it fits");
}

/// Encoding, keys and values of the prompts included.
#[divan::bench(args = cases(), sample_count = 10, sample_size = 1)]
fn encode(bencher: Bencher, (dtype, rows): (Dtype, usize)) {
    let mut model = load(dtype);
    let prompts = prompts(rows);
    bencher
        .counter(ItemsCount::new(rows * PROMPT as usize))
        .bench_local(|| begin(&mut model, &prompts));
}

/// One token for every row, each sample a step further on.
#[divan::bench(args = cases(), sample_count = STEPS, sample_size = 1)]
fn step(bencher: Bencher, (dtype, rows): (Dtype, usize)) {
    let mut model = load(dtype);
    begin(&mut model, &prompts(rows));
    let tokens = vec![5; rows];
    let mut best = Vec::new();
    bencher
        .counter(ItemsCount::new(rows))
        .bench_local(|| model.step(&tokens, &mut best).expect("it fits"));
}
