//! Products of rows with packed weights, shared among the threads, and the norm before them.

use super::best::Highest;
use super::lines::{Finish, Scales, Sums};
use super::pool::{Pool, share};
use super::region::Region;
use super::rows::{Rows, Shared};
use super::screen::Bounds;
use super::table::{MOST_ROWS, Storage, Table};
use super::tile::Operands;
use super::weights::{Layout, Weights};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Columns of a panel on the widest instruction set.
pub(super) const MOST_COLUMNS: usize = 32;
/// Up to here threads share the panels and take all rows: weights are read once, and each core sees the same
/// ones again at the next token.
const FEW_ROWS: usize = 48;
/// Of activations that stay in a core's own cache while panels go by.
const BLOCK_BYTES: usize = 256 << 10;
/// Fewer numbers than this aren't worth waking a thread for.
const ALONE: usize = 4096;

/// Threads, kernels, and room for activations in the form that a product wants.
#[derive(Debug)]
pub struct Kernels {
    pub(super) table: &'static Table,
    pub(super) pool: Pool,
    encoded: Encoded,
    /// One for each thread.
    pub(super) rooms: Vec<Mutex<Room>>,
    pub(super) bounds: Bounds,
}

/// What one thread needs to itself.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Keys and values of one head.
    pub(super) panels: Vec<f32>,
    /// Rows of scores.
    pub(super) scores: Vec<f32>,
    /// The best columns of this thread's share.
    pub(super) highest: Vec<Highest>,
    /// The best lower bounds of this thread's share.
    pub(super) lower: Vec<f32>,
}

/// Activations as bf16 or u8.
#[derive(Debug)]
struct Encoded {
    memory: Region,
    scales: Vec<f32>,
}

/// Rows in the form that tiles read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activations {
    pub(super) rows: Shared<u8>,
    /// Bytes from row to row.
    pub(super) stride: usize,
    /// Of int8, one per row.
    pub(super) scales: Shared<f32>,
    pub(super) count: usize,
}

/// The rows of one of `tiles` tiles that share `rows` evenly.
pub(super) fn tile_rows(rows: Range<usize>, tiles: usize, tile: usize) -> Range<usize> {
    let part = share(rows.len(), tiles, tile);
    rows.start + part.start..rows.start + part.end
}

impl Kernels {
    /// Kernels of `table` on `threads` threads.
    pub fn new(table: &'static Table, threads: usize) -> Self {
        let encoded = Encoded { memory: Region::zeroed(0), scales: Vec::new() };
        let pool = Pool::new(threads);
        let rooms = (0..pool.threads()).map(|_| Mutex::default()).collect();
        Self { table, pool, encoded, rooms, bounds: Bounds::default() }
    }

