//! The simulation against closed forms, and the rules of fleets.

use super::*;
use rand::RngExt;
use traffic::Arrivals;

fn exponential(mean_s: f64) -> impl Fn(usize, &mut ChaCha8Rng) -> f64 {
    move |_, rng| {
        let unit: f64 = rng.random();
        -(1.0 - unit).ln() * mean_s
    }
}

fn fleet(instances: usize) -> Fleet {
    let batching = Batching { max_size: 1, max_delay_s: 0.0 };
    Fleet { routing: Routing::OneQueue, limit_s: 1.0, ..Fleet::fixed(instances, batching) }
}

/// Poisson arrivals at `rate` per second.
pub(super) fn poisson(rate: f64, requests: usize, seed: u64) -> impl Iterator<Item = f64> {
    Arrivals::poisson(vec![rate], 1e9, seed).take(requests)
}

/// A queue with a known mean time in the system.
struct Known {
    name: &'static str,
    expected_s: f64,
    found_s: f64,
}

impl Known {
    fn error(&self) -> f64 {
        (self.found_s / self.expected_s - 1.0).abs()
    }
}

/// Mean time in the system of M/M/c (Erlang C).
fn erlang_c_s(rate: f64, service_rate: f64, servers: u32) -> f64 {
    let load = rate / service_rate;
    let c = f64::from(servers);
    let mut term = 1.0;
    let mut sum = 0.0;
    for k in 0..servers {
        sum += term;
        term *= load / f64::from(k + 1);
    }
    let last = term * c / (c - load);
    last / (sum + last) / (c * service_rate - rate) + 1.0 / service_rate
}

/// Mean time in the system of a server that takes up to `size` waiting requests, with exponential batch times: the
/// number that waits while it is busy is geometric with the root r of service r^(size+1) - (rate + service) r + rate.
fn batch_service_s(rate: f64, service_rate: f64, size: i32) -> f64 {
    let polynomial = |r: f64| service_rate * r.powi(size + 1) - (rate + service_rate) * r + rate;
    let (mut low, mut high) = (0.0, 1.0 - 1e-9);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if polynomial(middle) > 0.0 { low = middle } else { high = middle }
    }
    let r = low;
    let busy = 1.0 / (service_rate / rate + 1.0 / (1.0 - r));
    busy * r / (1.0 - r).powi(2) / rate + 1.0 / service_rate
}

fn queues(requests: usize, seed: u64) -> Vec<Known> {
    let mean =
        |arrivals_per_s: f64, batch_time: &dyn Fn(usize, &mut ChaCha8Rng) -> f64, fleet: &Fleet| {
            let batch_time = |size: usize, rng: &mut ChaCha8Rng| batch_time(size, rng);
            let outcome =
                simulate(poisson(arrivals_per_s, requests, seed), &batch_time, fleet, seed + 1);
            assert_eq!(outcome.latencies.count(), requests as u64);
            outcome.latencies.mean_s().unwrap()
        };
    let mut found = Vec::new();
    let mut add = |name, expected_s, found_s| found.push(Known { name, expected_s, found_s });
    add("M/M/1", 1.0 / (10.0 - 7.0), mean(7.0, &exponential(0.1), &fleet(1)));
    add("M/M/4", erlang_c_s(32.0, 10.0, 4), mean(32.0, &exponential(0.1), &fleet(4)));
    // Half of the waiting of M/M/1.
    add("M/D/1", 0.1 + 0.7 / (2.0 * 10.0 * 0.3), mean(7.0, &|_, _| 0.1, &fleet(1)));
    // Pollaczek-Khinchine: rate E[S^2] / (2 (1 - load)) + E[S], for 0.05 s in 9 of 10 and 0.5 s in 1 of 10.
    let two_points = |_: usize, rng: &mut ChaCha8Rng| {
        if rng.random::<f64>() < 0.9 { 0.05 } else { 0.5 }
    };
    let (first, second) = (0.9 * 0.05 + 0.1 * 0.5, 0.9 * 0.05_f64.powi(2) + 0.1 * 0.5_f64.powi(2));
    let waiting_s = 7.0 * second / (2.0 * (1.0 - 7.0 * first));
    add("M/G/1", first + waiting_s, mean(7.0, &two_points, &fleet(1)));
    let batches = Fleet { batching: Batching { max_size: 4, max_delay_s: 0.0 }, ..fleet(1) };
    add("M/M(1,4)/1", batch_service_s(28.0, 10.0, 4), mean(28.0, &exponential(0.1), &batches));
    found
}

