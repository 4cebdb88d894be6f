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

/// In closed loop a request becomes available when its batch starts. A failed one lasts until the
/// end of the batch.
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
