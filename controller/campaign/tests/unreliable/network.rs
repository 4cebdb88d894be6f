//! Streams that keep their order, have latency and break; hosts that are partitioned in one direction or both.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// This much silence breaks a connection: HTTP/2 pings go unanswered.
const KEEPALIVE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    ToController,
    ToAgent,
}

/// A time during which a host's messages are delayed.
#[derive(Debug, Clone, Copy)]
struct Partition {
    from: Duration,
    to: Duration,
    to_controller: bool,
    to_agent: bool,
}

#[derive(Debug)]
pub(crate) struct Partitions(Vec<Partition>);

impl Partitions {
    /// A few, of up to a minute, in the first ten minutes.
    pub(crate) fn draw(random: &mut ChaCha8Rng) -> Self {
        let partition = |random: &mut ChaCha8Rng| {
            let from = Duration::from_millis(random.random_range(0..600_000));
            // Shorter than a lease, longer than one, or longer than a connection survives.
            let length = [2_000, 20_000, 60_000][random.random_range(0..3)];
            let length = Duration::from_millis(random.random_range(0..length));
            let which = random.random_range(0..3);
            Partition { from, to: from + length, to_controller: which != 1, to_agent: which != 0 }
        };
        Self((0..random.random_range(0..4)).map(|_| partition(random)).collect())
    }

    /// When a message that is sent now gets through; or when the connection breaks before.
    fn passes(&self, direction: Direction, now: Duration) -> Result<Duration, Duration> {
        let mut at = now;
        loop {
            let holds = |partition: &&Partition| {
                partition.from <= at
                    && at < partition.to
                    && if direction == Direction::ToController {
                        partition.to_controller
                    } else {
                        partition.to_agent
                    }
            };
            let Some(partition) = self.0.iter().find(holds) else { return Ok(at) };
            if partition.to > now + KEEPALIVE {
                return Err(now + KEEPALIVE);
            }
            at = partition.to;
        }
    }
}

/// One connection of one agent.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) host: usize,
    /// Arrival of the last message per direction: messages arrive in order.
    last: [Duration; 2],
    /// Nothing arrives from this time on.
    pub(crate) broken_at: Option<Duration>,
}

impl Connection {
    pub(crate) fn new(host: usize) -> Self {
        Self { host, last: [Duration::ZERO; 2], broken_at: None }
    }

    /// When a message that is sent now arrives; none if the connection breaks before.
    pub(crate) fn arrival(
        &mut self,
        direction: Direction,
        now: Duration,
        partitions: &Partitions,
        random: &mut ChaCha8Rng,
    ) -> Option<Duration> {
        let latency = Duration::from_micros(match random.random_range(0..20) {
            0 => random.random_range(100_000..3_000_000),
            _ => random.random_range(100..20_000),
        });
        match partitions.passes(direction, now) {
            Ok(passes) => {
                let last = &mut self.last[usize::from(direction == Direction::ToAgent)];
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
