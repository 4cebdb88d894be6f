//! One measured request, checked.

use crate::failure::Failure;
use crate::ids::{self, SampleId};
use crate::output_ids::{MAX_OUTPUT_IDS, OutputIds};
use crate::wire;
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

impl From<wire::Exchange> for Exchange {
    fn from(wire: wire::Exchange) -> Self {
        let wire::Exchange { total_ns, connect_ns, first_byte_ns, server_ns } = wire;
        Self { total_ns, connect_ns, first_byte_ns, server_ns }.plausible()
    }
}

impl From<Exchange> for wire::Exchange {
    fn from(exchange: Exchange) -> Self {
        let Exchange { total_ns, connect_ns, first_byte_ns, server_ns } = exchange;
        Self { total_ns, connect_ns, first_byte_ns, server_ns }
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

impl TryFrom<wire::Sample> for Sample {
    type Error = Error;

    fn try_from(wire: wire::Sample) -> Result<Self, Error> {
        let id = SampleId::try_from(wire.sample_id)?;
        let is_within = |part: u64| part <= wire.latency_ns;
        let ordered = wire.ttft_ns.is_none_or(is_within)
            && wire.exchange.is_none_or(|exchange| is_within(exchange.total_ns));
        // Half the range, so that sums of times in i64 columns can't overflow.
        let in_range = wire
            .start_ns
            .checked_add(wire.latency_ns)
            .is_some_and(|end| end <= u64::try_from(i64::MAX).unwrap_or(u64::MAX));
        if !ordered || !in_range {
            return Err(Error::Times {
                id,
                start_ns: wire.start_ns,
                ttft_ns: wire.ttft_ns,
                latency_ns: wire.latency_ns,
            });
        }
        if let Some(text) = wire.text.as_ref().filter(|text| text.len() > MAX_TEXT_BYTES) {
            return Err(Error::Text { id, bytes: text.len() });
        }
        let (ids, tokens) = (wire.output_ids.len(), wire.output_tokens);
        let is_told = ids > 0;
        if is_told && (ids > MAX_OUTPUT_IDS || u32::try_from(ids) != Ok(tokens)) {
            return Err(Error::OutputIds { id, ids, tokens });
        }
        let outcome = match (wire.failure, wire.finish.as_str()) {
            (Some(failure), _) => Outcome::Failed(failure.into()),
            (None, "eos") => Outcome::Ok(Finish::Eos),
            (None, "length") => Outcome::Ok(Finish::Length),
            (None, _) => return Err(Error::Finish { id, finish: wire.finish }),
        };
        Ok(Self {
            sample_id: id,
            start_ns: wire.start_ns,
            ttft_ns: wire.ttft_ns,
            latency_ns: wire.latency_ns,
            input_tokens: (!wire.is_input_uncounted).then_some(wire.input_tokens),
            cut_tokens: wire.cut_tokens,
            output_tokens: (!wire.is_output_uncounted).then_some(wire.output_tokens),
            unknown_tokens: wire.unknown_tokens,
            reference_tokens: wire.reference_tokens,
            schedule_delay_ns: wire.schedule_delay_ns,
            exchange: wire.exchange.map(Exchange::from),
            outcome,
            text: wire.text,
            output_ids: is_told.then(|| OutputIds::pack(&wire.output_ids)),
        })
    }
}

impl From<Sample> for wire::Sample {
    fn from(sample: Sample) -> Self {
        let (finish, failure) = match sample.outcome {
            Outcome::Ok(finish) => (finish.as_str().to_owned(), None),
            Outcome::Failed(failure) => (String::new(), Some(failure.into())),
        };
        Self {
            sample_id: sample.sample_id.into(),
            start_ns: sample.start_ns,
            ttft_ns: sample.ttft_ns,
            latency_ns: sample.latency_ns,
            input_tokens: sample.input_tokens.unwrap_or_default(),
            is_input_uncounted: sample.input_tokens.is_none(),
            cut_tokens: sample.cut_tokens,
            output_tokens: sample.output_tokens.unwrap_or_default(),
            is_output_uncounted: sample.output_tokens.is_none(),
            unknown_tokens: sample.unknown_tokens,
            reference_tokens: sample.reference_tokens,
            schedule_delay_ns: sample.schedule_delay_ns,
            exchange: sample.exchange.map(Into::into),
            finish,
            failure,
            text: sample.text,
            output_ids: sample.output_ids.map(Vec::from).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn honest() -> Sample {
        Sample {
            sample_id: "s1".try_into().unwrap(),
            start_ns: 10,
            ttft_ns: Some(5),
            latency_ns: 9,
            input_tokens: Some(3),
            cut_tokens: 0,
            output_tokens: Some(2),
            unknown_tokens: 0,
            reference_tokens: Some(4),
            schedule_delay_ns: Some(1),
            exchange: None,
            outcome: Outcome::Ok(Finish::Eos),
            text: Some("so".to_owned()),
            output_ids: Some(OutputIds::pack(&[300, 1])),
        }
    }

    #[test]
    fn a_sample_survives_the_wire() {
        assert_eq!(Sample::try_from(wire::Sample::from(honest())).unwrap(), honest());
    }

    #[test]
    fn what_nobody_counted_survives_the_wire_as_null() {
        let exchange =
            Exchange { total_ns: 8, connect_ns: None, first_byte_ns: Some(7), server_ns: Some(5) };
        let sample = Sample {
            input_tokens: None,
            output_tokens: None,
            exchange: Some(exchange),
            output_ids: None,
            ..honest()
        };
        assert_eq!(Sample::try_from(wire::Sample::from(sample.clone())).unwrap(), sample);
        assert_eq!(exchange.network_ns(), Some(3));
    }

    #[test]
    fn a_server_that_claims_more_than_passed_is_not_believed() {
        let claimed = wire::Exchange { total_ns: 8, server_ns: Some(9), ..Default::default() };
        assert_eq!(Exchange::from(claimed).network_ns(), None);
        let longer = wire::Exchange { total_ns: 10, ..Default::default() };
        let wire = wire::Sample { exchange: Some(longer), ..honest().into() };
        assert!(matches!(Sample::try_from(wire), Err(Error::Times { .. })));
    }

    #[test]
    fn a_first_token_after_the_last_is_refused() {
        let wire = wire::Sample { ttft_ns: Some(10), ..honest().into() };
        assert!(matches!(Sample::try_from(wire), Err(Error::Times { .. })));
    }

    #[test]
    fn times_past_the_end_of_time_are_refused() {
        let wire = wire::Sample { start_ns: u64::MAX, ..honest().into() };
        assert!(matches!(Sample::try_from(wire), Err(Error::Times { .. })));
    }

    #[test]
    fn ids_are_told_whole_or_not_at_all() {
        let with = |output_ids| Sample::try_from(wire::Sample { output_ids, ..honest().into() });
        assert_eq!(with(Vec::new()).unwrap().output_ids, None);
        assert!(matches!(with(vec![300]), Err(Error::OutputIds { ids: 1, tokens: 2, .. })));
        let endless = wire::Sample {
            output_ids: vec![1; MAX_OUTPUT_IDS + 1],
            output_tokens: 4_097,
            ..honest().into()
        };
        assert!(matches!(Sample::try_from(endless), Err(Error::OutputIds { .. })));
    }

    #[test]
    fn a_text_without_end_is_refused() {
        let wire = wire::Sample { text: Some("x".repeat(MAX_TEXT_BYTES + 1)), ..honest().into() };
        assert!(matches!(Sample::try_from(wire), Err(Error::Text { .. })));
    }
}
