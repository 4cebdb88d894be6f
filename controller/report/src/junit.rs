//! Results -> `JUnit` XML: a suite per entry and a test per cell, so that a build shows which figures are unusable.
//!
//! The format is that of the Jenkins `JUnit` plugin, which GitLab, GitHub actions and others read: `testsuites`,
//! `testsuite`, `testcase` with `failure` and `system-out`. Figures are properties.

use crate::one_line::one_line;
use crate::sentences::{causes, gate, objective, prompt};
use maud::{Markup, PreEscaped, html};
use plot::number::percent;
use results::{Cell, Entry, Gates, Results};
use stats::slo::Kept;
use stats::validity::Status;

/// INVALID cells, cells that miss the objective and cells with a failed gate fail; other DEGRADED ones pass with their
/// reasons.
pub fn render(results: &Results) -> String {
    let cells = || results.results.iter().flat_map(|entry| &entry.cells);
    let failed = |cell: &&Cell| failure(results, cell).is_some();
    let document = html! {
        testsuites name=(text(&results.campaign.name)) tests=(cells().count()) failures=(cells().filter(failed).count()) {
            @for entry in &results.results { (suite(results, entry)) }
        }
    };
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}\n", document.into_string())
}

fn suite(results: &Results, entry: &Entry) -> Markup {
    let beams = entry.num_beams.map_or_else(String::new, |number| format!(".beams{number}"));
    let lookup = (entry.prompt_lookup_num_tokens)
        .map_or_else(String::new, |tokens| format!(".lookup{tokens}"));
    let (target, model, dtype) = (&entry.target, &entry.model, &entry.dtype);
    let name = format!("{target}.{model}.{dtype}{beams}{lookup}.{}", entry.scenario);
    let failed = entry.cells.iter().filter(|cell| failure(results, cell).is_some());
    html! {
        testsuite name=(text(&name)) tests=(entry.cells.len()) failures=(failed.count()) timestamp=(text(&entry.timestamp)) {
            @for cell in &entry.cells { (PreEscaped("\n  ")) (case(results, entry, &name, cell)) }
            (PreEscaped("\n"))
        }
    }
}

fn case(results: &Results, entry: &Entry, suite: &str, cell: &Cell) -> Markup {
    let reasons = causes(&cell.validity);
    let seconds: f64 = cell.estimates.runs.iter().map(|run| run.host_seconds).sum();
    let figures = [
        ("usd_per_1000_requests", cell.cost.usd_per_1000_requests.value),
        ("samples_per_second", cell.estimates.throughput.per_host.value),
        ("latency_p50_ms", cell.estimates.latency_ms.p50.value),
        ("latency_p95_ms", cell.estimates.latency_ms.p95.value),
    ];
    html! {
        testcase classname=(text(suite)) name=(text(&cell.cell)) time=(seconds) {
            properties {
                @for (name, value) in asked(results, entry) {
                    @if let Some(value) = value { property name=(name) value=(text(&value)) {} }
                }
                @for (name, value) in figures {
                    // Missing figures have no property.
                    @if let Some(value) = value { property name=(name) value=(value) {} }
                }
            }
            @if let Some((kind, message)) = failure(results, cell) {
                failure type=(kind) message=(text(&message)) { (text(&message)) }
            }
            @if cell.validity.status == Status::Degraded {
                system-out { "DEGRADED: " (text(&reasons)) }
            }
        }
    }
}

/// What the model was asked for.
fn asked(results: &Results, entry: &Entry) -> [(&'static str, Option<String>); 3] {
    let decoding = entry.engine.as_ref().and_then(|engine| engine.decoding.as_ref());
    let generation = decoding.map(|decoding| decoding.summary.clone());
    let system = entry.engine.as_ref().and_then(|engine| engine.system.clone());
    [("prompt", prompt(results, entry)), ("system", system), ("generation", generation)]
}

/// Why a cell fails: the first kind, and a sentence for each.
fn failure(results: &Results, cell: &Cell) -> Option<(&'static str, String)> {
    let mut failures = Vec::new();
    if cell.validity.status == Status::Invalid {
        failures.push(("INVALID", causes(&cell.validity)));
    }
    let missed = cell.goodput.as_ref().filter(|goodput| goodput.kept == Kept::Missed);
    if let Some(missed) = missed {
        let share = missed.good_share.map_or_else(|| "–".to_owned(), percent);
        let message = format!(
            "the objective {} is missed: {share}% of the requests are good",
            objective(&missed.slo)
        );
        failures.push(("OBJECTIVE", message));
    }
    let gates = results.gates.iter().flat_map(Gates::failing);
    let own = gates.filter(|one| one.cell == cell.cell);
    failures.extend(own.map(|one| ("GATE", gate(one))));
    let (kind, _) = *failures.first()?;
    let messages: Vec<String> = failures.into_iter().map(|(_, message)| message).collect();
    Some((kind, messages.join("; ")))
}

/// A text on one line without the characters that XML 1.0 forbids even as references.
pub(crate) fn text(text: &str) -> String {
    let allowed = |c: char| match c {
        '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => c,
        _ => '\u{fffd}',
    };
    one_line(text).chars().map(allowed).collect()
}
