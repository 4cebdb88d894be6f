//! Rates and repeats: the capacity of a target, the break-even of two, queue delays, when repeats ended.

use super::limitation::limitation;
use super::{beams, counted};
use cost::rate::{Cheaper, Range};
use plot::number::{percent, shown};
use results::{CapacityOf, Entry};
use stats::precision::Look;
use stats::slo::Capacity;
use stats::stress::judge::Delay;

pub(crate) fn capacity(of: &CapacityOf) -> String {
    let CapacityOf { model, target, dtype, num_beams, max_batch_size, slo, .. } = of;
    let searched = num_beams.map_or_else(String::new, |number| format!("{}, ", beams(number)));
    let cell = format!("{target} ({model}, {dtype}, {searched}batches of up to {max_batch_size})");
    let limit = format!("p{} ≤ {} ms", slo.percentile, shown(slo.request_latency_ms));
    let highest = of.request_rates.last().copied().unwrap_or_default();
    match &of.capacity {
        Capacity::Met { request_rate } if *request_rate >= highest => format!(
            "{cell} keeps {limit} at {request_rate} requests/s, the highest offered rate; its capacity may be higher."
        ),
        Capacity::Met { request_rate } => {
            format!("{cell} keeps {limit} up to {request_rate} requests/s.")
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
