//! How often a slowdown of 3% is found with 3 runs of 150 shared samples.

use super::coverage::{RUNS, WORLDS, pair};
use super::world::World;
use super::{Share, in_parallel, random};
use stats::Cell;
use stats::comparison::{Finding, Pair, Quantity, Rounds, contrast, judge};
use stats::interval::{ALPHA, mean, standard_deviation, t_two_sided};

pub(crate) const SLOWDOWN: f64 = 1.03;

/// Spreads of runs.
pub(crate) const RUN_SPREADS: [f64; 7] = [0.0, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02];

/// Spread of rounds, which pairing removes.
pub(crate) const ROUND_SPREAD: f64 = 0.01;

/// Skewed dialogues with 3% of autocorrelated noise.
pub(crate) const WORLD: World = World { noise: 0.03, autocorrelation: 0.3, ..WORLDS[0] };

/// How often the slowdown is found at one run-to-run spread.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PowerRow {
    /// How far runs spread.
    pub(crate) run_spread: f64,
    /// Paired by sample and by round: what the product does.
    pub(crate) paired: Share,
    /// Paired by sample, runs apart: what it does between two campaigns.
    pub(crate) apart: Share,
    /// All latencies of one side against all of the other's, Welch's t.
    pub(crate) unpaired: Share,
}

/// Fills the table.
pub(crate) fn rows(trials: u32, seed: u64) -> Vec<PowerRow> {
    let row = |(run_spread, row): (f64, u64)| {
        let (mut paired, mut apart, mut unpaired) = Default::default();
        for trial in 0..trials {
            let mut rng = random(seed, 5, row, trial);
            let campaign = WORLD.campaign(RUNS, ROUND_SPREAD, &mut rng);
            let baseline = WORLD.measure(&campaign, run_spread, 1.0, &mut rng);
            let slower = WORLD.measure(&campaign, run_spread, SLOWDOWN, &mut rng);
            let interleaved = pair(&baseline, &slower);
            Share::count(&mut paired, Some(is_found(&interleaved)));
            Share::count(
                &mut apart,
                Some(is_found(&Pair { rounds: Rounds::Apart, ..interleaved })),
            );
            Share::count(&mut unpaired, Some(welch(&baseline, &slower)));
        }
        PowerRow { run_spread, paired, apart, unpaired }
    };
    in_parallel(RUN_SPREADS.into_iter().zip(0..), row)
}

fn is_found(pair: &Pair<'_>) -> bool {
    let contrast = contrast(pair, Quantity::RequestLatency);
    let judged = judge(Quantity::RequestLatency, &[contrast], None);
    judged[0].verdict.finding == Finding::More
}

/// Welch's t test on all latencies, as if they were independent.
fn welch(baseline: &Cell, candidate: &Cell) -> bool {
    let side = |cell: &Cell| -> Option<(f64, f64, f64)> {
        let latencies: Vec<f64> = cell.observations().map(|row| row.latency_ms()).collect();
        let n = latencies.len() as f64;
        Some((mean(&latencies)?, standard_deviation(&latencies)?.powi(2) / n, n))
    };
    let (Some(b), Some(c)) = (side(baseline), side(candidate)) else { return false };
    let error = b.1 + c.1;
    let degrees = error * error / (b.1 * b.1 / (b.2 - 1.0) + c.1 * c.1 / (c.2 - 1.0));
    c.0 > b.0 && t_two_sided((c.0 - b.0) / error.sqrt(), degrees) < ALPHA
}