#[test]
fn queues_have_the_means_of_their_formulas() {
    for known in queues(400_000, 11) {
        assert!(
            known.error() < 0.03,
            "{}: {} s, {} s",
            known.name,
            known.found_s,
            known.expected_s
        );
    }
}

#[test]
#[ignore = "needs minutes without optimization: 10^7 requests for each queue"]
fn ten_million_requests_are_within_a_percent_of_the_formulas() {
    for known in queues(10_000_000, 5) {
        let Known { name, expected_s, found_s } = &known;
        assert!(known.error() < 0.01, "{name}: {found_s} s, expected {expected_s} s");
    }
}

#[test]
fn the_tail_of_a_single_queue_is_exponential() {
    let found = simulate(poisson(7.0, 400_000, 2), &exponential(0.1), &fleet(1), 3);
    for probability in [0.5, 0.9, 0.95, 0.99] {
        let expected_s = -(1.0_f64 - probability).ln() / 3.0;
        let found_s = found.latencies.quantile_s(probability).unwrap();
        assert!((found_s / expected_s - 1.0).abs() < 0.04, "{probability}: {found_s} {expected_s}");
    }
    // Everything within 1 s: 1 - exp(-3).
    assert!((found.good_share() - (1.0 - (-3.0_f64).exp())).abs() < 0.005);
}

#[test]
fn an_incomplete_batch_waits_for_its_delay() {
    let batches = Fleet { batching: Batching { max_size: 3, max_delay_s: 0.5 }, ..fleet(1) };
    let arrivals = [0.0, 0.1, 2.0, 2.1, 2.2, 2.3];
    let time = |size: usize, _: &mut ChaCha8Rng| size as f64;
    let found = simulate(arrivals.into_iter(), &time, &batches, 1);
    // 0.0 and 0.1 start at 0.5 and end at 2.5, where three wait; they end at 5.5 and the last one at 6.5.
    let latencies_s = [2.5, 2.4, 3.5, 3.4, 3.3, 4.2];
    let mean_s = latencies_s.iter().sum::<f64>() / 6.0;
    assert!((found.latencies.mean_s().unwrap() - mean_s).abs() < 1e-9);
    assert!((found.busy_s - 6.0).abs() < 1e-9);
}

#[test]
fn a_full_queue_rejects() {
    let short = Fleet { max_queue: 2, routing: Routing::LeastOutstanding, ..fleet(1) };
    let found = simulate(
        [0.0, 0.1, 0.2, 0.3, 0.4].into_iter(),
        &|_: usize, _: &mut ChaCha8Rng| 10.0,
        &short,
        1,
    );
    assert_eq!((found.arrived, found.rejected, found.latencies.count()), (5, 2, 3));
    assert!((found.error_share() - 0.4).abs() < 1e-12);
}

#[test]
fn the_routing_matters() {
    let waiting = |routing| {
        let three = Fleet { routing, ..fleet(3) };
        let found = simulate(poisson(24.0, 200_000, 6), &exponential(0.1), &three, 7);
        found.latencies.mean_s().unwrap()
    };
    let [one, least, random] =
        [Routing::OneQueue, Routing::LeastOutstanding, Routing::Random].map(waiting);
    assert!(one < least && least < random, "{one} {least} {random}");
    // Random routing makes three independent M/M/1 queues.
    assert!((random * 2.0 - 1.0).abs() < 0.06, "{random}");
}