    /// How many threads compute.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Which kernels compute.
    pub fn table(&self) -> &'static Table {
        self.table
    }

    /// `x / sqrt(mean(x^2) + epsilon) * gain`, row by row. `gain` is padded with zeros as rows are.
    ///
    /// # Panics
    /// Where the widths differ.
    pub fn rms_norm(&self, x: &Rows, gain: &[f32], epsilon: f32, to: &mut Rows) {
        to.resize(x.count());
        assert_eq!((to.width(), gain.len()), (x.width(), x.padded()));
        let (stride, padded, out) = (to.stride(), to.padded(), to.shared());
        self.by_row(x.count(), padded, &|row| {
            // SAFETY: `to` has as many rows as `x`, and each row is written by one thread.
            let to = unsafe { std::slice::from_raw_parts_mut(out.at(row * stride), padded) };
            self.table.rms_norm(x.padded_row(row), gain, (x.width(), epsilon), to);
        });
    }

    /// Runs `work` for each row, on one thread where the rows are few or short.
    pub(super) fn by_row(&self, rows: usize, width: usize, work: &(dyn Fn(usize) + Sync)) {
        if rows * width <= ALONE {
            (0..rows).for_each(work);
        } else {
            let chunk = rows.div_ceil(8 * self.pool.threads());
            self.pool.share(rows, chunk, &|_, rows| rows.for_each(work));
        }
    }

    /// Multiplies each row of `x` by the weights: `to = finish(x W^T)`. What is stored of gated weights, or added
    /// to what was stored, waits for [`Kernels::finish`].
    ///
    /// # Panics
    /// Where widths, counts or layouts don't fit together.
    pub fn multiply(&mut self, weights: &Weights, x: &Rows, finish: Finish, to: &mut Rows) {
        assert_eq!(x.width(), weights.inputs, "inputs");
        let gates = matches!(finish, Finish::Gate(_));
        assert!(!gates || weights.layout == Layout::Gated, "a gate needs gated weights");
        let results = if gates { weights.results() } else { weights.sums() };
        assert_eq!(to.width(), results, "results");
        if finish == Finish::Add {
            assert_eq!(to.count(), x.count(), "rows to be added to");
        } else {
            to.resize(x.count());
        }
        let x = self.encode(x, weights.storage);
        let result = Target { to: to.shared(), stride: to.stride(), finish };
        let threads = self.pool.threads();
        let panels = weights.panels();
        if x.count <= FEW_ROWS {
            self.pool.share(panels, 1, &|_, panels| {
                // SAFETY: every panel is one thread's, and with it columns of the result.
                unsafe { multiply_part(weights, &x, 0..x.count, panels, &result) };
            });
            return;
        }
        let tiles = x.count.div_ceil(self.table.tile_rows);
        let tiles_per_block = (BLOCK_BYTES / (x.stride * self.table.tile_rows)).max(1);
        let blocks = tiles.div_ceil(tiles_per_block);
        // Enough parts that the last ones end together, and each large enough to hide its start.
        let parts = (threads * 4).div_ceil(blocks).clamp(1, panels);
        let next = AtomicUsize::new(0);
        self.pool.run_present(&|_| {
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= blocks * parts {
                    return;
                }
                let rows = tile_rows(0..x.count, blocks, part / parts);
                let panels = share(panels, parts, part % parts);
                // SAFETY: each part is taken once, and parts differ in rows or in columns.
                unsafe { multiply_part(weights, &x, rows, panels, &result) };
            }
        });
    }

    /// Finishes sums that products stored: `to = finish(sums)`, row by row.
    ///
    /// # Panics
    /// Where the widths don't fit together.
    pub fn finish(&self, finish: Finish, sums: &Rows, to: &mut Rows) {
        let columns = self.table.columns();
        let panels = sums.width().div_ceil(columns);
        let width = if matches!(finish, Finish::Gate(_)) { self.table.lanes } else { columns };
        assert_eq!(to.width().div_ceil(width), panels, "panels");
        assert_ne!(finish, Finish::Add, "nothing is there to be added to");
        to.resize(sums.count());
        let (stride, shared) = (to.stride(), to.shared());
        self.by_row(sums.count(), sums.padded(), &|row| {
            let from = sums.padded_row(row);
            for panel in 0..panels {
                // SAFETY: rows are padded to whole panels, the source was sliced for one of them, `to` has as many
                // panels, and each row is written by one thread.
                unsafe {
                    (self.table.finish)(&Sums {
                        from: from[panel * columns..(panel + 1) * columns].as_ptr(),
                        rows: 1,
                        scales: None,
                        finish,
                        to: shared.at(row * stride + panel * width),
                        stride,
                    });
                }
            }
        });
    }

    /// Brings rows into the form that products with `storage` read.
    pub(super) fn encode(&mut self, x: &Rows, storage: Storage) -> Activations {
        let bytes = match storage {
            Storage::F32 | Storage::F16 => {
                return Activations {
                    rows: Shared(x.as_ptr().cast::<u8>().cast_mut()),
                    stride: x.stride() * size_of::<f32>(),
                    scales: Shared(std::ptr::null_mut()),
                    count: x.count(),
                };
            }
            Storage::Bf16 => 2,
            Storage::Int8 => 1,
        };
        let stride = x.padded() * bytes + 64;
        if self.encoded.memory.bytes() < stride * x.count() {
            self.encoded.memory = Region::zeroed(stride * x.count());
        }
        if self.encoded.scales.len() < x.count() {
            self.encoded.scales.resize(x.count(), 0.0);
        }
        let rows = Shared(self.encoded.memory.slice_mut::<u8>().as_mut_ptr());
        let scales = Shared(self.encoded.scales.as_mut_ptr());
        self.by_row(x.count(), x.padded(), &|row| {
            let from = x.padded_row(row);
            // SAFETY: there is room for `count` rows of `stride` bytes and for `count` scales, rows start on
            // even addresses, and each row is written by one thread.
            unsafe {
                let to = rows.at(row * stride);
                if storage == Storage::Bf16 {
                    let to = std::slice::from_raw_parts_mut(to.cast(), from.len());
                    self.table.to_bf16(from, to);
                } else {
                    let to = std::slice::from_raw_parts_mut(to, from.len());
                    *scales.at(row) = self.table.to_u8(from, to);
                }
            }
        });
        Activations { rows, stride, scales, count: x.count() }
    }
}

