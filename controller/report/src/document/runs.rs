//! The variation between the runs of each cell, and its sources.

use super::cost::MOST_ROWS;
use super::naming::{Named, Names};
use super::table::{Column, Entry, Table};
use super::{Block, Detail, Figure, Section};
use plot::chart::axis::Format;
use plot::chart::intervals::{Reference, Row};
use plot::chart::{Axis, Chart, Fill, Intervals};
use plot::number;
use stats::throughput::RunRow;
use stats::validity::run_deviation;
use stats::variance::Component;

pub(super) fn section(names: &Names<'_>) -> Section {
    let has_runs = |named: &&Named<'_>| named.is_usable() && ratios(named).len() > 1;
    let rows: Vec<Row> = names.cells.iter().filter(has_runs).take(MOST_ROWS).map(row).collect();
    let mut blocks = Vec::new();
    if rows.is_empty() {
        blocks.push(Block::Missing(
            "Only one run: no variation between runs was measured.".to_owned(),
        ));
    } else {
        let axis = Axis::free("Throughput of a run relative to its cell", Format::Change);
        let reference =
            Some(Reference { value: 1.0, less: "slower".to_owned(), more: "faster".to_owned() });
        blocks.push(Block::Figure(Box::new(Figure {
            id: "stability".to_owned(),
            title: "Throughput of each run".to_owned(),
            chart: Chart::Intervals(Intervals { axis, rows, reference }),
            legend: Vec::new(),
            table: Some(table(names)),
        })));
    }
    Section {
        id: "runs",
        title: "Stability of runs".to_owned(),
        lead: "Each stroke is a run. Cells whose throughput varies by more than 10% between runs are DEGRADED.".to_owned(),
        blocks,
        detail: Detail::Page,
    }
}

/// Throughput of each run over that of its cell, with a description.
fn ratios(named: &Named<'_>) -> Vec<(f64, String)> {
    let estimates = &named.cell.estimates;
    let Some(all) = estimates.throughput.per_host.value.filter(|all| *all > 0.0) else {
        return Vec::new();
    };
    let ratio = |run: &RunRow| {
        let throughput = run.throughput?;
        let tip =
            format!("{}, run {}: {} samples/s", named.label(), run.run, number::shown(throughput));
        Some((throughput / all, tip))
    };
    estimates.runs.iter().filter_map(ratio).collect()
}

fn row(named: &Named<'_>) -> Row {
    Row {
        name: named.target.clone(),
        detail: named.detail.clone(),
        series: named.series,
        value: None,
        low: None,
        high: None,
        parts: ratios(named),
        fill: Fill::Full,
        figure: run_deviation(&named.cell.estimates)
            .map_or_else(|| "–".to_owned(), |share| format!("±{}%", number::shown(share * 100.0))),
        tip: String::new(),
    }
}

fn table(names: &Names<'_>) -> Table {
    let share = |component: Option<&Component>| match component {
        Some(component) => Entry::share(Some(component.share)),
        None => Entry::missing("a single level, or not separable"),
    };
    let row = |named: &Named<'_>| {
        let (estimates, variance) = (&named.cell.estimates, &named.cell.estimates.variance);
        vec![
            Entry::words(named.label()),
            Entry::count(estimates.runs.len() as u64),
            Entry::share(run_deviation(estimates)),
            share(variance.host.as_ref()),
            share(variance.run.as_ref()),
            share(variance.sample.as_ref()),
            share(variance.residual.as_ref()),
            Entry::figure(estimates.latency_ms.lag1_autocorrelation),
        ]
    };
    let figures = [
        "Runs",
        "Throughput, relative std",
        "Latency variance from hosts",
        "from runs",
        "from dialogues",
        "residual",
        "Autocorrelation",
    ];
    let mut columns = vec![Column::words("Cell")];
    columns.extend(figures.map(|title| Column::figures(title, "")));
    let rows = names.cells.iter().map(row);
    Table::new("runs-table", "Sources of variance", Detail::Page, columns, rows)
}
