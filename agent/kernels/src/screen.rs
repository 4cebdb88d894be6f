//! The best column of a wide product without computing all of it, and yet exactly.
//!
//! An int8 copy of the weights gives every sum to within a bound. Only panels whose upper bound reaches the
//! best lower bound can hold the best column; only these are computed with the weights themselves. The
//! copy is a quarter of f32 weights, and a decoder spends half of its time on reading the head.
//!
//! With `x' = x + d` and `w' = w + e` as the int8 copies, `|x w - x' w'| <= |d| |w'| + |x| |e|` (Cauchy and
//! Schwarz). Sums of `n` products in f32 are off by at most `n 2^-23 |x| |w|` more (Higham 2002, 3.1, doubled).

use super::best::{Highest, PANELS_AT_ONCE, final_sums};
use super::product::{Activations, Kernels, MOST_COLUMNS, tile_rows};
use super::rows::{Rows, Shared};
use super::table::{MOST_ROWS, Storage, Table};
use super::weights::{Layout, Weights, int8_steps, rounded};
use half::{bf16, f16};
use rayon::prelude::*;
use std::sync::PoisonError;

/// Bounds are computed in f32 as well: this much more, to be on the safe side.
const MARGIN: f32 = 1.0 + 1e-4;

/// Weights for finding the best column.
#[derive(Debug)]
pub struct Head {
    pub(super) exact: Weights,
    screen: Option<Screen>,
}

#[derive(Debug)]
struct Screen {
    copy: Weights,
    /// The length of each column of the copy.
    lengths: Vec<f32>,
    /// How far each column is from its copy, and what f32 sums may add to that.
    errors: Vec<f32>,
}

/// How far a row of activations may be off.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Off {
    /// `|d|`.
    error: f32,
    /// `|x|`.
    length: f32,
}

/// What screening needs for a batch: grows to the largest one.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    rows: Vec<Off>,
    /// The upper bound of each panel, `[panels][rows]`.
    upper: Vec<f32>,
    /// The best lower bound of each row.
    lower: Vec<f32>,
}

fn length(numbers: impl Iterator<Item = f32>) -> f32 {
    numbers.map(|x| x * x).sum::<f32>().sqrt() * MARGIN
}

impl Head {
    /// Packs `values`, `[outputs, inputs]`; with an int8 copy unless they are int8 themselves.
    pub fn pack(
        table: &'static Table,
        storage: Storage,
        shape: (usize, usize),
        values: &[f32],
    ) -> Self {
        let exact = Weights::pack(table, storage, Layout::Plain, shape, values);
        let screen = (storage != Storage::Int8).then(|| Screen::of(table, storage, shape, values));
        Self { exact, screen }
    }

    /// The weights alone, for all sums.
    pub fn weights(&self) -> &Weights {
        &self.exact
    }

    /// What is read in full to find the best column: the copy, or the weights where there is none.
    pub fn searched(&self) -> &Weights {
        self.screen.as_ref().map_or(&self.exact, |screen| &screen.copy)
    }

    /// Bytes of the weights and of their copy.
    pub fn bytes(&self) -> usize {
        self.exact.bytes() + self.screen.as_ref().map_or(0, |screen| screen.copy.bytes())
    }
}

impl Screen {
    fn of(
        table: &'static Table,
        storage: Storage,
        (outputs, inputs): (usize, usize),
        values: &[f32],
    ) -> Self {
        let copy = Weights::pack(table, Storage::Int8, Layout::Plain, (outputs, inputs), values);
        let kept = |x: f32| match storage {
            Storage::F32 | Storage::Int8 => x,
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
        Self { copy, lengths, errors }
    }
}

impl Kernels {
    /// The highest column of each row's product with the head.
    ///
    /// # Panics
    /// Where the head has other inputs.
    pub fn highest(&mut self, head: &Head, x: &Rows, highest: &mut Vec<Highest>) {
        assert_eq!(x.width(), head.exact.inputs, "inputs");
        match &head.screen {
            None => self.highest_of_all(&head.exact, x, highest),
            Some(screen) => self.highest_screened(&head.exact, screen, x, highest),
        }
    }

