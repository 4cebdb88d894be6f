//! The interface of inference: a batch of requests goes in, rows with their times come out.
//!
//! Everything that measures knows only this crate. An engine tokenizes, computes and decodes to
//! text, and reads time from the stopwatch it is given. It does not know shards, campaigns or the
//! controller.

pub mod files;
pub mod scripted;

use model::chunk_gaps::ChunkGaps;
use model::engine::{EngineFacts, EngineSpec};
use model::failure::{Failure, Kind, Retry};
use model::generation::{Generation, fill};
use model::sample::{Drafts, Finish, HttpTiming};
use model::words;
use ops::error_chain::one_line;
use std::error::Error;
use std::sync::Arc;
use stopwatch::Stopwatch;

words!(
    /// Who says a turn of a chat.
    Role, "role", {
        System = "system",
        User = "user",
        Assistant = "assistant",
    }
);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    pub role: Role,
    pub content: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Identifies the request in errors. Scripted engines look up its behavior by it.
    pub sample_id: String,
    /// The text that the prompt holds; the last turn of a chat.
    pub dialogue: String,
    /// The turns of a chat before the dialogue.
    pub earlier: Vec<Turn>,
    /// The reference summary, if generation stops at its length.
    pub reference: Option<String>,
}

/// The prompt of a model that has no turns: the texts of a chat follow each other, one per line, the
/// last one filled into `instruction`.
pub fn plain_prompt(instruction: &str, earlier: &[Turn], dialogue: &str) -> String {
    let mut prompt: String =
        earlier.iter().flat_map(|turn| [turn.content.as_str(), "\n"]).collect();
    prompt += &fill(instruction, dialogue);
    prompt
}

/// One decoded row. Times are nanoseconds on the stopwatch passed to the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Prompt tokens after truncation. `None` if unknown.
    pub input_tokens: Option<u32>,
    /// Prompt tokens removed by truncation.
    pub cut_tokens: u32,
    /// Without the decoder's start token, including a final `</s>`. Empty for endpoints, which
    /// return text only.
    pub output_ids: Vec<u32>,
    /// Generated tokens, including `</s>`. `None` if unknown.
    pub output_tokens: Option<u32>,
    /// Generated tokens that are not in the tokenizer's vocabulary.
    pub unknown_tokens: u32,
    /// Time of the first token. `None` if there was none, or if all tokens arrived at once.
    pub first_token_ns: Option<u64>,
    /// Time at which the text was complete.
    pub end_ns: u64,
    pub finish: Finish,
    /// `None` if the model has no tokenizer.
    pub text: Option<String>,
    /// Set for endpoints only.
    pub http: Option<HttpTiming>,
    /// When the text arrived. Set for streamed responses of endpoints only.
    pub chunk_gaps: Option<ChunkGaps>,
    /// `None` if no tokens were drafted.
    pub drafts: Option<Drafts>,
}

impl Row {
    /// When the request was sent, or the connection that it waited for was opened. `None` but for endpoints.
    pub fn start_ns(&self) -> Option<u64> {
        self.http.map(|http| self.end_ns.saturating_sub(http.total_ns))
    }
}

/// Converts a token count, saturating at `u32::MAX`.
pub fn count(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// A failure to load an engine. Another agent may succeed: it has other files and other memory.
pub fn load_failure(error: &(dyn Error + 'static)) -> Failure {
    Failure { retry: Retry::OtherAgent, kind: Kind::Model, detail: one_line(error) }
}

/// Feeds requests to [`Engine::serve`] and receives their rows.
pub trait Intake {
    /// Returns the requests that enter the batch now. Blocks for at least one if no request is
    /// being decoded. Requests are numbered from 0 in the order in which they enter. An empty list
    /// while none is being decoded ends [`Engine::serve`].
    fn enter(&mut self) -> Vec<Request>;

    /// Called exactly once for every request that entered, unless it or the load is cancelled.
    fn ended(&mut self, number: usize, row: Result<Row, Failure>);

    /// The numbers of requests that nobody waits for any more, each once. Called before every
    /// token: their rows leave the batch, and don't end. Engines that decode a batch as a whole
    /// don't ask.
    fn take_cancelled(&mut self) -> Vec<usize> {
        Vec::new()
    }

    /// Whether the text of a request is wanted while it is decoded.
    fn wants_text(&self, _number: usize) -> bool {
        false
    }

    /// The next piece of a wanted text. Engines that can't tell it give the whole text at the end
    /// only, with the row.
    fn text(&mut self, _number: usize, _piece: &str) {}

    /// Has `wake` called, by any thread, whenever [`Intake::poll`] may have more.
    fn wake_with(&mut self, _wake: Arc<dyn Fn() + Send + Sync>) {}

    /// The same as [`Intake::enter`] for engines that wait for requests and responses at the same
    /// time: it never blocks.
    fn poll(&mut self) -> Entry {
        let requests = self.enter();
        if requests.is_empty() { Entry::Over } else { Entry::Requests(requests) }
    }
}

/// What [`Intake::poll`] returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The requests that enter now, if any.
    Requests(Vec<Request>),
    /// No more will come unless others end.
    Over,
    /// Nobody waits for the requests in flight any more.
    Cancelled,
}

pub trait Engine: Send {
    fn facts(&self) -> &EngineFacts;

    /// Decodes `batch` into one row per request, in order. An `Err` row does not affect the others;
    /// an error fails the whole batch.
    fn generate(
        &mut self,
        batch: &[Request],
        generation: &Generation,
        stopwatch: &Stopwatch,
    ) -> Result<Vec<Result<Row, Failure>>, Failure>;

    /// Decodes requests until `intake` has no more. Engines whose [`EngineFacts`] report continuous
    /// batching add requests to the running batch; others collect the waiting requests into the
    /// next batch. The tokens of a request are the same either way. An error fails all active
    /// requests.
    fn serve(
        &mut self,
        intake: &mut dyn Intake,
        generation: &Generation,
        stopwatch: &Stopwatch,
    ) -> Result<(), Failure> {
        let mut entered = 0;
        loop {
            let batch = intake.enter();
            if batch.is_empty() {
                return Ok(());
            }
            for row in self.generate(&batch, generation, stopwatch)? {
                intake.ended(entered, row);
                entered += 1;
            }
        }
    }

    /// Tokens of `text` as a summary, or `None` if the engine cannot count them. Never called while
    /// time is measured.
    fn count_tokens(&self, _text: &str) -> Option<u32> {
        None
    }

    /// Peak bytes of the key-value caches since the engine was loaded.
    fn kv_cache_bytes(&self) -> u64 {
        0
    }

    fn adapter_bytes(&self) -> u64 {
        0
    }

    /// Switches to `spec` if that only requires exchanging an unmerged adapter. Returns `false` and
    /// does nothing if `spec` needs other weights. An error leaves the engine without an adapter.
    fn switch(&mut self, _spec: &EngineSpec) -> Result<bool, Failure> {
        Ok(false)
    }
}
