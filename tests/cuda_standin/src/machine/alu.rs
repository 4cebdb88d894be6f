//! Instructions that work on registers alone, for 32 lanes at a time.
//!
//! All lanes are computed and those that are active are kept, so that the loops have no branches.

use super::bits::{
    LANES, dp4a, funnel_left, funnel_right, integers, mul_hi, mul_hi_unsigned, ordered, permute,
};
use super::block::Work;
use super::float::{
    self, convert, f16_of_f32, f32_of_f16, flush, fma_down, fma_f16, max_f32, min_f32,
};
use super::warp::{ALL, Warp};
use super::{Approximation, Context, Trouble};
use crate::fault::Kind as FaultKind;
use crate::program::{Compare, Inst, Kind, L1, L2, L3, NONE, Op, P2, Row, Shift, W1, W2, W3};

/// Where generic addresses of shared memory begin.
pub(super) const SHARED_WINDOW: u64 = 0x1_0000_0000;

#[inline(always)]
fn keep<T: Copy>(target: &mut [T; 32], values: [T; 32], active: u32) {
    if active == ALL {
        *target = values;
    } else {
        for lane in 0..32 {
            target[lane] = if active & LANES[lane] != 0 { values[lane] } else { target[lane] };
        }
    }
}

macro_rules! f {
    ($bits:expr) => {
        f32::from_bits($bits)
    };
}

impl Warp {
    #[inline(always)]
    pub(super) fn word(&self, row: Row) -> &[u32; 32] {
        &self.words[usize::from(row)]
    }

    #[inline(always)]
    pub(super) fn long(&self, row: Row) -> &[u64; 32] {
        &self.longs[usize::from(row)]
    }

    #[inline(always)]
    pub(super) fn set_word(&mut self, row: Row, values: [u32; 32], active: u32) {
        keep(&mut self.words[usize::from(row)], values, active);
    }

    #[inline(always)]
    pub(super) fn set_long(&mut self, row: Row, values: [u64; 32], active: u32) {
        keep(&mut self.longs[usize::from(row)], values, active);
    }

    #[inline(always)]
    pub(super) fn set_predicate(&mut self, row: Row, mask: u32, active: u32) {
        let target = &mut self.predicates[usize::from(row)];
        *target = *target & !active | mask & active;
    }

    #[inline(always)]
    fn w1(&mut self, inst: &Inst, active: u32, f: impl Fn(u32) -> u32) {
        let a = *self.word(inst.a);
        self.set_word(inst.d, std::array::from_fn(|lane| f(a[lane])), active);
    }

    #[inline(always)]
    fn w2(&mut self, inst: &Inst, active: u32, f: impl Fn(u32, u32) -> u32) {
        let (a, b) = (*self.word(inst.a), *self.word(inst.b));
        self.set_word(inst.d, std::array::from_fn(|lane| f(a[lane], b[lane])), active);
    }

    #[inline(always)]
    fn w3(&mut self, inst: &Inst, active: u32, f: impl Fn(u32, u32, u32) -> u32) {
        let (a, b, c) = (*self.word(inst.a), *self.word(inst.b), *self.word(inst.c));
        self.set_word(inst.d, std::array::from_fn(|lane| f(a[lane], b[lane], c[lane])), active);
    }

    #[inline(always)]
    fn f2(&mut self, inst: &Inst, active: u32, f: impl Fn(f32, f32) -> f32) {
        self.w2(inst, active, |a, b| f(f!(a), f!(b)).to_bits());
    }

    /// f16 by way of f32, which has enough bits for sums, products and quotients to be rounded twice.
    #[inline(always)]
    fn h2(&mut self, inst: &Inst, active: u32, f: impl Fn(f32, f32) -> f32) {
        self.w2(inst, active, |a, b| f16_of_f32(f(f32_of_f16(a), f32_of_f16(b))));
    }

