//! Rate limits per agent: messages beyond the limit are read later, and telemetry beyond its quota is dropped.
//! Samples are bounded by what was offered; telemetry isn't, so time bounds it.

use campaign::AgentReport;
use std::time::Duration;
use tokio::time::Instant;

/// Messages read per second and agent. Samples come as one message per batch, so an honest agent stays far below.
const MESSAGES_PER_SECOND: u32 = 10_000;

#[derive(Debug)]
pub(super) struct RateLimit {
    since: Instant,
    read: u32,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { since: Instant::now(), read: 0 }
    }
}

impl RateLimit {
    pub(super) async fn wait(&mut self) {
        self.read += 1;
        if self.read <= MESSAGES_PER_SECOND {
            return;
        }
        tokio::time::sleep_until(self.since + Duration::from_secs(1)).await;
        *self = Self { since: Instant::now(), read: 1 };
    }
}

/// An agent buffers fewer windows than this while it is disconnected.
const WINDOW_BURST: f64 = 4096.0;
/// An honest agent sends one window per period, plus a few at each shard's phases.
const WINDOWS_PER_PERIOD: f64 = 2.0;
const WINDOWS_PER_SECOND: f64 = 20.0;
/// There are few instruments, and each can be lost once.
const ABSENCE_BURST: f64 = 64.0;
const ABSENCES_PER_SECOND: f64 = 0.1;

/// Quota of telemetry windows and absences.
#[derive(Debug)]
pub(super) struct TelemetryQuota {
    windows: TokenBucket,
    absences: TokenBucket,
}

impl TelemetryQuota {
    pub(super) fn each(period: Duration) -> Self {
        let a_second = WINDOWS_PER_PERIOD / period.as_secs_f64().max(0.001);
        Self {
            windows: TokenBucket::new(WINDOW_BURST, a_second.max(WINDOWS_PER_SECOND)),
            absences: TokenBucket::new(ABSENCE_BURST, ABSENCES_PER_SECOND),
        }
    }

    /// Drops what exceeds the quota. Dropped windows are counted.
    pub(super) fn cut(&mut self, report: &mut AgentReport) {
        let AgentReport::Telemetry { windows, absences, dropped } = report else { return };
        let taken = self.windows.take(windows.len());
        *dropped = dropped.saturating_add((windows.len() - taken) as u64);
        windows.truncate(taken);
        absences.truncate(self.absences.take(absences.len()));
        if *dropped > 0 && self.absences.take(1) == 0 {
            *dropped = 0;
        }
    }
}

/// A token bucket: `most` at once, refilled at `a_second` per second.
#[derive(Debug)]
struct TokenBucket {
    left: f64,
    most: f64,
    a_second: f64,
    since: Instant,
}

impl TokenBucket {
    fn new(most: f64, a_second: f64) -> Self {
        Self { left: most, most, a_second, since: Instant::now() }
    }

    /// Takes up to `count` tokens; returns how many.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "it lies between zero and a few thousand"
    )]
    fn take(&mut self, count: usize) -> usize {
        let now = Instant::now();
        let since = std::mem::replace(&mut self.since, now);
        let more = (now - since).as_secs_f64() * self.a_second;
        self.left = (self.left + more).min(self.most);
        let taken = count.min(self.left as usize);
        self.left -= taken as f64;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::telemetry::{Absence, Phase, Readings, Window};

    fn telemetry(windows: usize, absences: usize, dropped: u64) -> AgentReport {
        let readings = Readings::default();
        let window = Window { phase: Phase::Idle, of: None, start_ns: 0, end_ns: 1, readings };
        let absence =
            Absence { what: "gpu".to_owned(), reason: "it fell off".to_owned(), remedy: None };
        AgentReport::Telemetry {
            windows: vec![window; windows],
            absences: vec![absence; absences],
            dropped,
        }
    }

    fn counts(report: &AgentReport) -> (usize, usize, u64) {
        let AgentReport::Telemetry { windows, absences, dropped } = report else {
            panic!("it is telemetry")
        };
        (windows.len(), absences.len(), *dropped)
    }

    #[tokio::test(start_paused = true)]
    async fn endless_telemetry_is_kept_at_a_steady_rate() {
        let mut observing = TelemetryQuota::each(Duration::from_millis(250));
        let mut kept = (0, 0);
        for _ in 0..1000 {
            let mut report = telemetry(500, 10, 1);
            observing.cut(&mut report);
            let (windows, absences, _) = counts(&report);
            kept = (kept.0 + windows, kept.1 + absences);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        // 100 seconds.
        assert!((4096..=4096 + 2000).contains(&kept.0), "{kept:?}");
        assert!(kept.1 <= 64 + 10, "{kept:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn telemetry_of_an_honest_agent_is_kept_whole() {
        let mut observing = TelemetryQuota::each(Duration::from_millis(250));
        for _ in 0..1000 {
            let mut report = telemetry(6, 0, 0);
            observing.cut(&mut report);
            assert_eq!(counts(&report), (6, 0, 0));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_read_at_a_steady_rate() {
        let start = Instant::now();
        let mut pace = RateLimit::default();
        for _ in 0..MESSAGES_PER_SECOND {
            pace.wait().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "honest agents don't wait");
        for _ in 0..4 * MESSAGES_PER_SECOND {
            pace.wait().await;
        }
        assert!(start.elapsed() >= Duration::from_secs(4));
    }
}
