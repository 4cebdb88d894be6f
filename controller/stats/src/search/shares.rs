//! The requests of one run -> the shares that a search learns from.

use crate::Observation;
use crate::slo::{Grade, Slo};

/// A block of consecutive requests is one observation: near saturation, good and bad requests come in clusters.
pub(super) const BLOCK: usize = 20;
/// The first fifth of a run doesn't count: its requests find an empty queue, or in closed loop start together.
const RAMP_UP: usize = 5;
/// A run is over-saturated once a quarter of its requests are bad.
const MOST_BAD: usize = 4;

/// What a run of a candidate is to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedRun {
    pub requests: u64,
    /// In closed loop, the requests in flight; 0 in open loop.
    pub in_flight: u64,
}

/// What a search learns from one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunShares {
    /// By block in order of arrival, the shares of [`Slo::needed`]; empty if a limited figure wasn't measured.
    pub blocks: Vec<Vec<f64>>,
    pub requests: u64,
    /// Requests within all limits.
    pub good: u64,
    /// From the first start to the last end; `None` if no time passed.
    pub per_second: Option<f64>,
    pub end: RunEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// Every planned request was measured.
    Whole,
    /// It was cut short, because it was over-saturated.
    CutShort,
    /// Requests are missing.
    Partial,
}

/// Whether a run of `planned` requests is over-saturated, after so many bad ones: no remaining request can change that
/// it misses the objective, by far.
pub fn is_over_saturated(bad: u64, planned: u64) -> bool {
    bad * MOST_BAD as u64 > planned
}

impl RunShares {
    /// Of the measured requests of a run, in any order.
    pub fn new(mut rows: Vec<Observation>, slo: &Slo, planned: PlannedRun) -> Self {
        let PlannedRun { requests: planned, in_flight } = planned;
        in_order_of_arrival(&mut rows);
        let count = |grade| rows.iter().filter(|row| slo.grade(row) == grade).count() as u64;
        let (good, bad, unknown) = (count(Grade::Good), count(Grade::Bad), count(Grade::Unknown));
        let is_good = |row: &Observation| slo.grade(row) == Grade::Good;
        let requests = rows.len() as u64;
        let needed = slo.needed().len();
        let number = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let skipped = number(planned).div_ceil(RAMP_UP).max(number(in_flight));
        // The last requests of a closed loop are answered while fewer and fewer are in flight.
        let last = rows.len().saturating_sub(number(in_flight));
        // An unmeasured figure shows nothing.
        let counted = rows.get(skipped..last).filter(|_| unknown == 0).unwrap_or_default();
        let span_ns = rows.iter().map(Observation::end_ns).max().unwrap_or_default();
        let per_second = (span_ns > 0).then(|| requests as f64 * 1e9 / span_ns as f64);
        let blocks = (counted.len() / BLOCK).max(usize::from(!counted.is_empty()));
        let cut = |index: usize| counted.len() * index / blocks;
        let shares = |index: usize| {
            let block = &counted[cut(index)..cut(index + 1)];
            let share = |count: usize| count as f64 / block.len() as f64;
            let good = share(block.iter().filter(|row| is_good(row)).count());
            let answered = share(block.iter().filter(|row| row.is_ok()).count());
            [good, answered][..needed].to_vec()
        };
        let end = if requests >= planned {
            RunEnd::Whole
        } else if is_over_saturated(bad, planned) {
            RunEnd::CutShort
        } else {
            RunEnd::Partial
        };
        Self { blocks: (0..blocks).map(shares).collect(), requests, good, per_second, end }
    }
}

/// By the time since the start of its segment, whose number is unique in its run: clocks of two hosts are never compared.
fn in_order_of_arrival(rows: &mut [Observation]) {
    rows.sort_unstable_by_key(|row| (row.segment, row.start_ns, row.batch));
    for segment in rows.chunk_by_mut(|a, b| a.segment == b.segment) {
        let first = segment.first().map_or(0, |row| row.start_ns);
        segment.iter_mut().for_each(|row| row.start_ns -= first);
    }
    rows.sort_by_key(|row| (row.start_ns, row.segment, row.batch));
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLO: Slo = Slo {
        request_latency_ms: Some(100.0),
        ttft_ms: None,
        tpot_ms: None,
        percentile: 95.0,
        error_rate: Some(0.05),
    };

    const OPEN: PlannedRun = PlannedRun { requests: 100, in_flight: 0 };

    fn request(host: u32, place: u64, latency_ms: u64) -> Observation {
        Observation {
            run: 1,
            host,
            segment: host,
            start_ns: u64::from(host) * 1_000_000_000 + place * 1000,
            latency_ns: latency_ms * 1_000_000,
            is_ok: true,
            ..Observation::default()
        }
    }

    #[test]
    fn blocks_are_in_order_of_arrival_after_the_ramp_up() {
        // Requests are fast during the ramp-up and in the second half.
        let latency = |place: u64| if (20..60).contains(&place) { 200 } else { 50 };
        let rows: Vec<Observation> = (0..100).rev().map(|at| request(0, at, latency(at))).collect();
        let shares = RunShares::new(rows, &SLO, OPEN);
        assert_eq!(shares.blocks, [[0.0, 1.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0]]);
        assert_eq!((shares.good, shares.requests, shares.end), (60, 100, RunEnd::Whole));
        let without =
            RunShares::new(vec![request(0, 0, 50); 100], &Slo { error_rate: None, ..SLO }, OPEN);
        assert_eq!(without.blocks[0], [1.0]);
    }

    #[test]
    fn requests_of_two_hosts_arrive_together() {
        let of_host =
            |host| (0..50).map(move |at| request(host, at, if at < 30 { 50 } else { 200 }));
        let shares = RunShares::new(of_host(0).chain(of_host(7)).collect(), &SLO, OPEN);
        assert_eq!(shares.blocks, [[1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]]);
    }

    /// 30 users: the first request of each meets the others', the last of each meets fewer and fewer.
    #[test]
    fn a_closed_loop_counts_between_the_first_and_the_last_request_of_each_user() {
        let latency = |place: u64| if (30..70).contains(&place) { 200 } else { 50 };
        let rows: Vec<Observation> = (0..100).map(|at| request(0, at, latency(at))).collect();
        let shares = RunShares::new(rows, &SLO, PlannedRun { in_flight: 30, ..OPEN });
        assert_eq!(shares.blocks, [[0.0, 1.0], [0.0, 1.0]]);
        // 100 requests within 0.2 s of the first start, give or take their starts.
        assert!((shares.per_second.unwrap() - 500.0).abs() < 1.0, "{:?}", shares.per_second);
        let few = RunShares::new(
            vec![request(0, 0, 50); 50],
            &SLO,
            PlannedRun { requests: 50, in_flight: 30 },
        );
        assert_eq!((few.blocks.len(), few.end), (0, RunEnd::Whole));
    }

    #[test]
    fn a_run_that_lacks_requests_is_cut_short_or_partial() {
        let end = |bad, good| {
            let bad = (0..bad).map(|at| request(0, at, 200));
            let good = (0..good).map(|at| request(0, 100 + at, 50));
            RunShares::new(bad.chain(good).collect(), &SLO, OPEN).end
        };
        assert_eq!(
            [end(26, 30), end(25, 30), end(60, 40)],
            [RunEnd::CutShort, RunEnd::Partial, RunEnd::Whole]
        );
        assert_eq!(RunShares::new(Vec::new(), &SLO, OPEN).blocks.len(), 0);
    }
}
