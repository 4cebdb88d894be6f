//! The last minutes of each target.

use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;

/// Time between two points.
const STRETCH: Duration = Duration::from_secs(5);
/// Ten minutes.
const MOST_POINTS: usize = 120;

/// What one target measured between two moments.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Point {
    /// Seconds since the campaign began, or was gone on with.
    pub at_s: f64,
    /// Samples that were stored, per second.
    pub samples_per_s: f64,
    /// Median latency of these samples in milliseconds; null where there are none.
    pub latency_p50_ms: Option<f64>,
}

/// What is shown of a target.
#[derive(Debug, Default)]
pub(super) struct History {
    points: VecDeque<Point>,
    /// Since the last point.
    latencies_ms: Vec<f64>,
    last: Duration,
}

impl History {
    /// Takes latencies of samples in.
    pub(super) fn add(&mut self, latencies: impl IntoIterator<Item = Duration>) {
        self.latencies_ms.extend(latencies.into_iter().map(|latency| latency.as_secs_f64() * 1e3));
    }

    /// Ends the stretch of time since the last point with another, where it is long enough.
    pub(super) fn close(&mut self, now: Duration) {
        let stretch = now.saturating_sub(self.last);
        if stretch < STRETCH {
            return;
        }
        let seconds = stretch.as_secs_f64();
        let count = self.latencies_ms.len();
        let latency_p50_ms = (count > 0).then(|| {
            let middle = count / 2;
            *self.latencies_ms.select_nth_unstable_by(middle, f64::total_cmp).1
        });
        self.points.push_back(Point {
            at_s: now.as_secs_f64(),
            samples_per_s: count as f64 / seconds,
            latency_p50_ms,
        });
        if self.points.len() > MOST_POINTS {
            self.points.pop_front();
        }
        self.latencies_ms.clear();
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
    fn a_point_has_the_rate_and_the_median_of_its_stretch() {
        let mut history = History::default();
        history.add([9, 1, 5].map(Duration::from_millis));
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
        assert_eq!(history.points().count(), MOST_POINTS);
        let ends: Vec<f64> = history.points().map(|point| point.at_s).collect();
        assert_eq!((ends[0], ends[MOST_POINTS - 1]), (1_405.0, 2_000.0));
    }
}
