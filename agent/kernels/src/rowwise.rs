//! Row-wise operations between products: norm, softmax, activations and conversions.
//!
//! Lengths are multiples of the vector's lanes: rows are zero-padded.

#![expect(clippy::inline_always, reason = "inlined into functions that enable the instruction set")]

use super::simd::Simd;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `x Φ(x)`, exact.
    Gelu,
    /// `x Φ(x)` by tanh, `gelu_new` of transformers.
    GeluTanh,
    /// `x / (1 + e^-x)`.
    Silu,
}

/// What happens to the sums of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epilogue {
    /// Written to the result.
    Store,
    /// Added to the result.
    Add,
    /// Written after the activation.
    Apply(Activation),
    /// The activation of the left half of each panel times its right half: `act(wi_0 x) * wi_1 x`.
    Gate(Activation),
}

/// Factors that convert the sums of int8 products to f32.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scales {
    /// One per row of activations.
    pub(super) rows: *const f32,
    /// One per column of the panel.
    pub(super) columns: *const f32,
    /// The contribution of the activations' offset to each column's sum.
    pub(super) offsets: *const i32,
}

/// The last part of a layer norm, zero-padded like rows.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    pub gain: &'a [f32],
    pub bias: &'a [f32],
}

/// The sums of one tile and their destination.
#[derive(Debug, Clone, Copy)]
pub(super) struct EpilogueArgs {
    /// `[rows][2 * lanes]`: f32, or i32 if there are scales.
    pub(super) from: *const f32,
    pub(super) rows: usize,
    /// For int8 products.
    pub(super) scales: Option<Scales>,
    /// Added to every row before the epilogue, one per column.
    pub(super) bias: Option<*const f32>,
    pub(super) epilogue: Epilogue,
    /// The first row's destination.
    pub(super) to: *mut f32,
    /// f32 from one row of the result to the next.
    pub(super) stride: usize,
}

/// `e^x` to 2 ulp, clamped below at `e^-87.3`. Polynomial of Cephes `expf`.
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
        // The sign of x as x / |x|; 0 for 0, where the value is 0 too.
        S::mul(value, S::div(x, S::max(size, S::splat(f32::MIN_POSITIVE))))
    }
}

#[inline(always)]
unsafe fn apply<S: Simd>(function: Activation, x: S::F) -> S::F {
    // SAFETY: passed on to the caller.
    unsafe {
        match function {
            Activation::Relu => S::max(x, S::splat(0.0)),
            Activation::Gelu => {
                let value = erf::<S>(S::mul(x, S::splat(std::f32::consts::FRAC_1_SQRT_2)));
                S::mul(S::mul(x, S::splat(0.5)), S::add(value, S::splat(1.0)))
            }
            Activation::GeluTanh => {
                // (1 + tanh u) / 2 = 1 / (1 + e^(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3).
                let cube = S::mul(S::mul(x, x), x);
                let inner = S::fma(cube, S::splat(0.044_715), x);
                let e = exp::<S>(S::mul(inner, S::splat(-2.0 * 0.797_884_6)));
                S::div(x, S::add(e, S::splat(1.0)))
            }
            Activation::Silu => {
                let e = exp::<S>(S::sub(S::splat(0.0), x));
                S::div(x, S::add(e, S::splat(1.0)))
            }
        }
    }
}

/// One vector of a row's sums with the bias.
#[inline(always)]
unsafe fn half<S: Simd>(sums: &EpilogueArgs, row: usize, right: usize) -> S::F {
    // SAFETY: passed on to the caller.
    unsafe {
        let sum = scaled::<S>(sums, row, right);
        match sums.bias {
            Some(bias) => S::add(sum, S::load(bias.add(right * S::LANES))),
            None => sum,
        }
    }
}

