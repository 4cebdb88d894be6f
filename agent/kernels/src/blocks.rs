//! Packed weights made of blocks: matrices in, panels out, and rows back as f32.

use super::aligned_buf::AlignedBuf;
use super::block_matrix::{BlockMatrix, BlockPlaces, Coefficients, GROUP, Part, Quants};
use super::dispatch::{Dispatch, Storage};
use super::weights::{Layout, Weights, rows_of_panels};
use half::f16;
use rayon::prelude::*;

impl Weights {
    /// Packs matrices of blocks, one below the other. `None` if their forms differ and one doesn't fill
    /// whole panels, as no form of their rows holds both. Panics if their inputs differ.
    pub fn pack_blocks(
        dispatch: &'static Dispatch,
        layout: Layout,
        matrices: Vec<BlockMatrix>,
    ) -> Option<Self> {
        let inputs = matrices.first()?.inputs;
        Self::blocks_of(dispatch, layout, inputs, matrices)
    }

    pub(super) fn blocks_of(
        dispatch: &'static Dispatch,
        layout: Layout,
        inputs: usize,
        matrices: Vec<BlockMatrix>,
    ) -> Option<Self> {
        let columns = dispatch.columns();
        let mut joined: Vec<BlockMatrix> = Vec::new();
        for matrix in matrices {
            matrix.check();
            match joined.last_mut() {
                None => joined.push(matrix),
                Some(last) => {
                    assert_eq!(last.inputs, matrix.inputs, "inputs");
                    if last.has_form_of(&matrix) {
                        last.append(matrix);
                    } else if layout == Layout::Gated || !last.outputs().is_multiple_of(columns) {
                        return None;
                    } else {
                        joined.push(matrix);
                    }
                }
            }
        }
        let (mut parts, mut first_panel, mut start) = (Vec::new(), 0, 0);
        for matrix in &joined {
            let places = BlockPlaces::of(matrix.coefficients);
            let per_value = if matrix.quants_as == Quants::Nibbles { 2 } else { 1 };
            let quant_bytes = matrix.inputs * columns / per_value;
            let coefficients = matrix.inputs / places.values * places.stride() * columns;
            let part = Part {
                quants_as: matrix.quants_as,
                coefficients: matrix.coefficients,
                first_panel,
                start,
                groups: matrix.inputs / GROUP,
                quant_bytes,
                // On cache lines.
                panel_bytes: (quant_bytes + coefficients).next_multiple_of(64),
            };
            let panels = layout.panels(matrix.outputs(), columns);
            first_panel += panels;
            start += panels * part.panel_bytes;
            parts.push(part);
        }
        let mut memory = AlignedBuf::zeroed(start);
        let mut rest = memory.slice_mut::<u8>();
        for (part, matrix) in parts.iter().zip(&joined) {
            let panels = layout.panels(matrix.outputs(), columns);
            let (own, others) = rest.split_at_mut(panels * part.panel_bytes);
            rest = others;
            let row_of = rows_of_panels(layout, matrix.outputs(), columns);
            own.par_chunks_exact_mut(part.panel_bytes).enumerate().for_each(|(panel, memory)| {
                let (quants, coefficients) = memory.split_at_mut(part.quant_bytes);
                for column in 0..columns {
                    let Some(row) = row_of(panel, column) else { continue };
                    matrix.write(row, column, columns, [&mut *quants, &mut *coefficients]);
                }
            });
        }
        let is_wide = parts.iter().any(|part| part.quants_as == Quants::Bytes);
        Some(Self {
            dispatch,
            storage: if is_wide { Storage::Q8 } else { Storage::Q4 },
            layout,
            outputs: joined.iter().map(BlockMatrix::outputs).sum(),
            inputs,
            memory,
            scales: Vec::new(),
            offsets: Vec::new(),
            bias: None,
            panels: first_panel,
            parts,
        })
    }

    /// The part of a panel of blocks.
    pub(super) fn part(&self, panel: usize) -> &Part {
        let found = self.parts.iter().rev().find(|part| part.first_panel <= panel);
        found.expect("the first part starts at the first panel")
    }

    /// Row `row` as f32.
    pub(super) fn block_row(&self, row: usize, to: &mut [f32]) {
        let columns = self.dispatch.columns();
        let (panel, column) = (row / columns, row % columns);
        let part = self.part(panel);
        let start = part.panel(panel);
        let panel = &self.memory.slice::<u8>()[start..start + part.panel_bytes];
        let (quants, coefficients) = panel.split_at(part.quant_bytes);
        let places = BlockPlaces::of(part.coefficients);
        for (place, to) in to.iter_mut().enumerate() {
            let quant = match part.quants_as {
                Quants::Bytes => quants[(place / 4 * columns + column) * 4 + place % 4],
                Quants::Nibbles => {
                    let byte = quants[(place / 8 * columns + column) * 4 + place % 4];
                    if place % 8 < 4 { byte & 15 } else { byte >> 4 }
                }
            };
            let block = &coefficients[place / places.values * places.stride() * columns..];
            let half = |at: usize| {
                let start = 2 * (at * columns + column);
                f16::from_ne_bytes([block[start], block[start + 1]]).to_f32()
            };
            let byte = |at: usize| f32::from(block[(2 * places.halves + at) * columns + column]);
            let quant = f32::from(quant);
            let within = place % places.values;
            *to = match part.coefficients {
                Coefficients::Scale { zero } => half(0) * (quant - f32::from(zero)),
                Coefficients::ScaleAndLeast => half(0) * quant + half(1),
                Coefficients::Nested => {
                    let own = within / GROUP * 2;
                    half(0) * byte(own) * quant - half(1) * byte(own + 1)
                }
                Coefficients::NestedHalves { zero } => {
                    let own = byte(within / (GROUP / 2)) - 128.0;
                    half(0) * own * (quant - f32::from(zero))
                }
            };
        }
    }
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
