//! The inner loop of every product: a few rows of activations times one panel of weights.
//!
//! A panel contains two vectors of output columns for each step along the inner dimension. Each sum
//! covers the whole inner dimension in one register and in one order, so a row's result does not
//! depend on the other rows.

use super::simd::{Simd, instructions};

/// Memory layout and multiplication of activations and weights. A step consumes four bytes of
/// activations.
///
/// # Safety of all functions
/// As for [`Simd`].
pub(super) trait Format<S: Simd> {
    /// Bytes of weights per column and step.
    const WEIGHT_BYTES: usize;
    type Activation: Copy;
    type Weights: Copy;
    type Sum: Copy;

    unsafe fn zero() -> Self::Sum;
    unsafe fn weights(from: *const u8) -> Self::Weights;
    unsafe fn activation(from: *const u8) -> Self::Activation;
    unsafe fn add(sum: Self::Sum, x: Self::Activation, w: Self::Weights) -> Self::Sum;
    unsafe fn store(to: *mut f32, sum: Self::Sum);
}

/// f32 by f32.
pub(super) struct F32;
/// f32 activations by f16 weights.
pub(super) struct F16;
/// Pairs of bf16.
pub(super) struct Bf16;
/// u8 activations by i8 weights, four at a time; the sums are i32 stored as f32.
pub(super) struct Int8;

impl<S: Simd> Format<S> for F32 {
    const WEIGHT_BYTES: usize = 4;
    type Activation = S::F;
    type Weights = S::F;
    type Sum = S::F;

    instructions! {
        fn zero() -> S::F { S::splat(0.0) }
        fn weights(from: *const u8) -> S::F { S::load(from.cast()) }
        fn activation(from: *const u8) -> S::F { S::splat(from.cast::<f32>().read_unaligned()) }
        fn add(sum: S::F, x: S::F, w: S::F) -> S::F { S::fma(x, w, sum) }
        fn store(to: *mut f32, sum: S::F) { S::store(to, sum); }
    }
}

impl<S: Simd> Format<S> for F16 {
    const WEIGHT_BYTES: usize = 2;
    type Activation = S::F;
    type Weights = S::F;
    type Sum = S::F;

    instructions! {
        fn zero() -> S::F { S::splat(0.0) }
        fn weights(from: *const u8) -> S::F { S::load_f16(from.cast()) }
        fn activation(from: *const u8) -> S::F { S::splat(from.cast::<f32>().read_unaligned()) }
        fn add(sum: S::F, x: S::F, w: S::F) -> S::F { S::fma(x, w, sum) }
        fn store(to: *mut f32, sum: S::F) { S::store(to, sum); }
    }
}

impl<S: Simd> Format<S> for Bf16 {
    const WEIGHT_BYTES: usize = 4;
    type Activation = S::Pair;
    type Weights = S::Pairs;
    type Sum = S::F;

    instructions! {
        fn zero() -> S::F { S::splat(0.0) }
        fn weights(from: *const u8) -> S::Pairs { S::load_pairs(from) }
        fn activation(from: *const u8) -> S::Pair { S::splat_pair(from) }
        fn add(sum: S::F, x: S::Pair, w: S::Pairs) -> S::F { S::dot_pairs(sum, x, w) }
        fn store(to: *mut f32, sum: S::F) { S::store(to, sum); }
    }
}

impl<S: Simd> Format<S> for Int8 {
    const WEIGHT_BYTES: usize = 4;
    type Activation = S::Quad;
    type Weights = S::Quads;
    type Sum = S::I;

    instructions! {
        fn zero() -> S::I { S::zero_i32() }
        fn weights(from: *const u8) -> S::Quads { S::load_quads(from) }
        fn activation(from: *const u8) -> S::Quad { S::splat_quad(from) }
        fn add(sum: S::I, x: S::Quad, w: S::Quads) -> S::I { S::dot_quads(sum, x, w) }
        fn store(to: *mut f32, sum: S::I) { S::store_i32(to.cast(), sum); }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Operands {
    /// The first row of activations.
    pub(super) rows: *const u8,
    /// Bytes from one row of activations to the next.
    pub(super) stride: usize,
    /// The panel: `[steps][2 * lanes]` weights.
    pub(super) panel: *const u8,
    /// Steps of the inner dimension.
    pub(super) steps: usize,
    /// Receives `[ROWS][2 * lanes]` sums.
    pub(super) sums: *mut f32,
}

/// How far ahead weights are requested from memory: left to itself, the processor is late.
pub(super) const AHEAD_BYTES: usize = 2048;
pub(super) const CACHE_LINE_BYTES: usize = 64;

/// Multiplies `ROWS` rows by one panel.
///
/// # Safety
/// The machine must have `S`; rows and panel must contain `steps` steps, and `sums` the result.
#[inline(always)]
#[expect(clippy::inline_always, reason = "inlined into functions that enable the instruction set")]
pub(super) unsafe fn tile<S: Simd, T: Format<S>, const ROWS: usize>(operands: &Operands) {
    let Operands { rows, stride, panel, steps, sums } = *operands;
    // SAFETY: passed on to the caller.
    unsafe {
        let mut sum = [[T::zero(); 2]; ROWS];
        let half = S::LANES * T::WEIGHT_BYTES;
        for step in 0..steps {
            let ahead = panel.wrapping_add(step * 2 * half + AHEAD_BYTES);
            S::prefetch(ahead);
            if half >= CACHE_LINE_BYTES {
                S::prefetch(ahead.wrapping_add(half));
            }
            let left = T::weights(panel.add(step * 2 * half));
            let right = T::weights(panel.add(step * 2 * half + half));
            for (row, sum) in sum.iter_mut().enumerate() {
                let x = T::activation(rows.add(row * stride + step * 4));
                *sum = [T::add(sum[0], x, left), T::add(sum[1], x, right)];
            }
        }
        for (row, sum) in sum.into_iter().enumerate() {
            T::store(sums.add(row * 2 * S::LANES), sum[0]);
            T::store(sums.add(row * 2 * S::LANES + S::LANES), sum[1]);
        }
    }
}
