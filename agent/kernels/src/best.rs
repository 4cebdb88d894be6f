//! The best column of a product, row by row: the head's logits are never written out.

use super::lines::{Finish, Scales, Sums};
use super::product::{Activations, Kernels, MOST_COLUMNS, panel_sums, tile_rows};
use super::rows::Rows;
use super::table::{MOST_ROWS, Storage};
use super::weights::Weights;
use std::ops::Range;
use std::sync::PoisonError;

/// The highest sum of a row and its column, the lowest one of those. Minus infinity where no sum is a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Highest {
    /// Which column.
    pub column: usize,
    /// Its sum.
    pub sum: f32,
}

/// Panels of a wide product that a thread takes at a time.
pub(super) const PANELS_AT_ONCE: usize = 8;

impl Highest {
    pub(super) const NONE: Self = Self { column: 0, sum: f32::NEG_INFINITY };
}

impl Kernels {
    /// The highest column of each row's product with the weights.
    pub(super) fn highest_of_all(
        &mut self,
        weights: &Weights,
        x: &Rows,
        highest: &mut Vec<Highest>,
    ) {
        let x = self.encode(x, weights.storage);
        self.forget_highest(x.count);
        self.pool.share(weights.panels(), PANELS_AT_ONCE, &|thread, panels| {
            let mut room = self.rooms[thread].lock().unwrap_or_else(PoisonError::into_inner);
            for panel in panels {
                self.look_at(weights, &x, 0..x.count, panel, &mut room.highest);
            }
        });
        self.gather_highest(x.count, highest);
    }

    /// Begins a search: no thread has found anything yet.
    pub(super) fn forget_highest(&self, rows: usize) {
        for room in &self.rooms {
            let mut room = room.lock().unwrap_or_else(PoisonError::into_inner);
            room.highest.clear();
            room.highest.resize(rows, Highest::NONE);
        }
    }

    /// The best of what all threads found.
    pub(super) fn gather_highest(&self, rows: usize, highest: &mut Vec<Highest>) {
        highest.clear();
        highest.resize(rows, Highest::NONE);
        for room in &self.rooms {
            let room = room.lock().unwrap_or_else(PoisonError::into_inner);
            for (best, found) in highest.iter_mut().zip(&room.highest) {
                let order = found.sum.total_cmp(&best.sum);
                if order.then(best.column.cmp(&found.column)).is_gt() {
                    *best = *found;
                }
            }
        }
    }

    /// Looks for better columns in one panel.
    pub(super) fn look_at(
        &self,
        weights: &Weights,
        x: &Activations,
        rows: Range<usize>,
        panel: usize,
        highest: &mut [Highest],
    ) {
        let columns = self.table.columns();
        let first = panel * columns;
        let filled = columns.min(weights.outputs - first);
        let tiles = rows.len().div_ceil(self.table.tile_rows);
        for tile in 0..tiles {
            let rows = tile_rows(rows.clone(), tiles, tile);
            let mut sums = [0.0_f32; MOST_ROWS * MOST_COLUMNS];
            // SAFETY: `x` was encoded for these weights.
            unsafe { final_sums(weights, x, rows.clone(), panel, &mut sums) };
            for (best, sums) in highest[rows].iter_mut().zip(sums.chunks(columns)) {
                let sums = &sums[..filled];
                // Panels come in any order: of equal sums the lowest column is the best.
                if self.table.highest(sums) >= best.sum {
                    for (place, sum) in sums.iter().enumerate() {
                        let column = first + place;
                        if *sum > best.sum || (*sum >= best.sum && column < best.column) {
                            *best = Highest { column, sum: *sum };
                        }
                    }
                }
            }
        }
    }
}

/// The sums of a tile with one panel, as f32 for every storage.
///
/// # Safety
/// As [`panel_sums`].
pub(super) unsafe fn final_sums(
    weights: &Weights,
    x: &Activations,
    rows: Range<usize>,
    panel: usize,
    sums: &mut [f32; MOST_ROWS * MOST_COLUMNS],
) {
    let columns = weights.table.columns();
    // SAFETY: passed on to the caller; results take the place of the sums that they are made of.
    unsafe {
        panel_sums(weights, x, rows.clone(), panel, sums);
        if weights.storage == Storage::Int8 {
            let scales = Scales {
                rows: x.scales.at(rows.start),
                columns: weights.scales.as_ptr().add(panel * columns),
                offsets: weights.offsets.as_ptr().add(panel * columns),
            };
            (weights.table.finish)(&Sums {
                from: sums.as_ptr(),
                rows: rows.len(),
                scales: Some(scales),
                finish: Finish::Store,
                to: sums.as_mut_ptr(),
                stride: columns,
            });
        }
    }
}