#[test]
fn a_fixed_fleet_pays_for_every_hour() {
    let two = Fleet { span_s: 7200.0, ..fleet(2) };
    let found = simulate(poisson(1.0, 9000, 1), &|_: usize, _: &mut ChaCha8Rng| 0.5, &two, 1);
    assert!((found.paid_s - 4.0 * 3600.0).abs() < 1e-6);
    assert!((found.utilization() - 0.25).abs() < 0.02);
    assert_eq!(found.hours.len(), 2);
    assert!((found.hours[0].paid_s - 7200.0).abs() < 1e-6);
    assert_eq!(found.hours.iter().map(|hour| hour.arrived).sum::<u64>(), found.arrived);
}

/// An hour of 1 request per second, one of 8, and two of 1.
fn step(policy: Policy, start_s: f64) -> Outcome {
    let scaled = Fleet {
        routing: Routing::LeastOutstanding,
        min_instances: 1,
        max_instances: 10,
        first_instances: 1,
        start_up: StartUp { provisioning_s: start_s, load_s: 10.0 },
        policy,
        span_s: 4.0 * 3600.0,
        max_queue: 10_000,
        ..fleet(1)
    };
    let arrivals = Arrivals::poisson(vec![1.0, 8.0, 1.0, 1.0], 3600.0, 4);
    simulate(arrivals, &|_: usize, _: &mut ChaCha8Rng| 0.4, &scaled, 8)
}

#[test]
fn tracking_follows_the_load_and_pays_for_its_tail() {
    let rule = SageMakerTracking { target_rate: 1.5, scale_in_cooldown_s: 300.0 };
    let found = step(Policy::SageMaker(rule), 240.0);
    let [before, during, _, after] = found.hours[..] else { panic!("4 hours") };
    assert!((before.paid_s / 3600.0 - 1.0).abs() < 0.01);
    assert!((4.5..7.0).contains(&(during.paid_s / 3600.0)), "{during:?}");
    assert!((after.paid_s / 3600.0 - 1.0).abs() < 0.01, "{after:?}");
    // About five instances stay for the 15 minutes until they are removed.
    assert!((0.8..1.8).contains(&(found.tail_s / 3600.0)), "{}", found.tail_s);
    assert!(found.during_start_share() > 0.02 && found.starts >= 4);
    let faster = step(Policy::SageMaker(rule), 0.0);
    assert!(faster.good_share() > found.good_share());
    assert!(faster.during_start < found.during_start);
}

#[test]
fn an_autoscaler_at_zero_is_woken_by_a_request() {
    let sleeping = Fleet {
        routing: Routing::LeastOutstanding,
        min_instances: 0,
        max_instances: 3,
        first_instances: 0,
        start_up: StartUp { provisioning_s: 20.0, load_s: 5.0 },
        policy: Policy::Kubernetes(Hpa { target_rate: 5.0, scale_down_stabilization_s: 300.0 }),
        span_s: 3600.0,
        ..fleet(1)
    };
    let found = simulate(
        [100.0, 110.0, 2000.0].into_iter(),
        &|_: usize, _: &mut ChaCha8Rng| 1.0,
        &sleeping,
        1,
    );
    assert_eq!((found.latencies.count(), found.starts), (3, 2));
    // 25 s until it is ready, and 1 s of processing; then the same again.
    assert!((found.latencies.quantile_s(1.0).unwrap() - 26.0).abs() < 0.2);
    assert!(found.paid_s < 900.0, "{}", found.paid_s);
}