    #[inline(always)]
    fn h2x2(&mut self, inst: &Inst, active: u32, f: impl Fn(f32, f32) -> f32) {
        let half = |a: u32, b: u32| f16_of_f32(f(f32_of_f16(a & 0xffff), f32_of_f16(b & 0xffff)));
        self.w2(inst, active, |a, b| half(a, b) | half(a >> 16, b >> 16) << 16);
    }

    #[inline(always)]
    fn l2(&mut self, inst: &Inst, active: u32, f: impl Fn(u64, u64) -> u64) {
        let (a, b) = (*self.long(inst.a), *self.long(inst.b));
        self.set_long(inst.d, std::array::from_fn(|lane| f(a[lane], b[lane])), active);
    }

    #[inline(always)]
    fn d2(&mut self, inst: &Inst, active: u32, f: impl Fn(f64, f64) -> f64) {
        self.l2(inst, active, |a, b| f(f64::from_bits(a), f64::from_bits(b)).to_bits());
    }

    /// Executes an instruction whose lanes don't depend on each other.
    #[inline(always)]
    pub(super) fn execute(
        &mut self,
        context: &Context,
        work: &mut Work,
        inst: &Inst,
        active: u32,
    ) -> Result<(), Box<Trouble>> {
        match inst.op {
            Op::W1(op) => self.words1(context.options.approximation, inst, op, active),
            Op::W2(op) => self.words2(context.options.approximation, inst, op, active),
            Op::W3(op) => self.words3(inst, op, active),
            Op::L1(op) => self.longs1(inst, op, active),
            Op::L2(op) => self.longs2(inst, op, active),
            Op::L3(op) => {
                let (a, b, c) = (*self.long(inst.a), *self.long(inst.b), *self.long(inst.c));
                let values = std::array::from_fn(|lane| match op {
                    L3::MadLo => a[lane].wrapping_mul(b[lane]).wrapping_add(c[lane]),
                    L3::FmaF64 => f64::from_bits(a[lane])
                        .mul_add(f64::from_bits(b[lane]), f64::from_bits(c[lane]))
                        .to_bits(),
                });
                self.set_long(inst.d, values, active);
            }
            Op::ShiftLong(shift) => {
                let (a, b) = (*self.long(inst.a), *self.word(inst.b));
                let values = std::array::from_fn(|lane| match shift {
                    Shift::Left => a[lane].checked_shl(b[lane]).unwrap_or(0),
                    Shift::RightU => a[lane].checked_shr(b[lane]).unwrap_or(0),
                    Shift::RightS => (a[lane].cast_signed() >> b[lane].min(63)).cast_unsigned(),
                });
                self.set_long(inst.d, values, active);
            }
            Op::WideMul { is_signed, adds } => {
                let (a, b) = (*self.word(inst.a), *self.word(inst.b));
                let mut values: [u64; 32] = std::array::from_fn(|lane| {
                    if is_signed {
                        let product =
                            i64::from(a[lane].cast_signed()) * i64::from(b[lane].cast_signed());
                        product.cast_unsigned()
                    } else {
                        u64::from(a[lane]) * u64::from(b[lane])
                    }
                });
                if adds {
                    let c = self.long(inst.c);
                    values = std::array::from_fn(|lane| values[lane].wrapping_add(c[lane]));
                }
                self.set_long(inst.d, values, active);
            }
            Op::Widen { is_signed } => {
                let a = *self.word(inst.a);
                let values = std::array::from_fn(|lane| {
                    if is_signed {
                        i64::from(a[lane].cast_signed()).cast_unsigned()
                    } else {
                        u64::from(a[lane])
                    }
                });
                self.set_long(inst.d, values, active);
            }
            Op::Narrow => {
                let a = *self.long(inst.a);
                self.set_word(inst.d, std::array::from_fn(|lane| a[lane] as u32), active);
            }
            Op::SetWord(kind, compare) => {
                let mask = self.compare_words(inst, kind, compare);
                self.set_predicate(inst.d, mask, active);
            }
            Op::SetLong(kind, compare) => {
                let mask = self.compare_longs(inst, kind, compare);
                self.set_predicate(inst.d, mask, active);
            }
            Op::SelectWord => {
                let (a, b) = (*self.word(inst.a), *self.word(inst.b));
                let mask = self.predicates[usize::from(inst.c)];
                let values =
                    std::array::from_fn(
                        |lane| {
                            if mask & LANES[lane] != 0 { a[lane] } else { b[lane] }
                        },
                    );
                self.set_word(inst.d, values, active);
            }
            Op::SelectLong => {
                let (a, b) = (*self.long(inst.a), *self.long(inst.b));
                let mask = self.predicates[usize::from(inst.c)];
                let values =
                    std::array::from_fn(
                        |lane| {
                            if mask & LANES[lane] != 0 { a[lane] } else { b[lane] }
                        },
                    );
                self.set_long(inst.d, values, active);
            }
            Op::P2(op) => {
                let a = self.predicates[usize::from(inst.a)];
                let b = self.predicates[usize::from(inst.b)];
                let mask = match op {
                    P2::And => a & b,
                    P2::Or => a | b,
                    P2::Xor => a ^ b,
                };
                self.set_predicate(inst.d, mask, active);
            }
            Op::NotP => self.set_predicate(inst.d, !self.predicates[usize::from(inst.a)], active),
            Op::MovP => self.set_predicate(inst.d, self.predicates[usize::from(inst.a)], active),
            Op::PackLong => {
                let (a, b) = (*self.word(inst.a), *self.word(inst.b));
                let values =
                    std::array::from_fn(|lane| u64::from(a[lane]) | u64::from(b[lane]) << 32);
                self.set_long(inst.d, values, active);
            }
            Op::PackWord => self.w2(inst, active, |a, b| a & 0xffff | b << 16),
            Op::UnpackLong => {
                let a = *self.long(inst.a);
                if inst.d != NONE {
                    self.set_word(inst.d, std::array::from_fn(|lane| a[lane] as u32), active);
                }
                if inst.b != NONE {
                    let upper = std::array::from_fn(|lane| (a[lane] >> 32) as u32);
                    self.set_word(inst.b, upper, active);
                }
            }
            Op::UnpackWord => {
                let a = *self.word(inst.a);
                if inst.d != NONE {
                    self.set_word(inst.d, std::array::from_fn(|lane| a[lane] & 0xffff), active);
                }
                if inst.b != NONE {
                    self.set_word(inst.b, std::array::from_fn(|lane| a[lane] >> 16), active);
                }
            }
            Op::InsertWord => {
                let (position, length) = (inst.imm & 255, inst.imm >> 8);
                let mask = (u64::MAX >> (64 - length.clamp(1, 32))) as u32;
                let mask = if length == 0 { 0 } else { mask.checked_shl(position).unwrap_or(0) };
                self.w2(inst, active, |a, b| {
                    b & !mask | a.checked_shl(position).unwrap_or(0) & mask
                });
            }
            Op::InsertLong => {
                let (position, length) = (inst.imm & 255, inst.imm >> 8);
                let mask = if length == 0 { 0 } else { u64::MAX >> (64 - length.min(64)) };
                let mask = mask.checked_shl(position).unwrap_or(0);
                self.l2(inst, active, |a, b| {
                    b & !mask | a.checked_shl(position).unwrap_or(0) & mask
                });
            }
            Op::Convert => self.convert(context, inst, active)?,
            Op::ActiveMask => self.set_word(inst.d, [active; 32], active),
            Op::Load => self.load(context, work, inst.imm, active)?,
            Op::Store => self.store(context, work, inst.imm, active)?,
            Op::Atomic => self.atomic(context, work, inst.imm, active)?,
            _ => {}
        }
        Ok(())
    }

