//! Our own T5: exact, whatever shares the batch.

pub mod candle;
pub mod checkpoint;
pub mod compute;
pub mod config;
pub mod generate;
pub mod position;
pub mod tokenizer;
