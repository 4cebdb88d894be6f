//! How often the verdicts on sustained loads are right: processes with known leaks, and loads with known
//! drift.

pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod text;

pub(crate) use load::LoadRow;
pub(crate) use memory::MemoryRow;

use super::world::normal;
use rand::Rng;

/// All tables of one simulation of sustained loads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StressTables {
    /// Trials per row.
    pub(crate) trials: u32,
    pub(crate) seed: u64,
    pub(crate) memory: Vec<MemoryRow>,
    pub(crate) load: Vec<LoadRow>,
}

/// Runs every row of every table `trials` times.
pub(crate) fn run(trials: u32, seed: u64) -> StressTables {
    StressTables {
        trials,
        seed,
        memory: memory::rows(trials, seed),
        load: load::rows(trials, seed),
    }
}

/// First-order autoregressive noise with standard deviation 1.
struct Noise {
    autocorrelation: f64,
    last: f64,
}

impl Noise {
    fn start(autocorrelation: f64, rng: &mut impl Rng) -> Self {
        Self { autocorrelation, last: normal(rng) }
    }

    fn next(&mut self, rng: &mut impl Rng) -> f64 {
        let fresh = (1.0 - self.autocorrelation * self.autocorrelation).sqrt();
        self.last = self.autocorrelation * self.last + fresh * normal(rng);
        self.last
    }
}
