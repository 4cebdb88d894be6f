//! PEFT LoRA adapters: merged weights, or the factors for unmerged use.
//!
//! Merged: `W' = W + scaling * (B A)` in f32, before packing; modules trained in full replace the
//! base's (peft 0.21.2, `tuners/lora/layer.py`). Unmerged: `x W'^T = x W^T + (x A^T) (scaling *
//! B)^T`. Every tensor must match a weight: an adapter that fits only in part is rejected.
//!
//! The head of a tied base gets a matrix of its own, as in peft while the adapter is separate:
//! `merge_and_unload` would change the embedding as well.

pub mod config;
mod pattern;
mod targets;

use super::base::Base;
use super::layout::HEAD;
use super::stored::Stored;
use config::LoraConfig;
use engine::files;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// peft's prefix of module names.
const PREFIX: &str = "base_model.model.";

#[derive(Debug)]
pub struct Adapter {
    stored: Stored,
    base: Arc<Base>,
    /// By the name of the changed weight.
    deltas: BTreeMap<String, Delta>,
    /// The tensor that stands in for a weight.
    replaced: BTreeMap<String, String>,
    pub notes: Vec<String>,
}

/// An adapter's files.
struct Given<'a> {
    file: &'a str,
    config_file: &'a str,
    config: &'a LoraConfig,
}

/// The names of the two factors in the file.
#[derive(Debug, Default)]
struct Delta {
    /// `[rank, inputs]`.
    a: Option<String>,
    /// `[outputs, rank]`.
    b: Option<String>,
    rank: usize,
    scaling: f32,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot use {file}")]
    Config { file: String, source: config::Error },
    #[error(transparent)]
    Stored(#[from] super::Error),
    #[error(transparent)]
    Read(#[from] files::ReadError),
    #[error("{file} contains no tensors")]
    Empty { file: String },
    #[error(
        "{file}: unsupported tensor {tensor}: expected lora_A and lora_B of linear layers, or modules listed in \
         modules_to_save"
    )]
    Unsupported { file: String, tensor: String },
    #[error(
        "{file}: tensor {tensor} replaces a weight of the base, which an unmerged adapter can do for lm_head \
         only: use adapter_mode = \"merged\" (--adapter-mode merged)"
    )]
    OnlyMerged { file: String, tensor: String },
    #[error(
        "{file}: tensor {tensor} differs from the base's and replaces the embedding as well as the head, which an \
         unmerged adapter can't do: use adapter_mode = \"merged\" (--adapter-mode merged)"
    )]
    TiedCopy { file: String, tensor: String },
    #[error(
        "{file}: tensor {tensor} replaces the embedding, which the model also has as its head: merge the adapter \
         into its model with peft and use the merged model"
    )]
    TiedEmbedding { file: String, tensor: String },
    #[error("{file}: tensor {tensor} matches no weight of the model")]
    NoWeight { file: String, tensor: String },
    #[error(
        "{file}: tensor {tensor} is of a module that {config} does not target, so peft would ignore it: add the \
         module to target_modules, or remove the tensor"
    )]
    Untargeted { file: String, tensor: String, config: String },
    #[error("{file}: {module} lacks lora_A or lora_B")]
    Half { file: String, module: String },
    #[error("{file}: tensor {tensor} has shape {found:?}, model and config require {expected:?}")]
    Shape { file: String, tensor: String, expected: Box<[usize]>, found: Box<[usize]> },
}

