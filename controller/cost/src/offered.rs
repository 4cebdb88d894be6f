//! Targets side by side as the offered rate grows: what each costs, and where one is cheaper than another.

use super::rate::{AtRate, Capacity, Range, break_even};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stats::{Estimate, Limitation};

/// The rates of one campaign, and what they cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OfferedRates {
    /// One for each model and target that has a usable cell; all over the same rates.
    pub curves: Vec<RateCurve>,
    /// One for each pair of targets of a model.
    pub break_even: Vec<BreakEven>,
}

/// What one target costs as the offered rate grows, in whole instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RateCurve {
    pub model: String,
    pub target: String,
    /// The cell whose throughput is an instance's capacity: the target's cheapest usable one.
    pub cell: String,
    /// Of one instance that never idles.
    pub capacity: Capacity,
    pub points: Vec<AtRate>,
}

/// Where one target is cheaper than another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BreakEven {
    pub model: String,
    pub first: String,
    pub second: String,
    /// From a rate of zero on, without gaps; empty where a capacity has no interval.
    pub ranges: Vec<Range>,
    pub reason: Option<NoBreakEven>,
}

/// Why two targets have no known break-even.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum NoBreakEven {
    /// The capacity of `target` has no interval.
    NoInterval { target: String, why: Option<Limitation> },
    /// The capacity of `target` may be zero.
    CapacityMayBeZero { target: String },
    /// The capacities differ so much that one target would need over 10,000 instances.
    TooManyInstances,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    pub model: String,
    pub target: String,
    pub cell: String,
    /// Requests per second of one instance.
    pub throughput: Estimate,
    pub usd_per_hour: f64,
}

/// Rates go up to this multiple of the largest capacity.
const UP_TO: f64 = 10.0;
/// And start at this share of the smallest capacity.
const DOWN_TO: f64 = 0.1;

pub fn offered_rates(choices: &[Choice]) -> OfferedRates {
    let measured: Vec<(&Choice, Capacity)> =
        choices.iter().filter_map(|choice| Some((choice, capacity(choice)?))).collect();
    let rates = rates(measured.iter().map(|(_, capacity)| capacity.requests_per_second));
    let curve = |(choice, capacity): &(&Choice, Capacity)| RateCurve {
        model: choice.model.clone(),
        target: choice.target.clone(),
        cell: choice.cell.clone(),
        capacity: *capacity,
        points: rates.iter().filter_map(|&rate| capacity.at_rate(rate)).collect(),
    };
    let most = rates.last().copied().unwrap_or(0.0);
    let pairs = measured.iter().enumerate().flat_map(|(place, first)| {
        let others = measured[place + 1..].iter();
        let others = others.filter(move |second| second.0.model == first.0.model);
        others.map(move |second| pair(first, second, most))
    });
    OfferedRates { curves: measured.iter().map(curve).collect(), break_even: pairs.collect() }
}

/// Without an interval its ends are the value; [`pair`] claims nothing from them.
fn capacity(choice: &Choice) -> Option<Capacity> {
    let value = choice.throughput.value.filter(|value| *value > 0.0)?;
    let (low, high) = choice.throughput.interval().unwrap_or((value, value));
    Some(Capacity { requests_per_second: value, low, high, usd_per_hour: choice.usd_per_hour })
}

fn pair(first: &(&Choice, Capacity), second: &(&Choice, Capacity), most: f64) -> BreakEven {
    let reason = [first, second].into_iter().find_map(|(choice, capacity)| {
        let target = choice.target.clone();
        if choice.throughput.interval().is_none() {
            return Some(NoBreakEven::NoInterval { target, why: choice.throughput.reason });
        }
        (capacity.low <= 0.0).then_some(NoBreakEven::CapacityMayBeZero { target })
    });
    let ranges = if reason.is_some() { Vec::new() } else { break_even(&first.1, &second.1, most) };
    BreakEven {
        model: first.0.model.clone(),
        first: first.0.target.clone(),
        second: second.0.target.clone(),
        reason: reason.or_else(|| ranges.is_empty().then_some(NoBreakEven::TooManyInstances)),
        ranges,
    }
}

/// 1, 2, 5, 10, ... around the capacities.
fn rates(capacities: impl Iterator<Item = f64>) -> Vec<f64> {
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for capacity in capacities {
        (least, most) = (least.min(capacity), most.max(capacity));
    }
    if most <= 0.0 {
        return Vec::new();
    }
    let (from, to) = (least * DOWN_TO, most * UP_TO);
    let mut rates = Vec::new();
    let mut power = from.log10().floor();
    loop {
        for step in [1.0, 2.0, 5.0] {
            let rate = step * 10.0_f64.powf(power);
            if rate >= to {
                rates.push(rate);
                return rates;
            }
            if rate >= from {
                rates.push(rate);
            }
        }
        power += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::super::rate::Cheaper;
    use super::*;

    fn choice(target: &str, throughput: Estimate, usd_per_hour: f64) -> Choice {
        Choice {
            model: "base".to_owned(),
            target: target.to_owned(),
            cell: format!("base@{target}"),
            throughput,
            usd_per_hour,
        }
    }

    #[test]
    fn curves_share_their_rates_and_idle_time_shows() {
        let slow = choice("slow", Estimate::within(2.0, (1.9, 2.1), 3), 0.2);
        let fast = choice("fast", Estimate::within(30.0, (29.0, 31.0), 3), 0.7);
        let offered = offered_rates(&[slow, fast]);
        let [slow, fast] = &offered.curves[..] else { panic!("two targets") };
        let rates = |curve: &RateCurve| {
            curve.points.iter().map(|point| point.offered_rate).collect::<Vec<_>>()
        };
        assert_eq!(rates(slow), rates(fast));
        assert_eq!(rates(slow)[0].to_string(), "0.2");
        assert_eq!(rates(slow).last().map(ToString::to_string).as_deref(), Some("500"));
        let at_one = &fast.points[2];
        assert_eq!((at_one.offered_rate.to_string().as_str(), at_one.instances), ("1", 1));
        assert!((at_one.idle_share - 29.0 / 30.0).abs() < 1e-12);
        let ranges = &offered.break_even[0].ranges;
        assert_eq!(ranges[0].cheaper, Cheaper::First, "one slow instance is enough and cheaper");
        assert_eq!(ranges.last().unwrap().cheaper, Cheaper::Second);
    }

    #[test]
    fn one_run_claims_no_break_even() {
        let one_run = choice("slow", Estimate::point(2.0, 1, Limitation::OneRun), 0.2);
        let other = choice("fast", Estimate::within(30.0, (29.0, 31.0), 3), 0.7);
        let pair = &offered_rates(&[one_run, other]).break_even[0];
        assert!(pair.ranges.is_empty());
        let target = "slow".to_owned();
        let why = Some(Limitation::OneRun);
        assert_eq!(pair.reason, Some(NoBreakEven::NoInterval { target, why }));
    }

    #[test]
    fn models_are_not_held_against_each_other_and_nothing_measured_is_empty() {
        let one = choice("a", Estimate::within(2.0, (1.9, 2.1), 3), 0.2);
        let other = Choice { model: "tuned".to_owned(), ..one.clone() };
        assert!(offered_rates(&[one, other]).break_even.is_empty());
        let nothing = choice("a", Estimate::missing(0, Limitation::NothingMeasured), 0.2);
        assert!(offered_rates(&[nothing]).curves.is_empty());
    }
}
