//! Tensors in safetensors files or in a GGUF file. Only the headers are kept in memory.

use super::Error;
use engine::files::Blob;
use half::{bf16, f16};
use kernels::{BlockMatrix, Storage};
use safetensors::{Dtype, tensor::Metadata};
use std::collections::BTreeMap;

/// As in the reference reader.
const MAX_HEADER_BYTES: u64 = 100_000_000;
const CHUNK_BYTES: usize = 1 << 20;

/// Appends stored bytes as f32.
type Convert = fn(&[u8], &mut Vec<f32>);

#[derive(Debug, Clone)]
pub(crate) struct TensorLocation {
    form: Form,
    pub(crate) shape: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Form {
    Safetensors(Range),
    /// Under this name in the GGUF file.
    Gguf(String),
}

/// Bytes of a safetensors file.
#[derive(Debug, Clone)]
struct Range {
    file: usize,
    offset: u64,
    bytes: usize,
    dtype: Dtype,
}

#[derive(Debug)]
pub(crate) struct Stored {
    files: Files,
    pub(crate) places: BTreeMap<String, TensorLocation>,
}

#[derive(Debug)]
enum Files {
    Safetensors(Vec<Blob>),
    Gguf(Box<gguf::Model>),
}

impl Stored {
    pub(crate) fn open(files: Vec<Blob>) -> Result<Self, Error> {
        let mut places = BTreeMap::new();
        for (file, blob) in files.iter().enumerate() {
            let (start, header) = read_header(blob)?;
            for (name, info) in header.tensors() {
                let range = Range {
                    file,
                    offset: start + info.data_offsets.0 as u64,
                    bytes: info.data_offsets.1 - info.data_offsets.0,
                    dtype: info.dtype,
                };
                let form = Form::Safetensors(range);
                let place = TensorLocation { form, shape: info.shape.clone() };
                if let Some(TensorLocation { form: Form::Safetensors(first), .. }) =
                    places.insert(name.clone(), place)
                {
                    return Err(Error::Duplicate {
                        tensor: name,
                        first: files[first.file].name().to_owned(),
                        second: blob.name().to_owned(),
                    });
                }
            }
        }
        Ok(Self { files: Files::Safetensors(files), places })
    }

    pub(crate) fn open_gguf(file: Blob) -> Result<Self, Error> {
        let file = gguf::File::open(file).map_err(|error| Error::Gguf(error.into()))?;
        let model = gguf::Model::new(file).map_err(Error::Gguf)?;
        let place = |(name, shape): (&str, &[usize])| {
            let form = Form::Gguf(name.to_owned());
            (name.to_owned(), TensorLocation { form, shape: shape.to_vec() })
        };
        Ok(Self {
            places: model.tensors().map(place).collect(),
            files: Files::Gguf(Box::new(model)),
        })
    }

    pub(super) fn file_of(&self, place: &TensorLocation) -> String {
        match (&self.files, &place.form) {
            (Files::Safetensors(files), Form::Safetensors(range)) => {
                files[range.file].name().to_owned()
            }
            _ => self.file_names(),
        }
    }

    /// For errors.
    pub(crate) fn file_names(&self) -> String {
        match &self.files {
            Files::Safetensors(files) => {
                files.iter().map(Blob::name).collect::<Vec<_>>().join(", ")
            }
            Files::Gguf(model) => model.name().to_owned(),
        }
    }

    /// Reads a tensor as f32 and checks that it is finite.
    pub(crate) fn read(&self, tensor: &str) -> Result<Vec<f32>, Error> {
        let mut values = Vec::with_capacity(self.places[tensor].shape.iter().product());
        self.read_rows(tensor, &mut |part| values.extend_from_slice(part))?;
        Ok(values)
    }

    /// The same in parts of whole rows.
    pub(crate) fn read_rows(
        &self,
        tensor: &str,
        take: &mut dyn FnMut(&[f32]),
    ) -> Result<(), Error> {
        let place = &self.places[tensor];
        let (mut taken, mut infinite) = (0, None);
        self.convert(tensor, place, &mut |values| {
            if infinite.is_none() {
                let found = values.iter().position(|value| !value.is_finite());
                infinite = found.map(|found| (taken + found, values[found]));
                taken += values.len();
                take(values);
            }
        })?;
        match infinite {
            None => Ok(()),
            Some((found, value)) => Err(Error::NotFinite {
                file: self.file_of(place),
                tensor: tensor.to_owned(),
                place: found,
                value,
            }),
        }
    }