    fn convert(&mut self, context: &Context, inst: &Inst, active: u32) -> Result<(), Box<Trouble>> {
        let conversion = context.kernel.conversions[inst.imm as usize];
        let is_long = |kind: Kind| kind.bytes() == 8;
        for lane in 0..32 {
            if active & LANES[lane] == 0 {
                continue;
            }
            let bits = if is_long(conversion.from) {
                self.long(inst.a)[lane]
            } else {
                u64::from(self.word(inst.a)[lane])
            };
            let Some(value) = convert(bits, conversion) else {
                let what =
                    format!("no conversion from {:?} to {:?}", conversion.from, conversion.to);
                return Err(Trouble::new(FaultKind::Stopped, lane, what));
            };
            if is_long(conversion.to) {
                self.longs[usize::from(inst.d)][lane] = value;
            } else {
                self.words[usize::from(inst.d)][lane] = value as u32;
            }
        }
        Ok(())
    }

    /// An approximate function, computed in f64.
    #[inline(always)]
    fn near(
        &mut self,
        approximation: Approximation,
        inst: &Inst,
        active: u32,
        ulp: i32,
        f: impl Fn(f64) -> f64,
    ) {
        let a = *self.word(inst.a);
        let mut values = [0; 32];
        for lane in 0..32 {
            if active & LANES[lane] != 0 {
                let exact = f(f64::from(f!(a[lane]))) as f32;
                values[lane] = approximation.apply(exact, ulp, a[lane]).to_bits();
            }
        }
        self.set_word(inst.d, values, active);
    }

