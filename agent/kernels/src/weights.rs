//! Weights as tiles read them: panels of output columns for each step of the inner dimension, in
//! the storage of the dtype. Packed once, when a model is loaded.

use super::aligned_buf::AlignedBuf;
use super::block_matrix::{BlockMatrix, Part};
use super::dispatch::{Dispatch, Storage};
use half::{bf16, f16};
use rayon::prelude::*;

/// How the rows of a matrix are arranged in panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// In order.
    Plain,
    /// Each panel contains as many rows of the upper half as of the lower half: `wi_0` beside
    /// `wi_1`.
    Gated,
}

impl Layout {
    /// Panels of so many outputs.
    pub(super) fn panels(self, outputs: usize, columns: usize) -> usize {
        match self {
            Self::Plain => outputs.div_ceil(columns),
            Self::Gated => (outputs / 2).div_ceil(columns / 2),
        }
    }
}

/// The output in a column of a panel; `None` for columns beyond the matrix in the last panel.
pub(super) fn rows_of_panels(
    layout: Layout,
    outputs: usize,
    columns: usize,
) -> impl Fn(usize, usize) -> Option<usize> {
    move |panel, column| match layout {
        Layout::Plain => Some(panel * columns + column).filter(|row| *row < outputs),
        Layout::Gated => {
            let (covered, per_panel) = (outputs / 2, columns / 2);
            let (half, place) = (column / per_panel, panel * per_panel + column % per_panel);
            (place < covered).then_some(half * covered + place)
        }
    }
}

/// A packed matrix, `[outputs, inputs]`.
#[derive(Debug)]
pub struct Weights {
    pub(super) dispatch: &'static Dispatch,
    pub(super) storage: Storage,
    pub(super) layout: Layout,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    /// `[panels][steps][columns]`.
    pub(super) memory: AlignedBuf,
    /// For int8: a scale per column, and the contribution of the activations' offset of 128.
    pub(super) scales: Vec<f32>,
    pub(super) offsets: Vec<i32>,
    /// Added to every row of a product, one per column of all panels.
    pub(super) bias: Option<Vec<f32>>,
    pub(super) panels: usize,
    /// Of blocks: panels of one form, in order.
    pub(super) parts: Vec<Part>,
}

impl Weights {
    /// Packs `values`, `[outputs, inputs]`, row-major.
    pub fn pack(
        dispatch: &'static Dispatch,
        storage: Storage,
        layout: Layout,
        (outputs, inputs): (usize, usize),
        values: &[f32],
    ) -> Self {
        assert_eq!(values.len(), outputs * inputs, "{outputs} x {inputs}");
        if let Some(quants_as) = storage.quants() {
            let mut matrix = BlockMatrix::with_capacity(quants_as, inputs, outputs);
            matrix.quantize(inputs, values);
            return Self::of_matrix(dispatch, layout, inputs, matrix);
        }
        let columns = dispatch.columns();
        let panels = layout.panels(outputs, columns);
        let bytes = panel_bytes(dispatch, storage, inputs);
        let mut memory = AlignedBuf::zeroed(panels * bytes);
        let int8_columns = if storage == Storage::Int8 { panels * columns } else { 0 };
        let mut scales = vec![0.0; int8_columns];
        let mut offsets = vec![0; int8_columns];
        let row_of = rows_of_panels(layout, outputs, columns);
        let row = |panel, column| {
            row_of(panel, column).map(|row: usize| &values[row * inputs..(row + 1) * inputs])
        };
        if storage == Storage::Int8 {
            (memory.slice_mut::<u8>().par_chunks_exact_mut(bytes))
                .zip(scales.par_chunks_exact_mut(columns))
                .zip(offsets.par_chunks_exact_mut(columns))
                .enumerate()
                .for_each(|(panel, ((memory, scales), offsets))| {
                    for column in 0..columns {
                        let Some(values) = row(panel, column) else { continue };
                        let places = memory[column * 4..].chunks_mut(columns * 4);
                        (scales[column], offsets[column]) = quantize(values, places);
                    }
                });
        } else {
            memory.slice_mut::<u8>().par_chunks_exact_mut(bytes).enumerate().for_each(
                |(panel, memory)| {
                    for column in 0..columns {
                        let Some(values) = row(panel, column) else { continue };
                        store(storage, values, column, columns, memory);
                    }
                },
            );
        }
        Self {
            dispatch,
            storage,
            layout,
            outputs,
            inputs,
            memory,
            scales,
            offsets,
            bias: None,
            panels,
            parts: Vec::new(),
        }
    }

