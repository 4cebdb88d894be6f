//! Rates and repeats: the capacity of a target, the break-even of two, queue delays, when repeats ended.

use super::limitation::limitation;
use super::{beams, counted, lookup};
use cost::rate::{Cheaper, Range};
use plot::number::{percent, shown};
use results::{CapacityOf, CapacitySearch, Entry, ReplayedTrace, Scale};
use stats::arrivals::Burstiness;
use stats::precision::Look;
use stats::search::Resolution;
use stats::slo::{Capacity, LimitedMetric, Slo};
use stats::stress::judge::Delay;

/// Such as `p95 ≤ 500 ms`, or with several limits `p95 of latency ≤ 500 ms and ttft ≤ 200 ms, errors ≤ 1%`.
pub(crate) fn objective(slo: &Slo) -> String {
    let limits: Vec<String> = match slo.limits().collect::<Vec<_>>().as_slice() {
        [(LimitedMetric::RequestLatency, limit)] => vec![format!("≤ {} ms", shown(*limit))],
        limits => {
            let one = |&(metric, limit): &(LimitedMetric, f64)| {
                format!("{} ≤ {} ms", limited(metric), shown(limit))
            };
            let text: Vec<String> = limits.iter().map(one).collect();
            vec![format!("of {}", text.join(" and "))]
        }
    };
    let errors = slo.error_rate.map(|rate| format!("errors ≤ {}%", percent(rate)));
    let parts: Vec<String> = limits.into_iter().chain(errors).collect();
    format!("p{} {}", slo.percentile, parts.join(", "))
}

pub(crate) fn limited(metric: LimitedMetric) -> &'static str {
    match metric {
        LimitedMetric::RequestLatency => "latency",
        LimitedMetric::Ttft => "ttft",
        LimitedMetric::Tpot => "tpot",
    }
}

pub(crate) fn capacity(of: &CapacityOf) -> String {
    let CapacityOf { model, target, dtype, num_beams, max_batch_size, slo, .. } = of;
    let mut beams = num_beams.map_or_else(String::new, |number| format!("{}, ", beams(number)));
    let lookups = of.prompt_lookup_num_tokens.into_iter().map(lookup);
    beams.extend(lookups.map(|lookup| format!("{lookup}, ")));
    let cell = format!("{target} ({model}, {dtype}, {beams}batches of up to {max_batch_size})");
    let limit = objective(slo);
    if let Some(search) = &of.search {
        let found = searched(search);
        let cost = at_capacity(search).map_or_else(String::new, |cost| format!(", at {cost}"));
        return format!("{cell} keeps {limit} {found}{cost}.");
    }
    let highest = of.request_rates.last().copied().unwrap_or_default();
    match &of.capacity {
        Capacity::Met { request_rate } if *request_rate >= highest => format!(
            "{cell} keeps {limit} at {request_rate} requests/s, the highest offered rate; its capacity may be higher."
        ),
        Capacity::Met { request_rate } => {
            format!("{cell} keeps {limit} up to {request_rate} requests/s.")
        }
        Capacity::MetInFlight { concurrency } => {
            format!("{cell} keeps {limit} up to {concurrency} requests in flight.")
        }
        Capacity::NeverMet => format!("{cell} keeps {limit} at none of the offered rates."),
        Capacity::Undecided { reason } => {
            format!("Whether {cell} keeps {limit} is undecided: {}.", limitation(*reason))
        }
    }
}

/// How the requests of an open loop arrived.
pub(crate) fn arrivals(entry: &Entry) -> Option<String> {
    let load = entry.load.filter(|load| load.request_rate.is_some())?;
    let gaps = match (load.gap_cv, load.constant_gaps) {
        _ if entry.trace.is_some() => recorded(entry.trace.as_ref()?),
        (Some(cv), _) => format!("gamma, CV {cv}"),
        (None, Some(true)) => "constant".to_owned(),
        (None, _) => "Poisson".to_owned(),
    };
    let factors = || entry.rate_profile.iter().map(|point| point.factor);
    let Some((low, high)) = factors().reduce(f64::min).zip(factors().reduce(f64::max)) else {
        return Some(gaps);
    };
    Some(format!("{gaps}; rate × {low} to {high}"))
}