    fn highest_screened(
        &mut self,
        exact: &Weights,
        screen: &Screen,
        x: &Rows,
        highest: &mut Vec<Highest>,
    ) {
        let mut bounds = std::mem::take(&mut self.bounds);
        let encoded = self.encode(x, Storage::Int8);
        let panels = exact.panels();
        bounds.upper.resize((panels * x.count()).max(bounds.upper.len()), 0.0);
        bounds.rows.clear();
        bounds.rows.extend((0..x.count()).map(|row| off(exact.storage, x.row(row), &encoded, row)));
        self.bound(screen, &encoded, &mut bounds);

        let x = self.encode(x, exact.storage);
        self.forget_highest(x.count);
        self.pool.share(panels, PANELS_AT_ONCE, &|thread, panels| {
            let mut room = self.rooms[thread].lock().unwrap_or_else(PoisonError::into_inner);
            for panel in panels {
                let upper = &bounds.upper[panel * x.count..(panel + 1) * x.count];
                let open = |row: &usize| upper[*row] >= bounds.lower[*row];
                if (0..x.count).filter(open).count() * 3 > x.count {
                    self.look_at(exact, &x, 0..x.count, panel, &mut room.highest);
                } else {
                    for row in (0..x.count).filter(open) {
                        self.look_at(exact, &x, row..row + 1, panel, &mut room.highest);
                    }
                }
            }
        });
        self.gather_highest(x.count, highest);
        self.bounds = bounds;
    }

    /// Bounds every panel's sums from above, and every row's best sum from below.
    fn bound(&self, screen: &Screen, x: &Activations, bounds: &mut Bounds) {
        let columns = self.table.columns();
        let panels = screen.copy.panels();
        let Bounds { rows: off, upper, lower } = bounds;
        let upper = Shared(upper.as_mut_ptr());
        for room in &self.rooms {
            let mut room = room.lock().unwrap_or_else(PoisonError::into_inner);
            room.lower.clear();
            room.lower.resize(x.count, f32::NEG_INFINITY);
        }
        self.pool.share(panels, PANELS_AT_ONCE, &|thread, panels| {
            let mut room = self.rooms[thread].lock().unwrap_or_else(PoisonError::into_inner);
            let tiles = x.count.div_ceil(self.table.tile_rows);
            let mut sums = [0.0_f32; MOST_ROWS * MOST_COLUMNS];
            for panel in panels {
                let first = panel * columns;
                let filled = first..screen.copy.outputs.min(first + columns);
                let (lengths, errors) = (&screen.lengths[filled.clone()], &screen.errors[filled]);
                for tile in 0..tiles {
                    let rows = tile_rows(0..x.count, tiles, tile);
                    // SAFETY: `x` was encoded as int8, as the copy is.
                    unsafe { final_sums(&screen.copy, x, rows.clone(), panel, &mut sums) };
                    for (row, sums) in rows.zip(sums.chunks(columns)) {
                        let Off { error, length } = off[row];
                        let (mut most, mut least) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
                        for ((sum, of_column), off) in sums.iter().zip(lengths).zip(errors) {
                            let bound = (error * of_column + length * off) * MARGIN;
                            most = most.max(sum + bound);
                            least = least.max(sum - bound);
                        }
                        room.lower[row] = room.lower[row].max(least);
                        // SAFETY: there is room for every panel and row; panels are one thread's each.
                        unsafe { upper.at(panel * x.count + row).write(most) };
                    }
                }
            }
        });
        lower.clear();
        lower.resize(x.count, f32::NEG_INFINITY);
        for room in &self.rooms {
            let room = room.lock().unwrap_or_else(PoisonError::into_inner);
            for (lower, found) in lower.iter_mut().zip(&room.lower) {
                *lower = lower.max(*found);
            }
        }
    }
}

/// How far a row is from its int8 copy, as the exact product sees it.
fn off(storage: Storage, x: &[f32], encoded: &Activations, row: usize) -> Off {
    // SAFETY: the row was encoded as int8, a byte for each number, with a scale.
    let (copy, scale) = unsafe {
        let first = encoded.rows.at(row * encoded.stride);
        (std::slice::from_raw_parts(first, x.len()), *encoded.scales.at(row))
    };
    let seen = |x: f32| if storage == Storage::Bf16 { bf16::from_f32(x).to_f32() } else { x };
    let copied = |step: u8| (f32::from(step) - 128.0) * scale;
    Off {
        error: length(x.iter().zip(copy).map(|(x, step)| seen(*x) - copied(*step))),
        length: length(x.iter().map(|x| seen(*x))),
    }
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