    #[inline(always)]
    fn words1(&mut self, approximation: Approximation, inst: &Inst, op: W1, active: u32) {
        match op {
            W1::Mov => self.w1(inst, active, |a| a),
            W1::Not => self.w1(inst, active, |a| !a),
            W1::NegI => self.w1(inst, active, u32::wrapping_neg),
            W1::AbsI => self.w1(inst, active, |a| a.cast_signed().wrapping_abs().cast_unsigned()),
            W1::Popcount => self.w1(inst, active, u32::count_ones),
            W1::LeadingZeros => self.w1(inst, active, u32::leading_zeros),
            W1::Reverse => self.w1(inst, active, u32::reverse_bits),
            W1::FindU => self.w1(inst, active, |a| 31_u32.wrapping_sub(a.leading_zeros())),
            W1::FindS => self.w1(inst, active, |a| {
                let a = if a >> 31 == 1 { !a } else { a };
                31_u32.wrapping_sub(a.leading_zeros())
            }),
            W1::FindShift => {
                self.w1(inst, active, |a| if a == 0 { ALL } else { a.leading_zeros() });
            }
            W1::NegF32 => self.w1(inst, active, |a| a ^ 0x8000_0000),
            W1::AbsF32 => self.w1(inst, active, |a| a & 0x7fff_ffff),
            W1::SatF32 => self.w1(inst, active, |a| {
                let a = f!(a);
                let above = if a > 0.0 { a } else { 0.0 };
                let within = if above > 1.0 { 1.0_f32 } else { above };
                within.to_bits()
            }),
            W1::FtzF32 => self.w1(inst, active, |a| flush(f!(a)).to_bits()),
            W1::SqrtF32 => self.w1(inst, active, |a| f!(a).sqrt().to_bits()),
            W1::RcpF32 => self.w1(inst, active, |a| (1.0 / f!(a)).to_bits()),
            W1::Ex2 => self.near(approximation, inst, active, float::EX2_ULP, f64::exp2),
            W1::Lg2 => self.near(approximation, inst, active, float::LG2_ULP, f64::log2),
            W1::RsqrtApprox => {
                self.near(approximation, inst, active, float::RSQRT_ULP, |a| 1.0 / a.sqrt());
            }
            W1::SqrtApprox => self.near(approximation, inst, active, float::SQRT_ULP, f64::sqrt),
            W1::RcpApprox => {
                self.near(approximation, inst, active, float::RCP_ULP, |a| 1.0 / a);
            }
            W1::Tanh => self.near(approximation, inst, active, float::TANH_ULP, f64::tanh),
            W1::Sin => {
                self.near(approximation, inst, active, float::TRIGONOMETRIC_ULP, f64::sin);
            }
            W1::Cos => {
                self.near(approximation, inst, active, float::TRIGONOMETRIC_ULP, f64::cos);
            }
            W1::F32FromF16 => self.w1(inst, active, |a| f32_of_f16(a).to_bits()),
            W1::F16FromF32 => self.w1(inst, active, |a| f16_of_f32(f!(a))),
            W1::F32FromS32 => self.w1(inst, active, |a| (a.cast_signed() as f32).to_bits()),
            W1::F32FromS16 => self.w1(inst, active, |a| f32::from(a as i16).to_bits()),
            W1::F32FromS8 => self.w1(inst, active, |a| f32::from(a as i8).to_bits()),
            W1::F32FromU32 => self.w1(inst, active, |a| (a as f32).to_bits()),
            W1::S32FromF32 => self.w1(inst, active, |a| (f!(a) as i32).cast_unsigned()),
            W1::NegF16 => self.w1(inst, active, |a| a ^ 0x8000),
            W1::AbsF16 => self.w1(inst, active, |a| a & 0x7fff),
            W1::NegF16x2 => self.w1(inst, active, |a| a ^ 0x8000_8000),
            W1::AbsF16x2 => self.w1(inst, active, |a| a & 0x7fff_7fff),
            W1::Sext8 => self.w1(inst, active, |a| i32::from(a as i8).cast_unsigned()),
            W1::Sext16 => self.w1(inst, active, |a| i32::from(a as i16).cast_unsigned()),
            W1::Zext8 => self.w1(inst, active, |a| a & 0xff),
            W1::Zext16 => self.w1(inst, active, |a| a & 0xffff),
            W1::Sext8To16 => {
                self.w1(inst, active, |a| i32::from(a as i8).cast_unsigned() & 0xffff);
            }
            W1::Not16 => self.w1(inst, active, |a| !a & 0xffff),
            W1::Neg16 => self.w1(inst, active, |a| a.wrapping_neg() & 0xffff),
        }
    }

