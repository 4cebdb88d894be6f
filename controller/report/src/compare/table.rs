//! A comparison of two campaigns as text for the terminal.

use super::{CellLimits, Compared, Named};
use crate::document::{Column, Entry};
use crate::one_line::one_line;
use crate::sentences::{self, basis, limitation, separation, verdict};
use crate::text_table::{draw, wrapped};
use plot::number::percent;
use results::Comparison;
use stats::comparison::gate::Difference;
use stats::comparison::regression::{Judged, Outcome};
use std::fmt::Write;

pub(super) const HEADER: [&str; 6] =
    ["candidate", "request latency", "per output token", "throughput", "cost", "rougeL"];

/// `width` is that of the terminal, in columns.
pub fn render(compared: &Compared, width: Option<usize>) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let Compared { baseline, candidate, .. } = compared;
    let _ = writeln!(text, "baseline  {}", side(baseline));
    let _ = writeln!(text, "candidate {}", side(candidate));
    let rows = compared.comparisons.iter().map(|one| row(one).to_vec());
    text.push_str(&table(&HEADER, rows, width));
    if !compared.limits.is_empty() {
        let rows = compared.limits.iter().flat_map(limit_rows);
        text.push_str(&table(&LIMITS, rows, width));
    }
    for line in lines(compared) {
        let _ = writeln!(text, "{}", wrapped(&line, width, 2));
    }
    if let Some(outcome) = compared.outcome {
        let _ = writeln!(text, "limits: {}", word(outcome));
    }
    text
}

fn table(header: &[&str], rows: impl Iterator<Item = Vec<String>>, width: Option<usize>) -> String {
    let columns: Vec<Column> = header.iter().copied().map(Column::words).collect();
    let rows: Vec<Vec<Entry>> = rows.map(|row| row.iter().map(Entry::words).collect()).collect();
    let drawn = draw(&columns, &rows, width);
    match &drawn.left_out[..] {
        [] => drawn.text,
        left_out => {
            let note = format!(
                "Too wide for this terminal: {}; --format json has all columns.",
                left_out.join("; ")
            );
            format!("{}{}\n", drawn.text, wrapped(&note, width, 0))
        }
    }
}

fn side(side: &Named) -> String {
    format!("{} ({})", one_line(&side.campaign), one_line(&side.created_at))
}

/// The verdict on each quantity of a pair.
pub(super) fn row(comparison: &Comparison) -> [String; 6] {
    let figures = &comparison.figures;
    let same_name = comparison.baseline == comparison.candidate;
    let name = &comparison.candidate;
    let quality = comparison.quality.as_ref().map_or_else(
        || "–".to_owned(),
        |quality| {
            let difference = &quality.rouge_l;
            match (difference.value, difference.interval()) {
                (Some(value), Some((low, high))) => {
                    format!("{value:+.4} ({low:+.4} to {high:+.4})")
                }
                (Some(value), None) => format!("{value:+.4}"),
                _ => "–".to_owned(),
            }
        },
    );
    [
        if same_name { name.clone() } else { format!("{name} vs. {}", comparison.baseline) },
        verdict(&figures.request_latency),
        verdict(&figures.latency_per_output_token),
        verdict(&figures.throughput),
        verdict(&comparison.cost),
        quality,
    ]
}

pub(super) const LIMITS: [&str; 5] = ["cell", "metric", "limit", "worse by", "outcome"];

pub(super) fn limit_rows(cell: &CellLimits) -> Vec<Vec<String>> {
    let row = |judged: &Judged| {
        vec![
            cell.cell.clone(),
            judged.metric.clone(),
            format!("{}%", percent(judged.limit)),
            worse_by(judged),
            match judged.runs_to_decide {
                Some(runs) => format!("{}: about {runs} runs would decide", word(judged.outcome)),
                None => word(judged.outcome).to_owned(),
            },
        ]
    };
    cell.judged.iter().map(row).collect()
}

/// `latency_p95 FAILED: worse by 9.92% (9.5 to 10.3%), limit 5%`.
pub(super) fn limit(judged: &Judged) -> String {
    let runs = judged.runs_to_decide;
    let runs = runs.map_or_else(String::new, |runs| format!("; about {runs} runs would decide"));
    format!(
        "{} {}: worse by {}, limit {}%{runs}",
        judged.metric,
        word(judged.outcome),
        worse_by(judged),
        percent(judged.limit)
    )
}

fn worse_by(judged: &Judged) -> String {
    let regression = &judged.regression;
    match (regression.value, regression.interval()) {
        (Some(value), Some((low, high))) => {
            format!("{}% ({} to {}%)", percent(value), percent(low), percent(high))
        }
        (Some(value), None) => {
            let reason = regression.reason.map_or_else(|| "no interval".to_owned(), limitation);
            format!("{}% ({reason})", percent(value))
        }
        _ => "–".to_owned(),
    }
}

pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Failed => "FAILED",
        other => sentences::outcome(other),
    }
}

/// Scope, flags, advice, cells without a counterpart, notes.
pub(super) fn lines(compared: &Compared) -> Vec<String> {
    let mut lines = Vec::new();
    if !compared.comparisons.is_empty() {
        let latencies = compared.comparisons.iter().map(|one| &one.figures.request_latency);
        lines.push(format!("verdicts: {}", basis(latencies)));
    }
    for flag in compared.comparisons.iter().flat_map(|one| &one.flags) {
        lines.push(flagged(flag));
    }
    for comparison in &compared.comparisons {
        lines.extend(
            comparison.separation.as_ref().map(|advice| {
                format!("to separate {}: {}", comparison.candidate, separation(advice))
            }),
        );
    }
    lines.extend(
        compared.unmatched.iter().map(|cell| format!("not compared, no counterpart: {cell}")),
    );
    lines.extend(compared.notes.iter().cloned());
    let mut seen = std::collections::BTreeSet::new();
    lines.retain(|line| seen.insert(line.clone()));
    lines
}

fn flagged(flag: &Difference) -> String {
    if flag.baseline.is_none() && flag.candidate.is_none() {
        return format!("{} is unknown on both sides", flag.condition);
    }
    format!("differs in {flag}")
}
