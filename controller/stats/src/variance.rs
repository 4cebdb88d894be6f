//! Where the spread of latencies comes from: hosts, runs, dialogues, and the rest.
//!
//! What varies is crossed: the same dialogues come in every run, and hosts share runs. The components
//! of log latency are estimated by Henderson's method 1 (Biometrics 9, 1953; Searle,
//! Casella and others, Variance Components, 5.2), which stays unbiased when cells are unbalanced. Logarithms make
//! a component a relative spread.

use crate::{Cell, Observation};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Component {
    /// How far latencies spread through it alone, as a share of the latency (0.02 is 2 %).
    pub relative_std: f64,
    /// Its share of the whole variance, 0 to 1.
    pub share: f64,
}

/// Where the spread of log latency comes from. Null where there is one level only, or where two sources
/// cannot be separated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VarianceShares {
    pub host: Option<Component>,
    pub run: Option<Component>,
    pub sample: Option<Component>,
    /// All else: one dialogue measured again in another run.
    pub residual: Option<Component>,
}

type Factor = fn(&Observation) -> u32;

const FACTORS: [Factor; 3] = [|row| row.host, |row| row.run, |row| row.sample];

/// The levels of a factor by number: how many requests each has, and the sum of their logs.
type Levels = Vec<(u32, u64, f64)>;

/// Squares of the log latencies of a cell about their mean.
struct Logs<'a> {
    cell: &'a Cell,
    n: usize,
    squares: f64,
    levels: [Levels; FACTORS.len()],
}

fn usable(cell: &Cell) -> impl Iterator<Item = Observation> + '_ {
    cell.observations().filter(|row| row.is_ok() && row.latency_ns > 0)
}

impl<'a> Logs<'a> {
    fn of(cell: &'a Cell) -> Option<Self> {
        let log = |row: &Observation| row.latency_ms().ln();
        let n = usable(cell).count();
        let mean = (n > 0).then(|| usable(cell).map(|row| log(&row)).sum::<f64>() / n as f64)?;
        let mut sums: [HashMap<u32, (u64, f64)>; FACTORS.len()] = Default::default();
        let mut squares = 0.0;
        for row in usable(cell) {
            let log = log(&row) - mean;
            squares += log * log;
            for (sums, factor) in sums.iter_mut().zip(FACTORS) {
                let (count, sum) = sums.entry(factor(&row)).or_default();
                (*count, *sum) = (*count + 1, *sum + log);
            }
        }
        let levels = sums.map(|sums| {
            let mut levels: Levels =
                sums.into_iter().map(|(level, (count, sum))| (level, count, sum)).collect();
            // One order, one sum.
            levels.sort_unstable_by_key(|level| level.0);
            levels
        });
        Some(Self { cell, n, squares, levels })
    }

    fn counts(&self, factor: usize) -> impl Iterator<Item = u64> + '_ {
        self.levels[factor].iter().map(|level| level.1)
    }

    /// The reduction in squares due to a factor.
    fn reduction(&self, factor: usize) -> f64 {
        self.levels[factor].iter().map(|(_, count, sum)| sum * sum / *count as f64).sum()
    }

    /// For each level of `factor`, the squares of how often it meets each level of `other`, per request.
    fn overlap(&self, factor: usize, other: usize) -> f64 {
        let pair = |row: Observation| (FACTORS[factor](&row), FACTORS[other](&row));
        let mut pairs: Vec<(u32, u32)> = usable(self.cell).map(pair).collect();
        pairs.sort_unstable();
        let of_level = |level: &[(u32, u32)]| {
            squares(level.chunk_by(|a, b| a == b).map(|met| met.len() as u64)) / level.len() as f64
        };
        pairs.chunk_by(|a, b| a.0 == b.0).map(of_level).sum()
    }
}

pub fn shares(cell: &Cell) -> VarianceShares {
    let nothing = VarianceShares { host: None, run: None, sample: None, residual: None };
    let Some(logs) = Logs::of(cell) else { return nothing };
    // A factor with one level has no spread; one with a level per request is the residual.
    let mut used: Vec<usize> = (0..FACTORS.len())
        .filter(|&factor| (2..logs.n).contains(&logs.levels[factor].len()))
        .collect();
    loop {
        if let Some(components) = components(&logs, &used) {
            return named(&used, &components);
        }
        // The system has no solution: the first factor moves with another. Hosts go before runs.
        if used.is_empty() {
            return nothing;
        }
        used.remove(0);
    }
}

fn named(used: &[usize], components: &[f64]) -> VarianceShares {
    let components: Vec<f64> = components.iter().map(|component| component.max(0.0)).collect();
    let total: f64 = components.iter().sum();
    let component = |position: usize| {
        let variance = components[position];
        let share = if total > 0.0 { variance / total } else { 0.0 };
        Component { relative_std: variance.sqrt().exp_m1(), share }
    };
    let of = |factor| used.iter().position(|&used| used == factor).map(component);
    VarianceShares { host: of(0), run: of(1), sample: of(2), residual: Some(component(used.len())) }
}

