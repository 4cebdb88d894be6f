//! GEMM of rows with packed weights, distributed over the threads, and the norms between products.

use super::aligned_buf::AlignedBuf;
use super::argmax_state::{Argmax, Bounds};
use super::block_matrix::GROUP;
use super::block_tile::{BlockOperands, Expansion, GROUP_BYTES};
use super::dispatch::{Dispatch, MAX_ROWS, Storage};
use super::pool::{Pool, share};
use super::rows::{Rows, SharedPtr};
use super::rowwise::{Affine, Epilogue, EpilogueArgs, Scales};
use super::tile::Operands;
use super::weights::{Layout, Weights};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// For the widest instruction set.
pub(super) const MAX_COLUMNS: usize = 32;
/// Up to this batch size threads split the panels and take all rows: weights are read once, and
/// each core sees the same ones at the next token.
const SMALL_BATCH_ROWS: usize = 48;
/// Activations that stay in a core's own cache while panels stream by.
const BLOCK_BYTES: usize = 256 << 10;
/// Smaller row-wise operations run on the calling thread.
const MIN_PARALLEL_ELEMENTS: usize = 4096;

/// Threads, kernels and buffers for encoded activations.
#[derive(Debug)]
pub struct Kernels {
    pub(super) dispatch: &'static Dispatch,
    pub(super) pool: Pool,
    encoded: Encoded,
    /// One per thread.
    pub(super) scratch: Vec<Mutex<Scratch>>,
    pub(super) bounds: Bounds,
}

#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Keys and values of one head.
    pub(super) panels: Vec<f32>,
    pub(super) scores: Vec<f32>,
    /// The argmax over this thread's panels.
    pub(super) argmax: Vec<Argmax>,
    /// The largest lower bounds over this thread's panels.
    pub(super) lower: Vec<f32>,
    /// The coefficients of one panel of blocks.
    pub(super) coefficients: Vec<f32>,
}

/// Activations as bf16, u8 or groups of i8.
#[derive(Debug)]
struct Encoded {
    memory: AlignedBuf,
    scales: Vec<f32>,
}

/// Rows in the form that tiles read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activations {
    pub(super) rows: SharedPtr<u8>,
    /// In bytes.
    pub(super) stride: usize,
    /// For int8, one per row.
    pub(super) scales: SharedPtr<f32>,
    pub(super) count: usize,
}

/// The rows of tile `tile` if `rows` are split evenly into `tiles`.
pub(super) fn tile_rows(rows: Range<usize>, tiles: usize, tile: usize) -> Range<usize> {
    let part = share(rows.len(), tiles, tile);
    rows.start + part.start..rows.start + part.end
}

