//! The formats of tensors, and their values as f32, equal to the last bit to those of the Python
//! package `gguf` 0.19 (`gguf.quants.dequantize`).
//!
//! Layout and formulas: ggml's `ggml-common.h` and `ggml-quants.c`. A block holds its scale first,
//! then the quantized values; the low nibbles are the first half of what they encode.

use half::{bf16, f16};
use kernels::{BlockMatrix, Coefficients, Quants};

/// How the values of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

/// Names of ggml's types, by number. Those without a [`Format`] are not read.
const NAMES: [&str; 40] = [
    "F32",
    "F16",
    "Q4_0",
    "Q4_1",
    "Q4_2",
    "Q4_3",
    "Q5_0",
    "Q5_1",
    "Q8_0",
    "Q8_1",
    "Q2_K",
    "Q3_K",
    "Q4_K",
    "Q5_K",
    "Q6_K",
    "Q8_K",
    "IQ2_XXS",
    "IQ2_XS",
    "IQ3_XXS",
    "IQ1_S",
    "IQ4_NL",
    "IQ3_S",
    "IQ2_S",
    "IQ4_XS",
    "I8",
    "I16",
    "I32",
    "I64",
    "F64",
    "IQ1_M",
    "BF16",
    "Q4_0_4_4",
    "Q4_0_4_8",
    "Q4_0_8_8",
    "TQ1_0",
    "TQ2_0",
    "IQ4_NL_4_4",
    "IQ4_NL_4_8",
    "IQ4_NL_8_8",
    "MXFP4",
];

/// The name of a ggml type, or its number if it is unknown.
pub(crate) fn name_of(number: u32) -> String {
    let name = usize::try_from(number).ok().and_then(|number| NAMES.get(number));
    name.map_or_else(|| format!("type {number}"), |name| (*name).to_owned())
}

/// The formats that are read, for errors.
pub(crate) const READ: &str = "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K";

impl Format {
    pub(crate) fn of(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// Values per block.
    pub fn block_values(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q4K | Self::Q5K | Self::Q6K => SUPER,
        }
    }

    /// Bytes per block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Appends the values of whole blocks.
    pub fn dequantize(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F32 => extend(bytes, values, |bytes| [f32::from_le_bytes(*bytes)]),
            Self::F16 => extend(bytes, values, |bytes| [f16::from_le_bytes(*bytes).to_f32()]),
            Self::Bf16 => extend(bytes, values, |bytes| [bf16::from_le_bytes(*bytes).to_f32()]),
            Self::Q4_0 => extend(bytes, values, q4_0),
            Self::Q4_1 => extend(bytes, values, q4_1),
            Self::Q5_0 => extend(bytes, values, q5_0),
            Self::Q5_1 => extend(bytes, values, q5_1),
            Self::Q8_0 => extend(bytes, values, q8_0),
            Self::Q4K => extend(bytes, values, q4_k),
            Self::Q5K => extend(bytes, values, q5_k),
            Self::Q6K => extend(bytes, values, q6_k),
        }
    }
}

impl Format {
    /// An empty matrix of this format's blocks; `None` for formats of plain numbers.
    pub fn block_matrix(self, inputs: usize) -> Option<BlockMatrix> {
        let (quants_as, coefficients) = match self {
            Self::F32 | Self::F16 | Self::Bf16 => return None,
            Self::Q4_0 => (Quants::Nibbles, Coefficients::Scale { zero: 8 }),
            Self::Q4_1 => (Quants::Nibbles, Coefficients::ScaleAndLeast),
            Self::Q4K => (Quants::Nibbles, Coefficients::Nested),
            Self::Q5_0 => (Quants::Bytes, Coefficients::Scale { zero: 16 }),
            Self::Q5_1 => (Quants::Bytes, Coefficients::ScaleAndLeast),
            Self::Q5K => (Quants::Bytes, Coefficients::Nested),
            Self::Q8_0 => (Quants::Bytes, Coefficients::Scale { zero: 128 }),
            Self::Q6K => (Quants::Bytes, Coefficients::NestedHalves { zero: 32 }),
        };
        let (quants, halves, bytes) = (Vec::new(), Vec::new(), Vec::new());
        Some(BlockMatrix { quants_as, coefficients, inputs, quants, halves, bytes })
    }

    /// Appends whole blocks as they are to a matrix of [`Self::block_matrix`].
    pub fn unpack(self, bytes: &[u8], to: &mut BlockMatrix) {
        for block in bytes.chunks_exact(self.block_bytes()) {
            self.unpack_block(block, to);
        }
    }

    fn unpack_block(self, block: &[u8], to: &mut BlockMatrix) {
        let BlockMatrix { quants, halves, bytes, .. } = to;
        let bits = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
        // An offset makes them unsigned.
        let unsigned = |byte: &u8| byte ^ 0x80;
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => unreachable!("there are no blocks"),
            Self::Q4_0 => {
                halves.push(bits(0));
                quants.extend((0..32).map(|value| nibble(&block[2..], value)));
            }
            Self::Q4_1 => {
                halves.extend([bits(0), bits(2)]);
                quants.extend((0..32).map(|value| nibble(&block[4..], value)));
            }
            Self::Q5_0 => {
                halves.push(bits(0));
                let quant = |value| nibble(&block[6..], value) | fifth(&block[2..], value);
                quants.extend((0..32).map(quant));
            }
            Self::Q5_1 => {
                halves.extend([bits(0), bits(2)]);
                let quant = |value| nibble(&block[8..], value) | fifth(&block[4..], value);
                quants.extend((0..32).map(quant));
            }
            Self::Q8_0 => {
                halves.push(bits(0));
                quants.extend(block[2..].iter().map(unsigned));
            }
            Self::Q4K => {
                halves.extend([bits(0), bits(2)]);
                bytes.extend((0..8).flat_map(|group| scale_and_least(&block[4..16], group)));
                quants.extend((0..SUPER).map(|value| nibble_k(&block[16..], value)));
            }
            Self::Q5K => {
                halves.extend([bits(0), bits(2)]);
                bytes.extend((0..8).flat_map(|group| scale_and_least(&block[4..16], group)));
                quants.extend((0..SUPER).map(|value| quant_5k(&block[16..], value)));
            }
            Self::Q6K => {
                halves.push(bits(208));
                bytes.extend(block[192..208].iter().map(unsigned));
                quants.extend((0..SUPER).map(|value| quant_6k(block, value)));
            }
        }
    }
}

