//! Recorded arrival times of an open loop: times from the start of the load, which repeat after a period.

use serde::{Deserialize, Serialize};

/// Limit on the number of times: with five bytes for each, they and the dialogues fit into one message.
pub const MAX_ARRIVALS: usize = 200_000;
/// Ten years.
const MAX_PERIOD_NS: u64 = 3650 * 24 * 3600 * 1_000_000_000;

/// Arrival times within one period, in order. The times of the next period follow at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Serialized", into = "Serialized")]
pub struct RecordedArrivals {
    /// In nanoseconds from the start; at least one, none after the period.
    times_ns: Vec<u64>,
    period_ns: u64,
    /// By arrival, an index of the load's requests; empty: they take turns.
    requests: Vec<u32>,
}

/// The serialized form, whose numbers are short.
#[derive(Serialize, Deserialize)]
struct Serialized {
    gaps_ns: Vec<u64>,
    period_ns: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requests: Vec<u32>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("expected 1 to {MAX_ARRIVALS} recorded arrivals, found {found}")]
    Count { found: usize },
    #[error("recorded arrival {index} is earlier than the one before it")]
    Order { index: usize },
    #[error(
        "recorded arrivals repeat every {period_ns} ns: expected a time after the last one, and at most ten years"
    )]
    Period { period_ns: u64 },
    #[error("expected a request for each of {expected} recorded arrivals, found {found}")]
    Requests { found: usize, expected: usize },
}

impl RecordedArrivals {
    /// `times_ns`: in nanoseconds from the start, in order, none after `period_ns`.
    pub fn new(times_ns: Vec<u64>, period_ns: u64) -> Result<Self, Error> {
        if times_ns.is_empty() || times_ns.len() > MAX_ARRIVALS {
            return Err(Error::Count { found: times_ns.len() });
        }
        if let Some(at) = times_ns.windows(2).position(|pair| pair[1] < pair[0]) {
            return Err(Error::Order { index: at + 1 });
        }
        let last = times_ns.last().copied().unwrap_or_default();
        if period_ns == 0 || period_ns < last || period_ns > MAX_PERIOD_NS {
            return Err(Error::Period { period_ns });
        }
        Ok(Self { times_ns, period_ns, requests: Vec::new() })
    }

    /// With the request of each arrival, an index of the load's requests; empty: they take turns.
    pub fn sending(self, requests: Vec<u32>) -> Result<Self, Error> {
        let (found, expected) = (requests.len(), self.times_ns.len());
        if found != 0 && found != expected {
            return Err(Error::Requests { found, expected });
        }
        Ok(Self { requests, ..self })
    }

    /// By arrival, an index of the load's requests; empty: they take turns.
    pub fn requests(&self) -> &[u32] {
        &self.requests
    }

    /// The request of an arrival, from 0, as an index of the load's requests.
    pub fn request(&self, index: u64) -> u64 {
        let count = self.requests.len() as u64;
        if count == 0 {
            return index;
        }
        // Below the number of requests, which a usize counts.
        self.requests[usize::try_from(index % count).unwrap_or_default()].into()
    }

    /// From the gaps in front of the arrivals, as a sum that can't overflow unnoticed.
    pub fn from_gaps(gaps_ns: &[u64], period_ns: u64) -> Result<Self, Error> {
        // A longer list is refused before it is copied.
        if gaps_ns.len() > MAX_ARRIVALS {
            return Err(Error::Count { found: gaps_ns.len() });
        }
        let mut at_ns = 0_u64;
        let times = gaps_ns.iter().map(|gap| {
            at_ns = at_ns.saturating_add(*gap);
            at_ns
        });
        Self::new(times.collect(), period_ns)
    }

    /// The gaps in front of the arrivals: the first one from the start.
    pub fn gaps_ns(&self) -> Vec<u64> {
        let before = std::iter::once(0).chain(self.times_ns.iter().copied());
        self.times_ns.iter().zip(before).map(|(at, before)| at - before).collect()
    }

    pub fn times_ns(&self) -> &[u64] {
        &self.times_ns
    }

    pub fn period_ns(&self) -> u64 {
        self.period_ns
    }

    /// Requests per second over the period.
    pub fn rate(&self) -> f64 {
        self.times_ns.len() as f64 * 1e9 / self.period_ns as f64
    }

    /// The time of an arrival, from 0, in nanoseconds from the start.
    pub fn time_ns(&self, index: u64) -> u64 {
        let count = self.times_ns.len() as u64;
        // Below the number of times, which a usize counts.
        let within = usize::try_from(index % count).unwrap_or_default();
        (index / count).saturating_mul(self.period_ns).saturating_add(self.times_ns[within])
    }

