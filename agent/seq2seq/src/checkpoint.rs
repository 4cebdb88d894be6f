//! A configuration and the tensors that fit it.

use crate::config::{Biases, Config, Stack};
use crate::layout::Projection;
use checkpoint::{Error, Tensors, bias_of, lora};
use engine::files::{self, Weights};
use layers::QueryScale;

#[derive(Debug)]
pub struct Checkpoint {
    pub config: Config,
    pub tensors: Tensors,
}

/// Tensors that are stacked for one product.
pub(crate) struct Stacked {
    pub(crate) inputs: usize,
    /// `[outputs, inputs]`.
    pub(crate) values: Vec<f32>,
    /// One for each output, if the family has biases.
    pub(crate) bias: Option<Vec<f32>>,
}

impl Checkpoint {
    /// Checks names and shapes of all tensors without reading values.
    pub fn open(config: &Config, weights: Weights) -> Result<Self, Error> {
        let tensors = Tensors::open(Box::new(config.clone()), weights)?;
        Ok(Self { config: config.clone(), tensors })
    }

    /// Merges an adapter into the weights of `model` as tensors are read.
    pub fn adapt(mut self, files: files::Adapter, model: &str) -> Result<Self, lora::Error> {
        self.tensors.adapt(files, model)?;
        Ok(self)
    }

    /// The tensor that serves as a stack's embedding: its own, or the shared one.
    pub fn embedding(&self, stack: Stack) -> &'static str {
        let family = self.config.family;
        let own = family.embedding(stack);
        if self.tensors.has(own) { own } else { family.shared() }
    }

    /// The scale of queries, if these projections begin with them and the family scales them.
    pub(crate) fn query_scale(
        &self,
        stack: Stack,
        projections: &[Projection],
    ) -> Option<QueryScale> {
        let factor = self.config.query_scale(stack);
        let has_queries = projections.contains(&Projection::Query) && factor < 1.0;
        has_queries.then_some(QueryScale { rows: self.config.stack(stack).inner(), factor })
    }

    /// Reads tensors for one product. `queries`: if the first of them are queries.
    pub(crate) fn stacked(
        &self,
        names: &[String],
        queries: Option<QueryScale>,
    ) -> Result<Stacked, Error> {
        let inputs = self.tensors.inputs(&names[0]);
        let mut values = self.tensors.stacked(names)?;
        let mut bias = match self.config.biases {
            Biases::None => None,
            Biases::All => {
                let names: Vec<String> = names.iter().map(|name| bias_of(name)).collect();
                Some(self.tensors.stacked(&names)?)
            }
        };
        if let Some(queries) = queries {
            queries.apply(&mut values, inputs);
            bias.iter_mut().for_each(|bias| queries.apply(bias, 1));
        }
        Ok(Stacked { inputs, values, bias })
    }
}
