//! Sinks for finished requests: one sample each, or windows of time.

use super::ShardRequests;
use crate::runner::batch_samples::{request_start_ns, sample, sample_id};
use crate::runner::{Measured, Offer, Report};
use crate::workload::{Arrival, Sustained};
use engine::Row;
use model::failure::{Failure, Kind, Retry};
use model::ids::SampleId;
use model::load::LoadWindow;
use model::sample::Sample;
use tokio::sync::mpsc::UnboundedSender;

pub(super) trait SampleSink {
    /// Whether everything was reported. Closes windows that have ended.
    fn is_over(&mut self, now_ns: u64) -> bool;

    /// Records admitted requests, and arrivals that found a full queue.
    fn entered(&mut self, count: usize, not_sent: &[Arrival], now_ns: u64);

    fn ended(&mut self, arrival: Arrival, row: Result<Row, Failure>, end_ns: u64);

    /// Why what was reported can't be used.
    fn problem(&self) -> Option<&'static str> {
        None
    }
}

#[derive(Clone, Copy)]
pub(super) struct ReportSender<'a> {
    pub(super) offer: &'a Offer,
    pub(super) reports: &'a UnboundedSender<Report>,
}

impl ReportSender<'_> {
    fn send(
        &self,
        sequence: u64,
        batch: u32,
        samples: Vec<(SampleId, Sample)>,
        window: Option<LoadWindow>,
    ) {
        let Offer { shard, attempt, .. } = *self.offer;
        let measured = Measured { shard, attempt, sequence, batch, samples, window };
        // The receiver closes only when the agent ends.
        drop(self.reports.send(Report::Batch(Box::new(measured))));
    }
}

/// Reports each request once, in its own message.
pub(super) struct PerRequest<'a> {
    requests_of_shard: &'a ShardRequests,
    references: Vec<Option<u32>>,
    /// Why requests that are not sent are not.
    not_sent: &'static str,
    sender: ReportSender<'a>,
    pub(super) sequence: u64,
}

/// In open loop, a request starts when it should have arrived, however late it is sent.
fn start_ns(arrival: &Arrival, row: &Result<Row, Failure>) -> u64 {
    if arrival.delay_ns.is_some() {
        return arrival.intended_ns;
    }
    request_start_ns(row, arrival.intended_ns)
}

impl<'a> PerRequest<'a> {
    pub(super) fn new(
        requests_of_shard: &'a ShardRequests,
        references: Vec<Option<u32>>,
        not_sent: &'static str,
        sender: ReportSender<'a>,
    ) -> Self {
        Self { requests_of_shard, references, not_sent, sender, sequence: 0 }
    }
}

impl SampleSink for PerRequest<'_> {
    fn is_over(&mut self, _now_ns: u64) -> bool {
        false
    }

    fn entered(&mut self, _count: usize, not_sent: &[Arrival], now_ns: u64) {
        for arrival in not_sent {
            let detail = self.not_sent.to_owned();
            let failure = Failure { retry: Retry::Never, kind: Kind::NotSent, detail };
            self.ended(*arrival, Err(failure), now_ns);
        }
    }

    fn ended(&mut self, arrival: Arrival, row: Result<Row, Failure>, end_ns: u64) {
        let start_ns = start_ns(&arrival, &row);
        let place = self.requests_of_shard.place(arrival);
        let (index, request) = &self.requests_of_shard.requests[place];
        self.sequence += 1;
        let sample = Sample {
            reference_tokens: self.references[place],
            schedule_delay_ns: arrival.delay_ns,
            ..sample(row, start_ns, end_ns)
        };
        self.sender.send(self.sequence, *index, vec![(sample_id(request), sample)], None);
    }
}

/// Requests repeat until the last window ends; each window is one message. A request belongs to the
/// window in which it ends, if any.
pub(super) struct Windows<'a> {
    left: std::slice::Iter<'a, u32>,
    length_ns: u64,
    /// Earliest end of the current window.
    until_ns: u64,
    window: LoadWindow,
    /// A request had no token counts: the sums of its window are too small.
    is_uncounted: bool,
    sender: ReportSender<'a>,
    pub(super) sequence: u64,
}

impl<'a> Windows<'a> {
    pub(super) fn new(sustained: &'a Sustained, start_ns: u64, sender: ReportSender<'a>) -> Self {
        let length_ns = sustained.window_ns.max(1);
        Self {
            left: sustained.windows.iter(),
            length_ns,
            until_ns: start_ns + length_ns,
            window: LoadWindow { start_ns, ..LoadWindow::default() },
            is_uncounted: false,
            sender,
            sequence: 0,
        }
    }
}

impl SampleSink for Windows<'_> {
    /// A batch longer than a window leaves the following windows empty.
    fn is_over(&mut self, now_ns: u64) -> bool {
        if self.is_uncounted {
            return true;
        }
        while now_ns >= self.until_ns
            && let Some(index) = self.left.next()
        {
            self.window.end_ns = now_ns;
            let next = LoadWindow { start_ns: now_ns, ..LoadWindow::default() };
            let over = std::mem::replace(&mut self.window, next);
            self.sequence += 1;
            self.sender.send(self.sequence, *index, Vec::new(), Some(over));
            self.until_ns += self.length_ns;
        }
        self.left.as_slice().is_empty()
    }

    fn entered(&mut self, count: usize, not_sent: &[Arrival], _now_ns: u64) {
        self.window.not_sent += not_sent.len() as u64;
        self.window.batches += u64::from(count > 0);
    }

    fn ended(&mut self, arrival: Arrival, row: Result<Row, Failure>, _end_ns: u64) {
        let start_ns = start_ns(&arrival, &row);
        let window = &mut self.window;
        if let Some(delay_ns) = arrival.delay_ns {
            window.schedule_delay.add(delay_ns);
        }
        let Ok(row) = row else {
            window.failed += 1;
            return;
        };
        let (Some(input_tokens), Some(output_tokens)) = (row.input_tokens, row.output_tokens)
        else {
            // One response of an endpoint may lack its counts, but not an engine's.
            if row.http.is_some() {
                window.failed += 1;
            } else {
                self.is_uncounted = true;
            }
            return;
        };
        window.input_tokens += u64::from(input_tokens);
        window.output_tokens += u64::from(output_tokens);
        if let Some(gaps) = &row.chunk_gaps {
            window.streamed += 1;
            window.streamed_tokens += u64::from(output_tokens);
            gaps.iter_us().for_each(|us| window.chunk_gap.add(u64::from(us) * 1_000));
        }
        window.latency.add(row.end_ns.saturating_sub(start_ns));
        if let Some(first_token_ns) = row.first_token_ns {
            window.ttft.add(first_token_ns.saturating_sub(start_ns));
        }
    }

    fn problem(&self) -> Option<&'static str> {
        self.is_uncounted
            .then_some("the engine counts no tokens, which a sustained load sums up in windows")
    }
}