#[test]
fn requests_fail_until_a_sagemaker_fleet_has_its_first_instance() {
    let rule = SageMakerTracking { target_rate: 5.0, scale_in_cooldown_s: 300.0 };
    let sleeping = Fleet {
        routing: Routing::LeastOutstanding,
        min_instances: 0,
        max_instances: 3,
        first_instances: 0,
        start_up: StartUp { provisioning_s: 200.0, load_s: 30.0 },
        policy: Policy::SageMaker(rule),
        without_instance: WithoutInstance::Fail,
        span_s: 3.0 * 3600.0,
        ..fleet(1)
    };
    // The alarm sees the first one at 120 s, and the instance is ready at 350 s. The last request is at 1000 s, so the
    // instance ends after the idle minutes from 1020 to 1920 s; the next ones find none, until 7500 + 230 s.
    let arrivals = [100.0, 130.0, 340.0, 400.0, 1000.0, 7490.0, 7800.0];
    let found = simulate(arrivals.into_iter(), &|_: usize, _: &mut ChaCha8Rng| 1.0, &sleeping, 1);
    assert_eq!((found.arrived, found.without_instance, found.good), (7, 4, 3));
    assert_eq!((found.starts, found.most_instances, found.rejected), (2, 1, 0));
    let second_s = 7800.0_f64.div_euclid(60.0) * 60.0 + 60.0 + 900.0 - (7500.0 + 200.0);
    let paid_s = (1920.0 - (120.0 + 200.0)) + second_s;
    assert!((found.paid_s - paid_s).abs() < 1e-6, "{} {paid_s}", found.paid_s);
    assert!((found.error_share() - 4.0 / 7.0).abs() < 1e-12);
}

#[test]
fn interrupted_instances_lose_what_they_hold() {
    let spot = Fleet {
        routing: Routing::LeastOutstanding,
        max_instances: 2,
        start_up: StartUp { provisioning_s: 60.0, load_s: 0.0 },
        spot: Some(Spot { interruptions_per_hour: 2.0, notice_s: 0.0 }),
        span_s: 36_000.0,
        ..fleet(2)
    };
    let found = simulate(poisson(8.0, 288_000, 1), &|_: usize, _: &mut ChaCha8Rng| 0.2, &spot, 9);
    assert!((20..70).contains(&found.starts), "{}", found.starts);
    assert!(found.interrupted > 20);
    assert_eq!(found.latencies.count() + found.rejected + found.interrupted, found.arrived);
    let notice =
        Fleet { spot: Some(Spot { interruptions_per_hour: 2.0, notice_s: 120.0 }), ..spot };
    let found = simulate(poisson(8.0, 288_000, 1), &|_: usize, _: &mut ChaCha8Rng| 0.2, &notice, 9);
    assert!(found.interrupted < 20, "{}", found.interrupted);
}

/// A base of `instances` with one request at a time, and one scaled instance that never ends.
fn with_base(instances: usize, spill_at: usize) -> Fleet {
    let batching = Batching { max_size: 1, max_delay_s: 0.0 };
    let base = Base { instances, batching, spill_at, rate: 0.0 };
    Fleet { routing: Routing::LeastOutstanding, base: Some(base), ..fleet(1) }
}

/// The share of requests that find all of `servers` busy (Erlang B), whatever the distribution of service times.
pub(super) fn erlang_b(load: f64, servers: u32) -> f64 {
    let next = |blocked: f64, server: u32| load * blocked / (f64::from(server) + load * blocked);
    (1..=servers).fold(1.0, next)
}

pub(super) struct Service {
    pub(super) mean_s: f64,
    pub(super) is_exponential: bool,
}

impl BatchTime for Service {
    fn seconds(&self, batch: Batch, rng: &mut ChaCha8Rng) -> f64 {
        if self.is_exponential { exponential(self.mean_s)(batch.size, rng) } else { self.mean_s }
    }
}

