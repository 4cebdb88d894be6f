//! What is wrong with a file.

use super::blocks;
use std::io;

/// Of a tensor, as in ggml.
pub(crate) const MAX_DIMENSIONS: u32 = 4;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {file}")]
    Read { file: String, source: io::Error },
    #[error("{file} is not a GGUF file: it does not start with `GGUF`")]
    Magic { file: String },
    #[error("{file} has GGUF version {version}: expected 2 or 3, in little-endian byte order")]
    Version { file: String, version: u32 },
    #[error(
        "{file} is truncated or damaged: what byte {at} announces does not fit into the header"
    )]
    Truncated { file: String, at: u64 },
    #[error("{file}: the text at byte {at} is not valid UTF-8")]
    Text { file: String, at: u64 },
    #[error("{file}: unknown type {kind} of the value of `{key}`")]
    Kind { file: String, key: String, kind: u32 },
    #[error("{file}: {what} occurs twice")]
    Twice { file: String, what: String },
    #[error("{file}: general.alignment is not a power of 2 up to 65536")]
    Alignment { file: String },
    #[error(
        "{file}: tensor `{tensor}` has {dimensions} dimensions: expected 1 to {MAX_DIMENSIONS}"
    )]
    Dimensions { file: String, tensor: String, dimensions: u32 },
    #[error("{file}: tensor `{tensor}` is stored as {found}: expected one of {}", blocks::READ)]
    Format { file: String, tensor: String, found: String },
    #[error(
        "{file}: rows of {columns} values of tensor `{tensor}` are not whole blocks of {format}"
    )]
    Blocks { file: String, tensor: String, columns: usize, format: &'static str },
    #[error("{file}: tensor `{tensor}` is outside the file: it is truncated or damaged")]
    Outside { file: String, tensor: String },
}
