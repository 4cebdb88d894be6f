//! The kernels of each instruction set behind function pointers, selected at run time.
//!
//! A [`Dispatch`] exists only for instructions that this machine has, which makes calling its
//! functions sound.

use super::block_matrix::{Part, Quants};
use super::block_tile::{self, BlockOperands, Expansion};
use super::portable::Portable;
use super::rowwise::{self, Affine, EpilogueArgs};
use super::simd::Simd;
use super::tile::{self, Bf16, F16, F32, Int8, Operands};

pub(super) const MAX_ROWS: usize = 12;

type Tile = unsafe fn(&Operands);
type BlockTile = unsafe fn(&BlockOperands);
type RmsNorm = unsafe fn(&[f32], &[f32], usize, f32, &mut [f32]);
type LayerNorm = unsafe fn(&[f32], &Affine<'_>, usize, f32, &mut [f32]);

/// How weights are stored and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Storage {
    /// f32 by f32.
    F32,
    /// f16 weights, f32 activations.
    F16,
    /// bf16 weights and activations.
    Bf16,
    /// i8 weights with a scale per output row, u8 activations with a scale per token.
    Int8,
    /// 4 bits with scales for groups of 32 or 16 weights, i8 activations with a scale for each 32.
    Q4,
    /// The same with 8 bits.
    Q8,
}

impl Storage {
    /// In declaration order.
    pub const ALL: [Self; Self::COUNT] =
        [Self::F32, Self::F16, Self::Bf16, Self::Int8, Self::Q4, Self::Q8];
    pub const COUNT: usize = 6;

    /// Whether weights are quants in groups of 32 with a scale each.
    pub fn is_blocks(self) -> bool {
        self.quants().is_some()
    }

    /// For blocks of quants.
    pub(super) fn quants(self) -> Option<Quants> {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 | Self::Int8 => None,
            Self::Q4 => Some(Quants::Nibbles),
            Self::Q8 => Some(Quants::Bytes),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
            Self::Q4 => "q4",
            Self::Q8 => "q8",
        }
    }
}

/// Instruction sets with dedicated kernels, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// AVX-512 with the dot products of VNNI and BF16.
    Avx512Bf16,
    /// AVX-512 with VNNI.
    Avx512Vnni,
    /// AVX-512 F, BW, DQ, VL.
    Avx512,
    /// AVX2, FMA, F16C.
    Avx2,
    /// Plain arrays, vectorized by the compiler.
    Portable,
}

pub struct Dispatch {
    pub instructions: InstructionSet,
    pub name: &'static str,
    /// f32 per vector.
    pub lanes: usize,
    /// Maximum rows of a tile.
    pub(super) tile_rows: usize,
    /// Indexed by storage and rows - 1.
    tiles: [[Tile; MAX_ROWS]; 4],
    /// Nibbles, bytes, and bytes whose halves of groups have coefficients of their own; by rows - 1.
    block_tiles: [[BlockTile; block_tile::MAX_ROWS]; 3],
    to_groups: unsafe fn(&[f32], *mut u8),
    expand: unsafe fn(&Expansion),
    pub(super) epilogue: unsafe fn(&EpilogueArgs),
    rms_norm: RmsNorm,
    layer_norm: LayerNorm,
    softmax: unsafe fn(&mut [f32], Option<&[f32]>, usize),
    max: unsafe fn(&[f32]) -> f32,
    sweep: unsafe fn(&[f32]) -> f32,
    to_bf16: unsafe fn(&[f32], &mut [u16]),
    to_f16: unsafe fn(&[f32], &mut [u16]),
    to_u8: unsafe fn(&[f32], &mut [u8]) -> f32,
}

