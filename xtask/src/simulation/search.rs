//! Searches for the capacity of servers whose capacity is known: how often the interval holds it, and what the same
//! precision costs with a fixed grid of rates.

use super::{Share, in_parallel, random};
use rand::{Rng, RngExt};
use stats::search::{Next, Pace, PlannedRun, Resolution, RunShares, Search, is_over_saturated};
use stats::slo::{Capacity, Kept, Slo, capacity, goodput};
use stats::{Cell, Observation, Scenario};
use std::collections::{BTreeMap, BinaryHeap};

/// Requests of a run.
const REQUESTS: u64 = 400;
/// Width of the interval at which a search ends, as a share of the rate.
const RESOLUTION: f64 = 0.2;
/// One trial takes some 10,000 requests, so there are fewer of them than of the other tables.
const SHARE_OF_TRIALS: u32 = 50;
/// Requests that the capacity of a server without a formula is computed from.
const LONG: usize = 2_000_000;
/// Runs of each rate of the grid, from few to many.
const GRIDS: [u32; 5] = [3, 6, 12, 24, 48];

/// A server in simulated time, with Poisson arrivals or in closed loop. Its queue has no limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Server {
    name: &'static str,
    kind: Kind,
    limit_s: f64,
    /// Requests per second, or in flight, between which the search looks.
    range: (f64, f64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// One request after the other, each in one second.
    Deterministic,
    /// All waiting requests together, up to so many, in 0.5 s and 0.1 s for each.
    Batches(usize),
    /// In closed loop: so many requests at the same time, whose service times are uniform from 0 to 2 seconds.
    Slots(usize),
}

pub(crate) const SERVERS: [Server; 3] = [
    Server {
        name: "M/D/1, service 1 s, p95 within 6 s",
        kind: Kind::Deterministic,
        limit_s: 6.0,
        range: (0.1, 3.2),
    },
    Server {
        name: "batches of up to 8 in 0.5 s + 0.1 s per request, p95 within 4 s",
        kind: Kind::Batches(8),
        limit_s: 4.0,
        range: (0.5, 16.0),
    },
    Server {
        name: "closed loop, 8 slots, service of 0 to 2 s, p95 within 3 s",
        kind: Kind::Slots(8),
        limit_s: 3.0,
        range: (1.0, 64.0),
    },
];

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SearchRow {
    pub(crate) server: Server,
    /// Requests per second, or in flight.
    pub(crate) capacity: f64,
    /// Trials whose interval holds the capacity.
    pub(crate) holds: Share,
    /// Trials that ended with an interval that is narrow enough.
    pub(crate) resolved: Share,
    /// Mean requests of a trial.
    pub(crate) requests: f64,
    /// Trials of the grid that are as narrow, with the fewest runs that reach the share of the search, or the most runs.
    pub(crate) grid_resolved: Share,
    pub(crate) grid_requests: f64,
}

impl Server {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    fn slo(&self) -> Slo {
        Slo { request_latency_ms: Some(self.limit_s * 1e3), percentile: 95.0, ..Slo::default() }
    }

    /// Arrivals and latencies in seconds, from an empty server on.
    fn serve(&self, rate: f64, requests: usize, rng: &mut impl Rng) -> Vec<(f64, f64)> {
        if let Kind::Slots(slots) = self.kind {
            return closed_loop(users(rate), slots, requests, rng);
        }
        let mut at = 0.0;
        let arrivals = (0..requests).map(|_| {
            at -= (1.0 - rng.random::<f64>()).ln() / rate;
            at
        });
        let arrivals: Vec<f64> = arrivals.collect();
        let mut served = Vec::with_capacity(requests);
        let mut free = 0.0_f64;
        while let Some(&first) = arrivals.get(served.len()) {
            let start = free.max(first);
            let (batch, time) = match self.kind {
                Kind::Deterministic => (1, 1.0),
                Kind::Batches(most) => {
                    let waiting = arrivals[served.len()..].iter().take(most);
                    let batch = waiting.take_while(|arrival| **arrival <= start).count();
                    (batch, 0.5 + 0.1 * batch as f64)
                }
                Kind::Slots(_) => unreachable!("a closed loop was served above"),
            };
            free = start + time;
            let from = served.len();
            served.extend(arrivals[from..from + batch].iter().map(|&at| (at, free - at)));
        }
        served
    }

    /// The rate at which 95% of the requests are within the limit in the long run.
    pub(crate) fn capacity(&self) -> f64 {
        let share = |rate: f64| match self.kind {
            Kind::Deterministic => waits_at_most(rate, self.limit_s - 1.0),
            Kind::Batches(_) | Kind::Slots(_) => {
                // The same random numbers at every rate.
                let served = self.serve(rate, LONG, &mut random(9, 12, 0, 0));
                let good = served.iter().filter(|(_, latency)| *latency <= self.limit_s).count();
                good as f64 / LONG as f64
            }
        };
        let (mut low, mut high) = self.range;
        if let Kind::Slots(_) = self.kind {
            while high - low > 1.0 {
                let middle = f64::midpoint(low, high).floor();
                if share(middle) >= 0.95 { low = middle } else { high = middle }
            }
            return low;
        }
        for _ in 0..20 {
            let middle = f64::midpoint(low, high);
            if share(middle) >= 0.95 { low = middle } else { high = middle }
        }
        low
    }

