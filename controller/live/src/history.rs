//! Throughput and latency of a target over the last minutes.

use campaign::Latency;
use serde::Serialize;
use std::{collections::VecDeque, time::Duration};

/// Time between two points.
const INTERVAL: Duration = Duration::from_secs(5);
/// Ten minutes.
const MAX_POINTS: usize = 120;

/// What a target measured since its previous point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Point {
    /// Seconds since the controller started.
    pub at_s: f64,
    /// Stored samples per second.
    pub samples_per_s: f64,
    /// Median latency of these samples in milliseconds; null without samples.
    pub latency_p50_ms: Option<f64>,
}

#[derive(Debug, Default)]
pub(super) struct History {
    points: VecDeque<Point>,
    /// Since the last point.
    latencies: Vec<Latency>,
    last: Duration,
}

impl History {
    pub(super) fn add(&mut self, latencies: &[Latency]) {
        self.latencies.extend_from_slice(latencies);
    }

    /// Adds a point if the previous one is old enough.
    pub(super) fn close(&mut self, now: Duration) {
        let interval = now.saturating_sub(self.last);
        if interval < INTERVAL {
            return;
        }
        let seconds = interval.as_secs_f64();
        let count: u64 = self.latencies.iter().map(|latency| latency.requests).sum();
        self.latencies.sort_unstable_by_key(|latency| latency.duration);
        let mut below = 0;
        let median = self.latencies.iter().find(|latency| {
            below += latency.requests;
            below > count / 2
        });
        let latency_p50_ms = median.map(|latency| latency.duration.as_secs_f64() * 1e3);
        self.points.push_back(Point {
            at_s: now.as_secs_f64(),
            samples_per_s: count as f64 / seconds,
            latency_p50_ms,
        });
        if self.points.len() > MAX_POINTS {
            self.points.pop_front();
        }
        self.latencies.clear();
        self.last = now;
    }

    /// The oldest first.
    pub(super) fn points(&self) -> impl Iterator<Item = &Point> {
        self.points.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_has_the_rate_and_the_median_of_its_interval() {
        let mut history = History::default();
        let latency = |ms| Latency { duration: Duration::from_millis(ms), requests: 1 };
        history.add(&[9, 1, 5].map(latency));
        history.close(Duration::from_secs(4));
        history.close(Duration::from_secs(6));
        history.close(Duration::from_secs(11));
        let points: Vec<Point> = history.points().copied().collect();
        assert_eq!(
            points,
            [
                Point { at_s: 6.0, samples_per_s: 0.5, latency_p50_ms: Some(5.0) },
                Point { at_s: 11.0, samples_per_s: 0.0, latency_p50_ms: None },
            ]
        );
    }

    #[test]
    fn it_keeps_ten_minutes() {
        let mut history = History::default();
        for second in 1..=2_000 {
            history.close(Duration::from_secs(second));
        }
        assert_eq!(history.points().count(), MAX_POINTS);
        let ends: Vec<f64> = history.points().map(|point| point.at_s).collect();
        assert_eq!((ends[0], ends[MAX_POINTS - 1]), (1_405.0, 2_000.0));
    }
}
