//! What every family's layers are made of on the CPU: packed tensors, linear layers with an optional
//! LoRA adapter, embeddings, heads, and groups of prompts. Knows no family.

mod embedding;
pub mod group;
mod linear;
mod packed;
mod token_head;

pub use embedding::Embedding;
pub use linear::{Linear, LoraBuffers, QueryScale};
pub use packed::{StoredAs, pack_blocks};
pub use token_head::TokenHead;
