//! Cost per 1,000 requests, cell by cell.

use super::naming::{Named, Names};
use super::table::{described, interval};
use super::{Block, Detail, Figure, Section};
use plot::chart::intervals::Row;
use plot::chart::{Axis, Chart, Fill, Intervals};
use plot::number;
use stats::Estimate;
use stats::validity::Status;
use std::fmt::Write;

/// More rows are unreadable in a chart; the table has all cells.
pub(super) const MOST_ROWS: usize = 30;

pub(super) fn section(names: &Names<'_>) -> Section {
    let cost = |named: &Named<'_>| named.cell.cost.usd_per_1000_requests.value;
    let mut shown: Vec<&Named<'_>> = names.cells.iter().filter(|named| named.is_usable()).collect();
    shown.retain(|named| cost(named).is_some());
    shown.sort_by(|a, b| cost(a).unwrap_or(f64::MAX).total_cmp(&cost(b).unwrap_or(f64::MAX)));
    let left_out = shown.len().saturating_sub(MOST_ROWS);
    shown.truncate(MOST_ROWS);
    let mut lead = format!(
        "USD per 1,000 requests {}, cheapest first. Bars are 95% CIs between runs; an arrow means no upper bound, because the throughput may be zero.",
        basis(names)
    );
    if left_out > 0 {
        // Writing to a String can't fail.
        let _ = write!(
            lead,
            " The {MOST_ROWS} cheapest are drawn; the table below lists the other {left_out}."
        );
    }
    let blocks = if shown.is_empty() {
        vec![Block::Missing("No cell has both usable figures and a price.".to_owned())]
    } else {
        vec![Block::Figure(Box::new(Figure {
            id: "cost-by-cell".to_owned(),
            title: "Cost per 1,000 requests by cell".to_owned(),
            chart: Chart::Intervals(Intervals {
                axis: Axis::quantity("USD per 1,000 requests"),
                rows: shown.into_iter().map(row).collect(),
                reference: None,
            }),
            legend: Vec::new(),
            table: None,
        }))]
    };
    Section {
        id: "cost",
        title: "Cost per 1,000 requests".to_owned(),
        lead,
        blocks,
        detail: Detail::Report,
    }
}

/// Below this many USD per 1,000 requests, costs are given per million as well.
const SMALL: f64 = 0.01;

/// A small cost per 1,000 requests, as USD per million.
pub(super) fn per_million(cost: &Estimate) -> Option<Estimate> {
    cost.value.is_some_and(|usd| usd < SMALL).then(|| cost.map(|usd| 1000.0 * usd))
}

/// The load that the costs assume.
pub(super) fn basis(names: &Names<'_>) -> &'static str {
    let is_paced =
        |named: &Named<'_>| named.entry.load.is_some_and(|load| load.request_rate.is_some());
    match names.cells.iter().filter(|named| is_paced(named)).count() {
        0 => "on a machine that never idles",
        paced if paced == names.cells.len() => {
            "on a machine that receives the offered rate and idles in between"
        }
        _ => {
            "on a machine that never idles; with an offered rate, on one that receives that rate and idles in between"
        }
    }
}

fn row(named: &Named<'_>) -> Row {
    let cost = &named.cell.cost.usd_per_1000_requests;
    let value = cost.value.map_or_else(|| "–".to_owned(), number::shown);
    let figure = match interval(cost) {
        Some(interval) => format!("{value}  ({interval})"),
        None => value,
    };
    Row {
        name: named.target.clone(),
        detail: named.detail.clone(),
        series: named.series,
        value: cost.value,
        low: cost.ci_low,
        high: cost.ci_high,
        parts: Vec::new(),
        fill: fill(named),
        figure,
        tip: format!("{}: {}", named.label(), described(cost, "USD per 1,000 requests")),
    }
}

pub(super) fn fill(named: &Named<'_>) -> Fill {
    if named.cell.validity.status == Status::Valid { Fill::Full } else { Fill::Hollow }
}
