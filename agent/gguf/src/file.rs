//! A file: its metadata, and where its tensors are.

use super::blocks::{self, Format};
use super::error::{Error, MAX_DIMENSIONS};
use super::metadata::Metadata;
use super::reader::Reader;
use engine::files::Blob;
use kernels::BlockMatrix;
use std::collections::BTreeMap;

const MAGIC: [u8; 4] = *b"GGUF";
/// Version 1 had shorter counts; no file of it is in use.
const VERSIONS: [u32; 2] = [2, 3];
const DEFAULT_ALIGNMENT: u64 = 32;
/// An empty name, no dimension, a type and an offset.
const TENSOR_BYTES: u64 = 24;
/// An empty key, a type and one byte.
const KEY_BYTES: u64 = 13;
const CHUNK_BYTES: usize = 1 << 20;

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The outer dimension first, as in transformers: `[rows, columns]`.
    pub shape: Vec<usize>,
    pub format: Format,
    /// From the start of the file.
    offset: u64,
}

impl Tensor {
    /// Values of one row, whose blocks are contiguous.
    pub fn columns(&self) -> usize {
        self.shape.last().copied().unwrap_or(0)
    }

    pub fn rows(&self) -> usize {
        self.shape.iter().rev().skip(1).product()
    }

    /// Bytes of one row.
    fn row_bytes(&self) -> usize {
        self.columns() / self.format.block_values() * self.format.block_bytes()
    }
}

#[derive(Debug)]
pub struct File {
    blob: Blob,
    pub metadata: Metadata,
    tensors: BTreeMap<String, Tensor>,
}

impl File {
    /// Reads and checks the header. The values of tensors stay in the file.
    pub fn open(blob: Blob) -> Result<Self, Error> {
        let name = || blob.name().to_owned();
        let mut reader = Reader::new(&blob);
        if reader.left() < 4 || reader.array::<4>()? != MAGIC {
            return Err(Error::Magic { file: name() });
        }
        let version = reader.u32()?;
        if !VERSIONS.contains(&version) {
            return Err(Error::Version { file: name(), version });
        }
        let tensors = reader.count(TENSOR_BYTES)?;
        let keys = reader.count(KEY_BYTES)?;
        let metadata = Metadata::read(&mut reader, blob.name(), keys)?;
        let alignment = alignment(&metadata).ok_or_else(|| Error::Alignment { file: name() })?;
        let mut found = BTreeMap::new();
        for _ in 0..tensors {
            let (tensor, place) = tensor(&mut reader, blob.name())?;
            if found.insert(tensor.clone(), place).is_some() {
                return Err(Error::Twice { file: name(), what: format!("tensor `{tensor}`") });
            }
        }
        let data = reader.at.next_multiple_of(alignment);
        for (tensor, place) in &mut found {
            let bytes = (place.rows() as u64).checked_mul(place.row_bytes() as u64);
            let end = place.offset.checked_add(data).and_then(|start| {
                place.offset = start;
                start.checked_add(bytes?)
            });
            if end.is_none_or(|end| end > blob.len()) {
                return Err(Error::Outside { file: name(), tensor: tensor.clone() });
            }
        }
        Ok(Self { blob, metadata, tensors: found })
    }

    pub(crate) fn blob(&self) -> &Blob {
        &self.blob
    }

    /// For errors.
    pub fn name(&self) -> &str {
        self.blob.name()
    }

    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// Passes the bytes of whole rows to `each`, front to back.
    fn read_rows(&self, tensor: &Tensor, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
        let row = tensor.row_bytes();
        if row == 0 {
            return Ok(());
        }
        let rows = (CHUNK_BYTES / row).clamp(1, tensor.rows().max(1));
        let mut chunk = vec![0; rows * row];
        let mut done = 0;
        while done < tensor.rows() {
            let taken = rows.min(tensor.rows() - done);
            let bytes = &mut chunk[..taken * row];
            let offset = tensor.offset + (done * row) as u64;
            self.blob
                .read_at(offset, bytes)
                .map_err(|source| Error::Read { file: self.name().to_owned(), source })?;
            each(bytes);
            done += taken;
        }
        Ok(())
    }

    /// All values, row by row.
    pub fn values(&self, tensor: &Tensor) -> Result<Vec<f32>, Error> {
        let mut values = Vec::with_capacity(tensor.rows() * tensor.columns());
        self.read_rows(tensor, |bytes| tensor.format.dequantize(bytes, &mut values))?;
        Ok(values)
    }

    /// The same in parts of whole rows.
    pub fn read_values(&self, tensor: &Tensor, take: &mut dyn FnMut(&[f32])) -> Result<(), Error> {
        let mut values = Vec::new();
        self.read_rows(tensor, |bytes| {
            values.clear();
            tensor.format.dequantize(bytes, &mut values);
            take(&values);
        })
    }

    /// The blocks of a tensor as they are; `None` if its numbers are plain.
    pub fn blocks(&self, tensor: &Tensor) -> Result<Option<BlockMatrix>, Error> {
        let Some(mut matrix) = tensor.format.block_matrix(tensor.columns()) else {
            return Ok(None);
        };
        matrix.quants.reserve_exact(tensor.rows() * tensor.columns());
        self.read_rows(tensor, |bytes| tensor.format.unpack(bytes, &mut matrix))?;
        Ok(Some(matrix))
    }
}

fn alignment(metadata: &Metadata) -> Option<u64> {
    let given = metadata.u32("general.alignment").ok()?;
    let alignment = given.map_or(DEFAULT_ALIGNMENT, u64::from);
    (alignment.is_power_of_two() && alignment <= 1 << 16).then_some(alignment)
}

/// Reads a tensor's name and place. Its offset is relative to the data.
fn tensor(reader: &mut Reader, file: &str) -> Result<(String, Tensor), Error> {
    let name = reader.text()?;
    let dimensions = reader.u32()?;
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        return Err(Error::Dimensions { file: file.to_owned(), tensor: name, dimensions });
    }
    let lengths = (0..dimensions).map(|_| reader.u64()).collect::<Result<Vec<_>, _>>()?;
    let number = reader.u32()?;
    let offset = reader.u64()?;
    let outside = || Error::Outside { file: file.to_owned(), tensor: name.clone() };
    let lengths: Result<Vec<usize>, _> = lengths.into_iter().map(usize::try_from).collect();
    let mut shape = lengths.map_err(|_| outside())?;
    // No tensor is empty or has more values than a pointer reaches.
    let values = shape.iter().try_fold(4_usize, |product, length| product.checked_mul(*length));
    values.filter(|values| *values > 0).ok_or_else(outside)?;
    shape.reverse();
    let format = Format::of(number).ok_or_else(|| Error::Format {
        file: file.to_owned(),
        tensor: name.clone(),
        found: blocks::name_of(number),
    })?;
    let tensor = Tensor { shape, format, offset };
    if !tensor.columns().is_multiple_of(format.block_values()) {
        let (columns, format) = (tensor.columns(), format.name());
        return Err(Error::Blocks { file: file.to_owned(), tensor: name, columns, format });
    }
    Ok((name, tensor))
}
