//! Worlds whose truth is known: skewed dialogues, autocorrelated noise, runs and rounds that differ, and
//! rows that share the time of their batch.

use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use statrs::distribution::{ContinuousCDF, Normal};
use stats::{Cell, Observation, Scenario};

/// The parameters of latencies. Spreads are standard deviations of logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct World {
    pub(crate) name: &'static str,
    /// Dialogues of each run.
    pub(crate) dialogues: u32,
    /// A divisor of `dialogues`.
    pub(crate) batch_size: u32,
    /// Of the work of dialogues: log-normal, so skewed.
    pub(crate) dialogue_spread: f64,
    /// Spread of batches of equal work.
    pub(crate) noise: f64,
    /// Correlation of the noise of neighboring batches.
    pub(crate) autocorrelation: f64,
}

/// What the cells of one campaign share.
#[derive(Debug, Clone)]
pub(crate) struct Campaign {
    /// The work of each dialogue, in seconds.
    pub(crate) work: Vec<f64>,
    /// The order of the dialogues in each run.
    pub(crate) orders: Vec<Vec<u32>>,
    /// A factor on all times of a round.
    pub(crate) rounds: Vec<f64>,
}

/// The work of the median dialogue, in seconds.
const SECONDS: f64 = 0.1;

/// A number from the standard normal distribution.
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let uniform: f64 = rng.random();
    // Never 0 or 1, whose quantiles are infinite.
    Normal::standard().inverse_cdf(uniform.mul_add(1.0 - 2e-16, 1e-16))
}

/// A log-normal factor with mean 1.
fn factor(spread: f64, normal: f64) -> f64 {
    (spread * normal - spread * spread / 2.0).exp()
}

impl World {
    /// Draws dialogues, and the orders and rounds of `runs` runs; rounds spread by `round_spread`.
    pub(crate) fn campaign(&self, runs: u32, round_spread: f64, rng: &mut impl Rng) -> Campaign {
        let work = (0..self.dialogues).map(|_| self.draw_work(rng)).collect();
        let mut order: Vec<u32> = (0..self.dialogues).collect();
        let mut draw_order = || {
            order.shuffle(rng);
            order.clone()
        };
        let orders = (0..runs).map(|_| draw_order()).collect();
        let rounds = (0..runs).map(|_| factor(round_spread, normal(rng))).collect();
        Campaign { work, orders, rounds }
    }

    fn draw_work(&self, rng: &mut impl Rng) -> f64 {
        SECONDS * (self.dialogue_spread * normal(rng)).exp()
    }

    /// Measures one cell in which every batch takes `slowdown` times as long. A batch takes the mean work
    /// of its dialogues, and all its rows end with it: the strongest possible dependence of rows.
    pub(crate) fn measure(
        &self,
        campaign: &Campaign,
        run_spread: f64,
        slowdown: f64,
        rng: &mut impl Rng,
    ) -> Cell {
        let mut rows = Vec::with_capacity(campaign.orders.len() * campaign.work.len());
        let in_runs = campaign.orders.iter().zip(&campaign.rounds);
        for (run, (order, round)) in (0_u32..).zip(in_runs) {
            let of_run = factor(run_spread, normal(rng)) * round * slowdown;
            let mut memory = normal(rng);
            let mut start_ns = 0;
            for (batch, members) in (0_u32..).zip(order.chunks(self.batch_size as usize)) {
                memory = self.next_noise(memory, rng);
                let work =
                    members.iter().map(|&sample| campaign.work[sample as usize]).sum::<f64>();
                let seconds = work / members.len() as f64 * of_run * factor(self.noise, memory);
                let latency_ns = nanoseconds(seconds);
                rows.extend(members.iter().map(|&sample| Observation {
                    run,
                    batch,
                    start_ns,
                    sample,
                    latency_ns,
                    input_tokens: Some(1),
                    output_tokens: Some(1),
                    is_ok: true,
                    ..Observation::default()
                }));
                start_ns += latency_ns;
            }
        }
        Cell::new(Scenario::Offline, rows)
    }

    fn next_noise(&self, before: f64, rng: &mut impl Rng) -> f64 {
        let fresh = (1.0 - self.autocorrelation * self.autocorrelation).sqrt();
        self.autocorrelation * before + fresh * normal(rng)
    }

    /// The true mean latency of a campaign's dialogues, in milliseconds: every factor has mean 1.
    pub(crate) fn true_mean_ms(&self, campaign: &Campaign) -> f64 {
        campaign.work.iter().sum::<f64>() / campaign.work.len() as f64 * 1e3
    }

    /// The true throughput of a campaign's dialogues, per second.
    pub(crate) fn true_throughput(&self, campaign: &Campaign) -> f64 {
        f64::from(self.batch_size) / (self.true_mean_ms(campaign) / 1e3)
    }

    /// The true mean latency over all possible dialogues, in milliseconds.
    pub(crate) fn true_mean_of_all_ms(&self) -> f64 {
        SECONDS * 1e3 * (self.dialogue_spread * self.dialogue_spread / 2.0).exp()
    }

    /// True quantiles of latency over dialogues, runs and rounds, in milliseconds, from `draws` batches.
    pub(crate) fn true_quantiles_ms(
        &self,
        probabilities: [f64; 2],
        (run_spread, round_spread): (f64, f64),
        draws: u32,
        rng: &mut impl Rng,
    ) -> [f64; 2] {
        let mut draw = || {
            let work: f64 = (0..self.batch_size).map(|_| self.draw_work(rng)).sum();
            work / f64::from(self.batch_size)
                * 1e3
                * factor(run_spread, normal(rng))
                * factor(round_spread, normal(rng))
                * factor(self.noise, normal(rng))
        };
        let mut latencies: Vec<f64> = (0..draws).map(|_| draw()).collect();
        latencies.sort_unstable_by(f64::total_cmp);
        probabilities.map(|p| stats::quantile::quantile(&latencies, p).unwrap_or_default())
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds are positive")]
fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}
