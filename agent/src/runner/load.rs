//! A shard under a load: requests come in their own time, and the engine decodes what waits.

use super::shard::{bug, sample, taken_back};
use super::{Measured, Offer, Report};
use crate::engine::{Engine, Request, Row};
use crate::stopwatch::Stopwatch;
use crate::workload::{Arrival, Together, Workload};
use proto::failure::{Failure, Kind, Retry};
use proto::generation::Generation;
use proto::load::LoadWindow;
use proto::wire;
use tokio::sync::mpsc::UnboundedSender;

/// What a shard under a load needs.
pub(super) struct Load<'a> {
    pub(super) engine: &'a mut dyn Engine,
    pub(super) generation: &'a Generation,
    pub(super) stopwatch: &'a Stopwatch,
    pub(super) offer: &'a Offer,
    pub(super) reports: &'a UnboundedSender<Report>,
    pub(super) is_cancelled: &'a dyn Fn() -> bool,
}

/// What became of the requests of one batch.
type Rows = Vec<Result<Row, Failure>>;

impl Load<'_> {
    /// Measures the shard; returns the number of its last message.
    pub(super) fn run(&mut self, load: &wire::Load) -> Result<u64, Failure> {
        let offer = self.offer;
        let planned = offer.batches.iter().flat_map(|batch| {
            let requests = super::shard::requests(batch, self.generation);
            requests.into_iter().map(|request| (batch.index, request))
        });
        let planned: Vec<(u32, Request)> = planned.collect();
        if planned.is_empty() {
            return Ok(0);
        }
        match &load.sustained {
            Some(sustained) => self.sustain(load, sustained, &planned),
            None => self.once_each(load, &planned),
        }
    }

    /// Every request comes once; each has a message of its own.
    fn once_each(&mut self, load: &wire::Load, planned: &[(u32, Request)]) -> Result<u64, Failure> {
        // Before the first request comes: nobody waits for it.
        let texts = self.offer.batches.iter().flat_map(|batch| &batch.requests);
        let references: Vec<Option<u32>> = texts
            .map(|request| {
                let reference = Some(&request.reference).filter(|text| !text.is_empty());
                reference.and_then(|text| self.engine.count_tokens(text))
            })
            .collect();
        let mut workload = self.start(load, Some(planned.len() as u64))?;
        let mut sequence = 0;
        while let Some(Together { batch, not_sent }) = workload.wait(self.is_cancelled) {
            let (rows, end_ns) = self.decode(&batch, planned)?;
            workload.ended(batch.iter().map(|_| end_ns));
            let refused = not_sent.into_iter().map(|arrival| (arrival, Err(not_sent_failure())));
            for (arrival, row) in batch.into_iter().zip(rows).chain(refused) {
                let place = place(arrival, planned);
                let (index, request) = &planned[place];
                sequence += 1;
                let sample = wire::Sample {
                    reference_tokens: references[place],
                    schedule_delay_ns: arrival.delay_ns,
                    ..sample(request, row, arrival.intended_ns, end_ns)
                };
                self.tell(sequence, *index, vec![sample], None);
            }
        }
        if (self.is_cancelled)() { Err(taken_back()) } else { Ok(sequence) }
    }

    /// Requests come again and again until the last window is over; each window has a message.
    fn sustain(
        &mut self,
        load: &wire::Load,
        sustained: &wire::Sustained,
        planned: &[(u32, Request)],
    ) -> Result<u64, Failure> {
        let mut workload = self.start(load, None)?;
        let start_ns = self.stopwatch.now_ns();
        let mut window = LoadWindow { start_ns, ..LoadWindow::default() };
        let mut sequence = 0;
        for (passed, index) in (1_u64..).zip(&sustained.windows) {
            let until_ns = start_ns + passed * sustained.window_ns.max(1);
            while self.stopwatch.now_ns() < until_ns {
                let Some(Together { batch, not_sent }) = workload.wait(self.is_cancelled) else {
                    return Err(taken_back());
                };
                if (self.is_cancelled)() {
                    return Err(taken_back());
                }
                let (rows, end_ns) = self.decode(&batch, planned)?;
                workload.ended(
                    batch
                        .iter()
                        .zip(&rows)
                        .map(|(_, row)| row.as_ref().map_or(end_ns, |row| row.end_ns)),
                );
                window.not_sent += not_sent.len() as u64;
                window.batches += 1;
                for (arrival, row) in batch.into_iter().zip(rows) {
                    take_in(&mut window, arrival, row);
                }
            }
            // A batch that took longer than a window leaves the next ones empty.
            window.end_ns = self.stopwatch.now_ns();
            let next = LoadWindow { start_ns: window.end_ns, ..LoadWindow::default() };
            let over = std::mem::replace(&mut window, next);
            sequence += 1;
            self.tell(sequence, *index, Vec::new(), Some(over.into()));
        }
        Ok(sequence)
    }

    fn start(&self, load: &wire::Load, requests: Option<u64>) -> Result<Workload, Failure> {
        Workload::start(load, self.offer.batch_size, requests, self.stopwatch).map_err(|error| {
            let detail = format!("no thread for arrivals: {error}");
            Failure { retry: Retry::OtherAgent, kind: Kind::Internal, detail }
        })
    }

    /// Decodes requests together; says when the batch ended, too.
    fn decode(
        &mut self,
        batch: &[Arrival],
        planned: &[(u32, Request)],
    ) -> Result<(Rows, u64), Failure> {
        if (self.is_cancelled)() {
            return Err(taken_back());
        }
        let requests: Vec<Request> =
            batch.iter().map(|arrival| planned[place(*arrival, planned)].1.clone()).collect();
        #[cfg(feature = "leak")]
        batch.iter().for_each(|_| super::leak::leak());
        let rows = self.engine.generate(&requests, self.generation, self.stopwatch)?;
        if rows.len() != requests.len() {
            return Err(bug("the engine answered for another number of requests"));
        }
        Ok((rows, self.stopwatch.now_ns()))
    }

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

/// Where a request stands; under a sustained load they come round again.
fn place(arrival: Arrival, planned: &[(u32, Request)]) -> usize {
    usize::try_from(arrival.index % planned.len() as u64).unwrap_or_default()
}

fn take_in(window: &mut LoadWindow, arrival: Arrival, row: Result<Row, Failure>) {
    if let Some(delay_ns) = arrival.delay_ns {
        window.schedule_delay.add(delay_ns);
    }
    let Ok(row) = row else {
        window.failed += 1;
        return;
    };
    window.input_tokens += u64::from(row.input_tokens);
    window.output_tokens += row.output_ids.len() as u64;
    window.latency.add(row.end_ns.saturating_sub(arrival.intended_ns));
    if !row.output_ids.is_empty() {
        window.ttft.add(row.first_token_ns.saturating_sub(arrival.intended_ns));
    }
}

fn not_sent_failure() -> Failure {
    let detail = "it came while the queue was full".to_owned();
    Failure { retry: Retry::Never, kind: Kind::NotSent, detail }
}
