//! A shard under a load: requests come in their own time, and the engine decodes what waits.

mod continuous;
mod dynamic;
mod ledger;

use super::shard::{bug, taken_back};
use super::{Offer, Report};
use crate::workload::{Arrival, Workload};
use engine::{Engine, Request};
use ledger::{EachOnce, Ledger, Teller, Windows};
use model::failure::{Failure, Kind, Retry};
use model::generation::Generation;
use proto::wire;
use stopwatch::Stopwatch;
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

/// The requests of a shard, each with the number of its batch. Under a sustained load they come round again.
struct Planned(Vec<(u32, Request)>);

impl Planned {
    fn of(offer: &Offer, generation: &Generation) -> Self {
        let requests = offer.batches.iter().flat_map(|batch| {
            let requests = super::shard::requests(batch, generation);
            requests.into_iter().map(|request| (batch.index, request))
        });
        Self(requests.collect())
    }

    /// Where a request stands.
    fn place(&self, arrival: Arrival) -> usize {
        usize::try_from(arrival.index % self.0.len() as u64).unwrap_or_default()
    }

    /// What arrived, for the engine.
    fn requests(&self, batch: &[Arrival]) -> Vec<Request> {
        #[cfg(feature = "leak")]
        batch.iter().for_each(|_| super::leak::leak());
        batch.iter().map(|arrival| self.0[self.place(*arrival)].1.clone()).collect()
    }
}

impl Load<'_> {
    /// Measures the shard; returns the number of its last message.
    pub(super) fn run(&mut self, load: &wire::Load) -> Result<u64, Failure> {
        let planned = Planned::of(self.offer, self.generation);
        if planned.0.is_empty() {
            return Ok(0);
        }
        if load.continuous && !self.engine.facts().continuous_batching {
            let kernel = &self.engine.facts().kernel;
            let detail = format!("{kernel} lets no request enter while others are decoded");
            return Err(Failure { retry: Retry::OtherAgent, kind: Kind::Model, detail });
        }
        let teller = Teller { offer: self.offer, reports: self.reports };
        match &load.sustained {
            None => {
                // Before the first request comes: nobody waits for it.
                let references = self.references();
                let workload = self.start(load, Some(planned.0.len() as u64))?;
                let mut ledger = EachOnce::new(&planned, references, teller);
                self.play(load, workload, &planned, &mut ledger)?;
                Ok(ledger.sequence())
            }
            Some(sustained) => {
                let workload = self.start(load, None)?;
                let mut ledger = Windows::new(sustained, self.stopwatch.now_ns(), teller);
                self.play(load, workload, &planned, &mut ledger)?;
                Ok(ledger.sequence())
            }
        }
    }

    /// Lengths of the references, in tokens.
    fn references(&self) -> Vec<Option<u32>> {
        let texts = self.offer.batches.iter().flat_map(|batch| &batch.requests);
        texts
            .map(|request| {
                let reference = Some(&request.reference).filter(|text| !text.is_empty());
                reference.and_then(|text| self.engine.count_tokens(text))
            })
            .collect()
    }

    fn start(&self, load: &wire::Load, requests: Option<u64>) -> Result<Workload, Failure> {
        Workload::start(load, self.offer.batch_size, requests, self.stopwatch).map_err(|error| {
            let detail = format!("no thread for arrivals: {error}");
            Failure { retry: Retry::OtherAgent, kind: Kind::Internal, detail }
        })
    }

    fn play(
        &mut self,
        load: &wire::Load,
        mut workload: Workload,
        planned: &Planned,
        ledger: &mut dyn Ledger,
    ) -> Result<(), Failure> {
        if load.continuous {
            self.play_continuous(&mut workload, planned, ledger)?;
        } else {
            self.play_dynamic(&mut workload, planned, ledger)?;
        }
        if (self.is_cancelled)() { Err(taken_back()) } else { Ok(()) }
    }
}
