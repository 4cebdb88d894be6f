//! What is told of requests that are through: each of them, or what happened in windows of time.

use super::Planned;
use crate::runner::shard::sample;
use crate::runner::{Measured, Offer, Report};
use crate::workload::Arrival;
use engine::Row;
use model::failure::{Failure, Kind, Retry};
use model::load::LoadWindow;
use proto::wire;
use tokio::sync::mpsc::UnboundedSender;

/// Takes in what happens, and tells it.
pub(super) trait Ledger {
    /// Whether all is told that was to be. Windows end here.
    fn is_over(&mut self, now_ns: u64) -> bool;

    /// So many requests were let in together, and these not into the queue.
    fn entered(&mut self, count: usize, not_sent: &[Arrival], now_ns: u64);

    /// A request is through.
    fn ended(&mut self, arrival: Arrival, row: Result<Row, Failure>, end_ns: u64);

    /// The number of the last message.
    fn sequence(&self) -> u64;
}

/// The way to the controller.
#[derive(Clone, Copy)]
pub(super) struct Teller<'a> {
    pub(super) offer: &'a Offer,
    pub(super) reports: &'a UnboundedSender<Report>,
}

impl Teller<'_> {
    fn tell(
        &self,
        sequence: u64,
        batch: u32,
        samples: Vec<wire::Sample>,
        window: Option<wire::LoadWindow>,
    ) {
        let Offer { shard, attempt, .. } = *self.offer;
        let measured = Measured { shard, attempt, sequence, batch, samples, window };
        // Nobody reads any more only when the agent is ending.
        drop(self.reports.send(Report::Batch(Box::new(measured))));
    }
}

/// Every request comes once; each has a message of its own.
pub(super) struct EachOnce<'a> {
    planned: &'a Planned,
    /// Lengths of the references, in tokens.
    references: Vec<Option<u32>>,
    teller: Teller<'a>,
    sequence: u64,
}

impl<'a> EachOnce<'a> {
    pub(super) fn new(
        planned: &'a Planned,
        references: Vec<Option<u32>>,
        teller: Teller<'a>,
    ) -> Self {
        Self { planned, references, teller, sequence: 0 }
    }
}

impl Ledger for EachOnce<'_> {
    /// Over when no more come.
    fn is_over(&mut self, _now_ns: u64) -> bool {
        false
    }

    fn entered(&mut self, _count: usize, not_sent: &[Arrival], now_ns: u64) {
        for arrival in not_sent {
            let detail = "it came while the queue was full".to_owned();
            let failure = Failure { retry: Retry::Never, kind: Kind::NotSent, detail };
            self.ended(*arrival, Err(failure), now_ns);
        }
    }

    fn ended(&mut self, arrival: Arrival, row: Result<Row, Failure>, end_ns: u64) {
        let place = self.planned.place(arrival);
        let (index, request) = &self.planned.0[place];
        self.sequence += 1;
        let sample = wire::Sample {
            reference_tokens: self.references[place],
            schedule_delay_ns: arrival.delay_ns,
            ..sample(request, row, arrival.intended_ns, end_ns)
        };
        self.teller.tell(self.sequence, *index, vec![sample], None);
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }
}

/// Requests come again and again until the last window is over; each window has a message. A request belongs to the
/// window in which it ends, and to none where the last one is over before.
pub(super) struct Windows<'a> {
    /// Those that are left.
    left: std::slice::Iter<'a, u32>,
    length_ns: u64,
    /// When the current one may end.
    until_ns: u64,
    window: LoadWindow,
    teller: Teller<'a>,
    sequence: u64,
}

impl<'a> Windows<'a> {
    pub(super) fn new(sustained: &'a wire::Sustained, start_ns: u64, teller: Teller<'a>) -> Self {
        let length_ns = sustained.window_ns.max(1);
        Self {
            left: sustained.windows.iter(),
            length_ns,
            until_ns: start_ns + length_ns,
            window: LoadWindow { start_ns, ..LoadWindow::default() },
            teller,
            sequence: 0,
        }
    }
}

impl Ledger for Windows<'_> {
    /// What took longer than a window leaves the next ones empty.
    fn is_over(&mut self, now_ns: u64) -> bool {
        while now_ns >= self.until_ns
            && let Some(index) = self.left.next()
        {
            self.window.end_ns = now_ns;
            let next = LoadWindow { start_ns: now_ns, ..LoadWindow::default() };
            let over = std::mem::replace(&mut self.window, next);
            self.sequence += 1;
            self.teller.tell(self.sequence, *index, Vec::new(), Some(over.into()));
            self.until_ns += self.length_ns;
        }
        self.left.as_slice().is_empty()
    }

    fn entered(&mut self, count: usize, not_sent: &[Arrival], _now_ns: u64) {
        self.window.not_sent += not_sent.len() as u64;
        self.window.batches += u64::from(count > 0);
    }

    fn ended(&mut self, arrival: Arrival, row: Result<Row, Failure>, _end_ns: u64) {
        let window = &mut self.window;
        if let Some(delay_ns) = arrival.delay_ns {
            window.schedule_delay.add(delay_ns);
        }
        let Ok(row) = row else {
            window.failed += 1;
            return;
        };
        window.input_tokens += u64::from(row.input_tokens.unwrap_or_default());
        window.output_tokens += u64::from(row.output_tokens.unwrap_or_default());
        window.latency.add(row.end_ns.saturating_sub(arrival.intended_ns));
        if let Some(first_token_ns) = row.first_token_ns {
            window.ttft.add(first_token_ns.saturating_sub(arrival.intended_ns));
        }
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }
}