    /// The blocks of a matrix in a GGUF file as they are, with finite scales; `None` if its numbers are
    /// plain.
    pub(crate) fn blocks(&self, tensor: &str) -> Result<Option<BlockMatrix>, Error> {
        let place = &self.places[tensor];
        let (Files::Gguf(model), Form::Gguf(name)) = (&self.files, &place.form) else {
            return Ok(None);
        };
        let found = model.blocks(name).map_err(|error| Error::Gguf(error.into()))?;
        let Some(matrix) = found else { return Ok(None) };
        let is_infinite = |half: &u16| !f16::from_bits(*half).is_finite();
        match matrix.halves.iter().position(is_infinite) {
            None => Ok(Some(matrix)),
            Some(half) => Err(Error::NotFinite {
                file: self.file_of(place),
                tensor: tensor.to_owned(),
                place: half * (matrix.quants.len() / matrix.halves.len()),
                value: f16::from_bits(matrix.halves[half]).to_f32(),
            }),
        }
    }

    /// The storage that keeps a tensor of plain numbers in a GGUF file as it is; f32 for all others.
    pub(crate) fn storage(&self, tensor: &str) -> Storage {
        match (&self.files, &self.places[tensor].form) {
            (Files::Gguf(model), Form::Gguf(name)) => match model.format(name) {
                Some(gguf::blocks::Format::F16) => Storage::F16,
                Some(gguf::blocks::Format::Bf16) => Storage::Bf16,
                _ => Storage::F32,
            },
            _ => Storage::F32,
        }
    }

    pub(crate) fn gguf_file(&self) -> Option<&Blob> {
        match &self.files {
            Files::Gguf(model) => Some(model.file()),
            Files::Safetensors(_) => None,
        }
    }

    /// Whether two tensors hold the same numbers in the same shape.
    pub(super) fn are_equal(&self, one: &str, other: &str) -> Result<bool, Error> {
        let (a, b) = (&self.places[one], &self.places[other]);
        if a.shape != b.shape {
            return Ok(false);
        }
        let (Files::Safetensors(files), Form::Safetensors(left), Form::Safetensors(right)) =
            (&self.files, &a.form, &b.form)
        else {
            return Ok(self.values(one, a)? == self.values(other, b)?);
        };
        if left.dtype != right.dtype {
            return Ok(self.values(one, a)? == self.values(other, b)?);
        }
        let mut chunks = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
        for start in (0..left.bytes).step_by(CHUNK_BYTES) {
            let taken = CHUNK_BYTES.min(left.bytes - start);
            left.read(files, start, &mut chunks.0[..taken])?;
            right.read(files, start, &mut chunks.1[..taken])?;
            if chunks.0[..taken] != chunks.1[..taken] {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All values, finite or not.
    fn values(&self, tensor: &str, place: &TensorLocation) -> Result<Vec<f32>, Error> {
        let mut values = Vec::with_capacity(place.shape.iter().product());
        self.convert(tensor, place, &mut |part| values.extend_from_slice(part))?;
        Ok(values)
    }

    /// Passes the values of whole rows on, front to back.
    fn convert(
        &self,
        tensor: &str,
        place: &TensorLocation,
        take: &mut dyn FnMut(&[f32]),
    ) -> Result<(), Error> {
        let (files, range) = match (&self.files, &place.form) {
            (Files::Safetensors(files), Form::Safetensors(range)) => (files, range),
            (Files::Gguf(model), Form::Gguf(name)) => {
                let read = model.read_rows(name, take);
                let read = read.expect("the file has the tensors that it lists");
                return read.map_err(|error| Error::Gguf(error.into()));
            }
            _ => unreachable!("places are those of the files"),
        };
        let (width, convert): (usize, Convert) = match range.dtype {
            Dtype::F32 => (4, |bytes, values| values.extend(each(bytes).map(f32::from_le_bytes))),
            Dtype::F16 => (2, |bytes, values| {
                values.extend(each(bytes).map(|half| f16::from_le_bytes(half).to_f32()));
            }),
            Dtype::BF16 => (2, |bytes, values| {
                values.extend(each(bytes).map(|half| bf16::from_le_bytes(half).to_f32()));
            }),
            found => {
                return Err(Error::StoredDtype {
                    file: files[range.file].name().to_owned(),
                    tensor: tensor.to_owned(),
                    found,
                });
            }
        };
        let row = width * place.shape.iter().skip(1).product::<usize>();
        let bytes = width * place.shape.iter().product::<usize>();
        let rows = CHUNK_BYTES / row.max(1);
        let mut chunk = vec![0; bytes.min(rows.max(1) * row)];
        let mut values = Vec::new();
        let mut start = 0;
        while start < bytes {
            let taken = chunk.len().min(bytes - start);
            range.read(files, start, &mut chunk[..taken])?;
            values.clear();
            convert(&chunk[..taken], &mut values);
            take(&values);
            start += taken;
        }
        Ok(())
    }
}

impl Range {
    fn read(&self, files: &[Blob], start: usize, to: &mut [u8]) -> Result<(), Error> {
        let blob = &files[self.file];
        blob.read_at(self.offset + start as u64, to)
            .map_err(|source| Error::Read { file: blob.name().to_owned(), source })
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