/// Where results go.
#[derive(Debug, Clone, Copy)]
struct Target {
    to: Shared<f32>,
    stride: usize,
    finish: Finish,
}

/// Multiplies `rows` by `panels`.
///
/// # Safety
/// Activations and target must hold `rows`, and no other thread may write the same part of the target.
unsafe fn multiply_part(
    weights: &Weights,
    x: &Activations,
    rows: Range<usize>,
    panels: Range<usize>,
    target: &Target,
) {
    let table = weights.table;
    let columns = table.columns();
    let width = if matches!(target.finish, Finish::Gate(_)) { table.lanes } else { columns };
    let tiles = rows.len().div_ceil(table.tile_rows);
    let mut sums = [0.0_f32; MOST_ROWS * MOST_COLUMNS];
    for panel in panels {
        for tile in 0..tiles {
            let rows = tile_rows(rows.clone(), tiles, tile);
            // SAFETY: rows and panel lie within activations and weights, which were packed for this table;
            // `sums` holds the largest tile; the target's rows are padded to whole panels.
            unsafe {
                panel_sums(weights, x, rows.clone(), panel, &mut sums);
                let scales = (weights.storage == Storage::Int8).then(|| Scales {
                    rows: x.scales.at(rows.start),
                    columns: weights.scales.as_ptr().add(panel * columns),
                    offsets: weights.offsets.as_ptr().add(panel * columns),
                });
                (table.finish)(&Sums {
                    from: sums.as_ptr(),
                    rows: rows.len(),
                    scales,
                    finish: target.finish,
                    to: target.to.at(rows.start * target.stride + panel * width),
                    stride: target.stride,
                });
            }
        }
    }
}

/// The sums of at most a tile of rows with one panel, `[rows][columns]`; of int8 as i32.
///
/// # Safety
/// `x` must be encoded for the storage of the weights and hold `rows`.
pub(super) unsafe fn panel_sums(
    weights: &Weights,
    x: &Activations,
    rows: Range<usize>,
    panel: usize,
    sums: &mut [f32; MOST_ROWS * MOST_COLUMNS],
) {
    assert!(!rows.is_empty() && rows.end <= x.count && panel < weights.panels());
    // SAFETY: checked above, and the tile's result fits for any table.
    unsafe {
        let operands = Operands {
            rows: x.rows.at(rows.start * x.stride),
            stride: x.stride,
            panel: weights.memory.slice::<u8>().as_ptr().add(panel * weights.panel_bytes()),
            steps: weights.steps(),
            sums: sums.as_mut_ptr(),
        };
        weights.table.tile(weights.storage, rows.len(), &operands);
    }
}

#[cfg(test)]
#[path = "product_tests.rs"]
mod tests;
