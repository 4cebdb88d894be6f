//! Numbers: f16, conversions, and the instructions that approximate.
//!
//! An approximate instruction is computed exactly and rounded, then moved by up to its error bound: see
//! [`Approximation`]. The bounds are those of the PTX ISA, in units of the last place of f32.

use crate::program::{Conversion, Kind, Round};

/// Error bounds in units of the last place: of division, square roots and reciprocals.
pub(crate) const DIV_ULP: i32 = 2;
pub(crate) const RCP_ULP: i32 = 1;
pub(crate) const SQRT_ULP: i32 = 1;
/// 2^-22.9 relative.
pub(crate) const RSQRT_ULP: i32 = 1;
pub(crate) const EX2_ULP: i32 = 2;
/// 2^-22 absolute or relative.
pub(crate) const LG2_ULP: i32 = 2;
/// 2^-11 relative.
pub(crate) const TANH_ULP: i32 = 1 << 12;
/// 2^-20.9 absolute.
pub(crate) const TRIGONOMETRIC_ULP: i32 = 4;

/// How approximate instructions err.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Approximation {
    /// Not at all: results are the nearest f32.
    #[default]
    Exact,
    /// By any error within the bound, which depends on this seed and on the operand.
    Seeded(u64),
}

impl Approximation {
    /// Moves `value`, the result of an instruction with this bound.
    #[inline]
    pub(crate) fn apply(self, value: f32, ulp: i32, operand: u32) -> f32 {
        let Self::Seeded(seed) = self else { return value };
        if !value.is_finite() || value == 0.0 {
            return value;
        }
        let span = u64::from(ulp.unsigned_abs()) * 2 + 1;
        let hash = mix(seed ^ u64::from(operand) << 8 ^ u64::from(ulp.unsigned_abs()));
        let by = i32::try_from(hash % span).unwrap_or(0) - ulp;
        let moved = f32::from_bits(value.to_bits().wrapping_add_signed(by));
        if moved.is_finite() && moved.is_sign_negative() == value.is_sign_negative() {
            moved
        } else {
            value
        }
    }
}

/// The finalizer of splitmix64.
pub(crate) const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The f32 with the value of an f16.
#[inline(always)]
pub(crate) fn f32_of_f16(half: u32) -> f32 {
    let sign = (half & 0x8000) << 16;
    let magnitude = (half & 0x7fff) << 13;
    // Moves the exponent, and makes subnormal numbers normal.
    let scaled = f32::from_bits(magnitude) * f32::from_bits(0x7780_0000);
    let is_special = half & 0x7c00 == 0x7c00;
    let bits = if is_special { magnitude | 0x7f80_0000 } else { scaled.to_bits() };
    f32::from_bits(bits | sign)
}

/// The nearest f16 of an f32, ties to even; NaN is 0x7fff.
#[inline(always)]
pub(crate) fn f16_of_f32(value: f32) -> u32 {
    let bits = value.to_bits();
    let sign = bits >> 16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    // Adding 0.5 rounds to multiples of 2^-24, the least f16.
    let small = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
    let normal = magnitude.wrapping_add(0xc800_0fff).wrapping_add(magnitude >> 13 & 1) >> 13;
    let is_small = magnitude < 0x3880_0000;
    let is_large = magnitude >= 0x4780_0000;
    let finite = if is_small { small } else { normal };
    let rounded = if is_large { 0x7c00 } else { finite };
    if magnitude > 0x7f80_0000 { 0x7fff } else { rounded | sign }
}

/// The nearest f16 of an f64 that was rounded to odd.
fn f16_of_f64(value: f64) -> u32 {
    // f32 has enough bits left over for rounding to odd once more.
    #[expect(clippy::cast_possible_truncation, reason = "corrected below")]
    let near = value as f32;
    if !value.is_finite() || f64::from(near).to_bits() == value.to_bits() {
        return f16_of_f32(near);
    }
    let toward_zero =
        if f64::from(near).abs() > value.abs() { f32::from_bits(near.to_bits() - 1) } else { near };
    f16_of_f32(f32::from_bits(toward_zero.to_bits() | 1))
}