    #[inline(always)]
    fn words2(&mut self, approximation: Approximation, inst: &Inst, op: W2, active: u32) {
        let signed = |a: u32| a.cast_signed();
        let short = |a: u32| i32::from(a as i16);
        match op {
            W2::Add => self.w2(inst, active, u32::wrapping_add),
            W2::Sub => self.w2(inst, active, u32::wrapping_sub),
            W2::Mul => self.w2(inst, active, u32::wrapping_mul),
            W2::MulHiU => self.w2(inst, active, mul_hi_unsigned),
            W2::MulHiS => self.w2(inst, active, mul_hi),
            // Division by zero gives all ones, as on a device.
            W2::DivU => self.w2(inst, active, |a, b| a.checked_div(b).unwrap_or(ALL)),
            W2::RemU => self.w2(inst, active, |a, b| a.checked_rem(b).unwrap_or(a)),
            W2::DivS => self.w2(inst, active, |a, b| {
                if b == 0 { ALL } else { signed(a).wrapping_div(signed(b)).cast_unsigned() }
            }),
            W2::RemS => self.w2(inst, active, |a, b| {
                if b == 0 { a } else { signed(a).wrapping_rem(signed(b)).cast_unsigned() }
            }),
            W2::MinU => self.w2(inst, active, u32::min),
            W2::MaxU => self.w2(inst, active, u32::max),
            W2::MinS => self.w2(inst, active, |a, b| signed(a).min(signed(b)).cast_unsigned()),
            W2::MaxS => self.w2(inst, active, |a, b| signed(a).max(signed(b)).cast_unsigned()),
            W2::And => self.w2(inst, active, |a, b| a & b),
            W2::Or => self.w2(inst, active, |a, b| a | b),
            W2::Xor => self.w2(inst, active, |a, b| a ^ b),
            W2::Shl => self.w2(inst, active, |a, b| if b > 31 { 0 } else { a << (b & 31) }),
            W2::ShrU => self.w2(inst, active, |a, b| if b > 31 { 0 } else { a >> (b & 31) }),
            W2::ShrS => self.w2(inst, active, |a, b| (signed(a) >> b.min(31)).cast_unsigned()),
            W2::Add16 => self.w2(inst, active, |a, b| a.wrapping_add(b) & 0xffff),
            W2::Sub16 => self.w2(inst, active, |a, b| a.wrapping_sub(b) & 0xffff),
            W2::Mul16 => self.w2(inst, active, |a, b| a.wrapping_mul(b) & 0xffff),
            W2::Shl16 => {
                self.w2(inst, active, |a, b| if b > 15 { 0 } else { a << (b & 15) & 0xffff });
            }
            W2::ShrU16 => {
                self.w2(inst, active, |a, b| if b > 15 { 0 } else { (a & 0xffff) >> (b & 15) });
            }
            W2::MinU16 => self.w2(inst, active, |a, b| (a & 0xffff).min(b & 0xffff)),
            W2::MaxU16 => self.w2(inst, active, |a, b| (a & 0xffff).max(b & 0xffff)),
            W2::ShrS16 => {
                self.w2(inst, active, |a, b| (short(a) >> b.min(15)).cast_unsigned() & 0xffff);
            }
            W2::MinS16 => {
                self.w2(inst, active, |a, b| short(a).min(short(b)).cast_unsigned() & 0xffff);
            }
            W2::MaxS16 => {
                self.w2(inst, active, |a, b| short(a).max(short(b)).cast_unsigned() & 0xffff);
            }
            W2::MulWideU16 => self.w2(inst, active, |a, b| (a & 0xffff).wrapping_mul(b & 0xffff)),
            W2::MulWideS16 => self.w2(inst, active, |a, b| (short(a) * short(b)).cast_unsigned()),
            W2::AddF32 => self.f2(inst, active, |a, b| a + b),
            W2::SubF32 => self.f2(inst, active, |a, b| a - b),
            W2::MulF32 => self.f2(inst, active, |a, b| a * b),
            W2::DivF32 => self.f2(inst, active, |a, b| a / b),
            W2::DivApprox => self.w2(inst, active, |a, b| {
                approximation.apply(f!(a) / f!(b), float::DIV_ULP, a ^ b.rotate_left(7)).to_bits()
            }),
            W2::MinF32 => self.f2(inst, active, min_f32),
            W2::MaxF32 => self.f2(inst, active, max_f32),
            // PTX takes the sign of the first operand.
            W2::CopySign => self.w2(inst, active, |a, b| a & 0x8000_0000 | b & 0x7fff_ffff),
            W2::AddF16 => self.h2(inst, active, |a, b| a + b),
            W2::SubF16 => self.h2(inst, active, |a, b| a - b),
            W2::MulF16 => self.h2(inst, active, |a, b| a * b),
            W2::MinF16 => self.h2(inst, active, min_f32),
            W2::MaxF16 => self.h2(inst, active, max_f32),
            W2::AddF16x2 => self.h2x2(inst, active, |a, b| a + b),
            W2::SubF16x2 => self.h2x2(inst, active, |a, b| a - b),
            W2::MulF16x2 => self.h2x2(inst, active, |a, b| a * b),
            W2::MinF16x2 => self.h2x2(inst, active, min_f32),
            W2::MaxF16x2 => self.h2x2(inst, active, max_f32),
        }
    }

