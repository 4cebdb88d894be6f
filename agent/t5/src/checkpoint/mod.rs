//! The weights of one T5 as checked f32 tensors, one at a time, by name.
//!
//! Opening reads headers only and checks every name and shape against the configuration. A tensor's
//! values are read and checked on demand and returned by value, so that packing never holds the
//! model twice.

mod layout;
mod seeded;
mod stored;

pub use layout::{HEAD, SHARED, Stack, cross_attention};
pub(super) use stored::Stored;

use super::config::Config;
use super::lora::{self, Adapter};
use engine::files::{self, Weights};
use layout::{SHARED_ALIASES, UNUSED};
use std::{collections::BTreeMap, io};

#[derive(Debug)]
pub struct Checkpoint {
    pub config: Config,
    layout: BTreeMap<String, Vec<usize>>,
    values: Values,
    adapter: Option<Adapter>,
}

#[derive(Debug)]
enum Values {
    Stored(Stored),
    Seeded(u64),
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    #[error("{file}: unexpected tensor {tensor} for this config")]
    Unknown { file: String, tensor: String },
    #[error("{file}: tensor {tensor} has shape {found:?}, the config requires {expected:?}")]
    Shape { file: String, tensor: String, expected: Box<[usize]>, found: Box<[usize]> },
    #[error("{file}: tensor {tensor} has unsupported dtype {found:?}: expected F32, F16 or BF16")]
    StoredDtype { file: String, tensor: String, found: safetensors::Dtype },
    #[error("{file}: tensor {tensor} contains {value} at index {place}: the file is corrupt")]
    NotFinite { file: String, tensor: String, place: usize, value: f32 },
}

impl Checkpoint {
    /// Checks names and shapes of all tensors without reading values.
    pub fn open(config: &Config, weights: Weights) -> Result<Self, Error> {
        let mut layout = layout::layout(config);
        let head = vec![config.vocabulary, config.d_model];
        let values = match weights {
            Weights::Seeded(seed) => {
                if !config.claims_tied_head {
                    layout.insert(HEAD.to_owned(), head);
                }
                Values::Seeded(seed)
            }
            Weights::Stored(files) => {
                let mut stored = Stored::open(files)?;
                // The file decides whether there is a separate head; the configuration is trusted
                // only if it says so.
                if stored.places.contains_key(HEAD) || !config.claims_tied_head {
                    layout.insert(HEAD.to_owned(), head);
                }
                normalize_names(&mut stored);
                check(&stored, &layout)?;
                Values::Stored(stored)
            }
        };
        Ok(Self { config: config.clone(), layout, values, adapter: None })
    }

    /// Merges an adapter into the weights of `model` as tensors are read.
    pub fn adapt(mut self, files: files::Adapter, model: &str) -> Result<Self, lora::Error> {
        let adapter = self.fit(files, model)?;
        for name in &adapter.replaced {
            let head = || self.layout[SHARED].clone();
            let shape = self.layout.get(name).cloned().unwrap_or_else(head);
            self.layout.insert(name.clone(), shape);
        }
        self.adapter = Some(adapter);
        Ok(self)
    }

    /// Matches an adapter to the weights of `model` without merging it.
    pub fn fit(&self, files: files::Adapter, model: &str) -> Result<Adapter, lora::Error> {
        Adapter::open(files, model, &self.layout)
    }

    pub fn notes(&self) -> &[String] {
        self.adapter.as_ref().map_or(&[], |adapter| adapter.notes.as_slice())
    }

    /// The tensor that serves as the head: its own, or the embedding.
    pub fn head(&self) -> &'static str {
        if self.layout.contains_key(HEAD) { HEAD } else { SHARED }
    }

    pub fn parameters(&self) -> u64 {
        self.layout.values().map(|shape| shape.iter().product::<usize>() as u64).sum()
    }

    /// A tensor's values, row-major, shaped as documented at [`Stack`] and [`cross_attention`].
    /// Panics if this T5 has no such tensor.
    pub fn tensor(&self, name: &str) -> Result<Vec<f32>, Error> {
        let shape =
            self.layout.get(name).expect("tensors are asked for by the config's own layout");
        let replacement =
            self.adapter.as_ref().map(|adapter| adapter.replacement(name)).transpose()?;
        if let Some(values) = replacement.flatten() {
            return Ok(values);
        }
        let mut values = match &self.values {
            Values::Seeded(seed) => seeded::values(*seed, &self.config, name, shape),
            Values::Stored(stored) => stored.read(name)?,
        };
        if let Some(adapter) = &self.adapter {
            adapter.merge(name, &mut values)?;
        }
        Ok(values)
    }

    /// Stacks tensors of equal width, such as `q`, `k` and `v`, for one product.
    pub fn stacked(&self, names: &[String]) -> Result<Vec<f32>, Error> {
        let mut all = Vec::new();
        for name in names {
            all.append(&mut self.tensor(name)?);
        }
        Ok(all)
    }
}

fn normalize_names(stored: &mut Stored) {
    stored.places.remove(UNUSED);
    for alias in SHARED_ALIASES {
        if let Some(place) = stored.places.remove(alias) {
            stored.places.entry(SHARED.to_owned()).or_insert(place);
        }
    }
}

fn check(stored: &Stored, layout: &BTreeMap<String, Vec<usize>>) -> Result<(), Error> {
    for (tensor, expected) in layout {
        let Some(place) = stored.places.get(tensor) else {
            return Err(Error::Missing {
                files: stored.file_names(),
                tensor: tensor.clone(),
                expected: expected.clone(),
            });
        };
        if place.shape != *expected {
            return Err(Error::Shape {
                file: stored.file_of(place),
                tensor: tensor.clone(),
                expected: expected.as_slice().into(),
                found: place.shape.as_slice().into(),
            });
        }
    }
    match stored.places.iter().find(|(tensor, _)| !layout.contains_key(*tensor)) {
        None => Ok(()),
        Some((tensor, place)) => {
            Err(Error::Unknown { file: stored.file_of(place), tensor: tensor.clone() })
        }
    }
}
