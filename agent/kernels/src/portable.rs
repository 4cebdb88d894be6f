//! Vectors as arrays, for machines without a known instruction set. The compiler maps them to SSE2
//! or NEON. Uses no unsafe instructions, only the given pointers.

use super::simd::{Simd, instructions};
use half::{bf16, f16};

#[derive(Debug, Clone, Copy)]
pub(super) struct Portable;

const LANES: usize = 8;

fn each<T: Copy, R: Copy + Default>(x: [T; LANES], f: impl Fn(T) -> R) -> [R; LANES] {
    x.map(f)
}

fn both<T: Copy, R: Copy + Default>(
    x: [T; LANES],
    y: [T; LANES],
    f: impl Fn(T, T) -> R,
) -> [R; LANES] {
    std::array::from_fn(|lane| f(x[lane], y[lane]))
}

/// Trait functions that are safe here.
macro_rules! numbers {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $result:ty $body:block)*) => {$(
        #[inline(always)]
        unsafe fn $name($($arg: $type),*) -> $result $body
    )*};
}

/// Fused if the target has an instruction for it.
fn fused(x: f32, y: f32, z: f32) -> f32 {
    if cfg!(target_arch = "aarch64") { x.mul_add(y, z) } else { x * y + z }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole numbers in the ranges that the trait states"
)]
impl Simd for Portable {
    const LANES: usize = LANES;
    const TILE_ROWS: usize = 4;
    type F = [f32; LANES];
    type I = [i32; LANES];
    type Pairs = [[bf16; 2]; LANES];
    type Pair = [bf16; 2];
    type Quads = [[i8; 4]; LANES];
    type Quad = [u8; 4];
    type Bytes = [[u8; 4]; LANES];
    type Signed = [i8; 4];

    instructions! {
        fn load(from: *const f32) -> Self::F { from.cast::<Self::F>().read_unaligned() }
        fn store(to: *mut f32, x: Self::F) { to.cast::<Self::F>().write_unaligned(x) }
        fn load_f16(from: *const u16) -> Self::F {
            each(from.cast::<[f16; LANES]>().read_unaligned(), f16::to_f32)
        }
        fn store_f16(to: *mut u16, x: Self::F) {
            let most = f16::MAX.to_f32();
            let halves = each(x, |x| f16::from_f32(x.clamp(-most, most)));
            to.cast::<[f16; LANES]>().write_unaligned(halves);
        }
        fn store_bf16(to: *mut u16, x: Self::F) {
            to.cast::<[bf16; LANES]>().write_unaligned(each(x, bf16::from_f32));
        }
        fn store_u8(to: *mut u8, x: Self::F) {
            to.cast::<[u8; LANES]>().write_unaligned(each(x, |x| (x + 128.0) as u8));
        }
        fn load_u8(from: *const u8) -> Self::F {
            each(from.cast::<[u8; LANES]>().read_unaligned(), f32::from)
        }
        fn store_i8(to: *mut i8, x: Self::F) {
            to.cast::<[i8; LANES]>().write_unaligned(each(x, |x| x as i8));
        }
        fn load_bytes(from: *const u8) -> Self::Bytes { from.cast::<Self::Bytes>().read_unaligned() }
        fn load_nibbles(from: *const u8) -> [Self::Bytes; 2] {
            let bytes = from.cast::<Self::Bytes>().read_unaligned();
            [bytes.map(|four| four.map(|byte| byte & 15)), bytes.map(|four| four.map(|byte| byte >> 4))]
        }
        fn splat_signed(from: *const u8) -> Self::Signed { from.cast::<Self::Signed>().read_unaligned() }
        fn load_pairs(from: *const u8) -> Self::Pairs { from.cast::<Self::Pairs>().read_unaligned() }
        fn splat_pair(from: *const u8) -> Self::Pair { from.cast::<Self::Pair>().read_unaligned() }
        fn load_i32(from: *const i32) -> Self::I { from.cast::<Self::I>().read_unaligned() }
        fn store_i32(to: *mut i32, x: Self::I) { to.cast::<Self::I>().write_unaligned(x) }
        fn load_quads(from: *const u8) -> Self::Quads { from.cast::<Self::Quads>().read_unaligned() }
        fn splat_quad(from: *const u8) -> Self::Quad { from.cast::<Self::Quad>().read_unaligned() }
    }

    numbers! {
        fn splat(x: f32) -> Self::F { [x; LANES] }
        fn add(x: Self::F, y: Self::F) -> Self::F { both(x, y, |x, y| x + y) }
        fn sub(x: Self::F, y: Self::F) -> Self::F { both(x, y, |x, y| x - y) }
        fn mul(x: Self::F, y: Self::F) -> Self::F { both(x, y, |x, y| x * y) }
        fn div(x: Self::F, y: Self::F) -> Self::F { both(x, y, |x, y| x / y) }
        fn max(x: Self::F, y: Self::F) -> Self::F { both(x, y, f32::max) }
        fn min(x: Self::F, y: Self::F) -> Self::F { both(x, y, f32::min) }
        fn fma(x: Self::F, y: Self::F, z: Self::F) -> Self::F {
            std::array::from_fn(|lane| fused(x[lane], y[lane], z[lane]))
        }
        fn round(x: Self::F) -> Self::F { each(x, f32::round_ties_even) }
        fn scale(x: Self::F, n: Self::F) -> Self::F {
            both(x, n, |x, n| x * f32::from_bits(((n as i32 + 127) as u32) << 23))
        }
        fn sum(x: Self::F) -> f32 {
            let half: [f32; 4] = std::array::from_fn(|lane| x[lane] + x[lane + 4]);
            (half[0] + half[2]) + (half[1] + half[3])
        }
        fn max_lane(x: Self::F) -> f32 { x.into_iter().fold(f32::NEG_INFINITY, f32::max) }
        fn dot_pairs(sum: Self::F, x: Self::Pair, w: Self::Pairs) -> Self::F {
            std::array::from_fn(|lane| {
                let first = fused(x[0].to_f32(), w[lane][0].to_f32(), sum[lane]);
                fused(x[1].to_f32(), w[lane][1].to_f32(), first)
            })
        }
        fn zero_i32() -> Self::I { [0; LANES] }
        fn sub_i32(x: Self::I, y: Self::I) -> Self::I { both(x, y, |x, y| x - y) }
        fn to_f32(x: Self::I) -> Self::F { each(x, |x| x as f32) }
        fn dot_quads(sum: Self::I, x: Self::Quad, w: Self::Quads) -> Self::I {
            std::array::from_fn(|lane| {
                (0..4).fold(sum[lane], |sum, k| sum + i32::from(x[k]) * i32::from(w[lane][k]))
            })
        }
        fn dot_bytes(sum: Self::I, x: Self::Signed, w: Self::Bytes) -> Self::I {
            std::array::from_fn(|lane| {
                (0..4).fold(sum[lane], |sum, k| sum + i32::from(x[k]) * i32::from(w[lane][k]))
            })
        }
    }
}
