//! Arrival of requests and batching: closed loop, where a request follows a response, and open
//! loop, where requests arrive regardless of the engine.

mod arrivals;
mod closed;
mod dealt;
mod open;

pub use arrivals::{Arrivals, Gaps};
pub use closed::ClosedLoop;
pub use dealt::{Dealt, Extent};
pub use open::{OpenLoop, QueueRules};

use model::load::Share;
use model::rate_profile::RateProfile;
use model::recorded_arrivals::RecordedArrivals;
use std::sync::Arc;
use stopwatch::Stopwatch;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Load {
    /// Open loop: requests per second, of all agents that share the load. 0: closed loop.
    pub request_rate: f64,
    /// Open loop only, like `seed` and the limits of the queue.
    pub gaps: Gaps,
    /// How the rate changes, from the start of the load.
    pub profile: RateProfile,
    /// Requests arrive at these times from now on, instead of `gaps` and `profile`.
    pub recorded: Option<RecordedArrivals>,
    pub seed: u64,
    /// How long the oldest request waits for a batch to fill.
    pub max_batch_delay_ns: u64,
    /// Arrivals at a full queue are not sent.
    pub max_queue: u32,
    /// Closed loop: outstanding requests.
    pub concurrency: u32,
    /// Repeat the requests and report windows instead of samples.
    pub sustained: Option<Sustained>,
    /// Let requests join the running batch.
    pub continuous: bool,
    /// Of an endpoint, which has no queue: arrivals beyond so many in flight are not sent.
    pub max_in_flight: u32,
    /// None: no other agent takes part.
    pub share: Option<Share>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sustained {
    /// A window ends with the first batch that ends after this time.
    pub window_ns: u64,
    /// The remaining windows, in order.
    pub windows: Vec<u32>,
    /// Windows before the first of them.
    pub passed: u32,
}

impl Sustained {
    /// The time of the windows before those that remain.
    fn passed_ns(&self) -> u64 {
        self.window_ns.saturating_mul(self.passed.into())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// From 0.
    pub index: u64,
    /// Scheduled arrival; latency is measured from here.
    pub intended_ns: u64,
    /// From the scheduled arrival to entering the queue.
    pub delay_ns: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct ArrivalBatch {
    /// In order of arrival.
    pub batch: Vec<Arrival>,
    /// Arrivals that found a full queue since the last batch.
    pub not_sent: Vec<Arrival>,
}

/// What has arrived, without waiting.
#[derive(Debug, PartialEq, Eq)]
pub enum Arrived {
    Now(ArrivalBatch),
    NotYet,
    /// All have come. In closed loop, no more come before another ends.
    Over,
}

#[derive(Debug)]
pub enum Workload {
    Closed(ClosedLoop),
    Open(Box<OpenLoop>),
}

impl Workload {
    /// Starts now. `requests`: their total, or `None` for unlimited.
    pub fn start(
        load: &Load,
        batch_size: u32,
        requests: Option<u64>,
        stopwatch: &Stopwatch,
    ) -> std::io::Result<Self> {
        let most = batch_size.max(1) as usize;
        if load.request_rate > 0.0 {
            // The windows of an interrupted load that are left continue its profile.
            let passed_ns = load.sustained.as_ref().map_or(0, Sustained::passed_ns);
            let arrivals = match &load.recorded {
                Some(recorded) => Arrivals::recorded(recorded.clone()),
                None => Arrivals::new(load.request_rate, load.gaps, load.seed)
                    .with_profile(load.profile.after(passed_ns)),
            };
            let extent = if requests.is_some() { Extent::Counted } else { Extent::Endless };
            let arrivals = match &load.share {
                None => Dealt::whole(arrivals),
                Some(share) => Dealt::of(arrivals, share, extent, load.seed),
            };
            let rules = QueueRules {
                most,
                max_delay_ns: load.max_batch_delay_ns,
                max_queue: load.max_queue.max(1) as usize,
            };
            return OpenLoop::start(arrivals, requests, rules, stopwatch)
                .map(Box::new)
                .map(Self::Open);
        }
        let concurrency = load.concurrency.max(1);
        Ok(Self::Closed(ClosedLoop::start(concurrency, most, requests, stopwatch.now_ns())))
    }

    /// The requests waiting now, at most `room`. `None` if there are none.
    pub fn take(&mut self, room: usize) -> Option<ArrivalBatch> {
        match self {
            Self::Closed(closed) => closed.take_up_to(room),
            Self::Open(open) => open.take(room),
        }
    }

    /// Waits for the next batch. `None` once all requests have come, or if cancelled.
    pub fn wait(&mut self, is_cancelled: &dyn Fn() -> bool) -> Option<ArrivalBatch> {
        match self {
            Self::Closed(closed) => closed.take(),
            Self::Open(open) => open.wait(is_cancelled),
        }
    }

    /// Has `wake` called at every arrival of an open loop on a real clock.
    pub fn wake_with(&mut self, wake: Arc<dyn Fn() + Send + Sync>) {
        if let Self::Open(open) = self {
            open.wake_with(wake);
        }
    }

    /// The same as [`Workload::take`], and whether more will come.
    pub fn poll(&mut self, room: usize) -> Arrived {
        match self {
            Self::Closed(closed) => closed.take_up_to(room).map_or(Arrived::Over, Arrived::Now),
            Self::Open(open) => open.poll(room),
        }
    }

    pub fn ended(&mut self, at_ns: impl IntoIterator<Item = u64>) {
        if let Self::Closed(closed) = self {
            closed.ended(at_ns);
        }
    }
}
