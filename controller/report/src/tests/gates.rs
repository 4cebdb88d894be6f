//! Gates in every format of a report.

use super::super::{annotations, html, junit, markdown, terminal};
use super::*;
use matrix::{GatedMetric, Gates, Limit, Required, Thresholds};

/// A campaign of eight cells under a limit that no cell keeps, one that all keep, and one that the first cell misses.
fn gated(allow_undecided: bool, limits: &[(GatedMetric, f64)]) -> Results {
    let mut world = World::of(100, "plain");
    let limits = limits.iter().map(|&(metric, limit)| Limit { metric, limit });
    let thresholds = Thresholds { require: Some(Required::Usable), limits: limits.collect() };
    world.campaign.matrix.gates =
        Some(Gates { thresholds, overrides: Vec::new(), allow_undecided });
    world.results()
}

#[test]
fn a_failed_gate_is_in_every_format() {
    let limits = [(GatedMetric::LatencyP50, 0.001), (GatedMetric::SamplesPerSecond, 0.1)];
    let results = gated(false, &limits);
    let gates = results.gates.as_ref().unwrap();
    assert!(!gates.passed);
    assert_eq!((gates.judged.len(), gates.failing().len()), (24, 8));
    let document = document(&results);
    let headline = "8 of 24 gates failed.";
    assert_eq!(document.verdict.notes[0], headline);
    let failed = "max_latency_ms.p50 failed: ";
    let terminal = terminal::render(&document, None);
    assert!(terminal.contains(headline) && terminal.contains(failed), "{terminal}");
    let page = words_of(&html::render(&document));
    assert!(page.contains("Gates failed") && page.contains(failed) && page.contains(headline));
    let markdown = markdown::render(&document).replace('\\', "");
    assert!(markdown.contains(headline) && markdown.contains(failed), "{markdown}");
    let junit = junit::render(&results);
    assert!(junit.contains("failures=\"8\"") && junit.contains("type=\"GATE\""), "{junit}");
    let lines = annotations::render(&results, &document);
    let errors: Vec<&str> = lines.lines().filter(|line| line.starts_with("::error ")).collect();
    assert_eq!(errors.len(), 8, "{lines}");
    assert!(errors[0].contains("::max_latency_ms.p50 failed: "), "{lines}");
}

#[test]
fn an_undecided_gate_fails_closed_and_passes_if_it_is_allowed() {
    let median =
        World::of(100, "plain").results().results[0].cells[0].estimates.latency_ms.p50.clone();
    let inside = [(GatedMetric::LatencyP50, median.value.unwrap())];
    let closed = gated(false, &inside).gates.unwrap();
    let first = closed.judged.iter().find(|gate| gate.limit.is_some()).unwrap();
    assert_eq!(first.outcome, stats::comparison::regression::Outcome::Undecided);
    assert!(!closed.passed);
    let loose = [(GatedMetric::RougeL, 0.001), (GatedMetric::LatencyP50, 1e6)];
    assert!(gated(false, &loose).gates.unwrap().passed);
    let mut world = World::of(100, "plain");
    world.dialogues.iter_mut().for_each(|dialogue| dialogue.summary = None);
    let limits = vec![Limit { metric: GatedMetric::RougeL, limit: 0.001 }];
    let thresholds = Thresholds { require: None, limits };
    for allow_undecided in [false, true] {
        let thresholds = thresholds.clone();
        world.campaign.matrix.gates =
            Some(Gates { thresholds, overrides: Vec::new(), allow_undecided });
        assert_eq!(world.results().gates.unwrap().passed, allow_undecided, "nothing was scored");
    }
}

#[test]
fn nothing_passes_in_an_invalid_cell() {
    let mut world = World::of(100, "plain");
    world.samples.clear();
    let limits = vec![Limit { metric: GatedMetric::LatencyP50, limit: 1e6 }];
    let thresholds = Thresholds { require: None, limits };
    world.campaign.matrix.gates =
        Some(Gates { thresholds, overrides: Vec::new(), allow_undecided: true });
    let gates = world.results().gates.unwrap();
    assert_eq!(gates.failing().len(), 8);
}
