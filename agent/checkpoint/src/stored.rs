//! Tensors in safetensors files. Only the headers are kept in memory.

use super::Error;
use engine::files::Blob;
use half::{bf16, f16};
use safetensors::{Dtype, tensor::Metadata};
use std::collections::BTreeMap;

/// As in the reference reader.
const MAX_HEADER_BYTES: u64 = 100_000_000;
const CHUNK_BYTES: usize = 1 << 20;

/// Appends stored bytes as f32.
type Convert = fn(&[u8], &mut Vec<f32>);

#[derive(Debug, Clone)]
pub(crate) struct TensorLocation {
    file: usize,
    offset: u64,
    bytes: usize,
    dtype: Dtype,
    pub(crate) shape: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct Stored {
    files: Vec<Blob>,
    pub(crate) places: BTreeMap<String, TensorLocation>,
}

impl Stored {
    pub(crate) fn open(files: Vec<Blob>) -> Result<Self, Error> {
        let mut places = BTreeMap::new();
        for (file, blob) in files.iter().enumerate() {
            let (start, header) = read_header(blob)?;
            for (name, info) in header.tensors() {
                let place = TensorLocation {
                    file,
                    offset: start + info.data_offsets.0 as u64,
                    bytes: info.data_offsets.1 - info.data_offsets.0,
                    dtype: info.dtype,
                    shape: info.shape.clone(),
                };
                if let Some(first) = places.insert(name.clone(), place) {
                    return Err(Error::Duplicate {
                        tensor: name,
                        first: files[first.file].name().to_owned(),
                        second: blob.name().to_owned(),
                    });
                }
            }
        }
        Ok(Self { files, places })
    }

    pub(super) fn file_of(&self, place: &TensorLocation) -> String {
        self.files[place.file].name().to_owned()
    }

    /// For errors.
    pub(crate) fn file_names(&self) -> String {
        self.files.iter().map(Blob::name).collect::<Vec<_>>().join(", ")
    }

    /// Reads a tensor as f32 and checks that it is finite.
    pub(crate) fn read(&self, tensor: &str) -> Result<Vec<f32>, Error> {
        let place = &self.places[tensor];
        let values = self.convert(tensor, place)?;
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(found) => Err(Error::NotFinite {
                file: self.file_of(place),
                tensor: tensor.to_owned(),
                place: found,
                value: values[found],
            }),
        }
    }

    /// Whether two tensors hold the same numbers in the same shape.
    pub(super) fn are_equal(&self, one: &str, other: &str) -> Result<bool, Error> {
        let (a, b) = (&self.places[one], &self.places[other]);
        if a.shape != b.shape {
            return Ok(false);
        }
        if a.dtype != b.dtype {
            return Ok(self.convert(one, a)? == self.convert(other, b)?);
        }
        let length = a.bytes;
        let (mut left, mut right) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
        for start in (0..length).step_by(CHUNK_BYTES) {
            let taken = CHUNK_BYTES.min(length - start);
            self.read_at(a, start, &mut left[..taken])?;
            self.read_at(b, start, &mut right[..taken])?;
            if left[..taken] != right[..taken] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn read_at(&self, place: &TensorLocation, start: usize, to: &mut [u8]) -> Result<(), Error> {
        let blob = &self.files[place.file];
        blob.read_at(place.offset + start as u64, to)
            .map_err(|source| Error::Read { file: blob.name().to_owned(), source })
    }

    fn convert(&self, tensor: &str, place: &TensorLocation) -> Result<Vec<f32>, Error> {
        let blob = &self.files[place.file];
        let (width, convert): (usize, Convert) = match place.dtype {
            Dtype::F32 => (4, |bytes, values| values.extend(each(bytes).map(f32::from_le_bytes))),
            Dtype::F16 => (2, |bytes, values| {
                values.extend(each(bytes).map(|half| f16::from_le_bytes(half).to_f32()));
            }),
            Dtype::BF16 => (2, |bytes, values| {
                values.extend(each(bytes).map(|half| bf16::from_le_bytes(half).to_f32()));
            }),
            found => {
                return Err(Error::StoredDtype {
                    file: blob.name().to_owned(),
                    tensor: tensor.to_owned(),
                    found,
                });
            }
        };
        let length: usize = place.shape.iter().product();
        let mut values = Vec::with_capacity(length);
        let mut chunk = vec![0; CHUNK_BYTES.min(length * width)];
        while values.len() < length {
            let taken = chunk.len().min((length - values.len()) * width);
            self.read_at(place, values.len() * width, &mut chunk[..taken])?;
            convert(&chunk[..taken], &mut values);
        }
        Ok(values)
    }
}

fn each<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// The offset of the data, and the header. Format:
/// <https://github.com/huggingface/safetensors#format>.
fn read_header(blob: &Blob) -> Result<(u64, Metadata), Error> {
    let file = || blob.name().to_owned();
    let read = |offset, bytes: &mut [u8]| {
        blob.read_at(offset, bytes).map_err(|source| Error::Read { file: file(), source })
    };
    let mut length = [0; 8];
    if blob.len() < 8 {
        return Err(Error::Short { file: file(), expected: 8, found: blob.len() });
    }
    read(0, &mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES || length + 8 > blob.len() {
        return Err(Error::NotSafetensors { file: file() });
    }
    let mut header =
        vec![0; usize::try_from(length).map_err(|_| Error::NotSafetensors { file: file() })?];
    read(8, &mut header)?;
    let header: Metadata =
        serde_json::from_slice(&header).map_err(|source| Error::Header { file: file(), source })?;
    let start = 8 + length;
    let expected = start + header.data_len() as u64;
    if expected != blob.len() {
        return Err(Error::Short { file: file(), expected, found: blob.len() });
    }
    Ok((start, header))
}
