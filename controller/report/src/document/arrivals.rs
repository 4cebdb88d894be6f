//! Recorded arrivals: what was replayed, and how a Poisson process of the same rate would have misled.

use super::table::{Column, Entry, Table};
use super::{Block, Detail, Section};
use crate::sentences::{against_poisson, arrivals};
use plot::number;
use results::{Entry as Measured, ReplayedLengths, ReplayedTrace, Results};
use stats::lengths::LengthQuantiles;

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
        blocks: [Some(table(&replayed)), lengths(&replayed), Some(sentences(&replayed))]
            .into_iter()
            .flatten()
            .collect(),
        detail: Detail::Summary,
    })
}

/// `None` if no dialogues were chosen by length.
fn lengths(replayed: &[(&Measured, &ReplayedTrace)]) -> Option<Block> {
    let with_lengths =
        replayed.iter().filter_map(|(entry, trace)| Some((*entry, trace.lengths.as_ref()?)));
    let rows: Vec<Vec<Entry>> =
        with_lengths.flat_map(|(entry, found)| rows(entry, found)).collect();
    if rows.is_empty() {
        return None;
    }
    let columns = vec![
        Column::words("Scenario"),
        Column::words("Arrivals"),
        Column::words("Prompts"),
        Column::words("Unit"),
        Column::figures("Mean", ""),
        Column::figures("p50", ""),
        Column::figures("p95", ""),
        Column::figures("Longest", ""),
    ];
    Some(Block::Table(Table::new(
        "lengths-table",
        "Recorded lengths and those of the dialogues that were sent",
        Detail::Summary,
        columns,
        rows.into_iter(),
    )))
}

fn rows(entry: &Measured, found: &ReplayedLengths) -> Vec<Vec<Entry>> {
    let row = |what: &str, unit: &str, lengths: &LengthQuantiles| {
        let mut row = vec![
            Entry::words(&entry.scenario),
            Entry::words(arrivals(entry).unwrap_or_default()),
            Entry::words(what),
            Entry::words(unit),
        ];
        row.extend([lengths.mean, lengths.p50, lengths.p95].map(|of| Entry::figure(Some(of))));
        row.push(Entry::count(lengths.max.into()));
        row
    };
    let characters = match found.characters_per_token {
        Some(number) => format!("characters, {number} per token"),
        None => "characters".to_owned(),
    };
    let mut rows = vec![
        row("requested", &characters, &found.characters.requested),
        row("sent", "characters", &found.characters.used),
    ];
    if let Some(tokens) = &found.requested_tokens {
        rows.push(row("requested", "tokens", tokens));
        rows.extend(found.measured_tokens.iter().map(|tokens| row("sent", "tokens", tokens)));
    }
    rows
}

/// How well the lengths match.
fn matching(found: &ReplayedLengths) -> String {
    let of = &found.characters;
    let uses = match of.most_uses {
        1 => "once".to_owned(),
        uses => format!("{} times", number::count(uses)),
    };
    let mut text = format!(
        "{} requests sent {} dialogues, each at most {uses}. {}% of them differ by at most 10% from the recorded length, on average by {} characters.",
        number::count(of.requests),
        number::count(of.dialogues),
        number::shown(of.near_share * 100.0),
        number::shown(of.mean_difference)
    );
    if let (Some(_), Some(measured)) =
        (found.characters_per_token, found.measured_characters_per_token)
    {
        let shown = number::shown(measured);
        text += &format!(
            " A token of these dialogues has {shown} characters: set trace.characters_per_token = {shown} to convert recorded tokens by it."
        );
    }
    text
}

fn sentences(replayed: &[(&Measured, &ReplayedTrace)]) -> Block {
    let sentence = |(entry, trace): &(&Measured, &ReplayedTrace)| {
        let name = arrivals(entry).unwrap_or_default();
        let lengths = trace.lengths.as_ref().map(|found| format!(" {}", matching(found)));
        let compared = match &trace.burstiness {
            Some(found) => format!("{}.", against_poisson(found)),
            None => "a run has too few requests to compare them with a Poisson process.".to_owned(),
        };
        format!("{} ({name}): {compared}{}", entry.scenario, lengths.unwrap_or_default())
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