impl Kernels {
    pub fn new(dispatch: &'static Dispatch, threads: usize) -> Self {
        let encoded = Encoded { memory: AlignedBuf::zeroed(0), scales: Vec::new() };
        let pool = Pool::new(threads);
        let scratch = (0..pool.threads()).map(|_| Mutex::default()).collect();
        Self { dispatch, pool, encoded, scratch, bounds: Bounds::default() }
    }

    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    pub fn dispatch(&self) -> &'static Dispatch {
        self.dispatch
    }

    /// `x / sqrt(mean(x^2) + epsilon) * gain` for each row. `gain` is zero-padded like rows.
    /// Panics if the widths differ.
    pub fn rms_norm(&self, x: &Rows, gain: &[f32], epsilon: f32, to: &mut Rows) {
        to.resize(x.count());
        assert_eq!((to.width(), gain.len()), (x.width(), x.padded()));
        let (stride, padded, out) = (to.stride(), to.padded(), to.shared());
        self.by_row(x.count(), padded, &|row| {
            // SAFETY: `to` has as many rows as `x`, and each row is written by one thread.
            let to = unsafe { std::slice::from_raw_parts_mut(out.at(row * stride), padded) };
            self.dispatch.rms_norm(x.padded_row(row), gain, x.width(), epsilon, to);
        });
    }

    /// `(x - mean(x)) / sqrt(variance(x) + epsilon) * gain + bias` for each row. Gain and bias are
    /// zero-padded like rows. Panics if the widths differ.
    pub fn layer_norm(&self, x: &Rows, affine: &Affine<'_>, epsilon: f32, to: &mut Rows) {
        to.resize(x.count());
        assert_eq!((to.width(), affine.gain.len()), (x.width(), x.padded()));
        let (stride, padded, out) = (to.stride(), to.padded(), to.shared());
        self.by_row(x.count(), padded, &|row| {
            // SAFETY: `to` has as many rows as `x`, and each row is written by one thread.
            let to = unsafe { std::slice::from_raw_parts_mut(out.at(row * stride), padded) };
            self.dispatch.layer_norm(x.padded_row(row), affine, x.width(), epsilon, to);
        });
    }

    /// Runs `work` for each row. Few or short rows stay on the calling thread.
    pub(super) fn by_row(&self, rows: usize, width: usize, work: &(dyn Fn(usize) + Sync)) {
        if rows * width <= MIN_PARALLEL_ELEMENTS {
            (0..rows).for_each(work);
        } else {
            let chunk = rows.div_ceil(8 * self.pool.threads());
            self.pool.share(rows, chunk, &|_, rows| rows.for_each(work));
        }
    }

    /// `to = epilogue(x W^T + bias)`. With [`Epilogue::Store`] or [`Epilogue::Add`] gated weights yield
    /// raw sums for [`Kernels::apply_epilogue`].
    /// Widths, counts or layouts do not match.
    pub fn gemm(&mut self, weights: &Weights, x: &Rows, epilogue: Epilogue, to: &mut Rows) {
        assert_eq!(x.width(), weights.inputs, "inputs");
        let gates = matches!(epilogue, Epilogue::Gate(_));
        assert!(!gates || weights.layout == Layout::Gated, "a gate needs gated weights");
        let results = if gates { weights.results() } else { weights.sums() };
        assert_eq!(to.width(), results, "results");
        if epilogue == Epilogue::Add {
            assert_eq!(to.count(), x.count(), "rows to be added to");
        } else {
            to.resize(x.count());
        }
        let x = self.encode(x, weights.storage);
        let result = Target { to: to.shared(), stride: to.stride(), epilogue };
        let threads = self.pool.threads();
        let panels = weights.panels();
        if x.count <= SMALL_BATCH_ROWS {
            self.pool.share(panels, 1, &|thread, panels| {
                let area = Area { rows: 0..x.count, panels };
                // SAFETY: every panel is one thread's, and with it columns of the result.
                unsafe { gemm_part(weights, &x, area, &result, &self.scratch[thread]) };
            });
            return;
        }
        let tiles = x.count.div_ceil(weights.tile_rows());
        let tiles_per_block = (BLOCK_BYTES / (x.stride * weights.tile_rows())).max(1);
        let blocks = tiles.div_ceil(tiles_per_block);
        // Enough parts to end together, each large enough to amortize its start.
        let parts = (threads * 4).div_ceil(blocks).clamp(1, panels);
        let next = AtomicUsize::new(0);
        self.pool.run_present(&|thread| {
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= blocks * parts {
                    return;
                }
                let rows = tile_rows(0..x.count, blocks, part / parts);
                let panels = share(panels, parts, part % parts);
                // SAFETY: each part is taken once, and parts differ in rows or in columns.
                unsafe {
                    gemm_part(weights, &x, Area { rows, panels }, &result, &self.scratch[thread]);
                }
            }
        });
    }

    /// Applies an epilogue to stored sums: `to = epilogue(sums)`.
    pub fn apply_epilogue(&self, epilogue: Epilogue, sums: &Rows, to: &mut Rows) {
        let columns = self.dispatch.columns();
        let panels = sums.width().div_ceil(columns);
        let width =
            if matches!(epilogue, Epilogue::Gate(_)) { self.dispatch.lanes } else { columns };
        assert_eq!(to.width().div_ceil(width), panels, "panels");
        assert_ne!(epilogue, Epilogue::Add, "nothing is there to be added to");
        to.resize(sums.count());
        let (stride, shared) = (to.stride(), to.shared());
        self.by_row(sums.count(), sums.padded(), &|row| {
            let from = sums.padded_row(row);
            for panel in 0..panels {
                // SAFETY: rows are padded to whole panels, the source was sliced for one of them, `to` has as many
                // panels, and each row is written by one thread.
                unsafe {
                    (self.dispatch.epilogue)(&EpilogueArgs {
                        from: from[panel * columns..(panel + 1) * columns].as_ptr(),
                        rows: 1,
                        scales: None,
                        bias: None,
                        epilogue,
                        to: shared.at(row * stride + panel * width),
                        stride,
                    });
                }
            }
        });
    }

    /// Converts rows to the form that products with `storage` read.
    pub(super) fn encode(&mut self, x: &Rows, storage: Storage) -> Activations {
        let bytes = match storage {
            Storage::F32 | Storage::F16 => {
                return Activations {
                    rows: SharedPtr(x.as_ptr().cast::<u8>().cast_mut()),
                    stride: x.stride() * size_of::<f32>(),
                    scales: SharedPtr(std::ptr::null_mut()),
                    count: x.count(),
                };
            }
            Storage::Bf16 => 2 * x.padded(),
            Storage::Int8 => x.padded(),
            Storage::Q4 | Storage::Q8 => x.padded() / GROUP * GROUP_BYTES,
        };
        let stride = bytes + 64;
        if self.encoded.memory.bytes() < stride * x.count() {
            self.encoded.memory = AlignedBuf::zeroed(stride * x.count());
        }
        if self.encoded.scales.len() < x.count() {
            self.encoded.scales.resize(x.count(), 0.0);
        }
        let rows = SharedPtr(self.encoded.memory.slice_mut::<u8>().as_mut_ptr());
        let scales = SharedPtr(self.encoded.scales.as_mut_ptr());
        self.by_row(x.count(), x.padded(), &|row| {
            let from = x.padded_row(row);
            // SAFETY: there is room for `count` rows of `stride` bytes and for `count` scales, rows start on
            // even addresses, and each row is written by one thread.
            unsafe {
                let to = rows.at(row * stride);
                match storage {
                    Storage::Q4 | Storage::Q8 => self.dispatch.to_groups(from, to),
                    Storage::Bf16 => {
                        let to = std::slice::from_raw_parts_mut(to.cast(), from.len());
                        self.dispatch.to_bf16(from, to);
                    }
                    Storage::F32 | Storage::F16 | Storage::Int8 => {
                        let to = std::slice::from_raw_parts_mut(to, from.len());
                        *scales.at(row) = self.dispatch.to_u8(from, to);
                    }
                }
            }
        });
        Activations { rows, stride, scales, count: x.count() }
    }
}

