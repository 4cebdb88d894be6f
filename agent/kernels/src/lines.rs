//! What happens to rows between the products: norm, softmax, activation functions and conversions.
//!
//! Lengths are multiples of the vector's lanes: rows are padded, and padding is zero.

#![expect(clippy::inline_always, reason = "inlined into functions that enable the instruction set")]

use super::simd::Simd;

/// Between the feed-forward layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `max(x, 0)`.
    Relu,
    /// `x Φ(x)`, exact.
    Gelu,
    /// `x Φ(x)` by tanh, `gelu_new` of transformers.
    GeluTanh,
}

/// What becomes of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// They are the result.
    Store,
    /// They are added to what is there.
    Add,
    /// The function is applied to them.
    Apply(Function),
    /// The function of the left half of each panel times its right half: `act(wi_0 x) * wi_1 x`.
    Gate(Function),
}

/// Sums of int8 products and what turns them into f32.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scales {
    /// One per row of activations.
    pub(super) rows: *const f32,
    /// One per column of the panel.
    pub(super) columns: *const f32,
    /// What the offset of the activations adds to each column's sum.
    pub(super) offsets: *const i32,
}

/// Sums of one tile and where they go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    /// `[rows][2 * lanes]`, f32, or i32 with scales.
    pub(super) from: *const f32,
    pub(super) rows: usize,
    /// Where the products are of int8.
    pub(super) scales: Option<Scales>,
    pub(super) finish: Finish,
    /// The first row's place in the result.
    pub(super) to: *mut f32,
    /// f32 from one row of the result to the next.
    pub(super) stride: usize,
}

/// `e^x`, to 2 units in the last place; below -87.3 it stays at `e^-87.3`.
/// The polynomial is that of Cephes `expf`.
#[inline(always)]
unsafe fn exp<S: Simd>(x: S::F) -> S::F {
    // SAFETY: passed on to the caller.
    unsafe {
        let x = S::max(S::min(x, S::splat(88.0)), S::splat(-87.3));
        let whole = S::round(S::mul(x, S::splat(std::f32::consts::LOG2_E)));
        let r = S::fma(whole, S::splat(-0.693_359_4), x);
        let r = S::fma(whole, S::splat(2.121_944_4e-4), r);
        let mut p = S::splat(1.987_569_2e-4);
        for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.0e-1] {
            p = S::fma(p, r, S::splat(c));
        }
        let p = S::fma(S::mul(p, r), r, S::add(r, S::splat(1.0)));
        S::scale(p, whole)
    }
}

/// `erf(x)` to 1.5e-7 (Abramowitz and Stegun 7.1.26).
#[inline(always)]
unsafe fn erf<S: Simd>(x: S::F) -> S::F {
    // SAFETY: passed on to the caller.
    unsafe {
        let zero = S::splat(0.0);
        let size = S::max(x, S::sub(zero, x));
        let one = S::splat(1.0);
        let t = S::div(one, S::fma(size, S::splat(0.327_591_1), one));
        let mut p = S::splat(1.061_405_4);
        for c in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
            p = S::fma(p, t, S::splat(c));
        }
        let tail = S::mul(S::mul(p, t), exp::<S>(S::mul(S::sub(zero, size), size)));
        let value = S::sub(one, tail);
        // The sign of x: x / |x|, and 0 for 0 where the value is 0 as well.
        S::mul(value, S::div(x, S::max(size, S::splat(f32::MIN_POSITIVE))))
    }
}

#[inline(always)]
unsafe fn apply<S: Simd>(function: Function, x: S::F) -> S::F {
    // SAFETY: passed on to the caller.
    unsafe {
        match function {
            Function::Relu => S::max(x, S::splat(0.0)),
            Function::Gelu => {
                let value = erf::<S>(S::mul(x, S::splat(std::f32::consts::FRAC_1_SQRT_2)));
                S::mul(S::mul(x, S::splat(0.5)), S::add(value, S::splat(1.0)))
            }
            Function::GeluTanh => {
                // (1 + tanh u) / 2 = 1 / (1 + e^(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3).
                let cube = S::mul(S::mul(x, x), x);
                let inner = S::fma(cube, S::splat(0.044_715), x);
                let e = exp::<S>(S::mul(inner, S::splat(-2.0 * 0.797_884_6)));
                S::div(x, S::add(e, S::splat(1.0)))
            }
        }
    }
}

