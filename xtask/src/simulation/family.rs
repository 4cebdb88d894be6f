//! A whole matrix of 18 cells: how often any of its pairs is falsely different, and how often a dtype that is 1.5 times
//! as fast is found, after the correction for all pairs.

use super::coverage::{RUNS, pair};
use super::power::{ROUND_SPREAD, WORLD};
use super::{Share, in_parallel, random};
use rand_chacha::ChaCha8Rng;
use stats::Cell;
use stats::comparison::{Contrast, Finding, Quantity, contrast, judge};

const TARGETS: usize = 2;
const DTYPES: usize = 3;
const BATCH_SIZES: usize = 3;
pub(crate) const SPEEDUP: f64 = 1.5;
pub(crate) const RUN_SPREADS: [f64; 3] = [0.005, 0.01, 0.02];
/// One trial measures 36 cells, so there are fewer of them than of the other tables.
const SHARE_OF_TRIALS: u32 = 5;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FamilyRow {
    pub(crate) run_spread: f64,
    /// Trials of equal cells with at least one pair that is reported as different.
    pub(crate) false_different: Share,
    /// Pairs of dtypes whose difference is found.
    pub(crate) found: Share,
}

/// Pairs of a campaign as the product forms them: targets against the first, dtypes against the first.
fn pairs() -> Vec<(usize, usize)> {
    let place = |target, dtype, size| (target * DTYPES + dtype) * BATCH_SIZES + size;
    let mut pairs = Vec::new();
    for (dtype, size) in
        (0..DTYPES).flat_map(|dtype| (0..BATCH_SIZES).map(move |size| (dtype, size)))
    {
        for target in 0..TARGETS {
            let cell = place(target, dtype, size);
            if target > 0 {
                pairs.push((place(0, dtype, size), cell));
            }
            if dtype > 0 {
                pairs.push((place(target, 0, size), cell));
            }
        }
    }
    pairs
}

fn is_of_dtypes(&(baseline, candidate): &(usize, usize)) -> bool {
    candidate - baseline < DTYPES * BATCH_SIZES
}

/// Measures all cells of a campaign and judges its pairs. Dtypes after the first take `time` times as long.
fn findings(run_spread: f64, time: f64, rng: &mut ChaCha8Rng) -> Vec<Finding> {
    let campaign = WORLD.campaign(RUNS, ROUND_SPREAD, rng);
    let cell = |index: usize| {
        let is_first = (index / BATCH_SIZES).is_multiple_of(DTYPES);
        if is_first { 1.0 } else { time }
    };
    let cells: Vec<Cell> = (0..TARGETS * DTYPES * BATCH_SIZES)
        .map(|index| WORLD.measure(&campaign, run_spread, cell(index), rng))
        .collect();
    let contrast = |(baseline, candidate): (usize, usize)| {
        contrast(&pair(&cells[baseline], &cells[candidate]), Quantity::RequestLatency)
    };
    let contrasts: Vec<Contrast> = pairs().into_iter().map(contrast).collect();
    let judged = judge(Quantity::RequestLatency, &contrasts, None);
    judged.into_iter().map(|comparison| comparison.verdict.finding).collect()
}

/// Fills the table.
pub(crate) fn rows(trials: u32, seed: u64) -> Vec<FamilyRow> {
    let row = |(run_spread, row): (f64, u64)| {
        let (mut false_different, mut found) = Default::default();
        for trial in 0..trials.div_ceil(SHARE_OF_TRIALS) {
            let mut rng = random(seed, 6, row, trial);
            let equal = findings(run_spread, 1.0, &mut rng);
            let is_different = |finding: &Finding| *finding != Finding::NotDistinguishable;
            Share::count(&mut false_different, Some(equal.iter().any(is_different)));
            let faster = findings(run_spread, 1.0 / SPEEDUP, &mut rng);
            for (_, finding) in pairs().iter().zip(faster).filter(|(pair, _)| is_of_dtypes(pair)) {
                Share::count(&mut found, Some(finding == Finding::Less));
            }
        }
        FamilyRow { run_spread, false_different, found }
    };
    in_parallel(RUN_SPREADS.into_iter().zip(0..), row)
}
