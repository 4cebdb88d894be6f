//! What a family says about its tensors.

use super::seeded::Filling;
use std::collections::BTreeMap;
use std::fmt;

/// The head if it is not tied to the embedding, `[vocabulary, width]`.
pub const HEAD: &str = "lm_head.weight";

/// Names and shapes of the tensors of a model. Names are those of the model class in transformers,
/// as adapters refer to them.
pub trait Layout: fmt::Debug + Send + Sync {
    /// All tensors but the head and the tied embeddings, with their shapes.
    fn shapes(&self) -> BTreeMap<String, Vec<usize>>;

    /// The embedding, `[vocabulary, width]`.
    fn embedding(&self) -> &'static str;

    /// Other embeddings, which are the same unless the files hold another matrix.
    fn tied_embeddings(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether the model refers to the embedding by this name only, so that in peft a copy of it that
    /// an adapter saves takes its place.
    fn has_one_embedding(&self) -> bool {
        self.tied_embeddings().is_empty()
    }

    /// Whether the configuration ties the head to the embedding.
    fn claims_tied_head(&self) -> bool;

    /// The bias of the head, a buffer that is not trained, `[1, vocabulary]`.
    fn head_bias(&self) -> Option<&'static str> {
        None
    }

    /// What precedes the names of all tensors but those of the head. Files of the model without a
    /// head lack it.
    fn prefix(&self) -> Option<&'static str>;

    /// Whether old files contain this tensor and nothing reads it.
    fn is_unused(&self, name: &str) -> bool;

    /// The values of a tensor that files may lack because training doesn't change it.
    fn untrained(&self, _name: &str) -> Option<Vec<f32>> {
        None
    }

    /// How random weights fill a tensor.
    fn filling(&self, name: &str) -> Filling;
}

/// The bias of a linear layer or norm, `[outputs]`, by the name of its weight.
pub fn bias_of(weight: &str) -> String {
    format!("{}.bias", weight.trim_end_matches(".weight"))
}
