//! The distribution of request latency.

use super::cost::fill;
use super::naming::{Named, Names};
use super::table::{Column, Entry, Table, described};
use super::{Block, Detail, Figure, Section};
use plot::chart::axis::Format;
use plot::chart::plane::{Curve, Join, Panel, Spot};
use plot::chart::scale::{Spread, Zero};
use plot::chart::{Axis, Chart, Dash, Plane};
use std::collections::BTreeSet;
use std::fmt::Write;

const MOST_PANELS: usize = 6;

pub(super) fn section(names: &Names<'_>) -> Section {
    let drawn =
        |named: &&Named<'_>| named.is_usable() && !named.cell.latency_ms_by_percent.is_empty();
    let cells: Vec<&Named<'_>> = names.cells.iter().filter(drawn).collect();
    let key = |named: &Named<'_>| (named.entry.scenario.clone(), named.cell.batch_size);
    let keys: BTreeSet<_> = cells.iter().map(|named| key(named)).collect();
    let mut lead = "The share of requests answered within a latency. A steep curve is steady; a long run to the top right is a tail. Marks are at p50, p90, p95 and p99 where there are enough samples.".to_owned();
    if keys.len() > MOST_PANELS {
        // Writing to a String can't fail.
        let _ = write!(
            lead,
            " {MOST_PANELS} of {} combinations of scenario and batch size are drawn.",
            keys.len()
        );
    }
    let panel = |wanted: &(String, u32)| Panel {
        title: if keys.iter().all(|one| one.0 == wanted.0) {
            format!("Batch size {}", wanted.1)
        } else {
            format!("{}, batch size {}", wanted.0, wanted.1)
        },
        x: Axis::quantity("Request latency, ms"),
        y: Axis {
            spread: Some(Spread::Linear),
            zero: Zero::Shown,
            levels: None,
            ..Axis::free("Share of requests", Format::Share)
        },
        curves: cells
            .iter()
            .filter(|named| key(named) == *wanted)
            .map(|named| curve(named))
            .collect(),
        guides: Vec::new(),
        bands: Vec::new(),
    };
    let panels: Vec<Panel> = keys.iter().take(MOST_PANELS).map(panel).collect();
    let blocks = if panels.is_empty() {
        vec![Block::Missing(
            "No request returned a summary, so no latency was measured.".to_owned(),
        )]
    } else {
        vec![Block::Figure(Box::new(Figure {
            id: "latency-distribution".to_owned(),
            title: "Distribution of request latency".to_owned(),
            chart: Chart::Plane(Plane { panels }),
            legend: names.legend(|series| cells.iter().any(|named| named.series == series)),
            table: Some(table(&cells)),
        }))]
    };
    Section {
        id: "latency",
        title: "Latency distribution".to_owned(),
        lead,
        blocks,
        detail: Detail::Report,
    }
}

fn curve(named: &Named<'_>) -> Curve {
    let latency = &named.cell.estimates.latency_ms;
    let percentiles = [
        ("p50", 50, &latency.p50),
        ("p90", 90, &latency.p90),
        ("p95", 95, &latency.p95),
        ("p99", 99, &latency.p99),
    ];
    let spot = |(percent, value): (usize, &f64)| {
        let found =
            percentiles.iter().find(|(_, at, found)| *at == percent && found.value.is_some());
        let tip = found.map(|(name, _, estimate)| {
            format!("{}: {name} {}", named.label(), described(estimate, "ms"))
        });
        let sign = found.map(|_| fill(named));
        Spot { sign, tip, ..Spot::of_line((*value, percent as f64 / 100.0)) }
    };
    Curve {
        series: Some(named.series),
        spots: named.cell.latency_ms_by_percent.iter().enumerate().map(spot).collect(),
        join: Join::Straight,
        dash: Dash::Solid,
    }
}

fn table(cells: &[&Named<'_>]) -> Table {
    let figures = ["Mean", "p50", "p90", "p95", "p99", "p99.9", "Minimum", "Maximum"];
    let row = |named: &&Named<'_>| {
        let latency = &named.cell.estimates.latency_ms;
        let mut row = vec![Entry::words(named.label())];
        let estimates =
            [&latency.mean, &latency.p50, &latency.p90, &latency.p95, &latency.p99, &latency.p999];
        row.extend(estimates.map(Entry::estimate));
        row.extend([latency.min, latency.max].map(Entry::figure));
        row
    };
    let mut columns = vec![Column::words("Cell")];
    columns.extend(figures.map(|title| Column::figures(title, "ms")));
    Table::new("latency-table", "Request latency", Detail::Page, columns, cells.iter().map(row))
}