#[derive(Debug, Clone, Copy)]
struct Target {
    to: SharedPtr<f32>,
    stride: usize,
    epilogue: Epilogue,
}

/// Part of a product.
struct Area {
    rows: Range<usize>,
    panels: Range<usize>,
}

/// Rows that are multiplied by a panel at once.
#[derive(Debug, Clone)]
pub(super) struct TileOf<'a> {
    pub(super) rows: Range<usize>,
    pub(super) panel: usize,
    /// What [`expand`] found for the panel.
    pub(super) coefficients: &'a [f32],
}

/// Multiplies the rows by the panels of an area.
///
/// # Safety
/// Activations and target must contain the rows, and no other thread may write the same part of the
/// target.
unsafe fn gemm_part(
    weights: &Weights,
    x: &Activations,
    Area { rows, panels }: Area,
    target: &Target,
    scratch: &Mutex<Scratch>,
) {
    let mut none = Vec::new();
    let mut scratch =
        (!weights.parts.is_empty()).then(|| scratch.lock().unwrap_or_else(PoisonError::into_inner));
    let coefficients = scratch.as_mut().map_or(&mut none, |scratch| &mut scratch.coefficients);
    let dispatch = weights.dispatch;
    let columns = dispatch.columns();
    let width = if matches!(target.epilogue, Epilogue::Gate(_)) { dispatch.lanes } else { columns };
    let tiles = rows.len().div_ceil(weights.tile_rows());
    let mut sums = [0.0_f32; MAX_ROWS * MAX_COLUMNS];
    for panel in panels {
        expand(weights, panel, coefficients);
        for tile in 0..tiles {
            let rows = tile_rows(rows.clone(), tiles, tile);
            let tile = TileOf { rows: rows.clone(), panel, coefficients };
            // SAFETY: rows and panel lie within activations and weights, which were packed for this dispatch;
            // `sums` holds the largest tile; the target's rows are padded to whole panels.
            unsafe {
                panel_sums(weights, x, &tile, &mut sums);
                let scales = (weights.storage == Storage::Int8).then(|| Scales {
                    rows: x.scales.at(rows.start),
                    columns: weights.scales.as_ptr().add(panel * columns),
                    offsets: weights.offsets.as_ptr().add(panel * columns),
                });
                (dispatch.epilogue)(&EpilogueArgs {
                    from: sums.as_ptr(),
                    rows: rows.len(),
                    scales,
                    bias: weights.bias_at(panel),
                    epilogue: target.epilogue,
                    to: target.to.at(rows.start * target.stride + panel * width),
                    stride: target.stride,
                });
            }
        }
    }
}

