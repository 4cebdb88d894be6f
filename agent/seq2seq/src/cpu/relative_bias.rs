//! Biases of attention scores by relative position, for the distances met so far.

use super::layers::Loader;
use crate::config::Stack;
use crate::position::{Buckets, Direction};
use checkpoint::Error;
use kernels::Bias;

#[derive(Debug)]
pub(super) struct RelativeBias {
    buckets: Buckets,
    /// `[buckets, heads]`.
    weight: Vec<f32>,
    heads: usize,
    bias: Bias,
}

impl RelativeBias {
    /// `None` if the model has positions of another kind.
    pub(super) fn load(loader: &Loader<'_>, stack: Stack) -> Result<Option<Self>, Error> {
        let config = loader.config();
        let direction = match stack {
            Stack::Encoder => Direction::Both,
            Stack::Decoder => Direction::Back,
        };
        let Some(buckets) = Buckets::new(config.positions, direction) else { return Ok(None) };
        Ok(Some(Self {
            buckets,
            weight: loader.checkpoint.tensors.tensor(&config.family.positions(stack))?,
            heads: config.stack(stack).heads,
            bias: Bias::default(),
        }))
    }

    /// Extends the table to so many positions before a query, and after it.
    pub(super) fn cover(&mut self, before: usize, after: usize) {
        if before > self.bias.zero || self.bias.offsets == 0 {
            let values = self.buckets.table(&self.weight, self.heads, before, after);
            self.bias = Bias { values, offsets: before + 1 + after, zero: before };
        }
    }

    pub(super) fn bias(&self) -> &Bias {
        &self.bias
    }
}
