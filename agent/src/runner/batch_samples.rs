//! The requests of a batch and their samples, and the failures that end a shard.

use super::Batch;
use engine::{Request, Row};
use model::failure::{Failure, Kind, Retry};
use model::generation::{Generation, Stop};
use model::ids::SampleId;
use model::output_ids::OutputIds;
use model::sample::{Outcome, Sample};

pub(super) fn bug(detail: &str) -> Failure {
    Failure { retry: Retry::OtherAgent, kind: Kind::Internal, detail: detail.to_owned() }
}

pub(super) fn cancelled() -> Failure {
    let detail = "the shard was cancelled".to_owned();
    Failure { retry: Retry::OtherAgent, kind: Kind::Cancelled, detail }
}

/// The requests of a batch. Engines get a reference only if generation stops at its length.
pub(super) fn requests(batch: &Batch, generation: &Generation) -> Vec<Request> {
    let mut requests = batch.requests.clone();
    if generation.stop != Stop::Reference {
        requests.iter_mut().for_each(|request| request.reference = None);
    }
    requests
}

/// When a request of a batch starts: one to an endpoint when it is sent, any other with the batch.
pub(super) fn request_start_ns(row: &Result<Row, Failure>, batch_start_ns: u64) -> u64 {
    row.as_ref().ok().and_then(Row::start_ns).unwrap_or(batch_start_ns)
}

/// A failed request lasts until the end of its batch.
pub(super) fn sample(row: Result<Row, Failure>, start_ns: u64, batch_end_ns: u64) -> Sample {
    let row = match row {
        Ok(row) => row,
        Err(Failure { kind, detail, .. }) => {
            let latency_ns = batch_end_ns.saturating_sub(start_ns);
            return Sample::failed(start_ns, latency_ns, kind, detail);
        }
    };
    Sample {
        start_ns,
        ttft_ns: row.first_token_ns.map(|first_ns| first_ns.saturating_sub(start_ns)),
        latency_ns: row.end_ns.saturating_sub(start_ns),
        input_tokens: row.input_tokens,
        cut_tokens: row.cut_tokens,
        output_tokens: row.output_tokens,
        unknown_tokens: row.unknown_tokens,
        reference_tokens: None,
        schedule_delay_ns: None,
        http: row.http,
        chunk_gaps: row.chunk_gaps,
        drafts: row.drafts,
        outcome: Outcome::Ok(row.finish),
        failure_detail: None,
        text: row.text,
        output_ids: (!row.output_ids.is_empty()).then(|| OutputIds::pack(&row.output_ids)),
    }
}

pub(super) fn sample_id(request: &Request) -> SampleId {
    let id = SampleId::try_from(request.sample_id.as_str());
    id.expect("ids are checked when the shard arrives")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::sample::{Finish, HttpTiming};

    fn row(http: Option<HttpTiming>) -> Row {
        Row {
            input_tokens: None,
            cut_tokens: 0,
            output_ids: Vec::new(),
            output_tokens: None,
            unknown_tokens: 0,
            first_token_ns: Some(140),
            end_ns: 190,
            finish: Finish::Eos,
            text: None,
            http,
            chunk_gaps: None,
            drafts: None,
        }
    }

    #[test]
    fn requests_to_an_endpoint_start_when_they_are_sent_and_others_with_their_batch() {
        let http = HttpTiming {
            total_ns: 80,
            connect_ns: None,
            first_byte_ns: None,
            server_ns: None,
            is_reconnected: false,
        };
        for (http, expected) in [(None, (100, 40, 90)), (Some(http), (110, 30, 80))] {
            let row = Ok(row(http));
            let sample = sample(row.clone(), request_start_ns(&row, 100), 200);
            assert_eq!((sample.start_ns, sample.ttft_ns.unwrap(), sample.latency_ns), expected);
        }
        let failed = || Err(bug("no answer"));
        let sample = sample(failed(), request_start_ns(&failed(), 100), 200);
        assert_eq!((sample.start_ns, sample.latency_ns), (100, 100));
    }
}