/// a b + c in f16, rounded once.
pub(crate) fn fma_f16(a: u32, b: u32, c: u32) -> u32 {
    let (a, b) = (f64::from(f32_of_f16(a)), f64::from(f32_of_f16(b)));
    let c = f64::from(f32_of_f16(c));
    // The product is exact. The sum's error tells how to round it to odd.
    let product = a * b;
    let sum = product + c;
    let part = sum - product;
    let error = (product - (sum - part)) + (c - part);
    if error == 0.0 || !sum.is_finite() || sum.to_bits() & 1 == 1 {
        return f16_of_f64(sum);
    }
    let is_up = (error > 0.0) == (sum > 0.0);
    let bits = if is_up { sum.to_bits() | 1 } else { sum.to_bits() - 1 };
    f16_of_f64(f64::from_bits(bits))
}

#[inline(always)]
pub(crate) fn min_f32(a: f32, b: f32) -> f32 {
    if a.is_nan() {
        return b;
    }
    if b.is_nan() {
        return a;
    }
    if a == b {
        return f32::from_bits(a.to_bits() | b.to_bits());
    }
    if a < b { a } else { b }
}

#[inline(always)]
pub(crate) fn max_f32(a: f32, b: f32) -> f32 {
    if a.is_nan() {
        return b;
    }
    if b.is_nan() {
        return a;
    }
    if a == b {
        return f32::from_bits(a.to_bits() & b.to_bits());
    }
    if a > b { a } else { b }
}

#[inline(always)]
pub(crate) fn flush(value: f32) -> f32 {
    if value.is_subnormal() { f32::from_bits(value.to_bits() & 0x8000_0000) } else { value }
}

/// a b + c rounded towards negative infinity.
pub(crate) fn fma_down(a: f32, b: f32, c: f32) -> f32 {
    let near = a.mul_add(b, c);
    if !near.is_finite() {
        return near;
    }
    // The product is exact in f64; what the sum loses shows in its error.
    let product = f64::from(a) * f64::from(b);
    let c = f64::from(c);
    let sum = product + c;
    let part = sum - product;
    let error = (product - (sum - part)) + (c - part);
    let near_wide = f64::from(near);
    let is_above = near_wide > sum || (near_wide == sum && error < 0.0);
    if is_above { near.next_down() } else { near }
}

/// Reads a value of a kind from the lower bits.
fn number(bits: u64, kind: Kind) -> Number {
    #[expect(clippy::cast_possible_truncation, reason = "the kind has that many bits")]
    match kind {
        Kind::U8 => Number::Integer(i128::from(bits as u8)),
        Kind::S8 => Number::Integer(i128::from(bits as i8)),
        Kind::U16 => Number::Integer(i128::from(bits as u16)),
        Kind::S16 => Number::Integer(i128::from(bits as i16)),
        Kind::U32 => Number::Integer(i128::from(bits as u32)),
        Kind::S32 => Number::Integer(i128::from(bits as i32)),
        Kind::U64 => Number::Integer(i128::from(bits)),
        Kind::S64 => Number::Integer(i128::from(bits.cast_signed())),
        Kind::F16 => Number::Float(f64::from(f32_of_f16(bits as u32))),
        Kind::F32 => Number::Float(f64::from(f32::from_bits(bits as u32))),
        Kind::F64 => Number::Float(f64::from_bits(bits)),
    }
}

enum Number {
    Integer(i128),
    Float(f64),
}

fn whole(value: f64, round: Round) -> f64 {
    match round {
        Round::Nearest => value.round_ties_even(),
        Round::Zero => value.trunc(),
        Round::Down => value.floor(),
        Round::Up => value.ceil(),
    }
}