fn extend<const BYTES: usize, const VALUES: usize>(
    bytes: &[u8],
    values: &mut Vec<f32>,
    block: fn(&[u8; BYTES]) -> [f32; VALUES],
) {
    values.extend(bytes.as_chunks::<BYTES>().0.iter().flat_map(block));
}

/// The number at a place of a block.
fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The 4 bits of each of 32 values: all low ones, then all high ones.
fn nibble(bytes: &[u8], value: usize) -> u8 {
    if value < 16 { bytes[value] & 15 } else { bytes[value - 16] >> 4 }
}

/// The fifth bit of each of 32 values, as 0 or 16.
fn fifth(bytes: &[u8], value: usize) -> u8 {
    ((bytes[value / 8] >> (value % 8)) & 1) << 4
}

fn q4_0(block: &[u8; 18]) -> [f32; 32] {
    let scale = half(block, 0);
    std::array::from_fn(|value| scale * (f32::from(nibble(&block[2..], value)) - 8.0))
}

fn q4_1(block: &[u8; 20]) -> [f32; 32] {
    let (scale, least) = (half(block, 0), half(block, 2));
    std::array::from_fn(|value| scale * f32::from(nibble(&block[4..], value)) + least)
}

fn q5_0(block: &[u8; 22]) -> [f32; 32] {
    let scale = half(block, 0);
    let quant = |value| nibble(&block[6..], value) | fifth(&block[2..], value);
    std::array::from_fn(|value| scale * (f32::from(quant(value)) - 16.0))
}

fn q5_1(block: &[u8; 24]) -> [f32; 32] {
    let (scale, least) = (half(block, 0), half(block, 2));
    let quant = |value| nibble(&block[8..], value) | fifth(&block[4..], value);
    std::array::from_fn(|value| scale * f32::from(quant(value)) + least)
}

fn q8_0(block: &[u8; 34]) -> [f32; 32] {
    let scale = half(block, 0);
    std::array::from_fn(|value| f32::from(block[2 + value].cast_signed()) * scale)
}

/// Values of a block of the K formats.
const SUPER: usize = 256;

/// The 6-bit scale and minimum of each group of 32 values, packed in 12 bytes.
fn scale_and_least(packed: &[u8], group: usize) -> [u8; 2] {
    if group < 4 {
        [packed[group] & 0x3F, packed[group + 4] & 0x3F]
    } else {
        [
            (packed[group + 4] & 0x0F) | ((packed[group - 4] >> 2) & 0x30),
            (packed[group + 4] >> 4) | ((packed[group] >> 2) & 0x30),
        ]
    }
}

/// The 4 bits of each value: every 32 bytes hold 64 values.
fn nibble_k(bytes: &[u8], value: usize) -> u8 {
    let byte = bytes[value / 64 * 32 + value % 32];
    if value % 64 < 32 { byte & 15 } else { byte >> 4 }
}

/// Of a block that starts with its scale, the scale of its minimums, and both per group.
fn grouped(block: &[u8], quant: impl Fn(usize) -> u8) -> [f32; SUPER] {
    let (scale, least) = (half(block, 0), half(block, 2));
    let mut values = [0.0; SUPER];
    for (group, values) in values.chunks_mut(32).enumerate() {
        let [group_scale, group_least] = scale_and_least(&block[4..16], group).map(f32::from);
        let (scale, least) = (scale * group_scale, least * group_least);
        for (place, value) in values.iter_mut().enumerate() {
            *value = scale * f32::from(quant(32 * group + place)) - least;
        }
    }
    values
}

fn q4_k(block: &[u8; 144]) -> [f32; SUPER] {
    grouped(block, |value| nibble_k(&block[16..], value))
}

fn q5_k(block: &[u8; 176]) -> [f32; SUPER] {
    grouped(block, |value| quant_5k(&block[16..], value))
}

/// 5 bits of a value: the highest one of each comes first.
fn quant_5k(bytes: &[u8], value: usize) -> u8 {
    let (high, low) = bytes.split_at(32);
    nibble_k(low, value) | (((high[value % 32] >> (value / 32)) & 1) << 4)
}

/// Scales of 8 bits for 16 values each, and 6 bits per value.
fn q6_k(block: &[u8; 210]) -> [f32; SUPER] {
    let scale = half(block, 208);
    std::array::from_fn(|value| {
        let quant = f32::from(quant_6k(block, value)) - 32.0;
        (scale * f32::from(block[192 + value / 16].cast_signed())) * quant
    })
}

/// 6 bits of a value. Halves of 128 values have 64 bytes of low bits and 32 of high ones each.
fn quant_6k(block: &[u8], value: usize) -> u8 {
    let (low, high) = block.split_at(128);
    let (upper, place) = (value / 128, value % 128);
    let byte = low[64 * upper + place % 64];
    let low = if place < 64 { byte & 15 } else { byte >> 4 };
    low | (((high[32 * upper + place % 32] >> (place / 32 * 2)) & 3) << 4)
}