/// One vector of a row's sums, scaled for int8.
#[inline(always)]
unsafe fn scaled<S: Simd>(sums: &EpilogueArgs, row: usize, right: usize) -> S::F {
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

/// Converts the sums of a tile to results.
///
/// # Safety
/// The machine must have `S`; the pointers must be valid for their shapes.
#[inline(always)]
pub(super) unsafe fn epilogue<S: Simd>(sums: &EpilogueArgs) {
    // SAFETY: passed on to the caller.
    unsafe {
        for row in 0..sums.rows {
            let (left, right) = (half::<S>(sums, row, 0), half::<S>(sums, row, 1));
            let to = sums.to.add(row * sums.stride);
            let next = to.add(S::LANES);
            match sums.epilogue {
                Epilogue::Store => {
                    S::store(to, left);
                    S::store(next, right);
                }
                Epilogue::Add => {
                    S::store(to, S::add(S::load(to), left));
                    S::store(next, S::add(S::load(next), right));
                }
                Epilogue::Apply(function) => {
                    S::store(to, apply::<S>(function, left));
                    S::store(next, apply::<S>(function, right));
                }
                Epilogue::Gate(function) => {
                    S::store(to, S::mul(apply::<S>(function, left), right));
                }
            }
        }
    }
}

/// `x / sqrt(mean(x^2) + epsilon) * gain`. The mean is over `width` values; the rest of the row is
/// zero.
///
/// # Safety
/// The machine must have `S`.
#[inline(always)]
pub(super) unsafe fn rms_norm<S: Simd>(
    x: &[f32],
    gain: &[f32],
    width: usize,
    epsilon: f32,
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

/// `(x - mean(x)) / sqrt(variance(x) + epsilon) * gain + bias` for a row of `width` values. Gain and
/// bias are zero beyond them, and so is the result.
///
/// # Safety
/// The machine must have `S`.
#[inline(always)]
pub(super) unsafe fn layer_norm<S: Simd>(
    x: &[f32],
    affine: &Affine<'_>,
    width: usize,
    epsilon: f32,
    to: &mut [f32],
) {
    let Affine { gain, bias } = *affine;
    assert!(x.len() == gain.len() && x.len() == bias.len() && x.len() == to.len());
    assert!(x.len().is_multiple_of(S::LANES) && width <= x.len());
    // Padding has no share in the variance: whole vectors of values, and the others one by one.
    let whole = width / S::LANES * S::LANES;
    // SAFETY: the four slices have the same length, a multiple of the lanes.
    unsafe {
        let mut sum = S::splat(0.0);
        for place in (0..x.len()).step_by(S::LANES) {
            sum = S::add(sum, S::load(x.as_ptr().add(place)));
        }
        let mean = S::sum(sum) / width as f32;
        let mut squares = S::splat(0.0);
        for place in (0..whole).step_by(S::LANES) {
            let apart = S::sub(S::load(x.as_ptr().add(place)), S::splat(mean));
            squares = S::fma(apart, apart, squares);
        }
        let others: f32 = x[whole..width].iter().map(|x| (x - mean) * (x - mean)).sum();
        let variance = (S::sum(squares) + others) / width as f32;
        let scale = S::splat(1.0 / (variance + epsilon).sqrt());
        for place in (0..x.len()).step_by(S::LANES) {
            let apart = S::sub(S::load(x.as_ptr().add(place)), S::splat(mean));
            let (gain, bias) = (gain.as_ptr().add(place), bias.as_ptr().add(place));
            let result = S::fma(S::mul(apart, scale), S::load(gain), S::load(bias));
            S::store(to.as_mut_ptr().add(place), result);
        }
    }
}

/// Softmax over the first `count` scores, after adding `bias`. The rest becomes zero.
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
        let highest = S::splat(S::max_lane(highest));
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

/// The maximum; negative infinity for an empty slice. NaN may be ignored.
///
/// # Safety
/// The machine must have `S`.
#[inline(always)]
pub(super) unsafe fn max<S: Simd>(x: &[f32]) -> f32 {
    let mut vectors = x.chunks_exact(S::LANES);
    // SAFETY: each chunk has as many numbers as a vector.
    let highest = unsafe {
        let mut highest = S::splat(f32::NEG_INFINITY);
        for vector in &mut vectors {
            highest = S::max(S::load(vector.as_ptr()), highest);
        }
        S::max_lane(highest)
    };
    vectors.remainder().iter().fold(highest, |highest, x| highest.max(*x))
}

/// Sums with eight accumulators, at the speed of memory. The order is unspecified.
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

/// Quantizes a row to 255 steps around zero, stored with an offset of 128, and returns the step
/// size.
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
        let largest = S::max_lane(largest);
        let inverse = S::splat(if largest > 0.0 { 127.0 / largest } else { 0.0 });
        for place in (0..x.len()).step_by(S::LANES) {
            let steps = S::round(S::mul(S::load(x.as_ptr().add(place)), inverse));
            S::store_u8(to.as_mut_ptr().add(place), steps);
        }
        largest / 127.0
    }
}
