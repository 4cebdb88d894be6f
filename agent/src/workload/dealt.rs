//! One agent's arrivals of a load that several agents put on one endpoint.
//!
//! Every agent draws all arrivals of the load from one seed, and which agent sends each of them from
//! another stream of that seed. So the arrivals of all agents together are those of one agent with
//! the whole load, whatever the arrival process; each agent's own are a random part of them, which
//! for a Poisson process is one again.

use super::Arrivals;
use model::load::Share;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Arrival times in nanoseconds from the start, without end.
#[derive(Debug, Clone)]
pub struct Dealt {
    arrivals: Arrivals,
    /// None: all of them.
    deal: Option<Deal>,
}

#[derive(Debug, Clone)]
struct Deal {
    rng: ChaCha8Rng,
    index: usize,
    /// Arrivals that are left for each agent, or their ratio.
    left: Vec<u64>,
    all: u64,
    extent: Extent,
}

/// How many requests a load has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Those of [`Share::requests`].
    Counted,
    Endless,
}

impl Dealt {
    pub fn whole(arrivals: Arrivals) -> Self {
        Self { arrivals, deal: None }
    }

    /// The part of one agent; `seed` is that of the arrivals.
    pub fn of(arrivals: Arrivals, share: &Share, extent: Extent, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // The arrivals are drawn from stream 0.
        rng.set_stream(1);
        let left = share.requests.clone();
        let all = left.iter().sum();
        Self { arrivals, deal: Some(Deal { rng, index: share.index, left, all, extent }) }
    }
}

impl Deal {
    /// Whether this agent sends the next arrival. Each agent's chance is its share of what is left, so
    /// that each gets as many as it has requests.
    fn is_ours(&mut self) -> bool {
        if self.all == 0 {
            return true;
        }
        let mut drawn = self.rng.random_range(0..self.all);
        let its = self.left.iter().position(|left| match drawn.checked_sub(*left) {
            Some(rest) => {
                drawn = rest;
                false
            }
            None => true,
        });
        let agent = its.expect("it was drawn below the sum");
        if self.extent == Extent::Counted {
            self.left[agent] -= 1;
            self.all -= 1;
        }
        agent == self.index
    }
}

impl Iterator for Dealt {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let Some(deal) = &mut self.deal else { return self.arrivals.next() };
        loop {
            let at_ns = self.arrivals.next()?;
            if deal.is_ours() {
                return Some(at_ns);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Gaps;
    use super::*;
    use proptest::prelude::*;

    const RATE: f64 = 200.0;

    /// The arrivals of each agent.
    fn agents(gaps: Gaps, requests: &[u64], seed: u64) -> Vec<Vec<u64>> {
        let of = |(index, count): (usize, &u64)| {
            let share = Share { index, requests: requests.to_vec() };
            let count = usize::try_from(*count).unwrap();
            let arrivals = Arrivals::new(RATE, gaps, seed);
            Dealt::of(arrivals, &share, Extent::Counted, seed).take(count).collect()
        };
        requests.iter().enumerate().map(of).collect()
    }

    fn superposed(agents: &[Vec<u64>]) -> Vec<u64> {
        let mut all = agents.concat();
        all.sort_unstable();
        all
    }

    fn gaps_s(times: &[u64]) -> Vec<f64> {
        times.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e9).collect()
    }

    fn mean_and_variance(values: &[f64]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let square = |value: &f64| (value - mean).powi(2);
        (mean, values.iter().map(square).sum::<f64>() / (n - 1.0))
    }

    #[test]
    fn four_agents_together_send_the_arrivals_of_one() {
        for gaps in [Gaps::Exponential, Gaps::Constant, Gaps::Gamma { cv: 2.0 }] {
            let all = superposed(&agents(gaps, &[2500, 2499, 2500, 2501], 7));
            let one: Vec<u64> = Arrivals::new(RATE, gaps, 7).take(10_000).collect();
            assert_eq!(all, one, "{gaps:?}");
        }
    }

    /// Clocks that start up to 40 ms apart, eight gaps of the load, don't change the process: parts of
    /// a Poisson process are independent of each other.
    #[test]
    fn four_agents_that_start_apart_superpose_to_a_poisson_process_of_the_whole_rate() {
        let mut apart = agents(Gaps::Exponential, &[25_000; 4], 11);
        for (agent, late_ns) in apart.iter_mut().zip([0, 40_000_000, 9_000_000, 23_000_000]) {
            agent.iter_mut().for_each(|at_ns| *at_ns += late_ns);
        }
        let gaps = gaps_s(&superposed(&apart));
        let n = gaps.len() as f64;
        let (mean, variance) = mean_and_variance(&gaps);
        // Of exponential gaps, the standard error of the mean is 1 / sqrt(n), of the variance
        // sqrt(8 / n): 95% of both are within 1.96.
        assert!((mean * RATE - 1.0).abs() < 1.96 / n.sqrt(), "{mean}");
        assert!((variance * RATE * RATE - 1.0).abs() < 1.96 * (8.0 / n).sqrt(), "{variance}");
    }

    #[test]
    fn the_part_of_an_agent_is_a_poisson_process_of_its_rate() {
        let share = Share { index: 2, requests: vec![1; 4] };
        let arrivals = Arrivals::new(RATE, Gaps::Exponential, 3);
        let of = Dealt::of(arrivals, &share, Extent::Endless, 3);
        let gaps = gaps_s(&of.take(50_001).collect::<Vec<_>>());
        let (n, rate) = (gaps.len() as f64, RATE / 4.0);
        let (mean, variance) = mean_and_variance(&gaps);
        assert!((mean * rate - 1.0).abs() < 4.0 / n.sqrt(), "{mean}");
        assert!((variance * rate * rate - 1.0).abs() < 4.0 * (8.0 / n).sqrt(), "{variance}");
    }

    proptest! {
        /// Whatever the shares, each arrival has one agent, and each agent its number of them.
        #[test]
        fn every_arrival_is_sent_once(requests in prop::collection::vec(0..40_u64, 1..6), seed: u64) {
            prop_assume!(requests.iter().sum::<u64>() > 0);
            let parts = agents(Gaps::Exponential, &requests, seed);
            let counts: Vec<u64> = parts.iter().map(|part| part.len() as u64).collect();
            prop_assert_eq!(&counts, &requests);
            let all = usize::try_from(requests.iter().sum::<u64>()).unwrap();
            let one: Vec<u64> = Arrivals::new(RATE, Gaps::Exponential, seed).take(all).collect();
            prop_assert_eq!(superposed(&parts), one);
        }
    }
}
