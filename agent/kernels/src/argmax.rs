//! Row-wise argmax of a product, without materializing the logits.

use super::argmax_state::Argmax;
use super::dispatch::{MAX_ROWS, Storage};
use super::gemm::{
    Activations, Kernels, MAX_COLUMNS, Scratch, TileOf, expand, panel_sums, tile_rows,
};
use super::rows::Rows;
use super::rowwise::{Epilogue, EpilogueArgs, Scales};
use super::weights::Weights;
use std::{ops::Range, sync::PoisonError};

pub(super) const PANELS_PER_CHUNK: usize = 8;

impl Kernels {
    /// The argmax of each row of `x W^T + bias`.
    pub(super) fn argmax_exact(&mut self, weights: &Weights, x: &Rows, argmax: &mut Vec<Argmax>) {
        let x = self.encode(x, weights.storage);
        self.reset_argmax(x.count);
        self.pool.share(weights.panels(), PANELS_PER_CHUNK, &|thread, panels| {
            let mut scratch = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
            for panel in panels {
                self.scan_panel(weights, &x, 0..x.count, panel, &mut scratch);
            }
        });
        self.merge_argmax(x.count, argmax);
    }

    pub(super) fn reset_argmax(&self, rows: usize) {
        for scratch in &self.scratch {
            let mut scratch = scratch.lock().unwrap_or_else(PoisonError::into_inner);
            scratch.argmax.clear();
            scratch.argmax.resize(rows, Argmax::NONE);
        }
    }

    pub(super) fn merge_argmax(&self, rows: usize, argmax: &mut Vec<Argmax>) {
        argmax.clear();
        argmax.resize(rows, Argmax::NONE);
        for scratch in &self.scratch {
            let scratch = scratch.lock().unwrap_or_else(PoisonError::into_inner);
            for (best, found) in argmax.iter_mut().zip(&scratch.argmax) {
                let order = found.sum.total_cmp(&best.sum);
                if order.then(best.column.cmp(&found.column)).is_gt() {
                    *best = *found;
                }
            }
        }
    }

    pub(super) fn scan_panel(
        &self,
        weights: &Weights,
        x: &Activations,
        rows: Range<usize>,
        panel: usize,
        scratch: &mut Scratch,
    ) {
        let Scratch { argmax, coefficients, .. } = scratch;
        expand(weights, panel, coefficients);
        let columns = self.dispatch.columns();
        let first = panel * columns;
        let filled = columns.min(weights.outputs - first);
        let tiles = rows.len().div_ceil(weights.tile_rows());
        for tile in 0..tiles {
            let rows = tile_rows(rows.clone(), tiles, tile);
            let mut sums = [0.0_f32; MAX_ROWS * MAX_COLUMNS];
            let tile = TileOf { rows: rows.clone(), panel, coefficients };
            // SAFETY: `x` was encoded for these weights.
            unsafe { final_sums(weights, x, &tile, &mut sums) };
            for (best, sums) in argmax[rows].iter_mut().zip(sums.chunks(columns)) {
                let sums = &sums[..filled];
                // Panels are visited in any order: among equal sums the lowest column wins.
                if self.dispatch.max(sums) >= best.sum {
                    for (place, sum) in sums.iter().enumerate() {
                        let column = first + place;
                        if *sum > best.sum || (*sum >= best.sum && column < best.column) {
                            *best = Argmax { column, sum: *sum };
                        }
                    }
                }
            }
        }
    }
}

/// The sums of a tile with one panel and the bias, as f32 for every storage.
///
/// # Safety
/// As [`panel_sums`].
pub(super) unsafe fn final_sums(
    weights: &Weights,
    x: &Activations,
    tile: &TileOf<'_>,
    sums: &mut [f32; MAX_ROWS * MAX_COLUMNS],
) {
    let columns = weights.dispatch.columns();
    let TileOf { rows, panel, .. } = tile;
    // SAFETY: passed on to the caller; results take the place of the sums that they are made of.
    unsafe {
        panel_sums(weights, x, tile, sums);
        if weights.storage == Storage::Int8 || weights.bias.is_some() {
            let scales = (weights.storage == Storage::Int8).then(|| Scales {
                rows: x.scales.at(rows.start),
                columns: weights.scales.as_ptr().add(panel * columns),
                offsets: weights.offsets.as_ptr().add(panel * columns),
            });
            (weights.dispatch.epilogue)(&EpilogueArgs {
                from: sums.as_ptr(),
                rows: rows.len(),
                scales,
                bias: weights.bias_at(*panel),
                epilogue: Epilogue::Store,
                to: sums.as_mut_ptr(),
                stride: columns,
            });
        }
    }
}
