//! Random values for the tests of products.

use super::Rows;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// From -1 to 1.
pub(crate) fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut numbers = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| numbers.random::<f32>() * 2.0 - 1.0).collect()
}

pub(crate) fn rows_of(values: &[f32], width: usize) -> Rows {
    let mut rows = Rows::new(width);
    rows.resize(values.len() / width);
    for (row, values) in values.chunks(width).enumerate() {
        rows.row_mut(row).copy_from_slice(values);
    }
    rows
}
