//! Arrivals on a synthetic clock: always on time, and waiting advances the clock.

use super::super::{Arrival, ArrivalBatch};
use super::queue::Queue;
use super::{QueueRules, Schedule};
use stopwatch::Stopwatch;

#[derive(Debug)]
pub(super) struct SyntheticClock {
    schedule: Schedule,
    rules: QueueRules,
    queue: Queue,
    stopwatch: Stopwatch,
}

impl SyntheticClock {
    pub(super) fn new(schedule: Schedule, rules: QueueRules, stopwatch: Stopwatch) -> Self {
        Self { schedule, rules, queue: Queue::default(), stopwatch }
    }

    pub(super) fn wait(&mut self) -> Option<ArrivalBatch> {
        self.queue_due();
        if self.queue.is_empty() {
            let due_ns = self.schedule.due_ns()?;
            self.wait_until(due_ns);
        }
        while let Some(until_ns) = self.queue.until_ns(self.rules)
            && self.stopwatch.now_ns() < until_ns
        {
            let due_ns = self.schedule.due_ns().unwrap_or(until_ns);
            self.wait_until(due_ns.min(until_ns));
        }
        Some(self.queue.take(self.rules.most))
    }

    pub(super) fn take(&mut self, room: usize) -> ArrivalBatch {
        self.queue_due();
        self.queue.take(room)
    }

    fn wait_until(&mut self, at_ns: u64) {
        self.stopwatch.advance(at_ns.saturating_sub(self.stopwatch.now_ns()));
        self.queue_due();
    }

    fn queue_due(&mut self) {
        let now_ns = self.stopwatch.now_ns();
        while self.schedule.due_ns().is_some_and(|due_ns| due_ns <= now_ns)
            && let Some((index, intended_ns)) = self.schedule.next()
        {
            self.queue.put(Arrival { index, intended_ns, delay_ns: Some(0) }, self.rules);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Arrivals, Gaps, Load, Workload};
    use super::*;

    /// One request every 100 ms, batches of at most `most` after at most 250 ms, a queue of 4.
    fn start(most: u32, stopwatch: &Stopwatch) -> Workload {
        let load = Load {
            request_rate: 10.0,
            gaps: Gaps::Constant,
            max_batch_delay_ns: 250_000_000,
            max_queue: 4,
            ..Load::default()
        };
        Workload::start(&load, most, Some(12), stopwatch).unwrap()
    }

    fn next(workload: &mut Workload) -> Option<(Vec<u64>, Vec<u64>)> {
        let indices = |arrivals: Vec<Arrival>| arrivals.iter().map(|one| one.index).collect();
        let ArrivalBatch { batch, not_sent } = workload.wait(&|| false)?;
        Some((indices(batch), indices(not_sent)))
    }

    #[test]
    fn a_batch_waits_until_it_is_full_or_its_oldest_waited_long_enough() {
        let stopwatch = Stopwatch::synthetic();
        let mut workload = start(8, &stopwatch);
        assert_eq!(next(&mut workload), Some((vec![0, 1, 2], vec![])));
        // The first arrived at 100 ms.
        assert_eq!(stopwatch.now_ns(), 350_000_000);
        let mut workload = start(2, &stopwatch);
        assert_eq!(next(&mut workload), Some((vec![0, 1], vec![])));
        assert_eq!(stopwatch.now_ns(), 550_000_000);
    }

    #[test]
    fn what_comes_while_the_queue_is_full_is_not_sent_and_told() {
        let stopwatch = Stopwatch::synthetic();
        let mut workload = start(2, &stopwatch);
        next(&mut workload);
        // The engine stalls: 2 to 9 arrive, four of them wait.
        stopwatch.advance(800_000_000);
        assert_eq!(next(&mut workload), Some((vec![2, 3], vec![6, 7, 8, 9])));
        assert_eq!(next(&mut workload), Some((vec![4, 5], vec![])));
        assert_eq!(next(&mut workload), Some((vec![10, 11], vec![])));
        assert_eq!(next(&mut workload), None);
    }

    #[test]
    fn latency_counts_from_the_intended_start() {
        let stopwatch = Stopwatch::synthetic();
        let mut workload = start(1, &stopwatch);
        workload.wait(&|| false);
        stopwatch.advance(300_000_000);
        let ArrivalBatch { batch, .. } = workload.wait(&|| false).unwrap();
        assert_eq!(batch[0].intended_ns, 200_000_000);
        assert_eq!(stopwatch.now_ns() - batch[0].intended_ns, 200_000_000);
    }

    #[test]
    fn the_same_schedule_comes_on_both_clocks() {
        let times: Vec<u64> = Arrivals::new(500.0, Gaps::Exponential, 3).take(20).collect();
        let load = Load { request_rate: 500.0, seed: 3, max_queue: 100, ..Load::default() };
        for stopwatch in [Stopwatch::synthetic(), Stopwatch::start()] {
            let start_ns = stopwatch.now_ns();
            let mut workload = Workload::start(&load, 1, Some(20), &stopwatch).unwrap();
            let came: Vec<Arrival> = std::iter::from_fn(|| workload.wait(&|| false))
                .flat_map(|arrivals| arrivals.batch)
                .collect();
            // The workload reads its own start, slightly later on a real clock.
            let shift = came[0].intended_ns - times[0];
            assert!(shift >= start_ns);
            assert!(came.iter().zip(&times).all(|(one, time)| one.intended_ns == time + shift));
        }
    }
}