#[test]
fn what_finds_the_base_busy_spills_over_as_erlang_has_it() {
    for (rate, servers, is_exponential) in [(20.0, 2, true), (20.0, 2, false), (60.0, 8, true)] {
        let two = with_base(servers, 1);
        let base = Service { mean_s: 0.1, is_exponential };
        let times = TimesByType { base: &base, scaled: &Service { mean_s: 1e-6, ..base } };
        let found = simulate_types(poisson(rate, 200_000, 5), times, &two, 6);
        let expected = 1.0 - erlang_b(rate * 0.1, u32::try_from(servers).unwrap());
        assert!((found.base_share() - expected).abs() < 0.006, "{} {expected}", found.base_share());
    }
}

/// What an exponential server of 10 per second can't take at once goes to one of 6 per second with a queue. The gaps of
/// the overflow have the transform A(s) = l (l + s) / (s^2 + (2 l + m) s + l^2), and the second server is GI/M/1: a request
/// stays 1 / (6 (1 - r)) s with r = A(6 (1 - r)).
#[test]
fn the_second_type_is_the_queue_of_the_overflow() {
    let (rate, fast, slow) = (8.0_f64, 10.0, 6.0);
    let transform = |s: f64| rate * (rate + s) / (s * s + (2.0 * rate + fast) * s + rate * rate);
    let root = (0..1000).fold(0.0, |root: f64, _| transform(slow * (1.0 - root)));
    let spilled = erlang_b(rate / fast, 1);
    let expected_s = (1.0 - spilled) / fast + spilled / (slow * (1.0 - root));
    let base = Service { mean_s: 1.0 / fast, is_exponential: true };
    let scaled = Service { mean_s: 1.0 / slow, is_exponential: true };
    let times = TimesByType { base: &base, scaled: &scaled };
    let found = simulate_types(poisson(rate, 400_000, 3), times, &with_base(1, 1), 4);
    let found_s = found.latencies.mean_s().unwrap();
    assert!((found_s / expected_s - 1.0).abs() < 0.02, "{found_s} s, expected {expected_s} s");
    // Two types with the same times and a base that takes everything are one queue.
    let times = TimesByType { base: &base, scaled: &scaled };
    let all = simulate_types(poisson(7.0, 400_000, 3), times, &with_base(1, usize::MAX), 4);
    assert!((all.base_share() - 1.0).abs() < 1e-12);
    assert!((all.latencies.mean_s().unwrap() * 3.0 - 1.0).abs() < 0.03);
}

#[test]
fn a_base_is_paid_on_its_own_and_peaks_come_and_go() {
    let policy = Policy::Kubernetes(Hpa { target_rate: 2.0, scale_down_stabilization_s: 300.0 });
    let batching = Batching { max_size: 1, max_delay_s: 0.0 };
    let two = Fleet {
        base: Some(Base { instances: 2, batching, spill_at: 2, rate: 3.0 }),
        routing: Routing::LeastOutstanding,
        min_instances: 0,
        max_instances: 10,
        first_instances: 0,
        start_up: StartUp { provisioning_s: 30.0, load_s: 10.0 },
        policy,
        span_s: 4.0 * 3600.0,
        ..fleet(1)
    };
    let arrivals = Arrivals::poisson(vec![1.0, 8.0, 1.0, 1.0], 3600.0, 4);
    let found = simulate(arrivals, &|_: usize, _: &mut ChaCha8Rng| 0.4, &two, 8);
    assert!((found.base_paid_s - 8.0 * 3600.0).abs() < 1e-6);
    assert_eq!(found.latencies.count() + found.rejected, found.arrived);
    let [before, during, _, after] = found.hours[..] else { panic!("4 hours") };
    let scaled = |hour: Hour| (hour.paid_s - hour.base_paid_s) / 3600.0;
    assert!(scaled(before) < 0.3 && scaled(after) < 1e-9, "{before:?} {after:?}");
    // Five requests per second beyond the base, at two per instance.
    assert!((2.4..3.6).contains(&scaled(during)), "{during:?}");
    // At 1 per second, hardly anything spills over: all of it is answered by the base.
    assert!((0.5..0.8).contains(&found.base_share()), "{}", found.base_share());
}
