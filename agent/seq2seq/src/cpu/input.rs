//! The input of a stack: token ids and their positions in, the residual stream out.

use super::layers::Loader;
use super::norm::Norm;
use crate::config::{Positions, Stack};
use checkpoint::Error;
use kernels::{Kernels, Rows};
use layers::Embedding;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Input {
    embedding: Arc<Embedding>,
    /// Of embedded tokens, unless it is 1.
    scale: Option<f32>,
    /// Added to the embedding, `[positions, d_model]`.
    table: Option<Vec<f32>>,
    norm: Option<Norm>,
}

impl Input {
    pub(super) fn load(
        loader: &Loader<'_>,
        stack: Stack,
        embedding: Arc<Embedding>,
    ) -> Result<Self, Error> {
        let config = loader.config();
        let table = || loader.checkpoint.tensors.tensor(&config.family.positions(stack));
        let table = match config.positions {
            Positions::Relative { .. } => None,
            Positions::Learned { offset, .. } => Some(table()?.split_off(offset * config.d_model)),
            Positions::Sinusoidal { .. } => Some(table()?),
        };
        let norm = config.norms.after_embedding.then(|| config.family.embedding_norm(stack));
        Ok(Self {
            embedding,
            scale: Some(config.embedding_scale).filter(|scale| *scale > 1.0),
            table,
            norm: norm.map(|name| loader.norm(&name)).transpose()?,
        })
    }

    /// Writes a row for each token to `x`; `buffer` has its width. `positions` are those of the
    /// tokens.
    pub(super) fn forward<'a>(
        &self,
        kernels: &Kernels,
        tokens: impl ExactSizeIterator<Item = &'a u32>,
        positions: impl Iterator<Item = usize>,
        x: &mut Rows,
        buffer: &mut Rows,
    ) {
        self.embedding.rows(tokens, x);
        if let Some(scale) = self.scale {
            for row in 0..x.count() {
                x.row_mut(row).iter_mut().for_each(|x| *x *= scale);
            }
        }
        if let Some(table) = &self.table {
            let width = x.width();
            for (row, position) in (0..x.count()).zip(positions) {
                let vector = &table[position * width..(position + 1) * width];
                x.row_mut(row).iter_mut().zip(vector).for_each(|(x, value)| *x += value);
            }
        }
        if let Some(norm) = &self.norm {
            norm.replace(kernels, x, buffer);
        }
    }

    /// Bytes of the positions.
    pub(super) fn table_bytes(&self) -> usize {
        self.table.as_ref().map_or(0, |table| 4 * table.len())
    }
}
