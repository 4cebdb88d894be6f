//! A simulation of a serverless endpoint: arrival times and times of single requests -> latencies, throttled requests and
//! billed time.
//!
//! A request is processed alone, in the sandbox that became idle last. If none is idle, one is started for it.

use super::outcome::{Hour, Outcome, hour_of};
use super::{Batch, BatchTime};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use traffic::Request;

/// Processing is billed in whole milliseconds.
const BILLED_PER_S: f64 = 1000.0;

/// A serverless endpoint. Times are in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Serverless {
    /// Requests that have a sandbox at the same time; more are throttled, which fails them. At least 1.
    pub max_concurrency: usize,
    /// The start of a sandbox. The request waits for it; it isn't billed.
    pub cold_start_s: f64,
    /// A sandbox ends after so long without a request.
    pub idle_s: f64,
    /// A request that takes longer fails after this time, which is billed.
    pub timeout_s: f64,
    /// A request is good if it is answered within this time.
    pub limit_s: f64,
    /// Requests that arrive after it are not counted.
    pub span_s: f64,
}

/// Simulates a serverless endpoint. The times of `requests` never decrease; all randomness follows from `seed`.
///
/// Of the outcome, `paid_s` is the billed processing, `rejected` are throttled requests, `during_start` those that waited
/// for a start, and `most_instances` the most sandboxes with a request. What a request costs counts in the hour in
/// which it arrived.
pub fn simulate_serverless<B: BatchTime>(
    requests: impl Iterator<Item = impl Into<Request>>,
    time: &B,
    endpoint: &Serverless,
    seed: u64,
) -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let hours = hour_of(endpoint.span_s.next_down()) + 1;
    let mut outcome = Outcome { hours: vec![Hour::default(); hours], ..Outcome::default() };
    // The bits of numbers from 0 on have the order of the numbers.
    let mut ends: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
    // When the idle sandboxes became idle, the earliest first.
    let mut idle: VecDeque<f64> = VecDeque::new();
    let requests = requests.map(Into::into);
    for request in requests.take_while(|one: &Request| one.at_s <= endpoint.span_s) {
        let at_s = request.at_s;
        while let Some(Reverse(end)) =
            ends.peek().copied().filter(|Reverse(end)| f64::from_bits(*end) <= at_s)
        {
            ends.pop();
            idle.push_back(f64::from_bits(end));
        }
        while idle.front().is_some_and(|since_s| since_s + endpoint.idle_s <= at_s) {
            idle.pop_front();
        }
        let hour = hour_of(at_s).min(hours - 1);
        outcome.arrived += 1;
        outcome.hours[hour].arrived += 1;
        if ends.len() >= endpoint.max_concurrency {
            outcome.rejected += 1;
            continue;
        }
        let (start_s, pause_s) = match idle.pop_back() {
            Some(since_s) => (0.0, at_s - since_s),
            None => (endpoint.cold_start_s, 0.0),
        };
        outcome.during_start += u64::from(start_s > 0.0);
        let needed_s = time.seconds(Batch::of([request].iter(), pause_s), &mut rng);
        let processing_s = needed_s.min(endpoint.timeout_s);
        ends.push(Reverse((at_s + start_s + processing_s).to_bits()));
        outcome.most_instances = outcome.most_instances.max(ends.len());
        let billed_s = (processing_s * BILLED_PER_S).ceil() / BILLED_PER_S;
        outcome.busy_s += processing_s;
        outcome.paid_s += billed_s;
        outcome.hours[hour].paid_s += billed_s;
        outcome.hours[hour].processed += 1;
        if needed_s > endpoint.timeout_s {
            outcome.timed_out += 1;
            continue;
        }
        let latency_s = start_s + processing_s;
        outcome.latencies.add(latency_s);
        let is_good = latency_s <= endpoint.limit_s;
        outcome.good += u64::from(is_good);
        outcome.hours[hour].good += u64::from(is_good);
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Service, erlang_b, poisson};
    use super::*;

    fn endpoint(max_concurrency: usize) -> Serverless {
        Serverless {
            max_concurrency,
            cold_start_s: 0.0,
            idle_s: 600.0,
            timeout_s: f64::INFINITY,
            limit_s: 1.0,
            span_s: 1e9,
        }
    }

    #[test]
    fn throttling_is_erlang_b_whatever_the_distribution() {
        for (rate, most, is_exponential) in
            [(20.0, 2, true), (20.0, 2, false), (60.0, 8, true), (3.0, 1, false)]
        {
            let time = Service { mean_s: 0.1, is_exponential };
            let arrivals = poisson(rate, 300_000, 5);
            let found = simulate_serverless(arrivals, &time, &endpoint(most), 6);
            let expected = erlang_b(rate * 0.1, u32::try_from(most).unwrap());
            assert!(
                (found.error_share() - expected).abs() < 0.004,
                "{} {expected}",
                found.error_share()
            );
            assert_eq!(found.latencies.count() + found.rejected, found.arrived);
            assert_eq!(found.most_instances, most);
        }
    }

    #[test]
    fn without_a_limit_the_bill_is_that_of_a_queue_with_infinitely_many_servers() {
        // M/G/infinity: the mean number of sandboxes with a request is rate x mean time, whatever the distribution.
        for is_exponential in [true, false] {
            let span_s = 20_000.0;
            let of_span = Serverless { span_s, ..endpoint(usize::MAX) };
            let time = Service { mean_s: 0.3, is_exponential };
            let found = simulate_serverless(poisson(12.0, usize::MAX, 3), &time, &of_span, 4);
            let mean = found.paid_s / span_s;
            // Rounding up to whole milliseconds adds half of one on average, and none to 300 ms.
            let expected = 12.0 * if is_exponential { 0.3005 } else { 0.3 };
            assert!((mean / expected - 1.0).abs() < 0.01, "{mean} {expected}");
            assert!((found.utilization() - 12.0 * 0.3 / expected).abs() < 0.001);
            let of_hours: f64 = found.hours.iter().map(|hour| hour.paid_s).sum();
            assert!((of_hours / found.paid_s - 1.0).abs() < 1e-9);
            assert_eq!(found.hours.iter().map(|hour| hour.processed).sum::<u64>(), found.arrived);
        }
    }

    /// One sandbox: the gap until the next request is exponential, so a request finds it ended with the probability
    /// exp(-rate x idle), and M/G/1/1 throttles load / (1 + load), starts included.
    #[test]
    fn cold_starts_of_one_sandbox_have_their_formula() {
        let (rate, idle_s, cold_start_s, mean_s) = (0.5_f64, 3.0_f64, 0.8, 0.4);
        let one = Serverless { cold_start_s, idle_s, ..endpoint(1) };
        let time = Service { mean_s, is_exponential: true };
        let found = simulate_serverless(poisson(rate, 400_000, 8), &time, &one, 9);
        let cold = (-rate * idle_s).exp();
        let load = rate * (mean_s + cold * cold_start_s);
        let throttled = load / (1.0 + load);
        assert!(
            (found.error_share() - throttled).abs() < 0.003,
            "{} {throttled}",
            found.error_share()
        );
        let cold_share = found.during_start as f64 / found.latencies.count() as f64;
        assert!((cold_share - cold).abs() < 0.003, "{cold_share} {cold}");
        let found_s = found.latencies.mean_s().unwrap();
        assert!((found_s / (mean_s + cold * cold_start_s) - 1.0).abs() < 0.01, "{found_s}");
    }

    #[test]
    fn a_sandbox_is_used_again_until_it_has_been_idle_for_too_long() {
        let two = Serverless { cold_start_s: 5.0, idle_s: 60.0, limit_s: 2.0, ..endpoint(2) };
        let time = |_: usize, _: &mut ChaCha8Rng| 1.0;
        // The first sandbox is taken until 6, the second until 9, and at 5 there is none. At 10 and at 70 the second is
        // used again, until 71. The first one ends at 66 and the second at 131.
        let found =
            simulate_serverless([0.0, 3.0, 5.0, 10.0, 70.0, 131.0].into_iter(), &time, &two, 1);
        assert_eq!((found.arrived, found.rejected, found.during_start, found.good), (6, 1, 3, 2));
        assert!((found.paid_s - 5.0).abs() < 1e-9, "starts aren't billed");
    }

    #[test]
    fn what_takes_too_long_fails_and_is_billed() {
        let short = Serverless { timeout_s: 60.0, limit_s: 100.0, ..endpoint(5) };
        let found = simulate_serverless(
            [0.0, 1.0].into_iter(),
            &|_: usize, _: &mut ChaCha8Rng| 75.0,
            &short,
            1,
        );
        assert_eq!((found.timed_out, found.good, found.latencies.count()), (2, 0, 0));
        assert!((found.error_share() - 1.0).abs() < 1e-12 && (found.paid_s - 120.0).abs() < 1e-9);
    }
}
