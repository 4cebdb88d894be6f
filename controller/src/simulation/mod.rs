//! The check of the statistics themselves: worlds whose truth is known are measured again and again, and
//! the product's own functions estimate it.
//!
//! What is counted: how often a 95 % interval holds the truth, how often equal targets are called
//! different, and how often a real difference is found. `controller simulate` prints the tables.

pub mod coverage;
pub mod power;
pub mod stress;
pub mod text;
pub mod world;

pub use coverage::{CoverageRow, NaiveRow};
pub use power::PowerRow;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, ContinuousCDF};

/// All tables of one simulation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tables {
    /// Trials per row.
    pub trials: u32,
    /// All chance follows from it.
    pub seed: u64,
    /// How often intervals hold the truth.
    pub coverage: Vec<CoverageRow>,
    /// How often intervals that the product does not use would.
    pub naive: Vec<NaiveRow>,
    /// How often a slowdown of 3 % is found.
    pub power: Vec<PowerRow>,
}

/// How often something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    /// So often.
    pub hits: u32,
    /// Of so many trials in which it could.
    pub of: u32,
}

/// Runs every row of every table `trials` times.
pub fn run(trials: u32, seed: u64) -> Tables {
    Tables {
        trials,
        seed,
        coverage: coverage::rows(trials, seed),
        naive: coverage::naive_rows(trials, seed),
        power: power::rows(trials, seed),
    }
}

impl Share {
    /// Counts one trial; `None` is one in which it could not happen.
    pub fn count(&mut self, hit: Option<bool>) {
        self.hits += u32::from(hit == Some(true));
        self.of += u32::from(hit.is_some());
    }

    /// The share; `None` without trials.
    pub fn share(self) -> Option<f64> {
        (self.of > 0).then(|| f64::from(self.hits) / f64::from(self.of))
    }

    /// The one-sided 95 % upper bound of the share (Clopper and Pearson, Biometrika 26, 1934).
    pub fn upper_bound(self) -> f64 {
        let beta = Beta::new(f64::from(self.hits) + 1.0, f64::from(self.of - self.hits));
        beta.map_or(1.0, |beta| beta.inverse_cdf(0.95))
    }
}

/// Fills rows side by side. What a row holds follows from its own chance alone.
fn side_by_side<T: Send, R: Send>(
    rows: impl IntoIterator<Item = T>,
    fill: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    std::thread::scope(|scope| {
        let fill = &fill;
        let rows: Vec<_> = rows.into_iter().map(|row| scope.spawn(move || fill(row))).collect();
        let filled = rows.into_iter().map(std::thread::ScopedJoinHandle::join);
        filled.map(|row| row.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

/// The chance of one trial of one row of one table.
fn chance(seed: u64, table: u64, row: u64, trial: u32) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ (table << 56) ^ (row << 40));
    rng.set_stream(u64::from(trial));
    rng
}