    /// The longest time without an arrival, also across the end of the period.
    pub fn longest_gap_ns(&self) -> u64 {
        let across = self.period_ns - self.times_ns.last().copied().unwrap_or_default();
        let first = self.times_ns.first().copied().unwrap_or_default();
        self.gaps_ns().into_iter().skip(1).fold(across + first, u64::max)
    }

    /// The largest number of arrivals within any interval of `span_ns`.
    pub fn most_within(&self, span_ns: u64) -> u64 {
        let count = self.times_ns.len() as u64;
        let (periods, rest_ns) = (span_ns / self.period_ns, span_ns % self.period_ns);
        let mut end = 0;
        let mut most = 0;
        for start in 0..count {
            end = end.max(start);
            while end - start < count && self.time_ns(end) - self.time_ns(start) <= rest_ns {
                end += 1;
            }
            most = most.max(end - start);
        }
        periods.saturating_mul(count).saturating_add(most)
    }

    /// At `factor` times the rate: every time is divided by it.
    pub fn faster(&self, factor: f64) -> Result<Self, Error> {
        let scaled = |at_ns: u64| scale(at_ns, factor);
        let times = self.times_ns.iter().map(|at| scaled(*at)).collect();
        Self::new(times, scaled(self.period_ns).max(1))?.sending(self.requests.clone())
    }

    /// The arrivals at these indices, in order, at their own times.
    pub fn only(&self, indices: &[usize]) -> Result<Self, Error> {
        let times = indices.iter().filter_map(|index| self.times_ns.get(*index)).copied();
        let requests = indices.iter().filter_map(|index| self.requests.get(*index)).copied();
        Self::new(times.collect(), self.period_ns)?.sending(requests.collect())
    }

    /// What is left of a load after its first `requests` arrivals: times from the last of them.
    #[must_use]
    pub fn after_requests(&self, requests: u64) -> Self {
        let count = self.times_ns.len() as u64;
        let first = usize::try_from(requests % count).unwrap_or_default();
        let start_ns = first.checked_sub(1).map_or(0, |before| self.times_ns[before]);
        self.rotated(first, start_ns)
    }

    /// What is left of a load after `passed_ns`.
    #[must_use]
    pub fn after_time(&self, passed_ns: u64) -> Self {
        let start_ns = passed_ns % self.period_ns;
        self.rotated(self.times_ns.partition_point(|at| *at < start_ns), start_ns)
    }

    fn rotated(&self, first: usize, start_ns: u64) -> Self {
        let (before, after) = self.times_ns.split_at(first);
        let after = after.iter().map(|at| at - start_ns);
        let before = before.iter().map(|at| at + (self.period_ns - start_ns));
        let mut requests = self.requests.clone();
        requests.rotate_left(first.min(self.requests.len()));
        Self { times_ns: after.chain(before).collect(), period_ns: self.period_ns, requests }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time above zero; what is past the end of time stays there and is refused"
)]
fn scale(at_ns: u64, factor: f64) -> u64 {
    (at_ns as f64 / factor).round() as u64
}

impl TryFrom<Serialized> for RecordedArrivals {
    type Error = Error;

    fn try_from(gaps: Serialized) -> Result<Self, Error> {
        Self::from_gaps(&gaps.gaps_ns, gaps.period_ns)?.sending(gaps.requests)
    }
}

