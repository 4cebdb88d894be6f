//! Vector instructions as one trait, on top of which kernels are written once.
//!
//! Everything is inlined into functions with the instruction set's `target_feature`, see
//! `dispatch`.

/// Vectors of one instruction set.
///
/// # Safety of all functions
/// The machine must have the instruction set, and pointers must be valid for [`Simd::LANES`]
/// elements of 8, 16 or 32 bits. No alignment is required.
pub(super) trait Simd: Copy + 'static {
    /// f32 per vector.
    const LANES: usize;
    /// Rows of activations that a tile holds in registers, beside two vectors of weights.
    const TILE_ROWS: usize;
    /// f32 lanes.
    type F: Copy;
    /// i32 lanes.
    type I: Copy;
    /// Weights as pairs of bf16, one pair per lane.
    type Pairs: Copy;
    /// One pair of bf16 activations, broadcast.
    type Pair: Copy;
    /// Weights as four i8 per lane.
    type Quads: Copy;
    /// Four u8 activations, broadcast.
    type Quad: Copy;
    /// Weights as four u8 per lane.
    type Bytes: Copy;
    /// Four i8 activations, broadcast.
    type Signed: Copy;

    unsafe fn splat(x: f32) -> Self::F;
    unsafe fn load(from: *const f32) -> Self::F;
    unsafe fn store(to: *mut f32, x: Self::F);
    unsafe fn add(x: Self::F, y: Self::F) -> Self::F;
    unsafe fn sub(x: Self::F, y: Self::F) -> Self::F;
    unsafe fn mul(x: Self::F, y: Self::F) -> Self::F;
    unsafe fn div(x: Self::F, y: Self::F) -> Self::F;
    unsafe fn max(x: Self::F, y: Self::F) -> Self::F;
    unsafe fn min(x: Self::F, y: Self::F) -> Self::F;
    /// `x * y + z`.
    unsafe fn fma(x: Self::F, y: Self::F, z: Self::F) -> Self::F;
    /// To the nearest integer, ties to even.
    unsafe fn round(x: Self::F) -> Self::F;
    /// `x * 2^n` for whole `n` in -126..=127.
    unsafe fn scale(x: Self::F, n: Self::F) -> Self::F;
    /// The sum of all lanes, in a fixed order.
    unsafe fn sum(x: Self::F) -> f32;
    unsafe fn max_lane(x: Self::F) -> f32;

    unsafe fn load_f16(from: *const u16) -> Self::F;
    /// Rounds to nearest even; saturates at the largest finite value.
    unsafe fn store_f16(to: *mut u16, x: Self::F);
    /// Rounds to nearest even.
    unsafe fn store_bf16(to: *mut u16, x: Self::F);
    /// Stores integers in -127..=127 with an offset of 128.
    unsafe fn store_u8(to: *mut u8, x: Self::F);

    unsafe fn load_pairs(from: *const u8) -> Self::Pairs;
    unsafe fn splat_pair(from: *const u8) -> Self::Pair;
    /// Adds both products of each lane's pair.
    unsafe fn dot_pairs(sum: Self::F, x: Self::Pair, w: Self::Pairs) -> Self::F;

    /// The bytes as numbers.
    unsafe fn load_u8(from: *const u8) -> Self::F;
    /// Stores integers in -127..=127.
    unsafe fn store_i8(to: *mut i8, x: Self::F);
    unsafe fn load_bytes(from: *const u8) -> Self::Bytes;
    /// The low and the high nibbles of [`Simd::load_bytes`].
    unsafe fn load_nibbles(from: *const u8) -> [Self::Bytes; 2];
    unsafe fn splat_signed(from: *const u8) -> Self::Signed;
    /// Adds the four products of each lane, exactly.
    unsafe fn dot_bytes(sum: Self::I, x: Self::Signed, w: Self::Bytes) -> Self::I;

    /// Asks for the cache line of an address, which need not exist.
    unsafe fn prefetch(_from: *const u8) {}

    unsafe fn zero_i32() -> Self::I;
    unsafe fn load_i32(from: *const i32) -> Self::I;
    unsafe fn store_i32(to: *mut i32, x: Self::I);
    unsafe fn sub_i32(x: Self::I, y: Self::I) -> Self::I;
    unsafe fn to_f32(x: Self::I) -> Self::F;
    unsafe fn load_quads(from: *const u8) -> Self::Quads;
    unsafe fn splat_quad(from: *const u8) -> Self::Quad;
    /// Adds the four products of each lane, exactly.
    unsafe fn dot_quads(sum: Self::I, x: Self::Quad, w: Self::Quads) -> Self::I;
}

/// Functions of a [`Simd`] implementation: always inlined, with the instructions in one unsafe
/// block.
macro_rules! instructions {
    ($($vis:vis fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)? $body:block)*) => {$(
        #[inline(always)]
        unsafe fn $name($($arg: $type),*) $(-> $result)? {
            // SAFETY: the trait passes its conditions on: the caller has checked the instruction set and
            // vouches for its pointers.
            unsafe { $body }
        }
    )*};
}
pub(super) use instructions;
