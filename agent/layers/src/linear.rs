//! A linear layer of the base, with an optional LoRA adapter.

use checkpoint::{Error, lora::Adapter};
use kernels::{Epilogue, Kernels, Layout, Rows, Storage, Weights};

#[derive(Debug)]
pub struct Linear {
    weights: Weights,
    /// Stacked in this order.
    tensors: Vec<String>,
    queries: Option<QueryScale>,
    adapter: Option<LoraFactors>,
}

/// The first outputs of a layer are queries, whose weights were multiplied by a factor.
#[derive(Debug, Clone, Copy)]
pub struct QueryScale {
    pub rows: usize,
    pub factor: f32,
}

impl QueryScale {
    /// `values`: `[outputs, width]`.
    pub fn apply(self, values: &mut [f32], width: usize) {
        values[..self.rows * width].iter_mut().for_each(|value| *value *= self.factor);
    }
}

/// An adapter's factors, always f32.
#[derive(Debug)]
struct LoraFactors {
    /// `[rank, inputs]`.
    down: Weights,
    /// `[outputs, rank]`, in the layout of the weights.
    up: Weights,
}

/// Buffers for unmerged adapters: rows between the factors, and raw sums before the epilogue.
#[derive(Debug)]
pub struct LoraBuffers {
    /// `[rows, rank]`.
    low: Rows,
    /// `[rows, sums]` of the first feed-forward linear.
    sums: Rows,
}

impl LoraBuffers {
    /// `rank`: of the adapter; `sums`: raw sums of the first feed-forward linear.
    pub fn new(rank: usize, sums: usize) -> Self {
        Self { low: Rows::new(rank), sums: Rows::new(sums) }
    }
}

impl Linear {
    pub fn new(weights: Weights, tensors: Vec<String>, queries: Option<QueryScale>) -> Self {
        Self { weights, tensors, queries, adapter: None }
    }

    /// `to = epilogue(x W'^T + bias)`.
    pub fn forward(
        &self,
        kernels: &mut Kernels,
        x: &Rows,
        epilogue: Epilogue,
        lora_buffers: &mut LoraBuffers,
        to: &mut Rows,
    ) {
        let Some(LoraFactors { down, up }) = &self.adapter else {
            return kernels.gemm(&self.weights, x, epilogue, to);
        };
        let LoraBuffers { low, sums } = lora_buffers;
        kernels.gemm(down, x, Epilogue::Store, low);
        if let Epilogue::Store | Epilogue::Add = epilogue {
            kernels.gemm(&self.weights, x, epilogue, to);
            kernels.gemm(up, low, Epilogue::Add, to);
        } else {
            kernels.gemm(&self.weights, x, Epilogue::Store, sums);
            kernels.gemm(up, low, Epilogue::Add, sums);
            kernels.apply_epilogue(epilogue, sums, to);
        }
    }

    /// The adapter's rank here; 0 if it does not change this layer.
    pub fn rank(&self, adapter: &Adapter) -> usize {
        self.tensors.iter().map(|tensor| adapter.rank(tensor)).sum()
    }

    /// Sets the adapter's factors, zero-padded to `rank`, or removes them.
    pub fn adapt(&mut self, adapter: Option<&Adapter>, rank: usize) -> Result<(), Error> {
        self.adapter = None;
        let Some(adapter) = adapter.filter(|adapter| self.rank(adapter) > 0) else {
            return Ok(());
        };
        let (inputs, outputs) = (self.weights.inputs(), self.weights.outputs());
        let (down, mut up) = adapter.stacked(&self.tensors, (outputs, inputs), rank)?;
        if let Some(queries) = self.queries {
            queries.apply(&mut up, rank);
        }
        let dispatch = self.weights.dispatch();
        let pack = |layout, shape, values: &[f32]| {
            Weights::pack(dispatch, Storage::F32, layout, shape, values)
        };
        self.adapter = Some(LoraFactors {
            down: pack(Layout::Plain, (rank, inputs), &down),
            up: pack(self.weights.layout(), (outputs, rank), &up),
        });
        Ok(())
    }

    /// Of the base.
    pub fn storage(&self) -> Storage {
        self.weights.storage()
    }

    /// Raw sums per row, before the activation.
    pub fn sums(&self) -> usize {
        self.weights.sums()
    }

    /// The weights read by one product, including the adapter's factors.
    pub fn weights(&self) -> impl Iterator<Item = &Weights> {
        let factors = self.adapter.iter().flat_map(|LoraFactors { down, up }| [down, up]);
        std::iter::once(&self.weights).chain(factors)
    }

    /// Bytes read by one linear.
    pub fn read_bytes(&self) -> usize {
        self.weights().map(Weights::bytes).sum()
    }

    /// Bytes of the base weights.
    pub fn bytes(&self) -> usize {
        self.weights.bytes()
    }

    pub fn adapter_bytes(&self) -> usize {
        self.adapter.as_ref().map_or(0, |adapter| adapter.down.bytes() + adapter.up.bytes())
    }
}