impl From<RecordedArrivals> for Serialized {
    fn from(arrivals: RecordedArrivals) -> Self {
        let (gaps_ns, period_ns) = (arrivals.gaps_ns(), arrivals.period_ns);
        Self { gaps_ns, period_ns, requests: arrivals.requests }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn recorded(times_ns: &[u64], period_ns: u64) -> RecordedArrivals {
        RecordedArrivals::new(times_ns.to_vec(), period_ns).unwrap()
    }

    fn times(arrivals: &RecordedArrivals, count: u64) -> Vec<u64> {
        (0..count).map(|index| arrivals.time_ns(index)).collect()
    }

    #[test]
    fn arrivals_repeat_after_their_period() {
        let arrivals = recorded(&[0, 10, 10, 70], 100);
        assert_eq!(times(&arrivals, 6), [0, 10, 10, 70, 100, 110]);
        assert!((arrivals.rate() - 4e7).abs() < 1e-6);
        assert_eq!(arrivals.longest_gap_ns(), 60);
        assert_eq!(arrivals.faster(2.0).unwrap(), recorded(&[0, 5, 5, 35], 50));
        assert_eq!(arrivals.only(&[1, 3]).unwrap(), recorded(&[10, 70], 100));
    }

    #[test]
    fn a_load_that_resumes_continues_its_arrivals() {
        let arrivals = recorded(&[0, 10, 10, 70], 100);
        assert_eq!(times(&arrivals.after_requests(2), 4), [0, 60, 90, 100]);
        assert_eq!(arrivals.after_requests(4), arrivals);
        assert_eq!(times(&arrivals.after_time(110), 4), [0, 0, 60, 90]);
        assert_eq!(times(&arrivals.after_time(11), 4), [59, 89, 99, 99]);
    }

    #[test]
    fn arrivals_are_counted_across_the_end_of_the_period() {
        let arrivals = recorded(&[0, 10, 95], 100);
        assert_eq!(arrivals.most_within(0), 1);
        assert_eq!(arrivals.most_within(5), 2);
        assert_eq!(arrivals.most_within(15), 3);
        assert_eq!(arrivals.most_within(205), 8);
    }

    #[test]
    fn requests_take_turns_unless_arrivals_have_their_own() {
        let arrivals = recorded(&[0, 10, 10, 70], 100);
        assert_eq!([0, 5, 9].map(|index| arrivals.request(index)), [0, 5, 9]);
        let own = arrivals.clone().sending(vec![3, 1, 1, 2]).unwrap();
        assert_eq!([0, 5, 11].map(|index| own.request(index)), [3, 1, 2]);
        assert_eq!(own.only(&[1, 3]).unwrap().requests(), [1, 2]);
        assert_eq!(own.faster(2.0).unwrap().requests(), own.requests());
        let error = arrivals.sending(vec![1]).unwrap_err();
        assert_eq!(error, Error::Requests { found: 1, expected: 4 });
    }

    #[test]
    fn other_times_are_refused() {
        let error = |times: Vec<u64>, period| RecordedArrivals::new(times, period).unwrap_err();
        assert_eq!(error(vec![], 9), Error::Count { found: 0 });
        assert_eq!(error(vec![5, 4], 9), Error::Order { index: 1 });
        assert_eq!(error(vec![5], 4), Error::Period { period_ns: 4 });
        assert_eq!(error(vec![0], 0), Error::Period { period_ns: 0 });
        assert_eq!(error(vec![0], u64::MAX), Error::Period { period_ns: u64::MAX });
        let found = MAX_ARRIVALS + 1;
        assert_eq!(error(vec![0; found], 9), Error::Count { found });
        let overflow = RecordedArrivals::from_gaps(&[u64::MAX, 2], 9).unwrap_err();
        assert_eq!(overflow, Error::Period { period_ns: 9 });
    }

    proptest! {
        #[test]
        fn the_rest_of_a_load_is_what_would_have_followed(
            gaps in prop::collection::vec(0..50_u64, 1..12),
            rest in 1..50_u64,
            passed in 0..300_u64,
            requests in 1..30_u64,
        ) {
            let period = gaps.iter().sum::<u64>() + rest;
            let picks = (10..).take(gaps.len()).collect();
            let arrivals = RecordedArrivals::from_gaps(&gaps, period).unwrap();
            let arrivals = arrivals.sending(picks).unwrap();
            let json = serde_json::to_string(&arrivals).unwrap();
            prop_assert_eq!(serde_json::from_str::<RecordedArrivals>(&json).unwrap(), arrivals.clone());
            let first = (0..10_000).find(|index| arrivals.time_ns(*index) >= passed).unwrap();
            let left = arrivals.after_time(passed);
            let shift = arrivals.time_ns(requests - 1);
            let after = arrivals.after_requests(requests);
            // At the end of a period, the next one begins with its own first gap.
            let shift = if requests % gaps.len() as u64 == 0 { requests / gaps.len() as u64 * period } else { shift };
            for index in 0..40 {
                prop_assert_eq!(left.time_ns(index) + passed, arrivals.time_ns(first + index));
                prop_assert_eq!(after.time_ns(index) + shift, arrivals.time_ns(requests + index));
                prop_assert_eq!(left.request(index), arrivals.request(first + index));
                prop_assert_eq!(after.request(index), arrivals.request(requests + index));
            }
            for span in [0, 7, 60, period, 2 * period + 3] {
                let within = |start: u64| {
                    let from = arrivals.time_ns(start);
                    (start..start + 1000).take_while(|index| arrivals.time_ns(*index) - from <= span).count()
                };
                let most = (0..gaps.len() as u64).map(within).max().unwrap();
                prop_assert!(arrivals.most_within(span) >= most as u64);
            }
        }
    }
}
