//! Measures a shard under a load: requests arrive on their own schedule, and the engine decodes
//! those that wait.

mod continuous;
mod dynamic;
mod sample_sink;

use super::batch_samples::{bug, cancelled};
use super::{Offer, Report};
use crate::workload::{self, Arrival, Workload};
use engine::{Engine, Request};
use model::failure::{Failure, Kind, Retry};
use model::generation::Generation;
use model::recorded_arrivals::RecordedArrivals;
use sample_sink::{PerRequest, ReportSender, SampleSink, Windows};
use stopwatch::Stopwatch;
use tokio::sync::mpsc::UnboundedSender;

pub(super) struct Load<'a> {
    pub(super) engine: &'a mut dyn Engine,
    pub(super) generation: &'a Generation,
    pub(super) stopwatch: &'a Stopwatch,
    pub(super) offer: &'a Offer,
    pub(super) reports: &'a UnboundedSender<Report>,
    pub(super) is_cancelled: &'a dyn Fn() -> bool,
}

/// The requests of a shard with their batch numbers. A sustained load repeats them.
struct ShardRequests {
    requests: Vec<(u32, Request)>,
    /// Of a sustained load: the request of each arrival; `None`: they take turns.
    order: Option<RecordedArrivals>,
}

impl ShardRequests {
    fn of(offer: &Offer, generation: &Generation) -> Self {
        let requests = offer.batches.iter().flat_map(|batch| {
            let requests = super::batch_samples::requests(batch, generation);
            requests.into_iter().map(|request| (batch.index, request))
        });
        Self { requests: requests.collect(), order: None }
    }

    fn place(&self, arrival: Arrival) -> usize {
        let index = arrival.index;
        let request = self.order.as_ref().map_or(index, |order| order.request(index));
        usize::try_from(request % self.requests.len() as u64).unwrap_or_default()
    }

    fn requests(&self, batch: &[Arrival]) -> Vec<Request> {
        #[cfg(feature = "leak")]
        batch.iter().for_each(|_| super::leak::leak());
        batch.iter().map(|arrival| self.requests[self.place(*arrival)].1.clone()).collect()
    }
}

impl Load<'_> {
    /// Returns the number of the last message.
    pub(super) fn run(&mut self, load: &workload::Load) -> Result<u64, Failure> {
        let mut requests_of_shard = ShardRequests::of(self.offer, self.generation);
        if requests_of_shard.requests.is_empty() {
            return Ok(0);
        }
        if load.continuous && !self.engine.facts().continuous_batching {
            let kernel = &self.engine.facts().kernel;
            let detail = format!("{kernel} does not support continuous batching");
            return Err(Failure { retry: Retry::OtherAgent, kind: Kind::Model, detail });
        }
        let sender = ReportSender { offer: self.offer, reports: self.reports };
        match &load.sustained {
            None => {
                // Before the first request arrives, so that none waits for it.
                let references = self.references();
                let workload = self.start(load, Some(requests_of_shard.requests.len() as u64))?;
                let not_sent = match &self.engine.facts().endpoint {
                    Some(_) => "max_in_flight requests were in flight",
                    None => "the queue was full: max_queue requests were waiting",
                };
                let mut sink = PerRequest::new(&requests_of_shard, references, not_sent, sender);
                self.run_load(load, workload, &requests_of_shard, &mut sink)?;
                Ok(sink.sequence)
            }
            Some(sustained) => {
                requests_of_shard.order.clone_from(&load.recorded);
                let workload = self.start(load, None)?;
                let mut sink = Windows::new(sustained, self.stopwatch.now_ns(), sender);
                self.run_load(load, workload, &requests_of_shard, &mut sink)?;
                Ok(sink.sequence)
            }
        }
    }

    fn references(&self) -> Vec<Option<u32>> {
        let texts = self.offer.batches.iter().flat_map(|batch| &batch.requests);
        texts.map(|request| self.engine.count_tokens(request.reference.as_ref()?)).collect()
    }

    fn start(&self, load: &workload::Load, requests: Option<u64>) -> Result<Workload, Failure> {
        // Nothing waits in front of an endpoint: what arrives is taken, and sent or not.
        let unlimited =
            workload::Load { max_batch_delay_ns: 0, max_queue: u32::MAX, ..load.clone() };
        let load = if self.engine.facts().endpoint.is_some() { &unlimited } else { load };
        Workload::start(load, self.offer.batch_size, requests, self.stopwatch).map_err(|error| {
            let detail = format!("cannot start the arrivals thread: {error}");
            Failure { retry: Retry::OtherAgent, kind: Kind::Internal, detail }
        })
    }

    fn run_load(
        &mut self,
        load: &workload::Load,
        mut workload: Workload,
        requests_of_shard: &ShardRequests,
        sink: &mut dyn SampleSink,
    ) -> Result<(), Failure> {
        let facts = self.engine.facts();
        if facts.endpoint.is_some() {
            let most = load.max_in_flight.max(1) as usize;
            self.run_continuous(&mut workload, requests_of_shard, sink, most)?;
        } else if load.continuous {
            let most = self.offer.batch_size.max(1) as usize;
            self.run_continuous(&mut workload, requests_of_shard, sink, most)?;
        } else {
            self.run_dynamic(&mut workload, requests_of_shard, sink)?;
        }
        if let Some(problem) = sink.problem() {
            return Err(bug(problem));
        }
        if (self.is_cancelled)() { Err(cancelled()) } else { Ok(()) }
    }
}
