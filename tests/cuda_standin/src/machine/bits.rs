//! Comparisons of lanes, and integers that Rust has no operator for.

use super::warp::ALL;
use crate::program::Compare;

/// A bit for each lane.
pub(super) const LANES: [u32; 32] = {
    let mut lanes = [0; 32];
    let mut lane = 0;
    while lane < 32 {
        lanes[lane] = 1 << lane;
        lane += 1;
    }
    lanes
};

#[inline(always)]
fn mask_of(holds: impl Fn(usize) -> bool) -> u32 {
    let mut mask = 0;
    for lane in 0..32 {
        mask |= if holds(lane) { LANES[lane] } else { 0 };
    }
    mask
}

/// Comparisons of integers.
#[inline(always)]
pub(super) fn integers<T: Ord>(compare: Compare, at: impl Fn(usize) -> (T, T)) -> u32 {
    match compare {
        Compare::Eq | Compare::Equ => mask_of(|lane| at(lane).0 == at(lane).1),
        Compare::Ne | Compare::Neu => mask_of(|lane| at(lane).0 != at(lane).1),
        Compare::Lt | Compare::Ltu => mask_of(|lane| at(lane).0 < at(lane).1),
        Compare::Le | Compare::Leu => mask_of(|lane| at(lane).0 <= at(lane).1),
        Compare::Gt | Compare::Gtu => mask_of(|lane| at(lane).0 > at(lane).1),
        Compare::Ge | Compare::Geu => mask_of(|lane| at(lane).0 >= at(lane).1),
        Compare::Num => ALL,
        Compare::Nan => 0,
    }
}

/// Comparisons of floats: `ne` doesn't hold with NaN.
#[inline(always)]
pub(super) fn ordered<T: PartialOrd + Copy>(compare: Compare, at: impl Fn(usize) -> (T, T)) -> u32 {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let of = |lane: usize| {
        let (a, b) = at(lane);
        a.partial_cmp(&b)
    };
    match compare {
        Compare::Eq => mask_of(|lane| of(lane) == Some(Equal)),
        Compare::Ne => mask_of(|lane| matches!(of(lane), Some(Less | Greater))),
        Compare::Lt => mask_of(|lane| of(lane) == Some(Less)),
        Compare::Le => mask_of(|lane| matches!(of(lane), Some(Less | Equal))),
        Compare::Gt => mask_of(|lane| of(lane) == Some(Greater)),
        Compare::Ge => mask_of(|lane| matches!(of(lane), Some(Greater | Equal))),
        Compare::Equ => mask_of(|lane| matches!(of(lane), None | Some(Equal))),
        Compare::Neu => mask_of(|lane| of(lane) != Some(Equal)),
        Compare::Ltu => mask_of(|lane| matches!(of(lane), None | Some(Less))),
        Compare::Leu => mask_of(|lane| of(lane) != Some(Greater)),
        Compare::Gtu => mask_of(|lane| matches!(of(lane), None | Some(Greater))),
        Compare::Geu => mask_of(|lane| of(lane) != Some(Less)),
        Compare::Num => mask_of(|lane| of(lane).is_some()),
        Compare::Nan => mask_of(|lane| of(lane).is_none()),
    }
}

pub(super) fn mul_hi(a: u32, b: u32) -> u32 {
    ((i64::from(a.cast_signed()) * i64::from(b.cast_signed())) >> 32) as u32
}

pub(super) fn mul_hi_unsigned(a: u32, b: u32) -> u32 {
    ((u64::from(a) * u64::from(b)) >> 32) as u32
}

pub(super) fn dp4a(a: u32, b: u32, c: u32, a_signed: bool, b_signed: bool) -> u32 {
    let byte = |word: u32, at: u32, is_signed: bool| {
        let byte = (word >> (8 * at)) as u8;
        if is_signed { i32::from(byte.cast_signed()) } else { i32::from(byte) }
    };
    let products = (0..4).map(|at| byte(a, at, a_signed) * byte(b, at, b_signed));
    products.fold(c, u32::wrapping_add_signed)
}

pub(super) fn permute(a: u32, b: u32, selector: u32) -> u32 {
    let bytes = u64::from(a) | u64::from(b) << 32;
    (0..4).fold(0, |result, at| {
        let select = selector >> (4 * at) & 15;
        let byte = (bytes >> (8 * (select & 7))) as u8;
        let byte = if select & 8 == 0 { byte } else { (byte.cast_signed() >> 7).cast_unsigned() };
        result | u32::from(byte) << (8 * at)
    })
}

pub(super) fn funnel_left(low: u32, high: u32, by: u32) -> u32 {
    ((u64::from(high) << 32 | u64::from(low)) << by >> 32) as u32
}

pub(super) fn funnel_right(low: u32, high: u32, by: u32) -> u32 {
    ((u64::from(high) << 32 | u64::from(low)) >> by) as u32
}
