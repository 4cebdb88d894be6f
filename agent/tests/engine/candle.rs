//! The implementation on candle's tensors, which other devices use, is exact as well.

use crate::fixture::{Case, MAX_NEW, MODELS, cases, folder};
use agent::engine::t5::candle::CandleT5;
use agent::engine::t5::checkpoint::Checkpoint;
use agent::engine::t5::config::Config;
use agent::engine::t5::generate::{Marks, Order, Until, generate};
use agent::model_source::{Blob, Weights};
use agent::stopwatch::Stopwatch;
use candle_core::Device;
use proto::model::Dtype;
use std::fs;

fn assert_exact(model: &mut CandleT5, batch: &[Case]) {
    let orders: Vec<Order> = batch
        .iter()
        .map(|case| Order { ids: case.input_ids.clone(), until: Until::EosOr(MAX_NEW) })
        .collect();
    let marks = Marks { start: 0, eos: vec![1] };
    generate(model, &marks, &orders, &Stopwatch::played(), &mut |place, row| {
        assert_eq!(row.unwrap().ids, batch[place].output_ids, "{}", batch[place].id);
    })
    .unwrap();
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
