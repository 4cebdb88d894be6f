//! Measured requests.

use crate::wire;
use model::ids::SampleId;
use model::output_ids::OutputIds;
use model::sample::{Error, Exchange, Outcome, Sample};

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

impl TryFrom<wire::Sample> for Sample {
    type Error = Error;

    fn try_from(wire: wire::Sample) -> Result<Self, Error> {
        let sample_id = SampleId::try_from(wire.sample_id)?;
        let outcome = match (wire.failure, wire.finish.as_str()) {
            (Some(failure), _) => Outcome::Failed(failure.into()),
            (None, finish) => match finish.parse() {
                Ok(finish) => Outcome::Ok(finish),
                Err(_) => return Err(Error::Finish { id: sample_id, finish: wire.finish }),
            },
        };
        let sample = Self {
            sample_id,
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
            output_ids: (!wire.output_ids.is_empty()).then(|| OutputIds::pack(&wire.output_ids)),
        };
        sample.check()
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
    use model::output_ids::MAX_OUTPUT_IDS;
    use model::sample::{Finish, MAX_TEXT_BYTES};

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
