//! The weights of one T5: opened files in, checked f32 tensors out, one at a time and by name.
//!
//! Opening reads headers only and checks every name and shape against the config; a tensor's values are
//! read, checked to be finite and given away when they are asked for, so that whoever packs them never
//! holds the model twice. Knows nothing of how weights are multiplied.

mod layout;
mod seeded;
mod stored;

pub use layout::{HEAD, SHARED, Stack, cross_attention};
pub(super) use stored::Stored;

use super::config::Config;
use super::lora::{self, Adapter};
use engine::files::{self, Weights};
use layout::{SHARED_ALIASES, UNUSED};
use std::collections::BTreeMap;
use std::io;

/// The weights of one T5.
#[derive(Debug)]
pub struct Checkpoint {
    config: Config,
    layout: BTreeMap<String, Vec<usize>>,
    values: Values,
    adapter: Option<Adapter>,
}

#[derive(Debug)]
enum Values {
    Stored(Stored),
    Seeded(u64),
}

/// Weights that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error("can't read {file}")]
    Read {
        /// Which file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// Its first bytes are not those of the format.
    #[error(
        "{file} is not a safetensors file: save the model with save_pretrained(..., safe_serialization=True)"
    )]
    NotSafetensors {
        /// Which file.
        file: String,
    },
    /// Its header is not valid.
    #[error("{file} has a broken safetensors header")]
    Header {
        /// Which file.
        file: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Cut off, or with something behind its end.
    #[error("{file} has {found} bytes where its header says {expected}: fetch it again")]
    Short {
        /// Which file.
        file: String,
        /// Bytes by the header.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// In two files.
    #[error("tensor {tensor} is in {first} and in {second}")]
    Twice {
        /// Which tensor.
        tensor: String,
        /// Where.
        first: String,
        /// And where.
        second: String,
    },
    /// The config asks for it, and no file has it.
    #[error("tensor {tensor} {expected:?} is missing in {files}")]
    Missing {
        /// Where it was looked for.
        files: String,
        /// Which tensor.
        tensor: String,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// A file has it, and no T5 of this config does.
    #[error("{file}: a T5 of this config has no tensor {tensor}")]
    Unknown {
        /// Where it is.
        file: String,
        /// Which tensor.
        tensor: String,
    },
    /// Config and file don't belong together.
    #[error("{file}: tensor {tensor} has shape {found:?}, the config asks for {expected:?}")]
    Shape {
        /// Where it is.
        file: String,
        /// Which tensor.
        tensor: String,
        /// By the config.
        expected: Box<[usize]>,
        /// In the file.
        found: Box<[usize]>,
    },
    /// Stored as something that is not f32, f16 or bf16.
    #[error("{file}: tensor {tensor} is stored as {found:?}, only F32, F16 and BF16 can be read")]
    StoredDtype {
        /// Where it is.
        file: String,
        /// Which tensor.
        tensor: String,
        /// As stored.
        found: safetensors::Dtype,
    },
    /// Holds infinity or not-a-number.
    #[error("{file}: tensor {tensor} holds {value} at place {place}: the file is broken")]
    NotFinite {
        /// Where it is.
        file: String,
        /// Which tensor.
        tensor: String,
        /// Counted through the tensor, row by row.
        place: usize,
        /// What stands there.
        value: f32,
    },
}

impl Checkpoint {
    /// Checks names and shapes of all tensors. Reads no values.
    ///
    /// # Errors
    /// [`Error`], naming the file and the tensor.
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
                // The file decides whether there is a head of its own. A config that says so is believed.
                if stored.places.contains_key(HEAD) || !config.claims_tied_head {
                    layout.insert(HEAD.to_owned(), head);
                }
                settle_names(&mut stored);
                check(&stored, &layout)?;
                Values::Stored(stored)
            }
        };
        Ok(Self { config: config.clone(), layout, values, adapter: None })
    }

    /// Puts an adapter over the weights of the base called `model`. Its values are merged as tensors are read.
    ///
    /// # Errors
    /// Where the adapter doesn't fit.
    pub fn adapt(mut self, files: files::Adapter, model: &str) -> Result<Self, lora::Error> {
        let adapter = self.fit(files, model)?;
        for name in adapter.whole() {
            let head = || self.layout[SHARED].clone();
            let shape = self.layout.get(name).cloned().unwrap_or_else(head);
            self.layout.insert(name.clone(), shape);
        }
        self.adapter = Some(adapter);
        Ok(self)
    }

    /// Matches an adapter to the weights of the base called `model`, and leaves them as they are.
    ///
    /// # Errors
    /// Where the adapter doesn't fit.
    pub fn fit(&self, files: files::Adapter, model: &str) -> Result<Adapter, lora::Error> {
        Adapter::open(files, model, &self.layout)
    }

    /// What a reader of the report should know.
    pub fn notes(&self) -> &[String] {
        self.adapter.as_ref().map_or(&[], Adapter::notes)
    }

    /// The config that the weights were checked against.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The name of the tensor that serves as the head: its own, or the embedding.
    pub fn head(&self) -> &'static str {
        if self.layout.contains_key(HEAD) { HEAD } else { SHARED }
    }

    /// How many weights there are.
    pub fn parameters(&self) -> u64 {
        self.layout.values().map(|shape| shape.iter().product::<usize>() as u64).sum()
    }

    /// The values of a tensor, row by row, in the shape that [`Stack`] and [`cross_attention`] state.
    ///
    /// # Errors
    /// Where a file can't be read, or holds what isn't finite.
    ///
    /// # Panics
    /// Where no T5 of this config has such a tensor.
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

    /// Tensors of the same width below each other, such as `q`, `k` and `v`, to be multiplied at once.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`].
    pub fn stacked(&self, names: &[String]) -> Result<Vec<f32>, Error> {
        let mut all = Vec::new();
        for name in names {
            all.append(&mut self.tensor(name)?);
        }
        Ok(all)
    }
}

/// Finds the embedding under its other names and forgets what no T5 uses.
fn settle_names(stored: &mut Stored) {
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
