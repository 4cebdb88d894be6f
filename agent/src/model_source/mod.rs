//! Where models come from: a name in, opened files with their sha256 out.
//!
//! Knows which files a model has and where they lie; what stands in them is the engine's concern.

mod blob;

pub use blob::{Blob, sha256_of};

/// Where values of weights come from.
#[derive(Debug)]
pub enum Weights {
    /// safetensors files, one or more.
    Stored(Vec<Blob>),
    /// Random numbers from a seed.
    Seeded(u64),
}
