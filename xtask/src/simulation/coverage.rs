//! How often intervals contain the truth, and how often equal targets are reported as different.

use super::world::{World, normal};
use super::{Share, in_parallel, random};
use rand::{Rng, RngExt};
use stats::Cell;
use stats::comparison::{Batches, Finding, Pair, Quantity, Rounds, contrast, judge};
use stats::distribution::of_requests;
use stats::estimate::Estimate;
use stats::interval::{ALPHA, between_runs, half_width, mean};
use stats::precision::{Budget, Look, Precision};
use stats::quantile::quantile;
use stats::throughput;
use stats::within::other_dialogues;

/// Runs of each cell.
pub(crate) const RUNS: u32 = 3;

/// Spreads of runs, and of rounds.
pub(crate) const RUN_SPREADS: [f64; 4] = [0.0, 0.005, 0.01, 0.02];

/// The worlds of the table.
pub(crate) const WORLDS: [World; 4] = [
    World {
        name: "skewed",
        dialogues: 150,
        batch_size: 1,
        dialogue_spread: 0.6,
        noise: 0.1,
        autocorrelation: 0.0,
    },
    World {
        name: "autocorrelated",
        dialogues: 400,
        batch_size: 1,
        dialogue_spread: 0.3,
        noise: 0.3,
        autocorrelation: 0.6,
    },
    World {
        name: "batches of 8",
        dialogues: 800,
        batch_size: 8,
        dialogue_spread: 0.6,
        noise: 0.1,
        autocorrelation: 0.5,
    },
    World {
        name: "equal lengths",
        dialogues: 150,
        batch_size: 1,
        dialogue_spread: 0.02,
        noise: 0.02,
        autocorrelation: 0.0,
    },
];

/// A slower candidate, whose ratio is estimated.
const SLOWER: f64 = 1.05;

/// Batches drawn for true percentiles: enough for an error far below the intervals' width.
const DRAWS: u32 = 200_000;

/// How often each interval of one world contained the truth.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CoverageRow {
    pub(crate) world: String,
    /// Spread of runs, and of rounds.
    pub(crate) run_spread: f64,
    /// Mean latency of these dialogues.
    pub(crate) mean: Share,
    /// Mean latency of other dialogues of the kind.
    pub(crate) mean_of_others: Share,
    pub(crate) p50: Share,
    pub(crate) p95: Share,
    /// Samples per host-second.
    pub(crate) throughput: Share,
    /// USD per 1,000 requests: the reciprocal of the throughput's interval.
    pub(crate) cost: Share,
    /// Paired ratio of request latency, for a candidate that is 5% slower.
    pub(crate) ratio: Share,
    /// Paired ratio of throughput.
    pub(crate) throughput_ratio: Share,
    /// Equal targets reported as different.
    pub(crate) false_different: Share,
}

/// How often an interval that the product doesn't use contained the truth.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NaiveRow {
    pub(crate) method: String,
    pub(crate) coverage: Share,
    /// What the product does instead.
    pub(crate) instead: String,
    pub(crate) coverage_instead: Share,
}

pub(crate) fn rows(trials: u32, seed: u64) -> Vec<CoverageRow> {
    let worlds = WORLDS.iter().flat_map(|world| RUN_SPREADS.map(|spread| (world, spread)));
    let fill = |((world, spread), row)| coverage(world, spread, trials, (seed, row));
    in_parallel(worlds.zip(0..), fill)
}

fn coverage(world: &World, spread: f64, trials: u32, (seed, row): (u64, u64)) -> CoverageRow {
    let mut truth_rng = random(seed, 1, row, u32::MAX);
    let [p50, p95] = world.true_quantiles_ms([0.5, 0.95], (spread, spread), DRAWS, &mut truth_rng);
    let mut counts: [Share; 9] = Default::default();
    for trial in 0..trials {
        let hits = one_trial(world, spread, [p50, p95], &mut random(seed, 0, row, trial));
        counts.iter_mut().zip(hits).for_each(|(count, hit)| count.count(hit));
    }
    let [
        mean,
        mean_of_others,
        p50,
        p95,
        throughput,
        cost,
        ratio,
        throughput_ratio,
        false_different,
    ] = counts;
    CoverageRow {
        world: world.name.to_owned(),
        run_spread: spread,
        mean,
        mean_of_others,
        p50,
        p95,
        throughput,
        cost,
        ratio,
        throughput_ratio,
        false_different,
    }
}

/// Measures a baseline, an equal candidate and a slower one. Returns which intervals contain the
/// truth, in the order of the row's fields.
fn one_trial(
    world: &World,
    spread: f64,
    [p50, p95]: [f64; 2],
    rng: &mut impl Rng,
) -> [Option<bool>; 9] {
    const USD_PER_HOUR: f64 = 0.7364;
    let campaign = world.campaign(RUNS, spread, rng);
    let baseline = world.measure(&campaign, spread, 1.0, rng);
    let equal = world.measure(&campaign, spread, 1.0, rng);
    let slower = world.measure(&campaign, spread, SLOWER, rng);

    let latency = of_requests(&baseline, |row| Some(row.latency_ms()));
    let rate = throughput::of_samples(&baseline).per_host;
    let others = other_dialogues(&baseline, &latency.mean, &rate).latency_mean_ms;
    let per_second = world.true_throughput(&campaign);
    let cost = cost::usd_per_1000_requests(&rate, USD_PER_HOUR);
    let ratio = |candidate: &Cell, quantity| {
        let contrast = contrast(&pair(&baseline, candidate), quantity);
        judge(quantity, &[contrast], None).remove(0)
    };
    let found = ratio(&equal, Quantity::RequestLatency).verdict.finding;
    [
        holds(&latency.mean, world.true_mean_ms(&campaign)),
        holds(&others, world.true_mean_of_all_ms()),
        holds(&latency.p50, p50),
        holds(&latency.p95, p95),
        holds(&rate, per_second),
        holds(&cost, USD_PER_HOUR / 3600.0 / per_second * 1000.0),
        holds(&ratio(&slower, Quantity::RequestLatency).ratio, SLOWER),
        holds(&ratio(&slower, Quantity::Throughput).ratio, 1.0 / SLOWER),
        Some(matches!(found, Finding::More | Finding::Less)),
    ]
}

