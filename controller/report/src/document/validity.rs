//! Whether the figures hold, and what happened on the way.

use super::naming::{Named, Names};
use super::table::{Column, Entry, Table};
use super::{Block, Reach, Section, date, shortened};
use results::Results;

/// More events than this are no reading any more; results.json has all.
const MOST_EVENTS: usize = 50;

pub(super) fn section(results: &Results, names: &Names<'_>) -> Section {
    let mut blocks = vec![Block::Table(table(names))];
    let events = &results.campaign.events;
    if !events.is_empty() {
        let told = events.iter().take(MOST_EVENTS);
        let mut list: Vec<String> = told
            .map(|event| format!("{} · {}", date(&event.at), shortened(&event.detail, 300)))
            .collect();
        if events.len() > MOST_EVENTS {
            list.push(format!("{} more stand in results.json.", events.len() - MOST_EVENTS));
        }
        blocks.push(Block::List(list));
    }
    Section {
        id: "validity",
        title: "Do the figures hold?".to_owned(),
        lead: "VALID figures may be used. DEGRADED ones may be used with their reasons beside them. INVALID ones may not.".to_owned(),
        blocks,
        reach: Reach::Everywhere,
    }
}

fn table(names: &Names<'_>) -> Table {
    let row = |named: &Named<'_>| {
        let cell = named.cell;
        let reasons = cell.validity.reasons.iter().map(|reason| reason.text.as_str());
        let reasons = reasons.collect::<Vec<_>>().join("; ");
        vec![
            Entry::words(named.whole()),
            Entry::status(cell.validity.status),
            Entry::words(if reasons.is_empty() { "no objection" } else { &reasons }),
            Entry::count(cell.counted_samples),
            Entry::count(cell.failed_samples),
            Entry::count(cell.missing_samples),
            Entry::count(cell.late_samples),
            Entry::count(cell.cut_inputs),
        ]
    };
    let mut columns = ["Cell", "Validity", "Reasons"].map(Column::words).to_vec();
    let counts = ["Counted", "Failed", "Missing", "Late", "Cut inputs"];
    columns.extend(counts.map(|title| Column::figures(title, "")));
    Table {
        id: "validity-table".to_owned(),
        title: "Validity of every cell, with reasons".to_owned(),
        columns,
        rows: names.cells.iter().map(row).collect(),
    }
}
