//! Random weights from a seed, for machines without access to the hub.
//!
//! The distributions are like those of a freshly initialized model in transformers, with wider
//! queries, position biases and head, so that attention and token choice are not flat. Each tensor is
//! independent of order and thread count.

use super::layout::HEAD;
use crate::config::{Config, Family};
use rayon::prelude::*;

/// Values generated per task.
const CHUNK: usize = 1 << 16;

pub(super) fn values(seed: u64, config: &Config, name: &str, shape: &[usize]) -> Vec<f32> {
    let mut values = vec![0.0; shape.iter().product()];
    if name.ends_with(".bias") {
        return values;
    }
    if name.ends_with("layer_norm.weight") || name.ends_with("layernorm_embedding.weight") {
        values.fill(1.0);
        return values;
    }
    let scale = deviation(config, name);
    let stream = name.bytes().fold(mix(seed), |stream, byte| mix(stream ^ u64::from(byte)));
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
        for (place, value) in values.iter_mut().enumerate() {
            *value = scale * normal(mix(stream ^ mix((chunk * CHUNK + place) as u64)));
        }
        if name.ends_with(".fc2.weight") {
            // The mean of the activations would be a sum that is the same for every token, and
            // each norm after it would leave less of what differs.
            for pair in values.as_chunks_mut::<2>().0 {
                pair[1] = -pair[0];
            }
        }
    });
    values
}

fn deviation(config: &Config, name: &str) -> f32 {
    let by_width = |width: usize| (width as f32).powf(-0.5);
    let part = name.trim_end_matches(".weight").rsplit('.').next().unwrap_or_default();
    let stack = if name.contains("decoder.") { &config.decoder } else { &config.encoder };
    match part {
        "relative_attention_bias" => 1.5,
        "q" => 3.0 * by_width(config.d_model * stack.head_width),
        "o" => by_width(stack.inner()),
        "wo" => by_width(stack.d_ff),
        // Scaled by the width of a head later.
        "q_proj" => 3.0 * by_width(config.d_model),
        // Norms follow the sums of BART's layers: with less of this, summaries would repeat one
        // token; with more, f32 would not be precise enough.
        "fc2" => 2.0 * by_width(stack.d_ff),
        // The head as well, and a norm follows the embedding.
        "shared" | "embed_positions" if config.family != Family::T5 => {
            4.0 * by_width(config.d_model)
        }
        _ if name == HEAD => 4.0 * by_width(config.d_model),
        "shared" => 1.0,
        _ => by_width(config.d_model),
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014).
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Approximately standard normal: the sum of four uniform numbers.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the four numbers are the four parts of the bits"
)]
fn normal(bits: u64) -> f32 {
    /// Mean and standard deviation of the sum of four numbers in 0..=65535.
    const MEAN: f32 = 131_070.0;
    const DEVIATION: f32 = 37_837.23;
    let sum: u32 = (0..4).map(|part| u32::from((bits >> (16 * part)) as u16)).sum();
    (sum as f32 - MEAN) / DEVIATION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_values_have_mean_0_and_deviation_1_and_never_change() {
        let values: Vec<f32> = (0..100_000).map(|place| normal(mix(place))).collect();
        let mean = values.iter().sum::<f32>() / 1e5;
        let deviation = (values.iter().map(|value| value * value).sum::<f32>() / 1e5).sqrt();
        assert!(mean.abs() < 0.01 && (deviation - 1.0).abs() < 0.01, "{mean} {deviation}");
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }
}
