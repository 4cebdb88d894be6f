//! Recorded arrivals: what was replayed, and how a Poisson process of the same rate would have misled.

use super::table::{Column, Entry, Table};
use super::{Block, Detail, Section};
use crate::sentences::{against_poisson, arrivals};
use results::{Entry as Measured, ReplayedTrace, Results};

/// `None` without recorded arrivals.
pub(super) fn section(results: &Results) -> Option<Section> {
    let mut replayed: Vec<(&Measured, &ReplayedTrace)> = Vec::new();
    for entry in &results.results {
        let Some(trace) = &entry.trace else { continue };
        // All models and targets have the same arrivals.
        let is_known = |(other, known): &(&Measured, &ReplayedTrace)| {
            other.scenario == entry.scenario && *known == trace
        };
        if !replayed.iter().any(is_known) {
            replayed.push((entry, trace));
        }
    }
    let (_, first) = replayed.first()?;
    let lead = format!(
        "Requests arrived at times recorded in {}. The index of dispersion is the variance of the number of requests in windows of equal length over its mean.",
        first.file
    );
    Some(Section {
        id: "arrivals",
        title: "Recorded arrivals".to_owned(),
        lead,
        blocks: vec![table(&replayed), sentences(&replayed)],
        detail: Detail::Summary,
    })
}

fn sentences(replayed: &[(&Measured, &ReplayedTrace)]) -> Block {
    let sentence = |(entry, trace): &(&Measured, &ReplayedTrace)| {
        let name = arrivals(entry).unwrap_or_default();
        match &trace.burstiness {
            Some(found) => format!("{} ({name}): {}.", entry.scenario, against_poisson(found)),
            None => format!(
                "{} ({name}): a run has too few requests to compare them with a Poisson process.",
                entry.scenario
            ),
        }
    };
    Block::List(replayed.iter().map(sentence).collect())
}

fn table(replayed: &[(&Measured, &ReplayedTrace)]) -> Block {
    let row = |(entry, trace): &(&Measured, &ReplayedTrace)| {
        let found = trace.burstiness.as_ref();
        let missing = || Entry::missing("fewer than 20 requests");
        let number = |number: Option<u64>| number.map_or_else(missing, Entry::count);
        let figure =
            |figure: Option<f64>| figure.map_or_else(missing, |of| Entry::figure(Some(of)));
        vec![
            Entry::words(&entry.scenario),
            Entry::words(arrivals(entry).unwrap_or_default()),
            Entry::given(entry.load.and_then(|load| load.request_rate)),
            Entry::figure(Some(trace.period_s)),
            figure(found.map(|found| found.window_s)),
            figure(found.map(|found| found.dispersion)),
            number(found.map(|found| found.busiest)),
            number(found.map(|found| found.poisson_busiest)),
        ]
    };
    let columns = vec![
        Column::words("Scenario"),
        Column::words("Arrivals"),
        Column::figures("Offered", "requests/s"),
        Column::figures("Period", "s"),
        Column::figures("Window", "s"),
        Column::figures("Index of dispersion", "Poisson: 1"),
        Column::figures("Busiest window", "requests"),
        Column::figures("of a Poisson process", "requests"),
    ];
    Block::Table(Table::new(
        "arrivals-table",
        "Recorded arrivals and a Poisson process",
        Detail::Summary,
        columns,
        replayed.iter().map(row),
    ))
}
