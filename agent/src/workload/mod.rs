//! When requests come, and which of them are decoded together: closed loop, where a request follows the end of
//! another one, and open loop, where it comes whether the engine is ready or not.

mod arrivals;
mod closed;
mod open;

pub use arrivals::{Arrivals, Gaps};
pub use closed::Closed;
pub use open::{Open, Rules};

use proto::wire;
use stopwatch::Stopwatch;

/// A request that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// The number of the request, from 0.
    pub index: u64,
    /// When it was meant to start; latency counts from here.
    pub intended_ns: u64,
    /// From then until it stood in the queue.
    pub delay_ns: Option<u64>,
}

/// What there is to decode.
#[derive(Debug, PartialEq, Eq)]
pub struct Together {
    /// To be decoded together, in the order in which they came.
    pub batch: Vec<Arrival>,
    /// Those that found a full queue since the last batch.
    pub not_sent: Vec<Arrival>,
}

/// Where requests come from.
#[derive(Debug)]
pub enum Workload {
    /// Closed loop.
    Closed(Closed),
    /// Open loop.
    Open(Box<Open>),
}

impl Workload {
    /// Starts the load of an offer now. `requests` is how many come in all; `None`: without end.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        load: &wire::Load,
        batch_size: u32,
        requests: Option<u64>,
        stopwatch: &Stopwatch,
    ) -> std::io::Result<Self> {
        let most = batch_size.max(1) as usize;
        if load.request_rate > 0.0 {
            let gaps = if load.constant_gaps { Gaps::Constant } else { Gaps::Exponential };
            let arrivals = Arrivals::new(load.request_rate, gaps, load.seed);
            let rules = Rules {
                most,
                max_delay_ns: load.max_batch_delay_ns,
                max_queue: load.max_queue.max(1) as usize,
            };
            return Open::start(arrivals, requests, rules, stopwatch).map(Box::new).map(Self::Open);
        }
        let concurrency = load.concurrency.max(1);
        Ok(Self::Closed(Closed::start(concurrency, most, requests, stopwatch.now_ns())))
    }

    /// Those that wait now, at most `room`, without waiting for others; `None` where none does.
    pub fn take(&mut self, room: usize) -> Option<Together> {
        match self {
            Self::Closed(closed) => closed.take_up_to(room),
            Self::Open(open) => open.take(room),
        }
    }

    /// Waits for the next requests to decode; `None` once all have come, or where `is_cancelled`.
    pub fn wait(&mut self, is_cancelled: &dyn Fn() -> bool) -> Option<Together> {
        match self {
            Self::Closed(closed) => closed.take(),
            Self::Open(open) => open.wait(is_cancelled),
        }
    }

    /// Requests ended, at these times.
    pub fn ended(&mut self, at_ns: impl IntoIterator<Item = u64>) {
        if let Self::Closed(closed) = self {
            closed.ended(at_ns);
        }
    }
}
