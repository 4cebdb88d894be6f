//! The table that a campaign ends with in the terminal.

use super::view::{Cell, Entry, Results};
use crate::statistics::Estimate;
use crate::statistics::validity::Status;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use std::fmt::Write;

const HEADER: [&str; 9] = [
    "target",
    "model",
    "dtype",
    "scenario",
    "batch",
    "p50 ms",
    "p95 ms",
    "samples/s",
    "USD per 1,000",
];

/// Renders the table and what must stand beside it.
pub fn render(results: &Results) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(HEADER);
    for entry in &results.results {
        for cell in &entry.cells {
            table.add_row(row(entry, cell));
        }
    }
    for column in 4..HEADER.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = table.to_string();
    text.push('\n');
    for note in notes(results) {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{note}");
    }
    text
}

fn row(entry: &Entry, cell: &Cell) -> [String; 9] {
    let estimates = &cell.estimates;
    let mark = match cell.validity.status {
        Status::Valid => "",
        Status::Degraded => " DEGRADED",
        Status::Invalid => " INVALID",
    };
    [
        entry.target.clone(),
        entry.model.clone(),
        entry.dtype.clone(),
        format!("{}{mark}", entry.scenario),
        cell.batch_size.to_string(),
        figure(&estimates.latency_ms.p50),
        figure(&estimates.latency_ms.p95),
        with_interval(&estimates.throughput.per_host),
        with_interval(&cell.cost.usd_per_1000_requests),
    ]
}

/// Four significant digits.
pub fn digits(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let magnitude = value.abs().log10().floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=12"
    )]
    let decimals = (3.0 - magnitude).clamp(0.0, 12.0) as usize;
    format!("{value:.decimals$}")
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

/// What a reader of the table must know.
fn notes(results: &Results) -> Vec<String> {
    let mut notes = Vec::new();
    let campaign = &results.campaign;
    notes.extend(results.recommendation.as_ref().map(|recommendation| recommendation.text.clone()));
    notes.extend(results.comparisons.iter().map(|comparison| {
        let figures = &comparison.figures.request_latency;
        format!(
            "{} against {}: {} ({})",
            comparison.candidate, comparison.baseline, figures.verdict.text, figures.scope
        )
    }));
    notes.push(format!(
        "{} of {} samples counted over {} dialogues; in brackets 95 % intervals between runs; – needs more samples",
        campaign.counted_samples, campaign.planned_samples, results.dataset.samples
    ));
    for entry in &results.results {
        if entry.measured_on != entry.priced_as {
            let found = match entry.measured_on.as_str() {
                "unknown" => "a machine of unknown instance type",
                found => found,
            };
            let target = &entry.target;
            notes.push(format!("{target} was measured on {found} and priced as {target}"));
        }
        if entry.engine.as_ref().is_some_and(|engine| engine.random_weights) {
            notes.push(format!("{} has random weights: its summaries mean nothing", entry.model));
        }
        for cell in entry.cells.iter().filter(|cell| !cell.validity.reasons.is_empty()) {
            let reasons: Vec<&str> =
                cell.validity.reasons.iter().map(|reason| reason.text.as_str()).collect();
            notes.push(format!("{}: {}", cell.cell, reasons.join("; ")));
        }
    }
    notes.extend(campaign.events.iter().map(|event| format!("note: {}", event.detail)));
    let mut seen = std::collections::BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_four_significant_digits() {
        let shown = [0.000_123_45, 0.5, 3.241_592, 1234.56, 1_234_567.0].map(digits);
        assert_eq!(shown, ["0.0001234", "0.5000", "3.242", "1235", "1234567"]);
    }
}