fn limits(kind: Kind) -> (i128, i128) {
    let bits = kind.bytes() * 8;
    if kind.is_signed() {
        (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    } else {
        (0, (1 << bits) - 1)
    }
}

/// Rounds an f64 to f32 in a direction.
#[expect(clippy::cast_possible_truncation, reason = "that is the rounding")]
fn single(value: f64, round: Round) -> f32 {
    let near = value as f32;
    let wide = f64::from(near);
    match round {
        Round::Zero if wide.abs() > value.abs() => f32::from_bits(near.to_bits() - 1),
        Round::Down if wide > value => near.next_down(),
        Round::Up if wide < value => near.next_up(),
        _ => near,
    }
}

/// Converts one value. `None`: this combination isn't known.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "conversions of PTX truncate and saturate"
)]
pub(crate) fn convert(bits: u64, conversion: Conversion) -> Option<u64> {
    let Conversion { from, to, round, is_whole, saturates, flushes } = conversion;
    let mut value = number(bits, from);
    if flushes && from == Kind::F32 {
        value = Number::Float(f64::from(flush(f32::from_bits(bits as u32))));
    }
    if !to.is_float() {
        let (low, high) = limits(to);
        let integer = match value {
            Number::Integer(value) if saturates => value.clamp(low, high),
            Number::Integer(value) => value,
            // The greatest f64 below 2^127 saturates in the cast.
            Number::Float(value) if value.is_nan() => 0,
            Number::Float(value) => (whole(value, round) as i128).clamp(low, high),
        };
        let mask = if to.bytes() == 8 { u64::MAX } else { (1 << (to.bytes() * 8)) - 1 };
        let kept = integer as u64 & mask;
        // A byte with a sign fills its register of 16 bits.
        return Some(if to == Kind::S8 {
            u64::from(i16::from(kept as i8).cast_unsigned())
        } else {
            kept
        });
    }
    let mut float = match value {
        Number::Float(value) if is_whole => whole(value, round),
        Number::Float(value) => value,
        Number::Integer(value) => {
            return Some(match to {
                Kind::F64 => (value as f64).to_bits(),
                Kind::F32 if round == Round::Nearest => u64::from((value as f32).to_bits()),
                // Integers up to 53 bits are exact in f64.
                Kind::F32 => u64::from(single(value as f64, round).to_bits()),
                Kind::F16 if value.unsigned_abs() < 1 << 24 => u64::from(f16_of_f32(value as f32)),
                _ => return None,
            });
        }
    };
    if saturates {
        float = if float.is_nan() { 0.0 } else { float.clamp(0.0, 1.0) };
    }
    Some(match to {
        Kind::F64 => float.to_bits(),
        Kind::F32 => {
            let single = single(float, if is_whole { Round::Nearest } else { round });
            u64::from(if flushes { flush(single) } else { single }.to_bits())
        }
        Kind::F16 if round == Round::Nearest || is_whole => u64::from(f16_of_f64(float)),
        Kind::F16 if round == Round::Zero => {
            let near = f16_of_f64(float);
            let is_above = f64::from(f32_of_f16(near)).abs() > float.abs();
            u64::from(near - u32::from(is_above))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of an f16 by its definition.
    fn defined(half: u32) -> f64 {
        let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
        let (exponent, fraction) = (half >> 10 & 31, f64::from(half & 1023));
        match exponent {
            0 => sign * fraction * 2f64.powi(-24),
            31 if fraction == 0.0 => sign * f64::INFINITY,
            31 => f64::NAN,
            _ => sign * (1024.0 + fraction) * 2f64.powi(exponent.cast_signed() - 25),
        }
    }

    #[test]
    fn every_f16_is_converted_exactly_and_back() {
        for half in 0..=0xffff {
            let single = f32_of_f16(half);
            let wanted = defined(half);
            if wanted.is_nan() {
                assert!(single.is_nan() && f16_of_f32(single) == 0x7fff);
            } else {
                assert_eq!(f64::from(single).to_bits(), wanted.to_bits(), "{half:#x}");
                assert_eq!(f16_of_f32(single), half);
            }
        }
    }

    /// The nearest f16, ties to even, by comparing distances.
    fn nearest(value: f64) -> u32 {
        let sign = u32::from(value.is_sign_negative()) << 15;
        let distance = |half: u32| {
            let at = if half == 0x7c00 { 65536.0 } else { defined(half) };
            (at - value.abs()).abs()
        };
        let best = (0..=0x7c00)
            .min_by(|a, b| distance(*a).total_cmp(&distance(*b)).then((a & 1).cmp(&(b & 1))));
        best.expect("there are some") | sign
    }

    #[test]
    fn f32_is_rounded_to_the_nearest_f16() {
        let mut seed = 1;
        let mut values = vec![65519.9, 65520.0, 2f32.powi(-25), 3.0 * 2f32.powi(-26), 1e-10];
        for _ in 0..60 {
            seed = mix(seed);
            // Between 2^-26 and 2^17.
            let exponent = 101 + seed % 43;
            values.push(f32::from_bits((exponent << 23 | seed >> 41) as u32));
        }
        for value in values {
            for value in [value, -value] {
                assert_eq!(f16_of_f32(value), nearest(f64::from(value)), "{value}");
            }
        }
    }

    #[test]
    fn fused_products_of_f16_are_rounded_once() {
        // 1 + 2^-10 squared plus a half of the last place, and a little more or less.
        let (a, half) = (0x3c01, 0x1000);
        assert_eq!(fma_f16(a, a, half), nearest(defined(a) * defined(a) + defined(half)));
        let mut seed = 7;
        for _ in 0..200 {
            seed = mix(seed);
            let [a, b, c] = [0, 16, 32].map(|shift| (seed >> shift) as u32 & 0xbfff);
            let exact = defined(a) * defined(b) + defined(c);
            if exact.is_finite() && exact != 0.0 {
                // f64 holds these sums exactly unless the exponents are far apart.
                assert_eq!(fma_f16(a, b, c), nearest(exact), "{a:#x} {b:#x} {c:#x}");
            }
        }
    }

    #[test]
    fn errors_stay_in_their_bounds_and_use_them() {
        for ulp in [1, 2, 4] {
            let moved: std::collections::BTreeSet<i64> = (0..200)
                .map(|operand| {
                    let value = Approximation::Seeded(5).apply(1.5, ulp, operand);
                    i64::from(value.to_bits()) - i64::from(1.5f32.to_bits())
                })
                .collect();
            let all: Vec<i64> = (-i64::from(ulp)..=i64::from(ulp)).collect();
            assert_eq!(moved.into_iter().collect::<Vec<_>>(), all);
        }
        assert_eq!(Approximation::Exact.apply(1.5, 2, 1), 1.5);
    }

    #[test]
    fn conversions_round_clamp_and_saturate() {
        let of = |from, to, round, is_whole| Conversion {
            from,
            to,
            round,
            is_whole,
            saturates: false,
            flushes: false,
        };
        let f32s = |value: f32| u64::from(value.to_bits());
        let to_int = of(Kind::F32, Kind::S32, Round::Nearest, true);
        assert_eq!(convert(f32s(2.5), to_int), Some(2));
        assert_eq!(convert(f32s(-1e20), to_int), Some(0x8000_0000));
        assert_eq!(convert(f32s(f32::NAN), to_int), Some(0));
        let down = of(Kind::F32, Kind::F32, Round::Down, true);
        assert_eq!(convert(f32s(-1.5), down), Some(f32s(-2.0)));
        let narrow = of(Kind::F64, Kind::F32, Round::Zero, false);
        assert_eq!(
            convert((1.0 + 1e-7f64 * 1.9).to_bits(), narrow),
            Some(f32s(1.0 + f32::EPSILON))
        );
        let sat = Conversion { saturates: true, ..of(Kind::F32, Kind::F32, Round::Nearest, false) };
        assert_eq!(convert(f32s(1.5), sat), Some(f32s(1.0)));
        assert_eq!(convert(f32s(f32::NAN), sat), Some(0));
        let to_byte =
            Conversion { saturates: true, ..of(Kind::S32, Kind::U8, Round::Nearest, false) };
        assert_eq!(convert(300, to_byte), Some(255));
        let half = of(Kind::F32, Kind::F16, Round::Zero, false);
        assert_eq!(convert(f32s(1.0009), half), Some(0x3c00));
    }

    #[test]
    fn rounding_down_is_exact() {
        assert_eq!(fma_down(1.0, 1.0, 2f32.powi(-30)), 1.0);
        assert_eq!(fma_down(1.0, 1.0, -(2f32.powi(-30))), 1.0f32.next_down());
        assert_eq!(fma_down(3.0, 5.0, 1.0), 16.0);
    }
}
