//! T5 on candle's tensors: the implementation that runs on every device candle knows.
//!
//! Formulas follow transformers 5.23, `modeling_t5.py`. No gradient is recorded: no tensor here is a variable.

mod decoder;
mod encoder;
mod layers;

use super::checkpoint::{self, Checkpoint, SHARED};
use super::compute::{Best, Compute};
use candle_core::{D, Device, Tensor};
use decoder::{Decoder, State};
use encoder::Encoder;
use layers::{Linear, Loader};
use proto::failure::{Failure, Kind, Retry};

/// What computes, for reports.
pub const KERNEL: &str = "candle f32";

/// A T5 on one device, f32.
#[derive(Debug)]
pub struct CandleT5 {
    device: Device,
    /// `[vocabulary, d_model]`.
    embedding: Tensor,
    encoder: Encoder,
    decoder: Decoder,
    head: Linear,
    head_scale: f32,
    state: Option<State>,
    weight_bytes: u64,
    cache_bytes: u64,
}

/// A model that can't be put on the device.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The weights can't be used.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// The device has no room, or can't.
    #[error("the device can't hold the model")]
    Device(#[from] candle_core::Error),
}

impl CandleT5 {
    /// Puts the model on `device`.
    ///
    /// # Errors
    /// Where weights are broken or the device can't hold them.
    pub fn load(checkpoint: &Checkpoint, device: Device) -> Result<Self, Error> {
        let config = checkpoint.config();
        let loader = Loader { checkpoint, device: &device };
        let shape = (config.vocabulary, config.d_model);
        let embedding = Tensor::from_vec(checkpoint.tensor(SHARED)?, shape, &device)?;
        let head = if checkpoint.head() == SHARED {
            Linear::over(embedding.clone())
        } else {
            loader.linear(&[checkpoint.head().to_owned()], config.d_model)?
        };
        Ok(Self {
            encoder: Encoder::load(&loader)?,
            decoder: Decoder::load(&loader)?,
            embedding,
            head,
            head_scale: config.head_scale,
            state: None,
            weight_bytes: 4 * checkpoint.parameters(),
            cache_bytes: 0,
            device,
        })
    }

    fn begin(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), candle_core::Error> {
        // The caches of the batch before make room first.
        self.state = None;
        let lengths: Vec<usize> = prompts.iter().map(|ids| ids.len()).collect();
        let embedded = self.embed(&prompts.concat())?;
        let encoded = self.encoder.forward(embedded, &lengths)?;
        self.state = Some(self.decoder.begin(&encoded, &lengths, max_steps)?);
        Ok(())
    }

    fn embed(&self, ids: &[u32]) -> Result<Tensor, candle_core::Error> {
        self.embedding.index_select(&Tensor::new(ids, &self.device)?, 0)
    }

    /// `[rows, vocabulary]`.
    fn next_logits(&mut self, tokens: &[u32]) -> Result<Tensor, candle_core::Error> {
        let embedded = self.embed(tokens)?;
        let state = self.state.as_mut().expect("encode comes before step");
        let mut x = self.decoder.step(state, embedded)?;
        self.cache_bytes = self.cache_bytes.max(state.cache_bytes());
        if self.head_scale < 1.0 {
            x = (x * f64::from(self.head_scale))?;
        }
        self.head.forward(&x)
    }

    fn next_best(&mut self, tokens: &[u32]) -> Result<Vec<Best>, candle_core::Error> {
        let logits = self.next_logits(tokens)?;
        let ids = logits.argmax(D::Minus1)?;
        let best = logits.gather(&ids.unsqueeze(1)?, 1)?.flatten_all()?.to_vec1::<f32>()?;
        let ids = ids.to_vec1::<u32>()?;
        Ok(ids.into_iter().zip(best).map(|(id, logit)| Best { id, logit }).collect())
    }
}

impl Compute for CandleT5 {
    fn encode(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        self.begin(prompts, max_steps).map_err(|error| failure(&error))
    }

    fn step(&mut self, tokens: &[u32], best: &mut Vec<Best>) -> Result<(), Failure> {
        *best = self.next_best(tokens).map_err(|error| failure(&error))?;
        Ok(())
    }

    fn step_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Failure> {
        self.next_logits(tokens)
            .and_then(|logits| logits.flatten_all()?.to_vec1())
            .map_err(|error| failure(&error))
    }

    fn keep(&mut self, rows: &[usize]) -> Result<(), Failure> {
        let state = self.state.as_mut().expect("encode comes before keep");
        let rows: Vec<u32> =
            rows.iter().map(|row| u32::try_from(*row).expect("a batch has fewer rows")).collect();
        Tensor::new(rows, &self.device)
            .and_then(|rows| state.keep(&rows))
            .map_err(|error| failure(&error))
    }

    fn kernel(&self) -> String {
        KERNEL.to_owned()
    }

    fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    fn cache_bytes(&self) -> u64 {
        self.cache_bytes
    }
}

/// What candle says at run time is about the device: another agent may do it.
fn failure(error: &candle_core::Error) -> Failure {
    let detail = error.to_string();
    let kind = if detail.contains("OUT_OF_MEMORY") { Kind::OutOfMemory } else { Kind::Internal };
    Failure { retry: Retry::OtherAgent, kind, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_logits_the_lowest_id_is_the_best() {
        let logits = Tensor::new(&[[1f32, 3.0, 3.0], [2.0, 2.0, 2.0]], &Device::Cpu).unwrap();
        assert_eq!(logits.argmax(D::Minus1).unwrap().to_vec1::<u32>().unwrap(), [1, 0]);
    }
}
