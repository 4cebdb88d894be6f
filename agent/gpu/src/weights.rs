//! Weights and caches in a GPU's memory.

use crate::driver::{Error, Gpu};
use crate::memory::Buffer;
use half::{bf16, f16};
use rayon::prelude::*;
use std::sync::Arc;

/// How weights are stored. Activations and sums are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    F32,
    F16,
    Bf16,
    /// With a scale for each output.
    Int8,
}

impl Storage {
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Int8 => 1,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Values {
    F32(Buffer<f32>),
    F16(Buffer<f16>),
    Bf16(Buffer<bf16>),
    Int8(Buffer<i8>, Buffer<f32>),
}

/// A matrix, `[outputs, inputs]`. Each row is padded with zeros to a multiple of 16 elements, so
/// that vectors of 16 bytes are aligned.
#[derive(Debug)]
pub struct Weights {
    pub(crate) values: Values,
    pub(crate) outputs: usize,
    pub(crate) inputs: usize,
    pub(crate) padded: usize,
}

pub(crate) fn padded(inputs: usize) -> usize {
    inputs.next_multiple_of(16)
}

/// Within the range of f16: an infinite weight would make every sum infinite.
fn to_f16(value: f32) -> f16 {
    let most = f16::MAX.to_f32();
    f16::from_f32(value.clamp(-most, most))
}

/// The nearest multiple of a scale that reaches 127 for the largest value.
#[expect(clippy::cast_possible_truncation, reason = "rounded and within -127 to 127")]
fn quantize(values: &[f32], to: &mut [i8]) -> f32 {
    let most = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    let scale = most / 127.0;
    if scale > 0.0 {
        for (to, value) in to.iter_mut().zip(values) {
            *to = (value / scale).round().clamp(-127.0, 127.0) as i8;
        }
    }
    scale
}

/// `[outputs, padded]` of `values`, `[outputs, inputs]`.
fn pack<T: Copy + Default + Send>(
    values: &[f32],
    inputs: usize,
    convert: impl Fn(f32) -> T + Sync,
) -> Vec<T> {
    let padded = padded(inputs);
    let mut packed = vec![T::default(); values.len() / inputs * padded];
    let rows = packed.par_chunks_exact_mut(padded).zip(values.par_chunks_exact(inputs));
    rows.for_each(|(to, from)| {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = convert(*from));
    });
    packed
}

impl Weights {
    /// Stores `values`, `[outputs, inputs]`, row-major.
    pub fn new(
        gpu: &Arc<Gpu>,
        storage: Storage,
        inputs: usize,
        values: &[f32],
    ) -> Result<Self, Error> {
        let outputs = values.len() / inputs;
        assert_eq!(values.len(), outputs * inputs, "{outputs} x {inputs}");
        let padded = padded(inputs);
        let values = match storage {
            Storage::F32 => Values::F32(Buffer::from_slice(gpu, &pack(values, inputs, |x| x))?),
            Storage::F16 => Values::F16(Buffer::from_slice(gpu, &pack(values, inputs, to_f16))?),
            Storage::Bf16 => {
                Values::Bf16(Buffer::from_slice(gpu, &pack(values, inputs, bf16::from_f32))?)
            }
            Storage::Int8 => {
                let mut packed = vec![0i8; outputs * padded];
                let scales: Vec<f32> = packed
                    .par_chunks_exact_mut(padded)
                    .zip(values.par_chunks_exact(inputs))
                    .map(|(to, from)| quantize(from, to))
                    .collect();
                let scales = Buffer::from_slice(gpu, &scales)?;
                Values::Int8(Buffer::from_slice(gpu, &packed)?, scales)
            }
        };
        Ok(Self { values, outputs, inputs, padded })
    }

    /// Bytes of a matrix, `[outputs, inputs]`, without loading it.
    pub fn stored_bytes(storage: Storage, outputs: usize, inputs: usize) -> usize {
        let scales = if storage == Storage::Int8 { size_of::<f32>() * outputs } else { 0 };
        outputs * padded(inputs) * storage.bytes() + scales
    }

    pub fn storage(&self) -> Storage {
        match &self.values {
            Values::F32(_) => Storage::F32,
            Values::F16(_) => Storage::F16,
            Values::Bf16(_) => Storage::Bf16,
            Values::Int8(..) => Storage::Int8,
        }
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub fn bytes(&self) -> usize {
        match &self.values {
            Values::F32(values) => values.bytes(),
            Values::F16(values) => values.bytes(),
            Values::Bf16(values) => values.bytes(),
            Values::Int8(values, scales) => values.bytes() + scales.bytes(),
        }
    }

    /// Of the values, and of the scales or 0.
    pub(crate) fn addresses(&self) -> (u64, u64) {
        match &self.values {
            Values::F32(values) => (values.address(0), 0),
            Values::F16(values) => (values.address(0), 0),
            Values::Bf16(values) => (values.address(0), 0),
            Values::Int8(values, scales) => (values.address(0), scales.address(0)),
        }
    }
}

/// Keys and values of all layers, `[layers][places][width]`, f32 or f16.
#[derive(Debug)]
pub struct Cache {
    bytes: Buffer<u8>,
    pub(crate) is_half: bool,
    layers: usize,
    places: usize,
    pub(crate) width: usize,
}

impl Cache {
    pub fn new(
        gpu: &Arc<Gpu>,
        storage: Storage,
        layers: usize,
        width: usize,
    ) -> Result<Self, Error> {
        let is_half = storage != Storage::F32;
        Ok(Self { bytes: Buffer::zeroed(gpu, 0)?, is_half, layers, places: 0, width })
    }

    fn size(&self) -> usize {
        if self.is_half { 2 } else { 4 }
    }

    /// Bytes of a layer.
    pub(crate) fn layer_bytes(&self) -> usize {
        self.places * self.width * self.size()
    }

    /// With more places; keeps what there is.
    pub fn grow(&mut self, gpu: &Arc<Gpu>, places: usize) -> Result<(), Error> {
        let new = places * self.width * self.size();
        let mut bytes = Buffer::zeroed(gpu, self.layers * new)?;
        let old = self.layer_bytes();
        for layer in 0..self.layers {
            bytes.copy_from(layer * new, &self.bytes, layer * old..(layer + 1) * old)?;
        }
        // The old memory is freed once the copies have ended.
        gpu.synchronize()?;
        (self.bytes, self.places) = (bytes, places);
        Ok(())
    }

    pub fn bytes(&self) -> usize {
        self.bytes.bytes()
    }

    /// Of an element of a place of a layer.
    pub(crate) fn address(&self, layer: usize, place: usize, element: usize) -> u64 {
        assert!(layer < self.layers && place <= self.places, "layer {layer}, place {place}");
        let element = place * self.width + element;
        self.bytes.address(layer * self.layer_bytes() + element * self.size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int8_reaches_127_and_zeros_stay_zero() {
        let mut to = [9i8; 4];
        assert!((quantize(&[0.5, -1.0, 0.004, 0.25], &mut to) - 1.0 / 127.0).abs() < 1e-9);
        assert_eq!(to, [64, -127, 1, 32]);
        let mut zeros = [0i8; 2];
        assert!(quantize(&[0.0, -0.0], &mut zeros) <= 0.0);
        assert_eq!(zeros, [0, 0]);
        assert_eq!(to_f16(1e9), f16::MAX);
    }
}
