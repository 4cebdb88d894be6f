//! The weights of one model as checked f32 tensors, one at a time, by name; LoRA adapters for them.
//!
//! Opening reads headers only and checks every name and shape against the family's [`Layout`]. A
//! tensor's values are read and checked on demand and returned by value, so that packing never holds
//! the model twice. Knows no family.

mod base;
mod layout;
pub mod lora;
mod seeded;
mod stored;

pub use layout::{HEAD, Layout, bias_of};
pub use seeded::Filling;

use base::Base;
use engine::files::{self, Blob, Weights};
use kernels::{BlockMatrix, Storage};
use lora::Adapter;
use std::{collections::BTreeMap, io, sync::Arc};

/// The tensors of a model, with an adapter merged as they are read.
#[derive(Debug)]
pub struct Tensors {
    shapes: BTreeMap<String, Vec<usize>>,
    base: Arc<Base>,
    adapter: Option<Adapter>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Gguf(gguf::Error),
    #[error("cannot read {file}")]
    Read { file: String, source: io::Error },
    #[error(
        "{file} is not a safetensors file: save the model with save_pretrained(..., safe_serialization=True)"
    )]
    NotSafetensors { file: String },
    #[error("{file} has an invalid safetensors header")]
    Header { file: String, source: serde_json::Error },
    #[error("{file} has {found} bytes, its header requires {expected}: download it again")]
    Short { file: String, expected: u64, found: u64 },
    #[error("tensor {tensor} is in both {first} and {second}")]
    Duplicate { tensor: String, first: String, second: String },
    #[error("tensor {tensor} {expected:?} is missing from {files}")]
    Missing { files: String, tensor: String, expected: Vec<usize> },
    #[error("{file}: tensor names begin with `{prefix}`, {}", wrapper(.prefix))]
    Wrapped { file: String, prefix: String },
    #[error("{file}: unexpected tensor {tensor} for this config")]
    Unknown { file: String, tensor: String },
    #[error("{file}: tensor {tensor} has shape {found:?}, the config requires {expected:?}")]
    Shape { file: String, tensor: String, expected: Box<[usize]>, found: Box<[usize]> },
    #[error("{file}: tensor {tensor} has unsupported dtype {found:?}: expected F32, F16 or BF16")]
    StoredDtype { file: String, tensor: String, found: safetensors::Dtype },
    #[error("{file}: tensor {tensor} contains {value} at index {place}: the file is corrupt")]
    NotFinite { file: String, tensor: String, place: usize, value: f32 },
}

impl Tensors {
    /// Checks names and shapes of all tensors without reading values.
    pub fn open(layout: Box<dyn Layout>, weights: Weights) -> Result<Self, Error> {
        let base = Base::open(layout, weights)?;
        Ok(Self { shapes: base.shapes().clone(), base: Arc::new(base), adapter: None })
    }

    /// Merges an adapter into the weights of `model` as tensors are read.
    pub fn adapt(&mut self, files: files::Adapter, model: &str) -> Result<(), lora::Error> {
        let adapter = self.fit(files, model)?;
        if adapter.changes(HEAD) {
            let embedding = self.base.layout().embedding();
            self.shapes.insert(HEAD.to_owned(), self.shapes[embedding].clone());
        }
        self.adapter = Some(adapter);
        Ok(())
    }

    /// Matches an adapter to the weights of `model` without merging it.
    pub fn fit(&self, files: files::Adapter, model: &str) -> Result<Adapter, lora::Error> {
        Adapter::open(files, model, &self.base)
    }

    pub fn notes(&self) -> &[String] {
        self.adapter.as_ref().map_or(&[], |adapter| adapter.notes.as_slice())
    }

    /// All tensors by name, without a head that is the embedding.
    pub fn shapes(&self) -> &BTreeMap<String, Vec<usize>> {
        &self.shapes
    }

    /// Whether the model has a tensor of this name of its own.
    pub fn has(&self, name: &str) -> bool {
        self.shapes.contains_key(name)
    }

    /// The tensor that serves as the head: its own, or the embedding.
    pub fn head(&self) -> &'static str {
        if self.has(HEAD) { HEAD } else { self.base.layout().embedding() }
    }

    /// Without the bias of the head, which is not trained.
    pub fn parameters(&self) -> u64 {
        let bias = self.base.layout().head_bias();
        let trained = self.shapes.iter().filter(|(name, _)| bias != Some(name.as_str()));
        trained.map(|(_, shape)| shape).map(|shape| shape.iter().product::<usize>() as u64).sum()
    }

    /// A tensor's values, row-major, shaped as documented where it is named. Panics if this model
    /// has no such tensor.
    pub fn tensor(&self, name: &str) -> Result<Vec<f32>, Error> {
        match &self.adapter {
            Some(adapter) => adapter.adapted(name),
            None => self.base.tensor(name),
        }
    }

    /// Hands over a matrix in parts of whole rows, so that its values needn't be held at once, except
    /// where an adapter changes them. Panics if this model has no such tensor.
    pub fn read_rows(&self, name: &str, take: &mut dyn FnMut(&[f32])) -> Result<(), Error> {
        match &self.adapter {
            Some(adapter) if adapter.changes(name) => take(&adapter.adapted(name)?),
            _ => self.base.read_rows(name, take)?,
        }
        Ok(())
    }

    /// The blocks of a matrix as a GGUF file has them; `None` if its numbers are plain, or if an adapter
    /// changes them.
    pub fn blocks(&self, name: &str) -> Result<Option<BlockMatrix>, Error> {
        if self.is_adapted(name) { Ok(None) } else { self.base.blocks(name) }
    }

    /// The narrowest storage that keeps every value of a tensor whose blocks are not asked for.
    pub fn exact_storage(&self, name: &str) -> Storage {
        if self.is_adapted(name) { Storage::F32 } else { self.base.storage(name) }
    }

    /// The GGUF file that the tensors are in; `None` if they are in files of another format.
    pub fn gguf_file(&self) -> Option<&Blob> {
        self.base.gguf_file()
    }

    fn is_adapted(&self, name: &str) -> bool {
        self.adapter.as_ref().is_some_and(|adapter| adapter.changes(name))
    }

    /// Rows of a matrix. Panics if this model has no such tensor.
    pub fn outputs(&self, name: &str) -> usize {
        self.shapes.get(name).map(|shape| shape[0]).expect("a tensor of the layout")
    }

    /// Columns of a matrix. Panics if this model has no such tensor.
    pub fn inputs(&self, name: &str) -> usize {
        self.shapes
            .get(name)
            .and_then(|shape| shape.last())
            .copied()
            .expect("a tensor of the layout")
    }

    /// Stacks tensors of equal width, such as queries, keys and values, for one product.
    pub fn stacked(&self, names: &[String]) -> Result<Vec<f32>, Error> {
        let mut all = Vec::new();
        for name in names {
            all.append(&mut self.tensor(name)?);
        }
        Ok(all)
    }
}

/// What put a prefix before every name, and the way out.
fn wrapper(prefix: &str) -> String {
    let save = |module| format!("save its `{module}`, or remove the prefix from the names");
    match prefix {
        "_orig_mod." => {
            format!("which torch.compile adds to a compiled model: {}", save("_orig_mod"))
        }
        "module." => format!("which DistributedDataParallel adds to a model: {}", save("module")),
        _ => "which a wrapper around the model adds: save the model inside, or remove the prefix \
              from the names"
            .to_owned(),
    }
}
