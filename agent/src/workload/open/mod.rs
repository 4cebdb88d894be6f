//! `OpenLoop` loop: requests arrive by a schedule, regardless of the engine, and wait in a queue.
//!
//! On a real clock a dedicated thread queues them, like a server's network thread; the time from
//! the scheduled arrival until then is the schedule delay. On a synthetic clock it is zero. Future
//! requests are unknown: an incomplete batch waits for more as long as allowed.

mod synthetic;
mod queue;
mod real;

use super::{ArrivalBatch, Arrived, Dealt};
use real::RealClock;
use std::iter::{Peekable, Zip};
use std::ops::Range;
use std::sync::Arc;
use stopwatch::Stopwatch;
use synthetic::SyntheticClock;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueRules {
    /// Maximum batch size.
    pub most: usize,
    pub max_delay_ns: u64,
    pub max_queue: usize,
}

#[derive(Debug)]
pub struct OpenLoop(Clock);

#[derive(Debug)]
enum Clock {
    Synthetic(Box<SyntheticClock>),
    Real(RealClock),
}

/// Numbers and times of all arrivals.
#[derive(Debug)]
struct Schedule {
    start_ns: u64,
    numbered: Peekable<Zip<Range<u64>, Dealt>>,
}

impl Schedule {
    fn due_ns(&mut self) -> Option<u64> {
        self.numbered.peek().map(|(_, offset)| self.start_ns.saturating_add(*offset))
    }

    fn next(&mut self) -> Option<(u64, u64)> {
        let (index, offset) = self.numbered.next()?;
        Some((index, self.start_ns.saturating_add(offset)))
    }
}

impl OpenLoop {
    pub fn start(
        arrivals: Dealt,
        requests: Option<u64>,
        rules: QueueRules,
        stopwatch: &Stopwatch,
    ) -> std::io::Result<Self> {
        let numbered = (0..requests.unwrap_or(u64::MAX)).zip(arrivals).peekable();
        let schedule = Schedule { start_ns: stopwatch.now_ns(), numbered };
        Ok(Self(if stopwatch.is_synthetic() {
            Clock::Synthetic(Box::new(SyntheticClock::new(schedule, rules, stopwatch.clone())))
        } else {
            Clock::Real(RealClock::start(schedule, rules, stopwatch.clone())?)
        }))
    }

    /// The requests waiting now, at most `room`. `None` if none wait and none were rejected.
    pub fn take(&mut self, room: usize) -> Option<ArrivalBatch> {
        let arrivals = match &mut self.0 {
            Clock::Synthetic(synthetic) => synthetic.take(room),
            Clock::Real(real) => real.take(room),
        };
        Some(arrivals)
            .filter(|arrivals| !arrivals.batch.is_empty() || !arrivals.not_sent.is_empty())
    }

    pub fn wake_with(&mut self, wake: Arc<dyn Fn() + Send + Sync>) {
        match &self.0 {
            // Its time passes only while the consumer waits.
            Clock::Synthetic(_) => {}
            Clock::Real(real) => real.wake_with(wake),
        }
    }

    /// What has arrived, at most `room`, and whether more will.
    pub fn poll(&mut self, room: usize) -> Arrived {
        match &mut self.0 {
            Clock::Synthetic(synthetic) => synthetic.wait().map_or(Arrived::Over, Arrived::Now),
            Clock::Real(real) => real.poll(room),
        }
    }

    pub fn wait(&mut self, is_cancelled: &dyn Fn() -> bool) -> Option<ArrivalBatch> {
        match &mut self.0 {
            Clock::Synthetic(synthetic) => synthetic.wait(),
            Clock::Real(real) => real.wait(is_cancelled),
        }
    }
}
