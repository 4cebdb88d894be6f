//! Products with blocks of quantized weights: activations as groups of i8, the coefficients of a
//! panel as f32, and the inner loop.
//!
//! A weight is `scale * quant + least` with an unsigned quant, an activation `size * step` with a
//! signed one. The products of a group are summed as integers, exactly; its two coefficients then
//! apply to the sum of products and to the sum of steps. Groups are added in order, so a row's
//! result does not depend on the other rows.

#![expect(clippy::inline_always, reason = "inlined into functions that enable the instruction set")]

use super::block_matrix::{Coefficients, GROUP, NESTED};
use super::simd::Simd;
use super::tile::{AHEAD_BYTES, CACHE_LINE_BYTES};

/// Rows of a tile at most: each has a sum of integers and one of f32 in registers.
pub(super) const MAX_ROWS: usize = 6;
/// A group of activations: its steps, the size of a step, and the size times the sums of the steps of
/// its first half, of its second half, and of all.
pub(super) const GROUP_BYTES: usize = GROUP + 4 * size_of::<f32>();

#[derive(Debug, Clone, Copy)]
pub(super) struct BlockOperands {
    /// The first row of activations: groups of [`GROUP_BYTES`].
    pub(super) rows: *const u8,
    /// Bytes from one row of activations to the next.
    pub(super) stride: usize,
    /// The quants of the panel, see [`super::block_matrix`].
    pub(super) quants: *const u8,
    /// What [`expand`] wrote.
    pub(super) coefficients: *const f32,
    /// Along the inner dimension.
    pub(super) groups: usize,
    /// Receives `[ROWS][2 * lanes]` sums.
    pub(super) sums: *mut f32,
}

/// The coefficients of a panel and where they go as f32.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expansion {
    pub(super) coefficients: Coefficients,
    /// As packed, see [`super::block_matrix`].
    pub(super) from: *const u8,
    pub(super) groups: usize,
    /// Receives `[groups][2, scale and least][2 * lanes]`, for each half of a group if the halves have
    /// scales of their own.
    pub(super) to: *mut f32,
}

/// Quantizes a row in groups: each to 255 steps around zero.
///
/// # Safety
/// The machine must have `S`; `to` must have room for [`GROUP_BYTES`] per group.
#[inline(always)]
pub(super) unsafe fn to_groups<S: Simd>(x: &[f32], to: *mut u8) {
    assert!(x.len().is_multiple_of(GROUP) && GROUP.is_multiple_of(2 * S::LANES.min(16)));
    // SAFETY: a group is whole vectors, and the caller has room for the result.
    unsafe {
        let zero = S::splat(0.0);
        for (group, x) in x.chunks_exact(GROUP).enumerate() {
            let to = to.add(group * GROUP_BYTES);
            let mut largest = zero;
            for place in (0..GROUP).step_by(S::LANES) {
                let x = S::load(x.as_ptr().add(place));
                largest = S::max(largest, S::max(x, S::sub(zero, x)));
            }
            let largest = S::max_lane(largest);
            let inverse = S::splat(if largest > 0.0 { 127.0 / largest } else { 0.0 });
            let mut halves = [zero; 2];
            for place in (0..GROUP).step_by(S::LANES) {
                let steps = S::round(S::mul(S::load(x.as_ptr().add(place)), inverse));
                S::store_i8(to.add(place).cast(), steps);
                let half = place / (GROUP / 2);
                halves[half] = S::add(halves[half], steps);
            }
            // Whole numbers, whose sums are exact.
            let (first, second) = (S::sum(halves[0]), S::sum(halves[1]));
            let size = largest / 127.0;
            let sums = [size, size * first, size * second, size * (first + second)];
            to.add(GROUP).cast::<[f32; 4]>().write_unaligned(sums);
        }
    }
}

/// Where [`expand`] reads and writes: one of the two vectors of a panel's columns.
#[derive(Debug, Clone, Copy)]
struct Side {
    from: *const u8,
    to: *mut f32,
    /// Of the panel, and the first of this vector.
    columns: usize,
    column: usize,
}

impl Side {
    /// The vector of f16 numbers that follow `columns` other ones of one byte.
    #[inline(always)]
    unsafe fn half<S: Simd>(self, columns: usize) -> S::F {
        // SAFETY: passed on to the caller.
        unsafe { S::load_f16(self.from.add(columns * self.columns + 2 * self.column).cast()) }
    }

    /// The vector of bytes there.
    #[inline(always)]
    unsafe fn byte<S: Simd>(self, columns: usize) -> S::F {
        // SAFETY: passed on to the caller.
        unsafe { S::load_u8(self.from.add(columns * self.columns + self.column)) }
    }

    #[inline(always)]
    unsafe fn write<S: Simd>(self, place: usize, scale: S::F, least: S::F) {
        // SAFETY: passed on to the caller.
        unsafe {
            let to = self.to.add(2 * place * self.columns + self.column);
            S::store(to, scale);
            S::store(to.add(self.columns), least);
        }
    }
}

