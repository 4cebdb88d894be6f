//! GGUF files: one file that holds a model's configuration, tokenizer, chat template and weights.
//!
//! [`File::open`] reads and checks the header; the values of a tensor are read on request.
//! [`Model`] says in the words of transformers what the metadata mean: the `config.json`, the
//! `generation_config.json`, the tokenizer and the chat template that the file's source had.
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3.

pub mod blocks;
mod config;
mod error;
mod file;
mod metadata;
mod model;
mod reader;
mod rope;
mod tensors;
mod tokenizer;

pub use error::Error as FileError;
pub use file::{File, Tensor};
pub use metadata::{Error as MetadataError, Metadata, Value};
pub use model::{Error, Model};