    /// Quantizes and packs rows, `[outputs, inputs]`, which `read` hands over in parts of whole rows, so
    /// that their values needn't be held at once. Panics if the storage is not of blocks.
    pub fn pack_parts<E>(
        dispatch: &'static Dispatch,
        storage: Storage,
        layout: Layout,
        (outputs, inputs): (usize, usize),
        read: impl FnOnce(&mut dyn FnMut(&[f32])) -> Result<(), E>,
    ) -> Result<Self, E> {
        let quants_as = storage.quants().expect("a storage of blocks");
        let mut matrix = BlockMatrix::with_capacity(quants_as, inputs, outputs);
        read(&mut |values| matrix.quantize(inputs, values))?;
        assert_eq!(matrix.outputs(), outputs, "rows");
        Ok(Self::of_matrix(dispatch, layout, inputs, matrix))
    }

    fn of_matrix(
        dispatch: &'static Dispatch,
        layout: Layout,
        inputs: usize,
        matrix: BlockMatrix,
    ) -> Self {
        let weights = Self::blocks_of(dispatch, layout, inputs, vec![matrix]);
        weights.expect("one matrix has one form")
    }

    /// With a bias, one for each output. Panics for gated weights.
    #[must_use]
    pub fn with_bias(mut self, bias: &[f32]) -> Self {
        assert_eq!((self.layout, bias.len()), (Layout::Plain, self.outputs), "layout and outputs");
        let mut padded = bias.to_vec();
        padded.resize(self.panels * self.dispatch.columns(), 0.0);
        self.bias = Some(padded);
        self
    }

    /// The biases of a panel's columns.
    pub(super) fn bias_at(&self, panel: usize) -> Option<*const f32> {
        let columns = self.dispatch.columns();
        self.bias.as_ref().map(|bias| bias[panel * columns..(panel + 1) * columns].as_ptr())
    }