impl Adapter {
    /// Matches an adapter to the shapes of a base's weights, without reading values.
    pub(super) fn open(
        files: files::Adapter,
        model: &str,
        base: &Arc<Base>,
    ) -> Result<Self, Error> {
        let config_file = files.config.name().to_owned();
        let unusable = |source| Error::Config { file: config_file.clone(), source };
        let config = LoraConfig::parse(files.config.text()?.as_bytes()).map_err(unusable)?;
        let stored = Stored::open(vec![files.weights])?;
        let file = stored.file_names();
        let given = Given { file: &file, config_file: &config_file, config: &config };
        let mut adapter = Self {
            deltas: BTreeMap::new(),
            replaced: BTreeMap::new(),
            notes: Vec::new(),
            base: Arc::clone(base),
            stored,
        };
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
            adapter.place(&given, tensor, &shape)?;
        }
        for (weight, delta) in &adapter.deltas {
            if delta.a.is_none() || delta.b.is_none() {
                let module = weight.trim_end_matches(".weight").to_owned();
                return Err(Error::Half { file, module });
            }
        }
        if adapter.deltas.contains_key(HEAD) && base.has_tied_head() {
            config.check_untied().map_err(unusable)?;
            adapter.notes.push(format!(
                "{file} changes the head, which is tied to the embedding: the head becomes a matrix of its own"
            ));
        }
        if let Some(base) = config.base().filter(|base| last_part(base) != last_part(model)) {
            adapter
                .notes
                .push(format!("the adapter was trained on {base} and is used with {model}"));
        }
        Ok(adapter)
    }

    /// Assigns one tensor to the weight that it changes.
    fn place(&mut self, given: &Given<'_>, tensor: String, found: &[usize]) -> Result<(), Error> {
        let Given { file, config_file, config } = *given;
        let unusable = |source| Error::Config { file: config_file.to_owned(), source };
        let unsupported = || Error::Unsupported { file: file.to_owned(), tensor: tensor.clone() };
        let wrapped = |prefix: &str| {
            let (file, prefix) = (file.to_owned(), prefix.to_owned());
            Error::Stored(super::Error::Wrapped { file, prefix })
        };
        let Some(name) = tensor.strip_prefix(PREFIX) else {
            return Err(match tensor.split_once(PREFIX) {
                Some((prefix, _)) => wrapped(prefix),
                None => unsupported(),
            });
        };
        let module = name.strip_suffix(".weight").ok_or_else(unsupported)?;
        let (module, factor) = match module.rsplit_once(".lora_") {
            Some((module, factor @ ("A" | "B"))) => (module, Some(factor)),
            Some(_) => return Err(unsupported()),
            None => (module, None),
        };
        // When the head is adapted, peft saves its base as well.
        let module = module.strip_suffix(".base_layer").unwrap_or(module);
        let weight = format!("{module}.weight");
        // A base with a tied head gets a separate one from an adapter that changes it.
        let shared = self.base.layout().embedding();
        let of_base = if weight == HEAD && self.base.has_tied_head() { shared } else { &weight };
        let Some(base) = self.base.shape(of_base) else {
            return Err(match wrapper_of(&weight, &self.base) {
                Some(prefix) => wrapped(&format!("{PREFIX}{prefix}")),
                None => Error::NoWeight { file: file.to_owned(), tensor },
            });
        };
        if factor.is_some() && !config.targets(module).map_err(unusable)? {
            let (file, config) = (file.to_owned(), config_file.to_owned());
            return Err(Error::Untargeted { file, tensor, config });
        }
        let rank = config.rank(module).map_err(unusable)?;
        let expected = match (factor, base) {
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
            if !config.is_saved(module) {
                return self.take_copy(file, &tensor, &weight);
            }
            // peft replaces `shared`, but the stacks and a tied head refer to the embedding by
            // other names, so the saved copy is unused (peft 0.21.2 with transformers 5.23, tested
            // with both kinds of head).
            let has_one = self.base.layout().has_one_embedding();
            if weight == shared && has_one && self.base.has_tied_head() {
                return Err(Error::TiedEmbedding { file: file.to_owned(), tensor });
            }
            if weight == shared && !has_one {
                self.notes
                    .push(format!("{file}: {tensor} is ignored, as in peft: nothing reads it"));
            } else {
                self.replaced.insert(weight, tensor);
            }
            return Ok(());
        };
        let scaling = config.scaling(module).map_err(unusable)?;
        let delta = self.deltas.entry(weight).or_default();
        delta.rank = rank;
        delta.scaling = scaling;
        *(if factor == "A" { &mut delta.a } else { &mut delta.b }) = Some(tensor.clone());
        Ok(())
    }

    /// A copy of a weight that was not trained. Where it differs from the base's, as after training
    /// in another dtype, peft loads it into the base, and so into the embedding of a tied head.
    fn take_copy(&mut self, file: &str, tensor: &str, weight: &str) -> Result<(), Error> {
        if self.stored.read(tensor)? == self.base.tensor(weight)? {
            return Ok(());
        }
        self.notes.push(format!(
            "{file}: {tensor} differs from the base's {weight} and replaces it, as in peft"
        ));
        let shared = self.base.layout().embedding();
        let is_tied = self.base.has_tied_head() && [HEAD, shared].contains(&weight);
        let replaced = if is_tied { vec![HEAD, shared] } else { vec![weight] };
        for weight in replaced {
            self.replaced.insert(weight.to_owned(), tensor.to_owned());
        }
        Ok(())
    }

    /// Whether the adapter replaces a weight or adds to it.
    pub fn changes(&self, weight: &str) -> bool {
        self.deltas.contains_key(weight) || self.replaced.contains_key(weight)
    }

    /// A weight with the adapter merged. Panics if the model has no such weight.
    pub fn adapted(&self, weight: &str) -> Result<Vec<f32>, super::Error> {
        let mut values = match self.replaced.get(weight) {
            Some(tensor) => self.stored.read(tensor)?,
            None => self.base.tensor(weight)?,
        };
        self.merge(weight, &mut values)?;
        Ok(values)
    }

    /// The head with the adapter merged; `None` if it stays. The search for the best token reads
    /// one matrix, so an adapter's head is merged in either mode.
    pub fn head(&self) -> Result<Option<Vec<f32>>, super::Error> {
        self.changes(HEAD).then(|| self.adapted(HEAD)).transpose()
    }

    pub fn check_unmerged(&self) -> Result<(), Error> {
        let Some((weight, tensor)) = self.replaced.iter().find(|(weight, _)| *weight != HEAD)
        else {
            return Ok(());
        };
        let (file, tensor) = (self.stored.file_names(), tensor.clone());
        Err(if weight == self.base.layout().embedding() {
            Error::TiedCopy { file, tensor }
        } else {
            Error::OnlyMerged { file, tensor }
        })
    }

    /// The rank of a weight's change; 0 if it has none.
    pub fn rank(&self, weight: &str) -> usize {
        self.deltas.get(weight).map_or(0, |delta| delta.rank)
    }

    /// The stacked factors of weights that together are `[outputs, inputs]`: `A`, `[rank, inputs]`,
    /// and `scaling * B`, `[outputs, rank]`, zero-padded to `rank`.
    pub fn stacked(
        &self,
        weights: &[String],
        (outputs, inputs): (usize, usize),
        rank: usize,
    ) -> Result<(Vec<f32>, Vec<f32>), super::Error> {
        let (mut down, mut up) = (vec![0.0; rank * inputs], vec![0.0; outputs * rank]);
        let (mut first, mut next_row) = (0, 0);
        for weight in weights {
            let start = next_row;
            next_row += self.base.shape(weight).map_or(0, |shape| shape[0]);
            let Some(Delta { a: Some(a), b: Some(b), rank: own, scaling }) =
                self.deltas.get(weight)
            else {
                continue;
            };
            let (a, b) = (self.stored.read(a)?, self.stored.read(b)?);
            down[first * inputs..][..a.len()].copy_from_slice(&a);
            let rows = up[start * rank..].chunks_exact_mut(rank);
            for (row, values) in rows.zip(b.chunks_exact(*own)) {
                let row = &mut row[first..first + own];
                row.iter_mut().zip(values).for_each(|(to, value)| *to = scaling * value);
            }
            first += own;
        }
        Ok((down, up))
    }

    /// Adds the change to a weight, `[outputs, inputs]`, if there is one.
    fn merge(&self, weight: &str, values: &mut [f32]) -> Result<(), super::Error> {
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

/// What the name of a weight has before one of the base's.
fn wrapper_of<'a>(weight: &'a str, base: &Base) -> Option<&'a str> {
    let ends = weight.match_indices('.').map(|(dot, _)| dot + 1);
    ends.map(|end| weight.split_at(end)).find(|(_, name)| base.shape(name).is_some()).map(|it| it.0)
}

/// A model's name without its owner or folder.
fn last_part(name: &str) -> &str {
    name.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}
