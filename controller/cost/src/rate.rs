//! Cost against the rate at which requests are offered: whole instances, idle time included.
//!
//! Instances come whole, so cost per request saws: it falls until an instance is full and jumps when the
//! next one starts. Which target is cheaper therefore changes with the rate, once, several times or never.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A target as a fleet of equal instances.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// The capacity of one instance in requests per second.
    pub requests_per_second: f64,
    /// The lower end of its interval.
    pub low: f64,
    pub high: f64,
    pub usd_per_hour: f64,
}

/// What a rate costs on one target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AtRate {
    /// Requests per second that are offered.
    pub offered_rate: f64,
    /// Whole instances that carry them.
    pub instances: u64,
    /// The share of their time that they idle, 0 to 1.
    pub idle_share: f64,
    /// What the instances cost, idle or not.
    pub usd_per_hour: f64,
    /// Per 1,000 requests at this rate.
    pub usd_per_1000_requests: f64,
}

/// Which of two targets is cheaper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cheaper {
    First,
    Second,
    Same,
    /// It depends on where in their intervals the capacities lie.
    Undecided,
}

/// A range of offered rates with one answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Range {
    /// From just above this rate, in requests per second ...
    pub from: f64,
    pub to: f64,
    /// Which is cheaper in it.
    pub cheaper: Cheaper,
}

/// More steps than this are no table that anyone reads: such rates are past the range.
const MOST_STEPS: f64 = 10_000.0;

impl Capacity {
    /// `None` where the rate, in requests per second, or the capacity is not above zero.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole count")]
    pub fn at_rate(&self, offered_rate: f64) -> Option<AtRate> {
        let possible = offered_rate > 0.0 && self.requests_per_second > 0.0;
        let instances = possible.then(|| instances(offered_rate, self.requests_per_second))?;
        let usd_per_hour = instances * self.usd_per_hour;
        Some(AtRate {
            offered_rate,
            instances: instances as u64,
            idle_share: 1.0 - offered_rate / (instances * self.requests_per_second),
            usd_per_hour,
            usd_per_1000_requests: usd_per_hour / 3600.0 / offered_rate * 1000.0,
        })
    }
}

/// The ranges of offered rates up to `most` in which one of two targets is cheaper; adjacent ranges differ.
/// Empty where a capacity is not above zero or where `most` needs more than 10,000 instances.
pub fn break_even(first: &Capacity, second: &Capacity, most: f64) -> Vec<Range> {
    let capacities = [
        first.low,
        first.requests_per_second,
        first.high,
        second.low,
        second.requests_per_second,
        second.high,
    ];
    let countable = |capacity: &f64| *capacity > 0.0 && most / capacity <= MOST_STEPS;
    if !capacities.iter().all(countable) || !most.is_finite() || most <= 0.0 {
        return Vec::new();
    }
    let mut steps: Vec<f64> = vec![most];
    for capacity in capacities {
        let multiples = (1_u32..).map(|count| f64::from(count) * capacity);
        steps.extend(multiples.take_while(|&rate| rate < most));
    }
    steps.sort_by(f64::total_cmp);
    let mut ranges: Vec<Range> = Vec::new();
    let mut from = 0.0;
    for to in steps {
        if to <= from {
            continue;
        }
        // Between two steps the instances do not change: any rate inside decides.
        let cheaper = cheaper(first, second, f64::midpoint(from, to));
        match ranges.last_mut().filter(|range| range.cheaper == cheaper) {
            Some(range) => range.to = to,
            None => ranges.push(Range { from, to, cheaper }),
        }
        from = to;
    }
    ranges
}

fn cheaper(first: &Capacity, second: &Capacity, rate: f64) -> Cheaper {
    let cost = |capacity: f64, of: &Capacity| instances(rate, capacity) * of.usd_per_hour;
    // The fewest instances come from the highest capacity.
    let (first_least, first_most) = (cost(first.high, first), cost(first.low, first));
    let (second_least, second_most) = (cost(second.high, second), cost(second.low, second));
    if first_most < second_least {
        Cheaper::First
    } else if second_most < first_least {
        Cheaper::Second
    } else if first_most <= second_least && second_most <= first_least {
        Cheaper::Same
    } else {
        Cheaper::Undecided
    }
}

