//! The wall clock of the controller's machine. It is set back once: only timestamps may depend on it.

use chrono::{DateTime, TimeDelta, Utc};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct WallClock {
    set_back_at: Duration,
    by: TimeDelta,
}

impl WallClock {
    /// Set back within `trouble`, by up to two hours.
    pub(crate) fn draw(random: &mut ChaCha8Rng, trouble: Duration) -> Self {
        let set_back_at = Duration::from_secs(random.random_range(0..trouble.as_secs()));
        Self { set_back_at, by: TimeDelta::seconds(random.random_range(0..7200)) }
    }

    pub(crate) fn now(&self, now: Duration) -> DateTime<Utc> {
        let started = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let at = started + now;
        if now < self.set_back_at { at } else { at - self.by }
    }
}