/// The coefficients of a panel of blocks as f32; nothing for other weights.
pub(super) fn expand(weights: &Weights, panel: usize, to: &mut Vec<f32>) {
    if weights.parts.is_empty() {
        return;
    }
    let part = weights.part(panel);
    let halves = if part.coefficients.by_half() { 2 } else { 1 };
    let count = part.groups * halves * 2 * weights.dispatch.columns();
    if to.len() < count {
        to.resize(count, 0.0);
    }
    let start = part.panel(panel);
    let memory = &weights.memory.slice::<u8>()[start..start + part.panel_bytes];
    // SAFETY: a panel holds the coefficients of its groups behind its quants, and there is room for
    // them.
    unsafe {
        weights.dispatch.expand(&Expansion {
            coefficients: part.coefficients,
            from: memory.as_ptr().add(part.quant_bytes),
            groups: part.groups,
            to: to.as_mut_ptr(),
        });
    }
}

/// The sums of at most one tile of rows with one panel, `[rows][columns]`; i32 for int8.
///
/// # Safety
/// `x` must be encoded for the storage of the weights and contain the rows.
pub(super) unsafe fn panel_sums(
    weights: &Weights,
    x: &Activations,
    tile: &TileOf<'_>,
    sums: &mut [f32; MAX_ROWS * MAX_COLUMNS],
) {
    let TileOf { rows, panel, coefficients } = tile;
    let panel = *panel;
    assert!(!rows.is_empty() && rows.end <= x.count && panel < weights.panels());
    if !weights.parts.is_empty() {
        let part = weights.part(panel);
        // SAFETY: checked above, and the tile's result fits for any dispatch.
        unsafe {
            let operands = BlockOperands {
                rows: x.rows.at(rows.start * x.stride),
                stride: x.stride,
                quants: weights.memory.slice::<u8>().as_ptr().add(part.panel(panel)),
                coefficients: coefficients.as_ptr(),
                groups: part.groups,
                sums: sums.as_mut_ptr(),
            };
            weights.dispatch.block_tile(part, rows.len(), &operands);
        }
        return;
    }
    // SAFETY: checked above, and the tile's result fits for any dispatch.
    unsafe {
        let operands = Operands {
            rows: x.rows.at(rows.start * x.stride),
            stride: x.stride,
            panel: weights.memory.slice::<u8>().as_ptr().add(panel * weights.panel_bytes()),
            steps: weights.steps(),
            sums: sums.as_mut_ptr(),
        };
        weights.dispatch.tile(weights.storage, rows.len(), &operands);
    }
}

#[cfg(test)]
#[path = "gemm_tests.rs"]
mod tests;
