//! The weights of one model as checked f32 tensors, one at a time, by name.
//!
//! Opening reads headers only and checks every name and shape against the configuration. A tensor's
//! values are read and checked on demand and returned by value, so that packing never holds the
//! model twice.

mod layout;
mod seeded;
mod stored;

pub use layout::{HEAD, HEAD_BIAS, Layer, Projection, bias_of};
pub(super) use stored::Stored;

use super::config::{Config, Family, Positions, Stack};
use super::lora::{self, Adapter};
use super::position;
use engine::files::{self, Weights};
use std::{collections::BTreeMap, io, sync::Arc};

#[derive(Debug)]
pub struct Checkpoint {
    pub config: Config,
    layout: BTreeMap<String, Vec<usize>>,
    base: Arc<Base>,
    adapter: Option<Adapter>,
}

/// The tensors without an adapter.
#[derive(Debug)]
pub(super) struct Base {
    config: Config,
    layout: BTreeMap<String, Vec<usize>>,
    values: Values,
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

impl Checkpoint {
    /// Checks names and shapes of all tensors without reading values.
    pub fn open(config: &Config, weights: Weights) -> Result<Self, Error> {
        let mut layout = layout::layout(config);
        let matrix = vec![config.vocabulary, config.d_model];
        if !config.claims_tied_head {
            layout.insert(HEAD.to_owned(), matrix.clone());
        }
        let values = match weights {
            Weights::Seeded(seed) => Values::Seeded(seed),
            Weights::Stored(files) => {
                let mut stored = Stored::open(files)?;
                complete_names(&mut stored, config);
                layout.retain(|name, _| {
                    stored.places.contains_key(name) || untrained(config, name).is_none()
                });
                for own in tie(&mut stored, config)? {
                    layout.insert(own.to_owned(), matrix.clone());
                }
                check(&stored, &layout)?;
                Values::Stored(stored)
            }
        };
        let base = Base { config: config.clone(), layout: layout.clone(), values };
        Ok(Self { config: config.clone(), layout, base: Arc::new(base), adapter: None })
    }

    /// Merges an adapter into the weights of `model` as tensors are read.
    pub fn adapt(mut self, files: files::Adapter, model: &str) -> Result<Self, lora::Error> {
        let adapter = self.fit(files, model)?;
        if adapter.changes(HEAD) {
            let shared = self.config.family.shared();
            self.layout.insert(HEAD.to_owned(), self.layout[shared].clone());
        }
        self.adapter = Some(adapter);
        Ok(self)
    }

    /// Matches an adapter to the weights of `model` without merging it.
    pub fn fit(&self, files: files::Adapter, model: &str) -> Result<Adapter, lora::Error> {
        Adapter::open(files, model, &self.base)
    }

    pub fn notes(&self) -> &[String] {
        self.adapter.as_ref().map_or(&[], |adapter| adapter.notes.as_slice())
    }

    /// The tensor that serves as the head: its own, or the embedding.
    pub fn head(&self) -> &'static str {
        if self.layout.contains_key(HEAD) { HEAD } else { self.config.family.shared() }
    }

