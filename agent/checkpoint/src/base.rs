//! The tensors of a model without an adapter.

use super::layout::{HEAD, Layout};
use super::stored::Stored;
use super::{Error, seeded};
use engine::files::{Blob, Weights};
use kernels::{BlockMatrix, Storage};
use std::collections::BTreeMap;

/// Of the parts of a matrix with seeded values: some MiB of f32.
const PART_VALUES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Base {
    layout: Box<dyn Layout>,
    shapes: BTreeMap<String, Vec<usize>>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Stored(Stored),
    Seeded(u64),
}

impl Base {
    /// Checks names and shapes of all tensors without reading values.
    pub(crate) fn open(layout: Box<dyn Layout>, weights: Weights) -> Result<Self, Error> {
        let mut shapes = layout.shapes();
        let matrix = shapes[layout.embedding()].clone();
        if !layout.claims_tied_head() {
            shapes.insert(HEAD.to_owned(), matrix.clone());
        }
        let mut values = match weights {
            Weights::Seeded(seed) => Values::Seeded(seed),
            Weights::Stored(files) => Values::Stored(Stored::open(files)?),
            Weights::Gguf(file) => Values::Stored(Stored::open_gguf(file)?),
        };
        if let Values::Stored(stored) = &mut values {
            complete_names(stored, layout.as_ref());
            shapes.retain(|name, _| {
                stored.places.contains_key(name) || layout.untrained(name).is_none()
            });
            for own in tie(stored, layout.as_ref())? {
                shapes.insert(own.to_owned(), matrix.clone());
            }
            check(stored, &shapes)?;
        }
        Ok(Self { layout, shapes, values })
    }

    /// The tensor of this name; for a head that is tied, the embedding.
    pub(crate) fn tensor(&self, name: &str) -> Result<Vec<f32>, Error> {
        let name = self.stored_name(name);
        let Some(shape) = self.shapes.get(name) else {
            let values = self.layout.untrained(name);
            return Ok(values.expect("tensors are asked for by the config's own layout"));
        };
        match &self.values {
            Values::Seeded(seed) => Ok(self.layout.untrained(name).unwrap_or_else(|| {
                seeded::values(*seed, name, self.layout.filling(name), 0..shape.iter().product())
            })),
            Values::Stored(stored) => stored.read(name),
        }
    }

    /// The same in parts of whole rows.
    pub(crate) fn read_rows(&self, name: &str, take: &mut dyn FnMut(&[f32])) -> Result<(), Error> {
        let name = self.stored_name(name);
        match &self.values {
            Values::Stored(stored) if self.shapes.contains_key(name) => {
                stored.read_rows(name, take)
            }
            Values::Seeded(seed) if self.layout.untrained(name).is_none() => {
                let shape = &self.shapes[name];
                let filling = self.layout.filling(name);
                let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
                let part = (PART_VALUES / columns.max(1)).max(1);
                for first in (0..rows).step_by(part) {
                    let count = part.min(rows - first) * columns;
                    take(&seeded::values(
                        *seed,
                        name,
                        filling,
                        first * columns..first * columns + count,
                    ));
                }
                Ok(())
            }
            _ => {
                take(&self.tensor(name)?);
                Ok(())
            }
        }
    }

    /// The blocks of a matrix as the file has them; `None` if its numbers are plain.
    pub(crate) fn blocks(&self, name: &str) -> Result<Option<BlockMatrix>, Error> {
        match &self.values {
            Values::Stored(stored) => stored.blocks(self.stored_name(name)),
            Values::Seeded(_) => Ok(None),
        }
    }

    /// The storage that keeps a tensor of plain numbers as it is.
    pub(crate) fn storage(&self, name: &str) -> Storage {
        match &self.values {
            Values::Stored(stored) => stored.storage(self.stored_name(name)),
            Values::Seeded(_) => Storage::F32,
        }
    }

    pub(crate) fn gguf_file(&self) -> Option<&Blob> {
        match &self.values {
            Values::Stored(stored) => stored.gguf_file(),
            Values::Seeded(_) => None,
        }
    }

    /// Of a head that is tied, the embedding's.
    fn stored_name<'a>(&'a self, name: &'a str) -> &'a str {
        if name == HEAD && self.has_tied_head() { self.layout.embedding() } else { name }
    }

    pub(crate) fn layout(&self) -> &dyn Layout {
        self.layout.as_ref()
    }

    pub(crate) fn shapes(&self) -> &BTreeMap<String, Vec<usize>> {
        &self.shapes
    }

    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.shapes.get(name).map(Vec::as_slice)
    }

    /// Whether the head is the embedding.
    pub(crate) fn has_tied_head(&self) -> bool {
        !self.shapes.contains_key(HEAD)
    }
}

/// Removes what nothing reads, and adds what precedes the names if the file leaves it out.
fn complete_names(stored: &mut Stored, layout: &dyn Layout) {
    if let Some(prefix) = layout.prefix()
        && !stored.places.keys().any(|name| name.starts_with(prefix))
    {
        let is_outside = |name: &str| name == HEAD || layout.head_bias() == Some(name);
        let places = std::mem::take(&mut stored.places).into_iter();
        stored.places = places
            .map(|(name, place)| {
                let name = if is_outside(&name) { name } else { format!("{prefix}{name}") };
                (name, place)
            })
            .collect();
    }
    stored.places.retain(|name, _| !layout.is_unused(name));
}

/// Ties the embeddings and the head as transformers 5.24 does (`PreTrainedModel.tie_weights`): the
/// first one that the file has stands in for missing ones, and one that differs from it stays
/// separate. Returns the names of those. The file decides, not `tie_word_embeddings`, except that
/// without a tie both the embedding and the head must be there.
fn tie(stored: &mut Stored, layout: &dyn Layout) -> Result<Vec<&'static str>, Error> {
    let embedding = layout.embedding();
    let mut names = vec![embedding];
    names.extend_from_slice(layout.tied_embeddings());
    let mut sources = names.clone();
    names.push(HEAD);
    if layout.claims_tied_head() {
        sources.push(HEAD);
    }
    let Some(source) = sources.into_iter().find(|name| stored.places.contains_key(*name)) else {
        return Ok(Vec::new());
    };
    if let Some(place) = stored.places.remove(source) {
        stored.places.insert(embedding.to_owned(), place);
    }
    let mut own = Vec::new();
    for name in names.into_iter().skip(1).filter(|name| *name != source) {
        let is_required = name == HEAD && !layout.claims_tied_head();
        if !stored.places.contains_key(name) {
            continue;
        }
        if is_required || !stored.are_equal(embedding, name)? {
            own.push(name);
        } else {
            stored.places.remove(name);
        }
    }
    Ok(own)
}

/// What a name has before the name of `tensor`, if it ends with that.
fn wrapped<'a>(names: impl Iterator<Item = &'a String>, tensor: &str) -> Option<&'a str> {
    let mut prefixes = names.filter_map(|name| name.strip_suffix(tensor));
    prefixes.find(|prefix| prefix.ends_with('.'))
}

fn check(stored: &Stored, shapes: &BTreeMap<String, Vec<usize>>) -> Result<(), Error> {
    for (tensor, expected) in shapes {
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
    match stored.places.iter().find(|(tensor, _)| !shapes.contains_key(*tensor)) {
        None => Ok(()),
        Some((tensor, place)) => {
            Err(Error::Unknown { file: stored.file_of(place), tensor: tensor.clone() })
        }
    }
}
