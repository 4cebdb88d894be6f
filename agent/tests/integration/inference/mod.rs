//! The engine against PyTorch's tokens, against candle's own T5, and against broken files.

mod adapters;
mod candle;
mod causal;
mod differential;
mod families;
mod families_on_a_gpu;
mod field;
mod files;
mod fixture;
mod generated;
mod gguf;
mod gpu_complete;
mod intake;
mod logits;
mod memory;
mod on_a_gpu;
mod parity;
mod searches;
mod smollm2;
mod text;
mod unmerged;
mod variants;
