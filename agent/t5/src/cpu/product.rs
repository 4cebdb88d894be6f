//! A matrix of the base, and what an adapter adds to its products.

use crate::checkpoint::Error;
use crate::lora::Adapter;
use kernels::{Finish, Kernels, Layout, Rows, Storage, Weights};

/// Packed weights with the names of the tensors that lie below each other in them.
#[derive(Debug)]
pub(super) struct Product {
    weights: Weights,
    /// Of equally many rows each.
    tensors: Vec<String>,
    addition: Option<Addition>,
}

/// The factors of an adapter's change, f32 whatever the weights are.
#[derive(Debug)]
struct Addition {
    /// `[rank, inputs]`.
    down: Weights,
    /// `[outputs, rank]`, in the layout of the weights.
    up: Weights,
}

/// Rows between the factors, and sums that wait for their function.
#[derive(Debug)]
pub(super) struct Spare {
    /// `[rows, rank]`.
    low: Rows,
    /// `[rows, sums]` of the feed-forward layer's first product.
    sums: Rows,
}

impl Spare {
    /// For an adapter of this rank, over a feed-forward layer whose first product has so many sums.
    pub(super) fn new(rank: usize, sums: usize) -> Self {
        Self { low: Rows::new(rank), sums: Rows::new(sums) }
    }
}

impl Product {
    pub(super) fn new(weights: Weights, tensors: Vec<String>) -> Self {
        Self { weights, tensors, addition: None }
    }

    /// `to = finish(x W'^T)`.
    pub(super) fn forward(
        &self,
        kernels: &mut Kernels,
        x: &Rows,
        finish: Finish,
        spare: &mut Spare,
        to: &mut Rows,
    ) {
        let Some(Addition { down, up }) = &self.addition else {
            return kernels.multiply(&self.weights, x, finish, to);
        };
        let Spare { low, sums } = spare;
        kernels.multiply(down, x, Finish::Store, low);
        if let Finish::Store | Finish::Add = finish {
            kernels.multiply(&self.weights, x, finish, to);
            kernels.multiply(up, low, Finish::Add, to);
        } else {
            kernels.multiply(&self.weights, x, Finish::Store, sums);
            kernels.multiply(up, low, Finish::Add, sums);
            kernels.finish(finish, sums, to);
        }
    }

    /// The rank of what an adapter adds here; 0 where it adds nothing.
    pub(super) fn rank(&self, adapter: &Adapter) -> usize {
        self.tensors.iter().map(|tensor| adapter.rank(tensor)).sum()
    }

    /// Takes on the factors of an adapter, filled up with zeros to `rank`, or lets go of them.
    pub(super) fn adapt(&mut self, adapter: Option<&Adapter>, rank: usize) -> Result<(), Error> {
        self.addition = None;
        let Some(adapter) = adapter.filter(|adapter| self.rank(adapter) > 0) else {
            return Ok(());
        };
        let (inputs, outputs) = (self.weights.inputs(), self.weights.outputs());
        let (down, up) = adapter.stacked(&self.tensors, (outputs, inputs), rank)?;
        let table = self.weights.table();
        let pack = |layout, shape, values: &[f32]| {
            Weights::pack(table, Storage::F32, layout, shape, values)
        };
        self.addition = Some(Addition {
            down: pack(Layout::Plain, (rank, inputs), &down),
            up: pack(self.weights.layout(), (outputs, rank), &up),
        });
        Ok(())
    }

    /// Sums of a row, before the function.
    pub(super) fn sums(&self) -> usize {
        self.weights.sums()
    }

    /// What one product reads: the weights, and an adapter's factors.
    pub(super) fn weights(&self) -> impl Iterator<Item = &Weights> {
        let factors = self.addition.iter().flat_map(|Addition { down, up }| [down, up]);
        std::iter::once(&self.weights).chain(factors)
    }

    /// Bytes that one product reads.
    pub(super) fn read_bytes(&self) -> usize {
        self.weights().map(Weights::bytes).sum()
    }

    /// Bytes of the base's weights.
    pub(super) fn bytes(&self) -> usize {
        self.weights.bytes()
    }

    /// Bytes of what an adapter adds.
    pub(super) fn adapter_bytes(&self) -> usize {
        self.addition.as_ref().map_or(0, |addition| addition.down.bytes() + addition.up.bytes())
    }
}