/// A vector of one row's sums, scaled where they are of int8.
#[inline(always)]
unsafe fn half<S: Simd>(sums: &Sums, row: usize, right: usize) -> S::F {
    // SAFETY: passed on to the caller.
    unsafe {
        let from = sums.from.add((2 * row + right) * S::LANES);
        let Some(scales) = sums.scales else { return S::load(from) };
        let column = right * S::LANES;
        let offset = S::load_i32(scales.offsets.add(column));
        let sum = S::sub_i32(S::load_i32(from.cast()), offset);
        let row = S::splat(*scales.rows.add(row));
        S::mul(S::to_f32(sum), S::mul(row, S::load(scales.columns.add(column))))
    }
}

/// Turns the sums of a tile into results.
///
/// # Safety
/// The machine must have `S`; the pointers must hold what their names say.
#[inline(always)]
pub(super) unsafe fn finish<S: Simd>(sums: &Sums) {
    // SAFETY: passed on to the caller.
    unsafe {
        for row in 0..sums.rows {
            let (left, right) = (half::<S>(sums, row, 0), half::<S>(sums, row, 1));
            let to = sums.to.add(row * sums.stride);
            let next = to.add(S::LANES);
            match sums.finish {
                Finish::Store => {
                    S::store(to, left);
                    S::store(next, right);
                }
                Finish::Add => {
                    S::store(to, S::add(S::load(to), left));
                    S::store(next, S::add(S::load(next), right));
                }
                Finish::Apply(function) => {
                    S::store(to, apply::<S>(function, left));
                    S::store(next, apply::<S>(function, right));
                }
                Finish::Gate(function) => {
                    S::store(to, S::mul(apply::<S>(function, left), right));
                }
            }
        }
    }
}

/// `x / sqrt(mean(x^2) + epsilon) * gain`; the mean is over `width` values, the rest of the row is zero.
///
/// # Safety
/// The machine must have `S`.
#[inline(always)]
pub(super) unsafe fn rms_norm<S: Simd>(
    x: &[f32],
    gain: &[f32],
    (width, epsilon): (usize, f32),
    to: &mut [f32],
) {
    assert!(x.len() == gain.len() && x.len() == to.len() && x.len().is_multiple_of(S::LANES));
    // SAFETY: the three slices have the same length, a multiple of the lanes.
    unsafe {
        let mut squares = S::splat(0.0);
        for place in (0..x.len()).step_by(S::LANES) {
            let x = S::load(x.as_ptr().add(place));
            squares = S::fma(x, x, squares);
        }
        let mean = S::sum(squares) / width as f32;
        let scale = S::splat(1.0 / (mean + epsilon).sqrt());
        for place in (0..x.len()).step_by(S::LANES) {
            let scaled = S::mul(S::load(x.as_ptr().add(place)), scale);
            S::store(to.as_mut_ptr().add(place), S::mul(scaled, S::load(gain.as_ptr().add(place))));
        }
    }
}

/// Softmax over the first `count` scores, `bias` added first where there is one. What lies behind becomes zero.
///
/// # Safety
/// The machine must have `S`.
#[inline(always)]
pub(super) unsafe fn softmax<S: Simd>(scores: &mut [f32], bias: Option<&[f32]>, count: usize) {
    assert!(scores.len().is_multiple_of(S::LANES) && count <= scores.len());
    assert!(bias.is_none_or(|bias| bias.len() >= count));
    if let Some(bias) = bias {
        for (score, bias) in scores[..count].iter_mut().zip(bias) {
            *score += bias;
        }
    }
    scores[count..].fill(f32::NEG_INFINITY);
    let to = scores.as_mut_ptr();
    // SAFETY: the slice's length is a multiple of the lanes.
    unsafe {
        let mut highest = S::splat(f32::NEG_INFINITY);
        for place in (0..scores.len()).step_by(S::LANES) {
            highest = S::max(highest, S::load(to.add(place)));
        }
        let highest = S::splat(S::highest(highest));
        let mut sum = S::splat(0.0);
        for place in (0..scores.len()).step_by(S::LANES) {
            let value = exp::<S>(S::sub(S::load(to.add(place)), highest));
            S::store(to.add(place), value);
            sum = S::add(sum, value);
        }
        let scale = S::splat(1.0 / S::sum(sum));
        for place in (0..scores.len()).step_by(S::LANES) {
            S::store(to.add(place), S::mul(S::load(to.add(place)), scale));
        }
    }
    scores[count..].fill(0.0);
}