    /// Columns of the result. A gate halves them.
    pub fn results(&self) -> usize {
        if self.layout == Layout::Gated { self.outputs / 2 } else { self.outputs }
    }

    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Columns of the raw sums. Whole panels for gated weights.
    pub fn sums(&self) -> usize {
        match self.layout {
            Layout::Plain => self.outputs,
            Layout::Gated => self.panels * self.dispatch.columns(),
        }
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub fn dispatch(&self) -> &'static Dispatch {
        self.dispatch
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Bytes read for one product.
    pub fn bytes(&self) -> usize {
        let bias = self.bias.as_ref().map_or(0, Vec::len);
        self.memory.bytes() + 4 * (self.scales.len() + self.offsets.len() + bias)
    }

    /// Row `row` as it was packed, for embeddings that share their matrix with a head. Panics for gated
    /// weights and for int8, whose one scale per row is too coarse for embeddings.
    pub fn row(&self, row: usize, to: &mut [f32]) {
        assert_eq!((self.layout, to.len()), (Layout::Plain, self.inputs), "layout and inputs");
        assert!(row < self.outputs, "row {row} of {}", self.outputs);
        if !self.parts.is_empty() {
            return self.block_row(row, to);
        }
        let columns = self.dispatch.columns();
        let (panel, column) = (row / columns, row % columns);
        let bytes = self.panel_bytes();
        let panel = &self.memory.slice::<u8>()[panel * bytes..(panel + 1) * bytes];
        match self.storage {
            Storage::F32 => {
                for (to, place) in to.iter_mut().zip(panel[column * 4..].chunks(columns * 4)) {
                    *to = f32::from_ne_bytes([place[0], place[1], place[2], place[3]]);
                }
            }
            Storage::F16 => {
                for (to, place) in to.iter_mut().zip(panel[column * 2..].chunks(columns * 2)) {
                    *to = f16::from_ne_bytes([place[0], place[1]]).to_f32();
                }
            }
            Storage::Bf16 => {
                let places = panel[column * 4..].chunks(columns * 4);
                for (to, place) in to.chunks_mut(2).zip(places) {
                    for (to, bytes) in to.iter_mut().zip(place.chunks(2)) {
                        *to = bf16::from_ne_bytes([bytes[0], bytes[1]]).to_f32();
                    }
                }
            }
            Storage::Int8 | Storage::Q4 | Storage::Q8 => {
                unreachable!("embeddings are not read from int8, and blocks were above")
            }
        }
    }

    pub(super) fn steps(&self) -> usize {
        steps(self.storage, self.inputs)
    }

    pub(super) fn panel_bytes(&self) -> usize {
        panel_bytes(self.dispatch, self.storage, self.inputs)
    }

    pub(super) fn panels(&self) -> usize {
        self.panels
    }

    /// Maximum rows of a tile.
    pub(super) fn tile_rows(&self) -> usize {
        if self.parts.is_empty() { self.dispatch.tile_rows } else { self.dispatch.block_rows() }
    }
}

fn steps(storage: Storage, inputs: usize) -> usize {
    match storage {
        Storage::F32 | Storage::F16 => inputs,
        Storage::Bf16 => inputs.div_ceil(2),
        Storage::Int8 => inputs.div_ceil(4),
        Storage::Q4 | Storage::Q8 => unreachable!("blocks have parts"),
    }
}

fn panel_bytes(dispatch: &Dispatch, storage: Storage, inputs: usize) -> usize {
    let width = if storage == Storage::F16 { 2 } else { 4 };
    steps(storage, inputs) * dispatch.columns() * width
}

/// Writes one row into its column of a panel.
fn store(storage: Storage, values: &[f32], column: usize, columns: usize, memory: &mut [u8]) {
    match storage {
        Storage::F32 => {
            for (place, value) in memory[column * 4..].chunks_mut(columns * 4).zip(values) {
                place[..4].copy_from_slice(&value.to_ne_bytes());
            }
        }
        Storage::F16 => {
            for (place, value) in memory[column * 2..].chunks_mut(columns * 2).zip(values) {
                let most = f16::MAX.to_f32();
                place[..2].copy_from_slice(&f16::from_f32(value.clamp(-most, most)).to_ne_bytes());
            }
        }
        Storage::Bf16 => {
            for (place, pair) in memory[column * 4..].chunks_mut(columns * 4).zip(values.chunks(2))
            {
                for (half, value) in pair.iter().enumerate() {
                    let bytes = bf16::from_f32(*value).to_ne_bytes();
                    place[half * 2..half * 2 + 2].copy_from_slice(&bytes);
                }
            }
        }
        Storage::Int8 | Storage::Q4 | Storage::Q8 => unreachable!("packed with their scales"),
    }
}

/// Quantization of a row: steps per unit, and the step size.
pub(super) fn int8_steps(values: &[f32]) -> (f32, f32) {
    let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    (if largest > 0.0 { 127.0 / largest } else { 0.0 }, largest / 127.0)
}

/// To the nearest integer, ties to even, for |x| < 2^22, where the sum has no fraction bits. Equals
/// `f32::round_ties_even`, which is a function call per value in builds for SSE2.
pub(super) fn rounded(x: f32) -> f32 {
    const WHOLE: f32 = 12_582_912.0;
    (x + WHOLE) - WHOLE
}

/// Quantizes one row into its slots, four values each. Returns the step size and the offset of its
/// sums.
#[expect(clippy::cast_possible_truncation, reason = "rounded to -127..=127 before")]
fn quantize<'a>(values: &[f32], places: impl Iterator<Item = &'a mut [u8]>) -> (f32, i32) {
    let (inverse, size) = int8_steps(values);
    let mut offset = 0;
    for (place, four) in places.zip(values.chunks(4)) {
        for (byte, value) in place.iter_mut().zip(four) {
            let step = rounded(value * inverse) as i8;
            offset += 128 * i32::from(step);
            *byte = step.cast_unsigned();
        }
    }
    (size, offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Ordering;

    #[test]
    fn halves_are_rounded_to_even_as_by_the_standard_library() {
        for number in -4 * 128..=4 * 128 {
            for off in [-f32::EPSILON, 0.0, f32::EPSILON] {
                let x = number as f32 / 4.0 * (1.0 + off);
                assert_eq!(
                    rounded(x).total_cmp(&(x.round_ties_even() + 0.0)),
                    Ordering::Equal,
                    "{x}"
                );
            }
        }
    }
}
