//! A software GPU: an interpreter of PTX that checks what a device can't, behind the C functions of
//! NVIDIA's driver library.
//!
//! README.md lists the instructions and functions, what is checked, and the variables of the environment.

#![expect(
    unsafe_code,
    clippy::cast_ptr_alignment,
    reason = "C symbols take raw pointers, and device memory is shared by threads"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "registers are cut to the width of a type, and compared as PTX compares them"
)]
#![expect(
    clippy::inline_always,
    clippy::needless_bitwise_bool,
    clippy::needless_range_loop,
    reason = "loops over lanes are vectorized only where they are inlined and have no branches"
)]
#![expect(clippy::too_many_lines, reason = "tables of instructions")]
#![expect(clippy::unnecessary_box_returns, reason = "a fault is rare and a result small")]

mod decode;
mod driver;
pub mod fault;
pub mod machine;
pub mod memory;
pub mod module;
mod operands;
pub mod program;
pub mod ptx;
mod race;
mod report;
