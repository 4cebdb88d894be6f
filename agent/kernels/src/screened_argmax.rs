//! Exact argmax of a wide product without computing all of it.
//!
//! An int8 copy of the weights yields every sum to within a bound. Only panels whose upper bound
//! reaches the best lower bound can contain the argmax, and only these are computed with the exact
//! weights. The copy is a quarter of the size of f32 weights, and a decoder spends half of its time
//! reading the head.
//!
//! With `x' = x + d` and `w' = w + e` as the int8 copies, `|x w - x' w'| <= |d| |w'| + |x| |e|`
//! (Cauchy-Schwarz). f32 sums of `n` products add an error of at most `n 2^-23 |x| |w|` (Higham
//! 2002, 3.1, doubled).

use super::argmax::{PANELS_PER_CHUNK, final_sums};
use super::argmax_state::{Argmax, Bounds, RowError};
use super::dispatch::{Dispatch, MAX_ROWS, Storage};
use super::gemm::{Activations, Kernels, MAX_COLUMNS, TileOf, tile_rows};
use super::rows::{Rows, SharedPtr};
use super::weights::{Layout, Weights, int8_steps, rounded};
use half::{bf16, f16};
use rayon::prelude::*;
use std::sync::PoisonError;

/// Safety margin for the rounding of the bounds themselves.
const MARGIN: f32 = 1.0 + 1e-4;

#[derive(Debug)]
pub struct Head {
    pub(super) exact: Weights,
    quantized: Option<QuantizedCopy>,
}

#[derive(Debug)]
struct QuantizedCopy {
    copy: Weights,
    /// The norm of each column of the copy.
    lengths: Vec<f32>,
    /// The distance of each column from its copy, plus the rounding error of f32 sums.
    errors: Vec<f32>,
    /// The rounding error of adding the bias.
    bias_error: f32,
}

fn length(numbers: impl Iterator<Item = f32>) -> f32 {
    numbers.map(|x| x * x).sum::<f32>().sqrt() * MARGIN
}

impl Head {
    /// Packs `values`, `[outputs, inputs]`, and an int8 copy unless the storage is as small.
    pub fn pack(
        dispatch: &'static Dispatch,
        storage: Storage,
        shape: (usize, usize),
        values: &[f32],
    ) -> Self {
        let exact = Weights::pack(dispatch, storage, Layout::Plain, shape, values);
        let is_wide = matches!(storage, Storage::F32 | Storage::F16 | Storage::Bf16);
        let quantized = is_wide.then(|| QuantizedCopy::of(dispatch, storage, shape, values));
        Self { exact, quantized }
    }

    /// Of packed weights, which are read in full for an argmax. Panics for gated ones.
    pub fn of(exact: Weights) -> Self {
        assert_eq!(exact.layout, Layout::Plain, "layout");
        Self { exact, quantized: None }
    }

    /// With a bias, one for each output.
    #[must_use]
    pub fn with_bias(self, bias: &[f32]) -> Self {
        let quantized = self.quantized.map(|quantized| {
            // Twice for rounding the exact sum and twice for that of the copy.
            let largest = bias.iter().fold(0.0_f32, |largest, bias| largest.max(bias.abs()));
            let bias_error = 4.0 * f32::EPSILON * largest;
            QuantizedCopy { copy: quantized.copy.with_bias(bias), bias_error, ..quantized }
        });
        Self { exact: self.exact.with_bias(bias), quantized }
    }

    /// The exact weights.
    pub fn weights(&self) -> &Weights {
        &self.exact
    }

    /// The weights read in full for an argmax: the copy if there is one.
    pub fn searched(&self) -> &Weights {
        self.quantized.as_ref().map_or(&self.exact, |quantized| &quantized.copy)
    }

    /// Bytes of the weights and their copy.
    pub fn bytes(&self) -> usize {
        self.exact.bytes() + self.quantized.as_ref().map_or(0, |quantized| quantized.copy.bytes())
    }
}

impl QuantizedCopy {
    fn of(
        dispatch: &'static Dispatch,
        storage: Storage,
        (outputs, inputs): (usize, usize),
        values: &[f32],
    ) -> Self {
        let copy = Weights::pack(dispatch, Storage::Int8, Layout::Plain, (outputs, inputs), values);
        let kept = |x: f32| match storage {
            Storage::F32 | Storage::Int8 | Storage::Q4 | Storage::Q8 => x,
            Storage::F16 => f16::from_f32(x).to_f32(),
            Storage::Bf16 => bf16::from_f32(x).to_f32(),
        };
        let of_sums = (inputs + 8) as f32 * f32::EPSILON;
        let (mut lengths, mut errors) = (vec![0.0; outputs], vec![0.0; outputs]);
        let columns = lengths.par_iter_mut().zip(&mut errors).zip(values.par_chunks(inputs));
        columns.for_each(|((of_copy, error), values)| {
            let (inverse, size) = int8_steps(values);
            let copied = |x: &f32| rounded(x * inverse) * size;
            *of_copy = length(values.iter().map(copied));
            *error = length(values.iter().map(|x| kept(*x) - copied(x)))
                + of_sums * length(values.iter().map(|x| kept(*x)));
        });
        Self { copy, lengths, errors, bias_error: 0.0 }
    }
}