    #[inline(always)]
    fn words3(&mut self, inst: &Inst, op: W3, active: u32) {
        match op {
            W3::FmaF32 => {
                self.w3(inst, active, |a, b, c| f!(a).mul_add(f!(b), f!(c)).to_bits());
            }
            W3::MadLo => self.w3(inst, active, |a, b, c| a.wrapping_mul(b).wrapping_add(c)),
            W3::MadHiU => {
                self.w3(inst, active, |a, b, c| mul_hi_unsigned(a, b).wrapping_add(c));
            }
            W3::MadHiS => self.w3(inst, active, |a, b, c| mul_hi(a, b).wrapping_add(c)),
            W3::Mad16 => {
                self.w3(inst, active, |a, b, c| a.wrapping_mul(b).wrapping_add(c) & 0xffff);
            }
            W3::FmaF32Down => {
                self.w3(inst, active, |a, b, c| fma_down(f!(a), f!(b), f!(c)).to_bits());
            }
            W3::FmaF16 => self.w3(inst, active, fma_f16),
            W3::FmaF16x2 => self.w3(inst, active, |a, b, c| {
                let lower = fma_f16(a & 0xffff, b & 0xffff, c & 0xffff);
                lower | fma_f16(a >> 16, b >> 16, c >> 16) << 16
            }),
            W3::Dp4aSS => self.w3(inst, active, |a, b, c| dp4a(a, b, c, true, true)),
            W3::Dp4aUU => self.w3(inst, active, |a, b, c| dp4a(a, b, c, false, false)),
            W3::Dp4aSU => self.w3(inst, active, |a, b, c| dp4a(a, b, c, true, false)),
            W3::Dp4aUS => self.w3(inst, active, |a, b, c| dp4a(a, b, c, false, true)),
            W3::Permute => self.w3(inst, active, permute),
            W3::FunnelLeft => self.w3(inst, active, |a, b, c| funnel_left(a, b, c & 31)),
            W3::FunnelRight => self.w3(inst, active, |a, b, c| funnel_right(a, b, c & 31)),
            W3::FunnelLeftClamp => self.w3(inst, active, |a, b, c| funnel_left(a, b, c.min(32))),
            W3::FunnelRightClamp => self.w3(inst, active, |a, b, c| funnel_right(a, b, c.min(32))),
            W3::Lop3 => {
                let table = inst.imm;
                self.w3(inst, active, |a, b, c| {
                    let term = |bit: u32, x: u32, y: u32, z: u32| {
                        if table >> bit & 1 == 1 { x & y & z } else { 0 }
                    };
                    term(0, !a, !b, !c)
                        | term(1, !a, !b, c)
                        | term(2, !a, b, !c)
                        | term(3, !a, b, c)
                        | term(4, a, !b, !c)
                        | term(5, a, !b, c)
                        | term(6, a, b, !c)
                        | term(7, a, b, c)
                });
            }
            W3::ExtractU => self.w3(inst, active, |a, b, c| {
                let (position, length) = (b & 255, c & 255);
                let shifted = a.checked_shr(position).unwrap_or(0);
                if length > 31 { shifted } else { shifted & ((1 << length) - 1) }
            }),
            W3::ExtractS => self.w3(inst, active, |a, b, c| {
                let (position, length) = (b & 255, (c & 255).min(32));
                if length == 0 {
                    return 0;
                }
                let shifted = (i64::from(a.cast_signed()) >> position.min(63)) << (64 - length);
                (shifted >> (64 - length)) as u32
            }),
        }
    }

