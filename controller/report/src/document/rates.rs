//! The cost of targets against the offered rate: whole instances, idle time included, and their break-even rates.

use super::naming::Names;
use super::table::{Column, Entry, Table};
use super::{Block, Detail, Figure, Section, shortened};
use crate::sentences::{break_even_range, capacity, left_out, no_break_even};
use cost::offered::{BreakEven, RateCurve};
use cost::rate::{AtRate, Cheaper, Range};
use plot::chart::plane::{Curve, Guide, Join, Panel, Plane, Spot};
use plot::chart::scale::Spread;
use plot::chart::{At, Axis, Chart, Dash, Fill};
use plot::number;
use results::Results;

/// More ranges don't fit into a table.
const MOST_RANGES: usize = 4;
/// More steps of a curve aren't visible.
const MOST_STEPS: u32 = 40;

pub(super) fn section(results: &Results, names: &Names<'_>) -> Section {
    let rates = &results.offered_rates;
    let mut blocks = Vec::new();
    if rates.curves.is_empty() {
        blocks.push(Block::Missing("No cell has a throughput.".to_owned()));
    } else {
        let series = |curve: &RateCurve| names.find(&curve.cell).map(|named| named.series);
        let drawn: Vec<usize> = rates.curves.iter().filter_map(series).collect();
        blocks.push(Block::Figure(Box::new(Figure {
            id: "offered-rate".to_owned(),
            title: "Cost per 1,000 requests against the offered rate".to_owned(),
            chart: Chart::Plane(Plane { panels: vec![panel(results, names)] }),
            legend: names.legend(|series| drawn.contains(&series)),
            table: Some(points(&rates.curves, names)),
        })));
    }
    // Those that were searched for stand with their steps.
    let listed = results.capacities.iter().filter(|of| of.search.is_none());
    let capacities: Vec<String> = listed.map(capacity).collect();
    if !capacities.is_empty() {
        blocks.push(Block::List(capacities));
    }
    if !rates.break_even.is_empty() {
        blocks.push(Block::Table(break_even(&rates.break_even)));
    }
    Section {
        id: "rates",
        title: "Cost at an offered rate".to_owned(),
        lead: "Whole instances are paid for, including idle time: the cost falls until an instance is fully used and jumps when another one starts. Each target uses its cheapest usable cell.".to_owned(),
        blocks,
        detail: Detail::Summary,
    }
}

fn panel(results: &Results, names: &Names<'_>) -> Panel {
    let rates = &results.offered_rates;
    let logarithmic =
        |title: &str| Axis { spread: Some(Spread::Logarithmic), ..Axis::quantity(title) };
    let curve = |curve: &RateCurve| Curve {
        series: names.find(&curve.cell).map(|named| named.series),
        spots: spots(curve, names),
        join: Join::Straight,
        dash: Dash::Solid,
    };
    Panel {
        title: String::new(),
        x: logarithmic("Offered requests per second"),
        y: logarithmic("USD per 1,000 requests"),
        curves: rates.curves.iter().map(curve).collect(),
        guides: guides(&rates.break_even),
        bands: Vec::new(),
    }
}

/// The curve of a target, with a mark at each given rate.
fn spots(curve: &RateCurve, names: &Names<'_>) -> Vec<Spot> {
    let ends = curve.points.first().zip(curve.points.last());
    let Some((from, to)) = ends.map(|(a, b)| (a.offered_rate, b.offered_rate)) else {
        return Vec::new();
    };
    let capacity = curve.capacity.requests_per_second;
    let mut rates: Vec<f64> = curve.points.iter().map(|point| point.offered_rate).collect();
    for count in 1..=MOST_STEPS {
        let full = f64::from(count) * capacity;
        // Just above, the next instance has started.
        rates
            .extend([full, full * 1.000_001].into_iter().filter(|rate| (from..=to).contains(rate)));
    }
    rates.sort_by(f64::total_cmp);
    let most = f64::from(MOST_STEPS) * capacity;
    let spot = |rate: f64| {
        let at = curve.capacity.at_rate(rate)?;
        let is_given =
            curve.points.iter().any(|point| point.offered_rate.to_bits() == rate.to_bits());
        // Beyond the last step that is drawn, the line connects the given points.
        if rate > most && !is_given {
            return None;
        }
        Some(Spot {
            sign: is_given.then_some(Fill::Full),
            tip: is_given.then(|| tip(curve, &at, names)),
            ..Spot::of_line((rate, at.usd_per_1000_requests) as At)
        })
    };
    rates.into_iter().filter_map(spot).collect()
}