/// Whole instances. A rate that fills them exactly, up to rounding, needs no further one.
fn instances(rate: f64, capacity: f64) -> f64 {
    let needed = rate / capacity;
    let nearest = needed.round();
    let is_full = nearest >= 1.0 && (needed - nearest).abs() <= nearest * 1e-12;
    if is_full { nearest } else { needed.ceil() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exact(requests_per_second: f64, usd_per_hour: f64) -> Capacity {
        Capacity {
            requests_per_second,
            low: requests_per_second,
            high: requests_per_second,
            usd_per_hour,
        }
    }

    #[test]
    fn instances_are_whole_and_their_idle_time_is_paid() {
        let small = exact(10.0, 0.36);
        let at = small.at_rate(15.0).unwrap();
        assert_eq!((at.instances, at.idle_share), (2, 0.25));
        assert!((at.usd_per_1000_requests - 0.72 / 3600.0 / 15.0 * 1000.0).abs() < 1e-15);
        assert_eq!(small.at_rate(30.0).unwrap().instances, 3);
        assert_eq!(exact(0.1, 1.0).at_rate(0.3).unwrap().instances, 3, "0.3 / 0.1 is above 3");
        assert_eq!(small.at_rate(0.0), None);
    }

    #[test]
    fn the_cheaper_target_may_change_several_times() {
        // 1 USD for 10 a second against 2.5 USD for 30 a second.
        let ranges = break_even(&exact(10.0, 1.0), &exact(30.0, 2.5), 60.0);
        let found: Vec<_> =
            ranges.iter().map(|range| (range.from, range.to, range.cheaper)).collect();
        assert_eq!(
            found,
            [
                (0.0, 20.0, Cheaper::First),
                (20.0, 30.0, Cheaper::Second),
                (30.0, 40.0, Cheaper::First),
                (40.0, 50.0, Cheaper::Same),
                (50.0, 60.0, Cheaper::Second),
            ]
        );
    }

    #[test]
    fn there_may_be_no_break_even_at_all() {
        let ranges = break_even(&exact(10.0, 1.0), &exact(10.0, 2.0), 100.0);
        assert_eq!(ranges, [Range { from: 0.0, to: 100.0, cheaper: Cheaper::First }]);
        let ranges = break_even(&exact(10.0, 1.0), &exact(10.0, 1.0), 100.0);
        assert_eq!(ranges, [Range { from: 0.0, to: 100.0, cheaper: Cheaper::Same }]);
        assert!(break_even(&exact(0.0, 1.0), &exact(10.0, 1.0), 100.0).is_empty());
    }

    #[test]
    fn between_the_ends_of_the_intervals_it_is_undecided() {
        let wide = Capacity { low: 9.0, high: 11.0, ..exact(10.0, 1.0) };
        let ranges = break_even(&wide, &exact(100.0, 1.5), 20.0);
        let found: Vec<_> = ranges.iter().map(|range| (range.to, range.cheaper)).collect();
        assert_eq!(
            found,
            [(9.0, Cheaper::First), (11.0, Cheaper::Undecided), (20.0, Cheaper::Second)]
        );
    }

    proptest! {
        #[test]
        fn ranges_join_and_agree_with_the_cost_inside_them(a in 1.0..50.0, b in 1.0..50.0, p in 0.1..5.0, q in 0.1..5.0) {
            let (first, second) = (exact(a, p), exact(b, q));
            let ranges = break_even(&first, &second, 200.0);
            prop_assert_eq!(ranges[0].from.to_bits(), 0.0_f64.to_bits());
            prop_assert!(ranges.windows(2).all(|pair| pair[0].to.to_bits() == pair[1].from.to_bits() && pair[0].cheaper != pair[1].cheaper));
            for range in ranges {
                let middle = f64::midpoint(range.from, range.to);
                let cost = |of: &Capacity| of.at_rate(middle).unwrap().usd_per_1000_requests;
                match range.cheaper {
                    Cheaper::First => prop_assert!(cost(&first) < cost(&second)),
                    Cheaper::Second => prop_assert!(cost(&first) > cost(&second)),
                    Cheaper::Same | Cheaper::Undecided => prop_assert!((cost(&first) / cost(&second) - 1.0).abs() < 1e-9),
                }
            }
        }
    }
}
