//! Exponential backoff with jitter between connection attempts.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    random: ChaCha8Rng,
}

impl Backoff {
    pub(super) fn new(random: ChaCha8Rng) -> Self {
        Self { next: FIRST, random }
    }

    pub(super) fn pause(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        whole.mul_f64(self.random.random_range(0.5..=1.0))
    }

    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn pauses_grow_to_their_limit_and_start_anew() {
        let mut backoff = Backoff::new(ChaCha8Rng::from_seed([7; 32]));
        let pauses: Vec<Duration> = (0..12).map(|_| backoff.pause()).collect();
        assert!(pauses[0] >= FIRST / 2 && pauses[0] <= FIRST);
        assert!(pauses[11] >= LONGEST / 2 && pauses[11] <= LONGEST);
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
