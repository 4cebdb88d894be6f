//! Our own T5: exact, whatever shares the batch.

pub mod checkpoint;
pub mod compute;
pub mod config;
pub mod position;
