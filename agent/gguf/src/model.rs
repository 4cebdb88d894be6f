//! A file as the files that transformers would have: configuration, tokenizer, chat template and
//! named tensors.

use super::blocks::Format;
use super::config::{self, Shape};
use super::error;
use super::file::File;
use super::metadata;
use super::tensors::{self, Named};
use super::tokenizer::{self, Tokens};
use engine::files::Blob;
use kernels::BlockMatrix;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] error::Error),
    #[error("cannot use {file}")]
    Config { file: String, source: config::Error },
    #[error("cannot use the tokenizer in {file}")]
    Tokenizer { file: String, source: tokenizer::Error },
    #[error("cannot use {file}")]
    Metadata { file: String, source: metadata::Error },
    #[error("{file}: tensor `{tensor}` is not one of {architecture}'s")]
    Tensor { file: String, tensor: String, architecture: &'static str },
}

/// Control tokens that end a turn in the models that have them, beside those that the metadata
/// name: as in llama.cpp (`special_eog_ids` of llama-vocab.cpp).
const ENDS: [&str; 12] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<end_of_utterance>",
];

#[derive(Debug)]
pub struct Model {
    file: File,
    shape: Shape,
    tensors: BTreeMap<String, Named>,
}

impl Model {
    pub fn new(file: File) -> Result<Self, Error> {
        let name = || file.name().to_owned();
        let shape = Shape::of(&file).map_err(|source| Error::Config { file: name(), source })?;
        let tensors = tensors::named(&file, &shape).map_err(|tensor| Error::Tensor {
            file: name(),
            tensor,
            architecture: shape.architecture,
        })?;
        Ok(Self { tensors: tensors.into_iter().collect(), shape, file })
    }

    /// For errors.
    pub fn name(&self) -> &str {
        self.file.name()
    }

    /// For readers of their own.
    pub fn file(&self) -> &Blob {
        self.file.blob()
    }

    /// The `config.json`.
    pub fn config(&self) -> &Value {
        &self.shape.config
    }

    fn tokens(&self) -> Result<Option<Tokens<'_>>, Error> {
        Tokens::of(&self.file.metadata).map_err(|source| self.tokenizer_error(source))
    }

    fn tokenizer_error(&self, source: tokenizer::Error) -> Error {
        Error::Tokenizer { file: self.file.name().to_owned(), source }
    }

    /// The kind of the tokenizer, such as `gpt2` for a byte-level BPE.
    pub fn tokenizer_kind(&self) -> Result<Option<&str>, Error> {
        let kind = self.file.metadata.text("tokenizer.ggml.model");
        kind.map_err(|source| Error::Metadata { file: self.file.name().to_owned(), source })
    }

    /// The `tokenizer.json`; null if the file has no tokenizer or one of another kind than `gpt2`.
    pub fn tokenizer(&self) -> Result<Option<Value>, Error> {
        let json = self.tokens()?.map(|tokens| tokens.json()).transpose();
        json.map_err(|source| self.tokenizer_error(source))
    }

    /// The `generation_config.json`: every token that ends a turn.
    pub fn generation(&self) -> Result<Value, Error> {
        let Some(tokens) = self.tokens()? else {
            let ids = ["bos_token_id", "eos_token_id"];
            let id = |key: &str| Some((key.to_owned(), self.shape.config.get(key)?.clone()));
            return Ok(Value::Object(ids.into_iter().filter_map(id).collect()));
        };
        let id = |key: &str| tokens.id(key).map_err(|source| self.tokenizer_error(source));
        let mut ends = Vec::new();
        for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
            ends.extend(id(key)?);
        }
        ends.extend(tokens.control().filter(|(_, text)| ENDS.contains(text)).map(|(id, _)| id));
        let mut seen = std::collections::BTreeSet::new();
        ends.retain(|id| seen.insert(*id));
        let mut generation = Map::new();
        if let Some(start) = id("bos_token_id")? {
            generation.insert("bos_token_id".to_owned(), start.into());
        }
        if !ends.is_empty() {
            generation.insert("eos_token_id".to_owned(), ends.into());
        }
        Ok(Value::Object(generation))
    }

    /// The `tokenizer_config.json`: the chat template and the special tokens that it can name.
    pub fn tokenizer_config(&self) -> Result<Value, Error> {
        let mut config = Map::new();
        if let Some(tokens) = self.tokens()? {
            let names = [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")];
            for (theirs, ours) in names {
                let id = tokens.id(&format!("{ours}_token_id"));
                let id = id.map_err(|source| self.tokenizer_error(source))?;
                if let Some(text) = id.and_then(|id| tokens.text(id)) {
                    config.insert(format!("{theirs}_token"), text.into());
                }
            }
        }
        let template = self.file.metadata.text("tokenizer.chat_template");
        let template = template
            .map_err(|source| Error::Metadata { file: self.file.name().to_owned(), source })?;
        if let Some(template) = template {
            config.insert("chat_template".to_owned(), json!(template));
        }
        Ok(Value::Object(config))
    }

    /// The tensors under transformers' names, with their shapes, the outer dimension first.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, named)| (name.as_str(), named.tensor.shape.as_slice()))
    }

    /// All values of a tensor in transformers' order.
    pub fn values(&self, name: &str) -> Option<Result<Vec<f32>, error::Error>> {
        self.tensors.get(name).map(|named| named.values(&self.file))
    }

    /// Passes the values of whole rows on, in transformers' order. `None` if there is no such tensor.
    pub fn read_rows(
        &self,
        name: &str,
        take: &mut dyn FnMut(&[f32]),
    ) -> Option<Result<(), error::Error>> {
        self.tensors.get(name).map(|named| named.read_rows(&self.file, take))
    }

    /// The blocks of a matrix as they are, its rows in transformers' order; `None` if the numbers are
    /// plain or there is no such tensor.
    pub fn blocks(&self, name: &str) -> Result<Option<BlockMatrix>, error::Error> {
        self.tensors.get(name).map_or(Ok(None), |named| named.blocks(&self.file))
    }

    /// How a tensor is stored.
    pub fn format(&self, name: &str) -> Option<Format> {
        self.tensors.get(name).map(|named| named.tensor.format)
    }
}
