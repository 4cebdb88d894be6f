//! Streams that keep their order, take their time, and break; hosts that are cut off one way or both.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Silence for so long breaks a connection: HTTP/2 pings go unanswered.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ToController,
    ToAgent,
}

/// A time in which a host's messages are held up.
#[derive(Debug, Clone, Copy)]
struct Cut {
    from: Duration,
    to: Duration,
    to_controller: bool,
    to_agent: bool,
}

/// The cuts of one host.
#[derive(Debug)]
pub(crate) struct Cuts(Vec<Cut>);

impl Cuts {
    /// A few, of up to a minute, in the first ten minutes.
    pub(crate) fn draw(random: &mut ChaCha8Rng) -> Self {
        let cut = |random: &mut ChaCha8Rng| {
            let from = Duration::from_millis(random.random_range(0..600_000));
            // Some shorter than a lease, some longer, some longer than a connection lives.
            let length = [2_000, 20_000, 60_000][random.random_range(0..3)];
            let length = Duration::from_millis(random.random_range(0..length));
            let which = random.random_range(0..3);
            Cut { from, to: from + length, to_controller: which != 1, to_agent: which != 0 }
        };
        Self((0..random.random_range(0..4)).map(|_| cut(random)).collect())
    }

    /// When a message that is sent now is let through; none where the connection breaks first, and when.
    fn passes(&self, way: Way, now: Duration) -> Result<Duration, Duration> {
        let mut at = now;
        loop {
            let holds = |cut: &&Cut| {
                cut.from <= at
                    && at < cut.to
                    && if way == Way::ToController { cut.to_controller } else { cut.to_agent }
            };
            let Some(cut) = self.0.iter().find(holds) else { return Ok(at) };
            if cut.to > now + KEEPALIVE {
                return Err(now + KEEPALIVE);
            }
            at = cut.to;
        }
    }
}

/// One connection of one agent.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) host: usize,
    /// Messages arrive in the order in which they were sent.
    last: [Duration; 2],
    /// From when on nothing arrives.
    pub(crate) broken_at: Option<Duration>,
}

impl Connection {
    pub(crate) fn new(host: usize) -> Self {
        Self { host, last: [Duration::ZERO; 2], broken_at: None }
    }

    /// When a message that is sent now arrives; never on a connection that breaks before.
    pub(crate) fn arrival(
        &mut self,
        way: Way,
        now: Duration,
        cuts: &Cuts,
        random: &mut ChaCha8Rng,
    ) -> Option<Duration> {
        let latency = Duration::from_micros(match random.random_range(0..20) {
            0 => random.random_range(100_000..3_000_000),
            _ => random.random_range(100..20_000),
        });
        match cuts.passes(way, now) {
            Ok(passes) => {
                let last = &mut self.last[usize::from(way == Way::ToAgent)];
                *last = (passes + latency).max(*last + Duration::from_nanos(1));
                let broken = self.broken_at.is_some_and(|broken| broken <= *last);
                (!broken).then_some(*last)
            }
            Err(breaks) => {
                self.break_at(breaks);
                None
            }
        }
    }

    pub(crate) fn break_at(&mut self, at: Duration) {
        self.broken_at = Some(self.broken_at.map_or(at, |known| known.min(at)));
    }
}
