//! The seam of inference: a batch of requests goes in, rows with their times come out.
//!
//! The runner knows only this page. An engine tokenizes, computes and decodes to text, and reads the time
//! through the stopwatch that it is given. It knows nothing of shards, campaigns or the network.

pub mod scripted;
pub mod t5;

use crate::stopwatch::Stopwatch;
use proto::failure::Failure;
use proto::generation::Generation;
use proto::model::EngineFacts;
use proto::sample::Finish;

/// One dialogue to be summarized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Tells requests apart in errors; scripted engines play by it.
    pub sample_id: String,
    /// Goes into the prompt.
    pub dialogue: String,
    /// The reference summary, where generation stops at its length.
    pub reference: Option<String>,
}

/// One decoded row. Times are nanoseconds on the stopwatch's scale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Of the prompt, after cutting.
    pub input_tokens: u32,
    /// How many pieces the limit cut off.
    pub cut_tokens: u32,
    /// Without the decoder's start token; with `</s>` where it came.
    pub output_ids: Vec<u32>,
    /// Of these, beyond the tokenizer.
    pub unknown_tokens: u32,
    /// When its first token was known.
    pub first_token_ns: u64,
    /// When its text was known.
    pub end_ns: u64,
    /// How it ended.
    pub finish: Finish,
    /// Null where the model has no tokenizer.
    pub text: Option<String>,
}

/// What does inference.
pub trait Engine: Send {
    /// What was loaded.
    fn facts(&self) -> &EngineFacts;

    /// Decodes `batch` together and returns a row for each request, in its order. A request that can't be
    /// done is a failed row and leaves its neighbours alone.
    ///
    /// # Errors
    /// A [`Failure`] of the whole batch, such as out of memory.
    fn generate(
        &mut self,
        batch: &[Request],
        generation: &Generation,
        stopwatch: &Stopwatch,
    ) -> Result<Vec<Result<Row, Failure>>, Failure>;

    /// Bytes that caches of keys and values held at most since the engine was loaded.
    fn kv_cache_bytes(&self) -> u64 {
        0
    }
}
