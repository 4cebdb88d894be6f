//! The seam inside the engine: generation above it, the model's arithmetic below it.
//!
//! Token ids go in, best next tokens come out. What computes knows nothing of texts, limits or the end of
//! a row; what generates knows nothing of tensors, caches or devices.

use super::Error;
use super::lora::Adapter;
use super::roofline::Roofline;
use model::failure::Failure;
use stopwatch::Stopwatch;

/// The best next token of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// The lowest id of those with the highest logit.
    pub id: u32,
    /// Its logit. Not finite where the row's numbers have run away.
    pub logit: f32,
}

/// Computes rows of a T5, a token of each at a time. Holds the weights and the caches of the rows.
///
/// Rows are those that are still there, in the order in which they came. A row's figures don't depend
/// on the rows beside it.
pub trait Compute: Send {
    /// Starts a batch: forgets the one before it and runs the encoder over `prompts`, none of them empty,
    /// all ids below the vocabulary. At most `max_steps` steps will follow.
    ///
    /// # Errors
    /// A [`Failure`] of the whole batch, such as out of memory.
    fn encode(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure>;

    /// Whether rows may come while others are there.
    fn continuous_batching(&self) -> bool {
        false
    }

    /// As [`Compute::encode`], but the rows that are there stay, and the new ones follow them. Only where it
    /// [`continuous_batching`](Compute::continuous_batching) them.
    ///
    /// # Errors
    /// A [`Failure`] of the whole batch.
    fn admit(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        self.encode(prompts, max_steps)
    }

    /// Feeds `tokens`, one for each row, to the decoder and puts each row's best next token into `best`.
    ///
    /// # Errors
    /// A [`Failure`] of the whole batch.
    fn step(&mut self, tokens: &[u32], best: &mut Vec<Best>) -> Result<(), Failure>;

    /// As [`Compute::step`], but gives all logits, `[rows, vocabulary]`: for comparing implementations.
    ///
    /// # Errors
    /// A [`Failure`] of the whole batch.
    fn step_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Failure>;

    /// Lets go of all rows but those at the places `rows`, which ascend.
    ///
    /// # Errors
    /// A [`Failure`] of the whole batch.
    fn keep(&mut self, rows: &[usize]) -> Result<(), Failure>;

    /// Puts an adapter beside the weights in the place of the one before, or takes it away. The weights stay.
    /// Between batches only.
    ///
    /// # Errors
    /// Where the adapter's values can't be read, or there is no room for them. Then none is there.
    fn adapt(&mut self, adapter: Option<&Adapter>) -> Result<(), Error>;

    /// Which implementation this is, for reports.
    fn kernel(&self) -> String;

    /// Bytes of the weights as they are held, without an adapter beside them.
    fn weight_bytes(&self) -> u64;

    /// Bytes of the adapter beside the weights.
    fn adapter_bytes(&self) -> u64;

    /// Bytes that caches of keys and values held at most since the start.
    fn cache_bytes(&self) -> u64;

    /// What batches of prompts of these lengths cost at least, `steps` tokens in each row, and the limits of
    /// this machine, which are measured for it; null where nobody has worked it out.
    fn roofline(
        &self,
        _batches: &[Vec<usize>],
        _steps: usize,
        _stopwatch: &Stopwatch,
    ) -> Option<Roofline> {
        None
    }
}
