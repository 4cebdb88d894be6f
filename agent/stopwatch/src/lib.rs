//! The one place that reads the monotonic clock. Figures come from here and from nowhere else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Nanoseconds since the stopwatch was made, which is when the agent started.
#[derive(Debug, Clone)]
pub struct Stopwatch(Scale);

#[derive(Debug, Clone)]
enum Scale {
    Real(Instant),
    Played(Arc<AtomicU64>),
}

impl Stopwatch {
    /// Measures real time.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn start() -> Self {
        Self(Scale::Real(Instant::now()))
    }

    /// Stands still until it is advanced: scripted engines play time on it.
    pub fn played() -> Self {
        Self(Scale::Played(Arc::new(AtomicU64::new(0))))
    }

    /// Nanoseconds until now. Never goes back.
    pub fn now_ns(&self) -> u64 {
        match &self.0 {
            Scale::Real(start) => u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
            Scale::Played(now) => now.load(Ordering::Relaxed),
        }
    }

    /// Whether time passes only where it is played.
    pub fn is_played(&self) -> bool {
        matches!(self.0, Scale::Played(_))
    }

    /// Lets `ns` pass on a played stopwatch; a real one passes by itself.
    pub fn play(&self, ns: u64) {
        if let Scale::Played(now) = &self.0 {
            now.fetch_add(ns, Ordering::Relaxed);
        }
    }
}

/// Processor time, in nanoseconds since an unknown start.
pub mod processor_ns {
    use rustix::time::{ClockId, clock_gettime};

    /// Of all threads of this process.
    pub fn of_process() -> f64 {
        read(ClockId::ProcessCPUTime)
    }

    /// Of the thread that asks.
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
        let stopwatch = Stopwatch::played();
        assert_eq!(stopwatch.now_ns(), 0);
        stopwatch.clone().play(7);
        assert_eq!(stopwatch.now_ns(), 7);
    }

    #[test]
    fn a_real_stopwatch_never_goes_back() {
        let stopwatch = Stopwatch::start();
        let readings: Vec<u64> = (0..1000).map(|_| stopwatch.now_ns()).collect();
        assert!(readings.is_sorted());
    }
}
