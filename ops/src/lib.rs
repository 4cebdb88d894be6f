//! What a program tells those who watch it: logs, metrics and traces.
//!
//! A library of both programs that knows nothing of either but its name.

#![forbid(unsafe_code)]

pub mod atomic_file;
pub mod clock;
pub mod hex;
pub mod logs;
pub mod metrics;
pub mod traces;
