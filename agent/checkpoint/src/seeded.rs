//! Random weights from a seed, for machines without access to the hub.
//!
//! The distributions are like those of a freshly initialized model in transformers, with wider
//! queries, position biases and head, so that attention and token choice are not flat. Each tensor is
//! independent of order and thread count.

use rayon::prelude::*;
use std::ops::Range;

/// Values generated per task.
const CHUNK: usize = 1 << 16;

/// How a tensor is filled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Filling {
    Constant(f32),
    /// Normal with this deviation.
    Normal(f32),
    /// Normal with this deviation, each value followed by its opposite: every row has mean 0.
    Opposites(f32),
}

/// The values of the tensor `name` at these places, which are even where each is followed by its
/// opposite.
pub(super) fn values(seed: u64, name: &str, filling: Filling, places: Range<usize>) -> Vec<f32> {
    let (scale, has_opposites) = match filling {
        Filling::Constant(value) => return vec![value; places.len()],
        Filling::Normal(deviation) => (deviation, false),
        Filling::Opposites(deviation) => (deviation, true),
    };
    let mut values = vec![0.0; places.len()];
    let stream = name.bytes().fold(mix(seed), |stream, byte| mix(stream ^ u64::from(byte)));
    values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
        for (place, value) in values.iter_mut().enumerate() {
            *value =
                scale * normal(mix(stream ^ mix((places.start + chunk * CHUNK + place) as u64)));
        }
        if has_opposites {
            for pair in values.as_chunks_mut::<2>().0 {
                pair[1] = -pair[0];
            }
        }
    });
    values
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
    fn parts_have_the_values_of_the_whole() {
        for filling in [Filling::Constant(2.0), Filling::Normal(1.0), Filling::Opposites(3.0)] {
            let whole = values(7, "a", filling, 0..200_000);
            let parts = [0..70_000, 70_000..70_002, 70_002..200_000];
            let parts = parts.map(|places| values(7, "a", filling, places));
            assert!(parts.concat() == whole, "{filling:?}");
        }
    }

    #[test]
    fn seeded_values_have_mean_0_and_deviation_1_and_never_change() {
        let values: Vec<f32> = (0..100_000).map(|place| normal(mix(place))).collect();
        let mean = values.iter().sum::<f32>() / 1e5;
        let deviation = (values.iter().map(|value| value * value).sum::<f32>() / 1e5).sqrt();
        assert!(mean.abs() < 0.01 && (deviation - 1.0).abs() < 0.01, "{mean} {deviation}");
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }
}