    /// The tensor that serves as a stack's embedding: its own, or the shared one.
    pub fn embedding(&self, stack: Stack) -> &'static str {
        let family = self.config.family;
        let own = family.embedding(stack);
        if self.layout.contains_key(own) { own } else { family.shared() }
    }

    /// Without the bias of the head, which is not trained.
    pub fn parameters(&self) -> u64 {
        let trained = self.layout.iter().filter(|(name, _)| *name != HEAD_BIAS);
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

    /// Columns of a matrix. Panics if this model has no such tensor.
    pub fn inputs(&self, name: &str) -> usize {
        self.layout
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

impl Base {
    /// The tensor of this name; for a head that is tied, the embedding.
    pub(super) fn tensor(&self, name: &str) -> Result<Vec<f32>, Error> {
        let is_tied = name == HEAD && self.has_tied_head();
        let name = if is_tied { self.config.family.shared() } else { name };
        let Some(shape) = self.layout.get(name) else {
            let values = untrained(&self.config, name);
            return Ok(values.expect("tensors are asked for by the config's own layout")());
        };
        match &self.values {
            Values::Seeded(seed) => Ok(match untrained(&self.config, name) {
                Some(values) => values(),
                None => seeded::values(*seed, &self.config, name, shape),
            }),
            Values::Stored(stored) => stored.read(name),
        }
    }

    pub(super) fn family(&self) -> Family {
        self.config.family
    }

    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.layout.get(name).map(Vec::as_slice)
    }

    /// Whether the head is the embedding.
    pub(super) fn has_tied_head(&self) -> bool {
        !self.layout.contains_key(HEAD)
    }
}

/// The values of a tensor that files may lack because training doesn't change it.
fn untrained(config: &Config, name: &str) -> Option<impl FnOnce() -> Vec<f32>> {
    let (vocabulary, width) = (config.vocabulary, config.d_model);
    let sines = match config.positions {
        Positions::Sinusoidal { count } => {
            let of = |stack| name == config.family.positions(stack);
            (of(Stack::Encoder) || of(Stack::Decoder)).then_some(count)
        }
        Positions::Relative { .. } | Positions::Learned { .. } => None,
    };
    (sines.is_some() || name == HEAD_BIAS).then_some(move || match sines {
        Some(count) => position::sinusoids(count, width),
        None => vec![0.0; vocabulary],
    })
}

/// Removes what nothing reads, and adds what precedes the names if the file leaves it out.
fn complete_names(stored: &mut Stored, config: &Config) {
    let family = config.family;
    if let Some(prefix) = family.prefix()
        && !stored.places.keys().any(|name| name.starts_with(prefix))
    {
        let places = std::mem::take(&mut stored.places);
        let is_outside = |name: &str| [HEAD, HEAD_BIAS].contains(&name);
        stored.places =
            places
                .into_iter()
                .map(|(name, place)| {
                    if is_outside(&name) {
                        (name, place)
                    } else {
                        (format!("{prefix}{name}"), place)
                    }
                })
                .collect();
    }
    for name in family.unused() {
        stored.places.remove(*name);
    }
}

/// Ties the embeddings and the head as transformers 5.24 does (`PreTrainedModel.tie_weights`): the
/// first one that the file has stands in for missing ones, and one that differs from it stays
/// separate. Returns the names of those. The file decides, not `tie_word_embeddings`, except that
/// without a tie both `shared` and `lm_head` must be there.
fn tie(stored: &mut Stored, config: &Config) -> Result<Vec<&'static str>, Error> {
    let family = config.family;
    let shared = family.shared();
    let [encoder, decoder] = [Stack::Encoder, Stack::Decoder].map(|stack| family.embedding(stack));
    let names = [shared, encoder, decoder, HEAD];
    let sources = if config.claims_tied_head { &names[..] } else { &names[..3] };
    let Some(source) = sources.iter().copied().find(|name| stored.places.contains_key(*name))
    else {
        return Ok(Vec::new());
    };
    if let Some(place) = stored.places.remove(source) {
        stored.places.insert(shared.to_owned(), place);
    }
    let mut own = Vec::new();
    for name in names.into_iter().skip(1).filter(|name| *name != source) {
        let is_required = name == HEAD && !config.claims_tied_head;
        if !stored.places.contains_key(name) {
            continue;
        }
        if is_required || !stored.are_equal(shared, name)? {
            own.push(name);
        } else {
            stored.places.remove(name);
        }
    }
    Ok(own)
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

/// What a name has before the name of `tensor`, if it ends with that.
fn wrapped<'a>(names: impl Iterator<Item = &'a String>, tensor: &str) -> Option<&'a str> {
    let mut prefixes = names.filter_map(|name| name.strip_suffix(tensor));
    prefixes.find(|prefix| prefix.ends_with('.'))
}

fn check(stored: &Stored, layout: &BTreeMap<String, Vec<usize>>) -> Result<(), Error> {
    for (tensor, expected) in layout {
        let Some(place) = stored.places.get(tensor) else {
            if let Some(prefix) = wrapped(stored.places.keys(), tensor) {
                let prefix = prefix.to_owned();
                return Err(Error::Wrapped { file: stored.file_names(), prefix });
            }
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
