//! The cost of requests and tokens at a measured rate.
//!
//! usd per hour x host-seconds / 3600 / counted = usd per hour / 3600 / rate: cost falls as the rate
//! grows, so the bounds of the rate's interval swap.

use stats::{Estimate, Limitation};

/// US dollars per 1,000 requests at `throughput` requests per second of one host that never idles.
pub fn usd_per_1000_requests(throughput: &Estimate, usd_per_hour: f64) -> Estimate {
    cost_of(throughput, usd_per_hour, 1000.0)
}

/// US dollars per 1,000 requests that keep the limit, at `goodput` of them per second of one host.
pub fn usd_per_1000_good_requests(goodput: &Estimate, usd_per_hour: f64) -> Estimate {
    cost_of(goodput, usd_per_hour, 1000.0)
}

/// US dollars per million output tokens at `output_token_throughput` tokens per second of one host.
pub fn usd_per_million_output_tokens(
    output_token_throughput: &Estimate,
    usd_per_hour: f64,
) -> Estimate {
    cost_of(output_token_throughput, usd_per_hour, 1e6)
}

fn cost_of(rate: &Estimate, usd_per_hour: f64, count: f64) -> Estimate {
    let cost = |rate: f64| (rate > 0.0).then(|| usd_per_hour / 3600.0 / rate * count);
    let reason = match rate.ci_low.or(rate.value) {
        Some(slowest) if slowest <= 0.0 => Some(Limitation::RateMayBeZero),
        _ => rate.reason,
    };
    Estimate {
        value: rate.value.and_then(cost),
        ci_low: rate.ci_high.and_then(cost),
        ci_high: rate.ci_low.and_then(cost),
        n: rate.n,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_requests_in_ten_minutes_are_priced_right() {
        // 0.4 per minute: 1,000 requests take 2,500 minutes of 0.23 USD per hour.
        let cost = usd_per_1000_requests(&Estimate::point(0.4 / 60.0, 1, Limitation::OneRun), 0.23);
        assert!((cost.value.unwrap() - 2500.0 / 60.0 * 0.23).abs() < 1e-12);
        assert_eq!(cost.interval(), None);
        assert_eq!(cost.reason, Some(Limitation::OneRun));
    }

    #[test]
    fn the_fast_end_is_the_cheap_end() {
        let cost = usd_per_1000_requests(&Estimate::within(2.0, (1.0, 4.0), 3), 3.6);
        assert_eq!((cost.ci_low, cost.value, cost.ci_high), (Some(0.25), Some(0.5), Some(1.0)));
    }

    #[test]
    fn a_rate_that_may_be_zero_has_no_upper_cost() {
        let cost = usd_per_1000_requests(&Estimate::within(1.0, (0.0, 2.0), 2), 3.6);
        assert_eq!((cost.ci_low, cost.ci_high), (Some(0.5), None));
        assert!(cost.reason.is_some());
    }

    #[test]
    fn a_million_tokens_cost_what_their_time_costs() {
        let cost = usd_per_million_output_tokens(&Estimate::within(100.0, (50.0, 200.0), 3), 0.36);
        assert!((cost.value.unwrap() - 1.0).abs() < 1e-12);
    }
}
