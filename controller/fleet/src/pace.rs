//! How fast one agent may speak: beyond that it is read more slowly, so that a flood waits in its own machine; and how
//! much of what it observes is kept: nobody asked for a number of windows, so that time limits it.

use super::Said;
use std::time::Duration;
use tokio::time::Instant;

/// Messages of one agent that are read in a second. Samples come one message a batch, so that an honest agent stays
/// far below.
const A_SECOND: u32 = 10_000;

#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    read: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { since: Instant::now(), read: 0 }
    }
}

impl Pace {
    /// Waits until the next message may be read.
    pub(super) async fn wait(&mut self) {
        self.read += 1;
        if self.read <= A_SECOND {
            return;
        }
        tokio::time::sleep_until(self.since + Duration::from_secs(1)).await;
        *self = Self { since: Instant::now(), read: 1 };
    }
}

/// Windows that an agent keeps while it can't send them, and some of room.
const WINDOWS: f64 = 4096.0;
/// An honest agent sends one window a period, and a few at each shard's phases.
const WINDOWS_A_PERIOD: f64 = 2.0;
const WINDOWS_A_SECOND: f64 = 20.0;
/// There are few instruments, and each can be lost once.
const LAMENTS: f64 = 64.0;
const LAMENTS_A_SECOND: f64 = 0.1;

/// What one agent may still tell of its observations.
#[derive(Debug)]
pub(super) struct Observing {
    windows: Allowance,
    laments: Allowance,
}

impl Observing {
    /// Of an agent whose instruments are read so often.
    pub(super) fn each(period: Duration) -> Self {
        let a_second = WINDOWS_A_PERIOD / period.as_secs_f64().max(0.001);
        Self {
            windows: Allowance::new(WINDOWS, a_second.max(WINDOWS_A_SECOND)),
            laments: Allowance::new(LAMENTS, LAMENTS_A_SECOND),
        }
    }

    /// Leaves out what is too much. Windows that are left out count as dropped.
    pub(super) fn cut(&mut self, said: &mut Said) {
        let Said::Telemetry { windows, absences, dropped } = said else { return };
        let taken = self.windows.take(windows.len());
        *dropped = dropped.saturating_add((windows.len() - taken) as u64);
        windows.truncate(taken);
        absences.truncate(self.laments.take(absences.len()));
        if *dropped > 0 && self.laments.take(1) == 0 {
            *dropped = 0;
        }
    }
}

/// So much at once, and so much more a second.
#[derive(Debug)]
struct Allowance {
    left: f64,
    most: f64,
    a_second: f64,
    since: Instant,
}

impl Allowance {
    fn new(most: f64, a_second: f64) -> Self {
        Self { left: most, most, a_second, since: Instant::now() }
    }

    /// Takes up to `count`; returns how many.
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

    fn telemetry(windows: usize, absences: usize, dropped: u64) -> Said {
        let readings = Readings::default();
        let window = Window { phase: Phase::Idle, of: None, start_ns: 0, end_ns: 1, readings };
        let absence =
            Absence { what: "gpu".to_owned(), reason: "it fell off".to_owned(), remedy: None };
        Said::Telemetry {
            windows: vec![window; windows],
            absences: vec![absence; absences],
            dropped,
        }
    }

    fn counts(said: &Said) -> (usize, usize, u64) {
        let Said::Telemetry { windows, absences, dropped } = said else {
            panic!("it is telemetry")
        };
        (windows.len(), absences.len(), *dropped)
    }

    #[tokio::test(start_paused = true)]
    async fn endless_observations_are_kept_at_a_steady_rate() {
        let mut observing = Observing::each(Duration::from_millis(250));
        let mut kept = (0, 0);
        for _ in 0..1000 {
            let mut said = telemetry(500, 10, 1);
            observing.cut(&mut said);
            let (windows, absences, _) = counts(&said);
            kept = (kept.0 + windows, kept.1 + absences);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        // 100 seconds.
        assert!((4096..=4096 + 2000).contains(&kept.0), "{kept:?}");
        assert!(kept.1 <= 64 + 10, "{kept:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_honest_agent_observes_is_kept_whole() {
        let mut observing = Observing::each(Duration::from_millis(250));
        for _ in 0..1000 {
            let mut said = telemetry(6, 0, 0);
            observing.cut(&mut said);
            assert_eq!(counts(&said), (6, 0, 0));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_read_at_a_steady_rate() {
        let start = Instant::now();
        let mut pace = Pace::default();
        for _ in 0..A_SECOND {
            pace.wait().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "honest agents don't wait");
        for _ in 0..4 * A_SECOND {
            pace.wait().await;
        }
        assert!(start.elapsed() >= Duration::from_secs(4));
    }
}
