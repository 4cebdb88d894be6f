//! AVX-512 (F, BW, DQ, VL): sixteen lanes, with or without the dot products of VNNI and BF16.

#![cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "instructions are this file's vocabulary")
)]

use super::simd::{Simd, instructions};
use std::arch::x86_64::*;

/// Skylake-SP (neither), Cascade Lake and Ice Lake (VNNI), Zen 4 and Sapphire Rapids (both).
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512<const VNNI: bool, const BF16: bool>;

/// Packed elements for the dot product instructions, or the widened halves of each 32-bit lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packed(__m512i, __m512i);

impl<const VNNI: bool, const BF16: bool> Simd for Avx512<VNNI, BF16> {
    const LANES: usize = 16;
    const TILE_ROWS: usize = 12;
    type F = __m512;
    type I = __m512i;
    type Pairs = Packed;
    type Pair = Packed;
    type Quads = Packed;
    type Quad = Packed;
    type Bytes = Packed;
    type Signed = Packed;

    instructions! {
        fn splat(x: f32) -> __m512 { _mm512_set1_ps(x) }
        fn load(from: *const f32) -> __m512 { _mm512_loadu_ps(from) }
        fn store(to: *mut f32, x: __m512) { _mm512_storeu_ps(to, x); }
        fn add(x: __m512, y: __m512) -> __m512 { _mm512_add_ps(x, y) }
        fn sub(x: __m512, y: __m512) -> __m512 { _mm512_sub_ps(x, y) }
        fn mul(x: __m512, y: __m512) -> __m512 { _mm512_mul_ps(x, y) }
        fn div(x: __m512, y: __m512) -> __m512 { _mm512_div_ps(x, y) }
        fn max(x: __m512, y: __m512) -> __m512 { _mm512_max_ps(x, y) }
        fn min(x: __m512, y: __m512) -> __m512 { _mm512_min_ps(x, y) }
        fn fma(x: __m512, y: __m512, z: __m512) -> __m512 { _mm512_fmadd_ps(x, y, z) }
        fn round(x: __m512) -> __m512 {
            _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x)
        }
        fn scale(x: __m512, n: __m512) -> __m512 { _mm512_scalef_ps(x, n) }
        fn sum(x: __m512) -> f32 { _mm512_reduce_add_ps(x) }
        fn max_lane(x: __m512) -> f32 { _mm512_reduce_max_ps(x) }
        fn load_f16(from: *const u16) -> __m512 { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
        fn store_f16(to: *mut u16, x: __m512) {
            let most = _mm512_set1_ps(65504.0);
            let x = _mm512_max_ps(_mm512_min_ps(x, most), _mm512_sub_ps(_mm512_setzero_ps(), most));
            _mm256_storeu_si256(to.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x));
        }
        fn store_bf16(to: *mut u16, x: __m512) {
            let number = _mm512_castps_si512(x);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(number), _mm512_set1_epi32(1));
            let up = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
            let high = _mm512_srli_epi32::<16>(_mm512_add_epi32(number, up));
            _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(high));
        }
        fn store_u8(to: *mut u8, x: __m512) {
            let whole = _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(128));
            _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(whole));
        }
        fn load_pairs(from: *const u8) -> Packed { Self::pairs(_mm512_loadu_si512(from.cast())) }
        fn splat_pair(from: *const u8) -> Packed {
            Self::pairs(_mm512_set1_epi32(from.cast::<i32>().read_unaligned()))
        }
        fn dot_pairs(sum: __m512, x: Packed, w: Packed) -> __m512 {
            if BF16 {
                let x = std::mem::transmute::<__m512i, __m512bh>(x.0);
                let w = std::mem::transmute::<__m512i, __m512bh>(w.0);
                _mm512_dpbf16_ps(sum, x, w)
            } else {
                let low = _mm512_fmadd_ps(_mm512_castsi512_ps(x.0), _mm512_castsi512_ps(w.0), sum);
                _mm512_fmadd_ps(_mm512_castsi512_ps(x.1), _mm512_castsi512_ps(w.1), low)
            }
        }
        fn prefetch(from: *const u8) { _mm_prefetch::<_MM_HINT_T0>(from.cast()); }
        fn zero_i32() -> __m512i { _mm512_setzero_si512() }
        fn load_i32(from: *const i32) -> __m512i { _mm512_loadu_si512(from.cast()) }
        fn store_i32(to: *mut i32, x: __m512i) { _mm512_storeu_si512(to.cast(), x); }
        fn sub_i32(x: __m512i, y: __m512i) -> __m512i { _mm512_sub_epi32(x, y) }
        fn to_f32(x: __m512i) -> __m512 { _mm512_cvtepi32_ps(x) }
        fn load_quads(from: *const u8) -> Packed { Self::signed(_mm512_loadu_si512(from.cast())) }
        fn splat_quad(from: *const u8) -> Packed {
            Self::unsigned(_mm512_set1_epi32(from.cast::<i32>().read_unaligned()))
        }
        fn dot_quads(sum: __m512i, x: Packed, w: Packed) -> __m512i {
            if VNNI {
                _mm512_dpbusd_epi32(sum, x.0, w.0)
            } else {
                let even = _mm512_madd_epi16(x.0, w.0);
                _mm512_add_epi32(sum, _mm512_add_epi32(even, _mm512_madd_epi16(x.1, w.1)))
            }
        }
        fn load_u8(from: *const u8) -> __m512 {
            _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast())))
        }
        fn store_i8(to: *mut i8, x: __m512) {
            _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
        }
        fn load_bytes(from: *const u8) -> Packed { Self::unsigned(_mm512_loadu_si512(from.cast())) }
        fn load_nibbles(from: *const u8) -> [Packed; 2] {
            let bytes = _mm512_loadu_si512(from.cast());
            let low = _mm512_set1_epi8(15);
            [
                Self::unsigned(_mm512_and_si512(bytes, low)),
                Self::unsigned(_mm512_and_si512(_mm512_srli_epi16::<4>(bytes), low)),
            ]
        }
        fn splat_signed(from: *const u8) -> Packed {
            Self::signed(_mm512_set1_epi32(from.cast::<i32>().read_unaligned()))
        }
        fn dot_bytes(sum: __m512i, x: Packed, w: Packed) -> __m512i { Self::dot_quads(sum, w, x) }
    }
}

impl<const VNNI: bool, const BF16: bool> Avx512<VNNI, BF16> {
    instructions! {
        fn signed(bytes: __m512i) -> Packed {
            if VNNI {
                Packed(bytes, bytes)
            } else {
                let low = _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(bytes));
                Packed(low, _mm512_srai_epi16::<8>(bytes))
            }
        }
        fn unsigned(bytes: __m512i) -> Packed {
            if VNNI {
                Packed(bytes, bytes)
            } else {
                let low = _mm512_and_si512(bytes, _mm512_set1_epi16(0xff));
                Packed(low, _mm512_srli_epi16::<8>(bytes))
            }
        }
        fn pairs(bits: __m512i) -> Packed {
            if BF16 {
                Packed(bits, bits)
            } else {
                let high = _mm512_and_si512(bits, _mm512_set1_epi32(0xffff_0000_u32.cast_signed()));
                Packed(_mm512_slli_epi32::<16>(bits), high)
            }
        }
    }
}
