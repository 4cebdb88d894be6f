//! The names and rows of tensors as transformers has them.

use super::config::Shape;
use super::error::Error;
use super::file::{File, Tensor};
use kernels::BlockMatrix;

/// The order of the rows of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    AsStored,
    /// Files of Llama hold the two halves of each head of this size interleaved, because ggml
    /// rotates neighbors and transformers rotates halves.
    Interleaved {
        head_dim: usize,
    },
}

impl Rows {
    /// The stored row that is row `row` in transformers.
    pub(crate) fn stored(self, row: usize) -> usize {
        match self {
            Self::AsStored => row,
            Self::Interleaved { head_dim } => {
                let (head, place) = (row / head_dim, row % head_dim);
                let (half, pair) = (place / (head_dim / 2), place % (head_dim / 2));
                head * head_dim + 2 * pair + half
            }
        }
    }
}

/// Tensors outside the layers, and those of a layer without its number: transformers' name, and the
/// name in files.
const WHOLE: [(&str, &str); 3] = [
    ("model.embed_tokens.weight", "token_embd.weight"),
    ("model.norm.weight", "output_norm.weight"),
    ("lm_head.weight", "output.weight"),
];
const OF_LAYER: [(&str, &str); 18] = [
    ("input_layernorm.weight", "attn_norm.weight"),
    ("post_attention_layernorm.weight", "ffn_norm.weight"),
    ("self_attn.q_proj.weight", "attn_q.weight"),
    ("self_attn.k_proj.weight", "attn_k.weight"),
    ("self_attn.v_proj.weight", "attn_v.weight"),
    ("self_attn.o_proj.weight", "attn_output.weight"),
    ("self_attn.q_proj.bias", "attn_q.bias"),
    ("self_attn.k_proj.bias", "attn_k.bias"),
    ("self_attn.v_proj.bias", "attn_v.bias"),
    ("self_attn.o_proj.bias", "attn_output.bias"),
    ("self_attn.q_norm.weight", "attn_q_norm.weight"),
    ("self_attn.k_norm.weight", "attn_k_norm.weight"),
    ("mlp.gate_proj.weight", "ffn_gate.weight"),
    ("mlp.up_proj.weight", "ffn_up.weight"),
    ("mlp.down_proj.weight", "ffn_down.weight"),
    ("mlp.gate_proj.bias", "ffn_gate.bias"),
    ("mlp.up_proj.bias", "ffn_up.bias"),
    ("mlp.down_proj.bias", "ffn_down.bias"),
];

/// A tensor under transformers' name.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) tensor: Tensor,
    pub(crate) rows: Rows,
}

/// Every tensor of the file under transformers' name, or the name of one that no model has with these
/// heads.
pub(crate) fn named(file: &File, shape: &Shape) -> Result<Vec<(String, Named)>, String> {
    let mut found = Vec::new();
    for (name, tensor) in file.tensors() {
        if name == "rope_freqs.weight" {
            // Read with the configuration.
            continue;
        }
        let theirs = theirs(name, shape.layers).ok_or_else(|| name.to_owned())?;
        let is_rotated = ["q_proj", "k_proj"].iter().any(|part| theirs.contains(part));
        let is_interleaved = shape.architecture == "llama" && is_rotated;
        let rows = if is_interleaved {
            Rows::Interleaved { head_dim: shape.head_dim }
        } else {
            Rows::AsStored
        };
        let named = Named { tensor: tensor.clone(), rows };
        if is_interleaved && !named.count().is_multiple_of(shape.head_dim) {
            return Err(name.to_owned());
        }
        found.push((theirs, named));
    }
    Ok(found)
}

fn theirs(name: &str, layers: usize) -> Option<String> {
    let find = |names: &[(&'static str, &str)], name: &str| {
        names.iter().find(|(_, ours)| *ours == name).map(|(theirs, _)| *theirs)
    };
    let Some(rest) = name.strip_prefix("blk.") else {
        return find(&WHOLE, name).map(str::to_owned);
    };
    let (layer, rest) = rest.split_once('.')?;
    let number: usize = layer.parse().ok()?;
    // Written as a number is, so that no two names are the same tensor.
    (number < layers && number.to_string() == layer).then_some(())?;
    Some(format!("model.layers.{number}.{}", find(&OF_LAYER, rest)?))
}

impl Named {
    /// Values per row; a bias has one row per value.
    fn row_values(&self) -> usize {
        if self.tensor.shape.len() == 1 { 1 } else { self.tensor.columns() }
    }

    /// Rows.
    fn count(&self) -> usize {
        self.tensor.rows() * self.tensor.columns() / self.row_values()
    }

    /// All values in transformers' order.
    pub(crate) fn values(&self, file: &File) -> Result<Vec<f32>, Error> {
        let stored = file.values(&self.tensor)?;
        if self.rows == Rows::AsStored {
            return Ok(stored);
        }
        Ok(self.ordered(&stored, self.count()))
    }

    /// The same in parts of whole rows, if the file has them in this order.
    pub(crate) fn read_rows(&self, file: &File, take: &mut dyn FnMut(&[f32])) -> Result<(), Error> {
        if self.rows == Rows::AsStored {
            return file.read_values(&self.tensor, take);
        }
        take(&self.values(file)?);
        Ok(())
    }

    /// A matrix's blocks, its rows in transformers' order; `None` if its numbers are plain, or for a
    /// vector, whose values are reordered one by one.
    pub(crate) fn blocks(&self, file: &File) -> Result<Option<BlockMatrix>, Error> {
        if self.tensor.shape.len() == 1 {
            return Ok(None);
        }
        let Some(stored) = file.blocks(&self.tensor)? else { return Ok(None) };
        if self.rows == Rows::AsStored {
            return Ok(Some(stored));
        }
        let rows = self.count();
        Ok(Some(BlockMatrix {
            quants: self.ordered(&stored.quants, rows),
            halves: self.ordered(&stored.halves, rows),
            bytes: self.ordered(&stored.bytes, rows),
            ..stored
        }))
    }

    /// What each of `rows` stored rows has, in transformers' order.
    fn ordered<T: Copy>(&self, stored: &[T], rows: usize) -> Vec<T> {
        let width = stored.len() / rows;
        let row = |row| &stored[self.rows.stored(row) * width..][..width];
        (0..rows).flat_map(row).copied().collect()
    }
}
