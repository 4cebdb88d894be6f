//! Open loop: requests come by a schedule, whether the engine is ready or not, and wait in a queue.
//!
//! On a real clock a thread of its own puts them there, as a server's network side would, and the time from the
//! intended start until then is the schedule delay. On a played clock they are there in time. Nobody knows of a
//! request before it came: a batch that isn't full waits for others for as long as it may.

mod played;
mod queue;
mod real;

use super::{Arrivals, Together};
use played::Played;
use real::Real;
use std::iter::{Peekable, Zip};
use std::ops::Range;
use stopwatch::Stopwatch;

/// What becomes of requests that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// So many are decoded together at most.
    pub most: usize,
    /// How long the oldest waits for others.
    pub max_delay_ns: u64,
    /// What comes while so many wait is not sent.
    pub max_queue: usize,
}

/// Requests that come by a schedule.
#[derive(Debug)]
pub struct Open(Clock);

#[derive(Debug)]
enum Clock {
    Played(Box<Played>),
    Real(Real),
}

/// Numbers and times of all that will come.
#[derive(Debug)]
struct Schedule {
    start_ns: u64,
    numbered: Peekable<Zip<Range<u64>, Arrivals>>,
}

impl Schedule {
    /// When the next one is meant to come.
    fn due_ns(&mut self) -> Option<u64> {
        self.numbered.peek().map(|(_, offset)| self.start_ns.saturating_add(*offset))
    }

    /// The next one: its number and when it is meant to come.
    fn next(&mut self) -> Option<(u64, u64)> {
        let (index, offset) = self.numbered.next()?;
        Some((index, self.start_ns.saturating_add(offset)))
    }
}

impl Open {
    /// Starts the schedule now; `requests` come in all, `None`: without end.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start(
        arrivals: Arrivals,
        requests: Option<u64>,
        rules: Rules,
        stopwatch: &Stopwatch,
    ) -> std::io::Result<Self> {
        let numbered = (0..requests.unwrap_or(u64::MAX)).zip(arrivals).peekable();
        let schedule = Schedule { start_ns: stopwatch.now_ns(), numbered };
        Ok(Self(if stopwatch.is_played() {
            Clock::Played(Box::new(Played::new(schedule, rules, stopwatch.clone())))
        } else {
            Clock::Real(Real::start(schedule, rules, stopwatch.clone())?)
        }))
    }

    /// Those that wait now, at most `room`; `None` where nobody does and nobody was turned away.
    pub fn take(&mut self, room: usize) -> Option<Together> {
        let together = match &mut self.0 {
            Clock::Played(played) => played.take(room),
            Clock::Real(real) => real.take(room),
        };
        Some(together)
            .filter(|together| !together.batch.is_empty() || !together.not_sent.is_empty())
    }

    /// The next to be decoded together; `None` once all have come, or where `is_cancelled`.
    pub fn wait(&mut self, is_cancelled: &dyn Fn() -> bool) -> Option<Together> {
        match &mut self.0 {
            Clock::Played(played) => played.wait(),
            Clock::Real(real) => real.wait(is_cancelled),
        }
    }
}
