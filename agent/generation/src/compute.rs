//! The interface between generation and the model's arithmetic.
//!
//! Token ids in, next tokens out. Implementations do not know texts, limits or stop rules;
//! generation does not know tensors, caches or devices.

use super::roofline::Roofline;
use checkpoint::lora::Adapter;
use model::failure::Failure;
use stopwatch::Stopwatch;

/// A model could not be loaded on its device, or an adapter not be set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error(transparent)]
    Device(Box<dyn std::error::Error + Send + Sync>),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NextToken {
    /// The lowest id with the highest logit.
    pub id: u32,
    /// Not finite if the row's activations overflowed.
    pub logit: f32,
}

impl NextToken {
    /// The argmax of one row of logits. A NaN is the highest.
    pub fn of(logits: &[f32]) -> Self {
        let mut best = Self { id: 0, logit: f32::NEG_INFINITY };
        for (id, logit) in (0..).zip(logits) {
            if *logit > best.logit || logit.is_nan() {
                best = Self { id, logit: *logit };
                if logit.is_nan() {
                    break;
                }
            }
        }
        best
    }
}

/// A step that gives the logits of some tokens.
#[derive(Debug, Clone, Copy)]
pub struct ScoredStep<'a> {
    /// Row by row.
    pub tokens: &'a [u32],
    /// How many of them each row has: one, or with [`Compute::verifies_drafts`] at least one.
    pub lengths: &'a [usize],
    /// The ascending indices of the tokens whose logits are wanted instead of the next token.
    pub scored: &'a [usize],
}

/// Computes rows of a model, one token at a time. Owns the weights and the rows' caches.
///
/// Methods refer to the active rows in the order in which they were added. A row's results do not
/// depend on the other rows. A [`Failure`] concerns the whole batch.
pub trait Compute: Send {
    /// Starts a new batch by computing `prompts`: not empty, all ids below the vocabulary. At most
    /// `max_steps` steps follow.
    fn encode(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure>;

    /// Whether the first token of a row's steps is the last one of its prompt, whose output continues
    /// it. Otherwise it is the decoder's start token.
    fn continues_prompts(&self) -> bool {
        false
    }

    /// Whether rows can join a running batch.
    fn continuous_batching(&self) -> bool {
        false
    }

    /// Like [`Compute::encode`], but appends to the active rows. Requires continuous batching.
    fn add(&mut self, prompts: &[&[u32]], max_steps: usize) -> Result<(), Failure> {
        self.encode(prompts, max_steps)
    }

    /// Feeds one token per row to the decoder and writes each row's next token to `best`.
    fn step(&mut self, tokens: &[u32], best: &mut Vec<NextToken>) -> Result<(), Failure>;

    /// All logits of a step, `[rows, vocabulary]`.
    fn step_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Failure>;

    /// Like [`Compute::step`], but writes the logits of the scored tokens, `[scored, vocabulary]`, and
    /// what follows the other tokens only.
    fn step_scored(
        &mut self,
        step: &ScoredStep<'_>,
        best: &mut Vec<NextToken>,
        logits: &mut Vec<f32>,
    ) -> Result<(), Failure> {
        best.clear();
        logits.clear();
        let all = self.step_logits(step.tokens)?;
        let vocabulary = all.len() / step.tokens.len();
        for (row, of_row) in all.chunks_exact(vocabulary).enumerate() {
            if step.scored.binary_search(&row).is_ok() {
                logits.extend_from_slice(of_row);
            } else {
                best.push(NextToken::of(of_row));
            }
        }
        Ok(())
    }

    /// Whether several tokens of a row can be computed in one step, with the results of single
    /// steps, and forgotten again.
    fn verifies_drafts(&self) -> bool {
        false
    }

    /// Drops the last `tokens[i]` tokens that row `i` was fed. Requires
    /// [`Compute::verifies_drafts`].
    fn forget(&mut self, _tokens: &[usize]) -> Result<(), Failure> {
        unreachable!("no drafts for a model that can't verify them")
    }

    /// Keeps only the rows at these ascending indices.
    fn retain(&mut self, rows: &[usize]) -> Result<(), Failure>;

    /// Row `i` continues the old row `rows[i]`, which can be named several times or not at all.
    /// Rows of one prompt keep a single copy of what was computed from it, where the implementation
    /// can share it.
    fn reorder(&mut self, rows: &[usize]) -> Result<(), Failure>;

    /// Replaces or removes the unmerged adapter, between batches only. An error leaves none.
    fn adapt(&mut self, adapter: Option<&Adapter>) -> Result<(), Error>;

    fn kernel(&self) -> String;

    /// Bytes of the weights in memory, without an unmerged adapter.
    fn weight_bytes(&self) -> u64;

    fn adapter_bytes(&self) -> u64;

    /// Peak bytes of the key-value caches.
    fn cache_bytes(&self) -> u64;

    /// The roofline of batches of prompts with these lengths and `steps` tokens per row, against
    /// the measured limits of this machine. `None` if not supported.
    fn roofline(
        &self,
        _batches: &[Vec<usize>],
        _steps: usize,
        _stopwatch: &Stopwatch,
    ) -> Option<Roofline> {
        None
    }
}