fn tip(curve: &RateCurve, at: &AtRate, names: &Names<'_>) -> String {
    let instances = if at.instances == 1 { "instance" } else { "instances" };
    format!(
        "{} at {} requests/s: {} USD per 1,000 requests on {} {instances}, {}% idle",
        names.label(&curve.cell),
        number::shown(at.offered_rate),
        number::shown(at.usd_per_1000_requests),
        number::count(at.instances),
        number::shown(at.idle_share * 100.0)
    )
}

/// The first break-even rates of a single pair; more lines would hide the curves.
fn guides(pairs: &[BreakEven]) -> Vec<Guide> {
    let [pair] = pairs else { return Vec::new() };
    let change = |ranges: &[Range]| {
        let [before, after] = ranges else { return None };
        let is_clear = |cheaper| matches!(cheaper, Cheaper::First | Cheaper::Second);
        let text = format!("break-even at {}", number::shown(before.to));
        (is_clear(before.cheaper) && is_clear(after.cheaper))
            .then_some(Guide { value: before.to, text })
    };
    pair.ranges.windows(2).filter_map(change).take(2).collect()
}

fn break_even(pairs: &[BreakEven]) -> Table {
    let row = |pair: &BreakEven| {
        let name = |text: &str| shortened(text, 80);
        let (first, second) = (name(&pair.first), name(&pair.second));
        let range = |range: &Range| break_even_range(range, &first, &second);
        let mut ranges: Vec<String> = pair.ranges.iter().take(MOST_RANGES).map(range).collect();
        ranges.extend(left_out(pair.ranges.len(), MOST_RANGES, "range"));
        let found = match &pair.reason {
            Some(reason) => Entry::words(format!("unknown: {}", no_break_even(reason))),
            None => Entry { text: ranges.join("; "), ..Entry::default() },
        };
        vec![Entry::words(name(&pair.model)), Entry::words(&first), Entry::words(&second), found]
    };
    let columns = ["Model", "First", "Second", "Offered requests per second"].map(Column::words);
    let rows = pairs.iter().map(row);
    Table::new("break-even", "Break-even rates", Detail::Summary, columns.to_vec(), rows)
}

fn points(curves: &[RateCurve], names: &Names<'_>) -> Table {
    let row = |curve: &RateCurve| {
        let name = names.label(&curve.cell);
        let of_point = move |at: &AtRate| {
            vec![
                Entry::words(&name),
                Entry::figure(Some(at.offered_rate)),
                Entry::count(at.instances),
                Entry::share(Some(at.idle_share)),
                Entry::figure(Some(at.usd_per_hour)),
                Entry::figure(Some(at.usd_per_1000_requests)),
            ]
        };
        curve.points.iter().map(of_point).collect::<Vec<_>>()
    };
    let columns = vec![
        Column::words("Cell"),
        Column::figures("Offered rate", "requests/s"),
        Column::figures("Instances", ""),
        Column::figures("Idle", ""),
        Column::figures("Total", "USD per hour"),
        Column::figures("Cost per 1,000", "USD"),
    ];
    let rows = curves.iter().flat_map(row);
    Table::new("offered-rate-table", "Cost at each rate", Detail::Page, columns, rows)
}