impl std::fmt::Debug for Dispatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The generic functions, compiled with the features of one instruction set.
macro_rules! dispatch {
    ($module:ident, $instructions:ident, $name:literal, $simd:ty, $($features:literal)?) => {
        mod $module {
            use super::*;
            type S = $simd;

            $(#[target_feature(enable = $features)])?
            unsafe fn tile<T: tile::Format<S>, const ROWS: usize>(operands: &Operands) {
                // SAFETY: passed on to the caller.
                unsafe { tile::tile::<S, T, ROWS>(operands) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn block_tile<const NIBBLES: bool, const HALVES: bool, const ROWS: usize>(
                operands: &BlockOperands,
            ) {
                // SAFETY: passed on to the caller.
                unsafe { block_tile::tile::<S, NIBBLES, HALVES, ROWS>(operands) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn to_groups(x: &[f32], to: *mut u8) {
                // SAFETY: passed on to the caller.
                unsafe { block_tile::to_groups::<S>(x, to) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn expand(panel: &Expansion) {
                // SAFETY: passed on to the caller.
                unsafe { block_tile::expand::<S>(panel) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn epilogue(sums: &EpilogueArgs) {
                // SAFETY: passed on to the caller.
                unsafe { rowwise::epilogue::<S>(sums) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn rms_norm(x: &[f32], gain: &[f32], width: usize, epsilon: f32, to: &mut [f32]) {
                // SAFETY: passed on to the caller.
                unsafe { rowwise::rms_norm::<S>(x, gain, width, epsilon, to) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn layer_norm(
                x: &[f32],
                affine: &Affine<'_>,
                width: usize,
                epsilon: f32,
                to: &mut [f32],
            ) {
                // SAFETY: passed on to the caller.
                unsafe { rowwise::layer_norm::<S>(x, affine, width, epsilon, to) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn softmax(scores: &mut [f32], bias: Option<&[f32]>, count: usize) {
                // SAFETY: passed on to the caller.
                unsafe { rowwise::softmax::<S>(scores, bias, count) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn max(x: &[f32]) -> f32 {
                // SAFETY: passed on to the caller.
                unsafe { rowwise::max::<S>(x) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn sweep(x: &[f32]) -> f32 {
                // SAFETY: passed on to the caller.
                unsafe { rowwise::sweep::<S>(x) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn to_bf16(x: &[f32], to: &mut [u16]) {
                // SAFETY: passed on to the caller.
                unsafe { rowwise::to_bf16::<S>(x, to) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn to_f16(x: &[f32], to: &mut [u16]) {
                // SAFETY: passed on to the caller.
                unsafe { rowwise::to_f16::<S>(x, to) }
            }
            $(#[target_feature(enable = $features)])?
            unsafe fn to_u8(x: &[f32], to: &mut [u8]) -> f32 {
                // SAFETY: passed on to the caller.
                unsafe { rowwise::to_u8::<S>(x, to) }
            }

            const fn tiles<T: tile::Format<S>>() -> [Tile; MAX_ROWS] {
                [
                    tile::<T, 1>, tile::<T, 2>, tile::<T, 3>, tile::<T, 4>, tile::<T, 5>, tile::<T, 6>,
                    tile::<T, 7>, tile::<T, 8>, tile::<T, 9>, tile::<T, 10>, tile::<T, 11>, tile::<T, 12>,
                ]
            }

            const fn block_tiles<const NIBBLES: bool, const HALVES: bool>()
            -> [BlockTile; block_tile::MAX_ROWS] {
                [
                    block_tile::<NIBBLES, HALVES, 1>, block_tile::<NIBBLES, HALVES, 2>,
                    block_tile::<NIBBLES, HALVES, 3>, block_tile::<NIBBLES, HALVES, 4>,
                    block_tile::<NIBBLES, HALVES, 5>, block_tile::<NIBBLES, HALVES, 6>,
                ]
            }

            pub(super) static DISPATCH: Dispatch = Dispatch {
                instructions: InstructionSet::$instructions,
                name: $name,
                lanes: S::LANES,
                tile_rows: S::TILE_ROWS,
                tiles: [tiles::<F32>(), tiles::<F16>(), tiles::<Bf16>(), tiles::<Int8>()],
                block_tiles: [
                    block_tiles::<true, false>(),
                    block_tiles::<false, false>(),
                    block_tiles::<false, true>(),
                ],
                to_groups, expand,
                epilogue, rms_norm, layer_norm, softmax, max, sweep, to_bf16, to_f16, to_u8,
            };
        }
    };
}

#[cfg(target_arch = "x86_64")]
dispatch!(
    avx512_bf16,
    Avx512Bf16,
    "avx512 vnni bf16",
    crate::avx512::Avx512<true, true>,
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16"
);
#[cfg(target_arch = "x86_64")]
dispatch!(
    avx512_vnni,
    Avx512Vnni,
    "avx512 vnni",
    crate::avx512::Avx512<true, false>,
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"
);
#[cfg(target_arch = "x86_64")]
dispatch!(
    avx512,
    Avx512,
    "avx512",
    crate::avx512::Avx512<false, false>,
    "avx512f,avx512bw,avx512dq,avx512vl"
);
#[cfg(target_arch = "x86_64")]
dispatch!(avx2, Avx2, "avx2", crate::avx2::Avx2, "avx2,fma,f16c");
dispatch!(portable, Portable, "portable", Portable,);

impl InstructionSet {
    /// The instruction sets of this machine, best first. The last is [`InstructionSet::Portable`].
    pub fn detect() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            let vnni = avx512 && is_x86_feature_detected!("avx512vnni");
            let bf16 = vnni && is_x86_feature_detected!("avx512bf16");
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            let all = [
                (bf16, Self::Avx512Bf16),
                (vnni, Self::Avx512Vnni),
                (avx512, Self::Avx512),
                (avx2, Self::Avx2),
            ];
            found.extend(all.into_iter().filter(|(has, _)| *has).map(|(_, set)| set));
        }
        found.push(Self::Portable);
        found
    }
}

impl Dispatch {
    pub fn best() -> &'static Self {
        Self::with(InstructionSet::detect()[0]).expect("what was detected is there")
    }

    /// `None` if this machine does not have the instructions.
    pub fn with(instructions: InstructionSet) -> Option<&'static Self> {
        InstructionSet::detect().contains(&instructions).then_some(match instructions {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512Bf16 => &avx512_bf16::DISPATCH,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512Vnni => &avx512_vnni::DISPATCH,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512 => &avx512::DISPATCH,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 => &avx2::DISPATCH,
            _ => &portable::DISPATCH,
        })
    }

    /// Columns of a panel: two vectors.
    pub fn columns(&self) -> usize {
        2 * self.lanes
    }

    /// Multiplies `rows` rows, at most `tile_rows`, by one panel.
    ///
    /// # Safety
    /// As [`tile::tile`]. The instructions exist because the dispatch does.
    pub(super) unsafe fn tile(&self, storage: Storage, rows: usize, operands: &Operands) {
        // SAFETY: passed on to the caller.
        unsafe { self.tiles[storage as usize][rows - 1](operands) }
    }

    /// Maximum rows of a tile of blocks, which has two sums for each row and vector.
    pub(super) fn block_rows(&self) -> usize {
        self.tile_rows / 2
    }

    /// Multiplies `rows` rows, at most [`Self::block_rows`], by one panel of blocks.
    ///
    /// # Safety
    /// As [`block_tile::tile`]. The instructions exist because the dispatch does.
    pub(super) unsafe fn block_tile(&self, part: &Part, rows: usize, operands: &BlockOperands) {
        let form = match part.quants_as {
            Quants::Nibbles => 0,
            Quants::Bytes if part.coefficients.by_half() => 2,
            Quants::Bytes => 1,
        };
        // SAFETY: passed on to the caller.
        unsafe { self.block_tiles[form][rows - 1](operands) }
    }

    /// # Safety
    /// As [`block_tile::to_groups`].
    pub(super) unsafe fn to_groups(&self, x: &[f32], to: *mut u8) {
        // SAFETY: the machine has the instructions; the rest is passed on to the caller.
        unsafe { (self.to_groups)(x, to) }
    }

    /// # Safety
    /// As [`block_tile::expand`].
    pub(super) unsafe fn expand(&self, panel: &Expansion) {
        // SAFETY: the machine has the instructions; the rest is passed on to the caller.
        unsafe { (self.expand)(panel) }
    }

    pub(super) fn rms_norm(
        &self,
        x: &[f32],
        gain: &[f32],
        width: usize,
        epsilon: f32,
        to: &mut [f32],
    ) {
        // SAFETY: the machine has the instructions; the lengths are checked there.
        unsafe { (self.rms_norm)(x, gain, width, epsilon, to) }
    }

    pub(super) fn layer_norm(
        &self,
        x: &[f32],
        affine: &Affine<'_>,
        width: usize,
        epsilon: f32,
        to: &mut [f32],
    ) {
        // SAFETY: the machine has the instructions; the lengths are checked there.
        unsafe { (self.layer_norm)(x, affine, width, epsilon, to) }
    }

    pub(super) fn softmax(&self, scores: &mut [f32], bias: Option<&[f32]>, count: usize) {
        // SAFETY: the machine has the instructions; the lengths are checked there.
        unsafe { (self.softmax)(scores, bias, count) }
    }

    pub(super) fn max(&self, x: &[f32]) -> f32 {
        // SAFETY: the machine has the instructions.
        unsafe { (self.max)(x) }
    }

    pub(super) fn sweep(&self, x: &[f32]) -> f32 {
        // SAFETY: the machine has the instructions.
        unsafe { (self.sweep)(x) }
    }

    pub(super) fn to_bf16(&self, x: &[f32], to: &mut [u16]) {
        // SAFETY: the machine has the instructions; the lengths are checked there.
        unsafe { (self.to_bf16)(x, to) }
    }

    pub(super) fn to_f16(&self, x: &[f32], to: &mut [u16]) {
        // SAFETY: the machine has the instructions; the lengths are checked there.
        unsafe { (self.to_f16)(x, to) }
    }

    pub(super) fn to_u8(&self, x: &[f32], to: &mut [u8]) -> f32 {
        // SAFETY: the machine has the instructions; the lengths are checked there.
        unsafe { (self.to_u8)(x, to) }
    }
}
