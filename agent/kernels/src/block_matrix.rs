//! Weights as blocks of integers with a scale for each group of 32 or 16 values, and how they lie in
//! panels. Knows no instruction set.
//!
//! A panel holds its quants, then its coefficients. Quants are `[groups][8 steps][columns][4]` bytes,
//! or `[groups][4 steps][columns][4]` bytes whose low and high nibbles are two steps of four values.
//! Coefficients are `[columns]` of each kind, in the order of [`BlockMatrix::halves`] and
//! [`BlockMatrix::bytes`]: for each block its halves, then its bytes.

use half::f16;
use rayon::prelude::*;

/// Values of a group.
pub(super) const GROUP: usize = 32;
/// Values of a block of nested coefficients.
pub(super) const NESTED: usize = 256;

/// How a weight follows from its quant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coefficients {
    /// An f16 scale for each group of 32: `scale * (quant - zero)`.
    Scale { zero: u8 },
    /// Two f16 for each group of 32: `scale * quant + least`.
    ScaleAndLeast,
    /// Two f16 for each block of 256, and two bytes for each group of 32:
    /// `scale * own_scale * quant - least * own_least`.
    Nested,
    /// An f16 for each block of 256, and a byte for each half of a group, with an offset of 128:
    /// `scale * (own_scale - 128) * (quant - zero)`.
    NestedHalves { zero: u8 },
}

/// Bits of a quant in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quants {
    /// 0 to 15.
    Nibbles,
    /// 0 to 255.
    Bytes,
}

/// A matrix of blocks, `[outputs, inputs]`. Inputs are whole groups, or whole blocks where
/// coefficients are nested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMatrix {
    pub quants_as: Quants,
    pub coefficients: Coefficients,
    pub inputs: usize,
    /// A byte for each weight, row-major.
    pub quants: Vec<u8>,
    /// Bits of f16, row-major: for each group or block its scale, then what it has for the least.
    pub halves: Vec<u16>,
    /// Row-major: for each group its own scale and least, or for each half of a group its own scale.
    pub bytes: Vec<u8>,
}

impl Coefficients {
    /// Values that share f16 coefficients, how many of these they have, and how many bytes.
    pub(super) fn per_block(self) -> (usize, usize, usize) {
        match self {
            Self::Scale { .. } => (GROUP, 1, 0),
            Self::ScaleAndLeast => (GROUP, 2, 0),
            Self::Nested => (NESTED, 2, 2 * NESTED / GROUP),
            Self::NestedHalves { .. } => (NESTED, 1, 2 * NESTED / GROUP),
        }
    }

    /// Whether the halves of a group have scales of their own.
    pub(super) fn by_half(self) -> bool {
        matches!(self, Self::NestedHalves { .. })
    }
}

/// Panels of one form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) quants_as: Quants,
    pub(super) coefficients: Coefficients,
    pub(super) first_panel: usize,
    /// The byte at which the panels start.
    pub(super) start: usize,
    /// Along the inner dimension.
    pub(super) groups: usize,
    /// Of a panel.
    pub(super) quant_bytes: usize,
    pub(super) panel_bytes: usize,
}

impl Part {
    /// The byte at which a panel starts.
    pub(super) fn panel(&self, panel: usize) -> usize {
        self.start + (panel - self.first_panel) * self.panel_bytes
    }
}

/// What a block has of each column.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockPlaces {
    pub(super) values: usize,
    pub(super) halves: usize,
    bytes: usize,
}

impl BlockPlaces {
    pub(super) fn of(coefficients: Coefficients) -> Self {
        let (values, halves, bytes) = coefficients.per_block();
        Self { values, halves, bytes }
    }

    /// Bytes of a block, per column.
    pub(super) fn stride(self) -> usize {
        2 * self.halves + self.bytes
    }
}

impl BlockMatrix {
    pub fn outputs(&self) -> usize {
        self.quants.len() / self.inputs.max(1)
    }

    /// Panics if quants and coefficients are not those of whole blocks.
    pub(super) fn check(&self) {
        let places = BlockPlaces::of(self.coefficients);
        let blocks = self.quants.len() / places.values;
        assert!(self.inputs.is_multiple_of(places.values), "inputs are whole blocks");
        assert_eq!(
            (self.halves.len(), self.bytes.len()),
            (blocks * places.halves, blocks * places.bytes),
            "coefficients"
        );
    }

