//! A measured request.

use crate::chunk_gaps::{ChunkGaps, MAX_CHUNKS};
use crate::failure::Kind;
use crate::output_ids::{MAX_OUTPUT_IDS, OutputIds};
use crate::words;
use crate::words::Unknown;
use std::str::FromStr;

/// The longest accepted summary: 512 tokens of 8 four-byte characters fit.
pub const MAX_TEXT_BYTES: usize = 16 << 10;

words!(
    Finish, "finish", {
        /// At `</s>`.
        Eos = "eos",
        /// At its length limit.
        Length = "length",
    }
);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    Ok(Finish),
    Failed(Kind),
}

impl Outcome {
    /// `eos`, `length` or the kind of the failure: the form in the database and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok(finish) => finish.as_str(),
            Self::Failed(kind) => kind.as_str(),
        }
    }

    pub fn is_ok(self) -> bool {
        matches!(self, Self::Ok(_))
    }
}

impl FromStr for Outcome {
    type Err = Unknown;

    /// The inverse of [`Outcome::as_str`].
    fn from_str(word: &str) -> Result<Self, Unknown> {
        word.parse().map(Self::Ok).or_else(|_| word.parse().map(Self::Failed))
    }
}

/// Tokens that were guessed from the prompt and the tokens before them, and checked by the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drafts {
    pub drafted: u32,
    /// Those of them that the model would have generated itself.
    pub accepted: u32,
}

impl Drafts {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            drafted: self.drafted.saturating_add(other.drafted),
            accepted: self.accepted.saturating_add(other.accepted),
        }
    }
}

/// Timing of an HTTP request in nanoseconds. `server_ns` is the server's own claim; the agent's
/// clock measured the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpTiming {
    /// From the start of sending, connecting included, to the last byte of the response.
    pub total_ns: u64,
    /// DNS, TCP and TLS; null if a connection was reused.
    pub connect_ns: Option<u64>,
    /// From the start of sending to the response's headers; null without a response.
    pub first_byte_ns: Option<u64>,
    /// Null if the server reports none, or more than `total_ns`.
    pub server_ns: Option<u64>,
    /// Whether the server closed a kept connection before any byte of an answer, so that the
    /// request went to a new one.
    pub is_reconnected: bool,
}

impl HttpTiming {
    /// `total_ns` less `server_ns`: the network and the queues in front of the server's clock.
    pub fn network_ns(&self) -> Option<u64> {
        self.server_ns.map(|server_ns| self.total_ns.saturating_sub(server_ns))
    }

    /// Drops parts that are longer than the whole.
    #[must_use]
    pub fn plausible(self) -> Self {
        let within = |part: Option<u64>| part.filter(|part| *part <= self.total_ns);
        Self {
            total_ns: self.total_ns,
            connect_ns: within(self.connect_ns),
            first_byte_ns: within(self.first_byte_ns),
            server_ns: within(self.server_ns),
            is_reconnected: self.is_reconnected,
        }
    }
}

/// Identifies a sample within its campaign, and says which part of the work brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleKey {
    /// Index of the cell in the plan.
    pub cell: u32,
    /// From 1; a repeat of the cell.
    pub run: u32,
    /// Index of the dialogue among the measured ones.
    pub sample: u32,
    /// From 1 in its run; an unbroken stretch on one agent.
    pub segment: u32,
    /// The attempt at a shard.
    pub attempt: u64,
    /// Index of the agent in the campaign.
    pub agent: u32,
    /// Index of the batch in its run.
    pub batch: u32,
}

