//! What every family's layers are made of on the CPU: linear layers with an optional LoRA adapter,
//! embeddings, and groups of prompts. Knows no family.

mod embedding;
pub mod group;
mod linear;

pub use embedding::Embedding;
pub use linear::{Linear, LoraBuffers, QueryScale};