/// The greatest of some numbers; minus infinity for none. Not-a-number may be passed over.
///
/// # Safety
/// The machine must have `S`.
#[inline(always)]
pub(super) unsafe fn highest<S: Simd>(x: &[f32]) -> f32 {
    let mut vectors = x.chunks_exact(S::LANES);
    // SAFETY: each chunk has as many numbers as a vector.
    let highest = unsafe {
        let mut highest = S::splat(f32::NEG_INFINITY);
        for vector in &mut vectors {
            highest = S::max(S::load(vector.as_ptr()), highest);
        }
        S::highest(highest)
    };
    vectors.remainder().iter().fold(highest, |highest, x| highest.max(*x))
}

/// Adds up numbers with eight sums at a time, as fast as they can be read. Their order is the machine's.
///
/// # Safety
/// The machine must have `S`.
#[inline(always)]
pub(super) unsafe fn sweep<S: Simd>(x: &[f32]) -> f32 {
    let mut strips = x.chunks_exact(8 * S::LANES);
    // SAFETY: each strip has as many numbers as eight vectors.
    unsafe {
        let mut sums = [S::splat(0.0); 8];
        for strip in &mut strips {
            for (place, sum) in sums.iter_mut().enumerate() {
                *sum = S::add(*sum, S::load(strip.as_ptr().add(place * S::LANES)));
            }
        }
        sums.into_iter().map(|sum| S::sum(sum)).sum::<f32>()
            + strips.remainder().iter().sum::<f32>()
    }
}

/// Rounds a row to bf16.
///
/// # Safety
/// The machine must have `S`.
#[inline(always)]
pub(super) unsafe fn to_bf16<S: Simd>(x: &[f32], to: &mut [u16]) {
    assert!(x.len() == to.len() && x.len().is_multiple_of(S::LANES));
    // SAFETY: both slices have the same length, a multiple of the lanes.
    unsafe {
        for place in (0..x.len()).step_by(S::LANES) {
            S::store_bf16(to.as_mut_ptr().add(place), S::load(x.as_ptr().add(place)));
        }
    }
}

/// Rounds a row to f16.
///
/// # Safety
/// The machine must have `S`.
#[inline(always)]
pub(super) unsafe fn to_f16<S: Simd>(x: &[f32], to: &mut [u16]) {
    assert!(x.len() == to.len() && x.len().is_multiple_of(S::LANES));
    // SAFETY: both slices have the same length, a multiple of the lanes.
    unsafe {
        for place in (0..x.len()).step_by(S::LANES) {
            S::store_f16(to.as_mut_ptr().add(place), S::load(x.as_ptr().add(place)));
        }
    }
}

/// Rounds a row to 255 steps around zero, stored with 128 added, and returns the size of a step.
///
/// # Safety
/// The machine must have `S`.
#[inline(always)]
pub(super) unsafe fn to_u8<S: Simd>(x: &[f32], to: &mut [u8]) -> f32 {
    assert!(x.len() == to.len() && x.len().is_multiple_of(S::LANES));
    // SAFETY: both slices have the same length, a multiple of the lanes.
    unsafe {
        let mut largest = S::splat(0.0);
        for place in (0..x.len()).step_by(S::LANES) {
            let x = S::load(x.as_ptr().add(place));
            largest = S::max(largest, S::max(x, S::sub(S::splat(0.0), x)));
        }
        let largest = S::highest(largest);
        let inverse = S::splat(if largest > 0.0 { 127.0 / largest } else { 0.0 });
        for place in (0..x.len()).step_by(S::LANES) {
            let steps = S::round(S::mul(S::load(x.as_ptr().add(place)), inverse));
            S::store_u8(to.as_mut_ptr().add(place), steps);
        }
        largest / 127.0
    }
}