/// Such as `recorded`, `recorded × 2` or `10% of the recorded requests`.
fn recorded(trace: &ReplayedTrace) -> String {
    let factor = trace.factor;
    match trace.scale {
        _ if factor.to_bits() == 1.0_f64.to_bits() => "recorded".to_owned(),
        Scale::Time => format!("recorded × {factor}"),
        Scale::Rate => format!("{}% of the recorded requests", percent(factor)),
    }
}

/// How a Poisson process of the same rate would have differed.
pub(crate) fn against_poisson(found: &Burstiness) -> String {
    let Burstiness { window_s, dispersion, busiest, poisson_busiest, .. } = *found;
    let window = if window_s < 1.0 {
        format!("{} ms", shown(window_s * 1e3))
    } else {
        format!("{} s", shown(window_s))
    };
    let times = shown(busiest as f64 / poisson_busiest.max(1) as f64);
    format!(
        "the busiest {window} had {}, {times} times the {poisson_busiest} of a Poisson process of the same rate, and the index of dispersion is {} (Poisson: 1)",
        counted(busiest, "request"),
        shown(dispersion)
    )
}

/// What a search found: `up to a capacity of 7.9 to 9.4 requests/s (95% CI)`. In closed loop, whose loads are whole
/// numbers, `up to a capacity of 8 to 11 requests in flight (95% CI)`, of which 12 are shown to be too many.
pub(crate) fn searched(search: &CapacitySearch) -> String {
    let unit = search.vary.unit();
    let found = match (search.low, search.high) {
        (Some(low), Some(high)) => {
            format!("up to a capacity of {} (95% CI)", search.vary.interval(low, high))
        }
        (Some(low), None) => format!("at {low} {unit}; its capacity may be higher"),
        (None, Some(high)) => format!("below {high} {unit} at most"),
        (None, None) => "up to an unknown load".to_owned(),
    };
    match search.resolution {
        Resolution::Resolved => found,
        Resolution::NotResolved { minutes: Some(minutes) } => {
            let minutes = shown(minutes.max(1.0).round());
            format!("{found}, not resolved: about {minutes} more minutes of load")
        }
        Resolution::NotResolved { minutes: None } => format!("{found}, not resolved"),
    }
}

/// What an instance costs that receives as much as it can carry.
pub(crate) fn at_capacity(search: &CapacitySearch) -> Option<String> {
    let CapacitySearch { usd_per_1000_requests_low, usd_per_1000_requests_high, .. } = search;
    match (usd_per_1000_requests_low, usd_per_1000_requests_high) {
        (Some(low), Some(high)) => {
            Some(format!("{} to {} USD per 1,000 requests", shown(*low), shown(*high)))
        }
        (None, Some(high)) => Some(format!("{} USD per 1,000 requests or less", shown(*high))),
        (Some(low), None) => Some(format!("{} USD per 1,000 requests or more", shown(*low))),
        (None, None) => None,
    }
}

/// One range of rates: `one is cheaper from 0 to 499`.
pub(crate) fn break_even_range(range: &Range, first: &str, second: &str) -> String {
    let cheaper = match range.cheaper {
        Cheaper::First => format!("{first} is cheaper"),
        Cheaper::Second => format!("{second} is cheaper"),
        Cheaper::Same => "equal cost".to_owned(),
        Cheaper::Undecided => "undecided".to_owned(),
    };
    format!("{cheaper} from {} to {}", shown(range.from), shown(range.to))
}

/// How late requests entered the queue.
pub(crate) fn queue_delay(delay: Delay) -> String {
    format!("requests started up to {} ms late (p99: {} ms)", shown(delay.max), shown(delay.p99))
}

pub(crate) fn repeats(runs: usize, look: Look) -> String {
    let half = |half: Option<f64>| {
        half.map_or_else(|| "unknown".to_owned(), |half| format!("±{}%", percent(half)))
    };
    let runs = counted(runs as u64, "run");
    match look {
        Look::Continue => format!("{runs}; the precision target isn't reached yet"),
        Look::NarrowEnough { half_width } => {
            format!("{runs}; precision target reached: ±{}% of the mean", percent(half_width))
        }
        Look::RunsSpent { half_width } => {
            format!("{runs}, the maximum; precision: {}", half(half_width))
        }
        Look::MoneySpent { half_width } => {
            format!("{runs} until the budget was spent; precision: {}", half(half_width))
        }
    }
}