impl Kernels {
    /// The argmax of each row of `x W^T + bias`.
    pub fn argmax(&mut self, head: &Head, x: &Rows, argmax: &mut Vec<Argmax>) {
        assert_eq!(x.width(), head.exact.inputs, "inputs");
        match &head.quantized {
            None => self.argmax_exact(&head.exact, x, argmax),
            Some(copy) => self.argmax_screened(&head.exact, copy, x, argmax),
        }
    }

    fn argmax_screened(
        &mut self,
        exact: &Weights,
        quantized: &QuantizedCopy,
        x: &Rows,
        argmax: &mut Vec<Argmax>,
    ) {
        let mut bounds = std::mem::take(&mut self.bounds);
        let encoded = self.encode(x, Storage::Int8);
        let panels = exact.panels();
        bounds.upper.resize((panels * x.count()).max(bounds.upper.len()), 0.0);
        bounds.rows.clear();
        bounds
            .rows
            .extend((0..x.count()).map(|row| row_error(exact.storage, x.row(row), &encoded, row)));
        self.bound(quantized, &encoded, &mut bounds);

        let x = self.encode(x, exact.storage);
        self.reset_argmax(x.count);
        self.pool.share(panels, PANELS_PER_CHUNK, &|thread, panels| {
            let mut scratch = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
            for panel in panels {
                let upper = &bounds.upper[panel * x.count..(panel + 1) * x.count];
                let open = |row: &usize| upper[*row] >= bounds.lower[*row];
                if (0..x.count).filter(open).count() * 3 > x.count {
                    self.scan_panel(exact, &x, 0..x.count, panel, &mut scratch);
                } else {
                    for row in (0..x.count).filter(open) {
                        self.scan_panel(exact, &x, row..row + 1, panel, &mut scratch);
                    }
                }
            }
        });
        self.merge_argmax(x.count, argmax);
        self.bounds = bounds;
    }

    /// Computes each panel's upper bound and each row's best lower bound.
    fn bound(&self, quantized: &QuantizedCopy, x: &Activations, bounds: &mut Bounds) {
        let columns = self.dispatch.columns();
        let panels = quantized.copy.panels();
        let Bounds { rows: row_errors, upper, lower } = bounds;
        let upper = SharedPtr(upper.as_mut_ptr());
        for scratch in &self.scratch {
            let mut scratch = scratch.lock().unwrap_or_else(PoisonError::into_inner);
            scratch.lower.clear();
            scratch.lower.resize(x.count, f32::NEG_INFINITY);
        }
        self.pool.share(panels, PANELS_PER_CHUNK, &|thread, panels| {
            let mut scratch = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
            let tiles = x.count.div_ceil(self.dispatch.tile_rows);
            let mut sums = [0.0_f32; MAX_ROWS * MAX_COLUMNS];
            for panel in panels {
                let first = panel * columns;
                let filled = first..quantized.copy.outputs.min(first + columns);
                let (lengths, errors) =
                    (&quantized.lengths[filled.clone()], &quantized.errors[filled]);
                for tile in 0..tiles {
                    let rows = tile_rows(0..x.count, tiles, tile);
                    let tile = TileOf { rows: rows.clone(), panel, coefficients: &[] };
                    // SAFETY: `x` was encoded as int8, as the copy is.
                    unsafe { final_sums(&quantized.copy, x, &tile, &mut sums) };
                    for (row, sums) in rows.zip(sums.chunks(columns)) {
                        let RowError { error, length } = row_errors[row];
                        let (mut most, mut least) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
                        for ((sum, of_column), off) in sums.iter().zip(lengths).zip(errors) {
                            let bound = (error * of_column + length * off) * MARGIN;
                            most = most.max(sum + bound);
                            least = least.max(sum - bound);
                        }
                        let (most, least) =
                            (most + quantized.bias_error, least - quantized.bias_error);
                        scratch.lower[row] = scratch.lower[row].max(least);
                        // SAFETY: there is room for every panel and row; panels are one thread's each.
                        unsafe { upper.at(panel * x.count + row).write(most) };
                    }
                }
            }
        });
        lower.clear();
        lower.resize(x.count, f32::NEG_INFINITY);
        for scratch in &self.scratch {
            let scratch = scratch.lock().unwrap_or_else(PoisonError::into_inner);
            for (lower, found) in lower.iter_mut().zip(&scratch.lower) {
                *lower = lower.max(*found);
            }
        }
    }
}

/// The distance of a row from its int8 copy, relative to the values that the exact product sees.
fn row_error(storage: Storage, x: &[f32], encoded: &Activations, row: usize) -> RowError {
    // SAFETY: the row was encoded as int8, a byte for each number, with a scale.
    let (copy, scale) = unsafe {
        let first = encoded.rows.at(row * encoded.stride);
        (std::slice::from_raw_parts(first, x.len()), *encoded.scales.at(row))
    };
    let seen = |x: f32| if storage == Storage::Bf16 { bf16::from_f32(x).to_f32() } else { x };
    let copied = |step: u8| (f32::from(step) - 128.0) * scale;
    RowError {
        error: length(x.iter().zip(copy).map(|(x, step)| seen(*x) - copied(*step))),
        length: length(x.iter().map(|x| seen(*x))),
    }
}

#[cfg(test)]
#[path = "screened_argmax_tests.rs"]
mod tests;
