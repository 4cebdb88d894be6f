//! One measured request, checked.

use crate::failure::Failure;
use crate::ids::{self, SampleId};
use crate::output_ids::{MAX_OUTPUT_IDS, OutputIds};
use serde::{Deserialize, Serialize};

/// The longest summary that is taken, in bytes. 512 tokens of 8 characters of 4 bytes fit.
pub const MAX_TEXT_BYTES: usize = 16 << 10;

/// How a row ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It ended itself.
    Eos,
    /// It reached its limit.
    Length,
}

impl Finish {
    /// Its word on the wire and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eos => "eos",
            Self::Length => "length",
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A summary.
    Ok(Finish),
    /// None, and why.
    Failed(Failure),
}

impl Outcome {
    /// Its word in the database and in files: `eos`, `length`, or the failure's kind.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ok(finish) => finish.as_str(),
            Self::Failed(failure) => failure.kind.as_str(),
        }
    }

    /// Whether there is a summary.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok(_))
    }
}

/// A request and its answer on the network, in nanoseconds. The agent's clock measured all but `server_ns`, which is
/// what the server says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// From the start of sending, connecting included, to the last byte of the answer.
    pub total_ns: u64,
    /// Names, TCP and TLS; null where a connection was there.
    pub connect_ns: Option<u64>,
    /// From the start of sending to the head of the answer; null where none came.
    pub first_byte_ns: Option<u64>,
    /// How long the server says that it took; null where it doesn't say, or claims more than `total_ns`.
    pub server_ns: Option<u64>,
}

impl Exchange {
    /// What the network and all before the server's own clock took: `total_ns` less `server_ns`.
    pub fn network_ns(&self) -> Option<u64> {
        self.server_ns.map(|server_ns| self.total_ns.saturating_sub(server_ns))
    }

    /// The same, without what can't be: no part is longer than the whole.
    #[must_use]
    pub fn plausible(self) -> Self {
        let within = |part: Option<u64>| part.filter(|part| *part <= self.total_ns);
        Self {
            total_ns: self.total_ns,
            connect_ns: within(self.connect_ns),
            first_byte_ns: within(self.first_byte_ns),
            server_ns: within(self.server_ns),
        }
    }
}

/// One measured request: one dialogue, one summary. Times are nanoseconds of the agent's monotonic clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Which dialogue.
    pub sample_id: SampleId,
    /// When it became available; in open loop, when it was meant to start.
    pub start_ns: u64,
    /// From `start_ns` to the first decoded token; null where no token came.
    pub ttft_ns: Option<u64>,
    /// From `start_ns` to its own last token decoded to text; of a failed request, until it failed.
    pub latency_ns: u64,
    /// Of the prompt, after cutting; null where nobody counted.
    pub input_tokens: Option<u32>,
    /// How many pieces the limit cut off.
    pub cut_tokens: u32,
    /// Decoded, `</s>` included; null where nobody counted.
    pub output_tokens: Option<u32>,
    /// Of these, beyond the tokenizer: they decode to nothing.
    pub unknown_tokens: u32,
    /// Of its reference, `</s>` included; null where none came with it or nobody could count.
    pub reference_tokens: Option<u32>,
    /// From the intended start until it stood in the queue; null in closed loop.
    pub schedule_delay_ns: Option<u64>,
    /// With an endpoint; null where the engine computed in the agent.
    pub exchange: Option<Exchange>,
    /// What became of it.
    pub outcome: Outcome,
    /// The summary; null where the model has no tokenizer or the request failed.
    pub text: Option<String>,
    /// Its tokens, as they were decoded; null where the agent didn't tell them.
    pub output_ids: Option<OutputIds>,
}

impl Sample {
    /// Checks what another program claims.
    ///
    /// # Errors
    /// [`Error::Times`], [`Error::Text`] or [`Error::OutputIds`].
    pub fn check(self) -> Result<Self, Error> {
        let Self { start_ns, ttft_ns, latency_ns, .. } = self;
        let is_within = |part: u64| part <= latency_ns;
        let is_ordered = ttft_ns.is_none_or(is_within)
            && self.exchange.is_none_or(|exchange| is_within(exchange.total_ns));
        // The end fits an i64 column.
        let is_in_range =
            start_ns.checked_add(latency_ns).is_some_and(|end| i64::try_from(end).is_ok());
        if !is_ordered || !is_in_range {
            return Err(Error::Times { id: self.sample_id, start_ns, ttft_ns, latency_ns });
        }
        if let Some(text) = self.text.as_ref().filter(|text| text.len() > MAX_TEXT_BYTES) {
            return Err(Error::Text { id: self.sample_id, bytes: text.len() });
        }
        if let Some(ids) = self.output_ids.as_ref().map(OutputIds::len) {
            let tokens = self.output_tokens.unwrap_or_default();
            if ids > MAX_OUTPUT_IDS || u32::try_from(ids) != Ok(tokens) {
                return Err(Error::OutputIds { id: self.sample_id, ids, tokens });
            }
        }
        Ok(self)
    }
}

/// A sample that can't be true.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Its id can't be taken.
    #[error(transparent)]
    Id(#[from] ids::Error),
    /// The first token after the last one, or an end past the end of time.
    #[error(
        "sample {id}: times don't add up (start {start_ns}, ttft {ttft_ns:?}, latency {latency_ns} ns)"
    )]
    Times {
        /// Which sample.
        id: SampleId,
        /// As claimed.
        start_ns: u64,
        /// As claimed.
        ttft_ns: Option<u64>,
        /// As claimed.
        latency_ns: u64,
    },
    /// Neither `eos` nor `length`.
    #[error("sample {id}: unknown finish \"{finish}\"")]
    Finish {
        /// Which sample.
        id: SampleId,
        /// As claimed.
        finish: String,
    },
    /// Longer than [`MAX_TEXT_BYTES`].
    #[error("sample {id}: a text of {bytes} bytes, at most {MAX_TEXT_BYTES} are taken")]
    Text {
        /// Which sample.
        id: SampleId,
        /// How long it is.
        bytes: usize,
    },
    /// More or fewer ids than decoded tokens, or more than [`MAX_OUTPUT_IDS`].
    #[error(
        "sample {id}: {ids} output ids for {tokens} tokens: as many are taken, up to {MAX_OUTPUT_IDS}"
    )]
    OutputIds {
        /// Which sample.
        id: SampleId,
        /// How many came.
        ids: usize,
        /// As claimed.
        tokens: u32,
    },
}