/// Writes the coefficients of a panel as f32.
///
/// # Safety
/// The machine must have `S`; the pointers must be valid for the panel.
#[inline(always)]
pub(super) unsafe fn expand<S: Simd>(panel: &Expansion) {
    let Expansion { coefficients, from, groups, to } = *panel;
    let columns = 2 * S::LANES;
    for column in [0, S::LANES] {
        let side = Side { from, to, columns, column };
        // SAFETY: passed on to the caller. The places are those of `block_matrix`.
        unsafe {
            match coefficients {
                Coefficients::Scale { zero } => {
                    let zero = S::splat(-f32::from(zero));
                    for group in 0..groups {
                        let scale = side.half::<S>(2 * group);
                        side.write::<S>(group, scale, S::mul(scale, zero));
                    }
                }
                Coefficients::ScaleAndLeast => {
                    for group in 0..groups {
                        let (scale, least) =
                            (side.half::<S>(4 * group), side.half::<S>(4 * group + 2));
                        side.write::<S>(group, scale, least);
                    }
                }
                Coefficients::Nested => {
                    const PER_BLOCK: usize = NESTED / GROUP;
                    for group in 0..groups {
                        // Two halves, then two bytes for each group.
                        let block = group / PER_BLOCK * (4 + 2 * PER_BLOCK);
                        let own = block + 4 + 2 * (group % PER_BLOCK);
                        let scale = S::mul(side.half::<S>(block), side.byte::<S>(own));
                        let least = S::mul(side.half::<S>(block + 2), side.byte::<S>(own + 1));
                        side.write::<S>(group, scale, S::sub(S::splat(0.0), least));
                    }
                }
                Coefficients::NestedHalves { zero } => {
                    const PER_BLOCK: usize = 2 * NESTED / GROUP;
                    let zero = S::splat(-f32::from(zero));
                    for part in 0..2 * groups {
                        // A half, then a byte for each half of a group.
                        let block = part / PER_BLOCK * (2 + PER_BLOCK);
                        let own = side.byte::<S>(block + 2 + part % PER_BLOCK);
                        let own = S::sub(own, S::splat(128.0));
                        let scale = S::mul(side.half::<S>(block), own);
                        side.write::<S>(part, scale, S::mul(scale, zero));
                    }
                }
            }
        }
    }
}

/// Adds the two terms of a group to a row's sums with both vectors of columns.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn finish<S: Simd>(
    sum: [S::F; 2],
    products: [S::I; 2],
    size: f32,
    steps: f32,
    coefficients: *const f32,
) -> [S::F; 2] {
    // SAFETY: passed on to the caller.
    unsafe {
        let (size, steps) = (S::splat(size), S::splat(steps));
        let mut sums = sum;
        for (side, sum) in sums.iter_mut().enumerate() {
            let scale = S::load(coefficients.add(side * S::LANES));
            let least = S::load(coefficients.add((2 + side) * S::LANES));
            let scaled = S::fma(S::mul(scale, size), S::to_f32(products[side]), *sum);
            *sum = S::fma(least, steps, scaled);
        }
        sums
    }
}

/// Multiplies `ROWS` rows by one panel of nibbles or bytes, whose coefficients are those of groups
/// or of their halves.
///
/// # Safety
/// The machine must have `S`; rows and panel must contain all groups, and `sums` the result.
#[inline(always)]
pub(super) unsafe fn tile<S: Simd, const NIBBLES: bool, const HALVES: bool, const ROWS: usize>(
    operands: &BlockOperands,
) {
    let BlockOperands { rows, stride, quants, coefficients, groups, sums } = *operands;
    let columns = 2 * S::LANES;
    let vector = 4 * S::LANES;
    let group_bytes = columns * (if NIBBLES { GROUP / 2 } else { GROUP });
    // Of a group's eight steps of four values, those that share coefficients.
    let parts = if HALVES { 2 } else { 1 };
    // SAFETY: passed on to the caller.
    unsafe {
        let mut sum = [[S::splat(0.0); 2]; ROWS];
        for group in 0..groups {
            let x = rows.add(group * GROUP_BYTES);
            let quants = quants.add(group * group_bytes);
            for line in (0..group_bytes).step_by(CACHE_LINE_BYTES) {
                S::prefetch(quants.wrapping_add(AHEAD_BYTES + line));
            }
            for part in 0..parts {
                let mut products = [[S::zero_i32(); 2]; ROWS];
                if NIBBLES {
                    for pair in 0..4 {
                        let left = S::load_nibbles(quants.add(2 * pair * vector));
                        let right = S::load_nibbles(quants.add((2 * pair + 1) * vector));
                        for (row, products) in products.iter_mut().enumerate() {
                            for (place, (left, right)) in left.into_iter().zip(right).enumerate() {
                                let x = x.add(row * stride + 8 * pair + 4 * place);
                                let x = S::splat_signed(x);
                                products[0] = S::dot_bytes(products[0], x, left);
                                products[1] = S::dot_bytes(products[1], x, right);
                            }
                        }
                    }
                } else {
                    let steps = 8 / parts;
                    for step in part * steps..(part + 1) * steps {
                        let left = S::load_bytes(quants.add(2 * step * vector));
                        let right = S::load_bytes(quants.add((2 * step + 1) * vector));
                        for (row, products) in products.iter_mut().enumerate() {
                            let x = S::splat_signed(x.add(row * stride + 4 * step));
                            products[0] = S::dot_bytes(products[0], x, left);
                            products[1] = S::dot_bytes(products[1], x, right);
                        }
                    }
                }
                let coefficients = coefficients.add((group * parts + part) * 2 * columns);
                let of_steps = if HALVES { 1 + part } else { 3 };
                for (row, (sum, products)) in sum.iter_mut().zip(products).enumerate() {
                    let sizes: *const f32 = x.add(row * stride + GROUP).cast();
                    let (size, steps) =
                        (sizes.read_unaligned(), sizes.add(of_steps).read_unaligned());
                    *sum = finish::<S>(*sum, products, size, steps, coefficients);
                }
            }
        }
        for (row, sum) in sum.into_iter().enumerate() {
            S::store(sums.add(row * columns), sum[0]);
            S::store(sums.add(row * columns + S::LANES), sum[1]);
        }
    }
}
