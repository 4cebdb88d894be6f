//! LoRA adapters of PEFT: a config and tensors in, changed weights out, or the factors of the change.
//!
//! Merged: `W' = W + scaling * (B A)`, in f32, before weights are packed; modules that were trained whole replace
//! the base's (peft 0.21.2, `tuners/lora/layer.py`). Unmerged: `x W'^T = x W^T + (x A^T) (scaling * B)^T`, the base
//! untouched. Every tensor must find its weight: an adapter that fits only in part is refused.

pub mod config;

use super::checkpoint::{self, HEAD, SHARED, Stored};
use config::LoraConfig;
use engine::files::{self, Blob};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// What peft writes before a module's name.
const PREFIX: &str = "base_model.model.";

/// An adapter that fits a base.
#[derive(Debug)]
pub struct Adapter {
    stored: Stored,
    /// What is added to a weight, by the weight's name.
    deltas: BTreeMap<String, Delta>,
    /// Weights that are replaced.
    whole: Vec<String>,
    notes: Vec<String>,
}

/// The two factors of a change, by their names in the file.
#[derive(Debug, Default)]
struct Delta {
    /// `[rank, inputs]`.
    a: Option<String>,
    /// `[outputs, rank]`.
    b: Option<String>,
    rank: usize,
    scaling: f32,
}

/// An adapter that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its config can't be used.
    #[error("can't use {file}")]
    Config {
        /// Which file.
        file: String,
        /// Why.
        source: config::Error,
    },
    /// Its files can't be read.
    #[error(transparent)]
    Stored(#[from] checkpoint::Error),
    #[error(transparent)]
    Read(#[from] files::ReadError),
    /// It holds nothing.
    #[error("{file} holds no tensors")]
    Empty {
        /// Which file.
        file: String,
    },
    /// A tensor that nothing is known to do with.
    #[error(
        "{file}: tensor {tensor} is not supported: lora_A and lora_B of linear layers, and whole modules that \
         modules_to_save names, are"
    )]
    Unsupported {
        /// Which file.
        file: String,
        /// Which tensor.
        tensor: String,
    },
    /// A whole module that has no place beside the base's.
    #[error(
        "{file}: tensor {tensor} replaces a weight of the base, which only a merged adapter can do, other than \
         for lm_head: use adapter_mode = \"merged\" (--adapter-mode merged)"
    )]
    OnlyMerged {
        /// Which file.
        file: String,
        /// Which tensor.
        tensor: String,
    },
    /// A tensor for a weight that the base doesn't have.
    #[error("{file}: the model has no weight for tensor {tensor}")]
    NoWeight {
        /// Which file.
        file: String,
        /// Which tensor.
        tensor: String,
    },
    /// One factor without the other.
    #[error("{file}: {module} has only one of lora_A and lora_B")]
    Half {
        /// Which file.
        file: String,
        /// The module.
        module: String,
    },
    /// A shape that doesn't fit the base, or the rank in the config.
    #[error("{file}: tensor {tensor} has shape {found:?}, model and config ask for {expected:?}")]
    Shape {
        /// Which file.
        file: String,
        /// Which tensor.
        tensor: String,
        /// By the base's shape and the config's rank.
        expected: Box<[usize]>,
        /// In the file.
        found: Box<[usize]>,
    },
}

impl Adapter {
    /// Matches an adapter to a base's layout: the shapes of its weights by their names. Reads no values.
    ///
    /// # Errors
    /// [`Error`], naming the file and the tensor.
    pub fn open(
        files: files::Adapter,
        model: &str,
        layout: &BTreeMap<String, Vec<usize>>,
    ) -> Result<Self, Error> {
        let config = read_config(&files.config)?;
        let stored = Stored::open(vec![files.weights])?;
        let file = stored.file_names();
        let mut adapter =
            Self { deltas: BTreeMap::new(), whole: Vec::new(), notes: Vec::new(), stored };
        let tensors: Vec<(String, Vec<usize>)> = adapter
            .stored
            .places
            .iter()
            .map(|(tensor, place)| (tensor.clone(), place.shape.clone()))
            .collect();
        if tensors.is_empty() {
            return Err(Error::Empty { file });
        }
        for (tensor, shape) in tensors {
            adapter.place(&file, &config, layout, tensor, &shape)?;
        }
        for (weight, delta) in &adapter.deltas {
            if delta.a.is_none() || delta.b.is_none() {
                let module = weight.trim_end_matches(".weight").to_owned();
                return Err(Error::Half { file, module });
            }
        }
        if let Some(base) = config.base().filter(|base| last_part(base) != last_part(model)) {
            adapter
                .notes
                .push(format!("the adapter was trained on {base}, and is used on {model}"));
        }
        Ok(adapter)
    }

