//! How often the verdicts of a sustained run are right: processes whose memory is known, and loads whose drift is.

pub mod load;
pub mod memory;
pub mod text;

pub use load::LoadRow;
pub use memory::MemoryRow;

use super::world::normal;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All tables of one simulation of sustained runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StressTables {
    /// Trials per row.
    pub trials: u32,
    /// All chance follows from it.
    pub seed: u64,
    /// Leaks, and what is none.
    pub memory: Vec<MemoryRow>,
    /// Drifts, and what is none.
    pub load: Vec<LoadRow>,
}

/// Runs every row of every table `trials` times.
pub fn run(trials: u32, seed: u64) -> StressTables {
    StressTables {
        trials,
        seed,
        memory: memory::rows(trials, seed),
        load: load::rows(trials, seed),
    }
}

/// Noise that remembers: a first-order autoregression with standard deviation 1.
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
