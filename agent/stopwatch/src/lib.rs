//! The only reader of the monotonic clock, from which all measured times come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nanoseconds since the stopwatch was created, when the agent started.
#[derive(Debug, Clone)]
pub struct Stopwatch(Scale);

#[derive(Debug, Clone)]
enum Scale {
    Real(Instant),
    Synthetic(Arc<AtomicU64>),
}

impl Stopwatch {
    /// Real time.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn start() -> Self {
        Self(Scale::Real(Instant::now()))
    }

    /// Advances only explicitly, for scripted engines.
    pub fn synthetic() -> Self {
        Self(Scale::Synthetic(Arc::new(AtomicU64::new(0))))
    }

    /// Monotonic.
    pub fn now_ns(&self) -> u64 {
        match &self.0 {
            Scale::Real(start) => u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
            Scale::Synthetic(now) => now.load(Ordering::Relaxed),
        }
    }

    /// The reading at a moment of the last minutes, given in wall-clock time since 1970. Of one in the future, or on a
    /// synthetic stopwatch: the current reading.
    pub fn at_wall_time(&self, time: Duration) -> u64 {
        if self.is_synthetic() {
            return self.now_ns();
        }
        // First, so that a pause between the two clocks makes the moment later, never earlier.
        let wall = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let wall = Duration::try_from(wall).unwrap_or_default();
        let age_ns = u64::try_from(wall.saturating_sub(time).as_nanos()).unwrap_or(u64::MAX);
        self.now_ns().saturating_sub(age_ns)
    }

    pub fn is_synthetic(&self) -> bool {
        matches!(self.0, Scale::Synthetic(_))
    }

    /// Advances a synthetic stopwatch. No effect on a real one.
    pub fn advance(&self, ns: u64) {
        if let Scale::Synthetic(now) = &self.0 {
            now.fetch_add(ns, Ordering::Relaxed);
        }
    }
}

/// CPU time in nanoseconds, from an arbitrary origin.
pub mod processor_ns {
    use rustix::time::{ClockId, clock_gettime};

    /// Of all threads of this process.
    pub fn of_process() -> f64 {
        read(ClockId::ProcessCPUTime)
    }

    /// Of the calling thread.
    pub fn of_thread() -> f64 {
        read(ClockId::ThreadCPUTime)
    }

    fn read(clock: ClockId) -> f64 {
        let time = clock_gettime(clock);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_played_stopwatch_stands_still_until_it_is_advanced() {
        let stopwatch = Stopwatch::synthetic();
        assert_eq!(stopwatch.now_ns(), 0);
        stopwatch.clone().advance(7);
        assert_eq!(stopwatch.now_ns(), 7);
    }

    #[test]
    fn a_wall_time_of_the_past_is_an_earlier_reading() {
        let stopwatch = Stopwatch::start();
        let begin_ns = stopwatch.now_ns();
        let wall = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let wall = Duration::try_from(wall).unwrap();
        let end_ns = stopwatch.now_ns();
        while stopwatch.now_ns() < end_ns + 5_000_000 {}
        let then_ns = stopwatch.at_wall_time(wall);
        // The clocks may differ a little in speed.
        assert!(then_ns + 1_000_000 > begin_ns && then_ns < end_ns + 1_000_000);
        let future = wall + Duration::from_mins(1);
        assert!(stopwatch.at_wall_time(future) >= end_ns + 5_000_000);
        assert_eq!(stopwatch.at_wall_time(Duration::ZERO), 0);
    }

    #[test]
    fn a_real_stopwatch_never_goes_back() {
        let stopwatch = Stopwatch::start();
        let readings: Vec<u64> = (0..1000).map(|_| stopwatch.now_ns()).collect();
        assert!(readings.is_sorted());
    }
}
