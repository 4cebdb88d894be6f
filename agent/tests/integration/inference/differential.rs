//! Against candle-transformers' T5: one sequence at a time, and nine tokens only, because from the
//! tenth on its decoder puts distances into the encoder's buckets.

use super::fixture::{MODELS, cases, decode, folder, load};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::t5::{Config, T5ForConditionalGeneration};
use std::fs;

const TOKENS: usize = 9;

fn greedy(model: &mut T5ForConditionalGeneration, prompt: &[u32]) -> candle_core::Result<Vec<u32>> {
    model.clear_kv_cache();
    let input = |ids: &[u32]| Tensor::new(ids, &Device::Cpu)?.unsqueeze(0);
    let encoded = model.encode(&input(prompt)?)?;
    let mut ids = vec![0];
    while ids.len() <= TOKENS && ids.last() != Some(&1) {
        let logits = model.decode(&input(&ids[ids.len() - 1..])?, &encoded)?;
        ids.push(logits.squeeze(0)?.argmax(0)?.to_scalar()?);
    }
    Ok(ids.split_off(1))
}

#[test]
fn the_first_nine_tokens_are_those_of_candle_transformers() {
    for model in MODELS {
        let config = fs::read_to_string(folder(model).join("config.json")).unwrap();
        let config: Config = serde_json::from_str(&config).unwrap();
        let tensors =
            candle_core::safetensors::load(folder(model).join("model.safetensors"), &Device::Cpu)
                .unwrap();
        let weights = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let mut theirs = T5ForConditionalGeneration::load(weights, &config).unwrap();

        let cases = cases(model, None);
        let ours = decode(&mut load(&folder(model), 2), &cases, 1);
        for (case, ours) in cases.iter().zip(ours) {
            let theirs = greedy(&mut theirs, &case.input_ids).unwrap();
            assert_eq!(ours[..ours.len().min(TOKENS)], theirs, "{}", case.id);
        }
    }
}
