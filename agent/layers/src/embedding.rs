//! The embedding: token ids in, rows of f32 out.

use half::{bf16, f16, slice::HalfFloatSliceExt};
use kernels::{Rows, Storage, Weights};

#[derive(Debug)]
pub struct Embedding {
    width: usize,
    values: Values,
}

#[derive(Debug)]
enum Values {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
    Packed(Weights),
}

impl Embedding {
    /// The rows of packed weights, `[vocabulary, width]`.
    pub fn of(weights: Weights) -> Self {
        Self { width: weights.inputs(), values: Values::Packed(weights) }
    }

    /// Stores `values`, `[vocabulary, width]`, in the dtype closest to the storage: f16 for int8 and for
    /// blocks.
    pub fn new(storage: Storage, width: usize, values: Vec<f32>) -> Self {
        let most = f16::MAX.to_f32();
        let values = match storage {
            Storage::F32 => Values::F32(values),
            Storage::F16 | Storage::Int8 | Storage::Q4 | Storage::Q8 => {
                let half = |value: &f32| f16::from_f32(value.clamp(-most, most));
                Values::F16(values.iter().map(half).collect())
            }
            Storage::Bf16 => Values::Bf16(values.iter().copied().map(bf16::from_f32).collect()),
        };
        Self { width, values }
    }

    pub fn rows<'a>(&self, tokens: impl ExactSizeIterator<Item = &'a u32>, to: &mut Rows) {
        to.resize(tokens.len());
        for (row, token) in tokens.enumerate() {
            let start = *token as usize * self.width;
            let span = start..start + self.width;
            let to = to.row_mut(row);
            match &self.values {
                Values::F32(values) => to.copy_from_slice(&values[span]),
                Values::F16(values) => values[span].convert_to_f32_slice(to),
                Values::Bf16(values) => values[span].convert_to_f32_slice(to),
                Values::Packed(weights) => weights.row(*token as usize, to),
            }
        }
    }

    pub fn bytes(&self) -> usize {
        match &self.values {
            Values::F32(values) => 4 * values.len(),
            Values::F16(values) => 2 * values.len(),
            Values::Bf16(values) => 2 * values.len(),
            Values::Packed(weights) => weights.bytes(),
        }
    }
}
