//! A check of the statistics: worlds with known parameters are measured many times and analyzed with the product's
//! functions.
//!
//! Counts how often a 95% interval covers the truth, how often equal targets are called different, and how often a
//! real difference is found. The tables are those of docs/statistics.md and docs/stress.md.

pub(crate) mod coverage;
pub(crate) mod family;
pub(crate) mod power;
pub(crate) mod search;
pub(crate) mod stress;
pub(crate) mod text;
pub(crate) mod world;

pub(crate) use coverage::{CoverageRow, NaiveRow};
pub(crate) use family::FamilyRow;
pub(crate) use power::PowerRow;
pub(crate) use search::SearchRow;

#[cfg(test)]
mod tests;

use crate::process;
use anyhow::{Context, bail};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use statrs::distribution::{Beta, ContinuousCDF};

/// Prints the tables of `[--stress | --search] [--trials N] [--seed SEED]`.
///
/// An unoptimized build would take an hour, so it runs the release build.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (mut trials, mut seed, mut is_stress, mut is_search) = (10_000, 1, false, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut number =
            || rest.next().context("a number is missing")?.parse::<u32>().context(argument.clone());
        match argument.as_str() {
            "--stress" => is_stress = true,
            // Minutes even without optimization.
            "--search" => is_search = true,
            "--trials" => trials = number()?,
            "--seed" => seed = number()?.into(),
            other => bail!(
                "unknown option `{other}`: expected --stress, --search, --trials N or --seed N"
            ),
        }
    }
    if cfg!(debug_assertions) && !is_search {
        let xtask = ["run", "--quiet", "--release", "--package", "xtask", "--", "simulate"];
        return process::run(process::cargo().args(xtask).args(arguments));
    }
    if is_search {
        println!("{}", text::Searches(&search::rows(trials, seed)));
    } else if is_stress {
        println!("{}", stress::run(trials, seed));
    } else {
        println!("{}", tables(trials, seed));
    }
    Ok(())
}

/// All tables of one simulation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tables {
    /// Trials per row.
    pub(crate) trials: u32,
    pub(crate) seed: u64,
    pub(crate) coverage: Vec<CoverageRow>,
    /// Of methods that the product doesn't use.
    pub(crate) naive: Vec<NaiveRow>,
    pub(crate) power: Vec<PowerRow>,
    pub(crate) family: Vec<FamilyRow>,
    pub(crate) search: Vec<SearchRow>,
}

/// How often something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) hits: u32,
    /// Trials in which it could happen.
    pub(crate) of: u32,
}

/// Runs every row of every table `trials` times.
fn tables(trials: u32, seed: u64) -> Tables {
    Tables {
        trials,
        seed,
        coverage: coverage::rows(trials, seed),
        naive: coverage::naive_rows(trials, seed),
        power: power::rows(trials, seed),
        family: family::rows(trials, seed),
        search: search::rows(trials, seed),
    }
}

impl Share {
    /// Counts one trial; `None` if it could not happen in it.
    pub(crate) fn count(&mut self, hit: Option<bool>) {
        self.hits += u32::from(hit == Some(true));
        self.of += u32::from(hit.is_some());
    }

    /// The share; `None` without trials.
    pub(crate) fn share(self) -> Option<f64> {
        (self.of > 0).then(|| f64::from(self.hits) / f64::from(self.of))
    }

    /// The one-sided 95% upper bound of the share (Clopper and Pearson, Biometrika 26, 1934).
    pub(crate) fn upper_bound(self) -> f64 {
        let beta = Beta::new(f64::from(self.hits) + 1.0, f64::from(self.of - self.hits));
        beta.map_or(1.0, |beta| beta.inverse_cdf(0.95))
    }
}

/// Fills rows in parallel. Each row has its own random numbers.
fn in_parallel<T: Send, R: Send>(
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

/// The random numbers of one trial of one row of one table.
fn random(seed: u64, table: u64, row: u64, trial: u32) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ (table << 56) ^ (row << 40));
    rng.set_stream(u64::from(trial));
    rng
}
