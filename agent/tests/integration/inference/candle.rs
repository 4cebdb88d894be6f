//! The implementation on candle's tensors, which other devices use, is exact as well.

use super::fixture::{Case, MAX_NEW, MODELS, cases, folder, greedy};
use candle_core::Device;
use engine::files::{Blob, Weights};
use model::engine::Dtype;
use seq2seq::candle::CandleT5;
use seq2seq::checkpoint::Checkpoint;
use seq2seq::config::Config;
use std::fs;

fn assert_exact(model: &mut CandleT5, batch: &[Case]) {
    let prompts = batch.iter().map(|case| &case.input_ids);
    for (case, ids) in batch.iter().zip(greedy(model, prompts, MAX_NEW)) {
        assert_eq!(ids, case.output_ids, "{}", case.id);
    }
}

#[test]
fn candle_gives_the_same_tokens() {
    for model in MODELS {
        let config = Config::parse(&fs::read(folder(model).join("config.json")).unwrap()).unwrap();
        let weights = Blob::open(&folder(model).join("model.safetensors")).unwrap();
        let checkpoint = Checkpoint::open(&config, Weights::Stored(vec![weights])).unwrap();
        let mut model_on_candle = CandleT5::load(&checkpoint, Device::Cpu, Dtype::F32).unwrap();
        let cases = cases(model, None);
        assert_exact(&mut model_on_candle, &cases);
        cases.chunks(5).for_each(|batch| assert_exact(&mut model_on_candle, batch));
        assert_exact(&mut model_on_candle, &cases[3..4]);
    }
}