    #[inline(always)]
    fn longs1(&mut self, inst: &Inst, op: L1, active: u32) {
        let a = *self.long(inst.a);
        let f = |a: u64| f64::from_bits(a);
        let values = std::array::from_fn(|lane| match op {
            L1::Mov => a[lane],
            L1::Not => !a[lane],
            L1::Neg => a[lane].wrapping_neg(),
            L1::AbsS => a[lane].cast_signed().wrapping_abs().cast_unsigned(),
            L1::NegF64 => (-f(a[lane])).to_bits(),
            L1::AbsF64 => f(a[lane]).abs().to_bits(),
            L1::SqrtF64 => f(a[lane]).sqrt().to_bits(),
            L1::RcpF64 => (1.0 / f(a[lane])).to_bits(),
            L1::ToGenericShared => a[lane].wrapping_add(SHARED_WINDOW),
            L1::FromGenericShared => a[lane].wrapping_sub(SHARED_WINDOW),
        });
        self.set_long(inst.d, values, active);
    }

    #[inline(always)]
    fn longs2(&mut self, inst: &Inst, op: L2, active: u32) {
        let signed = |a: u64| a.cast_signed();
        match op {
            L2::Add => self.l2(inst, active, u64::wrapping_add),
            L2::Sub => self.l2(inst, active, u64::wrapping_sub),
            L2::Mul => self.l2(inst, active, u64::wrapping_mul),
            L2::MulHiU => {
                self.l2(inst, active, |a, b| ((u128::from(a) * u128::from(b)) >> 64) as u64);
            }
            L2::MulHiS => self.l2(inst, active, |a, b| {
                ((i128::from(signed(a)) * i128::from(signed(b))) >> 64) as u64
            }),
            L2::DivU => self.l2(inst, active, |a, b| a.checked_div(b).unwrap_or(u64::MAX)),
            L2::RemU => self.l2(inst, active, |a, b| a.checked_rem(b).unwrap_or(a)),
            L2::DivS => self.l2(inst, active, |a, b| {
                if b == 0 { u64::MAX } else { signed(a).wrapping_div(signed(b)).cast_unsigned() }
            }),
            L2::RemS => self.l2(inst, active, |a, b| {
                if b == 0 { a } else { signed(a).wrapping_rem(signed(b)).cast_unsigned() }
            }),
            L2::MinU => self.l2(inst, active, u64::min),
            L2::MaxU => self.l2(inst, active, u64::max),
            L2::MinS => self.l2(inst, active, |a, b| signed(a).min(signed(b)).cast_unsigned()),
            L2::MaxS => self.l2(inst, active, |a, b| signed(a).max(signed(b)).cast_unsigned()),
            L2::And => self.l2(inst, active, |a, b| a & b),
            L2::Or => self.l2(inst, active, |a, b| a | b),
            L2::Xor => self.l2(inst, active, |a, b| a ^ b),
            L2::AddF64 => self.d2(inst, active, |a, b| a + b),
            L2::SubF64 => self.d2(inst, active, |a, b| a - b),
            L2::MulF64 => self.d2(inst, active, |a, b| a * b),
            L2::DivF64 => self.d2(inst, active, |a, b| a / b),
            L2::MinF64 => self.d2(inst, active, f64::min),
            L2::MaxF64 => self.d2(inst, active, f64::max),
        }
    }

