//! Seeded random weights, for machines without a hub: a seed, a name and a shape in, values out.
//!
//! The statistics are those that transformers gives a fresh T5, with wider queries, position biases and
//! head, so that attention and the choice of tokens are not flat. Any tensor can be made alone, in any
//! order, on any number of threads, and is the same.

use super::layout::HEAD;
use crate::config::Config;
use rayon::prelude::*;

/// How many values a thread makes at a time.
const CHUNK: usize = 1 << 16;

/// The values of the tensor `name`.
pub(super) fn values(seed: u64, config: &Config, name: &str, shape: &[usize]) -> Vec<f32> {
    let mut values = vec![0.0; shape.iter().product()];
    if name.ends_with("layer_norm.weight") {
        values.fill(1.0);
        return values;
    }
    let scale = deviation(config, name);
    let stream = name.bytes().fold(mix(seed), |stream, byte| mix(stream ^ u64::from(byte)));
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
        for (place, value) in values.iter_mut().enumerate() {
            *value = scale * normal(mix(stream ^ mix((chunk * CHUNK + place) as u64)));
        }
    });
    values
}

fn deviation(config: &Config, name: &str) -> f32 {
    let by_width = |width: usize| (width as f32).powf(-0.5);
    let part = name.trim_end_matches(".weight").rsplit('.').next().unwrap_or_default();
    match part {
        "relative_attention_bias" => 1.5,
        "q" => 3.0 * by_width(config.d_model * config.d_kv),
        "o" => by_width(config.inner()),
        "wo" => by_width(config.d_ff),
        _ if name == HEAD => 4.0 * by_width(config.d_model),
        "shared" => 1.0,
        _ => by_width(config.d_model),
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014): every input gives an output of its own that looks random.
fn mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Nearly normal, with mean 0 and deviation 1: the sum of four uniform numbers.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the four numbers are the four parts of the bits"
)]
fn normal(bits: u64) -> f32 {
    /// Of the sum of four numbers from 0 to 65535: half of its range, and its deviation.
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