    fn is_closed(&self) -> bool {
        matches!(self.kind, Kind::Slots(_))
    }

    /// Candidates with this many gaps in the resolution. Where they are relative to the capacity is random. In closed loop,
    /// whole numbers.
    fn candidates(&self, gaps: f64, rng: &mut impl Rng) -> Vec<f64> {
        let (low, high) = self.range;
        let step = (1.0 + RESOLUTION).powf(1.0 / gaps);
        let first = low * step.powf(rng.random::<f64>() - 0.5);
        let all = std::iter::successors(Some(first), |load| Some(load * step));
        let all = all.take_while(|load| *load < high);
        if !self.is_closed() {
            return all.collect();
        }
        let mut whole: Vec<f64> = all.map(|load| load.round().max(1.0)).collect();
        whole.dedup();
        whole
    }

    /// One run as an agent reports it.
    fn observe(&self, rate: f64, run: u32, rng: &mut impl Rng) -> Vec<Observation> {
        let served = self.serve(rate, usize::try_from(REQUESTS).unwrap_or_default(), rng);
        let row = |(batch, (at, latency)): (u32, (f64, f64))| Observation {
            run,
            segment: run,
            batch,
            start_ns: ns(at),
            sample: batch,
            latency_ns: ns(latency),
            is_ok: true,
            ..Observation::default()
        };
        (0..).zip(served).map(row).collect()
    }
}

/// A time in seconds, for a heap whose first is the least.
#[derive(Debug, Clone, Copy, PartialEq)]
struct At(f64);

impl Eq for At {}

impl Ord for At {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.0.total_cmp(&self.0)
    }
}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number")]
fn users(load: f64) -> usize {
    load as usize
}

/// Starts and latencies: each user sends a request when its previous one has been answered, and the first that came is the
/// first that gets a free slot.
fn closed_loop(users: usize, slots: usize, requests: usize, rng: &mut impl Rng) -> Vec<(f64, f64)> {
    let mut ready: BinaryHeap<At> = std::iter::repeat_n(At(0.0), users).collect();
    let mut free: BinaryHeap<At> = std::iter::repeat_n(At(0.0), slots).collect();
    let mut served = Vec::with_capacity(requests);
    while served.len() < requests
        && let (Some(At(at)), Some(At(slot))) = (ready.pop(), free.pop())
    {
        let end = at.max(slot) + 2.0 * rng.random::<f64>();
        ready.push(At(end));
        free.push(At(end));
        served.push((at, end - at));
    }
    served
}