    #[inline(always)]
    fn compare_words(&self, inst: &Inst, kind: Kind, compare: Compare) -> u32 {
        let (a, b) = (self.word(inst.a), self.word(inst.b));
        match kind {
            Kind::F32 => ordered(compare, |lane| (f!(a[lane]), f!(b[lane]))),
            Kind::F16 => ordered(compare, |lane| (f32_of_f16(a[lane]), f32_of_f16(b[lane]))),
            Kind::S32 => integers(compare, |lane| (a[lane].cast_signed(), b[lane].cast_signed())),
            Kind::S16 | Kind::S8 => integers(compare, |lane| (a[lane] as i16, b[lane] as i16)),
            Kind::U16 | Kind::U8 => integers(compare, |lane| (a[lane] & 0xffff, b[lane] & 0xffff)),
            _ => integers(compare, |lane| (a[lane], b[lane])),
        }
    }

    #[inline(always)]
    fn compare_longs(&self, inst: &Inst, kind: Kind, compare: Compare) -> u32 {
        let (a, b) = (self.long(inst.a), self.long(inst.b));
        match kind {
            Kind::F64 => {
                ordered(compare, |lane| (f64::from_bits(a[lane]), f64::from_bits(b[lane])))
            }
            Kind::S64 => integers(compare, |lane| (a[lane].cast_signed(), b[lane].cast_signed())),
            _ => integers(compare, |lane| (a[lane], b[lane])),
        }
    }
}