/// Two cells of one campaign.
pub(super) fn pair<'a>(baseline: &'a Cell, candidate: &'a Cell) -> Pair<'a> {
    Pair { baseline, candidate, rounds: Rounds::Paired, batches: Batches::Equal }
}

/// Whether an interval contains the truth; `None` without an interval.
fn holds(estimate: &Estimate, truth: f64) -> Option<bool> {
    estimate.interval().map(|(low, high)| low <= truth && truth <= high)
}

/// Methods that the product doesn't use, next to those that it uses.
pub(crate) fn naive_rows(trials: u32, seed: u64) -> Vec<NaiveRow> {
    vec![
        resampled_runs(trials, seed),
        rows_as_units(trials, seed),
        unplanned_analyses(trials, seed),
    ]
}

/// A bootstrap that resamples three runs, compared with the t interval over them.
fn resampled_runs(trials: u32, seed: u64) -> NaiveRow {
    let (mut naive, mut instead) = (Share::default(), Share::default());
    for trial in 0..trials {
        let mut rng = random(seed, 2, 0, trial);
        let runs: Vec<f64> = (0..RUNS).map(|_| 1.0 + 0.01 * normal(&mut rng)).collect();
        let mut means: Vec<f64> = (0..1000)
            .map(|_| {
                (0..RUNS).map(|_| runs[rng.random_range(0..runs.len())]).sum::<f64>()
                    / f64::from(RUNS)
            })
            .collect();
        means.sort_unstable_by(f64::total_cmp);
        let end = |p| quantile(&means, p).unwrap_or_default();
        naive.count(Some(end(ALPHA / 2.0) <= 1.0 && 1.0 <= end(1.0 - ALPHA / 2.0)));
        let value = mean(&runs).unwrap_or_default();
        instead.count(holds(&between_runs(value, &runs, ALPHA), 1.0));
    }
    NaiveRow {
        method: "bootstrap over 3 runs".to_owned(),
        coverage: naive,
        instead: "t over 3 runs".to_owned(),
        coverage_instead: instead,
    }
}

/// Rows of a batch of 16 as if they were independent, compared with batches as units: one run, other
/// dialogues.
fn rows_as_units(trials: u32, seed: u64) -> NaiveRow {
    let world =
        World { dialogues: 800, batch_size: 16, noise: 0.3, autocorrelation: 0.0, ..WORLDS[0] };
    let truth = world.true_mean_of_all_ms();
    let (mut naive, mut instead) = (Share::default(), Share::default());
    for trial in 0..trials {
        let mut rng = random(seed, 3, 0, trial);
        let campaign = world.campaign(1, 0.0, &mut rng);
        let cell = world.measure(&campaign, 0.0, 1.0, &mut rng);
        let latency = of_requests(&cell, |row| Some(row.latency_ms()));
        let others = other_dialogues(&cell, &latency.mean, &throughput::of_samples(&cell).per_host);
        instead.count(holds(&others.latency_mean_ms_within_run, truth));
        let rows: Vec<f64> = cell.observations().map(|row| row.latency_ms()).collect();
        let error = half_width(&rows, ALPHA)
            .zip(latency.mean.value)
            .map(|(half, value)| (half, value - truth));
        naive.count(error.map(|(half, error)| error.abs() <= half));
    }
    NaiveRow {
        method: "rows of batches of 16 as units, within a run".to_owned(),
        coverage: naive,
        instead: "batches as units".to_owned(),
        coverage_instead: instead,
    }
}

/// Stopping at the first narrow interval, compared with planned analyses that share the error.
fn unplanned_analyses(trials: u32, seed: u64) -> NaiveRow {
    let planned = Precision { half_width: 0.02, first_look: 2, max_runs: 10 };
    let is_narrow =
        |runs: &[f64]| half_width(runs, ALPHA).is_some_and(|half| half <= planned.half_width);
    let is_enough =
        |runs: &[f64]| matches!(planned.look(runs, Budget::Left), Look::NarrowEnough { .. });
    let (mut naive, mut instead) = (Share::default(), Share::default());
    for trial in 0..trials {
        let mut rng = random(seed, 4, 0, trial);
        let runs: Vec<f64> = (0..planned.max_runs).map(|_| 1.0 + 0.02 * normal(&mut rng)).collect();
        naive.count(at_stop(&runs, ALPHA, is_narrow));
        instead.count(at_stop(&runs, ALPHA / f64::from(planned.analyses()), is_enough));
    }
    NaiveRow {
        method: "stopping at the first narrow interval of 2 to 10 runs".to_owned(),
        coverage: naive,
        instead: "looks that share the error".to_owned(),
        coverage_instead: instead,
    }
}

/// Whether the interval at which the repeats stop contains 1.
fn at_stop(runs: &[f64], alpha: f64, stops: impl Fn(&[f64]) -> bool) -> Option<bool> {
    let stop = (2..runs.len()).find(|&count| stops(&runs[..count])).unwrap_or(runs.len());
    let measured = &runs[..stop];
    holds(&between_runs(mean(measured)?, measured, alpha), 1.0)
}