/// The probability that a request of an M/D/1 queue with service times of 1 waits at most `time` (Erlang, 1909).
fn waits_at_most(rate: f64, time: f64) -> f64 {
    if rate >= 1.0 {
        return 0.0;
    }
    let mut sum = 0.0;
    let mut done = 0.0;
    while done <= time {
        let left = rate * (time - done);
        let mut term = left.exp();
        let mut place = 1.0;
        while place <= done {
            term *= -left / place;
            place += 1.0;
        }
        sum += term;
        done += 1.0;
    }
    (1.0 - rate) * sum
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, in ns")]
fn ns(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// `trials` of the other tables.
pub(crate) fn rows(trials: u32, seed: u64) -> Vec<SearchRow> {
    let trials = (trials / SHARE_OF_TRIALS).max(1);
    in_parallel(SERVERS.into_iter().zip(0..), |(server, row)| {
        let searched = searches(server, trials, (seed, row));
        let (grid_resolved, grid_requests) = grid(&searched, (seed, row));
        SearchRow { grid_resolved, grid_requests, ..searched }
    })
}

/// Searches alone.
pub(crate) fn searches(server: Server, trials: u32, (seed, row): (u64, u64)) -> SearchRow {
    let capacity = server.capacity();
    let (mut holds, mut resolved, mut requests) = (Share::default(), Share::default(), 0);
    for trial in 0..trials {
        let rng = &mut random(seed, 10, row, trial);
        let search = Search {
            loads: server.candidates(4.0, rng),
            pace: if server.is_closed() { Pace::Measured } else { Pace::Offered },
            resolution: RESOLUTION,
            max_runs: 100,
            needed: server.slo().needed(),
        };
        let mut runs = BTreeMap::new();
        let standing = loop {
            let progress = search.follow(&runs);
            let Next::Measure { load, run } = progress.next else { break progress.standing };
            let mut rows = server.observe(search.loads[load], run, rng);
            cut_short(&mut rows, &server.slo());
            requests += rows.len();
            let in_flight = if server.is_closed() { users(search.loads[load]) as u64 } else { 0 };
            let planned = PlannedRun { requests: REQUESTS, in_flight };
            runs.insert((load, run), RunShares::new(rows, &server.slo(), planned));
        };
        let low = standing.low.unwrap_or(0.0);
        let high = standing.high.unwrap_or(f64::INFINITY);
        holds.count(Some(low <= capacity && capacity < high));
        resolved.count(Some(standing.resolution == Resolution::Resolved));
    }
    SearchRow {
        server,
        capacity,
        holds,
        resolved,
        requests: requests as f64 / f64::from(trials),
        grid_resolved: Share::default(),
        grid_requests: 0.0,
    }
}

/// The requests that were answered when the run was found to be over-saturated.
fn cut_short(rows: &mut Vec<Observation>, slo: &Slo) {
    let limit = slo.request_latency_ms.unwrap_or(f64::INFINITY);
    let mut by_end: Vec<Observation> = rows.clone();
    by_end.sort_by_key(Observation::end_ns);
    let mut bad = 0;
    let last = by_end.iter().find(|row| {
        bad += u64::from(row.latency_ms() > limit);
        is_over_saturated(bad, REQUESTS)
    });
    if let Some(end) = last.map(Observation::end_ns) {
        rows.retain(|row| row.end_ns() <= end);
    }
}

/// Rates at half of the resolution from each other, all with the same number of runs, judged by the interval of the
/// share of good requests: the fewest runs that are as often as narrow as the searches. Rates far from the capacity are
/// counted without being simulated.
fn grid(searched: &SearchRow, (seed, row): (u64, u64)) -> (Share, f64) {
    let &SearchRow { server, capacity: truth, resolved, .. } = searched;
    let wanted = resolved.share().unwrap_or(1.0);
    let mut found = (Share::default(), 0.0);
    for runs in GRIDS {
        let mut narrow = Share::default();
        let mut requests = 0.0;
        for trial in 0..resolved.of.min(40) {
            let rng = &mut random(seed, 11, row, trial);
            let rates = server.candidates(2.0, rng);
            requests += rates.len() as f64 * f64::from(runs) * REQUESTS as f64;
            let near = rates.iter().filter(|rate| (0.6..1.7).contains(&(**rate / truth)));
            let judged = near.map(|&rate| {
                let rows = (1..=runs).flat_map(|run| server.observe(rate, run, rng));
                let cell = Cell::new(Scenario::Server, rows.collect());
                (rate, goodput(&cell, server.slo()).kept)
            });
            let judged: Vec<(f64, Kept)> = judged.collect();
            let missed = judged.iter().find(|(_, kept)| *kept == Kept::Missed);
            let is_narrow = match (capacity(&judged), missed) {
                (Capacity::Met { request_rate }, Some((missed, _))) => {
                    let is_next = server.is_closed() && *missed <= request_rate + 1.0;
                    is_next || *missed <= request_rate * (1.0 + RESOLUTION) * 1.000_001
                }
                _ => false,
            };
            narrow.count(Some(is_narrow));
        }
        found = (narrow, requests / f64::from(narrow.of.max(1)));
        if narrow.share() >= Some(wanted * 0.95) {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_of_m_d_1_agrees_with_the_simulated_queue() {
        let served = SERVERS[0].serve(0.7, 400_000, &mut random(1, 13, 0, 0));
        for limit in [1.0, 2.5, 6.0] {
            let good = served.iter().filter(|(_, latency)| *latency <= limit + 1e-9).count();
            let (share, formula) = (good as f64 / 400_000.0, waits_at_most(0.7, limit - 1.0));
            assert!((share - formula).abs() < 0.005, "{limit}: {share} and {formula}");
        }
    }

    /// With as many slots as users, none waits: the latency is the service time.
    #[test]
    fn the_users_of_a_closed_loop_wait_for_a_free_slot() {
        let share = |users: usize, limit: f64| {
            let served = closed_loop(users, 8, 200_000, &mut random(1, 14, 0, 0));
            served.iter().filter(|(_, latency)| *latency <= limit).count() as f64 / 200_000.0
        };
        assert!((share(8, 1.5) - 0.75).abs() < 0.005, "{}", share(8, 1.5));
        // Twice as many users than slots spend half of their time waiting: 2 s on average by Little's law.
        let served = closed_loop(16, 8, 200_000, &mut random(1, 14, 0, 0));
        let mean = served.iter().map(|(_, latency)| latency).sum::<f64>() / 200_000.0;
        assert!((mean - 2.0).abs() < 0.02, "{mean}");
    }

    #[test]
    fn a_search_finds_the_capacity_of_a_known_server() {
        for (server, row) in SERVERS.into_iter().zip(0..) {
            let found = searches(server, 6, (1, row));
            assert_eq!((found.holds.hits, found.resolved.hits), (6, 6), "{found:?}");
            // 39 rates of one run each are 15,600 requests and resolve nothing.
            assert!(found.requests < 40_000.0, "{found:?}");
        }
    }
}
