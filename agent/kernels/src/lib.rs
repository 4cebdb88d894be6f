//! Fast products, norms, softmax and attention on the CPU: rows of f32 in, rows of f32 out.
//!
//! The only room with unsafe code. Outside of it there are safe functions on whole matrices; inside, kernels
//! are written once over the trait [`simd::Simd`] and compiled for each instruction set, which is chosen
//! when the program runs. Knows nothing of T5's layers, tokens or files.
#![expect(unsafe_code, reason = "vector instructions, and results that threads write in parts")]

mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod best;
mod cache;
mod lines;
mod pool;
mod portable;
mod probe;
mod product;
mod region;
mod rows;
mod screen;
mod simd;
mod table;
mod tile;
mod weights;

pub use attention::{Bias, Heads};
pub use best::Highest;
pub use cache::{Appended, Cache, Step};
pub use lines::{Finish, Function};
pub use probe::Peaks;
pub use product::Kernels;
pub use rows::Rows;
pub use screen::Head;
pub use table::{Instructions, Storage, Table};
pub use weights::{Layout, Weights};
