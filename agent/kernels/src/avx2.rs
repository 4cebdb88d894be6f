//! AVX2 with FMA and F16C: eight lanes. bf16 is widened to f32; int8 products use i16.

#![cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "instructions are this file's vocabulary")
)]

use super::simd::{Simd, instructions};
use std::arch::x86_64::*;

/// Haswell, Zen and later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2;

/// The low and the high halves of 32-bit lanes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Halves<T>(T, T);

impl Simd for Avx2 {
    const LANES: usize = 8;
    const TILE_ROWS: usize = 6;
    type F = __m256;
    type I = __m256i;
    type Pairs = Halves<__m256>;
    type Pair = Halves<__m256>;
    type Quads = Halves<__m256i>;
    type Quad = Halves<__m256i>;
    type Bytes = Halves<__m256i>;
    type Signed = Halves<__m256i>;

    instructions! {
        fn splat(x: f32) -> __m256 { _mm256_set1_ps(x) }
        fn load(from: *const f32) -> __m256 { _mm256_loadu_ps(from) }
        fn store(to: *mut f32, x: __m256) { _mm256_storeu_ps(to, x); }
        fn add(x: __m256, y: __m256) -> __m256 { _mm256_add_ps(x, y) }
        fn sub(x: __m256, y: __m256) -> __m256 { _mm256_sub_ps(x, y) }
        fn mul(x: __m256, y: __m256) -> __m256 { _mm256_mul_ps(x, y) }
        fn div(x: __m256, y: __m256) -> __m256 { _mm256_div_ps(x, y) }
        fn max(x: __m256, y: __m256) -> __m256 { _mm256_max_ps(x, y) }
        fn min(x: __m256, y: __m256) -> __m256 { _mm256_min_ps(x, y) }
        fn fma(x: __m256, y: __m256, z: __m256) -> __m256 { _mm256_fmadd_ps(x, y, z) }
        fn round(x: __m256) -> __m256 {
            _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x)
        }
        fn scale(x: __m256, n: __m256) -> __m256 {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
        }
        fn sum(x: __m256) -> f32 {
            let four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
        fn max_lane(x: __m256) -> f32 {
            let four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
        fn load_f16(from: *const u16) -> __m256 { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
        fn store_f16(to: *mut u16, x: __m256) {
            let most = _mm256_set1_ps(65504.0);
            let x = _mm256_max_ps(_mm256_min_ps(x, most), _mm256_sub_ps(_mm256_setzero_ps(), most));
            _mm_storeu_si128(to.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x));
        }
        fn store_bf16(to: *mut u16, x: __m256) {
            let number = _mm256_castps_si256(x);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(number), _mm256_set1_epi32(1));
            let up = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
            let high = _mm256_srli_epi32::<16>(_mm256_add_epi32(number, up));
            let joined = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(high, high));
            _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(joined));
        }
        fn store_u8(to: *mut u8, x: __m256) {
            let whole = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(128));
            let words = _mm_packus_epi32(
                _mm256_castsi256_si128(whole), _mm256_extracti128_si256::<1>(whole));
            _mm_storel_epi64(to.cast(), _mm_packus_epi16(words, words));
        }
        fn load_pairs(from: *const u8) -> Halves<__m256> { Self::halves(_mm256_loadu_si256(from.cast())) }
        fn splat_pair(from: *const u8) -> Halves<__m256> {
            Self::halves(_mm256_set1_epi32(from.cast::<i32>().read_unaligned()))
        }
        fn dot_pairs(sum: __m256, x: Halves<__m256>, w: Halves<__m256>) -> __m256 {
            _mm256_fmadd_ps(x.1, w.1, _mm256_fmadd_ps(x.0, w.0, sum))
        }
        fn prefetch(from: *const u8) { _mm_prefetch::<_MM_HINT_T0>(from.cast()); }
        fn zero_i32() -> __m256i { _mm256_setzero_si256() }
        fn load_i32(from: *const i32) -> __m256i { _mm256_loadu_si256(from.cast()) }
        fn store_i32(to: *mut i32, x: __m256i) { _mm256_storeu_si256(to.cast(), x); }
        fn sub_i32(x: __m256i, y: __m256i) -> __m256i { _mm256_sub_epi32(x, y) }
        fn to_f32(x: __m256i) -> __m256 { _mm256_cvtepi32_ps(x) }
        fn load_quads(from: *const u8) -> Halves<__m256i> {
            Self::signed(_mm256_loadu_si256(from.cast()))
        }
        fn splat_quad(from: *const u8) -> Halves<__m256i> {
            Self::unsigned(_mm256_set1_epi32(from.cast::<i32>().read_unaligned()))
        }
        fn dot_quads(sum: __m256i, x: Halves<__m256i>, w: Halves<__m256i>) -> __m256i {
            let even = _mm256_madd_epi16(x.0, w.0);
            _mm256_add_epi32(sum, _mm256_add_epi32(even, _mm256_madd_epi16(x.1, w.1)))
        }
        fn load_u8(from: *const u8) -> __m256 {
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast())))
        }
        fn store_i8(to: *mut i8, x: __m256) {
            let whole = _mm256_cvtps_epi32(x);
            let words = _mm_packs_epi32(
                _mm256_castsi256_si128(whole), _mm256_extracti128_si256::<1>(whole));
            _mm_storel_epi64(to.cast(), _mm_packs_epi16(words, words));
        }
        fn load_bytes(from: *const u8) -> Halves<__m256i> {
            Self::unsigned(_mm256_loadu_si256(from.cast()))
        }
        fn load_nibbles(from: *const u8) -> [Halves<__m256i>; 2] {
            let bytes = _mm256_loadu_si256(from.cast());
            let low = _mm256_set1_epi8(15);
            [
                Self::unsigned(_mm256_and_si256(bytes, low)),
                Self::unsigned(_mm256_and_si256(_mm256_srli_epi16::<4>(bytes), low)),
            ]
        }
        fn splat_signed(from: *const u8) -> Halves<__m256i> {
            Self::signed(_mm256_set1_epi32(from.cast::<i32>().read_unaligned()))
        }
        fn dot_bytes(sum: __m256i, x: Halves<__m256i>, w: Halves<__m256i>) -> __m256i {
            Self::dot_quads(sum, w, x)
        }
    }
}

impl Avx2 {
    instructions! {
        fn signed(bytes: __m256i) -> Halves<__m256i> {
            Halves(_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(bytes)), _mm256_srai_epi16::<8>(bytes))
        }
        fn unsigned(bytes: __m256i) -> Halves<__m256i> {
            Halves(_mm256_and_si256(bytes, _mm256_set1_epi16(0xff)), _mm256_srli_epi16::<8>(bytes))
        }
        fn halves(pairs: __m256i) -> Halves<__m256> {
            let high = _mm256_and_si256(pairs, _mm256_set1_epi32(0xffff_0000_u32.cast_signed()));
            Halves(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs)), _mm256_castsi256_ps(high))
        }
    }
}
