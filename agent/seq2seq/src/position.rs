//! Positions: T5's relative buckets (`_relative_position_bucket` of transformers 5.23,
//! `modeling_t5.py`) with the bias tables made of them, and PEGASUS's sinusoids.

use crate::config::{Config, Positions};
use model::failure::{Failure, Kind, Retry};

/// A failure if a prompt or a summary of so many tokens has more than a model has positions.
pub(crate) fn check(config: &Config, longest: usize) -> Result<(), Failure> {
    match config.positions.limit() {
        Some(limit) if longest > limit => Err(Failure {
            retry: Retry::Never,
            kind: Kind::Input,
            detail: format!(
                "{longest} tokens: this {} has {limit} positions for a prompt and as many for a summary",
                config.family
            ),
        }),
        _ => Ok(()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Encoder: half of the buckets are for later positions.
    Both,
    /// Decoder: all buckets are for earlier positions.
    Back,
}

#[derive(Debug, Clone, Copy)]
pub struct Buckets {
    pub count: usize,
    /// Larger distances share the last bucket.
    pub max_distance: usize,
    pub direction: Direction,
}

impl Buckets {
    /// `None` if positions are not relative.
    pub fn new(positions: Positions, direction: Direction) -> Option<Self> {
        match positions {
            Positions::Relative { buckets, max_distance } => {
                Some(Self { count: buckets, max_distance, direction })
            }
            Positions::Learned { .. } | Positions::Sinusoidal { .. } => None,
        }
    }

    /// The bucket of a key at `offset` from its query; negative: before it.
    pub fn of(self, offset: isize) -> usize {
        let distance = offset.unsigned_abs();
        match self.direction {
            Direction::Both => {
                let half = self.count / 2;
                let first = if offset > 0 { half } else { 0 };
                first + within(half, self.max_distance, distance)
            }
            Direction::Back if offset > 0 => 0,
            Direction::Back => within(self.count, self.max_distance, distance),
        }
    }

    /// The bias of every offset in `-before..=after`, `[heads, before + 1 + after]`. `weight`:
    /// `relative_attention_bias`, `[buckets, heads]`.
    pub fn table(self, weight: &[f32], heads: usize, before: usize, after: usize) -> Vec<f32> {
        let buckets: Vec<usize> = (0..=before + after)
            .map(|place| self.of(place.cast_signed() - before.cast_signed()))
            .collect();
        (0..heads)
            .flat_map(|head| buckets.iter().map(move |bucket| weight[bucket * heads + head]))
            .collect()
    }
}

/// Small distances have one bucket each, larger ones share logarithmically. In f32, like PyTorch.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bucket is small and not negative; PyTorch cuts the fraction off as well"
)]
fn within(count: usize, max_distance: usize, distance: usize) -> usize {
    let exact = count / 2;
    if distance < exact {
        return distance;
    }
    let span = (max_distance as f64 / exact as f64).ln() as f32;
    let far = (distance as f32 / exact as f32).ln() / span * (count - exact) as f32;
    (exact + far as usize).min(count - 1)
}

/// `[count, width]`: the sines of all frequencies, then their cosines
/// (`PegasusSinusoidalPositionalEmbedding`), computed in f64 as there.
#[expect(clippy::cast_possible_truncation, reason = "tables are f32")]
pub fn sinusoids(count: usize, width: usize) -> Vec<f32> {
    let sines = width.div_ceil(2);
    let mut table = Vec::with_capacity(count * width);
    for position in 0..count {
        let angle = |pair: usize| position as f64 / 1e4_f64.powf((2 * pair) as f64 / width as f64);
        table.extend((0..sines).map(|pair| angle(pair).sin() as f32));
        table.extend((0..width - sines).map(|pair| angle(pair).cos() as f32));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PyTorch's buckets for 32 buckets and a maximum distance of 128.
    #[test]
    fn the_decoder_uses_all_buckets_for_what_came_before() {
        let buckets = Buckets { count: 32, max_distance: 128, direction: Direction::Back };
        for (distance, bucket) in
            [(0, 0), (9, 9), (15, 15), (16, 16), (32, 21), (64, 26), (128, 31), (600, 31)]
        {
            assert_eq!(buckets.of(-distance), bucket, "distance {distance}");
        }
        assert_eq!(buckets.of(5), 0);
    }

    #[test]
    fn the_encoder_halves_them() {
        let buckets = Buckets { count: 32, max_distance: 128, direction: Direction::Both };
        for (distance, bucket) in
            [(0, 0), (7, 7), (8, 8), (9, 8), (16, 10), (32, 12), (64, 14), (128, 15), (600, 15)]
        {
            assert_eq!(buckets.of(-distance), bucket, "distance {distance}");
            if distance > 0 {
                assert_eq!(buckets.of(distance), bucket + 16, "distance {distance}");
            }
        }
    }

    /// `create_weight` of transformers for 4 positions of width 5.
    #[test]
    fn sinusoids_are_those_of_pegasus() {
        let table = sinusoids(4, 5);
        assert_eq!(&table[..5], [0.0, 0.0, 0.0, 1.0, 1.0]);
        let expected = [0.141_12, 0.075_285, 0.001_892_87, -0.989_992, 0.997_162];
        for (found, expected) in table[15..].iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn a_table_holds_every_offset_of_every_head() {
        let buckets = Buckets { count: 4, max_distance: 8, direction: Direction::Both };
        let weight = [0.0, 10.0, 1.0, 11.0, 2.0, 12.0, 3.0, 13.0];
        assert_eq!(buckets.table(&weight, 2, 1, 1), [1.0, 0.0, 3.0, 11.0, 10.0, 13.0]);
    }
}
