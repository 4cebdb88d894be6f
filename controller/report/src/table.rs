//! The table that a campaign ends with in the terminal.

use super::{pairs, summary};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use plot::number::digits;
use results::{Cell, Entry, Results};
use stats::Estimate;
use stats::validity::Status;
use std::fmt::Write;

const HEADER: [&str; 11] = [
    "target",
    "model",
    "dtype",
    "scenario",
    "batch",
    "p50 ms",
    "p95 ms",
    "samples/s",
    "USD per 1,000",
    "good %",
    "USD per 1,000 good",
];
/// So many columns at the end are about the objective.
const OF_SLO: usize = 2;

/// Renders the table and what must stand beside it.
pub fn render(results: &Results) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    let has_slo =
        results.results.iter().flat_map(|entry| &entry.cells).any(|cell| cell.goodput.is_some());
    let width = if has_slo { HEADER.len() } else { HEADER.len() - OF_SLO };
    table.set_header(&HEADER[..width]);
    for entry in &results.results {
        for cell in &entry.cells {
            table.add_row(&row(entry, cell)[..width]);
        }
    }
    for column in 4..width {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = table.to_string();
    text.push('\n');
    let mut say = |lines: &[String]| {
        for line in lines {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{line}");
        }
    };
    say(&["in brackets 95 % intervals between runs; – needs more samples".to_owned()]);
    say(&summary::choice(results));
    if let Some(comparisons) = pairs::render(results) {
        say(&[comparisons]);
        say(&Vec::from_iter(summary::undecided(results)));
    }
    say(&summary::lines(results));
    text
}

fn row(entry: &Entry, cell: &Cell) -> [String; 11] {
    let estimates = &cell.estimates;
    let mark = match cell.validity.status {
        Status::Valid => "",
        Status::Degraded => " DEGRADED",
        Status::Invalid => " INVALID",
    };
    let stale = if cell.cost.price.stale { " stale" } else { "" };
    let good = cell.goodput.as_ref().and_then(|goodput| goodput.good_share);
    [
        entry.target.clone(),
        entry.model.clone(),
        entry.dtype.clone(),
        format!("{}{mark}", scenario(entry)),
        cell.batch_size.to_string(),
        figure(&estimates.latency_ms.p50),
        figure(&estimates.latency_ms.p95),
        with_interval(&estimates.throughput.per_host),
        format!("{}{stale}", with_interval(&cell.cost.usd_per_1000_requests)),
        good.map_or_else(|| "–".to_owned(), |share| format!("{:.1}", share * 100.0)),
        cell.cost.usd_per_1000_good_requests.as_ref().map_or_else(|| "–".to_owned(), with_interval),
    ]
}

/// The scenario with its rate: entries may differ in nothing else.
fn scenario(entry: &Entry) -> String {
    let rate = entry.load.and_then(|load| load.request_rate);
    rate.map_or_else(|| entry.scenario.clone(), |rate| format!("{} {rate}/s", entry.scenario))
}

fn figure(estimate: &Estimate) -> String {
    estimate.value.map_or_else(|| "–".to_owned(), digits)
}

fn with_interval(estimate: &Estimate) -> String {
    match estimate.interval() {
        Some((low, high)) => format!("{} ({} to {})", figure(estimate), digits(low), digits(high)),
        None => figure(estimate),
    }
}