    /// No rows yet, with space for `outputs` of them, which [`BlockMatrix::quantize`] appends.
    pub(super) fn with_capacity(quants_as: Quants, inputs: usize, outputs: usize) -> Self {
        let padded = inputs.next_multiple_of(GROUP);
        let zero = if quants_as == Quants::Nibbles { 8 } else { 128 };
        Self {
            quants_as,
            coefficients: Coefficients::Scale { zero },
            inputs: padded,
            quants: Vec::with_capacity(outputs * padded),
            halves: Vec::with_capacity(outputs * padded / GROUP),
            bytes: Vec::new(),
        }
    }

    /// Appends rows of `inputs` values, padded with zeros, in groups of 32 as ggml's `Q4_0` and `Q8_0` have
    /// them (`quantize_row_q4_0_ref` and `quantize_row_q8_0_ref`). Scales saturate at the largest f16.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in the range of a quant by construction"
    )]
    pub(super) fn quantize(&mut self, inputs: usize, values: &[f32]) {
        let (padded, quants_as) = (self.inputs, self.quants_as);
        let (first, rows) = (self.outputs(), values.len() / inputs);
        self.quants.resize((first + rows) * padded, 0);
        self.halves.resize((first + rows) * padded / GROUP, 0);
        let (quants, halves) =
            (&mut self.quants[first * padded..], &mut self.halves[first * padded / GROUP..]);
        (quants.par_chunks_exact_mut(padded))
            .zip(halves.par_chunks_exact_mut(padded / GROUP))
            .zip(values.par_chunks_exact(inputs))
            .for_each(|((quants, halves), values)| {
                let groups = quants.chunks_exact_mut(GROUP).zip(values.chunks(GROUP));
                for ((quants, values), half) in groups.zip(halves) {
                    let extreme = (values.iter().copied())
                        .fold(0.0_f32, |most, x| if x.abs() > most.abs() { x } else { most });
                    let (scale, zero) = match quants_as {
                        Quants::Nibbles => (extreme / -8.0, 8.0),
                        Quants::Bytes => (extreme.abs() / 127.0, 128.0),
                    };
                    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
                    let most = f16::MAX.to_f32();
                    *half = f16::from_f32(scale.clamp(-most, most)).to_bits();
                    quants.fill(zero as u8);
                    for (quant, value) in quants.iter_mut().zip(values) {
                        *quant = match quants_as {
                            Quants::Nibbles => (value * inverse + 8.5).clamp(0.0, 15.0) as u8,
                            Quants::Bytes => ((value * inverse).round() + 128.0) as u8,
                        };
                    }
                }
            });
    }

    /// Appends the rows of a matrix of the same form.
    pub(super) fn append(&mut self, mut other: Self) {
        self.quants.append(&mut other.quants);
        self.halves.append(&mut other.halves);
        self.bytes.append(&mut other.bytes);
    }

    pub(super) fn has_form_of(&self, other: &Self) -> bool {
        (self.quants_as, self.coefficients) == (other.quants_as, other.coefficients)
    }

    /// Writes one row into its column of a panel, whose quants and coefficients are given.
    pub(super) fn write(&self, row: usize, column: usize, columns: usize, panel: [&mut [u8]; 2]) {
        let [quants, coefficients] = panel;
        let values = &self.quants[row * self.inputs..(row + 1) * self.inputs];
        match self.quants_as {
            Quants::Bytes => {
                let places = quants[column * 4..].chunks_mut(columns * 4);
                for (place, four) in places.zip(values.chunks_exact(4)) {
                    place[..4].copy_from_slice(four);
                }
            }
            Quants::Nibbles => {
                let places = quants[column * 4..].chunks_mut(columns * 4);
                for (place, eight) in places.zip(values.chunks_exact(8)) {
                    let (low, high) = eight.split_at(4);
                    for (to, (low, high)) in place.iter_mut().zip(low.iter().zip(high)) {
                        *to = low | high << 4;
                    }
                }
            }
        }
        let places = BlockPlaces::of(self.coefficients);
        let blocks = self.inputs / places.values;
        for block in 0..blocks {
            let at = row * blocks + block;
            let to = &mut coefficients[block * places.stride() * columns..];
            let halves = &self.halves[at * places.halves..(at + 1) * places.halves];
            for (place, half) in halves.iter().enumerate() {
                let start = 2 * (place * columns + column);
                to[start..start + 2].copy_from_slice(&half.to_ne_bytes());
            }
            let bytes = &self.bytes[at * places.bytes..(at + 1) * places.bytes];
            for (place, byte) in bytes.iter().enumerate() {
                to[(2 * places.halves + place) * columns + column] = *byte;
            }
        }
    }
}
