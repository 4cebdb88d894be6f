//! A leased attempt, and the time that it claims to have measured.

use super::scheduler::Offer;
use std::time::Duration;

/// Measured time may exceed the time between offer and end by this factor, plus [`CLOCK_SLACK`]: the clocks of two
/// machines run at slightly different speeds.
const CLOCK_DRIFT: f64 = 1.001;
const CLOCK_SLACK: Duration = Duration::from_millis(50);

pub(super) struct Lease {
    pub(super) offer: Offer,
    pub(super) offered_at: Duration,
    pub(super) measured: MeasuredTime,
    /// Times come from a script and pass in no time.
    pub(super) is_synthetic: bool,
}

/// Measured time by the agent's clock.
#[derive(Debug, Clone, Copy)]
pub(super) enum MeasuredTime {
    /// Batches don't overlap: the sum of their times.
    Sequential(Duration),
    /// Requests overlap: the first start and the last end in ns; none before the first request.
    Overlapping(Option<(u64, u64)>),
}

impl MeasuredTime {
    pub(super) fn add(&mut self, start_ns: u64, end_ns: u64) {
        match self {
            Self::Sequential(sum) => *sum += Duration::from_nanos(end_ns.saturating_sub(start_ns)),
            Self::Overlapping(extent) => {
                let (first, last) = extent.unwrap_or((start_ns, end_ns));
                *extent = Some((first.min(start_ns), last.max(end_ns)));
            }
        }
    }

    fn duration(self) -> Duration {
        match self {
            Self::Sequential(sum) => sum,
            Self::Overlapping(extent) => {
                let (first, last) = extent.unwrap_or_default();
                Duration::from_nanos(last.saturating_sub(first))
            }
        }
    }
}

impl Lease {
    /// Whether the agent claims more measured time than passed since the offer.
    pub(super) fn is_time_impossible(&self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.offered_at).mul_f64(CLOCK_DRIFT) + CLOCK_SLACK;
        !self.is_synthetic && self.measured.duration() > passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(measured: u64, is_synthetic: bool) -> Lease {
        let offer = Offer {
            agent: "a".try_into().unwrap(),
            shard: 0,
            attempt: 1,
            segment: 1,
            is_new_segment: true,
            batches: vec![0],
            joint: None,
        };
        Lease {
            offer,
            offered_at: Duration::from_secs(5),
            measured: MeasuredTime::Sequential(Duration::from_secs(measured)),
            is_synthetic,
        }
    }

    #[test]
    fn more_time_than_passed_is_impossible_unless_it_is_synthetic() {
        let now = Duration::from_secs(15);
        assert!(!lease(10, false).is_time_impossible(now));
        assert!(lease(11, false).is_time_impossible(now));
        assert!(!lease(11, true).is_time_impossible(now));
    }

    #[test]
    fn overlapping_requests_take_the_time_between_the_first_start_and_the_last_end() {
        let second = 1_000_000_000;
        let measure = |mut measured: MeasuredTime| {
            for (start, end) in [(3, 6), (1, 5), (2, 9)] {
                measured.add(start * second, end * second);
            }
            measured.duration().as_secs()
        };
        assert_eq!(measure(MeasuredTime::Overlapping(None)), 8);
        assert_eq!(measure(MeasuredTime::Sequential(Duration::ZERO)), 14);
        assert_eq!(MeasuredTime::Overlapping(None).duration(), Duration::ZERO);
    }
}
