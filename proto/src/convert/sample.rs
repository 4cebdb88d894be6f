//! Measured requests.

use crate::wire;
use model::failure::Failure;
use model::ids::{self, SampleId};
use model::output_ids::OutputIds;
use model::sample::{self, Drafts, HttpTiming, Outcome, Sample};
use model::words::Unknown;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SampleError {
    #[error(transparent)]
    Id(#[from] ids::Error),
    #[error("sample `{id}`: {problem}")]
    Finish { id: SampleId, problem: Unknown },
    #[error("sample `{id}`: {problem}")]
    Implausible { id: SampleId, problem: sample::Error },
}

impl From<wire::HttpTiming> for HttpTiming {
    fn from(wire: wire::HttpTiming) -> Self {
        let wire::HttpTiming { total_ns, connect_ns, first_byte_ns, server_ns, is_reconnected } =
            wire;
        Self { total_ns, connect_ns, first_byte_ns, server_ns, is_reconnected }.plausible()
    }
}

impl From<HttpTiming> for wire::HttpTiming {
    fn from(timing: HttpTiming) -> Self {
        let HttpTiming { total_ns, connect_ns, first_byte_ns, server_ns, is_reconnected } = timing;
        Self { total_ns, connect_ns, first_byte_ns, server_ns, is_reconnected }
    }
}

impl From<wire::Drafts> for Drafts {
    fn from(wire::Drafts { drafted, accepted }: wire::Drafts) -> Self {
        Self { drafted, accepted }
    }
}

impl From<Drafts> for wire::Drafts {
    fn from(Drafts { drafted, accepted }: Drafts) -> Self {
        Self { drafted, accepted }
    }
}

impl TryFrom<wire::Sample> for (SampleId, Sample) {
    type Error = SampleError;

    fn try_from(wire: wire::Sample) -> Result<Self, SampleError> {
        let id = SampleId::try_from(wire.sample_id)?;
        let (outcome, failure_detail) = match wire.failure.map(Failure::from) {
            Some(failure) => (Outcome::Failed(failure.kind), Some(failure.detail)),
            None => match wire.finish.parse() {
                Ok(finish) => (Outcome::Ok(finish), None),
                Err(problem) => return Err(SampleError::Finish { id, problem }),
            },
        };
        let sample = Sample {
            start_ns: wire.start_ns,
            ttft_ns: wire.ttft_ns,
            latency_ns: wire.latency_ns,
            input_tokens: wire.input_tokens,
            cut_tokens: wire.cut_tokens,
            output_tokens: wire.output_tokens,
            unknown_tokens: wire.unknown_tokens,
            reference_tokens: wire.reference_tokens,
            schedule_delay_ns: wire.schedule_delay_ns,
            http: wire.http.map(HttpTiming::from),
            chunk_gaps: wire.chunks.map(|chunks| chunks.gaps_us.into()),
            drafts: wire.drafts.map(Drafts::from),
            outcome,
            failure_detail,
            text: wire.text,
            output_ids: (!wire.output_ids.is_empty()).then(|| OutputIds::pack(&wire.output_ids)),
        };
        match sample.check() {
            Ok(sample) => Ok((id, sample)),
            Err(problem) => Err(SampleError::Implausible { id, problem }),
        }
    }
}

impl From<(SampleId, Sample)> for wire::Sample {
    fn from((id, sample): (SampleId, Sample)) -> Self {
        let (finish, failure) = match sample.outcome {
            Outcome::Ok(finish) => (finish.as_str().to_owned(), None),
            Outcome::Failed(kind) => {
                let detail = sample.failure_detail.unwrap_or_default();
                let kind = kind.as_str().to_owned();
                (String::new(), Some(wire::Failure { kind, detail, ..wire::Failure::default() }))
            }
        };
        Self {
            sample_id: id.into(),
            start_ns: sample.start_ns,
            ttft_ns: sample.ttft_ns,
            latency_ns: sample.latency_ns,
            input_tokens: sample.input_tokens,
            cut_tokens: sample.cut_tokens,
            output_tokens: sample.output_tokens,
            unknown_tokens: sample.unknown_tokens,
            reference_tokens: sample.reference_tokens,
            schedule_delay_ns: sample.schedule_delay_ns,
            http: sample.http.map(Into::into),
            chunks: sample.chunk_gaps.map(|gaps| wire::Chunks { gaps_us: gaps.into() }),
            drafts: sample.drafts.map(Into::into),
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
    use model::failure::Kind;
    use model::output_ids::MAX_OUTPUT_IDS;
    use model::sample::{Finish, MAX_TEXT_BYTES};

    fn id() -> SampleId {
        "s1".try_into().unwrap()
    }

    fn sample() -> Sample {
        Sample {
            start_ns: 10,
            ttft_ns: Some(5),
            latency_ns: 9,
            input_tokens: Some(3),
            cut_tokens: 0,
            output_tokens: Some(2),
            unknown_tokens: 0,
            reference_tokens: Some(4),
            schedule_delay_ns: Some(1),
            http: None,
            chunk_gaps: None,
            drafts: None,
            outcome: Outcome::Ok(Finish::Eos),
            failure_detail: None,
            text: Some("so".to_owned()),
            output_ids: Some(OutputIds::pack(&[300, 1])),
        }
    }

    fn wire() -> wire::Sample {
        (id(), sample()).into()
    }

    fn decode(wire: wire::Sample) -> Result<Sample, SampleError> {
        <(SampleId, Sample)>::try_from(wire).map(|(_, sample)| sample)
    }

    fn problem(wire: wire::Sample) -> sample::Error {
        match decode(wire) {
            Err(SampleError::Implausible { problem, .. }) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn samples_survive_the_wire() {
        let timing = HttpTiming {
            total_ns: 8,
            connect_ns: None,
            first_byte_ns: Some(7),
            server_ns: Some(5),
            is_reconnected: true,
        };
        let uncounted = Sample {
            input_tokens: None,
            output_tokens: None,
            http: Some(timing),
            output_ids: None,
            ..sample()
        };
        let failed = Sample::failed(10, 9, Kind::Throttled, "429".to_owned());
        let streamed = Sample { chunk_gaps: Some(vec![0].into()), ..sample() };
        let of_one_chunk = Sample { chunk_gaps: Some(Vec::new().into()), ..sample() };
        let drafted = Sample { drafts: Some(Drafts { drafted: 9, accepted: 2 }), ..sample() };
        for sample in [sample(), uncounted, failed, streamed, of_one_chunk, drafted] {
            assert_eq!(decode((id(), sample.clone()).into()), Ok(sample));
        }
        assert_eq!(timing.network_ns(), Some(3));
    }

    #[test]
    fn a_server_time_longer_than_the_request_is_dropped() {
        let claimed = wire::HttpTiming { total_ns: 8, server_ns: Some(9), ..Default::default() };
        assert_eq!(HttpTiming::from(claimed).network_ns(), None);
        let longer = wire::HttpTiming { total_ns: 10, ..Default::default() };
        let wire = wire::Sample { http: Some(longer), ..wire() };
        assert!(matches!(problem(wire), sample::Error::Times { .. }));
    }

    #[test]
    fn inconsistent_times_are_refused() {
        for wire in [
            wire::Sample { ttft_ns: Some(10), ..wire() },
            wire::Sample { start_ns: u64::MAX, ..wire() },
            wire::Sample { schedule_delay_ns: Some(u64::MAX), ..wire() },
        ] {
            assert!(matches!(problem(wire), sample::Error::Times { .. }));
        }
    }

    #[test]
    fn there_are_as_many_output_ids_as_output_tokens_or_none() {
        let with = |output_ids| wire::Sample { output_ids, ..wire() };
        assert_eq!(decode(with(Vec::new())).unwrap().output_ids, None);
        assert_eq!(problem(with(vec![300])), sample::Error::OutputIds { ids: 1, tokens: 2 });
        let endless =
            wire::Sample { output_tokens: Some(4_097), ..with(vec![1; MAX_OUTPUT_IDS + 1]) };
        assert!(matches!(problem(endless), sample::Error::OutputIds { .. }));
    }

    #[test]
    fn chunks_that_do_not_fit_between_first_token_and_end_are_refused() {
        let with = |ttft_ns, latency_ns, gaps_us: Vec<u32>| wire::Sample {
            ttft_ns,
            latency_ns,
            chunks: Some(wire::Chunks { gaps_us }),
            ..wire()
        };
        assert!(decode(with(Some(1_000), 9_000, vec![4, 4])).is_ok());
        for wire in [
            with(None, 9_000, vec![4]),
            with(Some(1_000), 9_000, vec![4, 6]),
            with(Some(1_000), 9_000, vec![0; 4_096]),
        ] {
            assert!(matches!(problem(wire), sample::Error::ChunkGaps { .. }));
        }
    }

    #[test]
    fn more_accepted_tokens_than_drafted_or_output_ones_are_refused() {
        for (drafted, accepted) in [(1, 2), (9, 3)] {
            let wire = wire::Sample { drafts: Some(wire::Drafts { drafted, accepted }), ..wire() };
            assert_eq!(problem(wire), sample::Error::Drafts { drafted, accepted });
        }
    }

    #[test]
    fn a_long_text_is_refused() {
        let wire = wire::Sample { text: Some("x".repeat(MAX_TEXT_BYTES + 1)), ..wire() };
        assert!(matches!(problem(wire), sample::Error::Text { .. }));
    }
}
