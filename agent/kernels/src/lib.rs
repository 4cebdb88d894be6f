//! GEMM, argmax, attention and row-wise operations on the CPU: rows of f32 in, rows of f32 out.
//!
//! The only crate with unsafe code. Its public functions are safe and work on whole matrices;
//! kernels are written once on top of the trait [`simd::Simd`] and compiled for each instruction
//! set, which is selected at run time. It does not know models, tokens or files.
#![expect(unsafe_code, reason = "vector instructions, and results that threads write in parts")]

mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod argmax;
mod argmax_state;
mod cache;
mod rowwise;
mod pool;
mod portable;
mod probe;
#[cfg(test)]
mod random_rows;
mod gemm;
mod aligned_buf;
mod block_matrix;
mod block_tile;
mod blocks;
mod rows;
mod screened_argmax;
mod simd;
mod dispatch;
mod grouped_attention;
mod rope;
mod tile;
mod weights;

pub use argmax_state::Argmax;
pub use attention::{Bias, Heads};
pub use block_matrix::{BlockMatrix, Coefficients, Quants};
pub use cache::{Appended, Cache, Step};
pub use dispatch::{Dispatch, InstructionSet, Storage};
pub use gemm::Kernels;
pub use grouped_attention::NewTokens;
pub use probe::Peaks;
pub use rope::{Rope, RotatedHeads};
pub use rows::Rows;
pub use rowwise::{Activation, Affine, Epilogue};
pub use screened_argmax::Head;
pub use weights::{Layout, Weights};