/// Those of the factors in use and, last, the residual; `None` where they can't be separated.
fn components(logs: &Logs<'_>, used: &[usize]) -> Option<Vec<f64>> {
    let n = logs.n as f64;
    let size = used.len() + 1;
    // Each row: the coefficients of the components in E[T - T(mean)], and T itself. T(mean) is 0 here.
    let of_mean: Vec<f64> = used.iter().map(|&factor| squares(logs.counts(factor)) / n).collect();
    let mut system: Vec<Vec<f64>> = Vec::with_capacity(size);
    for &factor in used {
        let mut row: Vec<f64> = (used.iter().zip(&of_mean))
            .map(|(&other, of_mean)| {
                let shared = if other == factor { n } else { logs.overlap(factor, other) };
                shared - of_mean
            })
            .collect();
        row.extend([logs.levels[factor].len() as f64 - 1.0, logs.reduction(factor)]);
        system.push(row);
    }
    let mut total: Vec<f64> = of_mean.iter().map(|of_mean| n - of_mean).collect();
    total.extend([n - 1.0, logs.squares]);
    system.push(total);
    solve(system)
}

fn squares(counts: impl Iterator<Item = u64>) -> f64 {
    counts.map(|count| (count as f64).powi(2)).sum()
}

/// Solves a small linear system, its right-hand side in the last column; `None` where it is singular.
fn solve(mut system: Vec<Vec<f64>>) -> Option<Vec<f64>> {
    let size = system.len();
    let coefficients = system.iter().flat_map(|row| &row[..size]);
    let scale = coefficients.fold(0.0_f64, |most, x| most.max(x.abs()));
    for column in 0..size {
        let pivot = (column..size)
            .max_by(|&a, &b| system[a][column].abs().total_cmp(&system[b][column].abs()))?;
        if system[pivot][column].abs() <= 1e-9 * scale {
            return None;
        }
        system.swap(column, pivot);
        let pivot = system[column].clone();
        for (place, row) in system.iter_mut().enumerate() {
            if place != column {
                let factor = row[column] / pivot[column];
                row.iter_mut().zip(&pivot).for_each(|(x, p)| *x -= factor * p);
            }
        }
    }
    Some(system.iter().enumerate().map(|(place, row)| row[size] / row[place]).collect())
}

#[cfg(test)]
mod tests {
    use super::super::observation::Scenario;
    use super::*;

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "about a second")]
    fn nanoseconds(seconds: f64) -> u64 {
        (seconds * 1e9) as u64
    }

    fn cell(latency: impl Fn(u32, u32, u32) -> f64, host: impl Fn(u32, u32) -> u32) -> Cell {
        let mut rows = Vec::new();
        for run in 0..40 {
            for sample in 0..50 {
                let host = host(run, sample);
                rows.push(Observation {
                    run,
                    host,
                    batch: sample,
                    sample,
                    latency_ns: nanoseconds(latency(host, run, sample)),
                    input_tokens: Some(1),
                    output_tokens: Some(1),
                    is_ok: true,
                    ..Observation::default()
                });
            }
        }
        Cell::new(Scenario::SingleStream, rows)
    }

    /// A spread of about `size`, reproducible and without rhyme.
    fn jitter(key: u32, size: f64) -> f64 {
        let hash = u64::from(key).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hash = (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let uniform = ((hash ^ (hash >> 32)) & 0xffff) as f64 / 65_536.0 - 0.5;
        (uniform * 12.0_f64.sqrt() * size).exp()
    }

    #[test]
    fn each_source_gets_its_own_share() {
        let shares = shares(&cell(
            |host, run, sample| {
                jitter(run, 0.02)
                    * jitter(1000 + sample, 0.3)
                    * jitter(run * 50 + sample, 0.05)
                    * jitter(9_000_000 + host, 0.0)
            },
            |run, sample| (run + sample) % 2,
        ));
        let about = |component: Option<Component>, expected: f64| {
            let found = component.unwrap().relative_std;
            assert!((found / expected - 1.0).abs() < 0.3, "{found}, expected {expected}");
        };
        about(shares.run, 0.02);
        about(shares.sample, 0.35);
        about(shares.residual, 0.051);
        assert!(shares.host.unwrap().share < 0.02);
    }

    #[test]
    fn a_host_per_run_cannot_be_told_from_the_run() {
        let shares =
            shares(&cell(|_, run, sample| jitter(run, 0.1) * jitter(sample, 0.1), |run, _| run));
        assert_eq!(shares.host, None);
        assert!(shares.run.unwrap().share > 0.2);
    }

    #[test]
    fn nothing_measured_has_no_shares() {
        assert_eq!(shares(&Cell::new(Scenario::Offline, Vec::new())).residual, None);
    }
}