/// A measured request: one dialogue, one summary. Times are nanoseconds of the agent's monotonic
/// clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// When the request became available; in open loop, its scheduled arrival.
    pub start_ns: u64,
    /// Time to first token, from `start_ns`; null if no token was decoded.
    pub ttft_ns: Option<u64>,
    /// From `start_ns` to the last token decoded to text, or to the failure.
    pub latency_ns: u64,
    /// Of the prompt after truncation; null if not counted.
    pub input_tokens: Option<u32>,
    /// Tokens removed by truncation.
    pub cut_tokens: u32,
    /// Decoded tokens, `</s>` included; null if not counted.
    pub output_tokens: Option<u32>,
    /// Output tokens outside the tokenizer's vocabulary, which decode to nothing.
    pub unknown_tokens: u32,
    /// Of the reference summary, `</s>` included; null without a reference or a tokenizer.
    pub reference_tokens: Option<u32>,
    /// From the scheduled arrival to entering the queue; null in closed loop.
    pub schedule_delay_ns: Option<u64>,
    /// Null unless the model is an HTTP endpoint.
    pub http: Option<HttpTiming>,
    /// When the text arrived; null unless the response was a stream.
    pub chunk_gaps: Option<ChunkGaps>,
    /// Null if no tokens were drafted.
    pub drafts: Option<Drafts>,
    pub outcome: Outcome,
    /// Of a failed request, for people.
    pub failure_detail: Option<String>,
    /// The summary; null if the model has no tokenizer or the request failed.
    pub text: Option<String>,
    /// The decoded tokens; null if the engine doesn't report them.
    pub output_ids: Option<OutputIds>,
}

impl Sample {
    /// A request that ended without tokens; `latency_ns` is the time until the failure.
    pub fn failed(start_ns: u64, latency_ns: u64, kind: Kind, detail: String) -> Self {
        Self {
            start_ns,
            ttft_ns: None,
            latency_ns,
            input_tokens: None,
            cut_tokens: 0,
            output_tokens: None,
            unknown_tokens: 0,
            reference_tokens: None,
            schedule_delay_ns: None,
            http: None,
            chunk_gaps: None,
            drafts: None,
            outcome: Outcome::Failed(kind),
            failure_detail: Some(detail),
            text: None,
            output_ids: None,
        }
    }

    /// Checks what another program claims.
    pub fn check(self) -> Result<Self, Error> {
        let Self { start_ns, ttft_ns, latency_ns, .. } = self;
        let is_within = |part: u64| part <= latency_ns;
        let is_ordered =
            ttft_ns.is_none_or(is_within) && self.http.is_none_or(|http| is_within(http.total_ns));
        // The end fits an i64 column, and so does what isn't bounded by it.
        let fits = |ns: u64| i64::try_from(ns).is_ok();
        let is_in_range = start_ns.checked_add(latency_ns).is_some_and(fits)
            && self.schedule_delay_ns.is_none_or(fits);
        if !is_ordered || !is_in_range {
            return Err(Error::Times { start_ns, ttft_ns, latency_ns });
        }
        if let Some(gaps) = &self.chunk_gaps {
            let after_first_ns = ttft_ns.and_then(|ttft_ns| latency_ns.checked_sub(ttft_ns));
            // Both ends are rounded to a microsecond.
            let is_within = |ns: u64| gaps.sum_us() <= ns / 1_000 + 1;
            if gaps.chunks() > MAX_CHUNKS || !after_first_ns.is_some_and(is_within) {
                return Err(Error::ChunkGaps { chunks: gaps.chunks() });
            }
        }
        if let Some(Drafts { drafted, accepted }) = self.drafts
            && (accepted > drafted || accepted > self.output_tokens.unwrap_or_default())
        {
            return Err(Error::Drafts { drafted, accepted });
        }
        if let Some(text) = self.text.as_ref().filter(|text| text.len() > MAX_TEXT_BYTES) {
            return Err(Error::Text { bytes: text.len() });
        }
        if let Some(ids) = self.output_ids.as_ref().map(OutputIds::len) {
            let tokens = self.output_tokens.unwrap_or_default();
            if ids > MAX_OUTPUT_IDS || u32::try_from(ids) != Ok(tokens) {
                return Err(Error::OutputIds { ids, tokens });
            }
        }
        Ok(self)
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("inconsistent drafts ({accepted} of {drafted} tokens accepted)")]
    Drafts { drafted: u32, accepted: u32 },
    #[error("inconsistent times (start {start_ns}, ttft {ttft_ns:?}, latency {latency_ns} ns)")]
    Times { start_ns: u64, ttft_ns: Option<u64>, latency_ns: u64 },
    #[error("{chunks} chunks, expected at most {MAX_CHUNKS} from its first token to its end")]
    ChunkGaps { chunks: usize },
    #[error("its text has {bytes} bytes, the limit is {MAX_TEXT_BYTES}")]
    Text { bytes: usize },
    #[error("{ids} output ids for {tokens} tokens, expected as many and at most {MAX_OUTPUT_IDS}")]
    OutputIds { ids: usize, tokens: u32 },
}