    /// Finds what one tensor does to the base.
    fn place(
        &mut self,
        file: &str,
        config: &LoraConfig,
        layout: &BTreeMap<String, Vec<usize>>,
        tensor: String,
        found: &[usize],
    ) -> Result<(), Error> {
        let unsupported = || Error::Unsupported { file: file.to_owned(), tensor: tensor.clone() };
        let name = tensor.strip_prefix(PREFIX).ok_or_else(unsupported)?;
        let module = name.strip_suffix(".weight").ok_or_else(unsupported)?;
        let (module, factor) = match module.rsplit_once(".lora_") {
            Some((module, factor @ ("A" | "B"))) => (module, Some(factor)),
            Some(_) => return Err(unsupported()),
            None => (module, None),
        };
        let weight = format!("{module}.weight");
        // A base whose head is its embedding gets a head of its own from an adapter that saved one.
        let base = layout.get(&weight).or_else(|| match factor {
            None if weight == HEAD => layout.get(SHARED),
            _ => None,
        });
        let base =
            base.ok_or_else(|| Error::NoWeight { file: file.to_owned(), tensor: tensor.clone() })?;
        let rank = config.rank(module);
        let expected = match (factor, base.as_slice()) {
            (None, _) if !config.is_saved(module) => return Err(unsupported()),
            (None, base) => base.to_vec(),
            (Some("A"), [_, inputs]) => vec![rank, *inputs],
            (Some(_), [outputs, _]) => vec![*outputs, rank],
            (Some(_), _) => return Err(unsupported()),
        };
        if found != expected {
            let (file, expected, found) = (file.to_owned(), expected.into(), found.into());
            return Err(Error::Shape { file, tensor, expected, found });
        }
        let Some(factor) = factor else {
            // peft puts its copy in the place of `shared`, but the stacks and a tied head hold the embedding by names
            // of their own: what was saved is not used (peft 0.21.2 with transformers 5.23, tried with either head).
            if weight == SHARED {
                self.notes.push(format!(
                    "{file}: {tensor} is passed over, as peft does: nothing reads it"
                ));
            } else {
                self.whole.push(weight);
            }
            return Ok(());
        };
        let delta = self.deltas.entry(weight).or_default();
        delta.rank = rank;
        delta.scaling = scaling(config, module);
        *(if factor == "A" { &mut delta.a } else { &mut delta.b }) = Some(tensor.clone());
        Ok(())
    }

    /// The weights that are replaced.
    pub fn whole(&self) -> &[String] {
        &self.whole
    }

    /// What a reader of the report should know.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The weight that replaces the base's; none where the base's stays.
    ///
    /// # Errors
    /// Where the file can't be read, or holds what isn't finite.
    pub fn replacement(&self, weight: &str) -> Result<Option<Vec<f32>>, checkpoint::Error> {
        if self.whole.iter().all(|whole| whole != weight) {
            return Ok(None);
        }
        self.stored.read(&format!("{PREFIX}{weight}")).map(Some)
    }

    /// Checks that it can stand beside the base's weights.
    ///
    /// # Errors
    /// [`Error::OnlyMerged`], naming the tensor.
    pub fn check_unmerged(&self) -> Result<(), Error> {
        match self.whole.iter().find(|whole| *whole != HEAD) {
            None => Ok(()),
            Some(whole) => Err(Error::OnlyMerged {
                file: self.stored.file_names(),
                tensor: format!("{PREFIX}{whole}"),
            }),
        }
    }

    /// The rank of a weight's change; 0 where it has none.
    pub fn rank(&self, weight: &str) -> usize {
        self.deltas.get(weight).map_or(0, |delta| delta.rank)
    }

    /// The factors of the change of weights that lie below each other, of equally many rows each, and together
    /// `[outputs, inputs]`: `A`, `[rank, inputs]`, and `B` times the scaling, `[outputs, rank]`. What is wider than the
    /// weights' own ranks together is filled up with zeros.
    ///
    /// # Errors
    /// As [`Adapter::replacement`].
    pub fn stacked(
        &self,
        weights: &[String],
        (outputs, inputs): (usize, usize),
        rank: usize,
    ) -> Result<(Vec<f32>, Vec<f32>), checkpoint::Error> {
        let part = outputs / weights.len();
        let (mut down, mut up) = (vec![0.0; rank * inputs], vec![0.0; outputs * rank]);
        let mut first = 0;
        for (place, weight) in weights.iter().enumerate() {
            let Some(Delta { a: Some(a), b: Some(b), rank: own, scaling }) =
                self.deltas.get(weight)
            else {
                continue;
            };
            let (a, b) = (self.stored.read(a)?, self.stored.read(b)?);
            down[first * inputs..][..a.len()].copy_from_slice(&a);
            let rows = up[place * part * rank..].chunks_exact_mut(rank);
            for (row, values) in rows.zip(b.chunks_exact(*own)) {
                let row = &mut row[first..first + own];
                row.iter_mut().zip(values).for_each(|(to, value)| *to = scaling * value);
            }
            first += own;
        }
        Ok((down, up))
    }

    /// Adds the change of a weight, `[outputs, inputs]`, if there is one.
    ///
    /// # Errors
    /// As [`Adapter::replacement`].
    pub fn merge(&self, weight: &str, values: &mut [f32]) -> Result<(), checkpoint::Error> {
        let Some(Delta { a: Some(a), b: Some(b), rank, scaling }) = self.deltas.get(weight) else {
            return Ok(());
        };
        let (a, b) = (self.stored.read(a)?, self.stored.read(b)?);
        let inputs = a.len() / rank;
        values.par_chunks_exact_mut(inputs).zip(b.par_chunks_exact(*rank)).for_each(|(row, b)| {
            let mut change = vec![0.0; inputs];
            for (b, a) in b.iter().zip(a.chunks_exact(inputs)) {
                change.iter_mut().zip(a).for_each(|(change, a)| *change += b * a);
            }
            row.iter_mut().zip(change).for_each(|(value, change)| *value += scaling * change);
        });
        Ok(())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "weights are merged in f32")]
fn scaling(config: &LoraConfig, module: &str) -> f32 {
    config.scaling(module) as f32
}

fn read_config(blob: &Blob) -> Result<LoraConfig, Error> {
    let file = || blob.name().to_owned();
    let text = blob.read()?;
    LoraConfig::parse(&text).map_err(|source| Error::Config { file: file(), source })
}

/// A model's name without its owner or folder.
fn last_part(name: &str) -> &str {
    name.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}
