//! Continuous batching: waiting requests join the running batch as soon as there is room. An
//! endpoint gets every request when it arrives.

use super::{Load, SampleSink, ShardRequests};
use crate::workload::{Arrival, ArrivalBatch, Arrived, Workload};
use engine::{Entry, Intake, Request, Row};
use model::failure::Failure;
use std::collections::HashMap;
use std::sync::Arc;
use stopwatch::Stopwatch;

impl Load<'_> {
    pub(super) fn run_continuous(
        &mut self,
        workload: &mut Workload,
        requests_of_shard: &ShardRequests,
        sink: &mut dyn SampleSink,
        most: usize,
    ) -> Result<(), Failure> {
        let mut entrance = Admission {
            workload,
            requests_of_shard,
            sink,
            stopwatch: self.stopwatch,
            is_cancelled: self.is_cancelled,
            most,
            entered: 0,
            live: HashMap::new(),
        };
        self.engine.serve(&mut entrance, self.generation, self.stopwatch)
    }
}

struct Admission<'a> {
    workload: &'a mut Workload,
    requests_of_shard: &'a ShardRequests,
    sink: &'a mut dyn SampleSink,
    stopwatch: &'a Stopwatch,
    is_cancelled: &'a dyn Fn() -> bool,
    /// Maximum batch size; of an endpoint, most requests in flight in open loop.
    most: usize,
    entered: usize,
    /// Requests being decoded, by number.
    live: HashMap<usize, Arrival>,
}

impl Admission<'_> {
    /// Records what arrived, and numbers what enters.
    fn admit(
        &mut self,
        ArrivalBatch { batch, not_sent }: ArrivalBatch,
        now_ns: u64,
    ) -> Vec<Request> {
        self.sink.entered(batch.len(), &not_sent, now_ns);
        let requests = self.requests_of_shard.requests(&batch);
        self.live.extend((self.entered..).zip(batch));
        self.entered += requests.len();
        requests
    }
}

impl Intake for Admission<'_> {
    fn enter(&mut self) -> Vec<Request> {
        if (self.is_cancelled)() || self.sink.is_over(self.stopwatch.now_ns()) {
            return Vec::new();
        }
        let arrivals = if self.live.is_empty() {
            self.workload.wait(self.is_cancelled)
        } else {
            self.workload.take(self.most - self.live.len())
        };
        let now_ns = self.stopwatch.now_ns();
        arrivals.map_or_else(Vec::new, |arrivals| self.admit(arrivals, now_ns))
    }

    fn wake_with(&mut self, wake: Arc<dyn Fn() + Send + Sync>) {
        self.workload.wake_with(wake);
    }

    fn poll(&mut self) -> Entry {
        if (self.is_cancelled)() {
            return Entry::Cancelled;
        }
        if self.sink.is_over(self.stopwatch.now_ns()) {
            return Entry::Over;
        }
        let ArrivalBatch { mut batch, mut not_sent } = match self.workload.poll(usize::MAX) {
            Arrived::Now(arrivals) => arrivals,
            Arrived::NotYet => return Entry::Requests(Vec::new()),
            Arrived::Over => return Entry::Over,
        };
        if matches!(self.workload, Workload::Open(_)) {
            // Nothing waits: what is beyond the limit is not sent.
            not_sent.extend(batch.split_off(batch.len().min(self.most - self.live.len())));
        }
        let now_ns = self.stopwatch.now_ns();
        for arrival in &mut batch {
            arrival.delay_ns = arrival.delay_ns.map(|_| now_ns.saturating_sub(arrival.intended_ns));
        }
        Entry::Requests(self.admit(ArrivalBatch { batch, not_sent }, now_ns))
    }

    fn ended(&mut self, number: usize, row: Result<Row, Failure>) {
        let end_ns = row.as_ref().map_or_else(|_| self.stopwatch.now_ns(), |row| row.end_ns);
        let arrival = self.live.remove(&number).expect("it entered, and ends once");
        self.workload.ended([end_ns]);
        self.sink.ended(arrival, row, end_ns);
    }
}
